/* mongo_internal.h - What the files of the MongoDB engine share; nobody else includes it.
 *
 *     mongo.c          the engine's table, clients, the server's clock, errors
 *     mongo_open.c     connecting, refusals, what stands there, upgrades
 *     mongo_probe.c    what a server must be able to do, tried out
 *     mongo_index.c    declared indexes against those that are there
 *     mongo_get.c      reads by id: many callers' in one question
 *     mongo_read.c     find, and a read by id on its own
 *     mongo_commit.c   groups of lists: retries, and each caller's own outcome
 *     mongo_txn.c      one transaction: from prepared lists to bulks and a commit
 *     mongo_ahead.c    what it does ahead of its writes: guards, looks, making room
 *     mongo_stale.c    transactions that a dead node has left open
 *     mongo_feed.c     the change stream on the feed's collection
 *     mongo_backup.c   a consistent copy into files
 *
 * Stored documents are the given ones plus '_rev' (the store's version), and
 * '_expects' once a list has expected them; both are taken off when read. */
/* SPDX-License-Identifier: MIT */
#ifndef PK_STORE_MONGO_INTERNAL_H
#define PK_STORE_MONGO_INTERNAL_H

#include "store/store_internal.h"

#include <mongoc/mongoc.h>
#include <pthread.h>
#include <stdatomic.h>

#define MONGO_META   "meta"         /* One document: schema version, epoch, program. */
#define MONGO_APP    "personakit"   /* Our name at the server. */
#define MONGO_GUARDS "store_guards" /* Rows that make inserts and 'expect absent' collide. */

#define MONGO_REV     "_rev"     /* int64: the store's version of a document. */
#define MONGO_EXPECTS "_expects" /* int64: raised by 'expect', outside the version. */
#define MONGO_BARRIER "_barrier" /* true in a row that only moves the feed. */

enum {
    MONGO_CLIENTS_MAX = 128,      /* Connections of the pool: lanes, committers and some more. */
    MONGO_OPEN_MS = 3000,         /* Looking for a primary when opening, unless the URL says. */
    MONGO_SELECT_MS = 1000,       /* The same for a call, which looks until its deadline. */
    MONGO_CONNECT_MS = 2000,      /* Making a connection, when the URL does not say. */
    MONGO_HEARTBEAT_MS = 500,     /* Between two looks at a member, when the URL does not say. */
    MONGO_SOCKET_MS = 5000,       /* Silence of a socket, when the URL does not say. */
    MONGO_FEED_SOCKET_MS = 2500,  /* The same for a feed, whose server answers every 500 ms. */
    MONGO_FEED_WAIT_MS = 500,     /* Longest wait of one getMore. */
    MONGO_DEADLINE_MS = 10000,    /* Of a call without a deadline. */
    MONGO_COMMIT_MIN_MS = 1000,   /* A commit that was sent gets at least that long. */
    MONGO_CLOCK_EVERY_MS = 10000, /* The server is asked what time it is. */
    MONGO_GUARD_SECONDS = 3600,   /* Guard rows as old as that go; they come again. */
    MONGO_GROUPS_MAX = 2,         /* Transactions at the same time... */
    MONGO_GROUPS_SLOW_MS = 50,    /* ...when the open one takes longer than that... */
    MONGO_BESIDE_MIN = 32,        /* ...or so many lists wait. */
    MONGO_GETS_MAX = 2,           /* Questions for ids at the same time... */
    MONGO_GETS_SLOW_MAX = 16,     /* ...while they take longer than... */
    MONGO_GETS_SLOW_MS = 20,      /* ...that. */
    MONGO_DANGLING_MAX = 16,      /* Sessions to be ended. */
    MONGO_STALE_MS = 2000,        /* Between two commands of a transaction: its node is dead. */
    MONGO_STALE_EVERY_MS = 500,   /* Such ones are looked for, at most. */
    MONGO_LISTS_MAX = 64,         /* Lists joined in one. */
    MONGO_GROUP_BYTES = 8 << 20,  /* Documents joined in one. */
    MONGO_CROWD_MAX_MS = 5,       /* A leader waits for returning callers, at most. */
    MONGO_EVENT_ID_MAX = 60,      /* An event's id is part of its position (PK_POSITION_TEXT). */
    MONGO_BACKOFF_MAX_MS = 100    /* Between two tries. */
};

/* Server error codes that we act upon. */
enum {
    MONGO_CODE_NAMESPACE_EXISTS = 48,
    MONGO_CODE_TIME_EXPIRED = 50,
    MONGO_CODE_WRITE_CONFLICT = 112,
    MONGO_CODE_SNAPSHOT_TOO_OLD = 239,
    MONGO_CODE_SNAPSHOT_UNAVAILABLE = 246,
    MONGO_CODE_NO_SUCH_TRANSACTION = 251,
    MONGO_CODE_INVALID_TOKEN = 260,
    MONGO_CODE_STREAM_FATAL = 280,
    MONGO_CODE_HISTORY_LOST = 286,
    MONGO_CODE_DUPLICATE = 11000,
    MONGO_CODE_INTERRUPTED = 11601,
    MONGO_CODE_DISK_FULL = 14031,
    MONGO_CODE_EMPTY_RANGE = 51175
};

/* The server's clock: one answer, carried on by our monotonic clock, so that a jump of our wall
 * clock changes nothing. */
struct mongo_time {
    pthread_mutex_t lock;
    int64_t server_ms;  /* What the server said, at its middle... */
    int64_t at_mono_ns; /* ...which was this moment of ours. */
    int64_t next_ns;    /* Ask again from here on. */
    bool is_asking;     /* One thread at a time. */
};

/* Lists whose expects are in an open transaction. Two transactions that write the same '_expects'
 * would abort each other, so the second waits for the first. */
struct mongo_open_groups {
    pthread_mutex_t lock;
    pthread_cond_t ended;
    struct pk_job **job[MONGO_GROUPS_MAX]; /* NULL: free. */
    size_t count[MONGO_GROUPS_MAX];
};

/* Sessions whose transactions were not seen to end: they may still be open and hold what they
 * wrote. The next transaction ends them before it starts. */
struct mongo_dangling {
    pthread_mutex_t lock;
    bson_t *session[MONGO_DANGLING_MAX]; /* Their ids; more than fit are left to the server. */
    size_t count;
};

/* Who wants documents by id while enough questions are under way. */
struct mongo_gets {
    pthread_mutex_t lock;
    struct mongo_waiter *first; /* The oldest; see mongo_get.c. */
    struct mongo_waiter **last;
    size_t waiting;
    size_t asking;      /* Questions under way. */
    int64_t started_ns; /* The youngest of them. */
    int64_t slow_ns;    /* MONGO_GETS_SLOW_MS; tests want it longer. */
};

struct mongo {
    const struct pk_clock *clock;
    const struct pk_inventory *inventory;
    mongoc_uri_t *uri; /* With our options filled in. */
    mongoc_client_pool_t *pool;
    char *database;
    struct pk_committer *committer;
    struct mongo_time time;
    struct mongo_open_groups open;
    struct mongo_dangling dangling;
    struct mongo_gets gets;
    atomic_int_least64_t stale_next_ns; /* From here on somebody may look for stale ones again. */
    atomic_uint_least64_t commits, groups, conflicts, unknowns, commit_ns, reads, reads_ns;
};

/* ---- mongo.c ---- */

/* Calls mongoc_init, once per process. */
void mongo_init_once(void);
static inline struct mongo *mongo_of(const struct pk_store *store)
{
    return store->impl;
}
/* A client of the pool; NULL when none came free in time, with 'err' set. Give it back. */
mongoc_client_t *mongo_pop(struct mongo *mongo, struct pk_error *err);
void mongo_push(struct mongo *mongo, mongoc_client_t *client);
/* The estimate of the server's wall clock; asks nobody. */
int64_t mongo_now_ms(struct mongo *mongo);
/* Asks the server for its time if that was 10 s ago. */
void mongo_time_keep(struct mongo *mongo, mongoc_client_t *client);
bool mongo_time_ask(struct mongo *mongo, mongoc_client_t *client, struct pk_error *err);

/* What kind of failure a driver error is: our code for it. */
enum pk_code mongo_code(const bson_error_t *error);
/* True for what goes away by itself: no primary, a broken connection, a server that ends. */
bool mongo_is_away(const bson_error_t *error);
/* Fills 'err' from the driver's error; returns false. */
bool mongo_fail(struct pk_error *err, const bson_error_t *error, const char *doing);
bool mongo_has_label(const bson_t *reply, const char *label);
/* A collection whose reads are left to the session's snapshot: the driver would ask for a majority
 * read as well. Ended with mongoc_collection_destroy. */
mongoc_collection_t *mongo_snapshot_collection(struct mongo *mongo, mongoc_client_t *client,
                                               const char *name);
/* Sleeps before try number 'attempt' (from 1): longer each time, and never the same for two. */
void mongo_back_off(unsigned attempt);
/* Milliseconds left, 'cap' when there is no deadline. */
int64_t mongo_left_ms(const struct mongo *mongo, int64_t deadline_ns);
/* '{path: {$not: {$lte: now}}}' on the TTL path, if the collection has one: not expired. */
void mongo_append_live(const struct pk_collection *collection, int64_t now_ms, bson_t *filter);
/* A document as its owner knows it, with its version; NULL when it carries none. */
struct pk_doc *mongo_doc(const bson_t *stored);
bool mongo_is_barrier(const bson_t *stored);

/* ---- mongo_open.c, mongo_probe.c, mongo_index.c ---- */

bool mongo_inspect(const struct pk_store_options *options, struct pk_store_state *out,
                   struct pk_error *err);
bool mongo_open(struct pk_store *store, const struct pk_store_options *options,
                struct pk_error *err);
/* One step of an upgrade; a row with 'to' 0 ends a table of them, in the order of 'to'. */
struct mongo_upgrade {
    int64_t to; /* The schema version it leads to. */
    /* Changes documents. It may have been killed half way, so it must be able to run again. */
    bool (*run)(mongoc_client_t *client, const char *database, struct pk_error *err);
};
/* The same with other steps, for tests. */
bool mongo_open_with(struct pk_store *store, const struct pk_store_options *options,
                     const struct mongo_upgrade *upgrades, struct pk_error *err);
/* Ends a half or wholly open engine. */
void mongo_free(struct mongo *mongo);
/* Tries transactions, change streams, partial and TTL indexes in a scratch collection. */
bool mongo_probe(mongoc_client_t *client, const char *database, struct pk_error *err);
/* Creates missing indexes of every collection, and refuses differing ones. */
bool mongo_index_check(struct mongo *mongo, mongoc_client_t *client, struct pk_error *err);
/* The stored path of an index key: 'tags[]' is 'tags', 'metadata.*' is 'metadata.$**'. */
void mongo_index_path(const char *path, char *out, size_t size);
/* The conditions under which an index is read, as its partialFilterExpression and the queries on
 * it say them. Nothing for an index that holds all. */
void mongo_index_append_only(const struct pk_collection *collection, const struct pk_index *index,
                             bson_t *out);
/* The name of the index that a declared one is read by. */
void mongo_index_read_name(const struct pk_collection *collection, const struct pk_index *index,
                           char *out, size_t size);
/* True when '_id' is the last key behind the declared ones of the index that is read. */
bool mongo_index_has_tie_breaker(const struct pk_collection *collection,
                                 const struct pk_index *index);

/* ---- mongo_get.c ---- */

bool mongo_get(struct pk_store *store, const struct pk_collection *collection, const char *id,
               int64_t deadline_ns, struct pk_doc **out, struct pk_error *err);
void mongo_gets_init(struct mongo_gets *gets);
void mongo_gets_done(struct mongo_gets *gets); /* Nobody may be waiting. */

/* ---- mongo_read.c ---- */

/* A question of its own, asked again until the deadline while the server is away. */
bool mongo_get_alone(struct pk_store *store, const struct pk_collection *collection, const char *id,
                     int64_t deadline_ns, struct pk_doc **out, struct pk_error *err);
bool mongo_find(struct pk_store *store, const struct pk_collection *collection,
                const struct pk_index *index, const struct pk_query *query,
                const struct pk_after *after, int64_t deadline_ns, struct pk_page *out,
                struct pk_error *err);
/* The find command's options and filter for a query; for the tests of its plan, too. */
void mongo_find_build(const struct pk_collection *collection, const struct pk_index *index,
                      const struct pk_query *query, const struct pk_after *after, int64_t now_ms,
                      bson_t *filter, bson_t *opts);

/* ---- mongo_commit.c, mongo_txn.c ---- */

/* One write, as it goes to the server. */
struct mongo_op {
    const struct pk_collection *collection;
    const struct pk_write *write;
    const struct pk_target *target;
    bson_t *doc;     /* INSERT, REPLACE: as stored. COUNT: the update. Else NULL. */
    int index;       /* Of the write in its list. */
    size_t job;      /* Of its list in the transaction under way. */
    size_t sequence; /* Its place among all writes of the transaction. */
};
struct mongo_list {      /* job->prepared */
    struct mongo_op *op; /* Without the folded ones. */
    size_t count;
    int64_t now_ms;     /* The server's time when it was prepared. */
    bool is_reclaiming; /* Expired documents in the way of its unique keys are deleted first. */
};
bool mongo_prepare(struct pk_store *store, struct pk_job *job, struct pk_error *err);
void mongo_unprepare(struct pk_store *store, struct pk_job *job);
void mongo_apply(void *engine, struct pk_job **job, size_t count);

enum mongo_end {
    MONGO_DONE,    /* Committed. */
    MONGO_NAMED,   /* Not written: the server objected to one write, of list 'job'. */
    MONGO_SHORT,   /* Not written: some version did not match, nobody said whose. */
    MONGO_ABORTED, /* Not written: another transaction came first. */
    MONGO_AWAY,    /* Not written: the server could not be reached. */
    MONGO_FAILED,  /* Not written: 'error' says why. */
    MONGO_UNKNOWN  /* Committing, without an answer. */
};
/* One transaction of some lists. */
struct mongo_txn {
    struct mongo *mongo;
    mongoc_client_t *client;
    mongoc_client_session_t *session;
    struct pk_job **job;
    size_t count;
    int64_t deadline_ns;
    bool is_looking; /* Read the versions first, and leave out the lists that do not match. */

    bool *is_out;                /* Out: per list, its conflict was seen while looking; settled. */
    size_t named_job;            /* Out, NAMED. */
    int named_write;             /* Out, NAMED: index into that list. */
    bool is_duplicate;           /* Out, NAMED: a unique index objected. */
    char index[64];              /* Out, NAMED: its name. */
    uint32_t seconds, increment; /* Out, DONE: operationTime of the commit. */
    struct pk_error error;       /* Out: of NAMED, FAILED, AWAY, UNKNOWN. */
};
enum mongo_end mongo_txn_run(struct mongo_txn *txn);
/* Ends transactions that were left without an answer. Nothing is told of its failure: the server
 * ends them itself after a minute. */
void mongo_txn_end_dangling(struct mongo *mongo, mongoc_client_t *client);
/* Sets a list's outcome to a conflict. */
void mongo_conflict(struct mongo *mongo, struct pk_job *job, int write, const char *index);

/* The writes of a transaction, sorted: collection, counts last, then as the lists have them. */
struct mongo_batch {
    struct mongo_op **op;
    size_t count;
};
/* What the server's reply to a bulk must say. */
struct mongo_counts {
    int64_t inserted, matched, removed;
    size_t writes; /* In the bulk. */
};
int64_t mongo_op_now_ms(const struct mongo_txn *txn, const struct mongo_op *op);
bool mongo_op_expects_absence(const struct mongo_op *op);
/* The end of the run of one collection that starts at 'from'; split: counts or not. */
size_t mongo_batch_run_end(const struct mongo_batch *batch, size_t from, bool is_split);
/* An ordered bulk in the session; NULL on failure. */
mongoc_bulk_operation_t *mongo_txn_bulk(struct mongo_txn *txn, mongoc_collection_t *collection,
                                        bson_error_t *error);
/* Sends a bulk and looks at its counts; 'counts' is NULL when nobody minds. Ends the bulk. */
enum mongo_end mongo_txn_send(struct mongo_txn *txn, mongoc_bulk_operation_t *bulk,
                              struct mongo_op *const *op, const struct mongo_counts *counts);
/* What an error answer means. 'op' are the writes of the bulk; NULL when they name nobody. */
enum mongo_end mongo_txn_judge(struct mongo_txn *txn, const bson_t *reply,
                               const bson_error_t *error, struct mongo_op *const *op, size_t count);
/* The driver would not even send it. */
enum mongo_end mongo_txn_refuse(struct mongo_txn *txn, const bson_error_t *error);

/* ---- mongo_ahead.c ---- */

enum mongo_end mongo_ahead_guard(struct mongo_txn *txn, const struct mongo_batch *batch);
enum mongo_end mongo_ahead_look(struct mongo_txn *txn, const struct mongo_batch *batch);
enum mongo_end mongo_ahead_reclaim(struct mongo_txn *txn, const struct mongo_batch *batch);

/* ---- mongo_stale.c ---- */

/* Ends transactions on which nobody works any more, if nobody has just looked for them. */
void mongo_stale_end(struct mongo *mongo, mongoc_client_t *client);

/* ---- mongo_feed.c ---- */

bool mongo_feed_open(struct pk_feed *feed, const char *position, struct pk_error *err);
void mongo_feed_close(struct pk_feed *feed);
bool mongo_feed_next(struct pk_feed *feed, int64_t timeout_ms, struct pk_feed_item *out,
                     struct pk_error *err);
void mongo_feed_mark(const struct pk_feed *feed, struct pk_feed_mark *out);
bool mongo_mark_has_passed(const struct pk_store *store, const struct pk_feed_mark *mark,
                           const char *cursor, bool *out_passed, struct pk_error *err);
bool mongo_barrier(struct pk_store *store, struct pk_error *err);

/* ---- mongo_backup.c ---- */

bool mongo_backup(struct pk_store *store, const char *folder, pk_progress_fn *progress,
                  void *context, struct pk_error *err);

#endif
