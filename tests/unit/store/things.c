/* things.c - The inventory of things.h. */
/* SPDX-License-Identifier: MIT */
#include "things.h"

#include "base/alloc.h"
#include "base/buf.h"
#include "base/clock.h"
#include "doc/doc.h"
#include "test.h"

#include <stdio.h>
#include <string.h>

static const struct pk_field tag_item = { .type = PK_TYPE_STRING };
static const struct pk_field usage_field[] = {
    { .name = "by", .type = PK_TYPE_STRING, .flags = PK_FIELD_REQUIRED },
    { .name = "times", .type = PK_TYPE_INT },
};
static const struct pk_schema usage_schema = { .name = "Usage",
                                               .field = usage_field,
                                               .count = PK_COUNT(usage_field) };
static const struct pk_field thing_field[] = {
    { .name = "_id", .type = PK_TYPE_STRING, .flags = PK_FIELD_REQUIRED },
    { .name = "owner", .type = PK_TYPE_STRING },
    { .name = "name", .type = PK_TYPE_STRING },
    { .name = "slot", .type = PK_TYPE_STRING },
    { .name = "status", .type = PK_TYPE_STRING },
    { .name = "at", .type = PK_TYPE_DATE },
    { .name = "size", .type = PK_TYPE_NUMBER },
    { .name = "uses", .type = PK_TYPE_INT },
    { .name = "expiresAt", .type = PK_TYPE_DATE },
    { .name = "tags", .type = PK_TYPE_ARRAY, .item = &tag_item },
    { .name = "metadata", .type = PK_TYPE_FREE },
    { .name = "level", .type = PK_TYPE_INT, .min = 0, .max = 10 },
    { .name = "served", .type = PK_TYPE_INT, .min = 0, .max = 9007199254740991.0 },
    { .name = "usage", .type = PK_TYPE_OBJECT, .of = &usage_schema },
};
static const struct pk_schema thing_schema = {
    .name = "Thing", .field = thing_field, .count = PK_COUNT(thing_field), .is_open = true
};

#define BY_OWNER                                                                          \
    {                                                                                     \
        .name = "by_owner", .key = { { "owner", false }, { "at", true } }, .key_count = 2 \
    }
#define REST                                                                                   \
    { .name = "by_name",                                                                       \
      .key = { { "name", false } },                                                            \
      .key_count = 1,                                                                          \
      .is_unique = true,                                                                       \
      .only = PK_ONLY_EXISTS,                                                                  \
      .only_path = "name" },                                                                   \
        { .name = "by_slot",                                                                   \
          .key = { { "slot", false } },                                                        \
          .key_count = 1,                                                                      \
          .is_unique = true,                                                                   \
          .only = PK_ONLY_TEXT,                                                                \
          .only_path = "status",                                                               \
          .only_text = "active" },                                                             \
        { .name = "by_tag", .key = { { "tags[]", false }, { "at", false } }, .key_count = 2 }, \
    {                                                                                          \
        .name = "by_metadata", .key = { { "metadata.*", false } }, .key_count = 1              \
    }

static const struct pk_index thing_index[] = { BY_OWNER, REST };
static const struct pk_index thing_index_2[] = {
    BY_OWNER, REST, { .name = "by_size", .key = { { "size", false } }, .key_count = 1 }
};
static const struct pk_index thing_index_other[] = {
    { .name = "by_owner", .key = { { "owner", false }, { "at", false } }, .key_count = 2 }, REST
};

#define COLLECTIONS(index_table)                                            \
    {                                                                       \
        { .name = "things",                                                 \
          .schema = &thing_schema,                                          \
          .index = (index_table),                                           \
          .index_count = PK_COUNT(index_table),                             \
          .ttl_path = "expiresAt",                                          \
          .is_guarded = true },                                             \
            { .name = "events", .ttl_path = "expiresAt", .is_feed = true }, \
        {                                                                   \
            .name = "plain"                                                 \
        }                                                                   \
    }

static const struct pk_collection collection[] = COLLECTIONS(thing_index);
static const struct pk_collection collection_2[] = COLLECTIONS(thing_index_2);
static const struct pk_collection collection_other[] = COLLECTIONS(thing_index_other);

const struct pk_inventory *things_inventory(void)
{
    static const struct pk_inventory inventory = { collection, PK_COUNT(collection), 1 };
    return &inventory;
}

const struct pk_inventory *things_inventory_2(void)
{
    static const struct pk_inventory inventory = { collection_2, PK_COUNT(collection_2), 2 };
    return &inventory;
}

const struct pk_inventory *things_inventory_other(void)
{
    static const struct pk_inventory inventory = { collection_other, PK_COUNT(collection_other),
                                                   1 };
    return &inventory;
}

static void add_text(bson_t *bson, const char *key, const char *text)
{
    if (text) {
        BSON_APPEND_UTF8(bson, key, text);
    }
}

struct pk_doc *thing_new(struct thing thing)
{
    bson_t bson = BSON_INITIALIZER;
    bson_t tags;
    add_text(&bson, "_id", thing.id);
    add_text(&bson, "owner", thing.owner);
    add_text(&bson, "name", thing.name);
    add_text(&bson, "slot", thing.slot);
    add_text(&bson, "status", thing.status);
    if (thing.at) {
        BSON_APPEND_DATE_TIME(&bson, "at", thing.at);
    }
    if (thing.expires_at) {
        BSON_APPEND_DATE_TIME(&bson, "expiresAt", thing.expires_at);
    }
    if (thing.size) {
        BSON_APPEND_INT64(&bson, "size", thing.size);
    }
    if (thing.tag) {
        BSON_APPEND_ARRAY_BEGIN(&bson, "tags", &tags);
        BSON_APPEND_UTF8(&tags, "0", thing.tag);
        add_text(&tags, "1", thing.tag2);
        bson_append_array_end(&bson, &tags);
    }
    return pk_doc_take(&bson);
}

struct pk_store *things_open(const char *folder)
{
    PK_CLEANUP(pk_freep) char *url = pk_strdupf("sqlite:%s", folder);
    const struct pk_store_options options = { .url = url,
                                              .inventory = things_inventory(),
                                              .clock = pk_clock_system() };
    struct pk_error err;
    struct pk_store *store = NULL;
    assert_ok(pk_store_open(&store, &options, &err), &err);
    return store;
}

static int64_t commit_thing(struct pk_store *store, struct thing thing, int64_t version)
{
    struct pk_writes list = { 0 };
    struct pk_error err;
    struct pk_doc *doc = thing_new(thing);
    if (version) {
        pk_writes_replace(&list, "things", doc, version);
    } else {
        pk_writes_insert(&list, "things", doc);
    }
    assert_ok(pk_store_commit(store, &list, 0, NULL, &err), &err);
    const int64_t written = list.write[0].version;
    pk_doc_unref(doc);
    pk_writes_done(&list);
    return written;
}

int64_t things_insert(struct pk_store *store, struct thing thing)
{
    return commit_thing(store, thing, 0);
}

int64_t things_replace(struct pk_store *store, struct thing thing, int64_t version)
{
    return commit_thing(store, thing, version);
}

const char *things_ids(const struct pk_page *page)
{
    static char text[4096];
    text[0] = 0;
    for (size_t i = 0; i < page->count; i++) {
        const size_t used = strlen(text);
        (void)snprintf(text + used, sizeof(text) - used, "%s%s", i ? " " : "",
                       pk_doc_id(page->doc[i]));
    }
    return text;
}

bool things_try(struct pk_store *store, struct thing thing, struct pk_commit *commit,
                struct pk_error *err)
{
    struct pk_writes list = { 0 };
    struct pk_doc *doc = thing_new(thing);
    pk_writes_insert(&list, "things", doc);
    const bool ok = pk_store_commit(store, &list, 0, commit, err);
    pk_doc_unref(doc);
    pk_writes_done(&list);
    return ok;
}

int64_t things_version(struct pk_store *store, const char *id)
{
    struct pk_doc *doc;
    struct pk_error err;
    assert_ok(pk_store_get(store, "things", id, 0, &doc, &err), &err);
    const int64_t version = doc ? pk_doc_version(doc) : 0;
    pk_doc_unref(doc);
    return version;
}

/* All pages of a query, one after the other, as ids. */
char *things_walk(struct pk_store *store, struct pk_query query, size_t limit)
{
    struct pk_buf ids = { 0 };
    PK_CLEANUP(pk_freep) char *cursor = NULL;
    struct pk_error err;
    query.limit = limit;
    pk_buf_add_text(&ids, "");
    do {
        struct pk_page page;
        query.cursor = cursor;
        assert_ok(pk_store_find(store, &query, 0, &page, &err), &err);
        if (page.count) {
            pk_buf_printf(&ids, "%s%s", ids.size ? " " : "", things_ids(&page));
        }
        pk_free(cursor);
        cursor = page.next;
        page.next = NULL;
        pk_page_done(&page);
    } while (cursor);
    char *text = pk_strdup(pk_buf_text(&ids));
    pk_buf_done(&ids);
    return text;
}

void things_assert_walk(struct pk_store *store, struct pk_query query, const char *ids)
{
    for (size_t limit = 1; limit <= 7; limit++) {
        PK_CLEANUP(pk_freep) char *is = things_walk(store, query, limit);
        assert_string_equal(is, ids);
    }
}
