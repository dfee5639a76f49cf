/* mindscape_past.c - The traits as of a past time, taken back from what they are now.
 *
 * History is a chain in the person's order: each row has the trait before and
 * after. "As of T" is what was held before the first observation that took
 * effect after T, and changed a trait, was taken in:
 *
 *     S = the least seq of a row that is effective after T
 *     a trait is what its first row at or behind S says was before; without one, what it is
 *
 * So it is always the state at which some prefix of the observations had been
 * taken in: replaying that prefix gives the same. Evidence that came late, with
 * an instant before T but behind S, was not known then, and does not count. */
/* SPDX-License-Identifier: MIT */
#include "persona/mindscape_internal.h"

#include "base/alloc.h"
#include "base/error.h"
#include "doc/doc.h"
#include "store/store.h"

#include <stdlib.h>
#include <string.h>

/* What a path was before. */
struct past {
    const char *path;
    struct pk_doc *row; /* A reference. */
};
struct pasts {
    struct past *past; /* Sorted by path. */
    size_t count, capacity;
};

static void pasts_done(struct pasts *pasts)
{
    for (size_t i = 0; i < pasts->count; i++) {
        pk_doc_unref(pasts->past[i].row);
    }
    pk_free(pasts->past);
}

/* The place of 'path', or where it would be. */
static size_t place_of(const struct pasts *pasts, const char *path, bool *out_is_there)
{
    size_t low = 0, high = pasts->count;
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        const int order = strcmp(pasts->past[middle].path, path);
        if (order == 0) {
            *out_is_there = true;
            return middle;
        }
        low = order < 0 ? middle + 1 : low;
        high = order < 0 ? high : middle;
    }
    *out_is_there = false;
    return low;
}

static void add_first(struct pasts *pasts, struct pk_doc *row)
{
    const char *path = pk_doc_text(row, "path");
    bool is_there = false;
    const size_t at = path ? place_of(pasts, path, &is_there) : 0;
    if (!path || is_there) {
        return; /* An earlier row has said what was before. */
    }
    if (pasts->count == pasts->capacity) {
        pasts->capacity = pasts->capacity ? pasts->capacity * 2 : 64;
        pasts->past = pk_realloc(pasts->past, pasts->capacity * sizeof(*pasts->past));
    }
    memmove(&pasts->past[at + 1], &pasts->past[at], (pasts->count - at) * sizeof(*pasts->past));
    pasts->past[at] = (struct past){ .path = path, .row = pk_doc_ref(row) };
    pasts->count++;
}

/* ---- Reading ---- */

struct reading {
    const struct pk_domain *domain;
    const char *person;
    int64_t epoch, deadline_ns;
    int64_t least_seq;
    struct pasts *pasts; /* NULL: look for the least seq. */
};

static void take(struct reading *reading, struct pk_doc *row)
{
    const int64_t seq = pk_doc_int(row, "seq", INT64_MAX);
    if (reading->pasts) {
        add_first(reading->pasts, row);
    } else if (seq < reading->least_seq) {
        reading->least_seq = seq;
    }
}

static bool read_all(struct reading *reading, const char *index, struct pk_bound from,
                     struct pk_error *err)
{
    PK_CLEANUP(pk_freep) char *cursor = NULL;
    do {
        PK_CLEANUP(pk_page_done) struct pk_page page = { 0 };
        const struct pk_query query = {
            .collection = "trait_history",
            .index = index,
            .equal = { PK_TEXT(reading->person), PK_INT(reading->epoch) },
            .equal_count = 2,
            .min = from,
            .limit = PK_PAGE_MAX,
            .cursor = cursor,
        };
        if (!pk_store_find(reading->domain->books->store, &query, reading->deadline_ns, &page,
                           err)) {
            return pk_wrap(err, "read the traits' history");
        }
        for (size_t i = 0; i < page.count; i++) {
            take(reading, page.doc[i]);
        }
        pk_free(cursor);
        cursor = page.next ? pk_strdup(page.next) : NULL;
    } while (cursor);
    return true;
}

/* ---- Putting together ---- */

static void append(bson_t *list, uint32_t *at, const bson_iter_t *trait)
{
    char room[16];
    const char *key = NULL;
    (void)bson_uint32_to_string((*at)++, &key, room, sizeof(room));
    (void)bson_append_iter(list, key, -1, trait);
}

static bool before_of(const struct past *past, bson_iter_t *out)
{
    bson_t view;
    pk_doc_view(past->row, &view);
    return bson_iter_init_find(out, &view, "before") && BSON_ITER_HOLDS_DOCUMENT(out);
}

static const char *id_of(const bson_iter_t *trait)
{
    bson_iter_t id;
    return bson_iter_recurse(trait, &id) && bson_iter_find(&id, "id") && BSON_ITER_HOLDS_UTF8(&id)
               ? bson_iter_utf8(&id, NULL)
               : "";
}

/* Both lists are in the order of their paths, and so is 'out'. */
static void merge(const bson_t *mindscape, const struct pasts *pasts, bson_t *out)
{
    bson_iter_t list, trait, before;
    size_t i = 0;
    uint32_t at = 0;
    bool has_trait = bson_iter_init_find(&list, mindscape, "traits") &&
                     BSON_ITER_HOLDS_ARRAY(&list) && bson_iter_recurse(&list, &trait) &&
                     bson_iter_next(&trait);

    while (has_trait || i < pasts->count) {
        const int order = !has_trait          ? 1
                          : i >= pasts->count ? -1
                                              : strcmp(id_of(&trait), pasts->past[i].path);
        if (order < 0) {
            append(out, &at, &trait);
        } else if (before_of(&pasts->past[i], &before)) {
            append(out, &at, &before);
        }
        i += order >= 0;
        has_trait = order > 0 ? has_trait : bson_iter_next(&trait);
    }
}

bool mindscape_past(const struct pk_domain *domain, const struct pk_doc *mindscape, int64_t at_ms,
                    int64_t deadline_ns, bson_t *out, struct pk_error *err)
{
    PK_CLEANUP(pasts_done) struct pasts pasts = { 0 };
    struct reading reading = {
        .domain = domain,
        .person = pk_doc_id(mindscape),
        .epoch = pk_doc_int(mindscape, "epoch", 0),
        .deadline_ns = deadline_ns,
        .least_seq = INT64_MAX,
    };
    const struct pk_bound after = { .is_set = true, .is_exclusive = true, .value = PK_DATE(at_ms) };
    bson_t view;

    if (!read_all(&reading, "by_user_time", after, err)) {
        return false;
    }
    if (reading.least_seq != INT64_MAX) {
        const struct pk_bound from = { .is_set = true, .value = PK_INT(reading.least_seq) };
        reading.pasts = &pasts;
        if (!read_all(&reading, "by_user_seq", from, err)) {
            return false;
        }
    }
    pk_doc_view(mindscape, &view);
    bson_init(out);
    merge(&view, &pasts, out);
    return true;
}
