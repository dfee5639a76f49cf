/* store.h - Where documents live: one narrow interface, two engines.
 *
 * You read by id or by a declared index, and you write by handing over a list
 * of writes, decided after reading, that is committed whole or not at all. No
 * code runs inside a transaction, so lists of different callers are committed
 * together (group commit). Collections and indexes come from the inventory.
 *
 * Everything here blocks, and everything is for any thread, but for a feed
 * (one thread at a time) and a list of writes (its owner's).
 *
 * Deadlines are pk_clock_mono_ns values; 0 means none.
 *
 * What a commit tells its caller:
 *
 *     true                    it is durable, here and on a majority
 *     PK_CONFLICT             nothing was written: a version has moved on, or a unique index
 *                             objects; 'out' names the write and the index. Read and decide again
 *     PK_INVALID, PK_TOO_LARGE  nothing was written: schema or limits
 *     PK_BUSY, PK_UNAVAILABLE, PK_TIMEOUT, PK_FULL  nothing was written
 *     PK_UNKNOWN              perhaps written, perhaps not: the caller says so and never "not done"
 *
 * A document whose TTL has passed is not there any more: reads do not return
 * it, and an insert takes its place, whether or not the engine has already
 * reclaimed it. */
/* SPDX-License-Identifier: MIT */
#ifndef PK_STORE_STORE_H
#define PK_STORE_STORE_H

#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct pk_clock;
struct pk_doc;
struct pk_inventory;
struct pk_store; /* Opaque. */

enum {
    PK_WRITES_MAX = 1000,                   /* Writes in one list. */
    PK_WRITES_MAX_BYTES = 16 * 1024 * 1024, /* Documents of one list, added up. */
    PK_PAGE_MAX = 1000,                     /* Documents in one page. */
    PK_PAGE_MAX_BYTES = 32 * 1024 * 1024,   /* A page ends early when it has that much. */
    PK_POSITION_TEXT = 256                  /* A position or cursor of the feed, with its NUL. */
};

/* ---- Opening ---- */

struct pk_store_options {
    const char *url; /* "sqlite:FOLDER" (the file is FOLDER/personakit.db) or "mongodb://...". */
    const struct pk_inventory *inventory;
    const struct pk_clock *clock;
    bool is_upgrade_allowed; /* Raise an older store to this program's schema version. */
    bool is_read_only;       /* For doctor and export: writes are refused, nothing is created. */
};

/* Opens, creates what is missing, and checks what is there: an unknown engine, an unreachable
 * server, wrong credentials, a server without transactions, a newer schema version, a read-only
 * folder, an index that differs from its declaration each fail with what to do about it.
 *
 * The folder of an embedded store is locked by its owner (pk_folder_lock) before this is called. */
bool pk_store_open(struct pk_store **out, const struct pk_store_options *options,
                   struct pk_error *err);
void pk_store_close(struct pk_store *store); /* NULL is fine. No call may be under way. */

/* What stands in the store, without opening it for use: for 'upgrade --check' and the first line
 * of a refusal. */
struct pk_store_state {
    bool is_empty;          /* Never used. */
    int64_t schema_version; /* Of the store. */
    char epoch[40];         /* Positions of another epoch mean nothing here. */
    char program[32];       /* Version of the program that last wrote its schema. */
};
bool pk_store_inspect(const struct pk_store_options *options, struct pk_store_state *out,
                      struct pk_error *err);

/* ---- Reading ---- */

/* '*out' is a new reference, or NULL when there is no such document (that is success). */
bool pk_store_get(struct pk_store *store, const char *collection, const char *id,
                  int64_t deadline_ns, struct pk_doc **out, struct pk_error *err);

/* A value to compare an index key with. */
enum pk_value_type {
    PK_VALUE_NULL,
    PK_VALUE_TEXT,
    PK_VALUE_INT,
    PK_VALUE_DOUBLE,
    PK_VALUE_BOOL,
    PK_VALUE_DATE
};
struct pk_value {
    enum pk_value_type type;
    const char *text; /* Borrowed, NUL-terminated. */
    int64_t number;   /* INT, DATE (wall milliseconds), BOOL (0 or 1). */
    double real;
};
#define PK_TEXT(t)   ((struct pk_value){ .type = PK_VALUE_TEXT, .text = (t) })
#define PK_INT(n)    ((struct pk_value){ .type = PK_VALUE_INT, .number = (n) })
#define PK_DOUBLE(x) ((struct pk_value){ .type = PK_VALUE_DOUBLE, .real = (x) })
#define PK_BOOL(b)   ((struct pk_value){ .type = PK_VALUE_BOOL, .number = (b) ? 1 : 0 })
#define PK_DATE(ms)  ((struct pk_value){ .type = PK_VALUE_DATE, .number = (ms) })

struct pk_bound {
    bool is_set;
    bool is_exclusive;
    struct pk_value value;
};

/* "The documents whose first keys equal these, whose next key lies in this range, in index order,
 * starting behind this cursor." Ties are broken by '_id', so pages never skip or repeat a document
 * that was there all the time, whatever others write. Documents that lack the ranged key (or have
 * null there) are outside every range.
 *
 * On an index of many values per document (path.h) the first key needs an 'equal'; for
 * 'metadata.*' 'below' names the stored path under the '*'. The order is then by the remaining
 * keys and '_id'. */
struct pk_query {
    const char *collection;
    const char *index; /* By name; "_id" for the documents themselves, in order of their ids. */
    struct pk_value equal[4];
    size_t equal_count;
    struct pk_bound min, max; /* On the key behind the last 'equal'. */
    const char *below;        /* For 'x.*' indexes: the path under x. */
    bool is_reversed;         /* Against the declared order. */
    size_t limit;             /* 1 to PK_PAGE_MAX; 0 means 100. */
    const char *cursor;       /* 'next' of the page before, with the same query; NULL or "": from
                               * the start. */
};
struct pk_page {
    struct pk_doc **doc; /* References, freed by pk_page_done. */
    size_t count;
    char *next; /* NULL when this was the last page. Printable: it may travel. */
};
/* A cursor that is damaged or belongs to another query is PK_INVALID. */
bool pk_store_find(struct pk_store *store, const struct pk_query *query, int64_t deadline_ns,
                   struct pk_page *out, struct pk_error *err);
void pk_page_done(struct pk_page *page);

/* ---- Writing ---- */

enum pk_write_kind {
    PK_WRITE_INSERT,
    PK_WRITE_REPLACE,
    PK_WRITE_DELETE,
    PK_WRITE_EXPECT,
    PK_WRITE_COUNT
};

/* One number to add to, one date to raise, or one text to set, without changing the document's
 * version. Whatever is stored is counted without a look at it, so a count that could take a
 * document out of its schema is PK_INVALID: of another type, against a limit, or in an object that
 * would lack something. */
struct pk_count {
    const char *path; /* Plain dot path; missing objects and numbers are made. */
    bool is_date;     /* Raise to 'amount' (wall ms) if that is later; else add 'amount', at most
                       * 2^31 - 1 where the schema has a limit. */
    int64_t amount;
    const char *text; /* Instead: what the text becomes; the later of two lists wins. Or NULL. */
};

struct pk_write {
    enum pk_write_kind kind;
    char *collection;
    char *id;
    struct pk_doc *doc;    /* INSERT, REPLACE. */
    int64_t version;       /* REPLACE, DELETE, EXPECT: must still be this one; EXPECT 0: absent.
                            * After a commit, of an insert or replace: the new one. */
    int64_t drawn_version; /* INSERT: by pk_writes_version, for the next commit; 0: none yet. */
    struct pk_count *count;
    size_t count_count;
};
struct pk_writes { /* '{ 0 }' is an empty list. */
    struct pk_write *write;
    size_t count, capacity;
    size_t bytes; /* Of the documents. */
};
void pk_writes_done(struct pk_writes *list);
void pk_writes_clear(struct pk_writes *list);
/* These copy the names and take a reference of their own to 'doc'. */
void pk_writes_insert(struct pk_writes *list, const char *collection, struct pk_doc *doc);
void pk_writes_replace(struct pk_writes *list, const char *collection, struct pk_doc *doc,
                       int64_t version);
void pk_writes_delete(struct pk_writes *list, const char *collection, const char *id,
                      int64_t version);
/* The document is still at 'version' when the list commits; two lists that only expect the same
 * do not disturb each other. */
void pk_writes_expect(struct pk_writes *list, const char *collection, const char *id,
                      int64_t version);
/* There is still no such document when the list commits. Guarded collections only. */
void pk_writes_expect_absent(struct pk_writes *list, const char *collection, const char *id);
/* Nothing happens when the document is gone. */
void pk_writes_count(struct pk_writes *list, const char *collection, const char *id,
                     const struct pk_count *count, size_t count_count);
/* The version that write 'at', an insert or replace, will be stored under when the list commits:
 * for answers that are part of the list. */
int64_t pk_writes_version(struct pk_writes *list, size_t at);
/* A row of the feed, visible to followers with the rest of the list. 'event' is a document of the
 * feed's collection ('events'). Rows never change; one may be deleted (erasure) while there is a
 * later one: followers that have not come to it do not see it. */
void pk_writes_announce(struct pk_writes *list, struct pk_doc *event);

struct pk_commit {
    char cursor[PK_POSITION_TEXT]; /* On success: a feed that has passed it has seen this commit. */
    int conflict_write;            /* On PK_CONFLICT: index into the list, or -1. */
    char conflict_index[64];       /* The unique index that objected; "" when it was a version. */
};
/* 'out' may be NULL. The list stays the caller's and may be sent again. */
bool pk_store_commit(struct pk_store *store, struct pk_writes *list, int64_t deadline_ns,
                     struct pk_commit *out, struct pk_error *err);

/* Reads and decides again after a conflict, until it commits, 'decide' fails, or the deadline
 * (default 5 s) is over. 'decide' fills the empty list from what it reads now; leaving it empty
 * means there is nothing to do. */
typedef bool pk_decide_fn(void *context, struct pk_writes *list, struct pk_error *err);
bool pk_store_decide(struct pk_store *store, pk_decide_fn *decide, void *context,
                     int64_t deadline_ns, struct pk_commit *out, struct pk_error *err);

/* ---- The feed ---- */

/* Follows the rows that pk_writes_announce wrote, in commit order, at least once each. A position
 * is where a follower has got to; positions of one store sort as text only through has_passed. */
struct pk_feed; /* Opaque. */

enum pk_feed_kind {
    PK_FEED_EVENT, /* 'doc' is the row, 'position' the one behind it. */
    PK_FEED_QUIET, /* Nothing new within the time-out; the store has answered. */
    PK_FEED_GAP    /* Rows may have been missed (retention, oplog, another epoch): drop caches and
                    * go on; 'position' is the new start. */
};
struct pk_feed_item {
    enum pk_feed_kind kind;
    struct pk_doc *doc; /* A reference of the caller's; NULL unless EVENT. */
    char position[PK_POSITION_TEXT];
};
/* Starts behind 'position', or behind everything there is now when it is NULL or "". */
bool pk_feed_open(struct pk_feed **out, struct pk_store *store, const char *position,
                  struct pk_error *err);
void pk_feed_close(struct pk_feed *feed);
/* Waits up to 'timeout_ms'. False: the store did not answer; call again, the feed resumes where it
 * was. */
bool pk_feed_next(struct pk_feed *feed, int64_t timeout_ms, struct pk_feed_item *out,
                  struct pk_error *err);
/* True when every row committed up to 'cursor' (a pk_commit cursor or a position) has been
 * returned by this feed. PK_INVALID for a cursor of another epoch or shape. */
bool pk_feed_has_passed(const struct pk_feed *feed, const char *cursor, bool *out_passed,
                        struct pk_error *err);
/* How far a feed has got, as a value: the feed's thread takes it, any thread asks it. '{ 0 }' has
 * passed nothing. */
struct pk_feed_mark {
    char position[PK_POSITION_TEXT];
    uint64_t passed; /* The engine's: every row up to this number was returned. */
};
void pk_feed_mark(const struct pk_feed *feed, struct pk_feed_mark *out);
bool pk_mark_has_passed(struct pk_store *store, const struct pk_feed_mark *mark, const char *cursor,
                        bool *out_passed, struct pk_error *err);
/* Makes a quiet feed move past everything committed so far, for those who wait: one row for all.
 * On the embedded store there is nothing to do. */
bool pk_store_barrier(struct pk_store *store, struct pk_error *err);

/* ---- Housekeeping ---- */

/* Deletes up to 'limit' documents whose TTL has passed, and feed rows past retention, and says how
 * many. On MongoDB the server does that by itself and the answer is 0. */
bool pk_store_reap(struct pk_store *store, size_t limit, size_t *out_count, struct pk_error *err);

/* What was deleted before this call is in none of the engine's own files any more: the embedded
 * store's log, which holds what was written until it is begun anew, is emptied, and documents whose
 * TTL has passed are reclaimed first. PK_BUSY: until the deadline (0: 5 s) somebody read a snapshot
 * that needs the log, such as a backup under way; ask again. On MongoDB nothing is done: its
 * journal and oplog are the server's. */
bool pk_store_settle(struct pk_store *store, int64_t deadline_ns, struct pk_error *err);

/* Copies a consistent state of the whole store into 'folder' (created, must be empty) while it is
 * in use. On SQLite a database file, on MongoDB one BSON file per collection; either is restored
 * by opening or importing it. 'progress' (may be NULL) is told documents or pages done and in all,
 * and stops the backup by returning false. */
typedef bool pk_progress_fn(void *context, int64_t done, int64_t all);
bool pk_store_backup(struct pk_store *store, const char *folder, pk_progress_fn *progress,
                     void *context, struct pk_error *err);

/* A look at the engine for metrics and /readyz. */
struct pk_store_stats {
    uint64_t commits, groups;     /* Lists committed, and durable commits they took. */
    uint64_t conflicts, unknowns; /* Lists refused by a version or index; without an outcome. */
    uint64_t commit_ns;           /* Time spent in durable commits, added up. */
    uint64_t reads, reads_ns;
    uint64_t waiting;       /* Lists waiting for a group now. */
    int64_t clock_drift_ms; /* The server's wall clock minus ours; 0 on SQLite. */
    bool is_stopped;        /* A sync has failed: nothing is acknowledged any more. */
};
void pk_store_stats(struct pk_store *store, struct pk_store_stats *out);
/* Nanoseconds that the calling thread has spent in get, find and commit so far: what is read before
 * and after a piece of work tells how much of its time the store took. */
int64_t pk_store_thread_ns(void);
/* "sqlite" or "mongodb", and the epoch; owned by the store. */
const char *pk_store_engine(const struct pk_store *store);
const char *pk_store_epoch(const struct pk_store *store);

#endif
