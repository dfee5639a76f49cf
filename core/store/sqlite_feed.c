/* sqlite_feed.c - Followers of the feed.
 *
 * A row's position is its number in the table: AUTOINCREMENT, so it never
 * comes back, and given under the write lock, so commit order is number order.
 * A follower reads on from its number; when there is nothing it sleeps until a
 * group has committed rows.
 *
 * A position is "<epoch>.<row>". The epoch is the file's; a backup has another.
 * Rows at or below the floor have been reaped: who has not read them is told. */
/* SPDX-License-Identifier: MIT */
#include "base/alloc.h"
#include "base/cond.h"
#include "store/sqlite_internal.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { BATCH = 128 };

struct follower {
    int64_t row;     /* Returned up to here. */
    bool is_foreign; /* The position it was opened with is of another epoch. */
    struct pk_doc *doc[BATCH];
    int64_t doc_row[BATCH];
    size_t first, count; /* Read, and not returned yet. */
};

void pk_sql_position(const struct pk_sqlite *sqlite, int64_t row, char out[PK_POSITION_TEXT])
{
    (void)snprintf(out, PK_POSITION_TEXT, "%s.%" PRId64, sqlite->store->epoch, row);
}

void pk_sql_feed_tell(struct pk_sqlite *sqlite, int64_t row)
{
    (void)pthread_mutex_lock(&sqlite->feed_lock);
    sqlite->feed_row = row;
    (void)pthread_cond_broadcast(&sqlite->feed_news);
    (void)pthread_mutex_unlock(&sqlite->feed_lock);
}

/* False: no position at all. */
static bool parse_position(const struct pk_sqlite *sqlite, const char *text, bool *out_is_ours,
                           int64_t *out_row)
{
    const char *dot = strrchr(text, '.');
    char *end = NULL;
    if (!dot || dot == text || dot[1] < '0' || dot[1] > '9') {
        return false;
    }
    *out_row = strtoll(dot + 1, &end, 10);
    const size_t length = (size_t)(dot - text);
    *out_is_ours =
        length == strlen(sqlite->store->epoch) && memcmp(text, sqlite->store->epoch, length) == 0;
    return *end == 0 && strlen(text) < PK_POSITION_TEXT;
}

static int64_t last_row(struct pk_sqlite *sqlite, int64_t *out_floor)
{
    (void)pthread_mutex_lock(&sqlite->feed_lock);
    const int64_t row = sqlite->feed_row;
    if (out_floor) {
        *out_floor = sqlite->feed_floor;
    }
    (void)pthread_mutex_unlock(&sqlite->feed_lock);
    return row;
}

bool pk_sql_feed_open(struct pk_feed *feed, const char *position, struct pk_error *err)
{
    struct pk_sqlite *sqlite = feed->store->impl;
    const int64_t end = last_row(sqlite, NULL);
    bool is_ours = true;
    int64_t row = end;

    if (!sqlite->layout.feed) {
        return pk_fail(err, PK_UNSUPPORTED, "declare a collection with is_feed in the inventory",
                       "this store has no feed");
    }
    if (*position && !parse_position(sqlite, position, &is_ours, &row)) {
        return pk_fail(err, PK_INVALID, "use a position as it was handed out, or start without one",
                       "'%.64s' is not a position of the feed", position);
    }
    struct follower *follower = pk_calloc(1, sizeof(*follower));
    follower->is_foreign = !is_ours || row > end;
    follower->row = follower->is_foreign ? end : row;
    feed->impl = follower;
    return true;
}

static void drop_batch(struct follower *follower)
{
    while (follower->count) {
        pk_doc_unref(follower->doc[follower->first++]);
        follower->count--;
    }
}

void pk_sql_feed_close(struct pk_feed *feed)
{
    drop_batch(feed->impl);
    pk_free(feed->impl);
}

/* True once there are rows behind 'row'; false when the time is out. */
static bool wait_for_news(struct pk_sqlite *sqlite, int64_t row, int64_t timeout_ms)
{
    const struct timespec until = pk_cond_in_ms(timeout_ms);
    (void)pthread_mutex_lock(&sqlite->feed_lock);
    while (sqlite->feed_row <= row && pk_cond_wait(&sqlite->feed_news, &sqlite->feed_lock, until)) {
    }
    const bool has_news = sqlite->feed_row > row;
    (void)pthread_mutex_unlock(&sqlite->feed_lock);
    return has_news;
}

static bool read_batch(struct pk_sqlite *sqlite, struct follower *follower, sqlite3 *db,
                       sqlite3_stmt *stmt, struct pk_error *err)
{
    int code;
    (void)sqlite3_bind_int64(stmt, 1, follower->row);
    follower->first = 0;
    while ((code = sqlite3_step(stmt)) == SQLITE_ROW) {
        bson_t view;
        if (!bson_init_static(&view, sqlite3_column_blob(stmt, 2),
                              (size_t)sqlite3_column_bytes(stmt, 2))) {
            return pk_fail(err, PK_INTERNAL, "restore the latest backup into an empty folder",
                           "a row of the feed is damaged");
        }
        follower->doc_row[follower->count] = sqlite3_column_int64(stmt, 0);
        follower->doc[follower->count++] =
            pk_doc_new_versioned(&view, sqlite3_column_int64(stmt, 1));
    }
    return code == SQLITE_DONE || pk_sql_fail(sqlite, db, err, "read the feed");
}

static bool fill(struct pk_sqlite *sqlite, struct follower *follower, struct pk_error *err)
{
    struct pk_sql_reader *reader;
    sqlite3_stmt *stmt;
    char sql[192];

    (void)snprintf(sql, sizeof(sql),
                   "SELECT n, version, body FROM \"%s\" WHERE n > ?1 ORDER BY n LIMIT %d",
                   sqlite->layout.feed->collection->name, (int)BATCH);
    if (!pk_sql_reader_take(sqlite, 0, &reader, err)) {
        return false;
    }
    bool ok = pk_sql_cached(sqlite, reader->db, &reader->cache, sql, &stmt, err);
    if (ok) {
        ok = read_batch(sqlite, follower, reader->db, stmt, err);
        (void)sqlite3_reset(stmt);
    }
    pk_sql_reader_give(sqlite, reader);
    if (!ok) {
        drop_batch(follower);
    }
    return ok;
}

static bool give_gap(struct pk_sqlite *sqlite, struct follower *follower, int64_t row,
                     struct pk_feed_item *out)
{
    drop_batch(follower);
    follower->row = row;
    follower->is_foreign = false;
    out->kind = PK_FEED_GAP;
    pk_sql_position(sqlite, row, out->position);
    return true;
}

bool pk_sql_feed_next(struct pk_feed *feed, int64_t timeout_ms, struct pk_feed_item *out,
                      struct pk_error *err)
{
    struct pk_sqlite *sqlite = feed->store->impl;
    struct follower *follower = feed->impl;
    int64_t floor;

    if (follower->is_foreign) {
        return give_gap(sqlite, follower, last_row(sqlite, NULL), out);
    }
    if (follower->count == 0 && wait_for_news(sqlite, follower->row, timeout_ms)) {
        if (!fill(sqlite, follower, err)) {
            return false;
        }
        /* Asked after reading: what was reaped before the snapshot is known by now. */
        const int64_t end = last_row(sqlite, &floor);
        if (follower->row < floor) {
            return give_gap(sqlite, follower, floor < end ? floor : end, out);
        }
    }
    if (follower->count == 0) {
        out->kind = PK_FEED_QUIET;
    } else {
        out->kind = PK_FEED_EVENT;
        out->doc = follower->doc[follower->first]; /* The reference goes to the caller. */
        follower->row = follower->doc_row[follower->first++];
        follower->count--;
    }
    pk_sql_position(sqlite, follower->row, out->position);
    return true;
}

/* A follower of another epoch has passed nothing until it was told so. */
void pk_sql_feed_mark(const struct pk_feed *feed, struct pk_feed_mark *out)
{
    const struct follower *follower = feed->impl;
    if (!follower->is_foreign) {
        out->passed = (uint64_t)follower->row;
        pk_sql_position(feed->store->impl, follower->row, out->position);
    }
}

bool pk_sql_mark_has_passed(const struct pk_store *store, const struct pk_feed_mark *mark,
                            const char *cursor, bool *out_passed, struct pk_error *err)
{
    const struct pk_sqlite *sqlite = store->impl;
    bool is_ours;
    int64_t row;

    if (!parse_position(sqlite, cursor, &is_ours, &row) || !is_ours) {
        return pk_fail(err, PK_INVALID, "use a cursor of this store as it was handed out",
                       "'%.64s' is not a cursor of this store", cursor);
    }
    *out_passed = mark->position[0] && row <= (int64_t)mark->passed;
    return true;
}
