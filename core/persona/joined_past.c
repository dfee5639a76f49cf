/* joined_past.c - What lay beside a mindscape then, out of history.
 *
 * Each observation that made something of the kind says in its row what:
 * things that may change as they became, texts by their ids (joined.h). Rows
 * are read from the place in question back to the first; what is met first is
 * what stood there. Texts never change, so they are read where they lie.
 *
 *     row 9    { knowledge: [role = head] }                   behind the place
 *     row 7    { knowledge: [role = lead], vectors: [V2] }    role = lead
 *     row 3    { knowledge: [role = clerk, city = Bonn] }     city = Bonn
 *
 * Documents that name no observation are somebody else's, and are taken as they
 * are now. Thread: any; a past belongs to one. */
/* SPDX-License-Identifier: MIT */
#include "persona/joined_past.h"

#include "base/alloc.h"
#include "base/error.h"
#include "doc/doc.h"
#include "doc/path.h"
#include "doc/peek.h"
#include "persona/mind.h"
#include "store/store.h"

#include <search.h>
#include <stdlib.h>
#include <string.h>

/* One row per collection. */
static const struct {
    const char *collection;
    const char *index;   /* Whose first key is the person: the order of texts. */
    const char *derived; /* The list of the observations it came from; NULL: 'author' says. */
    const char *author;  /* Who wrote it, when nobody observed it. */
    bool is_text;        /* Made once and never changed. */
    bool has_sort;       /* The index's next key is there; where it is not, it is no text. */
} kind_table[] = {
    { "knowledge", "by_user_key", "derivedFrom", NULL, false, false },
    { "graph_nodes", "by_user_label", "properties.derivedFrom", NULL, false, false },
    { "graph_edges", "by_user_source", "properties.derivedFrom", NULL, false, false },
    { "vectors", "by_user_type", "metadata.derivedFrom", NULL, true, true },
    { "narratives", "by_user", NULL, "createdBy", true, false },
};
enum { KINDS = sizeof(kind_table) / sizeof(kind_table[0]), ROWS = 500 };

/* One thing that was met. */
struct met {
    char *id;
    struct pk_doc *doc; /* NULL: a text. */
};

struct pk_past {
    const struct pk_domain *domain;
    struct pk_place_then place;
    char *person;
    void *root[KINDS]; /* Trees of struct met, by id (tsearch). */
};

/* ---- What was met ---- */

static int by_id(const void *a, const void *b)
{
    return strcmp(((const struct met *)a)->id, ((const struct met *)b)->id);
}

static const struct met *find_met(const struct pk_past *past, size_t kind, const char *id)
{
    const struct met wanted = { .id = (char *)(uintptr_t)id };
    struct met *const *found = tfind(&wanted, &past->root[kind], by_id);
    return found ? *found : NULL;
}

static void free_met(void *node)
{
    struct met *met = node;
    pk_doc_unref(met->doc);
    pk_free(met->id);
    pk_free(met);
}

/* What is newer was met before, and stays. */
static void meet(struct pk_past *past, size_t kind, const char *id, const bson_t *doc)
{
    struct met *met = pk_calloc(1, sizeof(*met));
    met->id = pk_strdup(id);
    struct met *const *place = tsearch(met, &past->root[kind], by_id);
    if (!place) {
        abort(); /* Out of memory, as pk_alloc. */
    }
    if (*place != met) {
        free_met(met);
    } else if (doc) {
        met->doc = pk_doc_new(doc);
    }
}

/* ---- Reading history ---- */

static void meet_kind(struct pk_past *past, size_t kind, const bson_t *after)
{
    bson_iter_t list, item;
    bson_t doc;
    if (!bson_iter_init_find(&list, after, kind_table[kind].collection) ||
        !BSON_ITER_HOLDS_ARRAY(&list) || !bson_iter_recurse(&list, &item)) {
        return;
    }
    while (bson_iter_next(&item)) {
        if (BSON_ITER_HOLDS_UTF8(&item)) {
            meet(past, kind, bson_iter_utf8(&item, NULL), NULL);
        } else if (pk_peek_object(&item, &doc)) {
            meet(past, kind, pk_peek_text(&doc, "_id", ""), &doc);
        }
    }
}

static void meet_row(struct pk_past *past, const struct pk_doc *row)
{
    bson_t view, after;
    bson_iter_t iter;
    pk_doc_view(row, &view);
    if (pk_doc_date(row, "createdAt", INT64_MAX) > past->place.known_ms ||
        !bson_iter_init_find(&iter, &view, "after") || !pk_peek_object(&iter, &after)) {
        return;
    }
    for (size_t kind = 0; kind < KINDS; kind++) {
        meet_kind(past, kind, &after);
    }
}

static bool read_rows(struct pk_past *past, int64_t deadline_ns, struct pk_error *err)
{
    PK_CLEANUP(pk_freep) char *cursor = NULL;
    do {
        PK_CLEANUP(pk_page_done) struct pk_page page = { 0 };
        const struct pk_query query = {
            .collection = "trait_history",
            .index = "by_user_path",
            .equal = { PK_TEXT(past->person), PK_INT(past->place.epoch), PK_TEXT(PK_MIND_REST) },
            .equal_count = 3,
            .max = { .is_set = true, .value = PK_INT(past->place.seq) },
            .is_reversed = true,
            .limit = ROWS,
            .cursor = cursor,
        };
        if (!pk_store_find(past->domain->books->store, &query, deadline_ns, &page, err)) {
            return pk_wrap(err, "read the history of what is beside the mindscape");
        }
        for (size_t i = 0; i < page.count; i++) {
            meet_row(past, page.doc[i]);
        }
        pk_free(cursor);
        cursor = page.next;
        page.next = NULL;
    } while (cursor);
    return true;
}

struct pk_place_then pk_past_place(const struct pk_doc *mindscape, int64_t at_ms)
{
    return (struct pk_place_then){ .person = pk_doc_id(mindscape),
                                   .epoch = pk_doc_int(mindscape, "epoch", 0),
                                   .seq = pk_doc_int(mindscape, "seq", 0),
                                   .known_ms = INT64_MAX,
                                   .at_ms = at_ms };
}

bool pk_past_open(const struct pk_domain *domain, const struct pk_place_then *place,
                  int64_t deadline_ns, struct pk_past **out, struct pk_error *err)
{
    struct pk_past *past = pk_calloc(1, sizeof(*past));
    past->domain = domain;
    past->person = pk_strdup(place->person);
    past->place = *place;
    past->place.person = past->person;
    if (!read_rows(past, deadline_ns, err)) {
        pk_past_free(past);
        return false;
    }
    *out = past;
    return true;
}

void pk_past_free(struct pk_past *past)
{
    if (!past) {
        return;
    }
    for (size_t kind = 0; kind < KINDS; kind++) {
        tdestroy(past->root[kind], free_met);
    }
    pk_free(past->person);
    pk_free(past);
}

void pk_past_freep(struct pk_past **past)
{
    pk_past_free(*past);
    *past = NULL;
}

/* ---- Giving it ---- */

/* Documents under way to a page. */
struct giving {
    const struct pk_past *past;
    size_t kind;
    struct pk_doc **doc; /* References. */
    size_t count, capacity;
};

static void give(struct giving *giving, struct pk_doc *doc)
{
    if (giving->count == giving->capacity) {
        giving->capacity = giving->capacity ? giving->capacity * 2 : 32;
        giving->doc = pk_realloc(giving->doc, giving->capacity * sizeof(struct pk_doc *));
    }
    giving->doc[giving->count++] = pk_doc_ref(doc);
}

/* Things that may change: as they had become, unless that had come to its end. */
static void give_met(const void *node, VISIT visit, void *context)
{
    struct giving *giving = context;
    const struct met *met = *(struct met *const *)node;
    if ((visit == postorder || visit == leaf) && met->doc &&
        pk_doc_date(met->doc, "expiresAt", INT64_MAX) > giving->past->place.at_ms) {
        give(giving, met->doc);
    }
}

static bool is_derived(const struct pk_doc *doc, size_t kind)
{
    bson_t view;
    bson_iter_t iter, first;
    if (!kind_table[kind].derived) {
        return pk_doc_text(doc, kind_table[kind].author) == NULL;
    }
    pk_doc_view(doc, &view);
    return pk_path_find(&view, kind_table[kind].derived, &iter) && BSON_ITER_HOLDS_ARRAY(&iter) &&
           bson_iter_recurse(&iter, &first) && bson_iter_next(&first);
}

/* Of what lies there now: texts that were met, and what is somebody else's. */
static bool was_there(const struct giving *giving, const struct pk_doc *doc)
{
    const struct pk_place_then *place = &giving->past->place;
    const struct met *met = find_met(giving->past, giving->kind, pk_doc_id(doc));
    if (met) {
        return met->doc == NULL;
    }
    return !is_derived(doc, giving->kind) &&
           pk_doc_date(doc, "createdAt", INT64_MAX) <= place->at_ms &&
           pk_doc_date(doc, "expiresAt", INT64_MAX) > place->at_ms;
}

static bool give_present(struct giving *giving, size_t max, int64_t deadline_ns,
                         struct pk_error *err)
{
    PK_CLEANUP(pk_freep) char *cursor = NULL;
    const bool is_text = kind_table[giving->kind].is_text;
    do {
        PK_CLEANUP(pk_page_done) struct pk_page page = { 0 };
        const struct pk_query query = {
            .collection = kind_table[giving->kind].collection,
            .index = kind_table[giving->kind].index,
            .equal = { PK_TEXT(giving->past->person) },
            .equal_count = 1,
            .min = { .is_set = kind_table[giving->kind].has_sort, .value = PK_TEXT("") },
            .limit = ROWS,
            .cursor = cursor,
        };
        if (!pk_store_find(giving->past->domain->books->store, &query, deadline_ns, &page, err)) {
            return pk_wrap(err, "read '%s'", query.collection);
        }
        for (size_t i = 0; i < page.count; i++) {
            if (was_there(giving, page.doc[i])) {
                give(giving, page.doc[i]);
            }
        }
        pk_free(cursor);
        cursor = is_text && giving->count > max ? NULL : page.next;
        page.next = cursor ? NULL : page.next;
    } while (cursor);
    return true;
}

static int by_doc_id(const void *a, const void *b)
{
    return strcmp(pk_doc_id(*(struct pk_doc *const *)a), pk_doc_id(*(struct pk_doc *const *)b));
}

static size_t find_kind(const char *collection)
{
    size_t kind = 0;
    while (kind + 1 < KINDS && strcmp(kind_table[kind].collection, collection) != 0) {
        kind++;
    }
    return kind;
}

bool pk_past_find(const struct pk_past *past, const char *collection, size_t max,
                  int64_t deadline_ns, struct pk_page *out, bool *out_is_cut, struct pk_error *err)
{
    struct giving giving = { .past = past, .kind = find_kind(collection) };
    twalk_r(past->root[giving.kind], give_met, &giving);
    const bool ok = give_present(&giving, max, deadline_ns, err);
    *out = (struct pk_page){ .doc = giving.doc, .count = giving.count };
    if (!ok) {
        pk_page_done(out);
        return false;
    }
    if (!kind_table[giving.kind].is_text && out->count > 1) {
        qsort(out->doc, out->count, sizeof(struct pk_doc *), by_doc_id);
    }
    *out_is_cut = out->count > max;
    while (out->count > max) {
        pk_doc_unref(out->doc[--out->count]);
    }
    return true;
}
