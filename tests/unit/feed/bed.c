/* bed.c - See bed.h. */
/* SPDX-License-Identifier: MIT */
#include "bed.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/id.h"
#include "database.h"
#include "doc/doc.h"
#include "doc/inventory.h"

#include <bson/bson.h>
#include <mongoc/mongoc.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

static const struct pk_collection collections[] = {
    { .name = "events", .is_feed = true, .ttl_path = "expiresAt" },
};
static const struct pk_inventory inventory = { collections, PK_COUNT(collections), 1 };

static char *fresh_url(enum engine engine)
{
    char uuid[PK_UUID_TEXT];
    pk_uuid_new(uuid);
    if (engine == ENGINE_SQLITE) {
        char *folder = pk_strdupf("%s/%.8s", pk_test_folder(), uuid);
        assert_int_equal(mkdir(folder, 0700), 0);
        char *url = pk_strdupf("sqlite:%s", folder);
        pk_free(folder);
        return url;
    }
    return pk_test_database_lend(&inventory);
}

void bed_open(struct bed *bed, enum engine engine, const char *url)
{
    struct pk_error err = { 0 };
    bed->is_mongo = engine == ENGINE_MONGO;
    bed->url = url ? pk_strdup(url) : fresh_url(engine);
    if (!bed->url) {
        SKIP("PK_TEST_MONGODB names no replica set");
    }
    assert_ok(pk_store_open(&bed->store,
                            &(struct pk_store_options){ .url = bed->url,
                                                        .inventory = &inventory,
                                                        .clock = pk_clock_system() },
                            &err),
              &err);
}

void drop_feed(struct bed *bed)
{
    mongoc_uri_t *uri = mongoc_uri_new(bed->url);
    mongoc_client_t *client = mongoc_client_new_from_uri(uri);
    mongoc_database_t *database = mongoc_client_get_database(client, mongoc_uri_get_database(uri));
    bson_t *command = BCON_NEW("drop", "events");
    (void)mongoc_database_command_simple(database, command, NULL, NULL, NULL);
    bson_destroy(command);
    mongoc_database_destroy(database);
    mongoc_client_destroy(client);
    mongoc_uri_destroy(uri);
}

void bed_done(struct bed *bed)
{
    if (bed->is_mongo) {
        pk_test_database_return(bed->url, bed->store);
    } else {
        pk_store_close(bed->store);
        pk_free(bed->url);
    }
}

void announce(struct bed *bed, int number, struct pk_commit *out)
{
    PK_CLEANUP(pk_writes_done) struct pk_writes list = { 0 };
    bson_t *bson = bson_new();
    char id[PK_UUID_TEXT];
    struct pk_error err = { 0 };

    pk_uuid_new(id);
    BSON_APPEND_UTF8(bson, "_id", id);
    BSON_APPEND_INT32(bson, "number", number);
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *doc = pk_doc_take(bson);
    pk_writes_announce(&list, doc);
    assert_ok(pk_store_commit(bed->store, &list,
                              pk_deadline_in_ms(pk_clock_system(), PK_TEST_PATIENCE_MS), out, &err),
              &err);
}

void heard_init(struct heard *heard)
{
    pthread_condattr_t attributes;
    memset(heard, 0, sizeof(*heard));
    (void)pthread_mutex_init(&heard->lock, NULL);
    (void)pthread_condattr_init(&attributes);
    (void)pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&heard->moved, &attributes);
    (void)pthread_condattr_destroy(&attributes);
}

void heard_listen(void *context, const struct pk_feed_item *item)
{
    struct heard *heard = context;
    (void)pthread_mutex_lock(&heard->lock);
    if (item->kind == PK_FEED_EVENT && heard->events < PK_COUNT(heard->number)) {
        heard->number[heard->events++] = (int)pk_doc_int(item->doc, "number", -1);
    }
    heard->gaps += item->kind == PK_FEED_GAP;
    heard->quiet += item->kind == PK_FEED_QUIET;
    (void)pthread_cond_broadcast(&heard->moved);
    (void)pthread_mutex_unlock(&heard->lock);
}

void heard_wake(void *context)
{
    struct heard *heard = context;
    (void)pthread_mutex_lock(&heard->lock);
    heard->woken++;
    (void)pthread_cond_broadcast(&heard->moved);
    (void)pthread_mutex_unlock(&heard->lock);
}

void await_count(struct heard *heard, const size_t *count, size_t least, int64_t ms)
{
    struct timespec until;
    int code = 0;
    (void)clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += (time_t)(ms / 1000) + 1;
    (void)pthread_mutex_lock(&heard->lock);
    while (*count < least && code == 0) {
        code = pthread_cond_timedwait(&heard->moved, &heard->lock, &until);
    }
    const size_t now = *count;
    (void)pthread_mutex_unlock(&heard->lock);
    if (now < least) {
        fail_msg("%zu of %zu came within %lld ms", now, least, (long long)ms);
    }
}

size_t read_count(struct heard *heard, const size_t *count)
{
    (void)pthread_mutex_lock(&heard->lock);
    const size_t now = *count;
    (void)pthread_mutex_unlock(&heard->lock);
    return now;
}
