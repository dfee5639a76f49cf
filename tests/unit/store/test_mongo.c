/* test_mongo.c - What only the MongoDB engine can get wrong.
 *
 * PK_TEST_MONGODB is the URL of a replica set that was started with
 * enableTestCommands=1; without it every case is skipped. Each case works in a
 * database of its own, dropped at its end. Faults are the server's own
 * failpoints, switched off again by the case's cleanup. */
/* SPDX-License-Identifier: MIT */
#include "base/alloc.h"
#include "base/clock.h"
#include "base/id.h"
#include "doc/doc.h"
#include "store/mongo_internal.h"
#include "test.h"

#include <stdlib.h>
#include <string.h>

/* ---- A small inventory ---- */

static const struct pk_index notes_index[] = {
    { .name = "by_user",
      .key = { { .path = "user" }, { .path = "at", .is_descending = true } },
      .key_count = 2 },
    { .name = "by_tag", .key = { { .path = "tags[]" }, { .path = "at" } }, .key_count = 2 },
    { .name = "by_metadata", .key = { { .path = "metadata.*" } }, .key_count = 1 },
    { .name = "one_slug", .key = { { .path = "slug" } }, .key_count = 1, .is_unique = true },
    { .name = "done_by_user",
      .key = { { .path = "user" } },
      .key_count = 1,
      .only = PK_ONLY_TRUE,
      .only_path = "done" },
};
static const struct pk_index brief_index[] = {
    { .name = "by_expiry", .key = { { .path = "expiresAt" } }, .key_count = 1 },
};
static const struct pk_index moved_index[] = {
    { .name = "by_user", .key = { { .path = "user" } }, .key_count = 1 },
};
#define INDEXES(array) .index = (array), .index_count = PK_COUNT(array)
#define OTHERS                                                           \
    { .name = "briefs", INDEXES(brief_index), .ttl_path = "expiresAt" }, \
        { .name = "locks", .is_guarded = true, .ttl_path = "until" },    \
    {                                                                    \
        .name = "events", .is_feed = true, .ttl_path = "expiresAt"       \
    }
static const struct pk_collection collections[] = {
    { .name = "notes", INDEXES(notes_index) },
    OTHERS,
};
static const struct pk_collection moved_collections[] = {
    { .name = "notes", INDEXES(moved_index) },
    OTHERS,
};
static const struct pk_inventory inventory = { collections, PK_COUNT(collections), 1 };
static const struct pk_inventory second_inventory = { collections, PK_COUNT(collections), 2 };
static const struct pk_inventory moved_inventory = { moved_collections, PK_COUNT(moved_collections),
                                                     1 };

/* ---- The bed ---- */

struct bed {
    struct pk_store *store;
    char *url;
    char database[64];
};

static void run_admin(struct bed *bed, const char *database, const char *json)
{
    bson_error_t error;
    bson_t command;
    char *text = pk_strdup(json);
    for (char *c = text; *c; c++) {
        *c = *c == '\'' ? '"' : *c;
    }
    if (!bson_init_from_json(&command, text, -1, &error)) {
        fail_msg("%s: %s", text, error.message);
    }
    pk_free(text);
    mongoc_client_t *client = mongo_pop(mongo_of(bed->store), NULL);
    const bool ok = mongoc_client_command_simple(client, database, &command, NULL, NULL, &error);
    mongo_push(mongo_of(bed->store), client);
    bson_destroy(&command);
    if (!ok) {
        fail_msg("%s: %s", json, error.message);
    }
}

/* A case that failed before its end has left its fault on. */
static void end_faults(const char *url)
{
    mongo_init_once();
    mongoc_client_t *client = mongoc_client_new(url);
    bson_t *command = BCON_NEW("configureFailPoint", "failCommand", "mode", "off");
    (void)mongoc_client_command_simple(client, "admin", command, NULL, NULL, NULL);
    bson_destroy(command);
    mongoc_client_destroy(client);
}

static void bed_open(struct bed *bed)
{
    const char *url = getenv("PK_TEST_MONGODB");
    struct pk_error err = { 0 };
    char uuid[PK_UUID_TEXT];
    if (!url) {
        SKIP("PK_TEST_MONGODB names no replica set");
    }
    end_faults(url);
    pk_uuid_new(uuid);
    (void)snprintf(bed->database, sizeof(bed->database), "unit_%.8s", uuid);
    const size_t hosts = strcspn(url + strlen("mongodb://"), "/?") + strlen("mongodb://");
    const char *options = strchr(url, '?');
    bed->url = pk_strdupf("%.*s/%s%s", (int)hosts, url, bed->database, options ? options : "");
    assert_ok(pk_store_open(&bed->store,
                            &(struct pk_store_options){ .url = bed->url,
                                                        .inventory = &inventory,
                                                        .clock = pk_clock_system() },
                            &err),
              &err);
}

static void bed_done(struct bed *bed)
{
    if (bed->store) {
        run_admin(bed, "admin", "{'configureFailPoint':'failCommand','mode':'off'}");
        run_admin(bed, bed->database, "{'dropDatabase':1}");
        pk_store_close(bed->store);
    }
    pk_free(bed->url);
}
#define BED(name)                                 \
    PK_CLEANUP(bed_done) struct bed name = { 0 }; \
    bed_open(&name)

static int64_t in_ms(int64_t ms)
{
    return pk_deadline_in_ms(pk_clock_system(), ms);
}

static struct pk_doc *json_doc(const char *json)
{
    bson_error_t error;
    bson_t bson;
    char *text = pk_strdup(json);
    for (char *c = text; *c; c++) {
        *c = *c == '\'' ? '"' : *c;
    }
    if (!bson_init_from_json(&bson, text, -1, &error)) {
        fail_msg("%s: %s", text, error.message);
    }
    pk_free(text);
    return pk_doc_take(&bson);
}

static bool write_one(struct bed *bed, const char *collection, const char *json,
                      int64_t deadline_ns, struct pk_commit *out, struct pk_error *err)
{
    PK_CLEANUP(pk_writes_done) struct pk_writes list = { 0 };
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *doc = json_doc(json);
    if (collection) {
        pk_writes_insert(&list, collection, doc);
    } else {
        pk_writes_announce(&list, doc);
    }
    return pk_store_commit(bed->store, &list, deadline_ns, out, err);
}

static bool is_there(struct bed *bed, const char *collection, const char *id)
{
    struct pk_error err = { 0 };
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *doc = NULL;
    assert_ok(pk_store_get(bed->store, collection, id, in_ms(10000), &doc, &err), &err);
    return doc != NULL;
}

static uint64_t groups_of(struct bed *bed)
{
    struct pk_store_stats stats;
    pk_store_stats(bed->store, &stats);
    return stats.groups;
}

/* ---- Indexes ---- */

static bool find_index(struct bed *bed, const char *collection, const char *name, bson_t *out)
{
    struct mongo *mongo = mongo_of(bed->store);
    mongoc_client_t *client = mongo_pop(mongo, NULL);
    mongoc_collection_t *handle = mongoc_client_get_collection(client, mongo->database, collection);
    mongoc_cursor_t *cursor = mongoc_collection_find_indexes_with_opts(handle, NULL);
    const bson_t *index = NULL;
    bool is_found = false;
    while (!is_found && mongoc_cursor_next(cursor, &index)) {
        bson_iter_t iter;
        if (bson_iter_init_find(&iter, index, "name") &&
            strcmp(bson_iter_utf8(&iter, NULL), name) == 0) {
            bson_copy_to(index, out);
            is_found = true;
        }
    }
    mongoc_cursor_destroy(cursor);
    mongoc_collection_destroy(handle);
    mongo_push(mongo, client);
    return is_found;
}

static void expect_index(struct bed *bed, const char *collection, const char *name,
                         const char *part)
{
    bson_t index;
    if (!find_index(bed, collection, name, &index)) {
        fail_msg("'%s' has no index '%s'", collection, name);
    }
    char *text = bson_as_relaxed_extended_json(&index, NULL);
    bson_destroy(&index);
    if (!strstr(text, part)) {
        fail_msg("index '%s' is %s, without %s", name, text, part);
    }
    bson_free(text);
}

TEST(declared_indexes_are_made_with_tie_breaker_ttl_and_conditions)
{
    BED(bed);
    expect_index(&bed, "notes", "by_user", "{ \"user\" : 1, \"at\" : -1, \"_id\" : 1 }");
    expect_index(&bed, "notes", "by_tag", "{ \"tags\" : 1, \"at\" : 1, \"_id\" : 1 }");
    expect_index(&bed, "notes", "by_metadata", "{ \"metadata.$**\" : 1 }");
    expect_index(&bed, "notes", "one_slug", "\"unique\" : true");
    expect_index(&bed, "notes", "done_by_user",
                 "\"partialFilterExpression\" : { \"done\" : true }");
    expect_index(&bed, "briefs", "by_expiry", "{ \"expiresAt\" : 1 }");
    expect_index(&bed, "briefs", "by_expiry", "\"expireAfterSeconds\" : 0");
    expect_index(&bed, "locks", "ttl", "\"expireAfterSeconds\" : 0");
}

static bool open_again(struct bed *bed, const struct pk_inventory *with, bool is_upgrade_allowed,
                       struct pk_error *err)
{
    struct pk_store *store = NULL;
    const bool ok =
        pk_store_open(&store,
                      &(struct pk_store_options){ .url = bed->url,
                                                  .inventory = with,
                                                  .clock = pk_clock_system(),
                                                  .is_upgrade_allowed = is_upgrade_allowed },
                      err);
    if (ok) {
        pk_store_close(store);
    }
    return ok;
}

TEST(an_index_that_differs_stops_the_start_and_is_named_as_it_is_and_as_declared)
{
    struct pk_error err = { 0 };
    BED(bed);
    assert_true(open_again(&bed, &inventory, false, &err));
    assert_false(open_again(&bed, &moved_inventory, false, &err));
    assert_int_equal(err.code, PK_CONFLICT);
    assert_non_null(strstr(err.message, "'by_user' of 'notes' is {\"key\":{\"user\":1,\"at\":-1"));
    assert_non_null(strstr(err.message, "should be 'by_user' {\"key\":{\"user\":1,\"_id\":1}}"));
    expect_index(&bed, "notes", "by_user", "\"at\" : -1"); /* Untouched. */
}

TEST(a_foreign_index_is_left_alone_and_a_dropped_one_is_made_again)
{
    struct pk_error err = { 0 };
    BED(bed);
    run_admin(&bed, bed.database,
              "{'createIndexes':'notes','indexes':[{'key':{'foreign':1},'name':'foreign'}]}");
    run_admin(&bed, bed.database, "{'dropIndexes':'notes','index':'by_user'}");
    assert_ok(open_again(&bed, &inventory, false, &err), &err);
    expect_index(&bed, "notes", "foreign", "foreign");
    expect_index(&bed, "notes", "by_user", "\"at\" : -1");
}

TEST(an_older_store_waits_for_permission_and_a_newer_one_is_refused)
{
    struct pk_error err = { 0 };
    BED(bed);
    assert_false(open_again(&bed, &second_inventory, false, &err));
    assert_int_equal(err.code, PK_PRECONDITION);
    assert_ok(open_again(&bed, &second_inventory, true, &err), &err);
    assert_false(open_again(&bed, &inventory, true, &err));
    assert_int_equal(err.code, PK_UNSUPPORTED);
    assert_non_null(strstr(err.message, "schema version 2"));
    assert_non_null(strstr(err.message, "knows 1"));
}

/* ---- Plans ---- */

static void explain(struct bed *bed, const struct pk_query *query, const struct pk_after *after,
                    const char *index_name, bool may_sort)
{
    struct mongo *mongo = mongo_of(bed->store);
    const struct pk_collection *collection = pk_inventory_find(&inventory, query->collection);
    const struct pk_index *index = pk_collection_index(collection, query->index);
    bson_t filter = BSON_INITIALIZER;
    bson_t opts = BSON_INITIALIZER;
    bson_t command = BSON_INITIALIZER;
    bson_t find;
    bson_t reply;
    bson_error_t error;

    mongo_find_build(collection, index, query, after, mongo_now_ms(mongo), &filter, &opts);
    BSON_APPEND_DOCUMENT_BEGIN(&command, "explain", &find);
    BSON_APPEND_UTF8(&find, "find", query->collection);
    BSON_APPEND_DOCUMENT(&find, "filter", &filter);
    bson_concat(&find, &opts);
    bson_append_document_end(&command, &find);
    BSON_APPEND_UTF8(&command, "verbosity", "queryPlanner");
    mongoc_client_t *client = mongo_pop(mongo, NULL);
    const bool ok =
        mongoc_client_command_simple(client, mongo->database, &command, NULL, &reply, &error);
    mongo_push(mongo, client);
    if (!ok) {
        fail_msg("explain %s: %s", query->index, error.message);
    }
    bson_iter_t iter;
    bson_iter_t plan;
    assert_true(bson_iter_init(&iter, &reply));
    assert_true(bson_iter_find_descendant(&iter, "queryPlanner.winningPlan", &plan));
    const uint8_t *data = NULL;
    uint32_t size = 0;
    bson_t view;
    bson_iter_document(&plan, &size, &data);
    assert_true(bson_init_static(&view, data, size));
    char *text = bson_as_relaxed_extended_json(&view, NULL);
    char *used = pk_strdupf("\"indexName\" : \"%s\"", index_name);
    if (!strstr(text, used) || strstr(text, "COLLSCAN") ||
        (!may_sort && strstr(text, "\"SORT\""))) {
        fail_msg("%s is read by %s", query->index, text);
    }
    pk_free(used);
    bson_free(text);
    bson_destroy(&reply);
    bson_destroy(&command);
    bson_destroy(&filter);
    bson_destroy(&opts);
}

TEST(pages_come_from_their_index_and_are_never_sorted)
{
    BED(bed);
    struct pk_after start = { 0 };
    struct pk_after behind = {
        .is_set = true, .key = { PK_DATE(7) }, .key_count = 1, .id = (char *)(uintptr_t) "x"
    };
    for (int is_reversed = 0; is_reversed < 2; is_reversed++) {
        for (int has_range = 0; has_range < 2; has_range++) {
            struct pk_query query = { .collection = "notes",
                                      .index = "by_user",
                                      .equal = { PK_TEXT("u") },
                                      .equal_count = 1,
                                      .is_reversed = is_reversed,
                                      .limit = 10 };
            if (has_range) {
                query.min = (struct pk_bound){ .is_set = true, .value = PK_DATE(5) };
                query.max =
                    (struct pk_bound){ .is_set = true, .is_exclusive = true, .value = PK_DATE(9) };
            }
            explain(&bed, &query, &start, "by_user", false);
            explain(&bed, &query, &behind, "by_user", false);
            query.index = "by_tag";
            explain(&bed, &query, &start, "by_tag", false);
            explain(&bed, &query, &behind, "by_tag", false);
        }
    }
    struct pk_query done = { .collection = "notes", .index = "done_by_user", .limit = 10 };
    explain(&bed, &done, &start, "done_by_user", false);
    struct pk_query slug = { .collection = "notes", .index = "one_slug", .limit = 10 };
    explain(&bed, &slug, &start, "one_slug.all", false);
    struct pk_after slug_behind = {
        .is_set = true, .key = { PK_TEXT("s") }, .key_count = 1, .id = (char *)(uintptr_t) "x"
    };
    explain(&bed, &slug, &slug_behind, "one_slug.all", false);
    struct pk_query wild = { .collection = "notes",
                             .index = "by_metadata",
                             .below = "a.b",
                             .equal = { PK_INT(1) },
                             .equal_count = 1,
                             .limit = 10 };
    explain(&bed, &wild, &start, "by_metadata", true);
}

/* ---- Outcomes ---- */

TEST(a_commit_without_an_answer_is_committed_again_and_nothing_is_written_twice)
{
    struct pk_error err = { 0 };
    struct pk_commit out;
    BED(bed);
    /* Thrice, so that the driver's own second try is not enough. */
    run_admin(&bed, "admin",
              "{'configureFailPoint':'failCommand','mode':{'times':3},'data':{'failCommands':"
              "['commitTransaction'],'closeConnection':true,'appName':'personakit'}}");
    assert_ok(write_one(&bed, "notes", "{'_id':'a','user':'u'}", in_ms(10000), &out, &err), &err);
    assert_true(is_there(&bed, "notes", "a"));
    assert_int_equal(groups_of(&bed), 1);
}

TEST(a_commit_that_is_never_answered_is_unknown_and_is_not_run_again)
{
    struct pk_error err = { 0 };
    struct pk_commit out;
    BED(bed);
    run_admin(&bed, "admin",
              "{'configureFailPoint':'failCommand','mode':'alwaysOn','data':{'failCommands':"
              "['commitTransaction'],'closeConnection':true,'appName':'personakit'}}");
    assert_false(write_one(&bed, "notes", "{'_id':'a','user':'u'}", in_ms(500), &out, &err));
    assert_int_equal(err.code, PK_UNKNOWN);
    run_admin(&bed, "admin", "{'configureFailPoint':'failCommand','mode':'off'}");
    struct pk_store_stats stats;
    pk_store_stats(bed.store, &stats);
    assert_int_equal(stats.unknowns, 1);
    assert_int_equal(stats.groups, 0);
    /* The server holds it open for a minute, unless the next group ends it. */
    assert_ok(
        write_one(&bed, "notes", "{'_id':'a','user':'u','slug':'s'}", in_ms(5000), &out, &err),
        &err);
}

TEST(a_majority_that_has_not_confirmed_is_not_success)
{
    struct pk_error err = { 0 };
    struct pk_commit out;
    BED(bed);
    run_admin(&bed, "admin",
              "{'configureFailPoint':'failCommand','mode':'alwaysOn','data':{'failCommands':"
              "['commitTransaction'],'writeConcernError':{'code':64,'errmsg':'waiting for "
              "replication timed out'},'appName':'personakit'}}");
    assert_false(write_one(&bed, "notes", "{'_id':'a','user':'u'}", in_ms(500), &out, &err));
    assert_int_equal(err.code, PK_UNKNOWN);
}

TEST(a_transaction_that_the_server_aborted_is_run_again)
{
    struct pk_error err = { 0 };
    struct pk_commit out;
    BED(bed);
    run_admin(&bed, "admin",
              "{'configureFailPoint':'failCommand','mode':{'times':2},'data':{'failCommands':"
              "['insert'],'errorCode':112,'errorLabels':['TransientTransactionError'],"
              "'appName':'personakit'}}");
    assert_ok(write_one(&bed, "notes", "{'_id':'a','user':'u'}", in_ms(10000), &out, &err), &err);
    run_admin(&bed, "admin",
              "{'configureFailPoint':'failCommand','mode':{'times':1},'data':{'failCommands':"
              "['commitTransaction'],'errorCode':251,'errorLabels':['TransientTransactionError'],"
              "'appName':'personakit'}}");
    assert_ok(write_one(&bed, "notes", "{'_id':'b','user':'u'}", in_ms(10000), &out, &err), &err);
    assert_true(is_there(&bed, "notes", "a") && is_there(&bed, "notes", "b"));
}

TEST(a_server_that_goes_before_the_commit_is_tried_until_the_deadline_and_then_nothing_is_done)
{
    struct pk_error err = { 0 };
    struct pk_commit out;
    BED(bed);
    run_admin(&bed, "admin",
              "{'configureFailPoint':'failCommand','mode':'alwaysOn','data':{'failCommands':"
              "['insert'],'closeConnection':true,'appName':'personakit'}}");
    assert_false(write_one(&bed, "notes", "{'_id':'a','user':'u'}", in_ms(500), &out, &err));
    assert_int_equal(err.code, PK_UNAVAILABLE);
    run_admin(&bed, "admin",
              "{'configureFailPoint':'failCommand','mode':{'times':1},'data':{'failCommands':"
              "['insert'],'closeConnection':true,'appName':'personakit'}}");
    assert_false(is_there(&bed, "notes", "a"));
    assert_ok(write_one(&bed, "notes", "{'_id':'a','user':'u'}", in_ms(10000), &out, &err), &err);
}

/* ---- The feed ---- */

static struct pk_feed *follow(struct bed *bed, const char *position)
{
    struct pk_feed *feed = NULL;
    struct pk_error err = { 0 };
    assert_ok(pk_feed_open(&feed, bed->store, position, &err), &err);
    return feed;
}

/* The next item that is not QUIET. */
static void next_item(struct pk_feed *feed, struct pk_feed_item *out)
{
    struct pk_error err = { 0 };
    const int64_t until_ns = in_ms(10000);
    do {
        assert_false(pk_deadline_passed(pk_clock_system(), until_ns));
        assert_ok(pk_feed_next(feed, 100, out, &err), &err);
    } while (out->kind == PK_FEED_QUIET);
}

static void expect_event(struct pk_feed *feed, const char *id, char position[PK_POSITION_TEXT])
{
    struct pk_feed_item item;
    next_item(feed, &item);
    assert_int_equal(item.kind, PK_FEED_EVENT);
    assert_string_equal(pk_doc_id(item.doc), id);
    if (position) {
        (void)snprintf(position, PK_POSITION_TEXT, "%s", item.position);
    }
    pk_doc_unref(item.doc);
}

static void announce_three(struct bed *bed, struct pk_commit *out)
{
    struct pk_error err = { 0 };
    PK_CLEANUP(pk_writes_done) struct pk_writes list = { 0 };
    static const char *const json[] = { "{'_id':'e1'}", "{'_id':'e2'}", "{'_id':'e3'}" };
    for (size_t i = 0; i < PK_COUNT(json); i++) {
        PK_CLEANUP(pk_doc_unrefp) struct pk_doc *doc = json_doc(json[i]);
        pk_writes_announce(&list, doc);
    }
    assert_ok(pk_store_commit(bed->store, &list, in_ms(10000), out, &err), &err);
}

TEST(a_commits_operation_time_is_the_cluster_time_of_its_rows)
{
    struct pk_commit out;
    char position[PK_POSITION_TEXT];
    unsigned seconds = 0;
    unsigned increment = 0;
    char expected[32];
    BED(bed);
    struct pk_feed *feed = follow(&bed, NULL);
    announce_three(&bed, &out);
    const char *rest = out.cursor + strlen(pk_store_epoch(bed.store)) + 1;
    assert_int_equal(sscanf(rest, "t%u.%u", &seconds, &increment), 2);
    (void)snprintf(expected, sizeof(expected), ".82%08X%08X", seconds, increment);
    static const char *const id[] = { "e1", "e2", "e3" };
    for (size_t i = 0; i < PK_COUNT(id); i++) {
        expect_event(feed, id[i], position);
        assert_int_equal(
            strncmp(position + strlen(pk_store_epoch(bed.store)), expected, strlen(expected)), 0);
    }
    pk_feed_close(feed);
}

TEST(the_feed_resumes_in_the_middle_of_a_transaction)
{
    struct pk_commit out;
    char position[PK_POSITION_TEXT];
    BED(bed);
    struct pk_feed *feed = follow(&bed, NULL);
    announce_three(&bed, &out);
    expect_event(feed, "e1", position);
    pk_feed_close(feed);
    feed = follow(&bed, position);
    expect_event(feed, "e2", NULL);
    expect_event(feed, "e3", NULL);
    pk_feed_close(feed);
}

static bool has_passed(struct pk_feed *feed, const char *cursor)
{
    struct pk_error err = { 0 };
    bool is_passed = false;
    assert_ok(pk_feed_has_passed(feed, cursor, &is_passed, &err), &err);
    return is_passed;
}

TEST(a_feed_passes_a_commit_only_behind_its_last_row)
{
    struct pk_commit out;
    struct pk_error err = { 0 };
    struct pk_feed_item item;
    BED(bed);
    struct pk_feed *feed = follow(&bed, NULL);
    announce_three(&bed, &out);
    expect_event(feed, "e1", NULL);
    assert_false(has_passed(feed, out.cursor));
    expect_event(feed, "e2", NULL);
    expect_event(feed, "e3", NULL);
    assert_ok(pk_feed_next(feed, 50, &item, &err), &err);
    assert_int_equal(item.kind, PK_FEED_QUIET);
    assert_true(has_passed(feed, out.cursor));
    pk_feed_close(feed);
}

TEST(a_barrier_moves_a_feed_past_a_commit_that_announced_nothing)
{
    struct pk_commit out;
    struct pk_error err = { 0 };
    struct pk_feed_item item;
    BED(bed);
    struct pk_feed *feed = follow(&bed, NULL);
    assert_ok(write_one(&bed, "notes", "{'_id':'a','user':'u'}", in_ms(10000), &out, &err), &err);
    assert_false(has_passed(feed, out.cursor));
    assert_ok(pk_store_barrier(bed.store, &err), &err);
    assert_ok(pk_feed_next(feed, 10000, &item, &err), &err);
    assert_int_equal(item.kind, PK_FEED_QUIET); /* It is no event. */
    assert_true(has_passed(feed, out.cursor));
    struct pk_page page;
    struct pk_query query = { .collection = "events", .index = "_id" };
    assert_ok(pk_store_find(bed.store, &query, 0, &page, &err), &err);
    assert_int_equal(page.count, 0);
    pk_page_done(&page);
    pk_feed_close(feed);
}

TEST(a_broken_stream_is_told_and_resumes_without_loss)
{
    struct pk_error err = { 0 };
    struct pk_commit out;
    struct pk_feed_item item = { 0 };
    BED(bed);
    struct pk_feed *feed = follow(&bed, NULL);
    run_admin(&bed, "admin",
              "{'configureFailPoint':'failCommand','mode':{'times':1},'data':{'failCommands':"
              "['getMore'],'closeConnection':true,'appName':'personakit'}}");
    assert_ok(write_one(&bed, NULL, "{'_id':'e1'}", in_ms(10000), &out, &err), &err);
    assert_false(pk_feed_next(feed, 100, &item, &err));
    assert_int_equal(err.code, PK_UNAVAILABLE);
    expect_event(feed, "e1", NULL);
    pk_feed_close(feed);
}

TEST(a_lost_history_is_one_gap_and_the_feed_goes_on)
{
    struct pk_error err = { 0 };
    struct pk_commit out;
    struct pk_feed_item item = { 0 };
    BED(bed);
    struct pk_feed *feed = follow(&bed, NULL);
    run_admin(&bed, "admin",
              "{'configureFailPoint':'failCommand','mode':{'times':1},'data':{'failCommands':"
              "['getMore'],'errorCode':286,'appName':'personakit'}}");
    assert_ok(pk_feed_next(feed, 100, &item, &err), &err);
    assert_int_equal(item.kind, PK_FEED_GAP);
    assert_ok(write_one(&bed, NULL, "{'_id':'e1'}", in_ms(10000), &out, &err), &err);
    expect_event(feed, "e1", NULL);
    pk_feed_close(feed);
}

TEST(a_position_that_is_none_of_ours_is_one_gap)
{
    struct pk_error err = { 0 };
    struct pk_commit out;
    struct pk_feed_item item = { 0 };
    BED(bed);
    const char *epoch = pk_store_epoch(bed.store);
    char *position[] = {
        pk_strdup("00000000-0000-4000-8000-000000000000.826B014F74000001352B0229296E04"),
        pk_strdupf("%s.nonsense", epoch),
        pk_strdupf("%s.826B014F7400000135FFFF", epoch), /* Damaged behind its time. */
    };
    for (size_t i = 0; i < PK_COUNT(position); i++) {
        char json[32];
        char id[8];
        struct pk_feed *feed = follow(&bed, position[i]);
        next_item(feed, &item);
        assert_int_equal(item.kind, PK_FEED_GAP);
        (void)snprintf(id, sizeof(id), "e%zu", i);
        (void)snprintf(json, sizeof(json), "{'_id':'%s'}", id);
        assert_ok(write_one(&bed, NULL, json, in_ms(10000), &out, &err), &err);
        expect_event(feed, id, NULL);
        pk_feed_close(feed);
        pk_free(position[i]);
    }
}

TEST(a_dropped_feed_is_one_gap)
{
    struct pk_error err = { 0 };
    struct pk_commit out;
    struct pk_feed_item item = { 0 };
    BED(bed);
    struct pk_feed *feed = follow(&bed, NULL);
    run_admin(&bed, bed.database, "{'drop':'events'}");
    next_item(feed, &item);
    assert_int_equal(item.kind, PK_FEED_GAP);
    assert_ok(write_one(&bed, NULL, "{'_id':'e1'}", in_ms(10000), &out, &err), &err);
    expect_event(feed, "e1", NULL);
    pk_feed_close(feed);
}

/* ---- Stored form and clock ---- */

TEST(a_stored_document_has_the_given_keys_and_types_and_a_version)
{
    struct pk_error err = { 0 };
    struct pk_commit out;
    BED(bed);
    assert_ok(write_one(&bed, "notes",
                        "{'_id':'a','n':{'$numberInt':'1'},'d':{'$date':"
                        "{'$numberLong':'5'}}}",
                        in_ms(10000), &out, &err),
              &err);
    mongoc_client_t *client = mongo_pop(mongo_of(bed.store), NULL);
    mongoc_collection_t *notes = mongoc_client_get_collection(client, bed.database, "notes");
    bson_t filter = BSON_INITIALIZER;
    mongoc_cursor_t *cursor = mongoc_collection_find_with_opts(notes, &filter, NULL, NULL);
    const bson_t *stored = NULL;
    assert_true(mongoc_cursor_next(cursor, &stored));
    char *text = bson_as_canonical_extended_json(stored, NULL);
    assert_non_null(strstr(text, "{ \"_id\" : \"a\", \"n\" : { \"$numberInt\" : \"1\" }, \"d\" : "
                                 "{ \"$date\" : { \"$numberLong\" : \"5\" } }, \"_rev\" : { "
                                 "\"$numberLong\" : "));
    bson_free(text);
    mongoc_cursor_destroy(cursor);
    mongoc_collection_destroy(notes);
    bson_destroy(&filter);
    mongo_push(mongo_of(bed.store), client);
}

TEST(the_servers_clock_is_near_ours_on_one_machine)
{
    struct pk_store_stats stats;
    BED(bed);
    pk_store_stats(bed.store, &stats);
    assert_in_range(stats.clock_drift_ms + 2000, 0, 4000);
}
