/* mindscape_joins.c - What lies beside the mindscape, joined when it is asked for; and the tree. */
/* SPDX-License-Identifier: MIT */
#include "persona/mindscape_internal.h"

#include "base/alloc.h"
#include "base/error.h"
#include "doc/doc.h"
#include "doc/names.h"
#include "doc/peek.h"
#include "persona/joined_past.h"
#include "persona/sight.h"
#include "store/store.h"

#include <stdlib.h>
#include <string.h>

enum { WARM_MAX = 200 }; /* Texts of the warm layer; hot ones: a page. */

/* ---- The tree ---- */

struct leaf {
    const char *path;
    const uint8_t *data; /* The trait. */
    uint32_t size;
};

static void put_value(const struct leaf *leaf, const char *key, size_t length, bson_t *out)
{
    bson_t trait;
    bson_iter_t value;
    if (bson_init_static(&trait, leaf->data, leaf->size) &&
        bson_iter_init_find(&value, &trait, "value")) {
        (void)bson_append_iter(out, key, (int)length, &value);
    }
}

/* By bytes, but '.' before all others: so what lies below one path stands together, behind the path
 * itself ('a', 'a.b', 'a-b'). */
static int compare_leaves(const void *a, const void *b)
{
    const char *one = (*(const struct leaf *const *)a)->path;
    const char *other = (*(const struct leaf *const *)b)->path;
    while (*one && *one == *other) {
        one++;
        other++;
    }
    const int left = *one == '.' ? 1 : (unsigned char)*one;
    const int right = *other == '.' ? 1 : (unsigned char)*other;
    return left - right;
}

static bool is_at_or_below(const char *path, const char *segment, size_t length)
{
    return strncmp(path, segment, length) == 0 && (path[length] == '.' || path[length] == '\0');
}

/* Sorted leaves by the segment that begins at 'depth'. */
static void put_level(const struct leaf *const *leaf, size_t count, size_t depth, bson_t *out)
{
    for (size_t i = 0, end; i < count; i = end) {
        const char *segment = leaf[i]->path + depth;
        const size_t length = strcspn(segment, ".");
        const bool has_self = segment[length] == '\0';
        bson_t child;
        end = i + 1;
        while (end < count && is_at_or_below(leaf[end]->path + depth, segment, length)) {
            end++;
        }
        if (has_self && end == i + 1) {
            put_value(leaf[i], segment, length, out);
            continue;
        }
        bson_append_document_begin(out, segment, (int)length, &child);
        if (has_self) { /* A trait that has others below it: its own value is under "". */
            put_value(leaf[i], "", 0, &child);
        }
        put_level(leaf + i + has_self, end - i - has_self, depth + length + 1, &child);
        bson_append_document_end(out, &child);
    }
}

void mindscape_tree(const bson_t *list, bson_t *out)
{
    bson_iter_t item;
    bson_t trait, child;
    const size_t capacity = bson_count_keys(list) + 1;
    PK_CLEANUP(pk_freep) struct leaf *leaf = pk_calloc(capacity, sizeof(*leaf));
    PK_CLEANUP(pk_freep) const struct leaf **order = pk_calloc(capacity, sizeof(*order));
    size_t count = 0;

    for (bool is_ok = bson_iter_init(&item, list); is_ok && bson_iter_next(&item);) {
        if (pk_peek_object(&item, &trait)) {
            leaf[count] = (struct leaf){
                .path = pk_peek_text(&trait, "id", ""),
                .data = bson_get_data(&trait),
                .size = trait.len,
            };
            order[count] = &leaf[count];
            count++;
        }
    }
    qsort(order, count, sizeof(struct leaf *), compare_leaves);
    BSON_APPEND_DOCUMENT_BEGIN(out, "traits", &child);
    put_level(order, count, 0, &child);
    bson_append_document_end(out, &child);
}

/* ---- Layers of knowledge ---- */

static bool append_doc(const struct pk_mindscape_view *how, const char *collection,
                       const struct pk_doc *doc, bool has_embeddings, uint32_t at, bson_t *out,
                       struct pk_error *err)
{
    bson_t view, seen, kept = BSON_INITIALIZER, http;
    char room[16];
    pk_doc_view(doc, &view);
    pk_sight_show(how->who, &view, &seen);
    if (has_embeddings) {
        (void)bson_concat(&kept, &seen);
    } else {
        bson_copy_to_excluding_noinit(&seen, &kept, "embedding", NULL);
    }
    bson_destroy(&seen);
    const bool is_ok =
        pk_names_translate(collection, PK_SPELLING_STORED, PK_SPELLING_HTTP, &kept, &http, err);
    if (is_ok) {
        BSON_APPEND_DOCUMENT(out, pk_array_key(at, room), &http);
        bson_destroy(&http);
    }
    bson_destroy(&kept);
    return is_ok;
}

static bool append_page(const struct pk_mindscape_view *how, const struct pk_page *page,
                        const char *collection, const char *name, bool has_embeddings, bson_t *out,
                        struct pk_error *err)
{
    bson_t list;
    bool is_ok = true;
    uint32_t at = 0;
    BSON_APPEND_ARRAY_BEGIN(out, name, &list);
    for (size_t i = 0; i < page->count && is_ok; i++) {
        is_ok = append_doc(how, collection, page->doc[i], has_embeddings, at++, &list, err);
    }
    bson_append_array_end(out, &list);
    return is_ok;
}

struct layers {
    struct pk_page hot, warm;
    bool is_cut; /* There are more. */
};

static void layers_done(struct layers *layers)
{
    pk_page_done(&layers->hot);
    pk_page_done(&layers->warm);
}

/* Those of the warm layer are texts; the embedding of a trait has none, and no content type. */
static bool read_layers(const struct pk_domain *domain, const char *person, int64_t deadline_ns,
                        struct layers *out, struct pk_error *err)
{
    const struct pk_query ask_hot = {
        .collection = "knowledge",
        .index = "by_user_key",
        .equal = { PK_TEXT(person) },
        .equal_count = 1,
        .limit = PK_PAGE_MAX,
    };
    const struct pk_query ask_warm = {
        .collection = "vectors",
        .index = "by_user_type",
        .equal = { PK_TEXT(person) },
        .equal_count = 1,
        .min = { .is_set = true, .value = PK_TEXT("") },
        .limit = WARM_MAX,
    };
    if (!pk_store_find(domain->books->store, &ask_hot, deadline_ns, &out->hot, err) ||
        !pk_store_find(domain->books->store, &ask_warm, deadline_ns, &out->warm, err)) {
        return pk_wrap(err, "read the knowledge");
    }
    out->is_cut = out->hot.next || out->warm.next;
    return true;
}

static bool read_layers_then(const struct pk_domain *domain, const struct pk_doc *mindscape,
                             int64_t at_ms, int64_t deadline_ns, struct layers *out,
                             struct pk_error *err)
{
    PK_CLEANUP(pk_past_freep) struct pk_past *past = NULL;
    const struct pk_place_then place = pk_past_place(mindscape, at_ms);
    bool is_hot_cut = false, is_warm_cut = false;
    if (!pk_past_open(domain, &place, deadline_ns, &past, err) ||
        !pk_past_find(past, "knowledge", PK_PAGE_MAX, deadline_ns, &out->hot, &is_hot_cut, err) ||
        !pk_past_find(past, "vectors", WARM_MAX, deadline_ns, &out->warm, &is_warm_cut, err)) {
        return pk_wrap(err, "read the knowledge of then");
    }
    out->is_cut = is_hot_cut || is_warm_cut;
    return true;
}

bool mindscape_layers(const struct pk_domain *domain, const struct pk_doc *mindscape,
                      const struct pk_mindscape_view *how, int64_t deadline_ns, bson_t *out,
                      struct pk_error *err)
{
    PK_CLEANUP(layers_done) struct layers layers = { 0 };
    const bool ok = how->at_ms
                        ? read_layers_then(domain, mindscape, how->at_ms, deadline_ns, &layers, err)
                        : read_layers(domain, pk_doc_id(mindscape), deadline_ns, &layers, err);
    if (!ok || !append_page(how, &layers.hot, "knowledge", "hotLayer", true, out, err) ||
        !append_page(how, &layers.warm, "vectors", "warmLayer", how->has_embeddings, out, err)) {
        return false;
    }
    if (layers.is_cut) {
        BSON_APPEND_BOOL(out, "isCut", true);
    }
    return true;
}

/* ---- Embeddings of traits ---- */

struct embeddings {
    struct pk_page *page;
    size_t count;
};

static void embeddings_done(struct embeddings *all)
{
    for (size_t i = 0; i < all->count; i++) {
        pk_page_done(&all->page[i]);
    }
    pk_free(all->page);
}

static bool read_embeddings(const struct pk_domain *domain, const char *person, int64_t deadline_ns,
                            struct embeddings *out, struct pk_error *err)
{
    const char *cursor = NULL;
    do {
        out->page = pk_realloc(out->page, (out->count + 1) * sizeof(*out->page));
        struct pk_page *page = &out->page[out->count];
        *page = (struct pk_page){ 0 };
        const struct pk_query query = {
            .collection = "vectors",
            .index = "by_user_trait",
            .equal = { PK_TEXT(person) },
            .equal_count = 1,
            .limit = PK_PAGE_MAX,
            .cursor = cursor,
        };
        if (!pk_store_find(domain->books->store, &query, deadline_ns, page, err)) {
            return pk_wrap(err, "read the traits' embeddings");
        }
        out->count++;
        cursor = page->next;
    } while (cursor);
    return true;
}

/* Both are in the order of their paths, so one look at each is enough. */
struct place {
    size_t page, at;
};

static const struct pk_doc *embedding_of(const struct embeddings *all, struct place *place,
                                         const char *path)
{
    while (place->page < all->count) {
        const struct pk_page *page = &all->page[place->page];
        const struct pk_doc *doc = place->at < page->count ? page->doc[place->at] : NULL;
        const char *trait = doc ? pk_doc_text(doc, "traitId") : NULL;
        const int order = trait ? strcmp(trait, path) : -1;
        if (order == 0) {
            return doc;
        }
        if (order > 0) {
            return NULL;
        }
        place->page += doc == NULL;
        place->at = doc ? place->at + 1 : 0;
    }
    return NULL;
}

static void append_embedding(const struct pk_doc *vector, bson_t *trait)
{
    bson_t view;
    bson_iter_t iter;
    pk_doc_view(vector, &view);
    if (bson_iter_init_find(&iter, &view, "embedding")) {
        (void)bson_append_iter(trait, "embedding", -1, &iter);
    }
    if (bson_iter_init_find(&iter, &view, "embeddingModel")) {
        (void)bson_append_iter(trait, "embeddingModel", -1, &iter);
    }
}

bool mindscape_embed(const struct pk_domain *domain, const char *person, const bson_t *list,
                     int64_t at_ms, int64_t deadline_ns, bson_t *out, struct pk_error *err)
{
    PK_CLEANUP(embeddings_done) struct embeddings all = { 0 };
    struct place place = { 0 };
    bson_iter_t item;
    bson_t trait, child;
    if (!read_embeddings(domain, person, deadline_ns, &all, err)) {
        return false;
    }
    bson_init(out);
    for (bool is_ok = bson_iter_init(&item, list); is_ok && bson_iter_next(&item);) {
        if (!pk_peek_object(&item, &trait)) {
            continue;
        }
        BSON_APPEND_DOCUMENT_BEGIN(out, bson_iter_key(&item), &child);
        (void)bson_concat(&child, &trait);
        const struct pk_doc *vector =
            embedding_of(&all, &place, pk_peek_text(&trait, "traitName", ""));
        if (vector && (!at_ms || pk_doc_date(vector, "updatedAt", INT64_MAX) <= at_ms)) {
            append_embedding(vector, &child);
        }
        bson_append_document_end(out, &child);
    }
    return true;
}
