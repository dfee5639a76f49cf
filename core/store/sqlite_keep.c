/* sqlite_keep.c - Reaping, backup.
 *
 * Reaping: expired rows in batches under the write lock, so that writers come
 * in between. The feed's floor is written with the rows that it stands for.
 *
 * Backup: sqlite3_backup from a reader that holds one snapshot from the first
 * page to the last. Without it every commit would start the copy anew, and
 * under steady writing it would never end; with it the WAL grows until the
 * copy is done. The copy gets an epoch of its own: positions and cursors of
 * the original mean nothing in a store that goes on from it. */
/* SPDX-License-Identifier: MIT */
#include "base/alloc.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/id.h"
#include "store/sqlite_internal.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { REAP_BATCH = 200, BACKUP_STEP_PAGES = 256 };

/* ---- Reaping ---- */

struct batch {
    int64_t n[REAP_BATCH];
    size_t count;
    int64_t last; /* The largest of them, and no less than the floor. */
};

static bool list_expired(struct pk_sqlite *sqlite, const struct pk_sql_table *table, size_t limit,
                         struct batch *out, struct pk_error *err)
{
    PK_CLEANUP(pk_sql_finalize) sqlite3_stmt *stmt = NULL;
    int code;

    *out = (struct batch){ .last = sqlite->feed_floor };
    if (!pk_sql_prepare(sqlite, sqlite->writer.db, table->expired, &stmt, err)) {
        return false;
    }
    (void)sqlite3_bind_int64(stmt, 1, pk_clock_wall_ms(sqlite->store->clock));
    (void)sqlite3_bind_int64(stmt, 2, (int64_t)(limit < REAP_BATCH ? limit : REAP_BATCH));
    while ((code = sqlite3_step(stmt)) == SQLITE_ROW) {
        const int64_t n = sqlite3_column_int64(stmt, 0);
        out->n[out->count++] = n;
        out->last = n > out->last ? n : out->last;
    }
    return code == SQLITE_DONE || pk_sql_fail(sqlite, sqlite->writer.db, err, "reap");
}

static bool raise_floor(struct pk_sqlite *sqlite, int64_t floor, struct pk_error *err)
{
    PK_CLEANUP(pk_sql_finalize) sqlite3_stmt *stmt = NULL;
    if (!pk_sql_prepare(sqlite, sqlite->writer.db,
                        "UPDATE \"pk.meta\" SET value = max(value, ?1) WHERE key = 'floor'", &stmt,
                        err)) {
        return false;
    }
    (void)sqlite3_bind_int64(stmt, 1, floor);
    return pk_sql_run(stmt) == SQLITE_DONE || pk_sql_fail(sqlite, sqlite->writer.db, err, "reap");
}

static bool erase_batch(struct pk_sqlite *sqlite, const struct pk_sql_table *table,
                        const struct batch *batch, struct pk_error *err)
{
    for (size_t i = 0; i < batch->count; i++) {
        if (!pk_sql_erase_row(sqlite, table, batch->n[i])) {
            return pk_sql_fail(sqlite, sqlite->writer.db, err, "reap");
        }
    }
    return !table->collection->is_feed || raise_floor(sqlite, batch->last, err);
}

/* The floor that followers see, up for rows about to go or back; returns what it was. Nobody else
 * changes it: the write lock is held. */
static int64_t set_floor(struct pk_sqlite *sqlite, int64_t floor)
{
    (void)pthread_mutex_lock(&sqlite->feed_lock);
    const int64_t was = sqlite->feed_floor;
    sqlite->feed_floor = floor;
    (void)pthread_mutex_unlock(&sqlite->feed_lock);
    return was;
}

/* One transaction; '*out_count' is 0 when nothing is left to do. */
static bool reap_once(struct pk_sqlite *sqlite, const struct pk_sql_table *table, size_t limit,
                      size_t *out_count, struct pk_error *err)
{
    struct pk_sql_writer *writer = &sqlite->writer;
    struct batch batch;

    *out_count = 0;
    if (!pk_sql_check_running(sqlite, err)) {
        return false;
    }
    if (pk_sql_run(writer->begin) != SQLITE_DONE) {
        return pk_sql_fail(sqlite, writer->db, err, "reap");
    }
    if (!list_expired(sqlite, table, limit, &batch, err) ||
        !erase_batch(sqlite, table, &batch, err)) {
        pk_sql_rollback(sqlite);
        return false;
    }
    /* Before the rows are gone: a follower that misses them must find the floor raised. */
    const int64_t floor = table->collection->is_feed ? set_floor(sqlite, batch.last) : 0;
    if (pk_sql_commit(sqlite, err) != PK_OK) {
        if (table->collection->is_feed) {
            (void)set_floor(sqlite, floor); /* They are still there to be read. */
        }
        return false;
    }
    *out_count = batch.count;
    return true;
}

bool pk_sql_reap(struct pk_store *store, size_t limit, size_t *out_count, struct pk_error *err)
{
    struct pk_sqlite *sqlite = store->impl;
    size_t done = 0;
    for (size_t i = 0; i < sqlite->layout.count && done < limit; i++) {
        const struct pk_sql_table *table = &sqlite->layout.table[i];
        size_t count = table->expired ? 1 : 0;
        while (count > 0 && done < limit) {
            (void)pthread_mutex_lock(&sqlite->write_lock);
            const bool ok = reap_once(sqlite, table, limit - done, &count, err);
            (void)pthread_mutex_unlock(&sqlite->write_lock);
            if (!ok) {
                return false;
            }
            done += count;
            *out_count = done;
        }
    }
    return true;
}

/* ---- Backup ---- */

static bool is_empty_folder(const char *folder, struct pk_error *err)
{
    DIR *dir = opendir(folder);
    const struct dirent *entry;
    bool is_empty = true;
    if (!dir) {
        return pk_fail(err, PK_UNAVAILABLE, "check who may use the folder",
                       "folder '%s' cannot be read: %s", folder, strerror(errno));
    }
    while ((entry = readdir(dir)) != NULL) {
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0) {
            is_empty = false;
        }
    }
    (void)closedir(dir);
    return is_empty || pk_fail(err, PK_INVALID, "name a folder that is new or empty",
                               "folder '%s' is not empty", folder);
}

static bool copy_pages(struct pk_sqlite *sqlite, sqlite3 *from, sqlite3 *to,
                       pk_progress_fn *progress, void *context, struct pk_error *err)
{
    sqlite3_backup *backup = sqlite3_backup_init(to, "main", from, "main");
    bool is_stopped = false;
    int code = SQLITE_OK;
    if (!backup) {
        return pk_sql_fail(NULL, to, err, "copy the pages");
    }
    while (code == SQLITE_OK && !is_stopped) {
        code = sqlite3_backup_step(backup, BACKUP_STEP_PAGES);
        const int all = sqlite3_backup_pagecount(backup);
        const int left = sqlite3_backup_remaining(backup);
        is_stopped = progress && !progress(context, all - left, all);
    }
    (void)sqlite3_backup_finish(backup);
    if (is_stopped) {
        return pk_fail(err, PK_TIMEOUT, "start it again when it may run to its end",
                       "the backup was stopped");
    }
    if (code != SQLITE_DONE) {
        /* Whichever side it was; a fault of the copy does not stop the store. */
        sqlite3 *at_fault = sqlite3_errcode(to) != SQLITE_OK ? to : from;
        return pk_sql_fail(at_fault == from ? sqlite : NULL, at_fault, err, "copy the pages");
    }
    return true;
}

static bool give_epoch(sqlite3 *to, struct pk_error *err)
{
    PK_CLEANUP(pk_sql_finalize) sqlite3_stmt *stmt = NULL;
    char epoch[PK_UUID_TEXT];
    pk_uuid_new(epoch);
    if (sqlite3_prepare_v2(to, "UPDATE \"pk.meta\" SET value = ?1 WHERE key = 'epoch'", -1, &stmt,
                           NULL) != SQLITE_OK) {
        return pk_sql_fail(NULL, to, err, "copy the pages");
    }
    (void)sqlite3_bind_text(stmt, 1, epoch, -1, SQLITE_STATIC);
    return pk_sql_run(stmt) == SQLITE_DONE || pk_sql_fail(NULL, to, err, "copy the pages");
}

static bool sync_path(const char *path, int flags, struct pk_error *err)
{
    const int fd = open(path, flags | O_CLOEXEC);
    const bool ok = fd >= 0 && fsync(fd) == 0;
    const int why = errno;
    if (fd >= 0) {
        (void)close(fd);
    }
    return ok || pk_fail(err, PK_UNAVAILABLE, "check the device, then back up again",
                         "syncing '%s' failed: %s", path, strerror(why));
}

/* The copy, its epoch, and both on the device. */
static bool copy_store(struct pk_sqlite *sqlite, sqlite3 *from, const char *path,
                       pk_progress_fn *progress, void *context, struct pk_error *err)
{
    sqlite3 *to = NULL;
    if (sqlite3_open_v2(path, &to,
                        SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE,
                        NULL) != SQLITE_OK) {
        (void)pk_sql_fail(NULL, to, err, "copy the pages");
        (void)sqlite3_close(to);
        return false;
    }
    bool ok = copy_pages(sqlite, from, to, progress, context, err) && give_epoch(to, err);
    /* Without a WAL it is one file, and can be read where nothing can be written; opening it as a
     * store gives it one again. */
    if (ok && sqlite3_exec(to, "PRAGMA journal_mode=DELETE", NULL, NULL, NULL) != SQLITE_OK) {
        ok = pk_sql_fail(NULL, to, err, "copy the pages");
    }
    if (sqlite3_close(to) != SQLITE_OK && ok) {
        ok = pk_fail(err, PK_UNAVAILABLE, "back up again", "the backup could not be closed");
    }
    return ok && sync_path(path, O_RDWR, err);
}

static bool backup_to(struct pk_sqlite *sqlite, const char *path, pk_progress_fn *progress,
                      void *context, struct pk_error *err)
{
    struct pk_sql_reader *reader;
    const int fd = open(path, O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC, 0600);
    const bool is_made = fd >= 0 && fchmod(fd, 0600) == 0;
    const int why = errno;
    if (fd >= 0) {
        (void)close(fd);
    }
    if (!is_made) {
        return pk_fail(err, PK_UNAVAILABLE, "check who may use the folder",
                       "'%s' cannot be made: %s", path, strerror(why));
    }
    if (!pk_sql_reader_take(sqlite, 0, &reader, err)) {
        return false;
    }
    /* BEGIN alone takes no snapshot; the first read does. */
    bool ok = pk_sql_exec(sqlite, reader->db, "BEGIN; SELECT count(*) FROM sqlite_schema;", err);
    ok = ok && copy_store(sqlite, reader->db, path, progress, context, err);
    (void)sqlite3_exec(reader->db, "COMMIT", NULL, NULL, NULL);
    pk_sql_reader_give(sqlite, reader);
    return ok;
}

bool pk_sql_backup(struct pk_store *store, const char *folder, pk_progress_fn *progress,
                   void *context, struct pk_error *err)
{
    struct pk_sqlite *sqlite = store->impl;
    if (!pk_folder_make(folder, 0700, err) || !is_empty_folder(folder, err)) {
        return pk_wrap(err, "back up");
    }
    PK_CLEANUP(pk_freep) char *path = pk_strdupf("%s/personakit.db", folder);
    if (!backup_to(sqlite, path, progress, context, err) ||
        !sync_path(folder, O_RDONLY | O_DIRECTORY, err)) {
        (void)unlink(path); /* Half a backup is none. */
        return pk_wrap(err, "back up into '%s'", folder);
    }
    return true;
}
