/* sqlite_internal.h - What the files of the SQLite engine share; nobody else includes it.
 *
 *     sqlite.c         the engine's table, connections, errors
 *     sqlite_layout.c  from the inventory to tables, columns, indexes and their SQL
 *     sqlite_schema.c  opening: whose file it is, its versions, upgrades
 *     sqlite_match.c   what stands in the file against what the layout says
 *     sqlite_read.c    the pool of readers, get and find
 *     sqlite_write.c   one write
 *     sqlite_group.c   one group of lists in one transaction
 *     sqlite_wal.c     the writer's log in large writes
 *     sqlite_count.c   counts, as a function from document to document
 *     sqlite_checkpoint.c  from the log into the file
 *     sqlite_keep.c    reaping, backup
 *     sqlite_feed.c    followers */
/* SPDX-License-Identifier: MIT */
#ifndef PK_STORE_SQLITE_INTERNAL_H
#define PK_STORE_SQLITE_INTERNAL_H

#include "base/buf.h"
#include "store/store_internal.h"

#include <pthread.h>
#include <sqlite3.h>
#include <stdatomic.h>

enum {
    PK_SQL_APPLICATION = 0x504b6974, /* "PKit", in the file's header. */
    PK_SQL_FORM = 1,                 /* user_version: how this engine lays tables out. */
    PK_SQL_READERS_MAX = 16,
    PK_SQL_CACHED_MAX = 64 /* Prepared statements per connection, by their text. */
};

/* ---- Layout ---- */

/* How the values of an index key are stored. Declared types are stored plainly; free-form ones so
 * that SQLite's order (numbers, texts, blobs) is MongoDB's: booleans and dates become blobs. */
enum pk_sql_kind { PK_SQL_TEXT, PK_SQL_INT, PK_SQL_NUMBER, PK_SQL_BOOL, PK_SQL_DATE, PK_SQL_ANY };

/* A value as it is bound. Texts are borrowed. */
struct pk_sql_cell {
    int type; /* SQLITE_NULL, SQLITE_INTEGER, SQLITE_FLOAT, SQLITE_TEXT or SQLITE_BLOB. */
    int length;
    const char *text;
    int64_t number;
    double real;
    uint8_t blob[9];
};

struct pk_sql_column {
    const char *path; /* In the document. */
    char *name;       /* "d." and the path, quoted for SQL. */
    enum pk_sql_kind kind;
};

struct pk_sql_index {
    const struct pk_index *index;
    char *name;                       /* Of the SQL index, unquoted. */
    char *sql;                        /* That creates it. */
    char *where;                      /* Of a partial one: the condition; else NULL. */
    char *unique_message;             /* What SQLite says when it objects; NULL: not unique. */
    char *blocker;                    /* SELECT of n and "has expired" of another row that has the
                                       * key; NULL: not unique. */
    size_t only_column;               /* Of a partial one's condition, in the table. */
    size_t column[PK_INDEX_MAX_KEYS]; /* In the table; [0] of a multi-valued one means nothing. */
    bool has_id_order;                /* Ties are broken by id in the index itself. */

    /* Multi-valued: a side table with a row per value. */
    bool is_multi, is_below;
    enum pk_sql_kind kind; /* Of the values. */
    char *side;            /* Its name, unquoted; and the SQL for it. */
    char *side_sql, *side_n_name, *side_n_sql, *side_insert, *side_delete;
};

struct pk_sql_table {
    const struct pk_collection *collection;
    struct pk_sql_column *column;
    size_t column_count;
    struct pk_sql_index *index; /* The collection's, same order. */
    char *id_name, *id_sql;     /* The unique index on id. */
    char *ttl_name, *ttl_sql;   /* The index for reaping; NULL: no TTL, or a declared one
                                 * serves. */
    char *live; /* " AND (not expired)", with one parameter '?1' (now); "" without. */
    char *create, *insert, *update_counted, *erase, *look, *cells, *body, *erase_n, *get;
    char *expired_id, *expired;
    bool has_side;
};

struct pk_sql_layout {
    struct pk_sql_table *table; /* The inventory's collections, same order. */
    size_t count;
    const struct pk_sql_table *feed; /* NULL when nothing announces. */
};

void pk_sql_layout_init(struct pk_sql_layout *layout, const struct pk_inventory *inventory);
void pk_sql_layout_done(struct pk_sql_layout *layout);
const struct pk_sql_table *pk_sql_table_of(const struct pk_sql_layout *layout,
                                           const struct pk_collection *collection);

struct pk_sql_cell pk_sql_cell_of(enum pk_sql_kind kind, const struct pk_value *value);
int pk_sql_bind(sqlite3_stmt *stmt, int at, const struct pk_sql_cell *cell);

/* What a document puts into a table besides itself. */
struct pk_sql_entry { /* A row of a side table. */
    size_t index;     /* Of the table's. */
    char *below;      /* Owned; "" where there is no '*'. */
    struct pk_sql_cell value;
};
struct pk_sql_row {
    struct pk_sql_cell *cell; /* column_count of them. */
    struct pk_sql_entry *entry;
    size_t entry_count, entry_capacity;
};
/* The statement that sets these columns of a row, body and version; the caller frees it. ?3 n,
 * ?4 version, ?5 body, ?6... columns. */
char *pk_sql_update_of(const struct pk_sql_table *table, uint64_t columns);
/* Which columns of the row are not what a SELECT of 'cells' has found. */
uint64_t pk_sql_changes(const struct pk_sql_table *table, const struct pk_sql_row *row,
                        sqlite3_stmt *found);
/* Cells point into 'doc'. */
void pk_sql_row_init(struct pk_sql_row *row, const struct pk_sql_table *table, const bson_t *doc);
void pk_sql_row_done(struct pk_sql_row *row);
/* True when a partial index holds the row. */
bool pk_sql_holds(const struct pk_sql_index *index, const struct pk_sql_row *row);

/* ---- Connections ---- */

struct pk_sqlite;

struct pk_sql_cached {
    char *sql;
    uint64_t hash, used;
    sqlite3_stmt *stmt;
};
struct pk_sql_cache {
    struct pk_sql_cached cached[PK_SQL_CACHED_MAX];
    size_t count;
    uint64_t uses;
};
struct pk_sql_reader {
    sqlite3 *db;
    struct pk_sql_cache cache;
    const struct pk_clock *clock;
    int64_t deadline_ns; /* Of the call that has it. */
    struct pk_sql_reader *next;
};

/* The writer's statements on one table. */
enum pk_sql_verb {
    PK_SQL_INSERT,
    PK_SQL_UPDATE_COUNTED,
    PK_SQL_ERASE,
    PK_SQL_LOOK,
    PK_SQL_CELLS,
    PK_SQL_BODY,
    PK_SQL_ERASE_N,
    PK_SQL_EXPIRED_ID,
    PK_SQL_VERBS
};
/* One for each set of columns that replaced documents of a table were seen to change. */
enum { PK_SQL_UPDATES_MAX = 12 };
struct pk_sql_updates {
    size_t count;
    struct {
        uint64_t columns; /* A bit for each that it sets. */
        sqlite3_stmt *stmt;
    } update[PK_SQL_UPDATES_MAX];
};
struct pk_sql_writer {
    sqlite3 *db;
    sqlite3_stmt *begin, *commit, *rollback, *save, *release, *undo, *floor;
    sqlite3_stmt *(*verb)[PK_SQL_VERBS]; /* Per table; prepared when first used. */
    struct pk_sql_updates *updates;      /* Per table; likewise. */
    struct pk_sql_cache cache;           /* Those on side tables. */
    int64_t now_ms;                      /* Of the group. */
    int64_t last_row;                    /* Of the feed, within the open transaction. */
    int careful;                         /* So many groups more get a savepoint per list. */
};

struct pk_sqlite {
    struct pk_store *store;
    char *path;
    struct pk_sql_layout layout;
    struct pk_committer *committer;

    pthread_mutex_t write_lock; /* The writer: groups, reaping. */
    struct pk_sql_writer writer;
    struct pk_sql_wal *wal;                 /* sqlite_wal.c's own; NULL: the writer has none yet. */
    struct pk_sql_checkpoints *checkpoints; /* sqlite_checkpoint.c's own; NULL: read only. */

    pthread_mutex_t read_lock;
    pthread_cond_t read_free;
    struct pk_sql_reader *reader; /* Those at rest. */
    size_t reader_count;

    pthread_mutex_t feed_lock;
    pthread_cond_t feed_news;
    int64_t feed_row;   /* Last committed. */
    int64_t feed_floor; /* Rows up to here have been reaped. */

    atomic_bool is_stopped;
    atomic_ullong commits, groups, conflicts, unknowns, commit_ns, reads, reads_ns;
};

/* ---- sqlite.c ---- */

/* Says what SQLite said, with what to do about it. A failed sync stops the store ('sqlite' may be
 * NULL: not opened yet). Always returns false. */
bool pk_sql_fail(struct pk_sqlite *sqlite, sqlite3 *db, struct pk_error *err, const char *what);
bool pk_sql_exec(struct pk_sqlite *sqlite, sqlite3 *db, const char *sql, struct pk_error *err);
bool pk_sql_prepare(struct pk_sqlite *sqlite, sqlite3 *db, const char *sql, sqlite3_stmt **out,
                    struct pk_error *err);
void pk_sql_finalize(sqlite3_stmt **stmt); /* For PK_CLEANUP. */
/* Opens a connection with the pragmas that all of ours have. */
bool pk_sql_connect(struct pk_sqlite *sqlite, int flags, sqlite3 **out, struct pk_error *err);
bool pk_sql_is_sync_failure(int extended_code);
bool pk_sql_is_full(sqlite3 *db);
/* False, and says so, once the store has stopped. */
bool pk_sql_check_running(struct pk_sqlite *sqlite, struct pk_error *err);
/* Runs a statement to its end and resets it: SQLITE_DONE, or the extended error code. */
int pk_sql_run(sqlite3_stmt *stmt);

/* ---- sqlite_schema.c ---- */

/* FOLDER/personakit.db of "sqlite:FOLDER"; the caller frees it. */
char *pk_sql_path(const char *url);
bool pk_sql_inspect(const struct pk_store_options *options, struct pk_store_state *out,
                    struct pk_error *err);
/* The file, with mode 0600, when it is not there. */
bool pk_sql_file_make(const struct pk_sqlite *sqlite, struct pk_error *err);
/* What raises a store by one version. */
struct pk_sql_step {
    int64_t to;      /* The version that the store has after it. */
    const char *sql; /* Statements; NULL ends the table. */
};
extern const struct pk_sql_step pk_sql_steps[]; /* The program's own. */
/* Checks what stands in the file and completes it, through the writer's connection, in one
 * transaction; reads epoch, feed row and floor. */
bool pk_sql_schema_open(struct pk_sqlite *sqlite, const struct pk_store_options *options,
                        const struct pk_sql_step *step, struct pk_error *err);

/* ---- sqlite_match.c ---- */

/* Makes tables, columns and indexes as the layout has them: what is missing is made and filled
 * from the documents, what differs is reported. In the caller's transaction. */
bool pk_sql_match(struct pk_sqlite *sqlite, bool is_read_only, struct pk_error *err);

/* ---- sqlite_read.c ---- */

bool pk_sql_reader_take(struct pk_sqlite *sqlite, int64_t deadline_ns, struct pk_sql_reader **out,
                        struct pk_error *err);
void pk_sql_reader_give(struct pk_sqlite *sqlite, struct pk_sql_reader *reader);
void pk_sql_readers_close(struct pk_sqlite *sqlite);
/* A prepared statement for this text, from the cache of its connection; reset. It is the cache's,
 * and good until another one is asked for. */
bool pk_sql_cached(struct pk_sqlite *sqlite, sqlite3 *db, struct pk_sql_cache *cache,
                   const char *sql, sqlite3_stmt **out, struct pk_error *err);
void pk_sql_cache_done(struct pk_sql_cache *cache);
bool pk_sql_get(struct pk_store *store, const struct pk_collection *collection, const char *id,
                int64_t deadline_ns, struct pk_doc **out, struct pk_error *err);
bool pk_sql_find(struct pk_store *store, const struct pk_collection *collection,
                 const struct pk_index *index, const struct pk_query *query,
                 const struct pk_after *after, int64_t deadline_ns, struct pk_page *out,
                 struct pk_error *err);

/* ---- sqlite_write.c ---- */

enum pk_sql_outcome {
    PK_SQL_DONE,
    PK_SQL_REFUSED, /* The list's outcome; the job says why. */
    PK_SQL_SPOILED, /* Refused, and the list has left something behind. */
    PK_SQL_FAILED   /* The whole group's; the connection says why. */
};
/* One write of a job; under the write lock, in a transaction. */
enum pk_sql_outcome pk_sql_write(struct pk_sqlite *sqlite, struct pk_job *job, size_t at);
/* A row and what it has in side tables; likewise. */
bool pk_sql_erase_row(struct pk_sqlite *sqlite, const struct pk_sql_table *table, int64_t n);

/* ---- sqlite_group.c ---- */

bool pk_sql_writer_open(struct pk_sqlite *sqlite, struct pk_error *err);
void pk_sql_writer_close(struct pk_sqlite *sqlite);
bool pk_sql_job_prepare(struct pk_store *store, struct pk_job *job, struct pk_error *err);
void pk_sql_job_unprepare(struct pk_store *store, struct pk_job *job);
void pk_sql_apply(void *engine, struct pk_job **job, size_t count);
/* Ends the transaction; the code says what became of it (PK_OK: durable). */
enum pk_code pk_sql_commit(struct pk_sqlite *sqlite, struct pk_error *err);
void pk_sql_rollback(struct pk_sqlite *sqlite);

/* ---- sqlite_wal.c ---- */

/* The writer's log is open. */
void pk_sql_wal_open(struct pk_sqlite *sqlite);
void pk_sql_wal_free(struct pk_sqlite *sqlite); /* The writer is closed. */

/* ---- sqlite_count.c ---- */

/* 'out' is initialised here and ended by the caller, on success only. */
bool pk_sql_count(const bson_t *doc, const struct pk_count *count, size_t count_count, bson_t *out,
                  struct pk_error *err);

/* ---- sqlite_checkpoint.c ---- */

/* The writer is open; before it is closed. */
bool pk_sql_checkpoints_open(struct pk_sqlite *sqlite, struct pk_error *err);
void pk_sql_checkpoints_close(struct pk_sqlite *sqlite);
/* The leader's part of one: asked between two groups. */
bool pk_sql_is_checkpoint_due(void *engine);
void pk_sql_checkpoint(void *engine);
bool pk_sql_settle(struct pk_store *store, int64_t deadline_ns, struct pk_error *err);

/* ---- sqlite_keep.c ---- */

bool pk_sql_reap(struct pk_store *store, size_t limit, size_t *out_count, struct pk_error *err);
bool pk_sql_backup(struct pk_store *store, const char *folder, pk_progress_fn *progress,
                   void *context, struct pk_error *err);

/* ---- sqlite_feed.c ---- */

bool pk_sql_feed_open(struct pk_feed *feed, const char *position, struct pk_error *err);
void pk_sql_feed_close(struct pk_feed *feed);
bool pk_sql_feed_next(struct pk_feed *feed, int64_t timeout_ms, struct pk_feed_item *out,
                      struct pk_error *err);
void pk_sql_feed_mark(const struct pk_feed *feed, struct pk_feed_mark *out);
bool pk_sql_mark_has_passed(const struct pk_store *store, const struct pk_feed_mark *mark,
                            const char *cursor, bool *out_passed, struct pk_error *err);
/* Rows up to 'row' are committed: wakes who waits for them. */
void pk_sql_feed_tell(struct pk_sqlite *sqlite, int64_t row);
/* "<epoch>.<row>". */
void pk_sql_position(const struct pk_sqlite *sqlite, int64_t row, char out[PK_POSITION_TEXT]);

#endif
