/* feed.c - What followers see: everything, in commit order, from wherever they had got to. */
/* SPDX-License-Identifier: MIT */
#include "contract.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { WRITERS = 8, ROWS = 40, NEXT_MS = 500, HOUR_MS = 3600 * 1000 };

static void feed_closep(struct pk_feed **feed)
{
    pk_feed_close(*feed);
}

#define FEED(name) PK_CLEANUP(feed_closep) struct pk_feed *name = NULL

static struct pk_feed *follow(struct bed *bed, const char *position)
{
    struct pk_error err = { 0 };
    struct pk_feed *feed = NULL;
    assert_ok(pk_feed_open(&feed, bed->store, position, &err), &err);
    return feed;
}

/* The next row's 'n', and the position behind it; anything but a row fails the case. A store that
 * does not answer is asked again when 'is_patient'. */
static int64_t next_row(struct pk_feed *feed, char *out_position, bool is_patient)
{
    const int64_t end = pk_deadline_in_ms(pk_clock_system(), PK_TEST_PATIENCE_MS);
    struct pk_feed_item item = { 0 };
    struct pk_error err = { 0 };
    do {
        const bool ok = pk_feed_next(feed, NEXT_MS, &item, &err);
        if (!ok && !is_patient) {
            fail_msg("the feed does not answer: %s", err.message);
        }
        if (ok && item.kind == PK_FEED_GAP) {
            fail_msg("a gap where there is none");
        }
        if (ok && item.kind == PK_FEED_EVENT) {
            const int64_t n = pk_doc_int(item.doc, "n", -1);
            assert_true(item.position[0] != '\0');
            if (out_position) {
                (void)memcpy(out_position, item.position, PK_POSITION_TEXT);
            }
            pk_doc_unref(item.doc);
            return n;
        }
    } while (!pk_deadline_passed(pk_clock_system(), end));
    fail_msg("no row within 60 s");
    return -1;
}

static struct pk_doc *row(const char *writer, int n)
{
    return doc("{'_id':'%s-%d','w':'%s','n':%d}", writer, n, writer, n);
}

static void announce(struct bed *bed, const char *writer, int n, struct pk_commit *out)
{
    LIST(list);
    add_announce(&list, row(writer, n));
    must_commit(bed, &list, out);
}

static void expect_quiet(struct pk_feed *feed)
{
    struct pk_feed_item item = { 0 };
    struct pk_error err = { 0 };
    assert_ok(pk_feed_next(feed, 100, &item, &err), &err);
    if (item.kind == PK_FEED_EVENT) {
        fail_msg("row %s where there should be none", pk_doc_id(item.doc));
    }
    assert_int_equal(item.kind, PK_FEED_QUIET);
}

static bool has_passed(struct pk_feed *feed, const char *cursor)
{
    bool passed = false;
    struct pk_error err = { 0 };
    assert_ok(pk_feed_has_passed(feed, cursor, &passed, &err), &err);
    return passed;
}

/* ---- Seeing ---- */

TEST(a_follower_sees_what_is_announced_from_now_on)
{
    BED(bed);
    bed_open(&bed);
    announce(&bed, "early", 1, NULL);
    FEED(feed);
    feed = follow(&bed, NULL);
    expect_quiet(feed);
    announce(&bed, "x", 7, NULL);
    assert_int_equal(next_row(feed, NULL, false), 7);
    expect_quiet(feed);
    DOC(found);
    found = get(&bed, "events", "x-7");
    assert_non_null(found);
}

TEST(what_was_not_committed_is_never_announced)
{
    BED(bed);
    bed_open(&bed);
    FEED(feed);
    feed = follow(&bed, "");
    struct pk_error err = { 0 };
    LIST(list);
    add_announce(&list, row("x", 1));
    add_replace(&list, "guards", doc("{'_id':'none'}"), 5);
    assert_false(commit(&bed, &list, NULL, &err));
    announce(&bed, "x", 2, NULL);
    assert_int_equal(next_row(feed, NULL, false), 2);
}

TEST(rows_of_the_feed_cannot_be_changed)
{
    BED(bed);
    bed_open(&bed);
    announce(&bed, "x", 1, NULL);
    struct pk_error err = { 0 };
    LIST(list);
    add_replace(&list, "events", row("x", 1), version_of(&bed, "events", "x-1"));
    assert_false(commit(&bed, &list, NULL, &err));
    assert_code(&err, PK_INVALID);
}

TEST(a_row_of_the_feed_that_was_deleted_is_not_seen_and_those_behind_it_are)
{
    BED(bed);
    bed_open(&bed);
    FEED(feed);
    feed = follow(&bed, NULL);
    announce(&bed, "x", 1, NULL);
    announce(&bed, "x", 2, NULL);
    announce(&bed, "x", 3, NULL);
    assert_int_equal(next_row(feed, NULL, false), 1);
    struct pk_error err = { 0 };
    LIST(list);
    pk_writes_delete(&list, "events", "x-1", version_of(&bed, "events", "x-1"));
    pk_writes_delete(&list, "events", "x-2", version_of(&bed, "events", "x-2"));
    assert_ok(commit(&bed, &list, NULL, &err), &err);
    assert_int_equal(version_of(&bed, "events", "x-2"), 0);
    int64_t next = next_row(feed, NULL, false);
    if (next == 2) { /* It had been read ahead of the deletion. */
        next = next_row(feed, NULL, false);
    }
    assert_int_equal(next, 3);
}

/* ---- Order ---- */

struct writers {
    struct bed *bed;
    _Atomic int failures;
};

static void announce_many(void *context, size_t number)
{
    struct writers *writers = context;
    for (int i = 0; i < ROWS; i++) {
        struct pk_error err = { 0 };
        LIST(list);
        add_announce(&list, doc("{'_id':'%zu-%d','n':%zu}", number, i, number * 1000 + (size_t)i));
        writers->failures += !commit(writers->bed, &list, NULL, &err);
    }
}

TEST(two_followers_see_the_same_order_and_each_writer_in_its_own)
{
    BED(bed);
    bed_open(&bed);
    FEED(one);
    FEED(two);
    one = follow(&bed, NULL);
    two = follow(&bed, NULL);
    struct writers writers = { .bed = &bed };
    run_threads(WRITERS, announce_many, &writers);
    assert_int_equal(writers.failures, 0);
    int64_t next[WRITERS] = { 0 };
    for (int i = 0; i < WRITERS * ROWS; i++) {
        const int64_t n = next_row(one, NULL, false);
        assert_true(n >= 0 && n / 1000 < WRITERS);
        assert_int_equal(n % 1000, next[n / 1000]++);
        assert_int_equal(next_row(two, NULL, false), n);
    }
    expect_quiet(one);
}

static bool decide_next_number(void *context, struct pk_writes *list, struct pk_error *err)
{
    struct bed *bed = context;
    struct pk_doc *found = NULL;
    if (!pk_store_get(bed->store, "guards", "n", 0, &found, err)) {
        return false;
    }
    const int n = (int)pk_doc_int(found, "n", 0) + 1;
    add_announce(list, row("seq", n));
    add_replace(list, "guards", doc("{'_id':'n','n':%d}", n), pk_doc_version(found));
    pk_doc_unref(found);
    return true;
}

static void announce_in_turn(void *context, size_t number)
{
    struct writers *writers = context;
    (void)number;
    for (int i = 0; i < 10; i++) {
        struct pk_error err = { 0 };
        writers->failures += !pk_store_decide(writers->bed->store, decide_next_number, writers->bed,
                                              soon(writers->bed), NULL, &err);
    }
}

TEST(the_order_of_the_feed_is_the_order_of_the_commits)
{
    BED(bed);
    bed_open(&bed);
    (void)put(&bed, "guards", doc("{'_id':'n','n':0}"));
    FEED(feed);
    feed = follow(&bed, NULL);
    struct writers writers = { .bed = &bed };
    run_threads(WRITERS, announce_in_turn, &writers);
    assert_int_equal(writers.failures, 0);
    for (int i = 1; i <= WRITERS * 10; i++) {
        assert_int_equal(next_row(feed, NULL, false), i);
    }
}

/* ---- Resuming ---- */

TEST(a_follower_resumes_in_the_middle_of_a_list)
{
    BED(bed);
    bed_open(&bed);
    FEED(feed);
    feed = follow(&bed, NULL);
    LIST(list);
    for (int i = 0; i < 6; i++) {
        add_announce(&list, row("l", i));
    }
    must_commit(&bed, &list, NULL);
    announce(&bed, "after", 6, NULL);
    char position[7][PK_POSITION_TEXT];
    for (int i = 0; i < 7; i++) {
        assert_int_equal(next_row(feed, position[i], false), i);
    }
    for (int i = 0; i < 6; i++) {
        FEED(again);
        again = follow(&bed, position[i]);
        for (int j = i + 1; j < 7; j++) {
            assert_int_equal(next_row(again, NULL, false), j);
        }
    }
}

TEST(a_follower_resumes_across_a_restart)
{
    BED(bed);
    bed_open(&bed);
    char position[PK_POSITION_TEXT];
    struct pk_commit out = { 0 };
    struct pk_feed *feed = follow(&bed, NULL);
    for (int i = 0; i < 5; i++) {
        announce(&bed, "a", i, &out);
    }
    assert_int_equal(next_row(feed, NULL, false), 0);
    assert_int_equal(next_row(feed, position, false), 1);
    pk_feed_close(feed);
    char *epoch = pk_strdup(pk_store_epoch(bed.store));
    bed_reopen(&bed);
    assert_string_equal(pk_store_epoch(bed.store), epoch);
    pk_free(epoch);
    announce(&bed, "a", 5, NULL);
    FEED(again);
    again = follow(&bed, position);
    for (int i = 2; i < 6; i++) {
        assert_int_equal(next_row(again, NULL, false), i);
    }
    assert_true(has_passed(again, position));
}

/* ---- Has passed ---- */

/* Asks until the feed has moved past, with a barrier as somebody who waits would. */
static void expect_passes(struct bed *bed, struct pk_feed *feed, const char *cursor)
{
    struct pk_error err = { 0 };
    struct pk_feed_item item = { 0 };
    assert_ok(pk_store_barrier(bed->store, &err), &err);
    const int64_t end = pk_deadline_in_ms(pk_clock_system(), PK_TEST_PATIENCE_MS);
    while (!has_passed(feed, cursor)) {
        assert_false(pk_deadline_passed(pk_clock_system(), end));
        assert_ok(pk_feed_next(feed, 100, &item, &err), &err);
        assert_int_equal(item.kind, PK_FEED_QUIET); /* A barrier is no event. */
    }
}

TEST(a_cursor_is_passed_exactly_when_its_rows_were_seen)
{
    BED(bed);
    bed_open(&bed);
    FEED(feed);
    feed = follow(&bed, NULL);
    struct pk_commit before = { 0 };
    struct pk_commit out = { 0 };
    announce(&bed, "before", 9, &before);
    LIST(list);
    for (int i = 0; i < 3; i++) {
        add_announce(&list, row("x", i));
    }
    must_commit(&bed, &list, &out);
    assert_false(has_passed(feed, before.cursor));
    assert_int_equal(next_row(feed, NULL, false), 9);
    assert_int_equal(next_row(feed, NULL, false), 0);
    assert_true(has_passed(feed, before.cursor));
    assert_false(has_passed(feed, out.cursor));
    assert_int_equal(next_row(feed, NULL, false), 1);
    assert_false(has_passed(feed, out.cursor));
    assert_int_equal(next_row(feed, NULL, false), 2);
    expect_passes(&bed, feed, out.cursor);
    assert_true(has_passed(feed, before.cursor));
}

TEST(a_commit_that_announces_nothing_is_passed_too)
{
    BED(bed);
    bed_open(&bed);
    FEED(feed);
    feed = follow(&bed, NULL);
    announce(&bed, "x", 1, NULL);
    LIST(list);
    struct pk_commit out = { 0 };
    add_insert(&list, "things", doc("{'_id':'a'}"));
    must_commit(&bed, &list, &out);
    assert_true(out.cursor[0] != '\0');
    assert_int_equal(next_row(feed, NULL, false), 1);
    expect_passes(&bed, feed, out.cursor);
}

TEST(a_list_that_says_nothing_has_nothing_to_wait_for)
{
    BED(bed);
    bed_open(&bed);
    FEED(feed);
    feed = follow(&bed, NULL);
    LIST(list);
    struct pk_commit out = { 0 };
    must_commit(&bed, &list, &out);
    assert_true(has_passed(feed, out.cursor));
}

TEST(a_cursor_of_another_shape_is_refused)
{
    BED(bed);
    bed_open(&bed);
    FEED(feed);
    feed = follow(&bed, NULL);
    static const char *const odd[] = { "x", "1", "-1", "%%%", "a:b:c" };
    for (size_t i = 0; i < PK_COUNT(odd); i++) {
        bool passed = false;
        struct pk_error err = { 0 };
        if (pk_feed_has_passed(feed, odd[i], &passed, &err)) {
            fail_msg("the cursor '%s' is taken", odd[i]);
        }
        assert_code(&err, PK_INVALID);
    }
}

/* ---- Gaps ---- */

static void expect_gap(struct bed *bed, const char *position)
{
    FEED(feed);
    feed = follow(bed, position);
    struct pk_feed_item item = { 0 };
    struct pk_error err = { 0 };
    assert_ok(pk_feed_next(feed, NEXT_MS, &item, &err), &err);
    assert_int_equal(item.kind, PK_FEED_GAP);
    assert_true(item.position[0] != '\0');
    /* And goes on. */
    announce(bed, "behind-the-gap", 77, NULL);
    int64_t n;
    do {
        n = next_row(feed, NULL, false);
    } while (n != 77);
}

TEST(a_position_of_another_epoch_is_a_gap_and_its_cursor_is_refused)
{
    BED(one);
    BED(two);
    bed_open(&one);
    bed_open(&two);
    char position[PK_POSITION_TEXT];
    struct pk_commit out = { 0 };
    FEED(feed);
    feed = follow(&one, NULL);
    announce(&one, "x", 1, &out);
    assert_int_equal(next_row(feed, position, false), 1);
    assert_string_not_equal(pk_store_epoch(one.store), pk_store_epoch(two.store));
    expect_gap(&two, position);
    FEED(other);
    other = follow(&two, NULL);
    bool passed = false;
    struct pk_error err = { 0 };
    assert_false(pk_feed_has_passed(other, out.cursor, &passed, &err));
    assert_code(&err, PK_INVALID);
}

TEST_SQLITE(a_position_past_retention_is_a_gap)
{
    BED(bed);
    bed_open_fake(&bed, 1700000000000);
    char position[PK_POSITION_TEXT];
    struct pk_feed *feed = follow(&bed, NULL);
    const long long end = (long long)pk_clock_wall_ms(&bed.fake.clock) + HOUR_MS;
    for (int i = 0; i < 5; i++) {
        LIST(list);
        add_announce(&list, doc("{'_id':'e%d','n':%d,'expiresAt':{'$date':%lld}}", i, i, end));
        must_commit(&bed, &list, NULL);
    }
    assert_int_equal(next_row(feed, position, false), 0);
    pk_feed_close(feed);
    pk_clock_fake_advance(&bed.fake, HOUR_MS + 1);
    size_t count = 0;
    struct pk_error err = { 0 };
    assert_ok(pk_store_reap(bed.store, 100, &count, &err), &err);
    assert_int_equal(count, 5);
    expect_gap(&bed, position);
}

/* ---- A server of our own, to be hurt ---- */

TEST_MONGODB(a_follower_resumes_after_a_step_down)
{
    PK_CLEANUP(own_server_done) struct own_server own = { 0 };
    own_server_start(&own, 1, "");
    BED(bed);
    bed_open(&bed);
    FEED(feed);
    feed = follow(&bed, NULL);
    char position[PK_POSITION_TEXT];
    for (int i = 0; i < 4; i++) {
        announce(&bed, "a", i, NULL);
    }
    assert_int_equal(next_row(feed, position, false), 0);
    pk_free(mongod_control("stepdown '%s'", own.folder));
    pk_free(mongod_control("primary '%s'", own.folder));
    struct pk_error err = { 0 };
    LIST(list);
    add_announce(&list, row("a", 4));
    wait_until(commit(&bed, &list, NULL, &err) || err.code == PK_CONFLICT);
    for (int i = 1; i < 5; i++) {
        assert_int_equal(next_row(feed, NULL, true), i);
    }
    FEED(again);
    again = follow(&bed, position);
    assert_int_equal(next_row(again, NULL, true), 1);
}

TEST_MONGODB(a_position_past_the_oplog_is_a_gap)
{
    PK_CLEANUP(own_server_done) struct own_server own = { 0 };
    own_server_start(&own, 1, "--oplog 1");
    BED(bed);
    bed_open(&bed);
    char position[PK_POSITION_TEXT];
    struct pk_feed *feed = follow(&bed, NULL);
    announce(&bed, "x", 1, NULL);
    assert_int_equal(next_row(feed, position, false), 1);
    pk_feed_close(feed);
    bool is_gap = false;
    for (int i = 0; i < 400 && !is_gap; i++) {
        char id[16];
        (void)snprintf(id, sizeof(id), "big%d", i);
        (void)put(&bed, "things", big_doc(id, 1024 * 1024));
        struct pk_feed_item item = { 0 };
        struct pk_error err = { 0 };
        FEED(again);
        again = follow(&bed, position);
        assert_ok(pk_feed_next(again, 1, &item, &err), &err);
        is_gap = item.kind == PK_FEED_GAP;
    }
    assert_true(is_gap);
    expect_gap(&bed, position);
}
