/* sqlite_checkpoint.c - From the log into the file.
 *
 * Once the WAL has grown, a thread copies it into the file beside the writers,
 * until little is left of what they add meanwhile. That rest is the leader's
 * of the next group, after its members were woken and before another group
 * starts: SQLite begins the WAL anew only when a writer finds it wholly
 * copied, and beside writers that never pause it would grow for ever. So they
 * stand still for the rest alone; and for all of it, if they are so fast that
 * the WAL is twice as long before the thread has done. PASSIVE waits for no
 * reader; while one needs it, the WAL grows on, and is copied again after as
 * much again.
 *
 *     WAL has COPY_PAGES ──▶ thread: copy, copy ──▶ leader: the rest ──▶ WAL begins anew
 *
 * Settling: TRUNCATE, when something was erased, since the WAL has it still. It
 * waits for readers, bounded: the one that holds a snapshot for long (a backup)
 * is waited for by whoever asked.
 *
 * A failed sync stops the store, whoever sees it. Anything else is tried again
 * as the WAL grows on. */
/* SPDX-License-Identifier: MIT */
#include "base/alloc.h"
#include "base/clock.h"
#include "store/sqlite_internal.h"

#include <errno.h>
#include <semaphore.h>
#include <string.h>
#include <time.h>

enum {
    COPY_PAGES = 4000,    /* 16 MiB of WAL. */
    REST_PAGES = 500,     /* So few are left to the leader, if ... */
    COPIES_MAX = 3,       /* ... so many copies come to that. */
    SETTLE_WAIT_MS = 100, /* For readers, while writers wait, too. */
    SETTLE_PAUSE_MS = 20
};

struct pk_sql_checkpoints {
    struct pk_sqlite *sqlite;
    sqlite3 *copier; /* The thread's. */
    sqlite3 *keeper; /* The leader's, one at a time. */
    pthread_t thread;
    bool is_started;
    pthread_mutex_t turn;    /* Held for a copy. */
    sem_t asked;             /* Of the thread: a copy, or its end. */
    atomic_bool is_closing;  /* The latter. */
    atomic_bool is_copying;  /* It was asked, and has not done yet. */
    atomic_bool is_rest_due; /* It has: the leader's turn. */
    atomic_int pages;        /* In the WAL after the last commit. */
    atomic_int copy_due;     /* A copy is due at that many. */
};

/* How many pages the WAL had, or -1: it came to nothing. */
static int copy_log(struct pk_sql_checkpoints *it, sqlite3 *db)
{
    struct pk_error ignored;
    int in_wal = 0, copied = 0;
    (void)pthread_mutex_lock(&it->turn);
    const int code =
        sqlite3_wal_checkpoint_v2(db, "main", SQLITE_CHECKPOINT_PASSIVE, &in_wal, &copied);
    if (code != SQLITE_OK && code != SQLITE_BUSY) {
        (void)pk_sql_fail(it->sqlite, db, &ignored, "checkpoint");
    }
    (void)pthread_mutex_unlock(&it->turn);
    return code == SQLITE_OK ? in_wal : -1;
}

/* ---- The thread ---- */

/* False: nothing was copied. */
static bool copy_beside(struct pk_sql_checkpoints *it)
{
    int in_wal = 0;
    for (int i = 0; i < COPIES_MAX && in_wal >= 0; i++) {
        if (i > 0 && atomic_load_explicit(&it->pages, memory_order_relaxed) - in_wal < REST_PAGES) {
            break;
        }
        in_wal = copy_log(it, it->copier);
    }
    return in_wal >= 0;
}

static void *run(void *context)
{
    struct pk_sql_checkpoints *it = context;
    for (;;) {
        while (sem_wait(&it->asked) != 0 && errno == EINTR) {
        }
        if (atomic_load_explicit(&it->is_closing, memory_order_acquire)) {
            return NULL;
        }
        if (copy_beside(it)) {
            atomic_store_explicit(&it->is_rest_due, true, memory_order_release);
        } else {
            const int pages = atomic_load_explicit(&it->pages, memory_order_relaxed);
            atomic_store_explicit(&it->copy_due, pages + COPY_PAGES, memory_order_relaxed);
        }
        atomic_store_explicit(&it->is_copying, false, memory_order_release);
    }
}

/* ---- The leader ---- */

/* Told by SQLite after each commit of the writer. A WAL that is shorter than before has started
 * anew. */
static int note_wal(void *context, sqlite3 *db, const char *name, int pages)
{
    struct pk_sql_checkpoints *it = context;
    (void)db;
    (void)name;
    if (pages < atomic_load_explicit(&it->pages, memory_order_relaxed)) {
        atomic_store_explicit(&it->copy_due, COPY_PAGES, memory_order_relaxed);
    }
    atomic_store_explicit(&it->pages, pages, memory_order_relaxed);
    if (pages >= atomic_load_explicit(&it->copy_due, memory_order_relaxed) &&
        !atomic_load_explicit(&it->is_copying, memory_order_acquire) &&
        !atomic_load_explicit(&it->is_rest_due, memory_order_acquire)) {
        atomic_store_explicit(&it->is_copying, true, memory_order_relaxed);
        (void)sem_post(&it->asked);
    }
    return SQLITE_OK;
}

bool pk_sql_is_checkpoint_due(void *engine)
{
    struct pk_sqlite *sqlite = engine;
    const struct pk_sql_checkpoints *it = sqlite->checkpoints;
    const int pages = atomic_load_explicit(&it->pages, memory_order_relaxed);
    const int most = atomic_load_explicit(&it->copy_due, memory_order_relaxed) + COPY_PAGES;
    return (pages >= most || atomic_load_explicit(&it->is_rest_due, memory_order_acquire)) &&
           !atomic_load_explicit(&sqlite->is_stopped, memory_order_relaxed);
}

void pk_sql_checkpoint(void *engine)
{
    struct pk_sqlite *sqlite = engine;
    struct pk_sql_checkpoints *it = sqlite->checkpoints;
    (void)copy_log(it, it->keeper);
    const int pages = atomic_load_explicit(&it->pages, memory_order_relaxed);
    atomic_store_explicit(&it->copy_due, pages + COPY_PAGES, memory_order_relaxed);
    atomic_store_explicit(&it->is_rest_due, false, memory_order_release);
}

/* ---- Settling ---- */

/* One attempt, with writers kept out: once all is copied who begins to read needs no log, and those
 * who do are waited for a little. */
static int empty_log(struct pk_sqlite *sqlite, sqlite3 *db)
{
    (void)pthread_mutex_lock(&sqlite->write_lock);
    const int code = sqlite3_wal_checkpoint_v2(db, "main", SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL);
    (void)pthread_mutex_unlock(&sqlite->write_lock); /* The next commit tells of a new WAL. */
    return code;
}

/* By a connection of its own: the others have their users. */
bool pk_sql_settle(struct pk_store *store, int64_t deadline_ns, struct pk_error *err)
{
    struct pk_sqlite *sqlite = store->impl;
    const struct timespec pause = { .tv_nsec = SETTLE_PAUSE_MS * 1000000L };
    sqlite3 *db = NULL;
    int code;

    if (!pk_sql_check_running(sqlite, err) ||
        !pk_sql_connect(sqlite, SQLITE_OPEN_READWRITE, &db, err)) {
        return false;
    }
    (void)sqlite3_busy_timeout(db, SETTLE_WAIT_MS);
    while ((code = empty_log(sqlite, db)) != SQLITE_OK && (code & 0xff) == SQLITE_BUSY &&
           pk_clock_mono_ns(store->clock) < deadline_ns) {
        (void)nanosleep(&pause, NULL); /* Writers come in between. */
    }
    bool ok = code == SQLITE_OK;
    if ((code & 0xff) == SQLITE_BUSY) {
        (void)pk_fail(err, PK_BUSY, "it is tried again; a backup under way holds one",
                      "somebody still reads an older state of the store");
    } else if (!ok) {
        (void)pk_sql_fail(sqlite, db, err, "empty the log");
    }
    (void)sqlite3_close(db);
    return ok;
}

/* ---- Life ---- */

bool pk_sql_checkpoints_open(struct pk_sqlite *sqlite, struct pk_error *err)
{
    struct pk_sql_checkpoints *it = pk_calloc(1, sizeof(*it));
    it->sqlite = sqlite;
    atomic_init(&it->copy_due, COPY_PAGES);
    (void)pthread_mutex_init(&it->turn, NULL);
    (void)sem_init(&it->asked, 0, 0);
    sqlite->checkpoints = it;
    if (!pk_sql_connect(sqlite, SQLITE_OPEN_READWRITE, &it->copier, err) ||
        !pk_sql_connect(sqlite, SQLITE_OPEN_READWRITE, &it->keeper, err)) {
        return false;
    }
    const int failed = pthread_create(&it->thread, NULL, run, it);
    it->is_started = failed == 0;
    if (failed) {
        return pk_fail(err, PK_UNAVAILABLE, "raise the limit of threads for this user",
                       "a thread for the store could not be started: %s", strerror(failed));
    }
    (void)sqlite3_wal_hook(sqlite->writer.db, note_wal, it);
    return true;
}

void pk_sql_checkpoints_close(struct pk_sqlite *sqlite)
{
    struct pk_sql_checkpoints *it = sqlite->checkpoints;
    if (!it) {
        return;
    }
    if (it->is_started) {
        atomic_store_explicit(&it->is_closing, true, memory_order_release);
        (void)sem_post(&it->asked);
        (void)pthread_join(it->thread, NULL);
    }
    (void)sqlite3_close(it->copier);
    (void)sqlite3_close(it->keeper);
    (void)sem_destroy(&it->asked);
    (void)pthread_mutex_destroy(&it->turn);
    pk_free(it);
    sqlite->checkpoints = NULL;
}
