/* store.c - The narrow interface: checks what comes in and hands it to an engine.
 *
 * Everything that both engines would have to check or decide alike is here or
 * in its helpers (writes.c, cursor.c, value.c), so that an engine is only
 * handed what is sound: collections and indexes resolved, values of the type
 * that the schema declares, documents that fit their schema, new versions
 * drawn.
 *
 * A commit: writes.c resolves the list into a job, the engine prepares it
 * (both on the caller's thread, in parallel), the committer brings it an
 * outcome, and only then the list learns its new versions.
 *
 * If you add an engine, add its row below. */
/* SPDX-License-Identifier: MIT */
#include "base/alloc.h"
#include "base/clock.h"
#include "base/crypto.h"
#include "doc/path.h"
#include "store/store_internal.h"

#include <assert.h>
#include <math.h>
#include <string.h>
#include <time.h>

enum {
    PAGE_DEFAULT = 100,
    DECIDE_DEFAULT_MS = 5000,
    BACKOFF_MAX_US = 20000 /* Between two tries of pk_store_decide. */
};

/* ---- Engines ---- */

static const struct {
    const char *scheme; /* How a URL of this engine begins. */
    const struct pk_engine *engine;
} engine_table[] = {
    { "sqlite:", &pk_engine_sqlite },
    { "mongodb://", &pk_engine_mongo },
    { "mongodb+srv://", &pk_engine_mongo },
};

/* A URL may carry a password: only what stands before the first ':' is ever shown. */
static const struct pk_engine *find_engine(const char *url, struct pk_error *err)
{
    for (size_t i = 0; i < PK_COUNT(engine_table); i++) {
        if (strncmp(url, engine_table[i].scheme, strlen(engine_table[i].scheme)) == 0) {
            return engine_table[i].engine;
        }
    }
    (void)pk_fail(err, PK_INVALID, "use sqlite:FOLDER or mongodb://HOST/DATABASE",
                  "unknown store engine '%.*s'", (int)strcspn(url, ":"), url);
    return NULL;
}

bool pk_store_open(struct pk_store **out, const struct pk_store_options *options,
                   struct pk_error *err)
{
    const struct pk_engine *engine = find_engine(options->url, err);
    if (!engine) {
        return false;
    }
    struct pk_store *store = pk_calloc(1, sizeof(*store));
    store->engine = engine;
    store->inventory = options->inventory;
    store->clock = options->clock;
    store->is_read_only = options->is_read_only;
    if (!engine->open(store, options, err)) {
        pk_free(store);
        return false;
    }
    *out = store;
    return true;
}

void pk_store_close(struct pk_store *store)
{
    if (store) {
        store->engine->close(store);
        pk_free(store);
    }
}

bool pk_store_inspect(const struct pk_store_options *options, struct pk_store_state *out,
                      struct pk_error *err)
{
    const struct pk_engine *engine = find_engine(options->url, err);
    *out = (struct pk_store_state){ 0 };
    return engine && engine->inspect(options, out, err);
}

const char *pk_store_engine(const struct pk_store *store)
{
    return store->engine->name;
}

const char *pk_store_epoch(const struct pk_store *store)
{
    return store->epoch;
}

void pk_store_stats(struct pk_store *store, struct pk_store_stats *out)
{
    *out = (struct pk_store_stats){ 0 };
    store->engine->stats(store, out);
}

/* ---- What a thread spends here ---- */

/* The one number that has no owner: each thread has its own, and no other sees it. */
static int64_t *thread_ns(void)
{
    static _Thread_local int64_t ns;
    return &ns;
}

int64_t pk_store_thread_ns(void)
{
    return *thread_ns();
}

struct stay {
    const struct pk_clock *clock;
    int64_t since_ns;
};

static struct stay begin_stay(const struct pk_store *store)
{
    return (struct stay){ store->clock, pk_clock_mono_ns(store->clock) };
}

static void end_stay(struct stay *stay)
{
    *thread_ns() += pk_clock_mono_ns(stay->clock) - stay->since_ns;
}

/* For the rest of the scope. */
#define STAY(store) \
    PK_CLEANUP(end_stay) __attribute__((unused)) struct stay stay = begin_stay(store)

/* ---- Reading ---- */

static const struct pk_collection *find_collection(const struct pk_store *store, const char *name,
                                                   struct pk_error *err)
{
    const struct pk_collection *collection = pk_inventory_find(store->inventory, name);
    if (!collection) {
        (void)pk_fail(err, PK_INVALID, "collections are declared in the inventory",
                      "there is no collection '%s'", name);
    }
    return collection;
}

bool pk_store_get(struct pk_store *store, const char *collection_name, const char *id,
                  int64_t deadline_ns, struct pk_doc **out, struct pk_error *err)
{
    STAY(store);
    const struct pk_collection *collection = find_collection(store, collection_name, err);
    *out = NULL;
    return collection && pk_id_check(collection_name, id, strlen(id), err) &&
           store->engine->get(store, collection, id, deadline_ns, out, err);
}

/* The documents themselves, in order of their ids. */
static const struct pk_index id_index = {
    .name = "_id", .key = { { .path = "_id" } }, .key_count = 1, .is_unique = true
};

static bool is_number(enum pk_value_type type)
{
    return type == PK_VALUE_INT || type == PK_VALUE_DOUBLE;
}

/* A key of a declared type is compared with that type only; free-form keys with any. */
static bool fits_type(const struct pk_collection *collection, const char *path,
                      enum pk_value_type type)
{
    const struct pk_field *field =
        collection->schema ? pk_schema_field(collection->schema, path) : NULL;
    if (!field || type == PK_VALUE_NULL) {
        return true;
    }
    if (field->type == PK_TYPE_STRING) {
        return type == PK_VALUE_TEXT;
    }
    if (field->type == PK_TYPE_INT || field->type == PK_TYPE_NUMBER) {
        return is_number(type);
    }
    if (field->type == PK_TYPE_BOOL) {
        return type == PK_VALUE_BOOL;
    }
    return field->type != PK_TYPE_DATE || type == PK_VALUE_DATE;
}

static bool check_value(const struct pk_collection *collection, const char *path,
                        const struct pk_value *value, struct pk_error *err)
{
    const bool is_sound = value->type == PK_VALUE_TEXT     ? value->text != NULL
                          : value->type == PK_VALUE_DOUBLE ? !isnan(value->real)
                                                           : true;
    if (!is_sound || !fits_type(collection, path, value->type)) {
        return pk_fail(err, PK_INVALID, "compare a key with a value of its declared type",
                       "'%s' of '%s' cannot be compared with that value", path, collection->name);
    }
    return true;
}

static bool check_range(const struct pk_collection *collection, const struct pk_index *index,
                        const struct pk_query *query, struct pk_error *err)
{
    const struct pk_bound *bound[] = { &query->min, &query->max };
    if (!query->min.is_set && !query->max.is_set) {
        return true;
    }
    if (query->equal_count >= index->key_count) {
        return pk_fail(err, PK_INVALID, "a range is on the key behind the last equal one",
                       "index '%s' of '%s' has no key left for a range", index->name,
                       collection->name);
    }
    const char *path = index->key[query->equal_count].path;
    for (size_t i = 0; i < PK_COUNT(bound); i++) {
        if (bound[i]->is_set && (bound[i]->value.type == PK_VALUE_NULL ||
                                 !check_value(collection, path, &bound[i]->value, err))) {
            return pk_fail(err, PK_INVALID, "give a value of the key's declared type",
                           "'%s' of '%s' has no range from or to that value", path,
                           collection->name);
        }
    }
    const enum pk_value_type a = query->min.value.type;
    const enum pk_value_type b = query->max.value.type;
    if (query->min.is_set && query->max.is_set && a != b && !(is_number(a) && is_number(b))) {
        return pk_fail(err, PK_INVALID, "give both ends the same type",
                       "the range on '%s' of '%s' ends in another type than it starts", path,
                       collection->name);
    }
    return true;
}

static bool check_query(const struct pk_collection *collection, const struct pk_index *index,
                        const struct pk_query *query, struct pk_error *err)
{
    const char *first = index->key[0].path;
    const bool is_below = pk_path_is_multi(first) && strchr(first, '*');

    if (query->limit > PK_PAGE_MAX) {
        return pk_fail(err, PK_INVALID, "ask for several pages", "a page of %zu; the limit is %d",
                       query->limit, (int)PK_PAGE_MAX);
    }
    if (query->equal_count > index->key_count) {
        return pk_fail(err, PK_INVALID, NULL, "index '%s' of '%s' has %zu keys, not %zu",
                       index->name, collection->name, index->key_count, query->equal_count);
    }
    if (pk_path_is_multi(first) &&
        (query->equal_count == 0 || query->equal[0].type == PK_VALUE_NULL)) {
        return pk_fail(err, PK_INVALID, "give the value that is looked for",
                       "index '%s' of '%s' has many values per document and needs one to look for",
                       index->name, collection->name);
    }
    if (is_below != (query->below != NULL)) {
        return pk_fail(err, PK_INVALID, "'below' goes with indexes on 'x.*', and only with them",
                       "index '%s' of '%s' %s a path below", index->name, collection->name,
                       is_below ? "needs" : "takes no");
    }
    for (size_t i = 0; i < query->equal_count; i++) {
        if (!check_value(collection, index->key[i].path, &query->equal[i], err)) {
            return false;
        }
    }
    return check_range(collection, index, query, err);
}

bool pk_store_find(struct pk_store *store, const struct pk_query *query, int64_t deadline_ns,
                   struct pk_page *out, struct pk_error *err)
{
    STAY(store);
    const struct pk_collection *collection = find_collection(store, query->collection, err);
    const struct pk_index *index = NULL;
    struct pk_after after;

    *out = (struct pk_page){ 0 };
    if (!collection) {
        return false;
    }
    if (strcmp(query->index, id_index.name) != 0) {
        index = pk_collection_index(collection, query->index);
        if (!index) {
            return pk_fail(err, PK_INVALID, "indexes are declared in the inventory",
                           "'%s' has no index '%s'", collection->name, query->index);
        }
    }
    struct pk_query asked = *query;
    asked.limit = query->limit ? query->limit : PAGE_DEFAULT;
    if (!check_query(collection, index ? index : &id_index, &asked, err) ||
        !pk_cursor_read(collection, index, &asked, &after, err)) {
        return false;
    }
    const bool ok =
        store->engine->find(store, collection, index, &asked, &after, deadline_ns, out, err);
    pk_after_done(&after);
    if (!ok) {
        pk_page_done(out);
    }
    return ok;
}

void pk_page_done(struct pk_page *page)
{
    if (page) {
        for (size_t i = 0; i < page->count; i++) {
            pk_doc_unref(page->doc[i]);
        }
        pk_free(page->doc);
        pk_free(page->next);
        *page = (struct pk_page){ 0 };
    }
}

/* ---- Writing ---- */

static void learn_versions(struct pk_writes *list, const struct pk_job *job)
{
    for (size_t i = 0; i < list->count; i++) {
        if (job->target[i].new_version) {
            list->write[i].version = job->target[i].new_version;
            list->write[i].drawn_version = 0; /* Sent again, it is stored under another one. */
        }
    }
}

static bool run_job(struct pk_store *store, struct pk_job *job, struct pk_error *err)
{
    if (!store->engine->prepare(store, job, err)) {
        return false;
    }
    pk_committer_run(store->engine->committer(store), job);
    store->engine->unprepare(store, job);
    if (!job->is_ok && err) {
        *err = job->error;
    }
    return job->is_ok;
}

bool pk_store_commit(struct pk_store *store, struct pk_writes *list, int64_t deadline_ns,
                     struct pk_commit *out, struct pk_error *err)
{
    STAY(store);
    struct pk_job job = { .writes = list, .deadline_ns = deadline_ns, .commit.conflict_write = -1 };
    if (out) {
        *out = job.commit;
    }
    if (store->is_read_only) {
        return pk_fail(err, PK_UNSUPPORTED, "open the store for writing",
                       "the store is open for reading only");
    }
    if (list->count == 0) {
        return true;
    }
    if (!pk_writes_resolve(store, list, &job, err)) {
        return false;
    }
    const bool ok = run_job(store, &job, err);
    if (ok) {
        learn_versions(list, &job);
    }
    if (out) {
        *out = job.commit;
    }
    pk_writes_unresolve(&job);
    return ok;
}

/* Two who met once should not meet again: a random wait that grows with each try. */
static void back_off(unsigned tries)
{
    const uint64_t cap_us = tries > 7 ? BACKOFF_MAX_US : 100u << tries;
    const uint64_t wait_us = pk_random_u64() % (cap_us < BACKOFF_MAX_US ? cap_us : BACKOFF_MAX_US);
    const struct timespec wait = { .tv_nsec = (long)wait_us * 1000 };
    (void)nanosleep(&wait, NULL);
}

bool pk_store_decide(struct pk_store *store, pk_decide_fn *decide, void *context,
                     int64_t deadline_ns, struct pk_commit *out, struct pk_error *err)
{
    PK_CLEANUP(pk_writes_done) struct pk_writes list = { 0 };
    struct pk_error own, conflict;
    struct pk_error *why = err ? err : &own;

    if (deadline_ns == 0) {
        deadline_ns = pk_deadline_in_ms(store->clock, DECIDE_DEFAULT_MS);
    }
    for (unsigned tries = 1;; tries++) {
        pk_writes_clear(&list);
        if (!decide(context, &list, why)) {
            return false;
        }
        if (pk_store_commit(store, &list, deadline_ns, out, why)) {
            return true;
        }
        const bool is_over = pk_deadline_passed(store->clock, deadline_ns);
        if (is_over && why->code == PK_BUSY && tries > 1) {
            *why = conflict; /* What it failed at, not what it ended on. */
        }
        if (why->code != PK_CONFLICT) {
            return false;
        }
        if (is_over) {
            return pk_wrap(why, "gave up after %u tries", tries);
        }
        conflict = *why;
        back_off(tries);
    }
}

/* ---- The feed ---- */

bool pk_feed_open(struct pk_feed **out, struct pk_store *store, const char *position,
                  struct pk_error *err)
{
    struct pk_feed *feed = pk_calloc(1, sizeof(*feed));
    feed->store = store;
    if (!store->engine->feed_open(feed, position ? position : "", err)) {
        pk_free(feed);
        return false;
    }
    *out = feed;
    return true;
}

void pk_feed_close(struct pk_feed *feed)
{
    if (feed) {
        feed->store->engine->feed_close(feed);
        pk_free(feed);
    }
}

bool pk_feed_next(struct pk_feed *feed, int64_t timeout_ms, struct pk_feed_item *out,
                  struct pk_error *err)
{
    *out = (struct pk_feed_item){ 0 };
    return feed->store->engine->feed_next(feed, timeout_ms, out, err);
}

bool pk_feed_has_passed(const struct pk_feed *feed, const char *cursor, bool *out_passed,
                        struct pk_error *err)
{
    struct pk_feed_mark mark;
    pk_feed_mark(feed, &mark);
    return pk_mark_has_passed(feed->store, &mark, cursor, out_passed, err);
}

void pk_feed_mark(const struct pk_feed *feed, struct pk_feed_mark *out)
{
    *out = (struct pk_feed_mark){ 0 };
    feed->store->engine->feed_mark(feed, out);
}

bool pk_mark_has_passed(struct pk_store *store, const struct pk_feed_mark *mark, const char *cursor,
                        bool *out_passed, struct pk_error *err)
{
    if (!*cursor) {
        *out_passed = true; /* An empty list wrote nothing. */
        return true;
    }
    return store->engine->mark_has_passed(store, mark, cursor, out_passed, err);
}

bool pk_store_barrier(struct pk_store *store, struct pk_error *err)
{
    return store->engine->barrier(store, err);
}

/* ---- Housekeeping ---- */

bool pk_store_reap(struct pk_store *store, size_t limit, size_t *out_count, struct pk_error *err)
{
    size_t count = 0;
    if (store->is_read_only) {
        return pk_fail(err, PK_UNSUPPORTED, "open the store for writing",
                       "the store is open for reading only");
    }
    const bool ok = store->engine->reap(store, limit, &count, err);
    if (out_count) {
        *out_count = count;
    }
    return ok;
}

bool pk_store_settle(struct pk_store *store, int64_t deadline_ns, struct pk_error *err)
{
    enum { SETTLE_MS = 5000, REAP_AT_ONCE = 1000 };
    const int64_t until_ns = deadline_ns ? deadline_ns : pk_deadline_in_ms(store->clock, SETTLE_MS);
    size_t count = 1;
    if (!store->engine->settle) {
        return true;
    }
    while (count > 0) {
        if (!pk_store_reap(store, REAP_AT_ONCE, &count, err)) {
            return false;
        }
    }
    return store->engine->settle(store, until_ns, err);
}

bool pk_store_backup(struct pk_store *store, const char *folder, pk_progress_fn *progress,
                     void *context, struct pk_error *err)
{
    return store->engine->backup(store, folder, progress, context, err);
}
