/* sqlite_write.c - One write: insert, replace, delete, expect, count.
 *
 * Three things can happen to it: it is done; it is refused (a conflict, or a
 * count of something that is no number), which is its list's outcome; or
 * SQLite fails (disk full, I/O error), which is the whole group's.
 *
 * An insert goes ahead without looking. Only if a unique index objects, it is
 * asked whether what stands in the way has expired: then that goes first.
 *
 * A replacement sets only the columns that have changed: SQLite writes the
 * entry of every index anew that has a column which is set, even to what it
 * was, and each lies on a page of its own.
 *
 * Thread: the leader's, under the write lock, in a transaction. */
/* SPDX-License-Identifier: MIT */
#include "base/alloc.h"
#include "store/sqlite_internal.h"

#include <stdio.h>
#include <string.h>

/* ---- Statements ---- */

/* A statement of the writer on a table, ready to be bound; NULL when it cannot be made. */
static sqlite3_stmt *verb_of(struct pk_sqlite *sqlite, const struct pk_sql_table *table,
                             enum pk_sql_verb verb)
{
    sqlite3_stmt **slot = &sqlite->writer.verb[table - sqlite->layout.table][verb];
    const char *const sql[PK_SQL_VERBS] = {
        [PK_SQL_INSERT] = table->insert,   [PK_SQL_UPDATE_COUNTED] = table->update_counted,
        [PK_SQL_ERASE] = table->erase,     [PK_SQL_LOOK] = table->look,
        [PK_SQL_CELLS] = table->cells,     [PK_SQL_BODY] = table->body,
        [PK_SQL_ERASE_N] = table->erase_n, [PK_SQL_EXPIRED_ID] = table->expired_id,
    };
    if (!*slot) {
        (void)sqlite3_prepare_v3(sqlite->writer.db, sql[verb], -1, SQLITE_PREPARE_PERSISTENT, slot,
                                 NULL);
    }
    return *slot;
}

/* ?1 now, ?2 id, ?3 version asked for, ?4 new version: whichever of them the statement has. */
static void bind_head(struct pk_sqlite *sqlite, sqlite3_stmt *stmt, const struct pk_write *write,
                      int64_t new_version)
{
    (void)sqlite3_bind_int64(stmt, 1, sqlite->writer.now_ms);
    (void)sqlite3_bind_text(stmt, 2, write->id, -1, SQLITE_STATIC);
    (void)sqlite3_bind_int64(stmt, 3, write->version);
    (void)sqlite3_bind_int64(stmt, 4, new_version);
}

static void bind_body(sqlite3_stmt *stmt, const uint8_t *data, size_t size)
{
    (void)sqlite3_bind_blob64(stmt, 5, data, size, SQLITE_STATIC);
}

static void bind_cells(sqlite3_stmt *stmt, const struct pk_sql_table *table,
                       const struct pk_sql_row *row)
{
    for (size_t i = 0; i < table->column_count; i++) {
        (void)pk_sql_bind(stmt, (int)i + 6, &row->cell[i]);
    }
}

/* ---- One write ---- */

struct attempt {
    struct pk_sqlite *sqlite;
    struct pk_job *job;
    size_t at; /* Of the write in its list. */
    const struct pk_write *write;
    const struct pk_sql_table *table;
    const struct pk_sql_row *row;
};

static enum pk_sql_outcome refuse_version(const struct attempt *attempt)
{
    struct pk_job *job = attempt->job;
    const struct pk_write *write = attempt->write;

    job->commit.conflict_write = (int)attempt->at;
    if (write->kind == PK_WRITE_EXPECT && write->version == 0) {
        (void)pk_fail(&job->error, PK_CONFLICT, "read and decide again",
                      "'%s' of '%s' is there by now", write->id, write->collection);
    } else {
        (void)pk_fail(&job->error, PK_CONFLICT, "read and decide again",
                      "'%s' of '%s' is no longer at version %lld", write->id, write->collection,
                      (long long)write->version);
    }
    return PK_SQL_REFUSED;
}

static enum pk_sql_outcome refuse_index(const struct attempt *attempt, const char *index)
{
    struct pk_job *job = attempt->job;
    job->commit.conflict_write = (int)attempt->at;
    (void)snprintf(job->commit.conflict_index, sizeof(job->commit.conflict_index), "%s", index);
    (void)pk_fail(&job->error, PK_CONFLICT, "read and decide again, or choose another key",
                  "'%s' of '%s': its key in the unique index '%s' is taken", attempt->write->id,
                  attempt->write->collection, index);
    return PK_SQL_REFUSED;
}

/* Runs one SELECT that yields at most one row; true with a row, which stays until the reset. */
static enum pk_sql_outcome look(struct attempt *attempt, enum pk_sql_verb verb, sqlite3_stmt **out,
                                bool *out_found)
{
    sqlite3_stmt *stmt = verb_of(attempt->sqlite, attempt->table, verb);
    if (!stmt) {
        return PK_SQL_FAILED;
    }
    (void)sqlite3_bind_text(stmt, 2, attempt->write->id, -1, SQLITE_STATIC);
    (void)sqlite3_bind_int64(stmt, 1, attempt->sqlite->writer.now_ms);
    const int code = sqlite3_step(stmt);
    *out = stmt;
    *out_found = code == SQLITE_ROW;
    if (code != SQLITE_ROW && code != SQLITE_DONE) {
        (void)sqlite3_reset(stmt);
        return PK_SQL_FAILED;
    }
    return PK_SQL_DONE;
}

/* A statement of the writer by its text, ready to be bound; NULL when it cannot be made. */
static sqlite3_stmt *text_of(struct pk_sqlite *sqlite, const char *sql)
{
    struct pk_sql_writer *writer = &sqlite->writer;
    sqlite3_stmt *stmt = NULL;
    return pk_sql_cached(sqlite, writer->db, &writer->cache, sql, &stmt, NULL) ? stmt : NULL;
}

static bool run_text(struct pk_sqlite *sqlite, const char *sql, int64_t n)
{
    sqlite3_stmt *stmt = text_of(sqlite, sql);
    if (!stmt) {
        return false;
    }
    (void)sqlite3_bind_int64(stmt, 1, n);
    return pk_sql_run(stmt) == SQLITE_DONE;
}

static bool erase_side(struct pk_sqlite *sqlite, const struct pk_sql_table *table, int64_t n)
{
    for (size_t i = 0; table->has_side && i < table->collection->index_count; i++) {
        if (table->index[i].is_multi && !run_text(sqlite, table->index[i].side_delete, n)) {
            return false;
        }
    }
    return true;
}

bool pk_sql_erase_row(struct pk_sqlite *sqlite, const struct pk_sql_table *table, int64_t n)
{
    sqlite3_stmt *stmt = verb_of(sqlite, table, PK_SQL_ERASE_N);
    if (!stmt || !erase_side(sqlite, table, n)) {
        return false;
    }
    (void)sqlite3_bind_int64(stmt, 1, n);
    return pk_sql_run(stmt) == SQLITE_DONE;
}

static bool is_unique_failure(int code)
{
    return code == SQLITE_CONSTRAINT_UNIQUE;
}

/* PK_SQL_REFUSED: a unique index has objected; it is in '*out_index'. */
static enum pk_sql_outcome add_side(struct attempt *attempt, int64_t n,
                                    const struct pk_sql_index **out_index)
{
    const struct pk_sql_row *row = attempt->row;

    for (size_t i = 0; i < row->entry_count; i++) {
        const struct pk_sql_entry *entry = &row->entry[i];
        const struct pk_sql_index *index = &attempt->table->index[entry->index];
        sqlite3_stmt *stmt = text_of(attempt->sqlite, index->side_insert);
        if (!stmt) {
            return PK_SQL_FAILED;
        }
        if (index->is_below) {
            (void)sqlite3_bind_text(stmt, 1, entry->below, -1, SQLITE_STATIC);
        }
        (void)pk_sql_bind(stmt, 2, &entry->value);
        (void)sqlite3_bind_text(stmt, 3, attempt->write->id, -1, SQLITE_STATIC);
        (void)sqlite3_bind_int64(stmt, 4, n);
        for (size_t k = 1; k < index->index->key_count; k++) {
            (void)pk_sql_bind(stmt, (int)k + 4, &row->cell[index->column[k]]);
        }
        const int code = pk_sql_run(stmt);
        if (code != SQLITE_DONE) {
            *out_index = index;
            return is_unique_failure(code) ? PK_SQL_REFUSED : PK_SQL_FAILED;
        }
    }
    return PK_SQL_DONE;
}

/* ---- What stands in the way ---- */

/* Another row that has a key of this document in a unique index: '*out_n', 0 for none. */
static enum pk_sql_outcome find_blocker(struct attempt *attempt, const struct pk_sql_index *index,
                                        int64_t *out_n, bool *out_expired)
{
    sqlite3_stmt *stmt = text_of(attempt->sqlite, index->blocker);
    const struct pk_sql_row *row = attempt->row;
    const size_t tries = index->is_multi ? row->entry_count : 1;
    int code = SQLITE_DONE;

    *out_n = 0;
    if (!stmt) {
        return PK_SQL_FAILED;
    }
    (void)sqlite3_bind_int64(stmt, 1, attempt->sqlite->writer.now_ms);
    (void)sqlite3_bind_text(stmt, 6, attempt->write->id, -1, SQLITE_STATIC);
    for (size_t i = 0; i < tries && code == SQLITE_DONE; i++) {
        if (!index->is_multi) {
            for (size_t k = 0; k < index->index->key_count; k++) {
                (void)pk_sql_bind(stmt, (int)k + 2, &row->cell[index->column[k]]);
            }
        } else if (&attempt->table->index[row->entry[i].index] == index) {
            (void)pk_sql_bind(stmt, 2, &row->entry[i].value);
            (void)sqlite3_bind_text(stmt, 3, row->entry[i].below, -1, SQLITE_STATIC);
        } else {
            continue;
        }
        code = sqlite3_step(stmt);
        if (code == SQLITE_ROW) {
            *out_n = sqlite3_column_int64(stmt, 0);
            *out_expired = sqlite3_column_int(stmt, 1) != 0;
        }
        (void)sqlite3_reset(stmt);
    }
    return code == SQLITE_ROW || code == SQLITE_DONE ? PK_SQL_DONE : PK_SQL_FAILED;
}

/* The declared index that objected, by what SQLite says; NULL for the id. Of several partial ones
 * over the same keys, the one in which another row has them. */
static enum pk_sql_outcome objecting_index(struct attempt *attempt, const struct pk_sql_index **out)
{
    PK_CLEANUP(pk_freep) char *message = pk_strdup(sqlite3_errmsg(attempt->sqlite->writer.db));
    *out = NULL;
    for (size_t i = 0; i < attempt->table->collection->index_count; i++) {
        const struct pk_sql_index *index = &attempt->table->index[i];
        bool is_expired;
        int64_t n;
        if (!index->unique_message || strcmp(index->unique_message, message) != 0 ||
            !pk_sql_holds(index, attempt->row)) {
            continue;
        }
        *out = index;
        if (find_blocker(attempt, index, &n, &is_expired) != PK_SQL_DONE) {
            return PK_SQL_FAILED;
        }
        if (n) {
            break;
        }
    }
    return PK_SQL_DONE;
}

static enum pk_sql_outcome erase_expired_key(struct attempt *attempt,
                                             const struct pk_sql_index *index, bool *out_erased)
{
    bool is_expired = false;
    int64_t n;
    *out_erased = false;
    if (find_blocker(attempt, index, &n, &is_expired) != PK_SQL_DONE) {
        return PK_SQL_FAILED;
    }
    if (n && is_expired) {
        *out_erased = pk_sql_erase_row(attempt->sqlite, attempt->table, n);
        return *out_erased ? PK_SQL_DONE : PK_SQL_FAILED;
    }
    return PK_SQL_DONE;
}

/* Erases the expired row that a SELECT finds, if it finds one. */
static enum pk_sql_outcome erase_found(struct attempt *attempt, sqlite3_stmt *stmt,
                                       bool *out_erased)
{
    const int code = sqlite3_step(stmt);
    const int64_t n = code == SQLITE_ROW ? sqlite3_column_int64(stmt, 0) : 0;
    (void)sqlite3_reset(stmt);
    *out_erased = code == SQLITE_ROW;
    if (code != SQLITE_ROW && code != SQLITE_DONE) {
        return PK_SQL_FAILED;
    }
    return code == SQLITE_DONE || pk_sql_erase_row(attempt->sqlite, attempt->table, n)
               ? PK_SQL_DONE
               : PK_SQL_FAILED;
}

static enum pk_sql_outcome erase_expired_id(struct attempt *attempt, bool *out_erased)
{
    *out_erased = false;
    if (!attempt->table->expired_id) {
        return PK_SQL_DONE;
    }
    sqlite3_stmt *stmt = verb_of(attempt->sqlite, attempt->table, PK_SQL_EXPIRED_ID);
    if (!stmt) {
        return PK_SQL_FAILED;
    }
    (void)sqlite3_bind_int64(stmt, 1, attempt->sqlite->writer.now_ms);
    (void)sqlite3_bind_text(stmt, 2, attempt->write->id, -1, SQLITE_STATIC);
    return erase_found(attempt, stmt, out_erased);
}

/* An insert whose id and another key are taken is told of the id. */
static enum pk_sql_outcome refuse_key(struct attempt *attempt, const struct pk_sql_index *index)
{
    /* A side table objects after the row itself went in. */
    if (index && !index->is_multi && attempt->write->kind == PK_WRITE_INSERT) {
        sqlite3_stmt *stmt;
        bool is_found;
        if (look(attempt, PK_SQL_LOOK, &stmt, &is_found) != PK_SQL_DONE) {
            return PK_SQL_FAILED;
        }
        (void)sqlite3_reset(stmt);
        index = is_found ? NULL : index;
    }
    return refuse_index(attempt, index ? index->index->name : "_id");
}

/* After a unique index (NULL: that of the id) has objected. PK_SQL_DONE: what stood in the way has
 * expired and is gone. A document's own expired row is in the way of an insert by any of its
 * keys, and is found by its id alone. */
static enum pk_sql_outcome clear_way(struct attempt *attempt, const struct pk_sql_index *index)
{
    bool is_erased = false;
    enum pk_sql_outcome outcome =
        index ? erase_expired_key(attempt, index, &is_erased) : PK_SQL_DONE;
    if (outcome == PK_SQL_DONE && !is_erased && attempt->write->kind == PK_WRITE_INSERT) {
        outcome = erase_expired_id(attempt, &is_erased);
    }
    if (outcome != PK_SQL_DONE) {
        return outcome;
    }
    return is_erased ? PK_SQL_DONE : refuse_key(attempt, index);
}

/* ---- The kinds of write ---- */

/* The document's row by a statement that inserts it, or sets columns of row 'n'; what has expired
 * and stands in the way goes first. */
static enum pk_sql_outcome put_row(struct attempt *attempt, sqlite3_stmt *stmt, int64_t n)
{
    if (!stmt) {
        return PK_SQL_FAILED;
    }
    bind_head(attempt->sqlite, stmt, attempt->write, attempt->job->target[attempt->at].new_version);
    (void)sqlite3_bind_int64(stmt, 3, n);
    bind_body(stmt, pk_doc_data(attempt->write->doc), pk_doc_size(attempt->write->doc));
    bind_cells(stmt, attempt->table, attempt->row);
    for (;;) {
        const int code = pk_sql_run(stmt);
        if (code == SQLITE_DONE) {
            return PK_SQL_DONE;
        }
        if (!is_unique_failure(code)) {
            return PK_SQL_FAILED;
        }
        const struct pk_sql_index *index;
        if (objecting_index(attempt, &index) != PK_SQL_DONE) {
            return PK_SQL_FAILED;
        }
        const enum pk_sql_outcome way = clear_way(attempt, index);
        if (way != PK_SQL_DONE) {
            return way;
        }
    }
}

/* The row's entries in side tables, likewise. */
static enum pk_sql_outcome put_side(struct attempt *attempt, int64_t n)
{
    for (;;) {
        const struct pk_sql_index *index = NULL;
        const enum pk_sql_outcome outcome = add_side(attempt, n, &index);
        if (outcome != PK_SQL_REFUSED) {
            return outcome;
        }
        const enum pk_sql_outcome way = clear_way(attempt, index);
        if (way != PK_SQL_DONE) {
            return way;
        }
        if (!erase_side(attempt->sqlite, attempt->table, n)) {
            return PK_SQL_FAILED;
        }
    }
}

static enum pk_sql_outcome do_insert(struct attempt *attempt)
{
    struct pk_sql_writer *writer = &attempt->sqlite->writer;
    const enum pk_sql_outcome outcome =
        put_row(attempt, verb_of(attempt->sqlite, attempt->table, PK_SQL_INSERT), 0);
    if (outcome != PK_SQL_DONE) {
        return outcome;
    }
    const int64_t n = sqlite3_last_insert_rowid(writer->db);
    if (attempt->table->collection->is_feed) {
        writer->last_row = n;
    }
    return attempt->table->has_side ? put_side(attempt, n) : PK_SQL_DONE;
}

/* The row of a document that is still at the version asked for, for those that need its number. */
static enum pk_sql_outcome look_row(struct attempt *attempt, int64_t *out_n)
{
    sqlite3_stmt *stmt;
    bool is_found;
    if (look(attempt, PK_SQL_LOOK, &stmt, &is_found) != PK_SQL_DONE) {
        return PK_SQL_FAILED;
    }
    *out_n = is_found ? sqlite3_column_int64(stmt, 0) : 0;
    const bool fits = is_found && sqlite3_column_int64(stmt, 1) == attempt->write->version;
    (void)sqlite3_reset(stmt);
    return fits ? PK_SQL_DONE : refuse_version(attempt);
}

/* The same, and which of its columns change. */
static enum pk_sql_outcome look_cells(struct attempt *attempt, int64_t *out_n, uint64_t *out)
{
    sqlite3_stmt *stmt;
    bool is_found;
    if (look(attempt, PK_SQL_CELLS, &stmt, &is_found) != PK_SQL_DONE) {
        return PK_SQL_FAILED;
    }
    const bool fits = is_found && sqlite3_column_int64(stmt, 1) == attempt->write->version;
    *out_n = fits ? sqlite3_column_int64(stmt, 0) : 0;
    *out = fits ? pk_sql_changes(attempt->table, attempt->row, stmt) : 0;
    (void)sqlite3_reset(stmt);
    return fits ? PK_SQL_DONE : refuse_version(attempt);
}

/* The statement that sets these columns; NULL when it cannot be made. */
static sqlite3_stmt *update_of(struct pk_sqlite *sqlite, const struct pk_sql_table *table,
                               uint64_t columns)
{
    struct pk_sql_updates *updates = &sqlite->writer.updates[table - sqlite->layout.table];
    for (size_t i = 0; i < updates->count; i++) {
        if (updates->update[i].columns == columns) {
            return updates->update[i].stmt;
        }
    }
    PK_CLEANUP(pk_freep) char *sql = pk_sql_update_of(table, columns);
    if (updates->count == PK_SQL_UPDATES_MAX) {
        return text_of(sqlite, sql);
    }
    sqlite3_stmt *stmt = NULL;
    if (sqlite3_prepare_v3(sqlite->writer.db, sql, -1, SQLITE_PREPARE_PERSISTENT, &stmt, NULL) ==
        SQLITE_OK) {
        updates->update[updates->count].columns = columns;
        updates->update[updates->count++].stmt = stmt;
    }
    return stmt;
}

static enum pk_sql_outcome do_replace(struct attempt *attempt)
{
    int64_t n = 0;
    uint64_t columns = 0;
    const enum pk_sql_outcome found = look_cells(attempt, &n, &columns);
    if (found != PK_SQL_DONE) {
        return found;
    }
    const enum pk_sql_outcome outcome =
        put_row(attempt, update_of(attempt->sqlite, attempt->table, columns), n);
    if (outcome != PK_SQL_DONE) {
        return outcome;
    }
    if (!attempt->table->has_side) {
        return PK_SQL_DONE;
    }
    return erase_side(attempt->sqlite, attempt->table, n) ? put_side(attempt, n) : PK_SQL_FAILED;
}

static enum pk_sql_outcome do_delete(struct attempt *attempt)
{
    if (attempt->table->has_side) {
        int64_t n;
        const enum pk_sql_outcome found = look_row(attempt, &n);
        if (found != PK_SQL_DONE) {
            return found;
        }
        return pk_sql_erase_row(attempt->sqlite, attempt->table, n) ? PK_SQL_DONE : PK_SQL_FAILED;
    }
    sqlite3_stmt *stmt = verb_of(attempt->sqlite, attempt->table, PK_SQL_ERASE);
    if (!stmt) {
        return PK_SQL_FAILED;
    }
    bind_head(attempt->sqlite, stmt, attempt->write, 0);
    if (pk_sql_run(stmt) != SQLITE_DONE) {
        return PK_SQL_FAILED;
    }
    return sqlite3_changes(attempt->sqlite->writer.db) ? PK_SQL_DONE : refuse_version(attempt);
}

static enum pk_sql_outcome do_expect(struct attempt *attempt)
{
    sqlite3_stmt *stmt;
    bool is_found;
    if (look(attempt, PK_SQL_LOOK, &stmt, &is_found) != PK_SQL_DONE) {
        return PK_SQL_FAILED;
    }
    const int64_t version = is_found ? sqlite3_column_int64(stmt, 1) : 0;
    (void)sqlite3_reset(stmt);
    return version == attempt->write->version ? PK_SQL_DONE : refuse_version(attempt);
}

static enum pk_sql_outcome store_counted(struct attempt *attempt, int64_t n, const bson_t *doc)
{
    struct pk_sql_row row;
    const struct pk_sql_row *own = attempt->row;
    sqlite3_stmt *stmt = verb_of(attempt->sqlite, attempt->table, PK_SQL_UPDATE_COUNTED);
    if (!stmt) {
        return PK_SQL_FAILED;
    }
    pk_sql_row_init(&row, attempt->table, doc);
    attempt->row = &row;
    (void)sqlite3_bind_int64(stmt, 3, n);
    bind_body(stmt, bson_get_data(doc), doc->len);
    bind_cells(stmt, attempt->table, &row);
    const int code = pk_sql_run(stmt);
    enum pk_sql_outcome outcome = code == SQLITE_DONE ? PK_SQL_DONE : PK_SQL_FAILED;
    if (is_unique_failure(code)) {
        const struct pk_sql_index *index;
        outcome = objecting_index(attempt, &index);
        outcome = outcome == PK_SQL_DONE ? refuse_index(attempt, index ? index->index->name : "_id")
                                         : PK_SQL_FAILED;
    } else if (outcome == PK_SQL_DONE && attempt->table->has_side) {
        outcome =
            erase_side(attempt->sqlite, attempt->table, n) ? put_side(attempt, n) : PK_SQL_FAILED;
    }
    (void)sqlite3_clear_bindings(stmt);
    pk_sql_row_done(&row);
    attempt->row = own;
    return outcome;
}

static enum pk_sql_outcome do_count(struct attempt *attempt)
{
    const struct pk_write *write = attempt->write;
    sqlite3_stmt *stmt;
    bool is_found;
    bson_t old, counted;

    if (look(attempt, PK_SQL_BODY, &stmt, &is_found) != PK_SQL_DONE) {
        return PK_SQL_FAILED;
    }
    if (!is_found) {
        (void)sqlite3_reset(stmt);
        return PK_SQL_DONE;
    }
    const int64_t n = sqlite3_column_int64(stmt, 0);
    const bool is_sound =
        bson_init_static(&old, sqlite3_column_blob(stmt, 1), (size_t)sqlite3_column_bytes(stmt, 1));
    const bool ok = is_sound && pk_sql_count(&old, write->count, write->count_count, &counted,
                                             &attempt->job->error);
    (void)sqlite3_reset(stmt);
    if (!ok) {
        if (!is_sound) {
            (void)pk_fail(&attempt->job->error, PK_INTERNAL,
                          "restore the latest backup into an empty folder",
                          "a stored document is damaged");
        }
        (void)pk_wrap(&attempt->job->error, "count in '%s' of '%s'", write->id, write->collection);
        return PK_SQL_REFUSED;
    }
    const enum pk_sql_outcome outcome = store_counted(attempt, n, &counted);
    bson_destroy(&counted);
    return outcome;
}

enum pk_sql_outcome pk_sql_write(struct pk_sqlite *sqlite, struct pk_job *job, size_t at)
{
    const struct pk_sql_row *row = job->prepared;
    struct attempt attempt = {
        .sqlite = sqlite,
        .job = job,
        .at = at,
        .write = &job->writes->write[at],
        .table = pk_sql_table_of(&sqlite->layout, job->target[at].collection),
        .row = &row[at],
    };
    switch (attempt.write->kind) {
    case PK_WRITE_INSERT:
        return do_insert(&attempt);
    case PK_WRITE_REPLACE:
        return do_replace(&attempt);
    case PK_WRITE_DELETE:
        return do_delete(&attempt);
    case PK_WRITE_EXPECT:
        return do_expect(&attempt);
    case PK_WRITE_COUNT:
        return do_count(&attempt);
    }
    return PK_SQL_FAILED;
}
