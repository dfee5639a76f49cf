/* plant.c - Fills a store for tests of commands: COUNT documents in every collection.
 *
 *     plant URL COUNT [COLLECTION...]
 *
 * prints the documents planted, in all; a collection that takes none is an
 * error, so that nothing is left out without a word.
 *
 * With PK_PLANT_PERSON set, the documents are this person's, in every
 * collection that is deleted with its person, and none has expired.
 *
 * Every second document has all the fields that its schema knows. One of each
 * collection with a TTL has expired. Rows of the feed expire in the order in
 * which they are announced, IN_ONE_MS of them at once. */
/* SPDX-License-Identifier: MIT */
#include "base/alloc.h"
#include "base/clock.h"
#include "base/crypto.h"
#include "base/error.h"
#include "doc/doc.h"
#include "doc/inventory.h"
#include "generate.h"
#include "store/store.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LIST = 200, IN_ONE_MS = 700 };

static const int64_t past_ms = 1767225600000; /* 2026-01-01: behind the dates of generate.h. */
static const int64_t far_ms = 4070908800000;  /* 2099. */

static struct pk_doc *make(const struct pk_collection *collection, const char *person, long number,
                           bool is_expired)
{
    const struct pk_generate how = { .seed = (uint64_t)number + (person ? 1000000 : 0),
                                     .is_full = number % 2 == 0,
                                     .person = person };
    int64_t expires_ms = is_expired ? past_ms : far_ms + number / IN_ONE_MS;
    bson_t whole;
    pk_generate_bson(collection, &how, &whole);
    bson_t *bson = bson_new();
    if (collection->ttl_path && (is_expired || collection->is_feed)) {
        bson_copy_to_excluding_noinit(&whole, bson, collection->ttl_path, NULL);
        BSON_APPEND_DATE_TIME(bson, collection->ttl_path, expires_ms);
    } else {
        bson_concat(bson, &whole);
    }
    bson_destroy(&whole);
    return pk_doc_take(bson);
}

/* False when the store does not take them. */
static bool plant(struct pk_store *store, const struct pk_collection *collection,
                  const char *person, long count, struct pk_error *err)
{
    for (long i = 0; i < count;) {
        PK_CLEANUP(pk_writes_done) struct pk_writes list = { 0 };
        for (; i < count && list.count < LIST; i++) {
            PK_CLEANUP(pk_doc_unrefp)
            struct pk_doc *doc = make(collection, person, i + 1, !person && i == 0 && count > 1);
            if (collection->is_feed) {
                pk_writes_announce(&list, doc);
            } else {
                pk_writes_insert(&list, collection->name, doc);
            }
        }
        if (!pk_store_commit(store, &list, 0, NULL, err)) {
            return pk_wrap(err, "plant '%s'", collection->name);
        }
    }
    return true;
}

/* Without names every collection is. */
static bool is_chosen(const char *name, int count, char **names)
{
    bool is_there = count == 0;
    for (int i = 0; i < count; i++) {
        is_there = is_there || strcmp(names[i], name) == 0;
    }
    return is_there;
}

int main(int argc, char **argv)
{
    struct pk_error err = { 0 };
    struct pk_store *store = NULL;
    const struct pk_inventory *inventory = pk_inventory_builtin();
    if (argc < 3) {
        (void)fprintf(stderr, "usage: plant URL COUNT [COLLECTION...]\n");
        return 2;
    }
    const struct pk_store_options options = { .url = argv[1],
                                              .inventory = inventory,
                                              .clock = pk_clock_system() };
    if (!pk_crypto_init(&err) || !pk_store_open(&store, &options, &err)) {
        (void)fprintf(stderr, "%s\n", err.message);
        return 1;
    }
    long all = 0;
    const char *person = getenv("PK_PLANT_PERSON");
    const long asked = strtol(argv[2], NULL, 10);
    for (size_t i = 0; i < inventory->count; i++) {
        const struct pk_collection *collection = &inventory->collection[i];
        const long count = person && collection->is_person_id ? 1 : asked;
        if (!is_chosen(collection->name, argc - 3, argv + 3) ||
            (person && collection->erase != PK_ERASE_DELETE)) {
            continue;
        }
        if (!plant(store, collection, person, count, &err)) {
            (void)fprintf(stderr, "%s\n", err.message);
            pk_store_close(store);
            return 1;
        }
        all += count;
    }
    (void)printf("%ld\n", all);
    pk_store_close(store);
    return 0;
}
