/* merge_dry.c - What a merge would do: how much would move, and where the two disagree.
 *
 * A trait that both have with other values is a conflict; which of them would
 * hold is for the replay to say, by the trait's policy.
 *
 * Thread: any. */
/* SPDX-License-Identifier: MIT */
#include "persona/merge_internal.h"

#include "base/alloc.h"
#include "base/error.h"
#include "doc/doc.h"
#include "doc/inventory.h"
#include "persona/mindscape.h"
#include "persona/people.h"
#include "persona/person_rows.h"

#include <string.h>

enum { CONFLICTS_MAX = 200 };

/* ---- How much ---- */

static bool count_rows(const struct pk_domain *domain, const struct pk_collection *collection,
                       const char *person, int64_t *out, struct pk_error *err)
{
    PK_CLEANUP(pk_freep) char *cursor = NULL;
    *out = 0;
    do {
        PK_CLEANUP(pk_page_done) struct pk_page page = { 0 };
        if (!pk_person_rows(domain, collection, person, 500, cursor, &page, err)) {
            return false;
        }
        *out += (int64_t)page.count;
        pk_free(cursor);
        cursor = page.next;
        page.next = NULL;
    } while (cursor);
    return true;
}

static bool put_moves(const struct pk_domain *domain, const char *person, bson_t *out,
                      struct pk_error *err)
{
    const struct pk_inventory *inventory = pk_inventory_builtin();
    bson_t moves;
    bool ok = true;
    BSON_APPEND_DOCUMENT_BEGIN(out, "moves", &moves);
    for (size_t i = 0; ok && i < inventory->count; i++) {
        const struct pk_collection *collection = &inventory->collection[i];
        int64_t count = 0;
        if (collection->merge == PK_MERGE_MOVES) {
            ok = count_rows(domain, collection, person, &count, err);
            BSON_APPEND_INT64(&moves, collection->name, count);
        }
    }
    bson_append_document_end(out, &moves);
    return ok;
}

/* ---- Where they disagree ---- */

static bool trait_at(const bson_iter_t *item, bson_t *out, const char **out_id)
{
    bson_iter_t id;
    const uint8_t *data;
    uint32_t size;
    if (!BSON_ITER_HOLDS_DOCUMENT(item)) {
        return false;
    }
    bson_iter_document(item, &size, &data);
    if (!bson_init_static(out, data, size) || !bson_iter_init_find(&id, out, "id") ||
        !BSON_ITER_HOLDS_UTF8(&id)) {
        return false;
    }
    *out_id = bson_iter_utf8(&id, NULL);
    return true;
}

static bool find_trait(const bson_t *mindscape, const char *wanted, bson_t *out)
{
    bson_iter_t list, item;
    const char *id;
    if (bson_iter_init_find(&list, mindscape, "traits") && bson_iter_recurse(&list, &item)) {
        while (bson_iter_next(&item)) {
            if (trait_at(&item, out, &id) && strcmp(id, wanted) == 0) {
                return true;
            }
        }
    }
    return false;
}

static bool is_same_value(const bson_t *a, const bson_t *b)
{
    bson_iter_t x, y;
    if (!bson_iter_init_find(&x, a, "value") || !bson_iter_init_find(&y, b, "value")) {
        return true;
    }
    const size_t size_x = x.next_off - x.d1, size_y = y.next_off - y.d1;
    return bson_iter_type(&x) == bson_iter_type(&y) && size_x == size_y &&
           memcmp(x.raw + x.d1, y.raw + y.d1, size_x) == 0;
}

static void put_side(bson_t *out, const char *name, const bson_t *trait)
{
    static const char *const field[] = { "value", "confidence", "updatedAt" };
    bson_t side;
    bson_iter_t iter;
    BSON_APPEND_DOCUMENT_BEGIN(out, name, &side);
    for (size_t i = 0; i < PK_COUNT(field); i++) {
        if (bson_iter_init_find(&iter, trait, field[i])) {
            (void)bson_append_iter(&side, NULL, 0, &iter);
        }
    }
    bson_append_document_end(out, &side);
}

static int64_t put_conflicts(const bson_t *from, const bson_t *into, bson_t *out)
{
    bson_iter_t list, item;
    bson_t conflicts, one, mine, theirs;
    int64_t count = 0;
    BSON_APPEND_ARRAY_BEGIN(out, "conflicts", &conflicts);
    if (bson_iter_init_find(&list, from, "traits") && bson_iter_recurse(&list, &item)) {
        while (bson_iter_next(&item)) {
            const char *id, *key;
            char number[16];
            if (!trait_at(&item, &theirs, &id) || !find_trait(into, id, &mine) ||
                is_same_value(&mine, &theirs) || ++count > CONFLICTS_MAX) {
                continue;
            }
            (void)bson_uint32_to_string((uint32_t)(count - 1), &key, number, sizeof(number));
            BSON_APPEND_DOCUMENT_BEGIN(&conflicts, key, &one);
            BSON_APPEND_UTF8(&one, "path", id);
            put_side(&one, "from", &theirs);
            put_side(&one, "into", &mine);
            bson_append_document_end(&conflicts, &one);
        }
    }
    bson_append_array_end(out, &conflicts);
    return count;
}

static bool read_minds(const struct pk_domain *domain, const struct pk_merge_ask *ask,
                       int64_t deadline_ns, struct pk_doc **from, struct pk_doc **into,
                       struct pk_error *err)
{
    return pk_mindscape_read(domain, ask->from, deadline_ns, from, err) &&
           pk_mindscape_read(domain, ask->into, deadline_ns, into, err);
}

bool pk_merge_dry(const struct pk_domain *domain, const struct pk_merge_ask *ask,
                  int64_t deadline_ns, bson_t *out, struct pk_error *err)
{
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *from = NULL;
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *into = NULL;
    bson_t theirs = BSON_INITIALIZER, mine = BSON_INITIALIZER;
    if (!merge_check(domain, ask, deadline_ns, err) ||
        !read_minds(domain, ask, deadline_ns, &from, &into, err)) {
        return false;
    }
    if (from) {
        pk_doc_view(from, &theirs);
    }
    if (into) {
        pk_doc_view(into, &mine);
    }
    BSON_APPEND_BOOL(out, "dryRun", true);
    BSON_APPEND_UTF8(out, "from", ask->from);
    BSON_APPEND_UTF8(out, "into", ask->into);
    const bool ok = put_moves(domain, ask->from, out, err);
    BSON_APPEND_INT64(out, "conflictCount", put_conflicts(&theirs, &mine, out));
    return ok;
}
