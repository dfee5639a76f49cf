/* test_sqlite.c - The embedded engine: plans, expiry, uniqueness, lists, feed. */
/* SPDX-License-Identifier: MIT */
#include "base/alloc.h"
#include "base/clock.h"
#include "doc/doc.h"
#include "faulty.h"
#include "store/sqlite_internal.h"
#include "test.h"
#include "things.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LONG_AGO = 1000 };

/* ---- Order and pages ---- */

TEST(pages_of_any_size_walk_an_index_in_its_order)
{
    struct pk_store *store = things_open(pk_test_folder());
    /* owner up, at down, id up; absent values lie lowest. */
    (void)things_insert(store, (struct thing){ .id = "a", .owner = "x", .at = 10 });
    (void)things_insert(store, (struct thing){ .id = "b", .owner = "x", .at = 30 });
    (void)things_insert(store, (struct thing){ .id = "c", .owner = "x", .at = 20 });
    (void)things_insert(store, (struct thing){ .id = "d", .owner = "x", .at = 20 });
    (void)things_insert(store, (struct thing){ .id = "e", .owner = "x" });
    (void)things_insert(store, (struct thing){ .id = "f", .owner = "y", .at = 1 });
    (void)things_insert(store, (struct thing){ .id = "g" });
    (void)things_insert(store, (struct thing){ .id = "h", .at = 5 });
    (void)things_insert(store, (struct thing){ .id = "i", .owner = "x" });

    struct pk_query query = { .collection = "things", .index = "by_owner" };
    things_assert_walk(store, query, "h g b c d a e i f");
    query.is_reversed = true;
    things_assert_walk(store, query, "f i e a d c b g h");
    query.is_reversed = false;
    query.equal[0] = PK_TEXT("x");
    query.equal_count = 1;
    things_assert_walk(store, query, "b c d a e i");
    query.max = (struct pk_bound){ .is_set = true, .value = PK_DATE(20) };
    things_assert_walk(store, query, "c d a");
    query.min = (struct pk_bound){ .is_set = true, .is_exclusive = true, .value = PK_DATE(10) };
    things_assert_walk(store, query, "c d");
    query.is_reversed = true;
    things_assert_walk(store, query, "d c");
    query = (struct pk_query){ .collection = "things", .index = "by_owner" };
    query.equal[0] = (struct pk_value){ .type = PK_VALUE_NULL };
    query.equal_count = 1;
    things_assert_walk(store, query, "h g");
    query = (struct pk_query){ .collection = "things", .index = "by_owner" };
    query.min = (struct pk_bound){ .is_set = true, .value = PK_TEXT("x") };
    things_assert_walk(store, query, "b c d a e i f");

    query = (struct pk_query){ .collection = "things", .index = "_id" };
    things_assert_walk(store, query, "a b c d e f g h i");
    query.is_reversed = true;
    query.max = (struct pk_bound){ .is_set = true, .value = PK_TEXT("c") };
    things_assert_walk(store, query, "c b a");
    query = (struct pk_query){ .collection = "things", .index = "_id" };
    query.equal[0] = PK_TEXT("d");
    query.equal_count = 1;
    things_assert_walk(store, query, "d");
    pk_store_close(store);
}

static void insert_metadata(struct pk_store *store, const char *id, const char *json_text,
                            double number, bool is_true)
{
    bson_t bson = BSON_INITIALIZER, metadata, inner;
    struct pk_writes list = { 0 };
    struct pk_error err;
    BSON_APPEND_UTF8(&bson, "_id", id);
    BSON_APPEND_DOCUMENT_BEGIN(&bson, "metadata", &metadata);
    BSON_APPEND_UTF8(&metadata, "text", json_text);
    BSON_APPEND_DOCUMENT_BEGIN(&metadata, "deep", &inner);
    BSON_APPEND_DOUBLE(&inner, "number", number);
    BSON_APPEND_BOOL(&inner, "flag", is_true);
    bson_append_document_end(&metadata, &inner);
    bson_append_document_end(&bson, &metadata);
    struct pk_doc *doc = pk_doc_take(&bson);
    pk_writes_insert(&list, "things", doc);
    assert_ok(pk_store_commit(store, &list, 0, NULL, &err), &err);
    pk_doc_unref(doc);
    pk_writes_done(&list);
}

TEST(an_index_of_many_values_finds_each_document_once)
{
    struct pk_store *store = things_open(pk_test_folder());
    (void)things_insert(store, (struct thing){ .id = "a", .tag = "red", .at = 3 });
    (void)things_insert(store, (struct thing){ .id = "b", .tag = "red", .tag2 = "red", .at = 1 });
    (void)things_insert(store, (struct thing){ .id = "c", .tag = "blue", .tag2 = "red", .at = 2 });
    const int64_t version = things_version(store, "a");

    struct pk_query query = {
        .collection = "things", .index = "by_tag", .equal = { PK_TEXT("red") }, .equal_count = 1
    };
    things_assert_walk(store, query, "b c a");
    query.min = (struct pk_bound){ .is_set = true, .value = PK_DATE(2) };
    things_assert_walk(store, query, "c a");
    (void)things_replace(store, (struct thing){ .id = "a", .tag = "blue", .at = 9 }, version);
    query.min.is_set = false;
    things_assert_walk(store, query, "b c");
    query.equal[0] = PK_TEXT("blue");
    things_assert_walk(store, query, "c a");

    insert_metadata(store, "m", "x", 1, true);
    insert_metadata(store, "n", "1", 2, false);
    query = (struct pk_query){ .collection = "things",
                               .index = "by_metadata",
                               .below = "deep.number",
                               .equal = { PK_INT(1) },
                               .equal_count = 1 };
    things_assert_walk(store, query, "m");
    query.below = "deep.flag";
    things_assert_walk(store, query, ""); /* true is not 1. */
    query.equal[0] = PK_BOOL(true);
    things_assert_walk(store, query, "m");
    query.below = "text";
    query.equal[0] = PK_TEXT("1");
    things_assert_walk(store, query, "n");
    pk_store_close(store);
}

/* Every SELECT that a page needs, explained: a search of an index, nothing sorted. */
static void explain(sqlite3 *db, const char *sql)
{
    PK_CLEANUP(pk_freep) char *text = pk_strdupf("EXPLAIN QUERY PLAN %s", sql);
    sqlite3_stmt *stmt;
    assert_int_equal(sqlite3_prepare_v2(db, text, -1, &stmt, NULL), SQLITE_OK);
    while (sqlite3_step(stmt) == SQLITE_ROW) {
        const char *detail = (const char *)sqlite3_column_text(stmt, 3);
        if (strstr(detail, "TEMP B-TREE") ||
            (strncmp(detail, "SCAN", 4) == 0 && !strstr(detail, "USING INDEX") &&
             !strstr(detail, "USING COVERING INDEX"))) {
            fail_msg("%s: %s", sql, detail);
        }
    }
    (void)sqlite3_finalize(stmt);
}

TEST(no_page_is_sorted_or_scans_a_table)
{
    struct pk_store *store = things_open(pk_test_folder());
    static const char *const owner[] = { "x", "y", NULL };
    static const char *const id[] = { "a", "b", "c", "d", "e", "f", "g", "h", "i" };
    for (size_t i = 0; i < PK_COUNT(id); i++) {
        (void)things_insert(store, (struct thing){ .id = id[i],
                                                   .owner = owner[i % 3],
                                                   .name = id[i],
                                                   .slot = id[i],
                                                   .status = "active",
                                                   .tag = "red",
                                                   .at = i % 2 ? 0 : (int64_t)i });
    }
    struct pk_query query[] = {
        { .collection = "things", .index = "by_owner" },
        { .collection = "things",
          .index = "by_owner",
          .equal = { PK_TEXT("x") },
          .equal_count = 1 },
        { .collection = "things",
          .index = "by_owner",
          .equal = { PK_TEXT("x") },
          .equal_count = 1,
          .min = { .is_set = true, .value = PK_DATE(1) } },
        { .collection = "things", .index = "by_name" },
        { .collection = "things",
          .index = "by_tag",
          .equal = { PK_TEXT("red") },
          .equal_count = 1 },
        { .collection = "things", .index = "_id" },
    };
    for (size_t i = 0; i < PK_COUNT(query); i++) {
        pk_free(things_walk(store, query[i], 1));
        query[i].is_reversed = true;
        pk_free(things_walk(store, query[i], 1));
    }
    /* One reader was enough: its cache has every statement that was run. */
    struct pk_sqlite *sqlite = store->impl;
    struct pk_sql_reader *reader = sqlite->reader;
    assert_non_null(reader);
    assert_null(reader->next);
    assert_true(reader->cache.count > 20);
    for (size_t i = 0; i < reader->cache.count; i++) {
        explain(reader->db, reader->cache.cached[i].sql);
    }
    pk_store_close(store);
}

TEST(a_scan_that_takes_too_long_ends_at_its_deadline)
{
    struct pk_store *store = things_open(pk_test_folder());
    struct pk_writes list = { 0 };
    struct pk_error err;
    for (int i = 0; i < 1000; i++) {
        char id[16];
        (void)snprintf(id, sizeof(id), "t%d", i);
        struct pk_doc *doc =
            thing_new((struct thing){ .id = id, .owner = "x", .expires_at = LONG_AGO });
        pk_writes_insert(&list, "things", doc);
        pk_doc_unref(doc);
    }
    assert_ok(pk_store_commit(store, &list, 0, NULL, &err), &err);
    pk_writes_done(&list);
    struct pk_page page;
    const struct pk_query query = { .collection = "things", .index = "by_owner" };
    assert_false(pk_store_find(store, &query, 1, &page, &err)); /* A deadline long past. */
    assert_int_equal(err.code, PK_TIMEOUT);
    assert_ok(pk_store_find(store, &query, 0, &page, &err), &err);
    assert_int_equal(page.count, 0);
    pk_page_done(&page);
    pk_store_close(store);
}

/* ---- Uniqueness and expiry ---- */

TEST(a_unique_index_that_objects_is_named)
{
    struct pk_store *store = things_open(pk_test_folder());
    struct pk_commit commit;
    struct pk_error err;
    (void)things_insert(store, (struct thing){ .id = "a", .name = "n" });
    assert_false(things_try(store, (struct thing){ .id = "b", .name = "n" }, &commit, &err));
    assert_int_equal(err.code, PK_CONFLICT);
    assert_string_equal(commit.conflict_index, "by_name");
    assert_int_equal(commit.conflict_write, 0);
    assert_false(things_try(store, (struct thing){ .id = "a", .name = "n" }, &commit, &err));
    assert_string_equal(commit.conflict_index, "_id");

    (void)things_insert(store, (struct thing){ .id = "c", .slot = "s", .status = "draft" });
    (void)things_insert(store, (struct thing){ .id = "d", .slot = "s", .status = "active" });
    assert_false(things_try(store, (struct thing){ .id = "e", .slot = "s", .status = "active" },
                            &commit, &err));
    assert_string_equal(commit.conflict_index, "by_slot");
    (void)things_insert(store, (struct thing){ .id = "e" });
    (void)things_insert(store, (struct thing){ .id = "f" }); /* No name: outside the index. */
    pk_store_close(store);
}

TEST(what_has_expired_is_gone_and_stands_in_nobodys_way)
{
    struct pk_store *store = things_open(pk_test_folder());
    struct pk_writes list = { 0 };
    struct pk_commit commit;
    struct pk_error err;
    const int64_t version = things_insert(
        store, (struct thing){ .id = "a", .name = "n", .tag = "red", .expires_at = LONG_AGO });
    assert_int_equal(things_version(store, "a"), 0);

    struct pk_doc *doc = thing_new((struct thing){ .id = "a" });
    pk_writes_replace(&list, "things", doc, version);
    assert_false(pk_store_commit(store, &list, 0, &commit, &err));
    assert_int_equal(err.code, PK_CONFLICT);
    assert_string_equal(commit.conflict_index, "");
    pk_doc_unref(doc);
    pk_writes_clear(&list);
    pk_writes_expect_absent(&list, "things", "a");
    assert_ok(pk_store_commit(store, &list, 0, &commit, &err), &err);
    pk_writes_clear(&list);
    pk_writes_delete(&list, "things", "a", version);
    assert_false(pk_store_commit(store, &list, 0, &commit, &err));
    pk_writes_done(&list);

    (void)things_insert(store, (struct thing){ .id = "b", .name = "n" }); /* Its name is free. */
    const struct pk_query red = {
        .collection = "things", .index = "by_tag", .equal = { PK_TEXT("red") }, .equal_count = 1
    };
    things_assert_walk(store, red, "");
    (void)things_insert(store, (struct thing){ .id = "c", .expires_at = LONG_AGO, .tag = "red" });
    const int64_t again = things_insert(store, (struct thing){ .id = "c", .tag = "red" });
    assert_int_equal(things_version(store, "c"), again);
    things_assert_walk(store, red, "c");
    pk_store_close(store);
}

TEST(an_expired_document_makes_room_for_itself)
{
    struct pk_store *store = things_open(pk_test_folder());
    struct pk_error err;
    const struct thing gone = { .id = "a",
                                .name = "n",
                                .slot = "s",
                                .status = "active",
                                .tag = "red",
                                .expires_at = LONG_AGO };
    struct thing again = gone;
    again.expires_at = 0;
    (void)things_insert(store, gone);
    assert_ok(things_try(store, again, NULL, &err), &err);
    pk_store_close(store);
}

TEST(reaping_deletes_what_has_expired_up_to_the_limit)
{
    struct pk_store *store = things_open(pk_test_folder());
    struct pk_error err;
    size_t count;
    for (int i = 0; i < 7; i++) {
        char id[8];
        (void)snprintf(id, sizeof(id), "t%d", i);
        (void)things_insert(
            store, (struct thing){ .id = id, .tag = "red", .expires_at = i == 3 ? 0 : LONG_AGO });
    }
    assert_ok(pk_store_reap(store, 4, &count, &err), &err);
    assert_int_equal(count, 4);
    assert_ok(pk_store_reap(store, 100, &count, &err), &err);
    assert_int_equal(count, 2);
    assert_ok(pk_store_reap(store, 100, &count, &err), &err);
    assert_int_equal(count, 0);
    const struct pk_query all = { .collection = "things", .index = "_id" };
    things_assert_walk(store, all, "t3");
    pk_store_close(store);
}

/* ---- Lists ---- */

TEST(a_list_in_conflict_leaves_nothing_and_its_neighbours_everything)
{
    struct pk_store *store = things_open(pk_test_folder());
    struct pk_writes list = { 0 };
    struct pk_commit commit;
    struct pk_error err;
    (void)things_insert(store, (struct thing){ .id = "a", .name = "n" });
    static const struct thing thing[] = { { .id = "b", .tag = "red" },
                                          { .id = "c", .name = "n", .tag = "red" },
                                          { .id = "d" } };
    for (size_t i = 0; i < PK_COUNT(thing); i++) {
        struct pk_doc *doc = thing_new(thing[i]);
        pk_writes_insert(&list, "things", doc);
        pk_doc_unref(doc);
    }
    assert_false(pk_store_commit(store, &list, 0, &commit, &err));
    assert_int_equal(commit.conflict_write, 1);
    assert_string_equal(commit.conflict_index, "by_name");
    pk_writes_done(&list);
    const struct pk_query all = { .collection = "things", .index = "_id" };
    things_assert_walk(store, all, "a");
    const struct pk_query red = {
        .collection = "things", .index = "by_tag", .equal = { PK_TEXT("red") }, .equal_count = 1
    };
    things_assert_walk(store, red, "");
    pk_store_close(store);
}

static bool count_one(struct pk_store *store, const char *id, struct pk_count count,
                      struct pk_error *err)
{
    struct pk_writes list = { 0 };
    pk_writes_count(&list, "things", id, &count, 1);
    const bool ok = pk_store_commit(store, &list, 0, NULL, err);
    pk_writes_done(&list);
    return ok;
}

TEST(counts_change_numbers_and_dates_and_no_version)
{
    struct pk_store *store = things_open(pk_test_folder());
    struct pk_error err;
    struct pk_doc *doc;
    const int64_t version =
        things_insert(store, (struct thing){ .id = "a", .owner = "x", .at = 10, .size = 5 });
    const struct pk_count count[] = {
        { .path = "size", .amount = 3 },
        { .path = "at", .is_date = true, .amount = 20 },
        { .path = "at", .is_date = true, .amount = 15 },
        { .path = "use.by.person", .amount = 1 },
        { .path = "use.by.person", .amount = 1 },
        { .path = "use.last", .is_date = true, .amount = 7 },
    };
    for (size_t i = 0; i < PK_COUNT(count); i++) {
        assert_ok(count_one(store, "a", count[i], &err), &err);
    }
    assert_ok(pk_store_get(store, "things", "a", 0, &doc, &err), &err);
    assert_int_equal(pk_doc_version(doc), version);
    assert_int_equal(pk_doc_int(doc, "size", 0), 8);
    assert_int_equal(pk_doc_date(doc, "at", 0), 20);
    assert_int_equal(pk_doc_int(doc, "use.by.person", 0), 2);
    assert_int_equal(pk_doc_date(doc, "use.last", 0), 7);
    pk_doc_unref(doc);
    /* The index follows. */
    const struct pk_query query = { .collection = "things",
                                    .index = "by_owner",
                                    .equal = { PK_TEXT("x") },
                                    .equal_count = 1,
                                    .min = { .is_set = true, .value = PK_DATE(20) } };
    things_assert_walk(store, query, "a");
    assert_ok(count_one(store, "gone", count[0], &err), &err);
    assert_false(count_one(store, "a", (struct pk_count){ .path = "owner", .amount = 1 }, &err));
    assert_int_equal(err.code, PK_INVALID);
    assert_false(count_one(store, "a", (struct pk_count){ .path = "owner.x", .amount = 1 }, &err));
    assert_int_equal(err.code, PK_INVALID);
    assert_false(
        count_one(store, "a", (struct pk_count){ .path = "size", .amount = INT64_MAX }, &err));
    assert_int_equal(err.code, PK_INVALID);
    pk_store_close(store);
}

struct racer {
    pthread_t thread;
    struct pk_store *store;
    int wins, conflicts, others;
};

static void *race(void *context)
{
    struct racer *racer = context;
    for (int i = 0; i < 50; i++) {
        char id[16];
        struct pk_error err;
        (void)snprintf(id, sizeof(id), "r%d", i);
        if (things_try(racer->store, (struct thing){ .id = id, .name = id }, NULL, &err)) {
            racer->wins++;
        } else if (err.code == PK_CONFLICT) {
            racer->conflicts++;
        } else {
            racer->others++;
        }
    }
    return NULL;
}

TEST(of_many_writers_of_one_key_exactly_one_wins)
{
    struct pk_store *store = things_open(pk_test_folder());
    struct racer racer[32];
    int wins = 0, conflicts = 0, others = 0;
    for (size_t i = 0; i < PK_COUNT(racer); i++) {
        racer[i] = (struct racer){ .store = store };
        assert_int_equal(pthread_create(&racer[i].thread, NULL, race, &racer[i]), 0);
    }
    for (size_t i = 0; i < PK_COUNT(racer); i++) {
        (void)pthread_join(racer[i].thread, NULL);
        wins += racer[i].wins;
        conflicts += racer[i].conflicts;
        others += racer[i].others;
    }
    assert_int_equal(wins, 50);
    assert_int_equal(conflicts, 50 * 31);
    assert_int_equal(others, 0);
    pk_store_close(store);
}

/* ---- Feed ---- */

static void announce(struct pk_store *store, const char *id, int64_t expires_at,
                     struct pk_commit *commit)
{
    struct pk_writes list = { 0 };
    struct pk_error err;
    struct pk_doc *doc = thing_new((struct thing){ .id = id, .expires_at = expires_at });
    pk_writes_announce(&list, doc);
    assert_ok(pk_store_commit(store, &list, 0, commit, &err), &err);
    pk_doc_unref(doc);
    pk_writes_done(&list);
}

static void assert_next(struct pk_feed *feed, enum pk_feed_kind kind, const char *id,
                        struct pk_feed_item *item)
{
    struct pk_error err;
    assert_ok(pk_feed_next(feed, kind == PK_FEED_EVENT ? 5000 : 0, item, &err), &err);
    assert_int_equal(item->kind, kind);
    if (id) {
        assert_string_equal(pk_doc_id(item->doc), id);
    }
    pk_doc_unref(item->doc);
}

TEST(a_follower_sees_each_row_once_and_knows_what_it_has_passed)
{
    const char *folder = pk_test_folder();
    struct pk_store *store = things_open(folder);
    struct pk_feed *feed;
    struct pk_feed_item item;
    struct pk_commit first, second;
    struct pk_error err;
    bool has_passed;

    announce(store, "before", 0, NULL);
    assert_ok(pk_feed_open(&feed, store, NULL, &err), &err);
    assert_next(feed, PK_FEED_QUIET, NULL, &item);
    announce(store, "e1", 0, &first);
    announce(store, "e2", 0, &second);
    assert_ok(pk_feed_has_passed(feed, first.cursor, &has_passed, &err), &err);
    assert_false(has_passed);
    assert_next(feed, PK_FEED_EVENT, "e1", &item);
    assert_string_equal(item.position, first.cursor);
    assert_ok(pk_feed_has_passed(feed, first.cursor, &has_passed, &err), &err);
    assert_true(has_passed);
    assert_ok(pk_feed_has_passed(feed, second.cursor, &has_passed, &err), &err);
    assert_false(has_passed);
    char position[PK_POSITION_TEXT];
    memcpy(position, item.position, sizeof(position));
    pk_feed_close(feed);
    pk_store_close(store);

    store = things_open(folder); /* Across a restart. */
    assert_ok(pk_feed_open(&feed, store, position, &err), &err);
    assert_next(feed, PK_FEED_EVENT, "e2", &item);
    assert_next(feed, PK_FEED_QUIET, NULL, &item);
    assert_false(pk_feed_has_passed(feed, "elsewhere.1", &has_passed, &err));
    assert_int_equal(err.code, PK_INVALID);
    pk_feed_close(feed);
    assert_false(pk_feed_open(&feed, store, "no position", &err));
    assert_int_equal(err.code, PK_INVALID);
    assert_ok(pk_feed_open(&feed, store, "elsewhere.1", &err), &err);
    assert_next(feed, PK_FEED_GAP, NULL, &item);
    assert_next(feed, PK_FEED_QUIET, NULL, &item);
    pk_feed_close(feed);
    pk_store_close(store);
}

TEST(a_follower_behind_reaped_rows_is_told_of_the_gap)
{
    struct pk_store *store = things_open(pk_test_folder());
    struct pk_feed *feed;
    struct pk_feed_item item;
    struct pk_error err;
    size_t count;
    assert_ok(pk_feed_open(&feed, store, "", &err), &err);
    announce(store, "e1", LONG_AGO, NULL);
    announce(store, "e2", LONG_AGO, NULL);
    announce(store, "e3", 0, NULL);
    assert_ok(pk_store_reap(store, 10, &count, &err), &err);
    assert_int_equal(count, 2);
    assert_next(feed, PK_FEED_GAP, NULL, &item);
    assert_next(feed, PK_FEED_EVENT, "e3", &item);
    pk_feed_close(feed);
    pk_store_close(store);
}

TEST(a_reap_that_fails_leaves_followers_their_rows)
{
    faulty_install();
    struct pk_store *store = things_open(pk_test_folder());
    struct pk_feed *feed;
    struct pk_feed_item item;
    struct pk_error err;
    size_t count;
    assert_ok(pk_feed_open(&feed, store, "", &err), &err);
    announce(store, "e1", LONG_AGO, NULL);
    faulty_plan(FAULTY_WRITE, "-wal", 0, SQLITE_FULL);
    assert_false(pk_store_reap(store, 10, &count, &err));
    assert_int_equal(err.code, PK_FULL);
    assert_int_equal(count, 0);
    faulty_plan(FAULTY_NONE, "", 0, 0);
    assert_next(feed, PK_FEED_EVENT, "e1", &item); /* And no gap before it. */
    pk_feed_close(feed);
    pk_store_close(store);
    faulty_remove();
}
