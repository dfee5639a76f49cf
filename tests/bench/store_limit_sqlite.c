/* store_limit_sqlite.c - The same rows by a minimal C loop with group commit. */
/* SPDX-License-Identifier: MIT */
#include "bench.h"
#include "store_limit.h"

#include "base/alloc.h"

#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ROWS_MAX = 100000, TABLES_MAX = 8 };

static void must(int rc, sqlite3 *db, const char *what)
{
    if (rc != SQLITE_OK && rc != SQLITE_DONE && rc != SQLITE_ROW) {
        (void)fprintf(stderr, "%s: %s\n", what, sqlite3_errmsg(db));
        exit(1);
    }
}

static sqlite3 *open_file(const char *folder, const char *name, int flags)
{
    char *path = pk_strdupf("%s/%s", folder, name);
    sqlite3 *db = NULL;
    must(sqlite3_open_v2(path, &db, flags, NULL), db, path);
    pk_free(path);
    return db;
}

static void run(sqlite3 *db, const char *sql)
{
    must(sqlite3_exec(db, sql, NULL, NULL, NULL), db, sql);
}

/* Tables and indexes as the store made them. */
static void copy_schema(sqlite3 *from, sqlite3 *to)
{
    sqlite3_stmt *s = NULL;
    must(sqlite3_prepare_v2(from,
                            "SELECT sql FROM sqlite_master WHERE sql IS NOT NULL AND name NOT LIKE "
                            "'sqlite_%' ORDER BY type DESC",
                            -1, &s, NULL),
         from, "schema");
    while (sqlite3_step(s) == SQLITE_ROW) {
        run(to, (const char *)sqlite3_column_text(s, 0));
    }
    (void)sqlite3_finalize(s);
}

/* Rows held in memory as sqlite3_values, so that reading them costs the loop nothing. */
struct rows {
    sqlite3_value **value;
    size_t count;
    int columns;
    sqlite3_stmt *insert;
};

static void load_rows(sqlite3 *from, const char *table, struct rows *out)
{
    char *sql = pk_strdupf("SELECT * FROM \"%s\" LIMIT %d", table, ROWS_MAX);
    sqlite3_stmt *s = NULL;
    must(sqlite3_prepare_v2(from, sql, -1, &s, NULL), from, sql);
    pk_free(sql);
    out->columns = sqlite3_column_count(s);
    out->value = pk_calloc((size_t)out->columns * ROWS_MAX, sizeof(*out->value));
    while (sqlite3_step(s) == SQLITE_ROW) {
        for (int c = 0; c < out->columns; c++) {
            out->value[out->count * (size_t)out->columns + (size_t)c] =
                sqlite3_value_dup(sqlite3_column_value(s, c));
        }
        out->count++;
    }
    (void)sqlite3_finalize(s);
}

static void prepare_insert(sqlite3 *to, const char *table, struct rows *rows)
{
    char sql[1024];
    int n = snprintf(sql, sizeof(sql), "INSERT INTO \"%s\" VALUES(", table);
    for (int c = 0; c < rows->columns; c++) {
        n += snprintf(sql + n, sizeof(sql) - (size_t)n, "%s?", c ? "," : "");
    }
    (void)snprintf(sql + n, sizeof(sql) - (size_t)n, ")");
    must(sqlite3_prepare_v2(to, sql, -1, &rows->insert, NULL), to, sql);
}

static void insert_row(sqlite3 *to, struct rows *rows, size_t row)
{
    for (int c = 0; c < rows->columns; c++) {
        (void)sqlite3_bind_value(rows->insert, c + 1,
                                 rows->value[row * (size_t)rows->columns + (size_t)c]);
    }
    must(sqlite3_step(rows->insert), to, "insert");
    (void)sqlite3_reset(rows->insert);
}

static void free_rows(struct rows *rows)
{
    for (size_t i = 0; i < rows->count * (size_t)rows->columns; i++) {
        sqlite3_value_free(rows->value[i]);
    }
    pk_free(rows->value);
    (void)sqlite3_finalize(rows->insert);
}

struct limit_result limit_sqlite(const char *from_folder, const char *to_folder,
                                 const char *const *tables, unsigned group, double seconds)
{
    struct rows rows[TABLES_MAX] = { 0 };
    size_t table_count = 0;
    size_t row_count = ROWS_MAX;

    sqlite3 *from = open_file(from_folder, "personakit.db", SQLITE_OPEN_READONLY);
    sqlite3 *to = open_file(to_folder, "limit.db", SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE);
    run(to, "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;");
    copy_schema(from, to);
    for (; tables[table_count]; table_count++) {
        load_rows(from, tables[table_count], &rows[table_count]);
        prepare_insert(to, tables[table_count], &rows[table_count]);
        if (rows[table_count].count < row_count) {
            row_count = rows[table_count].count;
        }
    }
    (void)sqlite3_close(from);

    struct limit_result result = { 0 };
    int64_t start = bench_now_ns();
    int64_t cpu = bench_cpu_ns();
    int64_t end = start + (int64_t)(seconds * 1e9);
    size_t row = 0;
    while (row < row_count && bench_now_ns() < end) {
        run(to, "BEGIN IMMEDIATE");
        for (unsigned i = 0; i < group && row < row_count; i++, row++) {
            for (size_t t = 0; t < table_count; t++) {
                insert_row(to, &rows[t], row);
            }
            result.lists++;
        }
        run(to, "COMMIT");
    }
    result.ns = bench_now_ns() - start;
    result.cpu_ns = bench_cpu_ns() - cpu;

    for (size_t t = 0; t < table_count; t++) {
        free_rows(&rows[t]);
    }
    (void)sqlite3_close(to);
    return result;
}
