/* mongo.c - The MongoDB engine: its table, its clients, its clock, its errors.
 *
 * Every durable promise is the server's: all writes are w:majority with the
 * journal, all reads are majority reads of the primary. The driver's own
 * retries are off: the loops are ours, with the caller's deadline.
 *
 * Clients come from one pool, a connection each; a call takes one and gives
 * it back. A feed has a client of its own (mongo_feed.c), so that a server
 * which has stopped answering is noticed there sooner.
 *
 * Time: leases and expiry compare with the server's clock, as this node
 * estimates it from 'hello' every 10 s, on use: after a call that the server
 * has just answered, so that nobody waits for a server only to know the time.
 * Between two answers our monotonic clock carries it on, so a jump of our wall
 * clock changes nothing.
 *
 * The two things of the process, not of a store: mongoc_init, called once by
 * whoever comes first, and the driver's log, which is switched off (what
 * fails is in our errors).
 *
 * Thread: any. 'time' and 'open' have a lock each, counters are atomic. */
/* SPDX-License-Identifier: MIT */
#include "base/alloc.h"
#include "base/clock.h"
#include "base/crypto.h"
#include "store/mongo_internal.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

/* ---- The driver ---- */

static void init_driver(void)
{
    mongoc_log_set_handler(NULL, NULL);
    mongoc_init();
    (void)atexit(mongoc_cleanup);
}

void mongo_init_once(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    (void)pthread_once(&once, init_driver);
}

/* ---- Clients ---- */

mongoc_client_t *mongo_pop(struct mongo *mongo, struct pk_error *err)
{
    mongoc_client_t *client = mongoc_client_pool_pop(mongo->pool);
    if (!client) {
        (void)pk_fail(err, PK_BUSY, "try again, or raise maxPoolSize in the store's URL",
                      "no connection to the store came free in time");
    }
    return client;
}

void mongo_push(struct mongo *mongo, mongoc_client_t *client)
{
    if (client) {
        mongoc_client_pool_push(mongo->pool, client);
    }
}

int64_t mongo_left_ms(const struct mongo *mongo, int64_t deadline_ns)
{
    return pk_deadline_left_ms(mongo->clock, deadline_ns, MONGO_DEADLINE_MS);
}

void mongo_back_off(unsigned attempt)
{
    const unsigned shift = attempt < 7 ? attempt : 7;
    const uint64_t span_us = 1000u << shift;
    const uint64_t cap_us = MONGO_BACKOFF_MAX_MS * 1000u;
    const uint64_t wait_us = 500 + pk_random_u64() % (span_us < cap_us ? span_us : cap_us);
    const struct timespec wait = { .tv_sec = 0, .tv_nsec = (long)wait_us * 1000 };
    (void)nanosleep(&wait, NULL);
}

/* ---- The server's clock ---- */

static int64_t carried_on(const struct mongo *mongo, int64_t mono_ns)
{
    return mongo->time.server_ms + (mono_ns - mongo->time.at_mono_ns) / 1000000;
}

bool mongo_time_ask(struct mongo *mongo, mongoc_client_t *client, struct pk_error *err)
{
    bson_t command = BSON_INITIALIZER;
    bson_t reply;
    bson_error_t error;
    bson_iter_t iter;

    BSON_APPEND_INT32(&command, "hello", 1);
    const int64_t before_ns = pk_clock_mono_ns(mongo->clock);
    bool ok = mongoc_client_command_simple(client, "admin", &command, NULL, &reply, &error);
    const int64_t after_ns = pk_clock_mono_ns(mongo->clock);
    bson_destroy(&command);
    if (!ok) {
        (void)mongo_fail(err, &error, "ask the server for its time");
    } else if (!bson_iter_init_find(&iter, &reply, "localTime") ||
               !BSON_ITER_HOLDS_DATE_TIME(&iter)) {
        ok = pk_fail(err, PK_UNSUPPORTED, "use MongoDB 5.0 or later",
                     "the server does not say what time it is");
    }
    (void)pthread_mutex_lock(&mongo->time.lock);
    if (ok) {
        mongo->time.server_ms = bson_iter_date_time(&iter);
        mongo->time.at_mono_ns = before_ns + (after_ns - before_ns) / 2;
    }
    mongo->time.next_ns = after_ns + (ok ? MONGO_CLOCK_EVERY_MS : 1000) * 1000000LL;
    mongo->time.is_asking = false;
    (void)pthread_mutex_unlock(&mongo->time.lock);
    bson_destroy(&reply);
    return ok;
}

int64_t mongo_now_ms(struct mongo *mongo)
{
    const int64_t mono_ns = pk_clock_mono_ns(mongo->clock);

    (void)pthread_mutex_lock(&mongo->time.lock);
    const int64_t now_ms = carried_on(mongo, mono_ns);
    (void)pthread_mutex_unlock(&mongo->time.lock);
    return now_ms;
}

void mongo_time_keep(struct mongo *mongo, mongoc_client_t *client)
{
    const int64_t mono_ns = pk_clock_mono_ns(mongo->clock);

    (void)pthread_mutex_lock(&mongo->time.lock);
    const bool is_due = mono_ns >= mongo->time.next_ns && !mongo->time.is_asking;
    mongo->time.is_asking = mongo->time.is_asking || is_due;
    (void)pthread_mutex_unlock(&mongo->time.lock);
    if (is_due) { /* The old estimate goes on when the server does not answer. */
        (void)mongo_time_ask(mongo, client, NULL);
    }
}

/* ---- Errors ---- */

/* What the server's codes mean for a caller. What is not here is PK_INTERNAL: it should not
 * happen, and the message says what did. */
static const struct {
    uint32_t code;
    enum pk_code as;
    const char *hint; /* NULL: the one of its code, in hint_table. */
} code_table[] = {
    { 6, PK_UNAVAILABLE, NULL },     /* HostUnreachable */
    { 7, PK_UNAVAILABLE, NULL },     /* HostNotFound */
    { 64, PK_UNAVAILABLE, NULL },    /* WriteConcernFailed: no majority in time */
    { 89, PK_UNAVAILABLE, NULL },    /* NetworkTimeout */
    { 91, PK_UNAVAILABLE, NULL },    /* ShutdownInProgress */
    { 133, PK_UNAVAILABLE, NULL },   /* FailedToSatisfyReadPreference */
    { 134, PK_UNAVAILABLE, NULL },   /* ReadConcernMajorityNotAvailableYet */
    { 189, PK_UNAVAILABLE, NULL },   /* PrimarySteppedDown */
    { 9001, PK_UNAVAILABLE, NULL },  /* SocketException */
    { 10058, PK_UNAVAILABLE, NULL }, /* LegacyNotPrimary */
    { 10107, PK_UNAVAILABLE, NULL }, /* NotWritablePrimary */
    { 11600, PK_UNAVAILABLE, NULL }, /* InterruptedAtShutdown */
    { MONGO_CODE_INTERRUPTED, PK_UNAVAILABLE, NULL },
    { 11602, PK_UNAVAILABLE, NULL }, /* InterruptedDueToReplStateChange */
    { 13435, PK_UNAVAILABLE, NULL }, /* NotPrimaryNoSecondaryOk */
    { 13436, PK_UNAVAILABLE, NULL }, /* NotPrimaryOrSecondary */
    { MONGO_CODE_TIME_EXPIRED, PK_TIMEOUT, NULL },
    { 262, PK_TIMEOUT, NULL }, /* ExceededTimeLimit */
    { 24, PK_BUSY, NULL },     /* LockTimeout */
    { MONGO_CODE_WRITE_CONFLICT, PK_BUSY, NULL },
    { MONGO_CODE_NO_SUCH_TRANSACTION, PK_BUSY, NULL },
    { MONGO_CODE_DISK_FULL, PK_FULL, NULL },
    { 13, PK_FORBIDDEN, NULL },    /* Unauthorized */
    { 18, PK_UNAUTHORIZED, NULL }, /* AuthenticationFailed */
    { 2, PK_INVALID, NULL },       /* BadValue */
    { 14, PK_INVALID, NULL },      /* TypeMismatch */
    { 28, PK_INVALID, NULL },      /* PathNotViable */
    { 73, PK_INVALID, "choose a database name that MongoDB allows, of at most 63 bytes" },
    { 13297, PK_INVALID,
      "write the database's name as it was written first, in upper and lower "
      "case" },
    { 257, PK_TOO_LARGE, NULL },   /* TransactionTooLarge */
    { 10334, PK_TOO_LARGE, NULL }, /* BSONObjectTooLarge */
    { 17280, PK_TOO_LARGE, NULL }, /* KeyTooLong */
    { 17419, PK_TOO_LARGE, NULL }, /* The updated document would be too large */
    { 17420, PK_TOO_LARGE, NULL },
};

/* What a person should do, when nothing more particular is known. */
static const char *const hint_table[PK_CODE_COUNT] = {
    [PK_UNAVAILABLE] = "check that the MongoDB set has a primary that this machine can reach",
    [PK_TIMEOUT] = "try again, or allow it more time",
    [PK_BUSY] = "try again: others came first",
    [PK_FULL] = "make room on the store's disk",
    [PK_FORBIDDEN] = "give the store's user the role readWrite on the database",
    [PK_UNAUTHORIZED] = "check user, password and authSource in the store's URL",
    [PK_INVALID] = "look at the document: a value that is there has another type than this needs",
    [PK_TOO_LARGE] = "split it, or keep large parts elsewhere",
    [PK_INTERNAL] = "look into mongod's log, and report this with the server's version",
};

static bool is_driver_code(const bson_error_t *error)
{
    return error->domain == MONGOC_ERROR_STREAM || error->domain == MONGOC_ERROR_SERVER_SELECTION ||
           error->domain == MONGOC_ERROR_CLIENT;
}

enum pk_code mongo_code(const bson_error_t *error)
{
    if (is_driver_code(error)) {
        return PK_UNAVAILABLE;
    }
    for (size_t i = 0; i < PK_COUNT(code_table); i++) {
        if (code_table[i].code == error->code) {
            return code_table[i].as;
        }
    }
    return PK_INTERNAL;
}

bool mongo_is_away(const bson_error_t *error)
{
    if (error->domain == MONGOC_ERROR_STREAM || error->domain == MONGOC_ERROR_SERVER_SELECTION) {
        return true;
    }
    return !is_driver_code(error) && mongo_code(error) == PK_UNAVAILABLE;
}

bool mongo_fail(struct pk_error *err, const bson_error_t *error, const char *doing)
{
    const enum pk_code code = mongo_code(error);
    const char *hint = hint_table[code];
    for (size_t i = 0; i < PK_COUNT(code_table); i++) {
        if (!is_driver_code(error) && code_table[i].code == error->code && code_table[i].hint) {
            hint = code_table[i].hint;
        }
    }
    return pk_fail(err, code, hint, "could not %s: %s (%u)", doing, error->message, error->code);
}

mongoc_collection_t *mongo_snapshot_collection(struct mongo *mongo, mongoc_client_t *client,
                                               const char *name)
{
    mongoc_collection_t *collection = mongoc_client_get_collection(client, mongo->database, name);
    mongoc_read_concern_t *inherited = mongoc_read_concern_new();
    mongoc_collection_set_read_concern(collection, inherited);
    mongoc_read_concern_destroy(inherited);
    return collection;
}

bool mongo_has_label(const bson_t *reply, const char *label)
{
    return mongoc_error_has_label(reply, label);
}

/* ---- Stored documents ---- */

void mongo_append_live(const struct pk_collection *collection, int64_t now_ms, bson_t *filter)
{
    bson_t child;
    bson_t inner;
    if (!collection->ttl_path) {
        return;
    }
    (void)bson_append_document_begin(filter, collection->ttl_path, -1, &child);
    (void)bson_append_document_begin(&child, "$not", 4, &inner);
    BSON_APPEND_DATE_TIME(&inner, "$lte", now_ms);
    (void)bson_append_document_end(&child, &inner);
    (void)bson_append_document_end(filter, &child);
}

bool mongo_is_barrier(const bson_t *stored)
{
    return bson_has_field(stored, MONGO_BARRIER);
}

struct pk_doc *mongo_doc(const bson_t *stored)
{
    bson_iter_t iter;
    bson_t plain;

    const int64_t version =
        bson_iter_init_find(&iter, stored, MONGO_REV) ? bson_iter_as_int64(&iter) : 0;
    if (version <= 0) {
        return NULL;
    }
    bson_init(&plain);
    bson_copy_to_excluding_noinit(stored, &plain, MONGO_REV, MONGO_EXPECTS, NULL);
    struct pk_doc *doc = pk_doc_new_versioned(&plain, version);
    bson_destroy(&plain);
    return doc;
}

/* ---- The rest of the table ---- */

void mongo_free(struct mongo *mongo)
{
    if (!mongo) {
        return;
    }
    pk_committer_free(mongo->committer);
    mongo_txn_end_dangling(mongo, NULL);
    if (mongo->pool) {
        mongoc_client_pool_destroy(mongo->pool);
    }
    mongoc_uri_destroy(mongo->uri);
    (void)pthread_mutex_destroy(&mongo->time.lock);
    (void)pthread_mutex_destroy(&mongo->open.lock);
    (void)pthread_mutex_destroy(&mongo->dangling.lock);
    (void)pthread_cond_destroy(&mongo->open.ended);
    mongo_gets_done(&mongo->gets);
    pk_free(mongo->database);
    pk_free(mongo);
}

static void close_store(struct pk_store *store)
{
    mongo_free(store->impl);
    store->impl = NULL;
}

static struct pk_committer *committer_of(struct pk_store *store)
{
    return mongo_of(store)->committer;
}

/* The server's TTL indexes do it. */
static bool reap(struct pk_store *store, size_t limit, size_t *out_count, struct pk_error *err)
{
    (void)store;
    (void)limit;
    (void)err;
    *out_count = 0;
    return true;
}

static void tell_stats(struct pk_store *store, struct pk_store_stats *out)
{
    struct mongo *mongo = mongo_of(store);

    out->commits = atomic_load(&mongo->commits);
    out->groups = atomic_load(&mongo->groups);
    out->conflicts = atomic_load(&mongo->conflicts);
    out->unknowns = atomic_load(&mongo->unknowns);
    out->commit_ns = atomic_load(&mongo->commit_ns);
    out->reads = atomic_load(&mongo->reads);
    out->reads_ns = atomic_load(&mongo->reads_ns);
    out->waiting = pk_committer_waiting(mongo->committer);
    mongoc_client_t *client = mongo_pop(mongo, NULL);
    if (client) { /* Nobody else may have asked for long. */
        mongo_time_keep(mongo, client);
        mongo_push(mongo, client);
    }
    out->clock_drift_ms = mongo_now_ms(mongo) - pk_clock_wall_ms(mongo->clock);
}

const struct pk_engine pk_engine_mongo = {
    .name = "mongodb",
    .inspect = mongo_inspect,
    .open = mongo_open,
    .close = close_store,
    .get = mongo_get,
    .find = mongo_find,
    .prepare = mongo_prepare,
    .unprepare = mongo_unprepare,
    .committer = committer_of,
    .feed_open = mongo_feed_open,
    .feed_close = mongo_feed_close,
    .feed_next = mongo_feed_next,
    .feed_mark = mongo_feed_mark,
    .mark_has_passed = mongo_mark_has_passed,
    .barrier = mongo_barrier,
    .reap = reap,
    .backup = mongo_backup,
    .stats = tell_stats,
};
