/* explain_facts.c - Facts that a persona has read, as they stood then.
 *
 *     cached     as they stood when the half that was made last was made
 *     as of T    as of T, at the place of the person's order that the mindscape of T has
 *     version    as they are
 *
 * Of each that was read: what it said, how sure that was, which observations
 * told it, and what it says now if that is another thing. Facts are told of in
 * the read set as "hot", with what is true just now: a key that is no fact has
 * no row here.
 *
 * Thread: any. */
/* SPDX-License-Identifier: MIT */
#include "persona/explain_internal.h"

#include "base/alloc.h"
#include "doc/doc.h"
#include "doc/path.h"
#include "persona/joined.h"
#include "persona/joined_past.h"
#include "store/store.h"

#include <string.h>

enum { SOURCES_MAX = 500 }; /* Observations looked up, of all of them. */

/* ---- Reads ---- */

struct reading {
    const char *key; /* NULL: any. */
    bool is_read;
};

static void look_at_read(void *context, const bson_t *row)
{
    struct reading *reading = context;
    const char *key = pk_peek_text(row, "key", "");
    reading->is_read =
        reading->is_read || (strcmp(pk_peek_text(row, "kind", ""), "hot") == 0 &&
                             (!reading->key || *key == '\0' || strcmp(key, reading->key) == 0));
}

/* 'key' NULL: whether anything of the kind was. */
static bool has_read(const struct explaining *it, const char *key)
{
    struct reading reading = { .key = key };
    explain_each_read(it->persona, look_at_read, &reading);
    return reading.is_read;
}

/* ---- As they stood ---- */

static bool find_present(struct explaining *it, struct pk_error *err)
{
    const struct pk_query query = { .collection = "knowledge",
                                    .index = "by_user_key",
                                    .equal = { PK_TEXT(it->name.person) },
                                    .equal_count = 1,
                                    .limit = PK_PAGE_MAX };
    return pk_store_find(it->domain->books->store, &query, it->request->deadline_ns, &it->facts,
                         err);
}

static bool find_past(struct explaining *it, const struct pk_place_then *place,
                      struct pk_error *err)
{
    PK_CLEANUP(pk_past_freep) struct pk_past *past = NULL;
    const int64_t deadline_ns = it->request->deadline_ns;
    bson_iter_t iter;
    bool is_cut = false;
    if (!pk_past_open(it->domain, place, deadline_ns, &past, err) ||
        !pk_past_find(past, "knowledge", PK_PAGE_MAX, deadline_ns, &it->facts, &is_cut, err)) {
        return false;
    }
    bson_init(&it->knowledge_made);
    it->has_knowledge_made = true;
    pk_joined_hot_of(it->facts.doc, it->facts.count, place->at_ms, &it->knowledge_made);
    if (bson_iter_init_find(&iter, &it->knowledge_made, "knowledge") &&
        pk_peek_view(&iter, &it->knowledge_view)) {
        it->knowledge = &it->knowledge_view;
    }
    return true;
}

bool explain_find_facts(struct explaining *it, struct pk_error *err)
{
    struct pk_place_then place = pk_past_place(it->then, it->then_ms);
    bool ok = true;
    if (it->request->as_of_ms != 0) {
        ok = find_past(it, &place, err);
    } else if (it->is_made) {
        ok = find_present(it, err);
    } else if (has_read(it, NULL)) {
        place.seq = INT64_MAX;
        place.known_ms = it->then_ms;
        ok = find_past(it, &place, err);
    }
    return ok || pk_wrap(err, "read the facts");
}

void explain_facts_done(struct explaining *it)
{
    pk_page_done(&it->facts);
    if (it->has_knowledge_made) {
        bson_destroy(&it->knowledge_made);
    }
}

/* ---- Showing them ---- */

struct adding {
    const struct explaining *it;
    size_t looked_up;
    struct pk_error *err;
};

static bool put_sources(struct adding *adding, const bson_t *fact, bson_t *out)
{
    bson_t list, derived, child;
    bson_iter_t item;
    char room[16];
    uint32_t count = 0;
    bool ok = true;
    BSON_APPEND_ARRAY_BEGIN(out, "sources", &list);
    if (explain_view(fact, "derivedFrom", &derived)) {
        for (bool more = bson_iter_init(&item, &derived); ok && more && bson_iter_next(&item);) {
            if (BSON_ITER_HOLDS_UTF8(&item)) {
                (void)bson_append_document_begin(&list, explain_key(&count, room), -1, &child);
                ok = explain_put_observation(adding->it, bson_iter_utf8(&item, NULL),
                                             adding->looked_up++ >= SOURCES_MAX, &child,
                                             adding->err);
                bson_append_document_end(&list, &child);
            }
        }
    }
    bson_append_array_end(out, &list);
    return ok;
}

static void copy_field(bson_t *out, const char *as, const bson_t *from, const char *name)
{
    bson_iter_t iter;
    if (bson_iter_init_find(&iter, from, name)) {
        (void)bson_append_iter(out, as, -1, &iter);
    }
}

static bool is_same_value(const bson_t *a, const bson_t *b)
{
    bson_iter_t one, other;
    bson_t left = BSON_INITIALIZER, right = BSON_INITIALIZER;
    if (bson_iter_init_find(&one, a, "value") && bson_iter_init_find(&other, b, "value")) {
        (void)bson_append_iter(&left, "v", -1, &one);
        (void)bson_append_iter(&right, "v", -1, &other);
    }
    const bool is_same = bson_equal(&left, &right);
    bson_destroy(&left);
    bson_destroy(&right);
    return is_same;
}

/* What it says now, beside what it said. */
static bool put_now(struct adding *adding, const char *id, const bson_t *fact, bson_t *out)
{
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *held = NULL;
    bson_t view;
    if (!pk_store_get(adding->it->domain->books->store, "knowledge", id,
                      adding->it->request->deadline_ns, &held, adding->err)) {
        return false;
    }
    const bool is_held = held && pk_doc_date(held, "expiresAt", INT64_MAX) > adding->it->now_ms;
    BSON_APPEND_BOOL(out, "isHeld", is_held);
    if (is_held) {
        pk_doc_view(held, &view);
        if (!is_same_value(fact, &view)) {
            copy_field(out, "valueNow", &view, "value");
        }
    }
    return true;
}

static bool put_fact(struct adding *adding, const struct pk_doc *doc, bson_t *out)
{
    bson_t fact;
    pk_doc_view(doc, &fact);
    copy_field(out, "key", &fact, "key");
    copy_field(out, "value", &fact, "value");
    copy_field(out, "confidence", &fact, "confidence");
    copy_field(out, "updatedAt", &fact, "updatedAt");
    return put_now(adding, pk_doc_id(doc), &fact, out) && put_sources(adding, &fact, out);
}

bool explain_add_facts(const struct explaining *it, bson_t *out, struct pk_error *err)
{
    struct adding adding = { .it = it, .err = err };
    bson_t list, child;
    char room[16];
    uint32_t count = 0;
    bool ok = true;
    BSON_APPEND_ARRAY_BEGIN(out, "facts", &list);
    for (size_t i = 0; i < it->facts.count && ok; i++) {
        const char *key = pk_doc_text(it->facts.doc[i], "key");
        if (key && pk_doc_date(it->facts.doc[i], "expiresAt", INT64_MAX) > it->then_ms &&
            has_read(it, key)) {
            (void)bson_append_document_begin(&list, explain_key(&count, room), -1, &child);
            ok = put_fact(&adding, it->facts.doc[i], &child);
            bson_append_document_end(&list, &child);
        }
    }
    bson_append_array_end(out, &list);
    return ok || pk_wrap(err, "read what the facts rest on");
}
