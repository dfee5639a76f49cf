/* sqlite_match.c - What stands in the file against what the layout says.
 *
 * A table, column, side table or index that is missing is made, and filled
 * from the documents. One that is there and differs from its declaration, or
 * that nothing declares, is reported by name, how it is and how it should be:
 * kept silently it would serve wrong answers, dropped silently it would take
 * somebody's work along. Tables of other names are none of ours to judge. */
/* SPDX-License-Identifier: MIT */
#include "base/alloc.h"
#include "store/sqlite_internal.h"

#include <stdio.h>
#include <string.h>

static const char differ_hint[] =
    "raise the schema version with an upgrade step, or undo the change made to the file";

/* ---- Looking ---- */

/* The SQL of an object, or NULL when there is none; the caller frees it. */
static bool sql_of(struct pk_sqlite *sqlite, const char *name, char **out, struct pk_error *err)
{
    sqlite3 *db = sqlite->writer.db;
    PK_CLEANUP(pk_sql_finalize) sqlite3_stmt *stmt = NULL;
    *out = NULL;
    if (!pk_sql_prepare(sqlite, db, "SELECT sql FROM sqlite_schema WHERE name = ?1", &stmt, err)) {
        return false;
    }
    (void)sqlite3_bind_text(stmt, 1, name, -1, SQLITE_STATIC);
    const int code = sqlite3_step(stmt);
    if (code == SQLITE_ROW) {
        const char *sql = (const char *)sqlite3_column_text(stmt, 0);
        *out = pk_strdup(sql ? sql : "");
    }
    return code == SQLITE_ROW || code == SQLITE_DONE ||
           pk_sql_fail(sqlite, db, err, "read the store's file");
}

/* The part of a CREATE statement that says what is in it. */
static const char *gist(const char *sql)
{
    const char *open = strchr(sql, '(');
    return open ? open : sql;
}

static bool make(struct pk_sqlite *sqlite, const char *what, const char *name, const char *sql,
                 bool is_read_only, struct pk_error *err)
{
    if (is_read_only) {
        return pk_fail(err, PK_PRECONDITION, "open the store for writing once",
                       "%s '%s' is missing", what, name);
    }
    if (sqlite3_exec(sqlite->writer.db, sql, NULL, NULL, NULL) == SQLITE_OK) {
        return true;
    }
    if ((sqlite3_extended_errcode(sqlite->writer.db) & 0xff) == SQLITE_CONSTRAINT) {
        return pk_fail(err, PK_CONFLICT, "change or delete the documents that share a key",
                       "%s '%s' cannot be made: several documents have the same key", what, name);
    }
    return pk_sql_fail(sqlite, sqlite->writer.db, err, "make an index");
}

/* Sees that the object, if it is there, is as it should be. */
static bool check_object(struct pk_sqlite *sqlite, const char *what, const char *name,
                         const char *sql, bool *out_there, struct pk_error *err)
{
    PK_CLEANUP(pk_freep) char *is = NULL;
    if (!sql_of(sqlite, name, &is, err)) {
        return false;
    }
    *out_there = is != NULL;
    if (!is || strcmp(is, sql) == 0) {
        return true;
    }
    const bool is_unique = strncmp(sql, "CREATE UNIQUE", 13) == 0;
    const bool was_unique = strncmp(is, "CREATE UNIQUE", 13) == 0;
    const char *wrong = was_unique == is_unique ? "" : was_unique ? "unique " : "not unique ";
    return pk_fail(err, PK_CONFLICT, differ_hint, "%s '%s' is %s%.90s and should be %s%.90s", what,
                   name, wrong, gist(is), *wrong ? (is_unique ? "unique " : "not unique ") : "",
                   gist(sql));
}

/* The same, and makes it when it is not. '*out_made' may be NULL. */
static bool match_object(struct pk_sqlite *sqlite, const char *what, const char *name,
                         const char *sql, bool is_read_only, bool *out_made, struct pk_error *err)
{
    bool is_there;
    if (!check_object(sqlite, what, name, sql, &is_there, err)) {
        return false;
    }
    if (!is_there && out_made) {
        *out_made = true;
    }
    return is_there || make(sqlite, what, name, sql, is_read_only, err);
}

/* ---- Columns ---- */

static const struct pk_sql_column *column_named(const struct pk_sql_table *table, const char *name)
{
    for (size_t i = 0; i < table->column_count; i++) {
        const char *quoted = table->column[i].name;
        if (strlen(quoted) == strlen(name) + 2 && strncmp(quoted + 1, name, strlen(name)) == 0) {
            return &table->column[i];
        }
    }
    return NULL;
}

/* The declared type, as the CREATE statement has it. */
static void type_of(const struct pk_sql_table *table, const struct pk_sql_column *column,
                    char out[16])
{
    const char *at = strstr(table->create, column->name) + strlen(column->name);
    (void)snprintf(out, 16, "%.*s", (int)strcspn(at, ","), *at == ' ' ? at + 1 : at);
    out[strcspn(out, ",")] = 0;
}

static bool match_column(const struct pk_sql_table *table, const char *name, const char *type,
                         bool *has, struct pk_error *err)
{
    const struct pk_sql_column *column = column_named(table, name);
    char wanted[16];
    if (!column) {
        return pk_fail(err, PK_CONFLICT, differ_hint,
                       "column '%s' of '%s' is there and nothing declares it", name,
                       table->collection->name);
    }
    type_of(table, column, wanted);
    if (strcmp(type, wanted) != 0) {
        return pk_fail(err, PK_CONFLICT, differ_hint, "column '%s' of '%s' is %s and should be %s",
                       name, table->collection->name, *type ? type : "without type",
                       *wanted ? wanted : "without type");
    }
    has[column - table->column] = true;
    return true;
}

static bool read_columns(struct pk_sqlite *sqlite, const struct pk_sql_table *table, bool *has,
                         struct pk_error *err)
{
    sqlite3 *db = sqlite->writer.db;
    PK_CLEANUP(pk_sql_finalize) sqlite3_stmt *stmt = NULL;
    unsigned fixed = 0;
    int code;

    if (!pk_sql_prepare(sqlite, db, "SELECT name, type FROM pragma_table_info(?1)", &stmt, err)) {
        return false;
    }
    (void)sqlite3_bind_text(stmt, 1, table->collection->name, -1, SQLITE_STATIC);
    while ((code = sqlite3_step(stmt)) == SQLITE_ROW) {
        const char *name = (const char *)sqlite3_column_text(stmt, 0);
        const char *type = (const char *)sqlite3_column_text(stmt, 1);
        if (strcmp(name, "n") == 0 || strcmp(name, "id") == 0 || strcmp(name, "version") == 0 ||
            strcmp(name, "body") == 0) {
            fixed++;
        } else if (!match_column(table, name, type ? type : "", has, err)) {
            return false;
        }
    }
    if (code != SQLITE_DONE) {
        return pk_sql_fail(sqlite, db, err, "read the store's file");
    }
    return fixed == 4 ||
           pk_fail(err, PK_CONFLICT, differ_hint,
                   "table '%s' lacks a column that every collection has", table->collection->name);
}

static bool add_missing(struct pk_sqlite *sqlite, const struct pk_sql_table *table, const bool *has,
                        bool is_read_only, bool *out_fill, struct pk_error *err)
{
    for (size_t i = 0; i < table->column_count; i++) {
        char type[16];
        if (has[i]) {
            continue;
        }
        type_of(table, &table->column[i], type);
        PK_CLEANUP(pk_freep)
        char *sql = pk_strdupf("ALTER TABLE \"%s\" ADD COLUMN %s %s", table->collection->name,
                               table->column[i].name, type);
        if (!make(sqlite, "column", table->column[i].path, sql, is_read_only, err)) {
            return false;
        }
        *out_fill = true;
    }
    return true;
}

/* ---- Filling what was made ---- */

struct filling {
    struct pk_sqlite *sqlite;
    const struct pk_sql_table *table;
    const bool *is_new; /* Per index: its side table has just been made. */
    sqlite3_stmt *update;
};

static bool fill_side(const struct filling *filling, const struct pk_sql_row *row, const char *id,
                      int64_t n, struct pk_error *err)
{
    struct pk_sqlite *sqlite = filling->sqlite;
    for (size_t i = 0; i < row->entry_count; i++) {
        const struct pk_sql_entry *entry = &row->entry[i];
        const struct pk_sql_index *index = &filling->table->index[entry->index];
        PK_CLEANUP(pk_sql_finalize) sqlite3_stmt *stmt = NULL;
        if (!filling->is_new[entry->index]) {
            continue;
        }
        if (!pk_sql_prepare(sqlite, sqlite->writer.db, index->side_insert, &stmt, err)) {
            return false;
        }
        if (index->is_below) {
            (void)sqlite3_bind_text(stmt, 1, entry->below, -1, SQLITE_STATIC);
        }
        (void)pk_sql_bind(stmt, 2, &entry->value);
        (void)sqlite3_bind_text(stmt, 3, id, -1, SQLITE_STATIC);
        (void)sqlite3_bind_int64(stmt, 4, n);
        for (size_t k = 1; k < index->index->key_count; k++) {
            (void)pk_sql_bind(stmt, (int)k + 4, &row->cell[index->column[k]]);
        }
        if (pk_sql_run(stmt) != SQLITE_DONE) {
            return pk_sql_fail(sqlite, sqlite->writer.db, err, "fill an index");
        }
    }
    return true;
}

static bool fill_row(const struct filling *filling, sqlite3_stmt *from, struct pk_error *err)
{
    struct pk_sqlite *sqlite = filling->sqlite;
    const struct pk_sql_table *table = filling->table;
    const int64_t n = sqlite3_column_int64(from, 0);
    const void *body = sqlite3_column_blob(from, 2);
    const size_t size = (size_t)sqlite3_column_bytes(from, 2);
    struct pk_sql_row row;
    bson_t doc;

    if (!body || !bson_init_static(&doc, body, size)) {
        return pk_fail(err, PK_INTERNAL, "restore the latest backup into an empty folder",
                       "a stored document of '%s' is damaged", table->collection->name);
    }
    pk_sql_row_init(&row, table, &doc);
    (void)sqlite3_bind_int64(filling->update, 3, n);
    (void)sqlite3_bind_blob64(filling->update, 5, body, size, SQLITE_STATIC);
    for (size_t i = 0; i < table->column_count; i++) {
        (void)pk_sql_bind(filling->update, (int)i + 6, &row.cell[i]);
    }
    const bool ok = (pk_sql_run(filling->update) == SQLITE_DONE ||
                     pk_sql_fail(sqlite, sqlite->writer.db, err, "fill an index")) &&
                    fill_side(filling, &row, (const char *)sqlite3_column_text(from, 1), n, err);
    (void)sqlite3_clear_bindings(filling->update);
    pk_sql_row_done(&row);
    return ok;
}

/* Row by row, so that no statement reads a table while it is rewritten. */
static bool fill(struct pk_sqlite *sqlite, const struct pk_sql_table *table, const bool *is_new,
                 struct pk_error *err)
{
    sqlite3 *db = sqlite->writer.db;
    PK_CLEANUP(pk_sql_finalize) sqlite3_stmt *from = NULL;
    PK_CLEANUP(pk_sql_finalize) sqlite3_stmt *update = NULL;
    PK_CLEANUP(pk_freep)
    char *sql = pk_strdupf("SELECT n, id, body FROM \"%s\" WHERE n > ?1 ORDER BY n LIMIT 1",
                           table->collection->name);
    int64_t n = 0;

    if (!pk_sql_prepare(sqlite, db, sql, &from, err) ||
        !pk_sql_prepare(sqlite, db, table->update_counted, &update, err)) {
        return false;
    }
    const struct filling filling = {
        .sqlite = sqlite, .table = table, .is_new = is_new, .update = update
    };
    for (;;) {
        (void)sqlite3_bind_int64(from, 1, n);
        const int code = sqlite3_step(from);
        if (code != SQLITE_ROW) {
            return code == SQLITE_DONE || pk_sql_fail(sqlite, db, err, "fill an index");
        }
        n = sqlite3_column_int64(from, 0);
        const bool ok = fill_row(&filling, from, err);
        (void)sqlite3_reset(from);
        if (!ok) {
            return false;
        }
    }
}

/* ---- Indexes ---- */

static bool match_sides(struct pk_sqlite *sqlite, const struct pk_sql_table *table,
                        bool is_read_only, bool *is_new, bool *out_fill, struct pk_error *err)
{
    for (size_t i = 0; i < table->collection->index_count; i++) {
        const struct pk_sql_index *index = &table->index[i];
        if (index->is_multi && !match_object(sqlite, "table", index->side, index->side_sql,
                                             is_read_only, &is_new[i], err)) {
            return false;
        }
        *out_fill = *out_fill || is_new[i];
    }
    return true;
}

static bool match_indexes(struct pk_sqlite *sqlite, const struct pk_sql_table *table,
                          bool is_read_only, struct pk_error *err)
{
    if (!match_object(sqlite, "index", table->id_name, table->id_sql, is_read_only, NULL, err) ||
        (table->ttl_name && !match_object(sqlite, "index", table->ttl_name, table->ttl_sql,
                                          is_read_only, NULL, err))) {
        return false;
    }
    for (size_t i = 0; i < table->collection->index_count; i++) {
        const struct pk_sql_index *index = &table->index[i];
        if (!match_object(sqlite, "index", index->name, index->sql, is_read_only, NULL, err) ||
            (index->is_multi && !match_object(sqlite, "index", index->side_n_name,
                                              index->side_n_sql, is_read_only, NULL, err))) {
            return false;
        }
    }
    return true;
}

/* Before columns are looked at: an index on other keys mostly has other columns, too, and it is the
 * index that a person has declared. */
static bool refuse_differing(struct pk_sqlite *sqlite, const struct pk_sql_table *table,
                             struct pk_error *err)
{
    for (size_t i = 0; i < table->collection->index_count; i++) {
        const struct pk_sql_index *index = &table->index[i];
        bool is_there;
        if ((index->is_multi &&
             !check_object(sqlite, "table", index->side, index->side_sql, &is_there, err)) ||
            !check_object(sqlite, "index", index->name, index->sql, &is_there, err)) {
            return false;
        }
    }
    return true;
}

static bool is_declared(const struct pk_sql_table *table, const char *name)
{
    if (strcmp(name, table->id_name) == 0 ||
        (table->ttl_name && strcmp(name, table->ttl_name) == 0)) {
        return true;
    }
    for (size_t i = 0; i < table->collection->index_count; i++) {
        if (!table->index[i].is_multi && strcmp(name, table->index[i].name) == 0) {
            return true;
        }
    }
    return false;
}

static bool refuse_undeclared(struct pk_sqlite *sqlite, const struct pk_sql_table *table,
                              struct pk_error *err)
{
    sqlite3 *db = sqlite->writer.db;
    PK_CLEANUP(pk_sql_finalize) sqlite3_stmt *stmt = NULL;
    int code;
    if (!pk_sql_prepare(sqlite, db,
                        "SELECT name, sql FROM sqlite_schema WHERE type = 'index' "
                        "AND tbl_name = ?1 AND sql IS NOT NULL",
                        &stmt, err)) {
        return false;
    }
    (void)sqlite3_bind_text(stmt, 1, table->collection->name, -1, SQLITE_STATIC);
    while ((code = sqlite3_step(stmt)) == SQLITE_ROW) {
        const char *name = (const char *)sqlite3_column_text(stmt, 0);
        if (!is_declared(table, name)) {
            return pk_fail(err, PK_CONFLICT, differ_hint,
                           "index '%s' of '%s' is %.90s and nothing declares it", name,
                           table->collection->name,
                           gist((const char *)sqlite3_column_text(stmt, 1)));
        }
    }
    return code == SQLITE_DONE || pk_sql_fail(sqlite, db, err, "read the store's file");
}

/* Columns and side tables first, then their content, then the indexes over both. */
static bool match_table(struct pk_sqlite *sqlite, const struct pk_sql_table *table,
                        bool is_read_only, struct pk_error *err)
{
    PK_CLEANUP(pk_freep) bool *has = pk_calloc(table->column_count, sizeof(*has));
    PK_CLEANUP(pk_freep) bool *is_new = pk_calloc(table->collection->index_count, sizeof(*is_new));
    PK_CLEANUP(pk_freep) char *is = NULL;
    bool needs_fill = false;

    if (!sql_of(sqlite, table->collection->name, &is, err)) {
        return false;
    }
    if (!is) {
        if (!make(sqlite, "collection", table->collection->name, table->create, is_read_only,
                  err)) {
            return false;
        }
    } else if (!refuse_differing(sqlite, table, err) || !refuse_undeclared(sqlite, table, err) ||
               !read_columns(sqlite, table, has, err) ||
               !add_missing(sqlite, table, has, is_read_only, &needs_fill, err)) {
        return false;
    }
    return match_sides(sqlite, table, is_read_only, is_new, &needs_fill, err) &&
           (!is || !needs_fill || fill(sqlite, table, is_new, err)) &&
           match_indexes(sqlite, table, is_read_only, err);
}

bool pk_sql_match(struct pk_sqlite *sqlite, bool is_read_only, struct pk_error *err)
{
    for (size_t i = 0; i < sqlite->layout.count; i++) {
        if (!match_table(sqlite, &sqlite->layout.table[i], is_read_only, err)) {
            return false;
        }
    }
    return true;
}
