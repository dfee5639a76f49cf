/* test_mongo_commit.c - What only the MongoDB engine can get wrong: outcomes and backups. */
/* SPDX-License-Identifier: MIT */
#include "base/alloc.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/id.h"
#include "doc/doc.h"
#include "mongo_bed.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

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
    assert_ok(
        write_one(&bed, "notes", "{'_id':'a','user':'u'}", in_ms(PK_TEST_PATIENCE_MS), &out, &err),
        &err);
    assert_true(is_there(&bed, "notes", "a"));
    assert_int_equal(groups_of(&bed), 1);
}

/* The write is refused, as 'code'. One that is late before the server has been asked has another
 * code: then there is more time. */
static void expect_refused(struct bed *bed, const char *json, int64_t ms, enum pk_code code,
                           struct pk_error *err)
{
    struct pk_commit out;
    do {
        assert_false(write_one(bed, "notes", json, in_ms(ms), &out, err));
        ms *= 6;
    } while (err->code != code && ms < PK_TEST_PATIENCE_MS);
    assert_int_equal(err->code, code);
}

TEST(a_commit_that_is_never_answered_is_unknown_and_is_not_run_again)
{
    struct pk_error err = { 0 };
    struct pk_commit out;
    BED(bed);
    run_admin(&bed, "admin",
              "{'configureFailPoint':'failCommand','mode':'alwaysOn','data':{'failCommands':"
              "['commitTransaction'],'closeConnection':true,'appName':'personakit'}}");
    expect_refused(&bed, "{'_id':'a','user':'u'}", 500, PK_UNKNOWN, &err);
    run_admin(&bed, "admin", "{'configureFailPoint':'failCommand','mode':'off'}");
    struct pk_store_stats stats;
    pk_store_stats(bed.store, &stats);
    assert_int_equal(stats.unknowns, 1);
    assert_int_equal(stats.groups, 0);
    /* The server holds it open for a minute, unless the next group ends it: half of it is enough.
     */
    assert_ok(write_one(&bed, "notes", "{'_id':'a','user':'u','slug':'s'}",
                        in_ms(PK_TEST_PATIENCE_MS / 4), &out, &err),
              &err);
}

TEST(a_majority_that_has_not_confirmed_is_not_success)
{
    struct pk_error err = { 0 };
    BED(bed);
    run_admin(&bed, "admin",
              "{'configureFailPoint':'failCommand','mode':'alwaysOn','data':{'failCommands':"
              "['commitTransaction'],'writeConcernError':{'code':64,'errmsg':'waiting for "
              "replication timed out'},'appName':'personakit'}}");
    expect_refused(&bed, "{'_id':'a','user':'u'}", 500, PK_UNKNOWN, &err);
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
    assert_ok(
        write_one(&bed, "notes", "{'_id':'a','user':'u'}", in_ms(PK_TEST_PATIENCE_MS), &out, &err),
        &err);
    run_admin(&bed, "admin",
              "{'configureFailPoint':'failCommand','mode':{'times':1},'data':{'failCommands':"
              "['commitTransaction'],'errorCode':251,'errorLabels':['TransientTransactionError'],"
              "'appName':'personakit'}}");
    assert_ok(
        write_one(&bed, "notes", "{'_id':'b','user':'u'}", in_ms(PK_TEST_PATIENCE_MS), &out, &err),
        &err);
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
    expect_refused(&bed, "{'_id':'a','user':'u'}", 500, PK_UNAVAILABLE, &err);
    run_admin(&bed, "admin",
              "{'configureFailPoint':'failCommand','mode':{'times':1},'data':{'failCommands':"
              "['insert'],'closeConnection':true,'appName':'personakit'}}");
    assert_false(is_there(&bed, "notes", "a"));
    assert_ok(
        write_one(&bed, "notes", "{'_id':'a','user':'u'}", in_ms(PK_TEST_PATIENCE_MS), &out, &err),
        &err);
}

TEST(a_transaction_that_is_gone_is_not_done_only_if_the_server_vouches_for_it)
{
    static const struct {
        const char *labels;
        enum pk_code code;
    } row[] = {
        { "'TransientTransactionError'", PK_BUSY }, /* A majority knows that it was aborted. */
        { "", PK_UNKNOWN },                         /* It may have been committed elsewhere. */
    };
    for (size_t i = 0; i < PK_COUNT(row); i++) {
        struct pk_error err = { 0 };
        struct pk_commit out;
        char command[512];
        BED(bed);
        (void)snprintf(command, sizeof(command),
                       "{'configureFailPoint':'failCommand','mode':'alwaysOn','data':{"
                       "'failCommands':['commitTransaction'],'errorCode':251,'errorLabels':[%s],"
                       "'appName':'personakit'}}",
                       row[i].labels);
        run_admin(&bed, "admin", command);
        expect_refused(&bed, "{'_id':'a','user':'u'}", 300, row[i].code, &err);
        assert_non_null(err.hint);
        assert_true(err.message[0]);
        run_admin(&bed, "admin", "{'configureFailPoint':'failCommand','mode':'off'}");
        assert_false(is_there(&bed, "notes", "a"));
        assert_ok(write_one(&bed, "notes", "{'_id':'a'}", in_ms(PK_TEST_PATIENCE_MS), &out, &err),
                  &err);
    }
}

TEST(a_transaction_that_a_broken_connection_left_open_is_in_nobodys_way)
{
    struct pk_error err = { 0 };
    struct pk_commit out;
    BED(bed);
    /* The row of the first try is in a transaction that the driver cannot abort. */
    run_admin(&bed, "admin",
              "{'configureFailPoint':'failCommand','mode':'alwaysOn','data':{'failCommands':"
              "['commitTransaction','abortTransaction'],'closeConnection':true,"
              "'appName':'personakit'}}");
    expect_refused(&bed, "{'_id':'a'}", 100, PK_UNKNOWN, &err);
    run_admin(&bed, "admin", "{'configureFailPoint':'failCommand','mode':'off'}");
    run_admin(&bed, "admin",
              "{'configureFailPoint':'failCommand','mode':{'times':1},'data':{'failCommands':"
              "['killSessions'],'closeConnection':true,'appName':'personakit'}}");
    assert_ok(write_one(&bed, "notes", "{'_id':'a'}", in_ms(PK_TEST_PATIENCE_MS), &out, &err),
              &err);
}

/* What a node that was killed leaves behind: a transaction with a write, and nobody at it. */
struct left {
    mongoc_client_t *client;
    mongoc_client_session_t *session;
};

static void leave_open(struct bed *bed, const char *id, struct left *out)
{
    struct mongo *mongo = mongo_of(bed->store);
    bson_t opts = BSON_INITIALIZER;
    bson_t *doc = BCON_NEW("_id", BCON_UTF8(id));
    bson_error_t error;

    out->client = mongoc_client_new_from_uri(mongo->uri);
    out->session = mongoc_client_start_session(out->client, NULL, &error);
    assert_true(mongoc_client_session_start_transaction(out->session, NULL, &error));
    assert_true(mongoc_client_session_append(out->session, &opts, &error));
    mongoc_collection_t *notes =
        mongoc_client_get_collection(out->client, mongo->database, "notes");
    if (!mongoc_collection_insert_one(notes, doc, &opts, NULL, &error)) {
        fail_msg("%s", error.message);
    }
    mongoc_collection_destroy(notes);
    bson_destroy(&opts);
    bson_destroy(doc);
}

static void left_done(struct left *left)
{
    mongoc_client_session_destroy(left->session);
    mongoc_client_destroy(left->client);
}

static void *write_late(void *context)
{
    struct pk_error err = { 0 };
    struct pk_commit out;
    assert_ok(write_one(context, "notes", "{'_id':'b'}", in_ms(PK_TEST_PATIENCE_MS), &out, &err),
              &err);
    return NULL;
}

TEST(a_transaction_that_a_dead_node_left_open_is_ended_by_who_needs_what_it_holds)
{
    struct pk_error err = { 0 };
    struct pk_commit out;
    pthread_t other;
    BED(bed);
    PK_CLEANUP(left_done) struct left a;
    PK_CLEANUP(left_done) struct left b;
    leave_open(&bed, "a", &a);
    leave_open(&bed, "b", &b);
    const int64_t start_ns = pk_clock_mono_ns(pk_clock_system());
    assert_int_equal(pthread_create(&other, NULL, write_late, &bed), 0);
    assert_ok(write_one(&bed, "notes", "{'_id':'a'}", in_ms(PK_TEST_PATIENCE_MS), &out, &err),
              &err);
    assert_int_equal(pthread_join(other, NULL), 0);
    const int64_t took_ms = (pk_clock_mono_ns(pk_clock_system()) - start_ns) / 1000000;
    assert_true(took_ms >= MONGO_STALE_MS / 2);     /* It was in the way. */
    assert_true(took_ms < PK_TEST_PATIENCE_MS / 3); /* The server would wait for a minute. */
}

TEST(every_refusal_of_the_server_says_what_happened_and_what_to_do)
{
    static const struct {
        int server;
        enum pk_code write, read;
    } row[] = {
        { 112, PK_BUSY, PK_BUSY },
        { 251, PK_BUSY, PK_BUSY },
        { 24, PK_BUSY, PK_BUSY },
        { 11601, PK_BUSY, PK_UNAVAILABLE },
        { 50, PK_TIMEOUT, PK_TIMEOUT },
        { 262, PK_BUSY, PK_TIMEOUT }, /* In a transaction, a lock's time. */
        { 91, PK_UNAVAILABLE, PK_UNAVAILABLE },
        { 189, PK_UNAVAILABLE, PK_UNAVAILABLE },
        { 10107, PK_UNAVAILABLE, PK_UNAVAILABLE },
        { 13, PK_FORBIDDEN, PK_FORBIDDEN },
        { 14031, PK_FULL, PK_FULL },
        { 257, PK_TOO_LARGE, PK_TOO_LARGE },
        { 2, PK_INVALID, PK_INVALID },
        { 8, PK_INTERNAL, PK_INTERNAL },
    };
    BED(bed);
    for (size_t i = 0; i < PK_COUNT(row); i++) {
        struct pk_error err = { 0 };
        struct pk_error read_err = { 0 };
        struct pk_commit out;
        struct pk_doc *doc = NULL;
        char command[512];
        (void)snprintf(command, sizeof(command),
                       "{'configureFailPoint':'failCommand','mode':'alwaysOn','data':{"
                       "'failCommands':['insert','find'],'errorCode':%d,'appName':'personakit'}}",
                       row[i].server);
        run_admin(&bed, "admin", command);
        const bool ok =
            write_one(&bed, "notes", "{'_id':'a','user':'u'}", in_ms(200), &out, &err) ||
            pk_store_get(bed.store, "notes", "a", in_ms(200), &doc, &read_err);
        run_admin(&bed, "admin", "{'configureFailPoint':'failCommand','mode':'off'}");
        if (ok || err.code != row[i].write || read_err.code != row[i].read || !err.hint ||
            !read_err.hint || !err.message[0] || !read_err.message[0]) {
            fail_msg("%d: write %s '%s' (%s), read %s '%s' (%s)", row[i].server,
                     pk_code_name(err.code), err.message, err.hint, pk_code_name(read_err.code),
                     read_err.message, read_err.hint);
        }
    }
}

TEST(a_joined_list_is_refused_at_its_own_deadline_and_the_others_go_on)
{
    struct pk_error err = { 0 };
    BED(bed);
    static const char *const json[] = { "{'_id':'hasty'}", "{'_id':'patient'}" };
    static const int64_t deadline_ms[] = { 100, PK_TEST_PATIENCE_MS };
    struct pk_writes list[2] = { 0 };
    struct pk_job job[2] = { 0 };
    struct pk_job *group[2];
    for (size_t i = 0; i < PK_COUNT(group); i++) {
        PK_CLEANUP(pk_doc_unrefp) struct pk_doc *doc = json_doc(json[i]);
        pk_writes_insert(&list[i], "notes", doc);
        job[i].writes = &list[i];
        job[i].deadline_ns = in_ms(deadline_ms[i]);
        assert_ok(pk_writes_resolve(bed.store, &list[i], &job[i], &err), &err);
        assert_ok(mongo_prepare(bed.store, &job[i], &err), &err);
        group[i] = &job[i];
    }
    run_admin(&bed, "admin",
              "{'configureFailPoint':'failCommand','mode':{'times':3},'data':{'failCommands':"
              "['insert'],'errorCode':91,'appName':'personakit'}}");
    mongo_apply(bed.store, group, PK_COUNT(group));
    assert_false(job[0].is_ok);
    assert_int_equal(job[0].error.code, PK_UNAVAILABLE);
    assert_ok(job[1].is_ok, &job[1].error);
    assert_false(is_there(&bed, "notes", "hasty"));
    assert_true(is_there(&bed, "notes", "patient"));
    for (size_t i = 0; i < PK_COUNT(group); i++) {
        mongo_unprepare(bed.store, &job[i]);
        pk_writes_unresolve(&job[i]);
        pk_writes_done(&list[i]);
    }
}

/* ---- Backup ---- */

static void lose_the_snapshot(struct bed *bed)
{
    run_admin(bed, "admin",
              "{'configureFailPoint':'failCommand','mode':{'times':1},'data':{'failCommands':"
              "['find'],'errorCode':239,'appName':'personakit'}}");
}

static bool lose_it_in_the_middle(void *context, int64_t done, int64_t all)
{
    struct bed *bed = context;
    (void)all;
    if (done == 256 && bed->is_snapshot_wanted) {
        bed->is_snapshot_wanted = false;
        lose_the_snapshot(bed);
    }
    return true;
}

static void expect_backup(struct bed *bed, pk_progress_fn *progress, const char *wanted)
{
    struct pk_error err = { 0 };
    PK_CLEANUP(pk_freep) char *folder = pk_strdupf("%s/copy", pk_test_folder());
    PK_CLEANUP(pk_freep) char *path = pk_strdupf("%s/manifest.json", folder);
    PK_CLEANUP(pk_buf_done) struct pk_buf manifest = { 0 };

    assert_ok(pk_store_backup(bed->store, folder, progress, bed, &err), &err);
    assert_ok(pk_file_read(&manifest, path, 1 << 20, &err), &err);
    assert_non_null(strstr(pk_buf_text(&manifest), wanted));
    assert_non_null(strstr(pk_buf_text(&manifest), "\"notes\", \"documents\": 300,"));
}

TEST(a_backup_whose_snapshot_is_gone_is_made_by_majority_reads_and_says_so)
{
    BED(bed);
    struct pk_error err = { 0 };
    PK_CLEANUP(pk_writes_done) struct pk_writes list = { 0 };
    for (int i = 0; i < 300; i++) {
        char json[32];
        (void)snprintf(json, sizeof(json), "{'_id':'n%d'}", i);
        PK_CLEANUP(pk_doc_unrefp) struct pk_doc *doc = json_doc(json);
        pk_writes_insert(&list, "notes", doc);
    }
    assert_ok(pk_store_commit(bed.store, &list, in_ms(PK_TEST_PATIENCE_MS), NULL, &err), &err);
    expect_backup(&bed, NULL, "\"consistent\": true");
    lose_the_snapshot(&bed);
    expect_backup(&bed, NULL, "\"consistent\": false");
    bed.is_snapshot_wanted = true;
    expect_backup(&bed, lose_it_in_the_middle, "\"consistent\": false");
}
