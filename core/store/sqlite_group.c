/* sqlite_group.c - One group of lists in one transaction.
 *
 * What can be worked out beforehand (the columns of each document) is done on
 * the caller's thread; the leader only binds and steps.
 *
 * A list in conflict must leave nothing. Savepoints would see to that, but in
 * one of them SQLite keeps a copy of every page that is touched: measured, a
 * third of the cost of a list of four. So a group goes without, and only if a
 * list is refused after it has changed something, the transaction is rolled
 * back and the group done again with a savepoint for each list; and so are the
 * next groups, because conflicts come in swarms.
 *
 * When SQLite fails (disk full, I/O error), the transaction is rolled back and
 * nothing of the group was written. COMMIT decides: when it returns, the group
 * is durable. When it fails with a full disk or a busy file, SQLite has not
 * written its commit record, so it is rolled back and refused; after any other
 * failure nobody can say. */
/* SPDX-License-Identifier: MIT */
#include "base/alloc.h"
#include "base/clock.h"
#include "store/sqlite_internal.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

enum { CAREFUL_GROUPS = 32 };

/* ---- On the caller's thread: a job's 'prepared' is a row per write ---- */

bool pk_sql_job_prepare(struct pk_store *store, struct pk_job *job, struct pk_error *err)
{
    struct pk_sqlite *sqlite = store->impl;
    const struct pk_writes *list = job->writes;

    if (!pk_sql_check_running(sqlite, err)) {
        return false;
    }
    struct pk_sql_row *row = pk_calloc(list->count, sizeof(*row));
    for (size_t i = 0; i < list->count; i++) {
        if (list->write[i].doc) {
            bson_t view;
            pk_doc_view(list->write[i].doc, &view);
            pk_sql_row_init(&row[i], pk_sql_table_of(&sqlite->layout, job->target[i].collection),
                            &view);
        }
    }
    job->prepared = row;
    return true;
}

void pk_sql_job_unprepare(struct pk_store *store, struct pk_job *job)
{
    struct pk_sql_row *row = job->prepared;
    (void)store;
    for (size_t i = 0; i < job->writes->count; i++) {
        pk_sql_row_done(&row[i]);
    }
    pk_free(row);
    job->prepared = NULL;
}

/* ---- The writer ---- */

bool pk_sql_writer_open(struct pk_sqlite *sqlite, struct pk_error *err)
{
    struct pk_sql_writer *writer = &sqlite->writer;
    const struct {
        const char *sql;
        sqlite3_stmt **stmt;
    } statement[] = {
        { "BEGIN IMMEDIATE", &writer->begin }, { "COMMIT", &writer->commit },
        { "ROLLBACK", &writer->rollback },     { "SAVEPOINT list", &writer->save },
        { "RELEASE list", &writer->release },  { "ROLLBACK TO list", &writer->undo },
    };
    writer->verb = pk_calloc(sqlite->layout.count, sizeof(*writer->verb));
    writer->updates = pk_calloc(sqlite->layout.count, sizeof(*writer->updates));
    for (size_t i = 0; i < PK_COUNT(statement); i++) {
        if (!pk_sql_prepare(sqlite, writer->db, statement[i].sql, statement[i].stmt, err)) {
            return false;
        }
    }
    pk_sql_wal_open(sqlite);
    /* A group's pages stay in memory until it commits; the map would only be read past. */
    return pk_sql_exec(sqlite, writer->db, "PRAGMA cache_size=-65536; PRAGMA mmap_size=0;", err);
}

void pk_sql_writer_close(struct pk_sqlite *sqlite)
{
    struct pk_sql_writer *writer = &sqlite->writer;
    sqlite3_stmt *stmt;
    pk_sql_cache_done(&writer->cache);
    while (writer->db && (stmt = sqlite3_next_stmt(writer->db, NULL)) != NULL) {
        (void)sqlite3_finalize(stmt);
    }
    const int closed = sqlite3_close(writer->db);
    assert(closed == SQLITE_OK); /* Else a statement is left on the writer. */
    (void)closed;
    pk_sql_wal_free(sqlite);
    pk_free(writer->verb);
    pk_free(writer->updates);
    *writer = (struct pk_sql_writer){ 0 };
}

/* ---- One list ---- */

static enum pk_sql_outcome do_list(struct pk_sqlite *sqlite, struct pk_job *job)
{
    for (size_t i = 0; i < job->writes->count; i++) {
        const enum pk_sql_outcome outcome =
            job->target[i].is_folded ? PK_SQL_DONE : pk_sql_write(sqlite, job, i);
        if (outcome != PK_SQL_DONE) {
            return outcome;
        }
    }
    return PK_SQL_DONE;
}

static bool has_changed(struct pk_sqlite *sqlite, sqlite3_int64 before)
{
    return sqlite3_total_changes64(sqlite->writer.db) != before;
}

/* PK_SQL_SPOILED: refused, and it has left something in the transaction. */
static enum pk_sql_outcome apply_list(struct pk_sqlite *sqlite, struct pk_job *job,
                                      bool has_savepoint)
{
    struct pk_sql_writer *writer = &sqlite->writer;
    const sqlite3_int64 before = sqlite3_total_changes64(writer->db);
    const int64_t last_row = writer->last_row;

    job->is_ok = false;
    job->commit = (struct pk_commit){ .conflict_write = -1 };
    if (has_savepoint && pk_sql_run(writer->save) != SQLITE_DONE) {
        return PK_SQL_FAILED;
    }
    const enum pk_sql_outcome outcome = do_list(sqlite, job);
    if (outcome == PK_SQL_FAILED) {
        return PK_SQL_FAILED;
    }
    if (outcome == PK_SQL_REFUSED) {
        writer->last_row = last_row;
        if (!has_savepoint && has_changed(sqlite, before)) {
            return PK_SQL_SPOILED;
        }
        if (has_savepoint && pk_sql_run(writer->undo) != SQLITE_DONE) {
            return PK_SQL_FAILED;
        }
    }
    if (has_savepoint && pk_sql_run(writer->release) != SQLITE_DONE) {
        return PK_SQL_FAILED;
    }
    job->is_ok = outcome == PK_SQL_DONE;
    if (job->is_ok) {
        pk_sql_position(sqlite, writer->last_row, job->commit.cursor);
    }
    return PK_SQL_DONE;
}

/* ---- The group ---- */

void pk_sql_rollback(struct pk_sqlite *sqlite)
{
    struct pk_sql_writer *writer = &sqlite->writer;
    if (!sqlite3_get_autocommit(writer->db) && pk_sql_run(writer->rollback) != SQLITE_DONE &&
        !sqlite3_get_autocommit(writer->db)) {
        /* A transaction that can neither end nor be undone: nothing after it can be trusted. */
        atomic_store_explicit(&sqlite->is_stopped, true, memory_order_release);
    }
    writer->last_row = sqlite->feed_row;
}

enum pk_code pk_sql_commit(struct pk_sqlite *sqlite, struct pk_error *err)
{
    struct pk_sql_writer *writer = &sqlite->writer;
    struct pk_error why = { 0 };
    const int code = pk_sql_run(writer->commit);

    if (code == SQLITE_DONE) {
        return PK_OK;
    }
    (void)pk_sql_fail(sqlite, writer->db, &why, "commit");
    const bool is_refused = (code & 0xff) == SQLITE_BUSY || (code & 0xff) == SQLITE_FULL;
    pk_sql_rollback(sqlite);
    if (!is_refused) {
        why.code = PK_UNKNOWN;
        why.hint = "repeat the request with the same key: it may have been written or not";
    }
    if (err) {
        *err = why;
    }
    return why.code;
}

static void refuse_all(struct pk_job **job, size_t count, const struct pk_error *why)
{
    for (size_t i = 0; i < count; i++) {
        job[i]->is_ok = false;
        job[i]->error = *why;
        job[i]->commit = (struct pk_commit){ .conflict_write = -1 };
    }
}

/* Those that were refused on their own keep that outcome: nothing of them was written anyway. */
static void fail_done(struct pk_job **job, size_t count, const struct pk_error *why)
{
    for (size_t i = 0; i < count; i++) {
        if (job[i]->is_ok) {
            refuse_all(&job[i], 1, why);
        }
    }
}

static void count_outcomes(struct pk_sqlite *sqlite, struct pk_job **job, size_t count,
                           int64_t start_ns)
{
    unsigned long long commits = 0, conflicts = 0, unknowns = 0;
    for (size_t i = 0; i < count; i++) {
        commits += job[i]->is_ok;
        conflicts += !job[i]->is_ok && job[i]->error.code == PK_CONFLICT;
        unknowns += !job[i]->is_ok && job[i]->error.code == PK_UNKNOWN;
    }
    const int64_t end_ns = pk_clock_mono_ns(sqlite->store->clock);
    atomic_fetch_add_explicit(&sqlite->commits, commits, memory_order_relaxed);
    atomic_fetch_add_explicit(&sqlite->conflicts, conflicts, memory_order_relaxed);
    atomic_fetch_add_explicit(&sqlite->unknowns, unknowns, memory_order_relaxed);
    atomic_fetch_add_explicit(&sqlite->groups, commits > 0, memory_order_relaxed);
    atomic_fetch_add_explicit(&sqlite->commit_ns, (unsigned long long)(end_ns - start_ns),
                              memory_order_relaxed);
}

/* All lists within one open transaction, or the first outcome that is everybody's. */
static enum pk_sql_outcome apply_lists(struct pk_sqlite *sqlite, struct pk_job **job, size_t count,
                                       bool is_careful)
{
    if (pk_sql_run(sqlite->writer.begin) != SQLITE_DONE) {
        return PK_SQL_FAILED;
    }
    for (size_t i = 0; i < count; i++) {
        const enum pk_sql_outcome outcome = apply_list(sqlite, job[i], is_careful);
        if (outcome != PK_SQL_DONE) {
            return outcome;
        }
    }
    return PK_SQL_DONE;
}

static enum pk_sql_outcome apply_with_care(struct pk_sqlite *sqlite, struct pk_job **job,
                                           size_t count)
{
    struct pk_sql_writer *writer = &sqlite->writer;
    const bool is_careful = writer->careful > 0 && count > 1;
    writer->careful -= writer->careful > 0;
    const enum pk_sql_outcome outcome = apply_lists(sqlite, job, count, is_careful);
    if (outcome != PK_SQL_SPOILED) {
        return outcome;
    }
    pk_sql_rollback(sqlite);
    if (count == 1) { /* It has its outcome, and nobody else was in there. */
        return PK_SQL_REFUSED;
    }
    writer->careful = CAREFUL_GROUPS;
    return apply_lists(sqlite, job, count, true);
}

static void apply_group(struct pk_sqlite *sqlite, struct pk_job **job, size_t count)
{
    struct pk_sql_writer *writer = &sqlite->writer;
    struct pk_error why = { 0 };

    if (!pk_sql_check_running(sqlite, &why)) {
        refuse_all(job, count, &why);
        return;
    }
    writer->now_ms = pk_clock_wall_ms(sqlite->store->clock);
    writer->last_row = sqlite->feed_row;
    const enum pk_sql_outcome outcome = apply_with_care(sqlite, job, count);
    if (outcome == PK_SQL_FAILED) {
        (void)pk_sql_fail(sqlite, writer->db, &why, "write to the store");
        pk_sql_rollback(sqlite);
        refuse_all(job, count, &why);
    } else if (outcome == PK_SQL_DONE && pk_sql_commit(sqlite, &why) != PK_OK) {
        fail_done(job, count, &why);
    } else if (outcome == PK_SQL_DONE && writer->last_row != sqlite->feed_row) {
        pk_sql_feed_tell(sqlite, writer->last_row);
    }
}

void pk_sql_apply(void *engine, struct pk_job **job, size_t count)
{
    struct pk_sqlite *sqlite = engine;
    const int64_t start_ns = pk_clock_mono_ns(sqlite->store->clock);

    (void)pthread_mutex_lock(&sqlite->write_lock);
    apply_group(sqlite, job, count);
    (void)pthread_mutex_unlock(&sqlite->write_lock);
    count_outcomes(sqlite, job, count, start_ns);
}
