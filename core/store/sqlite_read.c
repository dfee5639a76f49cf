/* sqlite_read.c - The pool of readers, get and find.
 *
 * A reader is a connection of its own with its prepared statements; it reads a
 * snapshot and disturbs nobody. They are opened when first needed, up to
 * sixteen; who finds none at rest waits for one.
 *
 * A page is a walk over up to ten straight stretches of an index. Behind the
 * last document (a, b, id) of the page before, in an index on two keys, lie
 *
 *     key1 = a and key2 = b and id beyond
 *     key1 = a and key2 beyond b
 *     key1 beyond a
 *
 * and each of them is a plain range that SQLite reads in order, without
 * sorting, whatever the directions of the keys; one condition with OR would
 * not be. Absent values come first in ascending order, so "beyond" of a
 * descending key is two stretches: lower values, then the absent ones. */
/* SPDX-License-Identifier: MIT */
#include "base/alloc.h"
#include "base/clock.h"
#include "base/cond.h"
#include "store/sqlite_internal.h"

#include <errno.h>
#include <math.h>
#include <string.h>

enum { OPS_PER_LOOK = 4000, WAIT_LOOK_MS = 100 };

/* ---- Statements by their text ---- */

static uint64_t hash_text(const char *text)
{
    uint64_t hash = 0xcbf29ce484222325u;
    for (; *text; text++) {
        hash = (hash ^ (uint8_t)*text) * 0x100000001b3u;
    }
    return hash;
}

/* Where a new statement goes: a free place, or that of the one used longest ago. */
static struct pk_sql_cached *place_for(struct pk_sql_cache *cache)
{
    if (cache->count < PK_SQL_CACHED_MAX) {
        return &cache->cached[cache->count++];
    }
    struct pk_sql_cached *oldest = &cache->cached[0];
    for (size_t i = 1; i < cache->count; i++) {
        if (cache->cached[i].used < oldest->used) {
            oldest = &cache->cached[i];
        }
    }
    (void)sqlite3_finalize(oldest->stmt);
    pk_free(oldest->sql);
    return oldest;
}

bool pk_sql_cached(struct pk_sqlite *sqlite, sqlite3 *db, struct pk_sql_cache *cache,
                   const char *sql, sqlite3_stmt **out, struct pk_error *err)
{
    const uint64_t hash = hash_text(sql);
    sqlite3_stmt *stmt = NULL;

    cache->uses++;
    for (size_t i = 0; i < cache->count; i++) {
        struct pk_sql_cached *cached = &cache->cached[i];
        if (cached->hash == hash && strcmp(cached->sql, sql) == 0) {
            cached->used = cache->uses;
            *out = cached->stmt;
            return true;
        }
    }
    if (!pk_sql_prepare(sqlite, db, sql, &stmt, err)) {
        return false;
    }
    *place_for(cache) = (struct pk_sql_cached){
        .sql = pk_strdup(sql), .hash = hash, .used = cache->uses, .stmt = stmt
    };
    *out = stmt;
    return true;
}

void pk_sql_cache_done(struct pk_sql_cache *cache)
{
    for (size_t i = 0; i < cache->count; i++) {
        (void)sqlite3_finalize(cache->cached[i].stmt);
        pk_free(cache->cached[i].sql);
    }
    cache->count = 0;
}

/* ---- The pool ---- */

/* Asked by SQLite every few thousand steps: the end of a scan that takes too long. */
static int is_over(void *context)
{
    const struct pk_sql_reader *reader = context;
    return pk_deadline_passed(reader->clock, reader->deadline_ns);
}

static void close_reader(struct pk_sql_reader *reader)
{
    pk_sql_cache_done(&reader->cache);
    (void)sqlite3_close(reader->db);
    pk_free(reader);
}

static struct pk_sql_reader *open_reader(struct pk_sqlite *sqlite, struct pk_error *err)
{
    struct pk_sql_reader *reader = pk_calloc(1, sizeof(*reader));
    const bool is_read_only = sqlite->store->is_read_only;

    reader->clock = sqlite->store->clock;
    if (!pk_sql_connect(sqlite, is_read_only ? SQLITE_OPEN_READONLY : SQLITE_OPEN_READWRITE,
                        &reader->db, err) ||
        !pk_sql_exec(sqlite, reader->db, "PRAGMA query_only=1; PRAGMA cache_size=-4096;", err)) {
        close_reader(reader);
        return NULL;
    }
    return reader;
}

static void wait_for_reader(struct pk_sqlite *sqlite, int64_t wait_ms)
{
    (void)pk_cond_wait(&sqlite->read_free, &sqlite->read_lock, pk_cond_in_ms(wait_ms + 1));
}

bool pk_sql_reader_take(struct pk_sqlite *sqlite, int64_t deadline_ns, struct pk_sql_reader **out,
                        struct pk_error *err)
{
    const struct pk_clock *clock = sqlite->store->clock;
    struct pk_sql_reader *reader = NULL;
    bool is_mine_to_open = false;

    (void)pthread_mutex_lock(&sqlite->read_lock);
    while (!reader && !is_mine_to_open) {
        if (sqlite->reader) {
            reader = sqlite->reader;
            sqlite->reader = reader->next;
        } else if (sqlite->reader_count < PK_SQL_READERS_MAX) {
            sqlite->reader_count++;
            is_mine_to_open = true;
        } else if (pk_deadline_passed(clock, deadline_ns)) {
            (void)pthread_mutex_unlock(&sqlite->read_lock);
            return pk_fail(err, PK_TIMEOUT, "try again, or allow more time",
                           "the deadline passed while waiting for a reader");
        } else {
            wait_for_reader(sqlite, pk_deadline_left_ms(clock, deadline_ns, WAIT_LOOK_MS));
        }
    }
    (void)pthread_mutex_unlock(&sqlite->read_lock);
    if (is_mine_to_open) {
        reader = open_reader(sqlite, err);
        if (!reader) {
            (void)pthread_mutex_lock(&sqlite->read_lock);
            sqlite->reader_count--;
            (void)pthread_cond_signal(&sqlite->read_free);
            (void)pthread_mutex_unlock(&sqlite->read_lock);
            return false;
        }
    }
    reader->deadline_ns = deadline_ns;
    sqlite3_progress_handler(reader->db, OPS_PER_LOOK, deadline_ns ? is_over : NULL, reader);
    *out = reader;
    return true;
}

void pk_sql_reader_give(struct pk_sqlite *sqlite, struct pk_sql_reader *reader)
{
    (void)pthread_mutex_lock(&sqlite->read_lock);
    reader->next = sqlite->reader;
    sqlite->reader = reader;
    (void)pthread_cond_signal(&sqlite->read_free);
    (void)pthread_mutex_unlock(&sqlite->read_lock);
}

void pk_sql_readers_close(struct pk_sqlite *sqlite)
{
    while (sqlite->reader) {
        struct pk_sql_reader *reader = sqlite->reader;
        sqlite->reader = reader->next;
        close_reader(reader);
    }
}

/* ---- Documents ---- */

/* Bytes that we wrote; what is no document any more is damage. */
static struct pk_doc *make_doc(sqlite3_stmt *stmt, struct pk_error *err)
{
    const void *data = sqlite3_column_blob(stmt, 1);
    const size_t size = (size_t)sqlite3_column_bytes(stmt, 1);
    bson_t view;
    if (!data || !bson_init_static(&view, data, size)) {
        (void)pk_fail(err, PK_INTERNAL, "restore the latest backup into an empty folder",
                      "a stored document is damaged");
        return NULL;
    }
    return pk_doc_new_versioned(&view, sqlite3_column_int64(stmt, 0));
}

static void count_read(struct pk_sqlite *sqlite, int64_t start_ns)
{
    const int64_t end_ns = pk_clock_mono_ns(sqlite->store->clock);
    atomic_fetch_add_explicit(&sqlite->reads, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&sqlite->reads_ns, (unsigned long long)(end_ns - start_ns),
                              memory_order_relaxed);
}

static bool get_with(struct pk_sqlite *sqlite, struct pk_sql_reader *reader,
                     const struct pk_sql_table *table, const char *id, struct pk_doc **out,
                     struct pk_error *err)
{
    sqlite3_stmt *stmt;
    if (!pk_sql_cached(sqlite, reader->db, &reader->cache, table->get, &stmt, err)) {
        return false;
    }
    (void)sqlite3_bind_text(stmt, 2, id, -1, SQLITE_STATIC);
    if (*table->live) {
        (void)sqlite3_bind_int64(stmt, 1, pk_clock_wall_ms(sqlite->store->clock));
    }
    const int code = sqlite3_step(stmt);
    bool ok = code == SQLITE_DONE;
    if (code == SQLITE_ROW) {
        *out = make_doc(stmt, err);
        ok = *out != NULL;
    } else if (!ok) {
        (void)pk_sql_fail(sqlite, reader->db, err, "read from the store");
    }
    (void)sqlite3_reset(stmt);
    return ok;
}

bool pk_sql_get(struct pk_store *store, const struct pk_collection *collection, const char *id,
                int64_t deadline_ns, struct pk_doc **out, struct pk_error *err)
{
    struct pk_sqlite *sqlite = store->impl;
    const int64_t start_ns = pk_clock_mono_ns(store->clock);
    struct pk_sql_reader *reader;

    if (!pk_sql_reader_take(sqlite, deadline_ns, &reader, err)) {
        return false;
    }
    const bool ok =
        get_with(sqlite, reader, pk_sql_table_of(&sqlite->layout, collection), id, out, err);
    pk_sql_reader_give(sqlite, reader);
    count_read(sqlite, start_ns);
    return ok;
}

/* ---- Pages ---- */

enum { BINDS_MAX = 24 };

/* One stretch of an index, as SQL under construction. */
struct stretch {
    struct pk_buf sql;
    struct pk_sql_cell bind[BINDS_MAX]; /* ?1, ?2 ... */
    size_t bind_count;
};

struct walk {
    struct pk_sqlite *sqlite;
    struct pk_sql_reader *reader;
    const struct pk_collection *collection;
    const struct pk_sql_table *table;
    const struct pk_sql_index *index; /* NULL: by id. */
    const struct pk_query *query;
    const struct pk_after *after;
    struct pk_page *page;
    size_t bytes;
    bool is_full; /* There is more behind the page. */
};

static size_t key_count(const struct walk *walk)
{
    return walk->index ? walk->index->index->key_count : 0;
}

static enum pk_sql_kind key_kind(const struct walk *walk, size_t key)
{
    if (walk->index && walk->index->is_multi && key == 0) {
        return walk->index->kind;
    }
    return walk->table->column[walk->index->column[key]].kind;
}

/* The SQL name of a key. */
static void add_key(const struct walk *walk, struct pk_buf *sql, size_t key)
{
    if (key == key_count(walk)) {
        pk_buf_add_text(sql, walk->index && walk->index->is_multi ? "s.id" : "m.id");
    } else if (walk->index->is_multi && key == 0) {
        pk_buf_add_text(sql, "s.v");
    } else {
        pk_buf_printf(sql, "%s%s", walk->index->is_multi ? "s." : "m.",
                      walk->table->column[walk->index->column[key]].name);
    }
}

/* Reading forwards in a descending key, or backwards in an ascending one, goes down. */
static bool goes_down(const struct walk *walk, size_t key)
{
    const bool is_descending = key < key_count(walk) && walk->index->index->key[key].is_descending;
    return is_descending != walk->query->is_reversed;
}

static void add_bind(struct stretch *stretch, const struct pk_sql_cell *cell)
{
    stretch->bind[stretch->bind_count++] = *cell;
    pk_buf_printf(&stretch->sql, "?%zu", stretch->bind_count);
}

static void add_compare(const struct walk *walk, struct stretch *stretch, size_t key,
                        const char *operator, const struct pk_sql_cell * cell)
{
    pk_buf_add_text(&stretch->sql, " AND ");
    add_key(walk, &stretch->sql, key);
    if (cell->type == SQLITE_NULL) {
        pk_buf_add_text(&stretch->sql, " IS NULL");
        return;
    }
    pk_buf_add_text(&stretch->sql, operator);
    add_bind(stretch, cell);
}

static struct pk_sql_cell cell_of_key(const struct walk *walk, size_t key,
                                      const struct pk_value *value)
{
    return pk_sql_cell_of(key == key_count(walk) ? PK_SQL_TEXT : key_kind(walk, key), value);
}

/* A range on a free-form key stays within the type of its end: numbers lie below texts, texts
 * below booleans, booleans below dates. */
static void add_type_end(const struct walk *walk, struct stretch *stretch, size_t key,
                         const struct pk_value *value, bool is_upper)
{
    static const char *const lower[] = {
        [PK_VALUE_TEXT] = "''",    [PK_VALUE_INT] = NULL,     [PK_VALUE_DOUBLE] = NULL,
        [PK_VALUE_BOOL] = "x'08'", [PK_VALUE_DATE] = "x'09'", [PK_VALUE_NULL] = NULL
    };
    static const char *const upper[] = {
        [PK_VALUE_TEXT] = "x''",   [PK_VALUE_INT] = "''",     [PK_VALUE_DOUBLE] = "''",
        [PK_VALUE_BOOL] = "x'09'", [PK_VALUE_DATE] = "x'0a'", [PK_VALUE_NULL] = NULL
    };
    const char *end = is_upper ? upper[value->type] : lower[value->type];
    if (key < key_count(walk) && key_kind(walk, key) == PK_SQL_ANY && end) {
        pk_buf_add_text(&stretch->sql, " AND ");
        add_key(walk, &stretch->sql, key);
        pk_buf_printf(&stretch->sql, "%s%s", is_upper ? " < " : " >= ", end);
    }
}

static void add_range(const struct walk *walk, struct stretch *stretch, size_t key)
{
    const struct pk_bound *min = &walk->query->min;
    const struct pk_bound *max = &walk->query->max;
    if (min->is_set) {
        const struct pk_sql_cell cell = cell_of_key(walk, key, &min->value);
        add_compare(walk, stretch, key, min->is_exclusive ? " > " : " >= ", &cell);
    } else if (max->is_set) {
        add_type_end(walk, stretch, key, &max->value, false);
    }
    if (max->is_set) {
        const struct pk_sql_cell cell = cell_of_key(walk, key, &max->value);
        add_compare(walk, stretch, key, max->is_exclusive ? " < " : " <= ", &cell);
    } else if (min->is_set) {
        add_type_end(walk, stretch, key, &min->value, true);
    }
}

static void start_stretch(const struct walk *walk, struct stretch *stretch)
{
    const char *name = walk->collection->name;
    const struct pk_sql_index *index = walk->index;

    pk_buf_add_text(&stretch->sql, "SELECT m.version, m.body FROM ");
    if (index && index->is_multi) {
        pk_buf_printf(&stretch->sql,
                      "\"%s\" AS s INDEXED BY \"%s\" CROSS JOIN \"%s\" AS m ON m.n = s.n",
                      index->side, index->name, name);
    } else {
        pk_buf_printf(&stretch->sql, "\"%s\" AS m INDEXED BY \"%s\"", name,
                      index ? index->name : walk->table->id_name);
    }
    pk_buf_printf(&stretch->sql, " WHERE %s", index && index->where ? index->where : "1");
    if (*walk->table->live) {
        const struct pk_sql_cell now = { .type = SQLITE_INTEGER,
                                         .number = pk_clock_wall_ms(walk->sqlite->store->clock) };
        stretch->bind[stretch->bind_count++] = now; /* ?1 */
        pk_buf_printf(&stretch->sql, " AND (m.%s IS NULL OR m.%s > ?1)",
                      walk->table->column[0].name, walk->table->column[0].name);
    }
    if (index && index->is_below) {
        const struct pk_sql_cell below = { .type = SQLITE_TEXT,
                                           .text = walk->query->below,
                                           .length = -1 };
        pk_buf_add_text(&stretch->sql, " AND s.below = ");
        add_bind(stretch, &below);
    }
    for (size_t k = 0; k < walk->query->equal_count; k++) {
        const struct pk_sql_cell cell = cell_of_key(walk, k, &walk->query->equal[k]);
        add_compare(walk, stretch, k, " = ", &cell);
    }
}

static void end_stretch(const struct walk *walk, struct stretch *stretch)
{
    const size_t keys = key_count(walk);
    const bool has_id = !walk->index || walk->index->has_id_order;
    const char *comma = " ORDER BY ";

    for (size_t k = walk->query->equal_count; k < keys + (has_id ? 1 : 0); k++) {
        pk_buf_add_text(&stretch->sql, comma);
        add_key(walk, &stretch->sql, k);
        pk_buf_add_text(&stretch->sql, goes_down(walk, k) ? " DESC" : "");
        comma = ", ";
    }
    pk_buf_add_text(&stretch->sql, " LIMIT ");
    /* One more than fits, to know whether there is a next page. */
    const struct pk_sql_cell limit = { .type = SQLITE_INTEGER,
                                       .number =
                                           (int64_t)(walk->query->limit - walk->page->count + 1) };
    add_bind(stretch, &limit);
}

static void add_to_page(struct walk *walk, struct pk_doc *doc)
{
    struct pk_page *page = walk->page;
    if (!page->doc) {
        page->doc = pk_calloc(walk->query->limit, sizeof(struct pk_doc *));
    }
    page->doc[page->count++] = doc;
    walk->bytes += pk_doc_size(doc);
}

static bool read_rows(struct walk *walk, sqlite3_stmt *stmt, struct pk_error *err)
{
    int code = sqlite3_step(stmt);
    while (code == SQLITE_ROW) {
        const size_t size = (size_t)sqlite3_column_bytes(stmt, 1);
        if (walk->page->count == walk->query->limit ||
            (walk->page->count > 0 && walk->bytes + size > PK_PAGE_MAX_BYTES)) {
            walk->is_full = true;
            return true;
        }
        struct pk_doc *doc = make_doc(stmt, err);
        if (!doc) {
            return false;
        }
        add_to_page(walk, doc);
        code = sqlite3_step(stmt);
    }
    return code == SQLITE_DONE ||
           pk_sql_fail(walk->sqlite, walk->reader->db, err, "read from the store");
}

static bool run_stretch(struct walk *walk, struct stretch *stretch, struct pk_error *err)
{
    sqlite3_stmt *stmt;
    end_stretch(walk, stretch);
    if (!pk_sql_cached(walk->sqlite, walk->reader->db, &walk->reader->cache, stretch->sql.data,
                       &stmt, err)) {
        return false;
    }
    for (size_t i = 0; i < stretch->bind_count; i++) {
        (void)pk_sql_bind(stmt, (int)i + 1, &stretch->bind[i]);
    }
    const bool ok = read_rows(walk, stmt, err);
    (void)sqlite3_reset(stmt);
    return ok;
}

/* "Beyond" the value where the page before ended, in the direction of the walk. */
static void add_beyond(const struct walk *walk, struct stretch *stretch, size_t key)
{
    const struct pk_value at = key == key_count(walk)
                                   ? PK_TEXT(walk->after->id)
                                   : walk->after->key[key - walk->query->equal_count];
    const struct pk_sql_cell cell = cell_of_key(walk, key, &at);
    if (cell.type != SQLITE_NULL) {
        add_compare(walk, stretch, key, goes_down(walk, key) ? " < " : " > ", &cell);
        return;
    }
    /* Beyond the absent ones lie all others: from the lowest value of the column's type. */
    const struct pk_sql_cell lowest =
        key_kind(walk, key) == PK_SQL_TEXT
            ? (struct pk_sql_cell){ .type = SQLITE_TEXT, .text = "" }
            : (struct pk_sql_cell){ .type = SQLITE_FLOAT, .real = -INFINITY };
    add_compare(walk, stretch, key, " >= ", &lowest);
}

/* The stretch where the keys before 'key' are as they were and 'key' itself lies beyond; or, with
 * 'is_absent', where it is absent. */
static bool run_beyond(struct walk *walk, size_t key, bool is_absent, struct pk_error *err)
{
    static const struct pk_sql_cell absent = { .type = SQLITE_NULL };
    const size_t first = walk->query->equal_count;
    struct stretch stretch = { 0 };

    start_stretch(walk, &stretch);
    for (size_t k = first; k < key; k++) {
        const struct pk_sql_cell cell = cell_of_key(walk, k, &walk->after->key[k - first]);
        add_compare(walk, &stretch, k, " = ", &cell);
    }
    if (key == first) {
        add_range(walk, &stretch, key);
    }
    if (is_absent) {
        add_compare(walk, &stretch, key, " = ", &absent);
    } else {
        add_beyond(walk, &stretch, key);
    }
    const bool ok = run_stretch(walk, &stretch, err);
    pk_buf_done(&stretch.sql);
    return ok;
}

static bool walk_on(struct walk *walk, struct pk_error *err)
{
    const size_t first = walk->query->equal_count;
    const size_t keys = key_count(walk);
    const bool has_range = walk->query->min.is_set || walk->query->max.is_set;

    for (size_t key = keys + 1; key-- > first && !walk->is_full;) {
        const bool is_id = key == keys;
        const bool is_null = !is_id && walk->after->key[key - first].type == PK_VALUE_NULL;
        const bool is_down = goes_down(walk, key);
        /* Going down, nothing lies beyond the absent ones. */
        if (!(is_null && is_down) && !run_beyond(walk, key, false, err)) {
            return false;
        }
        const bool has_absent = !is_id && is_down && !is_null && !(has_range && key == first);
        if (has_absent && !walk->is_full && !run_beyond(walk, key, true, err)) {
            return false;
        }
    }
    return true;
}

static bool walk_from_start(struct walk *walk, struct pk_error *err)
{
    struct stretch stretch = { 0 };
    start_stretch(walk, &stretch);
    add_range(walk, &stretch, walk->query->equal_count);
    const bool ok = run_stretch(walk, &stretch, err);
    pk_buf_done(&stretch.sql);
    return ok;
}

/* The stretches of one page are read from one snapshot. */
static bool walk_in_snapshot(struct walk *walk, struct pk_error *err)
{
    if (!walk->after->is_set) {
        return walk_from_start(walk, err);
    }
    if (!pk_sql_exec(walk->sqlite, walk->reader->db, "BEGIN", err)) {
        return false;
    }
    const bool ok = walk_on(walk, err);
    (void)sqlite3_exec(walk->reader->db, "COMMIT", NULL, NULL, NULL);
    return ok;
}

bool pk_sql_find(struct pk_store *store, const struct pk_collection *collection,
                 const struct pk_index *index, const struct pk_query *query,
                 const struct pk_after *after, int64_t deadline_ns, struct pk_page *out,
                 struct pk_error *err)
{
    struct pk_sqlite *sqlite = store->impl;
    const int64_t start_ns = pk_clock_mono_ns(store->clock);
    const struct pk_sql_table *table = pk_sql_table_of(&sqlite->layout, collection);
    struct walk walk = {
        .sqlite = sqlite,
        .collection = collection,
        .table = table,
        .index = index ? &table->index[index - collection->index] : NULL,
        .query = query,
        .after = after,
        .page = out,
    };
    if (!pk_sql_reader_take(sqlite, deadline_ns, &walk.reader, err)) {
        return false;
    }
    const bool ok = walk_in_snapshot(&walk, err);
    pk_sql_reader_give(sqlite, walk.reader);
    if (ok && walk.is_full) {
        out->next = pk_cursor_write(collection, index, query, out->doc[out->count - 1]);
    }
    count_read(sqlite, start_ns);
    return ok;
}
