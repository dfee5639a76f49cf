/* builtin.c - The server's own inventory on this engine: every collection, every index.
 *
 * Documents are generated from the schemas; for each index and each document
 * the store must find what looking at every document finds. */
/* SPDX-License-Identifier: MIT */
#include "contract.h"

#include "doc/path.h"
#include "generate.h"
#include "oracle.h"

#include <stdio.h>
#include <string.h>

enum { DOCS = 8 };

/* ---- One collection ---- */

/* Puts the document into the partial indexes that want a certain text or true; takes and gives a
 * reference. */
static struct pk_doc *qualify(const struct pk_collection *collection, struct pk_doc *document)
{
    for (size_t i = 0; i < collection->index_count; i++) {
        const struct pk_index *index = &collection->index[i];
        if (index->only != PK_ONLY_TEXT && index->only != PK_ONLY_TRUE) {
            continue;
        }
        bson_t view;
        bson_t *copy = bson_new();
        pk_doc_view(document, &view);
        bson_copy_to_excluding_noinit(&view, copy, index->only_path, NULL);
        if (index->only == PK_ONLY_TEXT) {
            bson_append_utf8(copy, index->only_path, -1, index->only_text, -1);
        } else {
            bson_append_bool(copy, index->only_path, -1, true);
        }
        pk_doc_unref(document);
        document = pk_doc_take(copy);
    }
    return document;
}

static void put_generated(struct bed *bed, const struct pk_collection *collection,
                          struct pk_doc **out)
{
    for (size_t i = 0; i < DOCS; i++) {
        LIST(list);
        struct pk_commit result = { 0 };
        struct pk_error err = { 0 };
        out[i] = pk_generate_doc(collection,
                                 &(struct pk_generate){ .seed = 100 + i, .is_full = i % 4 != 3 });
        if (i % 2 == 0) {
            out[i] = qualify(collection, out[i]);
        }
        if (collection->is_feed) {
            pk_writes_announce(&list, out[i]);
        } else {
            pk_writes_insert(&list, collection->name, out[i]);
        }
        if (!commit(bed, &list, &result, &err)) {
            fail_msg("%s '%s' (document %zu): %s [%s]", collection->name, pk_doc_id(out[i]), i,
                     err.message, result.conflict_index);
        }
    }
}

static void check_query(struct bed *bed, const struct pk_index *index, struct pk_doc *const *all,
                        struct pk_query *query)
{
    for (int i = 0; i < 2; i++) {
        query->is_reversed = i == 1;
        PK_CLEANUP(pk_freep) char *expected = oracle_find(index, all, DOCS, query);
        PK_CLEANUP(pk_freep) char *found = find_all(bed, query, i ? 3 : PK_PAGE_MAX);
        if (strcmp(found, expected) != 0) {
            fail_msg("%s.%s (%zu equal%s%s%s): found '%.300s' instead of '%.300s'",
                     query->collection, index->name, query->equal_count,
                     query->below ? ", below " : "", query->below ? query->below : "",
                     query->is_reversed ? ", reversed" : "", found, expected);
        }
    }
}

/* The first value of a path with many. */
struct first {
    struct pk_value value;
    char below[256];
};

static bool take_first(void *context, const char *below, const bson_iter_t *iter)
{
    struct first *first = context;
    first->value = oracle_scalar(iter);
    (void)snprintf(first->below, sizeof(first->below), "%s", below);
    return first->value.type == PK_VALUE_NULL;
}

/* The first 'equal_count' keys as this document has them. False when it has none to look for. */
static bool query_like(const struct pk_index *index, const struct pk_doc *document,
                       size_t equal_count, struct first *first, struct pk_query *out)
{
    const bool is_multi = pk_path_is_multi(index->key[0].path);
    out->equal_count = equal_count;
    for (size_t i = 0; i < equal_count; i++) {
        if (i > 0 || !is_multi) {
            out->equal[i] = oracle_value(document, index->key[i].path);
        }
    }
    if (!is_multi) {
        return true;
    }
    bson_t view;
    pk_doc_view(document, &view);
    *first = (struct first){ .value.type = PK_VALUE_NULL };
    (void)pk_path_each(&view, index->key[0].path, take_first, first);
    out->equal[0] = first->value;
    out->below = strchr(index->key[0].path, '*') ? first->below : NULL;
    return equal_count > 0 && first->value.type != PK_VALUE_NULL;
}

/* How many documents each index has been seen to find: an index that nothing tries is no proof. */
static size_t check_index(struct bed *bed, const struct pk_collection *collection,
                          const struct pk_index *index, struct pk_doc *const *all)
{
    size_t tried = 0;
    for (size_t i = 0; i < DOCS; i++) {
        for (size_t equal = 0; equal <= index->key_count; equal++) {
            struct first first;
            struct pk_query query = { .collection = collection->name, .index = index->name };
            if (query_like(index, all[i], equal, &first, &query)) {
                check_query(bed, index, all, &query);
                tried += oracle_holds(index, all[i]);
            }
        }
    }
    return tried;
}

TEST(every_index_of_the_builtin_inventory_finds_what_it_should)
{
    BED(bed);
    const struct pk_inventory *inventory = pk_inventory_builtin();
    bed_open_inventory(&bed, inventory);
    for (size_t c = 0; c < inventory->count; c++) {
        const struct pk_collection *collection = &inventory->collection[c];
        struct pk_doc *all[DOCS];
        put_generated(&bed, collection, all);
        for (size_t i = 0; i < collection->index_count; i++) {
            if (check_index(&bed, collection, &collection->index[i], all) == 0) {
                fail_msg("no generated document is in %s.%s", collection->name,
                         collection->index[i].name);
            }
        }
        for (size_t i = 0; i < DOCS; i++) {
            DOC(found);
            found = get(&bed, collection->name, pk_doc_id(all[i]));
            assert_non_null(found);
            assert_true(pk_doc_same(found, all[i]));
            pk_doc_unref(all[i]);
        }
    }
}

/* ---- Uniqueness of each unique index ---- */

/* A copy of 'document' under another id. */
static struct pk_doc *twin(const struct pk_doc *document)
{
    bson_t view;
    bson_t *copy = bson_new();
    char *id = pk_strdupf("%s-twin", pk_doc_id(document));
    pk_doc_view(document, &view);
    bson_append_utf8(copy, "_id", -1, id, -1);
    bson_copy_to_excluding_noinit(&view, copy, "_id", NULL);
    pk_free(id);
    return pk_doc_take(copy);
}

TEST(every_unique_index_of_the_builtin_inventory_refuses_a_twin)
{
    BED(bed);
    const struct pk_inventory *inventory = pk_inventory_builtin();
    bed_open_inventory(&bed, inventory);
    for (size_t c = 0; c < inventory->count; c++) {
        const struct pk_collection *collection = &inventory->collection[c];
        bool is_unique = false;
        DOC(original);
        original = pk_generate_doc(collection, &(struct pk_generate){ .seed = 5, .is_full = true });
        for (size_t i = 0; i < collection->index_count; i++) {
            is_unique = is_unique || (collection->index[i].is_unique &&
                                      oracle_holds(&collection->index[i], original));
        }
        if (!is_unique) {
            continue;
        }
        struct pk_commit out = { 0 };
        struct pk_error err = { 0 };
        (void)put(&bed, collection->name, pk_doc_ref(original));
        if (try_insert(&bed, collection->name, twin(original), &out, &err)) {
            fail_msg("%s takes a twin", collection->name);
        }
        if (err.code != PK_INVALID) { /* A rule may tie the '_id' to the fields. */
            assert_code(&err, PK_CONFLICT);
            const struct pk_index *index = pk_collection_index(collection, out.conflict_index);
            assert_true(index && index->is_unique);
        }
    }
}

TEST(a_builtin_store_opens_again_as_it_is)
{
    BED(bed);
    bed_open_inventory(&bed, pk_inventory_builtin());
    bed_reopen(&bed);
    bed_reopen(&bed);
}
