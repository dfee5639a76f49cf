/* store_internal.h - What store.c and the engines share; nobody else includes it.
 *
 * store.c checks what comes in (names, limits, schemas, versions of inserts),
 * so an engine is only handed what is sound. An engine fills a 'struct
 * pk_engine' and keeps its own state in 'store->impl'. */
/* SPDX-License-Identifier: MIT */
#ifndef PK_STORE_STORE_INTERNAL_H
#define PK_STORE_STORE_INTERNAL_H

#include "doc/doc.h"
#include "doc/inventory.h"
#include "store/committer.h"
#include "store/store.h"

#include <bson/bson.h>

/* Where a page starts: the key values and id of the last document of the page before. */
struct pk_after {
    bool is_set;
    struct pk_value key[PK_INDEX_MAX_KEYS]; /* Of the keys behind the 'equal' ones; texts owned. */
    size_t key_count;
    char *id;
};

struct pk_engine {
    const char *name; /* "sqlite": what pk_store_engine says. */
    bool (*inspect)(const struct pk_store_options *options, struct pk_store_state *out,
                    struct pk_error *err);
    /* Sets store->impl and store->epoch. On failure it has cleaned up after itself. */
    bool (*open)(struct pk_store *store, const struct pk_store_options *options,
                 struct pk_error *err);
    void (*close)(struct pk_store *store);
    bool (*get)(struct pk_store *store, const struct pk_collection *collection, const char *id,
                int64_t deadline_ns, struct pk_doc **out, struct pk_error *err);
    /* 'index' is NULL for "_id"; query->limit is set; the cursor is already decoded to 'after'. */
    bool (*find)(struct pk_store *store, const struct pk_collection *collection,
                 const struct pk_index *index, const struct pk_query *query,
                 const struct pk_after *after, int64_t deadline_ns, struct pk_page *out,
                 struct pk_error *err);
    /* Works out what it can on the caller's thread, before the list waits for its group. */
    bool (*prepare)(struct pk_store *store, struct pk_job *job, struct pk_error *err);
    void (*unprepare)(struct pk_store *store, struct pk_job *job);
    struct pk_committer *(*committer)(struct pk_store *store);
    bool (*feed_open)(struct pk_feed *feed, const char *position, struct pk_error *err);
    void (*feed_close)(struct pk_feed *feed);
    bool (*feed_next)(struct pk_feed *feed, int64_t timeout_ms, struct pk_feed_item *out,
                      struct pk_error *err);
    void (*feed_mark)(const struct pk_feed *feed, struct pk_feed_mark *out);
    /* mark->position is "" when it has passed nothing; 'cursor' is not "". */
    bool (*mark_has_passed)(const struct pk_store *store, const struct pk_feed_mark *mark,
                            const char *cursor, bool *out_passed, struct pk_error *err);
    bool (*barrier)(struct pk_store *store, struct pk_error *err);
    bool (*reap)(struct pk_store *store, size_t limit, size_t *out_count, struct pk_error *err);
    /* NULL: there is nothing to do. */
    bool (*settle)(struct pk_store *store, int64_t deadline_ns, struct pk_error *err);
    bool (*backup)(struct pk_store *store, const char *folder, pk_progress_fn *progress,
                   void *context, struct pk_error *err);
    void (*stats)(struct pk_store *store, struct pk_store_stats *out);
};
extern const struct pk_engine pk_engine_sqlite;
extern const struct pk_engine pk_engine_mongo;

struct pk_store {
    const struct pk_engine *engine;
    const struct pk_inventory *inventory;
    const struct pk_clock *clock;
    void *impl;
    char epoch[40];
    bool is_read_only;
};

struct pk_feed {
    struct pk_store *store;
    void *impl;
};

/* The value of a plain index key in a document, as it is compared: NULL type when it is absent.
 * Texts point into 'doc'. */
struct pk_value pk_value_of(const bson_t *doc, const char *path);
struct pk_value pk_value_of_iter(const bson_iter_t *iter);
/* True when a partial index holds this document. */
bool pk_index_holds(const struct pk_index *index, const bson_t *doc);
/* True when the document's TTL has passed at 'now_ms'. */
bool pk_doc_is_expired(const struct pk_collection *collection, const bson_t *doc, int64_t now_ms);
/* Writes the cursor behind a page's last document. 'index' is NULL for "_id". */
char *pk_cursor_write(const struct pk_collection *collection, const struct pk_index *index,
                      const struct pk_query *query, const struct pk_doc *last);
/* Reads one back; PK_INVALID when it is damaged or of another query. No cursor is the start. 'out'
 * is ended with pk_after_done. */
bool pk_cursor_read(const struct pk_collection *collection, const struct pk_index *index,
                    const struct pk_query *query, struct pk_after *out, struct pk_error *err);
void pk_after_done(struct pk_after *after);

/* writes.c: checks a list and fills the job's targets and touches, on success only; they are
 * freed by pk_writes_unresolve. */
bool pk_writes_resolve(const struct pk_store *store, struct pk_writes *list, struct pk_job *job,
                       struct pk_error *err);
void pk_writes_unresolve(struct pk_job *job);
/* True for an id that may be stored; 'length' is its length in bytes. */
bool pk_id_check(const char *collection, const char *id, size_t length, struct pk_error *err);

#endif
