/* sqlite_layout.c - From the inventory to tables: columns, indexes, and the SQL for them.
 *
 * A collection is a table
 *
 *     n        INTEGER PRIMARY KEY    rows lie in the order they came
 *     id       the document's '_id', under a unique index
 *     version  the store's version of it
 *     "d.x"    one column per index key and for the TTL, NULL when absent
 *     body     the document; last, so that reading a key skips nothing large
 *
 * and a declared index is an SQL index over such columns, with id behind them
 * to break ties where it is not unique. An index of many values per document
 * is a side table with a row per value ("v"), the path under the '*'
 * ("below"), the remaining keys, id and n.
 *
 * Uniqueness is SQLite's own; what it says when it objects is known here
 * beforehand, so that it can be turned back into the declared index's name. */
/* SPDX-License-Identifier: MIT */
#include "base/alloc.h"
#include "doc/path.h"
#include "store/sqlite_internal.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* ---- Values ---- */

static enum pk_sql_kind kind_of(const struct pk_collection *collection, const char *path)
{
    if (collection->ttl_path && strcmp(collection->ttl_path, path) == 0) {
        return PK_SQL_DATE;
    }
    if (strcmp(path, "_id") == 0) {
        return PK_SQL_TEXT;
    }
    const struct pk_field *field =
        collection->schema ? pk_schema_field(collection->schema, path) : NULL;
    if (!field) {
        return PK_SQL_ANY;
    }
    switch (field->type) {
    case PK_TYPE_STRING:
        return PK_SQL_TEXT;
    case PK_TYPE_INT:
        return PK_SQL_INT;
    case PK_TYPE_NUMBER:
        return PK_SQL_NUMBER;
    case PK_TYPE_BOOL:
        return PK_SQL_BOOL;
    case PK_TYPE_DATE:
        return PK_SQL_DATE;
    case PK_TYPE_OBJECT:
    case PK_TYPE_ARRAY:
    case PK_TYPE_MAP:
    case PK_TYPE_FREE:
    case PK_TYPE_BINARY:
        break;
    }
    return PK_SQL_ANY;
}

/* Numbers have no declared type: with one, SQLite would turn large integers into doubles. */
static const char *sql_type(enum pk_sql_kind kind)
{
    switch (kind) {
    case PK_SQL_TEXT:
        return "TEXT";
    case PK_SQL_INT:
    case PK_SQL_BOOL:
    case PK_SQL_DATE:
        return "INTEGER";
    case PK_SQL_NUMBER:
    case PK_SQL_ANY:
        break;
    }
    return "";
}

/* Blobs come behind texts, booleans before dates, earlier dates before later: MongoDB's order. */
static void set_blob(struct pk_sql_cell *cell, uint8_t tag, int64_t number)
{
    const uint64_t bits = (uint64_t)number ^ UINT64_C(0x8000000000000000);
    cell->type = SQLITE_BLOB;
    cell->length = (int)sizeof(cell->blob);
    cell->blob[0] = tag;
    for (int i = 0; i < 8; i++) {
        cell->blob[1 + i] = (uint8_t)(bits >> (56 - 8 * i));
    }
}

struct pk_sql_cell pk_sql_cell_of(enum pk_sql_kind kind, const struct pk_value *value)
{
    struct pk_sql_cell cell = { .type = SQLITE_NULL, .number = value->number };
    switch (value->type) {
    case PK_VALUE_NULL:
        break;
    case PK_VALUE_TEXT:
        cell.type = SQLITE_TEXT;
        cell.text = value->text;
        cell.length = -1;
        break;
    case PK_VALUE_INT:
        cell.type = SQLITE_INTEGER;
        break;
    case PK_VALUE_DOUBLE:
        cell.type = SQLITE_FLOAT;
        cell.real = value->real;
        break;
    case PK_VALUE_BOOL:
        cell.type = SQLITE_INTEGER;
        if (kind != PK_SQL_BOOL) {
            set_blob(&cell, 8, value->number);
        }
        break;
    case PK_VALUE_DATE:
        cell.type = SQLITE_INTEGER;
        if (kind != PK_SQL_DATE) {
            set_blob(&cell, 9, value->number);
        }
        break;
    }
    return cell;
}

int pk_sql_bind(sqlite3_stmt *stmt, int at, const struct pk_sql_cell *cell)
{
    if (cell->type == SQLITE_INTEGER) {
        return sqlite3_bind_int64(stmt, at, cell->number);
    }
    if (cell->type == SQLITE_FLOAT) {
        return sqlite3_bind_double(stmt, at, cell->real);
    }
    if (cell->type == SQLITE_TEXT) {
        return sqlite3_bind_text(stmt, at, cell->text, cell->length, SQLITE_STATIC);
    }
    if (cell->type == SQLITE_BLOB) {
        return sqlite3_bind_blob(stmt, at, cell->blob, cell->length, SQLITE_STATIC);
    }
    return sqlite3_bind_null(stmt, at);
}

/* ---- Columns ---- */

static size_t add_column(struct pk_sql_table *table, const char *path)
{
    for (size_t i = 0; i < table->column_count; i++) {
        if (strcmp(table->column[i].path, path) == 0) {
            return i;
        }
    }
    table->column = pk_realloc(table->column, (table->column_count + 1) * sizeof(*table->column));
    table->column[table->column_count] = (struct pk_sql_column){
        .path = path, .name = pk_strdupf("\"d.%s\"", path), .kind = kind_of(table->collection, path)
    };
    return table->column_count++;
}

static void add_columns(struct pk_sql_table *table)
{
    const struct pk_collection *collection = table->collection;
    if (collection->ttl_path) {
        (void)add_column(table, collection->ttl_path); /* Column 0, where there is a TTL. */
    }
    for (size_t i = 0; i < collection->index_count; i++) {
        const struct pk_index *index = &collection->index[i];
        for (size_t k = 0; k < index->key_count; k++) {
            if (!pk_path_is_multi(index->key[k].path)) {
                table->index[i].column[k] = add_column(table, index->key[k].path);
            }
        }
        if (index->only != PK_ONLY_ALL) {
            table->index[i].only_column = add_column(table, index->only_path);
        }
    }
}

/* ---- Indexes ---- */

static char *quote_text(const char *text)
{
    struct pk_buf buf = { 0 };
    pk_buf_add_char(&buf, '\'');
    for (; *text; text++) {
        if (*text == '\'') {
            pk_buf_add_char(&buf, '\'');
        }
        pk_buf_add_char(&buf, *text);
    }
    pk_buf_add_char(&buf, '\'');
    return pk_buf_take(&buf);
}

static char *where_of(const struct pk_sql_table *table, const struct pk_sql_index *out)
{
    const struct pk_index *index = out->index;
    if (index->only == PK_ONLY_ALL) {
        return NULL;
    }
    const struct pk_sql_column *column = &table->column[out->only_column];
    if (index->only == PK_ONLY_EXISTS) {
        return pk_strdupf("%s IS NOT NULL", column->name);
    }
    if (index->only == PK_ONLY_TRUE) {
        return column->kind == PK_SQL_BOOL ? pk_strdupf("%s = 1", column->name)
                                           : pk_strdupf("%s = x'088000000000000001'", column->name);
    }
    PK_CLEANUP(pk_freep) char *text = quote_text(index->only_text);
    return pk_strdupf("%s = %s", column->name, text);
}

/* Without NULLs a unique index has no ties, so reading it in order needs no id. */
static bool has_no_null(const struct pk_collection *collection, const struct pk_index *index)
{
    for (size_t k = 0; k < index->key_count; k++) {
        const char *path = index->key[k].path;
        const struct pk_field *field =
            collection->schema ? pk_schema_field(collection->schema, path) : NULL;
        const bool is_held = index->only != PK_ONLY_ALL && strcmp(index->only_path, path) == 0;
        if (!is_held && !(field && (field->flags & PK_FIELD_REQUIRED) && !strchr(path, '.'))) {
            return false;
        }
    }
    return true;
}

static void describe_index(struct pk_sql_table *table, struct pk_sql_index *out)
{
    const struct pk_index *index = out->index;
    const char *name = table->collection->name;
    struct pk_buf keys = { 0 }, message = { 0 }, match = { 0 };

    out->name = pk_strdupf("%s.%s", name, index->name);
    out->where = where_of(table, out);
    for (size_t k = 0; k < index->key_count; k++) {
        const struct pk_sql_column *column = &table->column[out->column[k]];
        pk_buf_printf(&keys, "%s%s%s", k ? ", " : "", column->name,
                      index->key[k].is_descending ? " DESC" : "");
        pk_buf_printf(&message, "%s%s.d.%s", k ? ", " : "UNIQUE constraint failed: ", name,
                      column->path);
        pk_buf_printf(&match, " AND %s = ?%zu", column->name, k + 2);
    }
    out->has_id_order = !index->is_unique || !has_no_null(table->collection, index);
    if (!index->is_unique) {
        pk_buf_add_text(&keys, ", id");
    }
    out->sql = pk_strdupf("CREATE %sINDEX \"%s\" ON \"%s\"(%s)%s%s",
                          index->is_unique ? "UNIQUE " : "", out->name, name, pk_buf_text(&keys),
                          out->where ? " WHERE " : "", out->where ? out->where : "");
    if (index->is_unique) {
        out->unique_message = pk_strdup(pk_buf_text(&message));
        out->blocker =
            pk_strdupf("SELECT n, %s%s FROM \"%s\" WHERE id <> ?6%s%s%s",
                       table->collection->ttl_path ? table->column[0].name : "0",
                       table->collection->ttl_path ? " <= ?1" : "", name, pk_buf_text(&match),
                       out->where ? " AND " : "", out->where ? out->where : "");
    }
    pk_buf_done(&keys);
    pk_buf_done(&message);
    pk_buf_done(&match);
}

static void describe_side(struct pk_sql_table *table, struct pk_sql_index *out)
{
    const struct pk_index *index = out->index;
    const char *name = table->collection->name;
    struct pk_buf columns = { 0 }, keys = { 0 }, marks = { 0 }, message = { 0 };

    out->is_multi = true;
    out->is_below = strchr(index->key[0].path, '*') != NULL;
    out->kind = kind_of(table->collection, index->key[0].path);
    if (out->kind != PK_SQL_TEXT) {
        out->kind = PK_SQL_ANY;
    }
    out->side = pk_strdupf("%s.%s", name, index->name);
    out->name = pk_strdupf("%s.%s.v", name, index->name);
    out->side_n_name = pk_strdupf("%s.%s.n", name, index->name);
    out->has_id_order = true;
    pk_buf_add_text(&columns, out->is_below ? "below TEXT, v" : "v");
    pk_buf_add_text(&keys, out->is_below ? "below, v" : "v");
    pk_buf_add_text(&marks, out->is_below ? "?1, ?2" : "?2");
    pk_buf_printf(&message, "UNIQUE constraint failed: %s%s%s%s.v", out->is_below ? out->side : "",
                  out->is_below ? ".below, " : "", "", out->side);
    for (size_t k = 1; k < index->key_count; k++) {
        const struct pk_sql_column *column = &table->column[out->column[k]];
        pk_buf_printf(&columns, ", %s%s%s", column->name, *sql_type(column->kind) ? " " : "",
                      sql_type(column->kind));
        pk_buf_printf(&keys, ", %s%s", column->name, index->key[k].is_descending ? " DESC" : "");
        pk_buf_printf(&marks, ", ?%zu", k + 4);
        pk_buf_printf(&message, ", %s.d.%s", out->side, column->path);
    }
    out->side_sql = pk_strdupf("CREATE TABLE \"%s\"(%s, id TEXT NOT NULL, n INTEGER NOT NULL)",
                               out->side, pk_buf_text(&columns));
    out->side_n_sql = pk_strdupf("CREATE INDEX \"%s\" ON \"%s\"(n)", out->side_n_name, out->side);
    out->side_insert =
        pk_strdupf("INSERT INTO \"%s\" VALUES(%s, ?3, ?4)", out->side, pk_buf_text(&marks));
    out->side_delete = pk_strdupf("DELETE FROM \"%s\" WHERE n = ?1", out->side);
    out->sql =
        pk_strdupf("CREATE %sINDEX \"%s\" ON \"%s\"(%s%s)", index->is_unique ? "UNIQUE " : "",
                   out->name, out->side, pk_buf_text(&keys), index->is_unique ? "" : ", id");
    if (index->is_unique) {
        out->unique_message = pk_strdup(pk_buf_text(&message));
        out->blocker =
            pk_strdupf("SELECT s.n, %s%s%s FROM \"%s\" AS s JOIN \"%s\" AS m ON m.n = s.n "
                       "WHERE s.id <> ?6 AND s.v = ?2%s",
                       table->collection->ttl_path ? "m." : "0",
                       table->collection->ttl_path ? table->column[0].name : "",
                       table->collection->ttl_path ? " <= ?1" : "", out->side, name,
                       out->is_below ? " AND s.below = ?3" : "");
    }
    table->has_side = true;
    pk_buf_done(&columns);
    pk_buf_done(&keys);
    pk_buf_done(&marks);
    pk_buf_done(&message);
}

/* ---- Statements ---- */

/* The declared index that the reaper can walk, or NULL: then there is one of our own. */
static const char *declared_ttl(const struct pk_sql_table *table)
{
    for (size_t i = 0; i < table->collection->index_count; i++) {
        const struct pk_index *index = table->index[i].index;
        if (index->key_count == 1 && !index->is_unique && index->only == PK_ONLY_ALL &&
            !index->key[0].is_descending &&
            strcmp(index->key[0].path, table->collection->ttl_path) == 0) {
            return table->index[i].name;
        }
    }
    return NULL;
}

static void describe_statements(struct pk_sql_table *table)
{
    const struct pk_collection *collection = table->collection;
    const char *name = collection->name;
    struct pk_buf columns = { 0 }, names = { 0 }, marks = { 0 }, sets = { 0 };

    for (size_t i = 0; i < table->column_count; i++) {
        const struct pk_sql_column *column = &table->column[i];
        pk_buf_printf(&columns, "%s%s%s, ", column->name, *sql_type(column->kind) ? " " : "",
                      sql_type(column->kind));
        pk_buf_printf(&names, "%s, ", column->name);
        pk_buf_printf(&marks, "?%zu, ", i + 6);
        pk_buf_printf(&sets, "%s = ?%zu, ", column->name, i + 6);
    }
    /* ?1 now, ?2 id, ?3 version asked for, ?4 new version, ?5 body, ?6... columns. */
    table->live = collection->ttl_path ? pk_strdupf(" AND (%s IS NULL OR %s > ?1)",
                                                    table->column[0].name, table->column[0].name)
                                       : pk_strdup("");
    table->create =
        pk_strdupf("CREATE TABLE \"%s\"(n INTEGER PRIMARY KEY%s, id TEXT NOT NULL, "
                   "version INTEGER NOT NULL, %sbody BLOB NOT NULL)",
                   name, collection->is_feed ? " AUTOINCREMENT" : "", pk_buf_text(&columns));
    table->insert = pk_strdupf("INSERT INTO \"%s\"(id, version, %sbody) VALUES(?2, ?4, %s?5)", name,
                               pk_buf_text(&names), pk_buf_text(&marks));
    table->update_counted =
        pk_strdupf("UPDATE \"%s\" SET %sbody = ?5 WHERE n = ?3", name, pk_buf_text(&sets));
    table->erase =
        pk_strdupf("DELETE FROM \"%s\" WHERE id = ?2 AND version = ?3%s", name, table->live);
    table->look = pk_strdupf("SELECT n, version FROM \"%s\" WHERE id = ?2%s", name, table->live);
    table->cells = pk_strdupf("SELECT n, version, %s1 FROM \"%s\" WHERE id = ?2%s",
                              pk_buf_text(&names), name, table->live);
    table->body = pk_strdupf("SELECT n, body FROM \"%s\" WHERE id = ?2%s", name, table->live);
    table->get = pk_strdupf("SELECT version, body FROM \"%s\" WHERE id = ?2%s", name, table->live);
    table->erase_n = pk_strdupf("DELETE FROM \"%s\" WHERE n = ?1", name);
    if (collection->ttl_path) {
        const char *ttl = table->column[0].name;
        table->expired_id =
            pk_strdupf("SELECT n FROM \"%s\" WHERE id = ?2 AND %s <= ?1", name, ttl);
        const char *declared = declared_ttl(table);
        if (!declared) {
            table->ttl_name = pk_strdupf("%s.ttl", name);
            table->ttl_sql = pk_strdupf("CREATE INDEX \"%s\" ON \"%s\"(%s) WHERE %s IS NOT NULL",
                                        table->ttl_name, name, ttl, ttl);
        }
        table->expired = pk_strdupf("SELECT n FROM \"%s\" INDEXED BY \"%s\" WHERE %s <= ?1 "
                                    "ORDER BY %s LIMIT ?2",
                                    name, declared ? declared : table->ttl_name, ttl, ttl);
    }
    table->id_name = pk_strdupf("%s._id", name);
    table->id_sql = pk_strdupf("CREATE UNIQUE INDEX \"%s\" ON \"%s\"(id)", table->id_name, name);
    pk_buf_done(&columns);
    pk_buf_done(&names);
    pk_buf_done(&marks);
    pk_buf_done(&sets);
}

char *pk_sql_update_of(const struct pk_sql_table *table, uint64_t columns)
{
    struct pk_buf sql = { 0 };
    pk_buf_printf(&sql, "UPDATE \"%s\" SET version = ?4, ", table->collection->name);
    for (size_t i = 0; i < table->column_count; i++) {
        if (columns & (UINT64_C(1) << i)) {
            pk_buf_printf(&sql, "%s = ?%zu, ", table->column[i].name, i + 6);
        }
    }
    pk_buf_add_text(&sql, "body = ?5 WHERE n = ?3");
    return pk_buf_take(&sql);
}

static void describe_table(struct pk_sql_table *table)
{
    table->index = pk_calloc(table->collection->index_count, sizeof(*table->index));
    for (size_t i = 0; i < table->collection->index_count; i++) {
        table->index[i].index = &table->collection->index[i];
    }
    add_columns(table);
    assert(table->column_count <= 64); /* pk_sql_changes has a bit for each. */
    for (size_t i = 0; i < table->collection->index_count; i++) {
        if (pk_path_is_multi(table->collection->index[i].key[0].path)) {
            describe_side(table, &table->index[i]);
        } else {
            describe_index(table, &table->index[i]);
        }
    }
    describe_statements(table);
}

void pk_sql_layout_init(struct pk_sql_layout *layout, const struct pk_inventory *inventory)
{
    *layout = (struct pk_sql_layout){ .count = inventory->count };
    layout->table = pk_calloc(inventory->count, sizeof(*layout->table));
    for (size_t i = 0; i < inventory->count; i++) {
        layout->table[i].collection = &inventory->collection[i];
        describe_table(&layout->table[i]);
        if (inventory->collection[i].is_feed) {
            layout->feed = &layout->table[i];
        }
    }
}

static void free_all(char **text[], size_t count)
{
    for (size_t i = 0; i < count; i++) {
        pk_free(*text[i]);
        *text[i] = NULL;
    }
}

static void end_table(struct pk_sql_table *table)
{
    for (size_t i = 0; i < table->collection->index_count; i++) {
        struct pk_sql_index *index = &table->index[i];
        char **text[] = {
            &index->name,           &index->sql,         &index->where,      &index->side,
            &index->unique_message, &index->blocker,     &index->side_sql,   &index->side_n_name,
            &index->side_n_sql,     &index->side_insert, &index->side_delete
        };
        free_all(text, PK_COUNT(text));
    }
    for (size_t i = 0; i < table->column_count; i++) {
        pk_free(table->column[i].name);
    }
    char **text[] = { &table->id_name,        &table->id_sql, &table->ttl_name,   &table->ttl_sql,
                      &table->live,           &table->create, &table->insert,     &table->cells,
                      &table->update_counted, &table->erase,  &table->look,       &table->body,
                      &table->erase_n,        &table->get,    &table->expired_id, &table->expired };
    free_all(text, PK_COUNT(text));
    pk_free(table->index);
    pk_free(table->column);
}

void pk_sql_layout_done(struct pk_sql_layout *layout)
{
    for (size_t i = 0; i < layout->count; i++) {
        end_table(&layout->table[i]);
    }
    pk_free(layout->table);
    *layout = (struct pk_sql_layout){ 0 };
}

const struct pk_sql_table *pk_sql_table_of(const struct pk_sql_layout *layout,
                                           const struct pk_collection *collection)
{
    /* The inventory is one array, and the layout has its order. */
    return &layout->table[collection - layout->table[0].collection];
}

/* ---- Rows ---- */

struct collector {
    struct pk_sql_row *row;
    size_t index;
    enum pk_sql_kind kind;
};

static bool collect(void *context, const char *below, const bson_iter_t *iter)
{
    struct collector *collector = context;
    struct pk_sql_row *row = collector->row;
    const struct pk_value value = pk_value_of_iter(iter);

    if (value.type == PK_VALUE_NULL) {
        return true;
    }
    if (row->entry_count == row->entry_capacity) {
        row->entry_capacity = row->entry_capacity ? row->entry_capacity * 2 : 8;
        row->entry = pk_realloc(row->entry, row->entry_capacity * sizeof(*row->entry));
    }
    row->entry[row->entry_count++] =
        (struct pk_sql_entry){ .index = collector->index,
                               .below = pk_strdup(below),
                               .value = pk_sql_cell_of(collector->kind, &value) };
    return true;
}

static int compare_cells(const struct pk_sql_cell *a, const struct pk_sql_cell *b)
{
    const bool is_number_a = a->type == SQLITE_INTEGER || a->type == SQLITE_FLOAT;
    const bool is_number_b = b->type == SQLITE_INTEGER || b->type == SQLITE_FLOAT;
    if (a->type != b->type && is_number_a && is_number_b) {
        /* Exact here: a long double holds every int64 and every double. */
        const long double x = a->type == SQLITE_FLOAT ? a->real : (long double)a->number;
        const long double y = b->type == SQLITE_FLOAT ? b->real : (long double)b->number;
        return x < y ? -1 : x > y;
    }
    if (a->type != b->type) {
        return a->type < b->type ? -1 : 1;
    }
    if (a->type == SQLITE_TEXT) {
        return strcmp(a->text, b->text);
    }
    if (a->type == SQLITE_BLOB) {
        return memcmp(a->blob, b->blob, sizeof(a->blob));
    }
    if (a->type == SQLITE_FLOAT) {
        return a->real < b->real ? -1 : a->real > b->real;
    }
    return a->number < b->number ? -1 : a->number > b->number;
}

static int compare_entries(const void *left, const void *right)
{
    const struct pk_sql_entry *a = left;
    const struct pk_sql_entry *b = right;
    if (a->index != b->index) {
        return a->index < b->index ? -1 : 1;
    }
    const int order = strcmp(a->below, b->below);
    return order ? order : compare_cells(&a->value, &b->value);
}

/* A value that a document has twice is found once. */
static void drop_repeats(struct pk_sql_row *row)
{
    size_t kept = 0;
    if (row->entry_count < 2) {
        return;
    }
    qsort(row->entry, row->entry_count, sizeof(*row->entry), compare_entries);
    for (size_t i = 0; i < row->entry_count; i++) {
        if (kept && compare_entries(&row->entry[kept - 1], &row->entry[i]) == 0) {
            pk_free(row->entry[i].below);
        } else {
            row->entry[kept++] = row->entry[i];
        }
    }
    row->entry_count = kept;
}

void pk_sql_row_init(struct pk_sql_row *row, const struct pk_sql_table *table, const bson_t *doc)
{
    *row = (struct pk_sql_row){ .cell = pk_calloc(table->column_count, sizeof(*row->cell)) };
    for (size_t i = 0; i < table->column_count; i++) {
        const struct pk_value value = pk_value_of(doc, table->column[i].path);
        row->cell[i] = pk_sql_cell_of(table->column[i].kind, &value);
    }
    for (size_t i = 0; i < table->collection->index_count; i++) {
        /* An object or array is there without being a value; its condition asks for something. */
        const struct pk_sql_index *index = &table->index[i];
        struct pk_sql_cell *only = &row->cell[index->only_column];
        if (!index->is_multi && index->index->only == PK_ONLY_EXISTS && only->type == SQLITE_NULL &&
            pk_index_holds(index->index, doc)) {
            *only = (struct pk_sql_cell){ .type = SQLITE_INTEGER, .number = 1 };
        }
    }
    for (size_t i = 0; table->has_side && i < table->collection->index_count; i++) {
        const struct pk_sql_index *index = &table->index[i];
        struct collector collector = { .row = row, .index = i, .kind = index->kind };
        if (index->is_multi && pk_index_holds(index->index, doc)) {
            (void)pk_path_each(doc, index->index->key[0].path, collect, &collector);
        }
    }
    drop_repeats(row);
}

void pk_sql_row_done(struct pk_sql_row *row)
{
    for (size_t i = 0; i < row->entry_count; i++) {
        pk_free(row->entry[i].below);
    }
    pk_free(row->entry);
    pk_free(row->cell);
    *row = (struct pk_sql_row){ 0 };
}

static bool is_cell(sqlite3_stmt *found, int at, const struct pk_sql_cell *cell)
{
    if (sqlite3_column_type(found, at) != cell->type) {
        return false;
    }
    switch (cell->type) {
    case SQLITE_NULL:
        return true;
    case SQLITE_INTEGER:
        return sqlite3_column_int64(found, at) == cell->number;
    case SQLITE_TEXT:
        return strcmp((const char *)sqlite3_column_text(found, at), cell->text) == 0;
    case SQLITE_BLOB:
        return sqlite3_column_bytes(found, at) == cell->length &&
               memcmp(sqlite3_column_blob(found, at), cell->blob, sizeof(cell->blob)) == 0;
    default:
        return false; /* A float: what was stored may be rounded. */
    }
}

uint64_t pk_sql_changes(const struct pk_sql_table *table, const struct pk_sql_row *row,
                        sqlite3_stmt *found)
{
    uint64_t columns = 0;
    for (size_t i = 0; i < table->column_count; i++) {
        if (!is_cell(found, (int)i + 2, &row->cell[i])) {
            columns |= UINT64_C(1) << i;
        }
    }
    return columns;
}

bool pk_sql_holds(const struct pk_sql_index *index, const struct pk_sql_row *row)
{
    if (index->is_multi) {
        return true; /* A row has entries of those alone that hold it. */
    }
    const struct pk_sql_cell *cell = &row->cell[index->only_column];
    switch (index->index->only) {
    case PK_ONLY_ALL:
        break;
    case PK_ONLY_EXISTS:
        return cell->type != SQLITE_NULL;
    case PK_ONLY_TEXT:
        return cell->type == SQLITE_TEXT && strcmp(cell->text, index->index->only_text) == 0;
    case PK_ONLY_TRUE:
        return (cell->type == SQLITE_INTEGER || cell->type == SQLITE_BLOB) && cell->number == 1;
    }
    return true;
}
