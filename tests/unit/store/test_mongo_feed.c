/* test_mongo_feed.c - What only the MongoDB engine can get wrong: the feed's positions. */
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
    const int64_t until_ns = in_ms(PK_TEST_PATIENCE_MS);
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
    assert_ok(pk_store_commit(bed->store, &list, in_ms(PK_TEST_PATIENCE_MS), out, &err), &err);
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

TEST(a_commit_of_many_oplog_entries_has_one_time_and_is_passed_behind_its_last_row)
{
    enum { NOTES = 990, NOTE_BYTES = 16900 }; /* More than 16 MiB, as the oplog says it. */
    struct pk_commit out;
    struct pk_error err = { 0 };
    struct pk_feed_item item;
    PK_CLEANUP(pk_writes_done) struct pk_writes list = { 0 };
    BED(bed);
    struct pk_feed *feed = follow(&bed, NULL);
    for (int i = 0; i < NOTES + 3; i++) {
        char *json = i < NOTES ? pk_strdupf("{'_id':'n%d','text':'%0*d'}", i, NOTE_BYTES, 0)
                               : pk_strdupf("{'_id':'e%d'}", i - NOTES + 1);
        PK_CLEANUP(pk_doc_unrefp) struct pk_doc *doc = json_doc(json);
        if (i < NOTES) {
            pk_writes_insert(&list, "notes", doc);
        } else {
            pk_writes_announce(&list, doc);
        }
        pk_free(json);
    }
    assert_ok(pk_store_commit(bed.store, &list, in_ms(PK_TEST_PATIENCE_MS), &out, &err), &err);
    expect_event(feed, "e1", NULL);
    expect_event(feed, "e2", NULL);
    assert_false(has_passed(feed, out.cursor));
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
    assert_ok(
        write_one(&bed, "notes", "{'_id':'a','user':'u'}", in_ms(PK_TEST_PATIENCE_MS), &out, &err),
        &err);
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
    assert_ok(write_one(&bed, NULL, "{'_id':'e1'}", in_ms(PK_TEST_PATIENCE_MS), &out, &err), &err);
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
    assert_ok(write_one(&bed, NULL, "{'_id':'e1'}", in_ms(PK_TEST_PATIENCE_MS), &out, &err), &err);
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
        assert_ok(write_one(&bed, NULL, json, in_ms(PK_TEST_PATIENCE_MS), &out, &err), &err);
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
    assert_ok(write_one(&bed, NULL, "{'_id':'e1'}", in_ms(PK_TEST_PATIENCE_MS), &out, &err), &err);
    expect_event(feed, "e1", NULL);
    pk_feed_close(feed);
}
