/* mongo_read.c - find, and a read by id that goes alone.
 *
 * A page is one scan of one named index, in its order, and never a sort. For
 * most indexes its two ends are given as 'min' and 'max': whole index keys,
 * the last of them '_id'. So the next page starts exactly behind the last
 * document, nulls and ties included, however the planner feels today:
 *
 *     equal u1, c from 7 (descending c)     min { u: u1, c: MaxKey, _id: MinKey }
 *                                           max { u: u1, c: 7, _id: MaxKey }
 *     behind (9, "x")                       min { u: u1, c: 9, _id: "x" }
 *
 * 'min' is inclusive and 'max' exclusive, in index order. Indexes without
 * '_id' behind their keys (unique, TTL, wildcard, '_id' itself) cannot say "up
 * to and including" so; they are read by a filter instead, and only TTL and
 * wildcard pages sort, keeping no more than a page in memory.
 *
 * Ranges are in the filter, too: a number's range holds numbers only.
 *
 * Reads are majority reads of the primary. While it is away they are tried
 * again until the deadline. Thread: any. */
/* SPDX-License-Identifier: MIT */
#include "base/alloc.h"
#include "base/clock.h"
#include "doc/doc.h"
#include "store/mongo_internal.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

enum { SORT_KEYS_MAX = PK_INDEX_MAX_KEYS + 1 };

static const struct pk_index id_index = {
    .name = "_id_", .key = { { .path = "_id" } }, .key_count = 1, .is_unique = true
};

/* ---- Values ---- */

static void append_value(bson_t *out, const char *key, const struct pk_value *value)
{
    switch (value->type) {
    case PK_VALUE_NULL:
        BSON_APPEND_NULL(out, key);
        return;
    case PK_VALUE_TEXT:
        BSON_APPEND_UTF8(out, key, value->text);
        return;
    case PK_VALUE_INT:
        BSON_APPEND_INT64(out, key, value->number);
        return;
    case PK_VALUE_DOUBLE:
        BSON_APPEND_DOUBLE(out, key, value->real);
        return;
    case PK_VALUE_BOOL:
        BSON_APPEND_BOOL(out, key, value->number != 0);
        return;
    case PK_VALUE_DATE:
        BSON_APPEND_DATE_TIME(out, key, value->number);
        return;
    }
}

static void append_compare(bson_t *out, const char *path, const char *operator,
                           const struct pk_value * value)
{
    bson_t child;
    BSON_APPEND_DOCUMENT_BEGIN(out, path, &child);
    append_value(&child, operator, value);
    (void)bson_append_document_end(out, &child);
}

/* ---- The query, as the parts below work on it ---- */

struct plan {
    const struct pk_collection *collection;
    const struct pk_index *index; /* Never NULL. */
    const struct pk_query *query;
    const struct pk_after *after;
    char path[PK_INDEX_MAX_KEYS][256]; /* Stored paths of the keys. */
    bool has_tie_breaker;
    bool is_multi; /* The first key has many values per document. */
    bool is_wild;
};

static void make_plan(struct plan *plan, const struct pk_collection *collection,
                      const struct pk_index *index, const struct pk_query *query,
                      const struct pk_after *after)
{
    *plan = (struct plan){
        .collection = collection,
        .index = index ? index : &id_index,
        .query = query,
        .after = after,
    };
    const char *first = plan->index->key[0].path;
    plan->is_wild = strchr(first, '*') != NULL;
    plan->is_multi = plan->is_wild || strstr(first, "[]") != NULL;
    plan->has_tie_breaker = index && mongo_index_has_tie_breaker(collection, index);
    for (size_t k = 0; k < plan->index->key_count; k++) {
        mongo_index_path(plan->index->key[k].path, plan->path[k], sizeof(plan->path[k]));
    }
    if (plan->is_wild) { /* "metadata.*" and "a.b": "metadata.a.b" */
        (void)snprintf(plan->path[0], sizeof(plan->path[0]), "%.*s%s", (int)(strlen(first) - 1),
                       first, query->below ? query->below : "");
    }
}

static bool has_range(const struct pk_query *query)
{
    return query->min.is_set || query->max.is_set;
}

/* ---- The filter ---- */

static void append_equals(const struct plan *plan, bson_t *filter)
{
    for (size_t k = 0; k < plan->query->equal_count; k++) {
        append_value(filter, plan->path[k], &plan->query->equal[k]);
    }
}

static void append_range(const struct plan *plan, bson_t *filter)
{
    const struct pk_query *query = plan->query;
    const char *path = plan->path[query->equal_count];
    if (query->min.is_set) {
        append_compare(filter, path, query->min.is_exclusive ? "$gt" : "$gte", &query->min.value);
    }
    if (query->max.is_set) {
        append_compare(filter, path, query->max.is_exclusive ? "$lt" : "$lte", &query->max.value);
    }
}

/* The keys behind the equal ones, as a page without 'min' and 'max' is ordered. */
struct order {
    const char *path[SORT_KEYS_MAX];
    bool is_descending[SORT_KEYS_MAX]; /* As read: declared, or reversed. */
    struct pk_value after[SORT_KEYS_MAX];
    size_t count;
};

static void make_order(const struct plan *plan, struct order *order)
{
    const struct pk_query *query = plan->query;
    bool is_id_last = false;

    order->count = 0;
    for (size_t k = 0; k < plan->index->key_count; k++) {
        is_id_last = strcmp(plan->path[k], "_id") == 0;
        if (k < query->equal_count) {
            continue;
        }
        order->path[order->count] = plan->path[k];
        order->is_descending[order->count] =
            plan->index->key[k].is_descending != query->is_reversed;
        if (plan->after->is_set && !is_id_last) {
            order->after[order->count] = plan->after->key[k - query->equal_count];
        } else if (plan->after->is_set) {
            order->after[order->count] = PK_TEXT(plan->after->id);
        }
        order->count++;
    }
    if (!is_id_last && (!plan->index->is_unique || order->count == 0)) {
        order->path[order->count] = "_id";
        order->is_descending[order->count] = query->is_reversed;
        order->after[order->count] = PK_TEXT(plan->after->is_set ? plan->after->id : "");
        order->count++;
    }
}

/* '{ k0: a0, ..., k: behind a }': one branch of "behind the last document". Nulls come before
 * everything and are in no range, so they need a word of their own. */
static void append_branch(const struct order *order, size_t last, bool is_null_branch, bson_t *out)
{
    const struct pk_value *after = &order->after[last];
    const struct pk_value null = { .type = PK_VALUE_NULL };

    for (size_t k = 0; k < last; k++) {
        append_value(out, order->path[k], &order->after[k]);
    }
    if (is_null_branch) {
        append_value(out, order->path[last], &null);
    } else if (after->type == PK_VALUE_NULL) {
        append_compare(out, order->path[last], "$ne", &null);
    } else {
        append_compare(out, order->path[last], order->is_descending[last] ? "$lt" : "$gt", after);
    }
}

static void append_behind(const struct order *order, bson_t *filter)
{
    bson_t branches;
    bson_t branch;
    uint32_t count = 0;
    char number[16];
    const char *key = NULL;

    BSON_APPEND_ARRAY_BEGIN(filter, "$or", &branches);
    for (size_t k = 0; k < order->count; k++) {
        const bool is_null = order->after[k].type == PK_VALUE_NULL;
        for (int is_null_branch = 0; is_null_branch < 2; is_null_branch++) {
            if (order->is_descending[k] ? is_null : is_null_branch) {
                continue; /* Nothing is behind null when descending, and null behind nothing else.
                           */
            }
            (void)bson_uint32_to_string(count++, &key, number, sizeof(number));
            BSON_APPEND_DOCUMENT_BEGIN(&branches, key, &branch);
            append_branch(order, k, is_null_branch, &branch);
            (void)bson_append_document_end(&branches, &branch);
        }
    }
    (void)bson_append_array_end(filter, &branches);
}

static void build_by_filter(const struct plan *plan, bson_t *filter, bson_t *opts)
{
    struct order order;
    bson_t sort;

    make_order(plan, &order);
    append_equals(plan, filter);
    if (plan->after->is_set) {
        append_behind(&order, filter);
    }
    BSON_APPEND_DOCUMENT_BEGIN(opts, "sort", &sort);
    for (size_t k = 0; k < order.count; k++) {
        BSON_APPEND_INT32(&sort, order.path[k], order.is_descending[k] ? -1 : 1);
    }
    (void)bson_append_document_end(opts, &sort);
}

/* ---- The two ends ---- */

/* One end of the scan, in index order: values of the first keys, then the start or the end of all
 * that follow. */
struct end {
    struct pk_value value[PK_INDEX_MAX_KEYS];
    size_t count;
    bool is_behind; /* The keys that follow are at their end, not their start. */
};

static void append_end(const struct plan *plan, const struct end *end, const char *id,
                       const char *name, bson_t *opts)
{
    bson_t key;

    BSON_APPEND_DOCUMENT_BEGIN(opts, name, &key);
    for (size_t k = 0; k <= plan->index->key_count; k++) {
        const bool is_id = k == plan->index->key_count;
        const char *path = is_id ? "_id" : plan->path[k];
        const bool is_descending = !is_id && plan->index->key[k].is_descending;
        if (!is_id && k < end->count) {
            append_value(&key, path, &end->value[k]);
        } else if (is_id && id) {
            BSON_APPEND_UTF8(&key, path, id);
        } else if (is_descending != end->is_behind) {
            BSON_APPEND_MAXKEY(&key, path);
        } else {
            BSON_APPEND_MINKEY(&key, path);
        }
    }
    (void)bson_append_document_end(opts, &key);
}

/* Adds a range's bound to an end. 'is_low' is by value; which end of the scan it is depends on
 * the key's direction, and 'is_start' says it. */
static void add_bound(const struct pk_query *query, bool is_low, bool is_start, struct end *end)
{
    const struct pk_bound *bound = is_low ? &query->min : &query->max;
    if (bound->is_set) {
        end->value[end->count++] = bound->value;
        end->is_behind = bound->is_exclusive == is_start;
    } else if (is_low) { /* Behind the nulls. */
        end->value[end->count++] = (struct pk_value){ .type = PK_VALUE_NULL };
        end->is_behind = is_start;
    }
}

static void build_by_ends(const struct plan *plan, bson_t *filter, bson_t *opts)
{
    const struct pk_query *query = plan->query;
    struct end start = { .is_behind = false };
    struct end stop = { .is_behind = true };
    struct end behind = { 0 };
    const char *start_id = NULL;
    const char *stop_id = NULL;
    bson_t sort;

    for (size_t k = 0; k < query->equal_count; k++) {
        start.value[start.count++] = query->equal[k];
        stop.value[stop.count++] = query->equal[k];
    }
    behind = start;
    if (has_range(query)) {
        const bool is_descending = plan->index->key[query->equal_count].is_descending;
        add_bound(query, !is_descending, true, &start);
        add_bound(query, is_descending, false, &stop);
    }
    if (plan->after->is_set) {
        for (size_t k = 0; k < plan->after->key_count; k++) {
            behind.value[behind.count++] = plan->after->key[k];
        }
        *(query->is_reversed ? &stop : &start) = behind;
        *(query->is_reversed ? &stop_id : &start_id) = plan->after->id;
    }
    append_end(plan, &start, start_id, "min", opts);
    append_end(plan, &stop, stop_id, "max", opts);
    if (start_id) { /* 'min' is inclusive. */
        append_compare(filter, "_id", "$ne", &PK_TEXT(start_id));
    }
    if (plan->is_multi) { /* One element's entries are in order; the planner must see that. */
        append_equals(plan, filter);
    }
    BSON_APPEND_DOCUMENT_BEGIN(opts, "sort", &sort);
    for (size_t k = plan->is_multi ? 1 : 0; k < plan->index->key_count; k++) {
        BSON_APPEND_INT32(&sort, plan->path[k],
                          plan->index->key[k].is_descending != query->is_reversed ? -1 : 1);
    }
    BSON_APPEND_INT32(&sort, "_id", query->is_reversed ? -1 : 1);
    (void)bson_append_document_end(opts, &sort);
}

void mongo_find_build(const struct pk_collection *collection, const struct pk_index *index,
                      const struct pk_query *query, const struct pk_after *after, int64_t now_ms,
                      bson_t *filter, bson_t *opts)
{
    struct plan plan;
    char name[128];

    make_plan(&plan, collection, index, query, after);
    if (plan.has_tie_breaker) {
        build_by_ends(&plan, filter, opts);
    } else {
        build_by_filter(&plan, filter, opts);
    }
    if (has_range(query)) {
        append_range(&plan, filter);
    }
    /* The planner takes a partial index only for a filter that implies its conditions. */
    mongo_index_append_only(collection, plan.index, filter);
    mongo_append_live(collection, now_ms, filter);
    if (collection->is_feed) {
        append_compare(filter, MONGO_BARRIER, "$ne", &PK_BOOL(true));
    }
    if (index) {
        mongo_index_read_name(collection, index, name, sizeof(name));
    }
    BSON_APPEND_UTF8(opts, "hint", index ? name : plan.index->name);
    BSON_APPEND_INT64(opts, "limit", (int64_t)query->limit + 1);
    BSON_APPEND_INT64(opts, "batchSize", (int64_t)query->limit + 1);
}

/* ---- Running ---- */

/* Takes what a cursor yields until the page is full. '*out_has_more' when there was another. */
static bool fill_page(mongoc_cursor_t *cursor, size_t limit, struct pk_page *out,
                      bool *out_has_more, bson_error_t *error)
{
    const bson_t *stored = NULL;
    size_t bytes = 0;

    *out_has_more = false;
    while (mongoc_cursor_next(cursor, &stored)) {
        if (out->count == limit || bytes >= PK_PAGE_MAX_BYTES) {
            *out_has_more = true;
            return true;
        }
        struct pk_doc *doc = mongo_doc(stored);
        if (doc) { /* Without a version it is not ours. */
            out->doc[out->count++] = doc;
            bytes += pk_doc_size(doc);
        }
    }
    return !mongoc_cursor_error(cursor, error) || error->code == MONGO_CODE_EMPTY_RANGE;
}

static bool find_once(struct pk_store *store, const struct pk_collection *collection,
                      const bson_t *filter, const bson_t *opts, size_t limit, struct pk_page *out,
                      bool *out_has_more, bson_error_t *error, struct pk_error *err)
{
    struct mongo *mongo = mongo_of(store);
    mongoc_client_t *client = mongo_pop(mongo, err);
    if (!client) {
        error->domain = 0;
        return false;
    }
    mongoc_collection_t *handle =
        mongoc_client_get_collection(client, mongo->database, collection->name);
    mongoc_cursor_t *cursor = mongoc_collection_find_with_opts(handle, filter, opts, NULL);
    const bool ok = fill_page(cursor, limit, out, out_has_more, error);
    mongoc_cursor_destroy(cursor);
    mongoc_collection_destroy(handle);
    if (ok) {
        mongo_time_keep(mongo, client);
    }
    mongo_push(mongo, client);
    if (!ok) {
        (void)mongo_fail(err, error, "read from the store");
        (void)pk_wrap(err, "'%s'", collection->name);
    }
    return ok;
}

/* Reads until it works, the failure is final, or the deadline is over. */
static bool find_until(struct pk_store *store, const struct pk_collection *collection,
                       const bson_t *filter, const bson_t *opts, size_t limit, int64_t deadline_ns,
                       struct pk_page *out, bool *out_has_more, struct pk_error *err)
{
    struct mongo *mongo = mongo_of(store);
    const int64_t start_ns = pk_clock_mono_ns(mongo->clock);
    const int64_t until_ns =
        deadline_ns ? deadline_ns : pk_deadline_in_ms(mongo->clock, MONGO_DEADLINE_MS);
    bool ok = false;

    out->doc = pk_calloc(limit, sizeof(struct pk_doc *));
    for (unsigned attempt = 1;; attempt++) {
        bson_error_t error = { 0 };
        bson_t timed;
        bson_copy_to(opts, &timed);
        const int64_t left_ms = mongo_left_ms(mongo, until_ns);
        BSON_APPEND_INT64(&timed, "maxTimeMS", left_ms > 0 ? left_ms : 1);
        ok = find_once(store, collection, filter, &timed, limit, out, out_has_more, &error, err);
        bson_destroy(&timed);
        if (ok || error.domain == 0 || !mongo_is_away(&error) ||
            pk_deadline_passed(mongo->clock, until_ns)) {
            break;
        }
        while (out->count) {
            pk_doc_unref(out->doc[--out->count]);
        }
        mongo_back_off(attempt);
    }
    atomic_fetch_add(&mongo->reads, 1);
    atomic_fetch_add(&mongo->reads_ns, (uint64_t)(pk_clock_mono_ns(mongo->clock) - start_ns));
    if (!ok) {
        pk_page_done(out);
    }
    return ok;
}

bool mongo_get_alone(struct pk_store *store, const struct pk_collection *collection, const char *id,
                     int64_t deadline_ns, struct pk_doc **out, struct pk_error *err)
{
    bson_t filter = BSON_INITIALIZER;
    bson_t opts = BSON_INITIALIZER;
    struct pk_page page = { 0 };
    bool has_more = false;

    BSON_APPEND_UTF8(&filter, "_id", id);
    mongo_append_live(collection, mongo_now_ms(mongo_of(store)), &filter);
    BSON_APPEND_INT64(&opts, "limit", 1);
    BSON_APPEND_BOOL(&opts, "singleBatch", true);
    const bool ok =
        find_until(store, collection, &filter, &opts, 1, deadline_ns, &page, &has_more, err);
    if (ok && page.count) {
        *out = pk_doc_ref(page.doc[0]);
    }
    pk_page_done(&page);
    bson_destroy(&filter);
    bson_destroy(&opts);
    return ok;
}

bool mongo_find(struct pk_store *store, const struct pk_collection *collection,
                const struct pk_index *index, const struct pk_query *query,
                const struct pk_after *after, int64_t deadline_ns, struct pk_page *out,
                struct pk_error *err)
{
    bson_t filter = BSON_INITIALIZER;
    bson_t opts = BSON_INITIALIZER;
    bool has_more = false;

    mongo_find_build(collection, index, query, after, mongo_now_ms(mongo_of(store)), &filter,
                     &opts);
    const bool ok = find_until(store, collection, &filter, &opts, query->limit, deadline_ns, out,
                               &has_more, err);
    if (ok && has_more && out->count) {
        out->next = pk_cursor_write(collection, index, query, out->doc[out->count - 1]);
    }
    bson_destroy(&filter);
    bson_destroy(&opts);
    return ok;
}
