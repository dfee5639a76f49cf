/* plant.c - Fills a store for tests of commands: COUNT documents in every collection.
 *
 *     plant URL COUNT [COLLECTION...]
 *
 * prints the documents planted, in all; collections that take none are named
 * on standard error.
 *
 * Documents are made from the schema rows: every required field, and some more
 * with odd content. One document of each collection with a TTL has expired. */
/* SPDX-License-Identifier: MIT */
#include "base/alloc.h"
#include "base/clock.h"
#include "base/crypto.h"
#include "base/error.h"
#include "base/id.h"
#include "doc/doc.h"
#include "doc/inventory.h"
#include "store/store.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LIST = 200 };

#define FAR_MS  INT64_C(4070908800000) /* 2099. */
#define PAST_MS INT64_C(1500000000000) /* 2017. */

static void add_fields(bson_t *bson, const struct pk_schema *schema, long number, int depth);

static void make_text(const struct pk_field *field, long number, char out[80])
{
    uint8_t hash[PK_HASH_BYTES];
    switch (field->format) {
    case PK_FORMAT_UUID:
        (void)snprintf(out, 80, "%08lx-0000-4000-8000-%012lx", (unsigned long)number & 0xffffffff,
                       (unsigned long)number);
        return;
    case PK_FORMAT_SEMVER:
        (void)snprintf(out, 80, "1.%ld.0", number);
        return;
    case PK_FORMAT_TRAIT_PATH:
        (void)snprintf(out, 80, "work.t%ld", number);
        return;
    case PK_FORMAT_MODEL_VERSION:
        (void)snprintf(out, 80, "v_%014ld_abc", number);
        return;
    case PK_FORMAT_EMAIL:
        (void)snprintf(out, 80, "p%ld@example.org", number);
        return;
    case PK_FORMAT_HASH:
        pk_hash(hash, &number, sizeof(number), NULL, 0);
        pk_hex(out, hash, sizeof(hash));
        return;
    case PK_FORMAT_NONE:
    case PK_FORMAT_SCRIPT_ID:
    case PK_FORMAT_NAME:
        (void)snprintf(out, 80, "plant%ld", number);
        return;
    }
}

static void add_field(bson_t *bson, const char *name, const struct pk_field *field, long number,
                      int depth)
{
    static const uint8_t bytes[8] = { 0, 1, 2, 0xff };
    bson_t child;
    char text[80];
    switch (field->type) {
    case PK_TYPE_STRING:
        make_text(field, number, text);
        BSON_APPEND_UTF8(bson, name, field->allowed ? field->allowed[0] : text);
        return;
    case PK_TYPE_BOOL:
        BSON_APPEND_BOOL(bson, name, number % 2 == 0);
        return;
    case PK_TYPE_INT:
        BSON_APPEND_INT64(bson, name, (int64_t)field->min);
        return;
    case PK_TYPE_NUMBER:
        BSON_APPEND_DOUBLE(bson, name, field->max > 0 ? field->max / 3 : 1.0 / 3);
        return;
    case PK_TYPE_DATE:
        /* A lease that is over: the store is not in use. */
        BSON_APPEND_DATE_TIME(bson, name, strcmp(name, "leaseUntil") == 0 ? PAST_MS : FAR_MS);
        return;
    case PK_TYPE_OBJECT:
        BSON_APPEND_DOCUMENT_BEGIN(bson, name, &child);
        add_fields(&child, field->of, number, depth + 1);
        bson_append_document_end(bson, &child);
        return;
    case PK_TYPE_ARRAY:
        BSON_APPEND_ARRAY_BEGIN(bson, name, &child);
        for (long i = 0; i < (long)field->min; i++) {
            (void)snprintf(text, sizeof(text), "%ld", i);
            add_field(&child, text, field->item, number, depth + 1);
        }
        bson_append_array_end(bson, &child);
        return;
    case PK_TYPE_MAP:
    case PK_TYPE_FREE:
        BSON_APPEND_DOCUMENT_BEGIN(bson, name, &child);
        if (field->type == PK_TYPE_FREE) {
            BSON_APPEND_UTF8(&child, "z", "last\n\xc3\xa4\xf0\x9f\x98\x80");
            BSON_APPEND_DOUBLE(&child, "a", 0.1);
            BSON_APPEND_NULL(&child, "none");
        }
        bson_append_document_end(bson, &child);
        return;
    case PK_TYPE_BINARY:
        BSON_APPEND_BINARY(bson, name, BSON_SUBTYPE_BINARY, bytes, sizeof(bytes));
        return;
    }
}

static void add_fields(bson_t *bson, const struct pk_schema *schema, long number, int depth)
{
    for (size_t i = 0; schema && i < schema->count && depth < 8; i++) {
        const struct pk_field *field = &schema->field[i];
        bool is_wanted = (field->flags & PK_FIELD_REQUIRED) || field->type == PK_TYPE_FREE;
        if (is_wanted && strcmp(field->name, "_id") != 0) {
            add_field(bson, field->name, field, number, depth);
        }
    }
}

static struct pk_doc *make(const struct pk_collection *collection, long number, bool is_expired)
{
    const struct pk_schema *schema = collection->schema;
    bson_t *bson = bson_new();
    char id[80];
    struct pk_field row = { .type = PK_TYPE_STRING };
    for (size_t i = 0; i < schema->count; i++) {
        if (strcmp(schema->field[i].name, "_id") == 0) {
            row = schema->field[i];
        }
    }
    make_text(&row, number, id);
    BSON_APPEND_UTF8(bson, "_id", id);
    add_fields(bson, schema, number, 0);
    if (collection->ttl_path && !bson_has_field(bson, collection->ttl_path)) {
        BSON_APPEND_DATE_TIME(bson, collection->ttl_path, is_expired ? PAST_MS : FAR_MS);
    }
    return pk_doc_take(bson);
}

/* The documents planted: COUNT, or 0 when the store does not take them. */
static long plant(struct pk_store *store, const struct pk_collection *collection, long count)
{
    struct pk_error err = { 0 };
    for (long i = 0; i < count;) {
        PK_CLEANUP(pk_writes_done) struct pk_writes list = { 0 };
        for (; i < count && list.count < LIST; i++) {
            PK_CLEANUP(pk_doc_unrefp)
            struct pk_doc *doc = make(collection, i + 1, i == 0 && count > 1);
            if (collection->is_feed) {
                pk_writes_announce(&list, doc);
            } else {
                pk_writes_insert(&list, collection->name, doc);
            }
        }
        if (!pk_store_commit(store, &list, 0, NULL, &err)) {
            (void)fprintf(stderr, "%s: %s\n", collection->name, err.message);
            return 0;
        }
    }
    return count;
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
    for (size_t i = 0; i < inventory->count; i++) {
        const struct pk_collection *collection = &inventory->collection[i];
        if (is_chosen(collection->name, argc - 3, argv + 3)) {
            all += plant(store, collection, strtol(argv[2], NULL, 10));
        }
    }
    (void)printf("%ld\n", all);
    pk_store_close(store);
    return 0;
}
