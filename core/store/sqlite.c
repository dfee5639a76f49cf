/* sqlite.c - The embedded engine: its table of functions, connections, errors.
 *
 * One file, FOLDER/personakit.db, in WAL mode with synchronous=FULL. One
 * connection writes, under a lock, a group at a time; up to sixteen read
 * snapshots; two checkpoint. A commit is durable when COMMIT has returned.
 *
 * A failed sync is the end of writing: after it nobody knows what the device
 * has kept, and a second sync that succeeds proves nothing. The store stops,
 * refuses every later commit, and says so; reading goes on. */
/* SPDX-License-Identifier: MIT */
#include "base/alloc.h"
#include "base/clock.h"
#include "base/cond.h"
#include "store/sqlite_internal.h"

#include <errno.h>
#include <string.h>

enum {
    BUSY_MS = 250, /* Only another process can make us wait: ours takes turns. */
    LISTS_MAX = 256,
    GROUP_MAX_BYTES = 16 * 1024 * 1024,
    CROWD_MAX_MS = 5 /* A leader waits for returning callers, at most. */
};

/* ---- Errors ---- */

bool pk_sql_is_sync_failure(int extended_code)
{
    return extended_code == SQLITE_IOERR_FSYNC || extended_code == SQLITE_IOERR_DIR_FSYNC;
}

bool pk_sql_is_full(sqlite3 *db)
{
    const int code = sqlite3_extended_errcode(db);
    const int os = sqlite3_system_errno(db);
    return (code & 0xff) == SQLITE_FULL ||
           ((code & 0xff) == SQLITE_IOERR && (os == ENOSPC || os == EDQUOT));
}

static const struct {
    int sqlite; /* Primary code. */
    enum pk_code code;
    const char *hint;
    const char *says; /* NULL: what SQLite says. */
} failure_table[] = {
    { SQLITE_BUSY, PK_BUSY, "stop the other process that has the file open, or try again",
      "another process is using the store's file" },
    { SQLITE_LOCKED, PK_BUSY, "try again", "the store's file is locked" },
    { SQLITE_INTERRUPT, PK_TIMEOUT, "ask for less at a time, or allow more time",
      "the deadline passed while reading" },
    { SQLITE_NOTADB, PK_INTERNAL, "restore the latest backup into an empty folder",
      "the store's file is not a database" },
    { SQLITE_CORRUPT, PK_INTERNAL, "restore the latest backup into an empty folder",
      "the store's file is damaged" },
    { SQLITE_READONLY, PK_UNAVAILABLE, "make the folder and its files writable for this user",
      "the store's file cannot be written" },
    { SQLITE_CANTOPEN, PK_UNAVAILABLE, "check that the folder is there and who may use it",
      "the store's file cannot be opened" },
    { SQLITE_PERM, PK_UNAVAILABLE, "check who may use the folder",
      "the store's file cannot be used" },
    { SQLITE_AUTH, PK_UNAVAILABLE, "check who may use the folder",
      "the store's file cannot be used" },
    { SQLITE_TOOBIG, PK_TOO_LARGE, "split the document", "a document is too large" },
    { SQLITE_IOERR, PK_UNAVAILABLE, "check the device and the system's log",
      "reading or writing the store's file failed" },
};

bool pk_sql_check_running(struct pk_sqlite *sqlite, struct pk_error *err)
{
    if (atomic_load_explicit(&sqlite->is_stopped, memory_order_acquire)) {
        return pk_fail(err, PK_UNAVAILABLE,
                       "check the device and the system's log, then restart the server",
                       "the store has stopped: syncing its file failed");
    }
    return true;
}

bool pk_sql_fail(struct pk_sqlite *sqlite, sqlite3 *db, struct pk_error *err, const char *what)
{
    const int code = db ? sqlite3_extended_errcode(db) : SQLITE_NOMEM;
    const int os = db ? sqlite3_system_errno(db) : 0;

    if (pk_sql_is_sync_failure(code)) {
        if (sqlite) {
            atomic_store_explicit(&sqlite->is_stopped, true, memory_order_release);
        }
        return pk_fail(
            err, PK_UNAVAILABLE, "check the device and the system's log, then restart the server",
            "%s: syncing the store's file failed (%s); the store has stopped", what, strerror(os));
    }
    if (db && pk_sql_is_full(db)) {
        return pk_fail(err, PK_FULL, "free some space on the device, then try again",
                       "%s: no space left on the device", what);
    }
    for (size_t i = 0; i < PK_COUNT(failure_table); i++) {
        if (failure_table[i].sqlite == (code & 0xff)) {
            return pk_fail(err, failure_table[i].code, failure_table[i].hint, "%s: %s%s%s%s", what,
                           failure_table[i].says, os ? " (" : "", os ? strerror(os) : "",
                           os ? ")" : "");
        }
    }
    return pk_fail(err, PK_INTERNAL, "report this with the server's log", "%s: %s (%d)", what,
                   db ? sqlite3_errmsg(db) : "out of memory", code);
}

/* ---- Connections ---- */

bool pk_sql_exec(struct pk_sqlite *sqlite, sqlite3 *db, const char *sql, struct pk_error *err)
{
    if (sqlite3_exec(db, sql, NULL, NULL, NULL) != SQLITE_OK) {
        return pk_sql_fail(sqlite, db, err, "use the store");
    }
    return true;
}

bool pk_sql_prepare(struct pk_sqlite *sqlite, sqlite3 *db, const char *sql, sqlite3_stmt **out,
                    struct pk_error *err)
{
    if (sqlite3_prepare_v3(db, sql, -1, SQLITE_PREPARE_PERSISTENT, out, NULL) != SQLITE_OK) {
        return pk_sql_fail(sqlite, db, err, "use the store");
    }
    return true;
}

void pk_sql_finalize(sqlite3_stmt **stmt)
{
    (void)sqlite3_finalize(*stmt);
    *stmt = NULL;
}

int pk_sql_run(sqlite3_stmt *stmt)
{
    int code = sqlite3_step(stmt);
    while (code == SQLITE_ROW) {
        code = sqlite3_step(stmt);
    }
    if (code != SQLITE_DONE) {
        code = sqlite3_extended_errcode(sqlite3_db_handle(stmt));
    }
    (void)sqlite3_reset(stmt);
    return code;
}

bool pk_sql_connect(struct pk_sqlite *sqlite, int flags, sqlite3 **out, struct pk_error *err)
{
    /* The WAL is checkpointed by us alone, so that a failed sync there is seen. Pages are read
     * through the map; the cache holds what a group writes. */
    static const char pragmas[] = "PRAGMA synchronous=FULL; PRAGMA wal_autocheckpoint=0;"
                                  "PRAGMA mmap_size=2147418112; PRAGMA cache_size=-16384;"
                                  "PRAGMA foreign_keys=OFF; PRAGMA temp_store=MEMORY;"
                                  "PRAGMA trusted_schema=OFF; PRAGMA secure_delete=ON;";
    sqlite3 *db = NULL;

    if (sqlite3_open_v2(sqlite->path, &db, flags | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE,
                        NULL) != SQLITE_OK) {
        (void)pk_sql_fail(sqlite, db, err, "open the store");
        (void)sqlite3_close(db);
        return false;
    }
    (void)sqlite3_busy_timeout(db, BUSY_MS);
    if (sqlite3_exec(db, pragmas, NULL, NULL, NULL) != SQLITE_OK) {
        (void)pk_sql_fail(sqlite, db, err, "open the store");
        (void)sqlite3_close(db);
        return false;
    }
    *out = db;
    return true;
}

/* ---- Life ---- */

static void sqlite_close(struct pk_store *store)
{
    struct pk_sqlite *sqlite = store->impl;
    if (!sqlite) {
        return;
    }
    pk_committer_free(sqlite->committer);
    pk_sql_readers_close(sqlite);
    pk_sql_checkpoints_close(sqlite);
    pk_sql_writer_close(sqlite); /* Last: it empties the WAL into the file. */
    pk_sql_layout_done(&sqlite->layout);
    (void)pthread_mutex_destroy(&sqlite->write_lock);
    (void)pthread_mutex_destroy(&sqlite->read_lock);
    (void)pthread_mutex_destroy(&sqlite->feed_lock);
    (void)pthread_cond_destroy(&sqlite->read_free);
    (void)pthread_cond_destroy(&sqlite->feed_news);
    pk_free(sqlite->path);
    pk_free(sqlite);
    store->impl = NULL;
}

static void init_locks(struct pk_sqlite *sqlite)
{
    (void)pthread_mutex_init(&sqlite->write_lock, NULL);
    (void)pthread_mutex_init(&sqlite->read_lock, NULL);
    (void)pthread_mutex_init(&sqlite->feed_lock, NULL);
    pk_cond_init(&sqlite->read_free);
    pk_cond_init(&sqlite->feed_news);
}

static bool open_all(struct pk_sqlite *sqlite, const struct pk_store_options *options,
                     struct pk_error *err)
{
    const bool is_read_only = options->is_read_only;
    if (!is_read_only && !pk_sql_file_make(sqlite, err)) {
        return false;
    }
    return pk_sql_connect(sqlite, is_read_only ? SQLITE_OPEN_READONLY : SQLITE_OPEN_READWRITE,
                          &sqlite->writer.db, err) &&
           pk_sql_schema_open(sqlite, options, pk_sql_steps, err) &&
           (is_read_only ||
            (pk_sql_writer_open(sqlite, err) && pk_sql_checkpoints_open(sqlite, err)));
}

static bool sqlite_open(struct pk_store *store, const struct pk_store_options *options,
                        struct pk_error *err)
{
    struct pk_sqlite *sqlite = pk_calloc(1, sizeof(*sqlite));
    const struct pk_committer_options committer = {
        .groups_max = 1,
        .lists_max = LISTS_MAX,
        .bytes_max = GROUP_MAX_BYTES,
        .crowd_max_ms = CROWD_MAX_MS,
        .apply = pk_sql_apply,
        .is_upkeep_due = pk_sql_is_checkpoint_due,
        .upkeep = pk_sql_checkpoint,
        .engine = sqlite,
        .clock = store->clock,
    };
    store->impl = sqlite;
    sqlite->store = store;
    sqlite->path = pk_sql_path(options->url);
    init_locks(sqlite);
    pk_sql_layout_init(&sqlite->layout, store->inventory);
    if (!open_all(sqlite, options, err)) {
        (void)pk_wrap(err, "store '%s'", sqlite->path);
        sqlite_close(store);
        return false;
    }
    sqlite->committer = pk_committer_new(&committer);
    return true;
}

static struct pk_committer *sqlite_committer(struct pk_store *store)
{
    const struct pk_sqlite *sqlite = store->impl;
    return sqlite->committer;
}

/* A feed of the process that wrote is told at once: it has always passed what is committed as soon
 * as it has read it. */
static bool sqlite_barrier(struct pk_store *store, struct pk_error *err)
{
    (void)store;
    (void)err;
    return true;
}

static void sqlite_stats(struct pk_store *store, struct pk_store_stats *out)
{
    struct pk_sqlite *sqlite = store->impl;
    out->commits = atomic_load_explicit(&sqlite->commits, memory_order_relaxed);
    out->groups = atomic_load_explicit(&sqlite->groups, memory_order_relaxed);
    out->conflicts = atomic_load_explicit(&sqlite->conflicts, memory_order_relaxed);
    out->unknowns = atomic_load_explicit(&sqlite->unknowns, memory_order_relaxed);
    out->commit_ns = atomic_load_explicit(&sqlite->commit_ns, memory_order_relaxed);
    out->reads = atomic_load_explicit(&sqlite->reads, memory_order_relaxed);
    out->reads_ns = atomic_load_explicit(&sqlite->reads_ns, memory_order_relaxed);
    out->waiting = pk_committer_waiting(sqlite->committer);
    out->is_stopped = atomic_load_explicit(&sqlite->is_stopped, memory_order_acquire);
}

const struct pk_engine pk_engine_sqlite = {
    .name = "sqlite",
    .inspect = pk_sql_inspect,
    .open = sqlite_open,
    .close = sqlite_close,
    .get = pk_sql_get,
    .find = pk_sql_find,
    .prepare = pk_sql_job_prepare,
    .unprepare = pk_sql_job_unprepare,
    .committer = sqlite_committer,
    .feed_open = pk_sql_feed_open,
    .feed_close = pk_sql_feed_close,
    .feed_next = pk_sql_feed_next,
    .feed_mark = pk_sql_feed_mark,
    .mark_has_passed = pk_sql_mark_has_passed,
    .barrier = sqlite_barrier,
    .reap = pk_sql_reap,
    .settle = pk_sql_settle,
    .backup = pk_sql_backup,
    .stats = sqlite_stats,
};
