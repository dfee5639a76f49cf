/* test_mongo.c - What only the MongoDB engine can get wrong: opening, indexes, plans, stored form.
 */
/* SPDX-License-Identifier: MIT */
#include "base/alloc.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/id.h"
#include "doc/doc.h"
#include "mongo_bed.h"

#include <stdlib.h>
#include <string.h>

/* ---- Inventories that differ ---- */

static const struct pk_index brief_index[] = {
    { .name = "by_expiry", .key = { { .path = "expiresAt" } }, .key_count = 1 },
};
static const struct pk_index moved_index[] = {
    { .name = "by_user", .key = { { .path = "user" } }, .key_count = 1 },
};
static const struct pk_collection moved_collections[] = {
    { .name = "notes", INDEXES(moved_index) },
    OTHERS(brief_index),
};
static const struct pk_inventory moved_inventory = { moved_collections, PK_COUNT(moved_collections),
                                                     1 };

/* The same with a higher schema version. */
static struct pk_inventory raised_inventory(int64_t version)
{
    struct pk_inventory raised = mongo_bed_inventory;
    raised.schema_version = version;
    return raised;
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
    assert_true(open_again(&bed, &mongo_bed_inventory, false, &err));
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
    assert_ok(open_again(&bed, &mongo_bed_inventory, false, &err), &err);
    expect_index(&bed, "notes", "foreign", "foreign");
    expect_index(&bed, "notes", "by_user", "\"at\" : -1");
}

/* As DocumentDB and others would answer. */
TEST(a_server_that_lacks_something_is_refused_with_all_that_is_missing)
{
    static const struct {
        const char *commands;
        const char *lacked[3];
        const char *there;
    } row[] = {
        { "'createIndexes'",
          { "partial indexes (", "TTL indexes (", "wildcard indexes (" },
          "transactions" },
        { "'aggregate'", { "change streams (" }, "indexes" },
        { "'insert','aggregate'", { "transactions (", "change streams (" }, "indexes" },
    };
    BED(bed);
    for (size_t i = 0; i < PK_COUNT(row); i++) {
        struct pk_error err = { 0 };
        PK_CLEANUP(pk_freep)
        char *fault = pk_strdupf("{'configureFailPoint':'failCommand','mode':'alwaysOn','data':{"
                                 "'failCommands':[%s],'errorCode':115}}",
                                 row[i].commands);
        run_admin(&bed, "admin", fault);
        assert_false(open_again(&bed, &mongo_bed_inventory, false, &err));
        assert_int_equal(err.code, PK_UNSUPPORTED);
        assert_non_null(strstr(err.hint, "MongoDB 5.0"));
        for (size_t j = 0; j < PK_COUNT(row[i].lacked) && row[i].lacked[j]; j++) {
            if (!strstr(err.message, row[i].lacked[j])) {
                fail_msg("'%s' does not name '%s'", err.message, row[i].lacked[j]);
            }
        }
        assert_null(strstr(err.message, row[i].there));
        run_admin(&bed, "admin", "{'configureFailPoint':'failCommand','mode':'off'}");
        assert_true(open_again(&bed, &mongo_bed_inventory, false, &err));
    }
}

TEST(an_older_store_waits_for_permission_and_a_newer_one_is_refused)
{
    const struct pk_inventory second = raised_inventory(2);
    struct pk_error err = { 0 };
    BED(bed);
    assert_false(open_again(&bed, &second, false, &err));
    assert_int_equal(err.code, PK_PRECONDITION);
    assert_ok(open_again(&bed, &second, true, &err), &err);
    assert_false(open_again(&bed, &mongo_bed_inventory, true, &err));
    assert_int_equal(err.code, PK_UNSUPPORTED);
    assert_non_null(strstr(err.message, "schema version 2"));
    assert_non_null(strstr(err.message, "knows 1"));
}

/* Both steps add 1 to what they have not yet changed, so a run too many would show. */
static bool raise_notes(mongoc_client_t *client, const char *database, int64_t from, bool is_half,
                        struct pk_error *err)
{
    mongoc_collection_t *notes = mongoc_client_get_collection(client, database, "notes");
    bson_t *filter = BCON_NEW("shape", BCON_INT64(from));
    bson_t *update = BCON_NEW("$inc", "{", "shape", BCON_INT64(1), "}");
    bson_error_t error;
    const bool ok = is_half
                        ? mongoc_collection_update_one(notes, filter, update, NULL, NULL, &error)
                        : mongoc_collection_update_many(notes, filter, update, NULL, NULL, &error);
    bson_destroy(filter);
    bson_destroy(update);
    mongoc_collection_destroy(notes);
    return ok || mongo_fail(err, &error, "raise the notes");
}

static bool raise_to_2(mongoc_client_t *client, const char *database, struct pk_error *err)
{
    return raise_notes(client, database, 1, false, err);
}

static bool stop_half_way_to_3(mongoc_client_t *client, const char *database, struct pk_error *err)
{
    return raise_notes(client, database, 2, true, err) &&
           pk_fail(err, PK_UNAVAILABLE, "start again", "the power went");
}

static bool raise_to_3(mongoc_client_t *client, const char *database, struct pk_error *err)
{
    return raise_notes(client, database, 2, false, err);
}

static bool never_again(mongoc_client_t *client, const char *database, struct pk_error *err)
{
    (void)client;
    (void)database;
    return pk_fail(err, PK_INTERNAL, "do not", "a step that was done ran again");
}

static bool open_upgraded(struct bed *bed, const struct mongo_upgrade *upgrades,
                          struct pk_error *err)
{
    const struct pk_inventory third = raised_inventory(3);
    const struct pk_store_options options = {
        .url = bed->url, .inventory = &third, .clock = pk_clock_system(), .is_upgrade_allowed = true
    };
    struct pk_store store = { .engine = &pk_engine_mongo,
                              .inventory = options.inventory,
                              .clock = options.clock };
    const bool ok = mongo_open_with(&store, &options, upgrades, err);
    if (ok) {
        pk_engine_mongo.close(&store);
    }
    return ok;
}

TEST(an_upgrade_that_was_stopped_in_the_middle_of_a_step_goes_on_with_that_step)
{
    static const struct mongo_upgrade stopped[] = {
        { 2, raise_to_2 }, { 3, stop_half_way_to_3 }, { 4, never_again }, { 0, NULL }
    };
    static const struct mongo_upgrade whole[] = {
        { 2, never_again }, { 3, raise_to_3 }, { 4, never_again }, { 0, NULL }
    };
    struct pk_error err = { 0 };
    struct pk_store_state is;
    const struct pk_inventory third = raised_inventory(3);
    BED(bed);
    const struct pk_store_options options = { .url = bed.url,
                                              .inventory = &third,
                                              .clock = pk_clock_system() };
    for (int i = 0; i < 4; i++) {
        char json[64];
        (void)snprintf(json, sizeof(json), "{'_id':'n%d','shape':{'$numberLong':'1'}}", i);
        assert_ok(write_one(&bed, "notes", json, in_ms(PK_TEST_PATIENCE_MS), NULL, &err), &err);
    }
    assert_false(open_upgraded(&bed, stopped, &err));
    assert_non_null(strstr(err.message, "upgrade to schema version 3: the power went"));
    assert_ok(pk_store_inspect(&options, &is, &err), &err);
    assert_int_equal(is.schema_version, 2);
    assert_ok(open_upgraded(&bed, whole, &err), &err);
    assert_ok(pk_store_inspect(&options, &is, &err), &err);
    assert_int_equal(is.schema_version, 3);
    for (int i = 0; i < 4; i++) {
        char id[8];
        (void)snprintf(id, sizeof(id), "n%d", i);
        PK_CLEANUP(pk_doc_unrefp) struct pk_doc *doc = NULL;
        assert_ok(pk_store_get(bed.store, "notes", id, 0, &doc, &err), &err);
        assert_int_equal(pk_doc_int(doc, "shape", 0), 3);
    }
}

/* ---- URLs ---- */

TEST(a_url_that_is_not_understood_is_refused_without_its_password)
{
    static const char *const url[] = {
        "mongodb://root:hunter2:x@127.0.0.1:1/x",
        "mongodb://root:hun/ter2@127.0.0.1:1/x",
        "mongodb://root:hunter2%zz@127.0.0.1:1/x",
        "mongodb://root:hunter2@127.0.0.1:999999/x",
        "mongodb://root:hunter2@/x",
        "mongodb://root:hunter2@h:1/x?bogus",
        "mongodb://root:hunter2@h:1/x?tls=hunter2",
        "mongodb://root:hunter2@h:1/a.b",
        "mongodb://hunter2:hunter2:@h:1/a b",
        "mongodb://",
    };
    for (size_t i = 0; i < PK_COUNT(url); i++) {
        struct pk_error err = { 0 };
        struct pk_store *store = NULL;
        const struct pk_store_options options = { .url = url[i],
                                                  .inventory = &mongo_bed_inventory,
                                                  .clock = pk_clock_system() };
        assert_false(pk_store_open(&store, &options, &err));
        assert_int_equal(err.code, PK_INVALID);
        assert_non_null(err.hint);
        if (strstr(err.message, "hunter2") && !strstr(url[i], "tls=")) {
            fail_msg("%s: %s", url[i], err.message);
        }
    }
}

TEST(a_database_name_that_mongodb_does_not_allow_is_refused_with_a_hint)
{
    struct pk_error err = { 0 };
    struct pk_store *store = NULL;
    BED(bed);
    char *url = pk_strdupf("%.*s/%070d%s", (int)(strchr(bed.url + 10, '/') - bed.url), bed.url, 7,
                           strchr(bed.url, '?') ? strchr(bed.url, '?') : "");
    const struct pk_store_options options = { .url = url,
                                              .inventory = &mongo_bed_inventory,
                                              .clock = pk_clock_system() };
    assert_false(pk_store_open(&store, &options, &err));
    assert_int_equal(err.code, PK_INVALID);
    assert_non_null(err.hint);
    pk_free(url);
}

/* ---- Plans ---- */

static void explain(struct bed *bed, const struct pk_query *query, const struct pk_after *after,
                    const char *index_name, bool may_sort)
{
    struct mongo *mongo = mongo_of(bed->store);
    const struct pk_collection *collection =
        pk_inventory_find(&mongo_bed_inventory, query->collection);
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

/* ---- Stored form and clock ---- */

TEST(a_stored_document_has_the_given_keys_and_types_and_a_version)
{
    struct pk_error err = { 0 };
    struct pk_commit out;
    BED(bed);
    assert_ok(write_one(&bed, "notes",
                        "{'_id':'a','n':{'$numberInt':'1'},'d':{'$date':"
                        "{'$numberLong':'5'}}}",
                        in_ms(PK_TEST_PATIENCE_MS), &out, &err),
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
