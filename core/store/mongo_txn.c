/* mongo_txn.c - One transaction of some lists: bulks with versions in the filters, then a commit.
 *
 * In this order, all in one session transaction (one snapshot):
 *
 *     guards   inserts and 'expect absent' of guarded collections write a row
 *              under the same key, so that two such lists collide
 *     looks    ids that must be absent are read; when looking, the versions
 *              of all others, too. A list that does not match is out: it has
 *              its conflict, and the rest goes on
 *     writes   one ordered bulk per collection; counts in one of their own,
 *              because nobody minds when their document is gone
 *     commit   sent once, and then only ever committed again on the same
 *              session until it is answered or the deadline ends
 *
 * A write finds its document by '_id' and '_rev', so that one that has moved
 * on makes the bulk's count short. A unique index that objects names the write.
 *
 * After the commit was sent, the transaction is over for good only when the
 * server says so with the label TransientTransactionError (it attaches it when
 * the abort itself is known to a majority). Everything else is unknown.
 *
 * Thread: the leader of the group. */
/* SPDX-License-Identifier: MIT */
#include "base/alloc.h"
#include "base/clock.h"
#include "doc/doc.h"
#include "doc/path.h"
#include "store/mongo_internal.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- The writes in the order they go ---- */

struct batch {
    struct mongo_op **op; /* Sorted: collection, counts last, then as the lists have them. */
    size_t count;
};

static bool has_unique(const struct pk_collection *collection)
{
    for (size_t i = 0; i < collection->index_count; i++) {
        if (collection->index[i].is_unique) {
            return true;
        }
    }
    return false;
}

/* Writes of a kind make one command, so they go together where the order is nobody's business:
 * ids are distinct, and only a unique index can see which came first. */
static int rank_of(const struct mongo_op *op)
{
    if (op->write->kind == PK_WRITE_COUNT) {
        return PK_WRITE_COUNT + 1;
    }
    return has_unique(op->collection) ? 0 : (int)op->write->kind;
}

static int compare_ops(const void *left, const void *right)
{
    const struct mongo_op *a = *(struct mongo_op *const *)left;
    const struct mongo_op *b = *(struct mongo_op *const *)right;
    if (a->collection != b->collection) {
        return a->collection < b->collection ? -1 : 1;
    }
    const int rank_a = rank_of(a);
    const int rank_b = rank_of(b);
    if (rank_a != rank_b) {
        return rank_a < rank_b ? -1 : 1;
    }
    return a->sequence < b->sequence ? -1 : a->sequence > b->sequence;
}

static void gather(const struct mongo_txn *txn, struct batch *out)
{
    size_t total = 0;
    for (size_t j = 0; j < txn->count; j++) {
        total += ((struct mongo_list *)txn->job[j]->prepared)->count;
    }
    out->op = pk_calloc(total, sizeof(struct mongo_op *));
    out->count = 0;
    for (size_t j = 0; j < txn->count; j++) {
        struct mongo_list *list = txn->job[j]->prepared;
        for (size_t i = 0; i < list->count; i++) {
            list->op[i].job = j;
            list->op[i].sequence = out->count;
            out->op[out->count++] = &list->op[i];
        }
    }
    qsort(out->op, out->count, sizeof(struct mongo_op *), compare_ops);
}

static void batch_done(struct batch *batch)
{
    pk_free(batch->op);
}

static int64_t now_of(const struct mongo_txn *txn, const struct mongo_op *op)
{
    return ((const struct mongo_list *)txn->job[op->job]->prepared)->now_ms;
}

static bool is_expect_absent(const struct mongo_op *op)
{
    return op->write->kind == PK_WRITE_EXPECT && op->write->version == 0;
}

/* ---- What the server answers ---- */

static bool find_write_error(const bson_t *reply, bson_iter_t *out)
{
    bson_iter_t iter;
    bson_iter_t array;
    return bson_iter_init_find(&iter, reply, "writeErrors") && BSON_ITER_HOLDS_ARRAY(&iter) &&
           bson_iter_recurse(&iter, &array) && bson_iter_next(&array) &&
           BSON_ITER_HOLDS_DOCUMENT(&array) && bson_iter_recurse(&array, out);
}

/* "E11000 duplicate key error collection: db.c index: by_email dup key: { ... }" */
static void read_index_name(const char *message, char *out, size_t size)
{
    const char *start = strstr(message, " index: ");
    const char *end = start ? strstr(start, " dup key:") : NULL;
    *out = '\0';
    if (start && end) {
        start += strlen(" index: ");
        const bool is_id = strncmp(start, "_id_ ", 5) == 0;
        (void)snprintf(out, size, "%.*s", is_id ? 3 : (int)(end - start), start);
    }
}

/* 'op' are the writes of the bulk that failed; NULL for guards, whose writes name nobody. */
static enum mongo_end name_write(struct mongo_txn *txn, bson_iter_t write_error,
                                 struct mongo_op *const *op, size_t count)
{
    bson_error_t error = { .domain = MONGOC_ERROR_SERVER };
    int64_t index = -1;

    while (bson_iter_next(&write_error)) {
        const char *key = bson_iter_key(&write_error);
        if (strcmp(key, "index") == 0) {
            index = bson_iter_as_int64(&write_error);
        } else if (strcmp(key, "code") == 0) {
            error.code = (uint32_t)bson_iter_as_int64(&write_error);
        } else if (strcmp(key, "errmsg") == 0 && BSON_ITER_HOLDS_UTF8(&write_error)) {
            (void)snprintf(error.message, sizeof(error.message), "%s",
                           bson_iter_utf8(&write_error, NULL));
            read_index_name(bson_iter_utf8(&write_error, NULL), txn->index, sizeof(txn->index));
        }
    }
    if (error.code == MONGO_CODE_WRITE_CONFLICT || !op) {
        return MONGO_ABORTED;
    }
    (void)mongo_fail(&txn->error, &error, "write to the store");
    if (index < 0 || (size_t)index >= count) {
        return MONGO_FAILED;
    }
    txn->named_job = op[index]->job;
    txn->named_write = op[index]->index;
    txn->is_duplicate = error.code == MONGO_CODE_DUPLICATE;
    return MONGO_NAMED;
}

static enum mongo_end judge(struct mongo_txn *txn, const bson_t *reply, const bson_error_t *error,
                            struct mongo_op *const *op, size_t count)
{
    bson_iter_t write_error;

    if (find_write_error(reply, &write_error)) {
        return name_write(txn, write_error, op, count);
    }
    (void)mongo_fail(&txn->error, error, "write to the store");
    if (mongo_is_away(error)) {
        return MONGO_AWAY;
    }
    if (mongo_has_label(reply, "TransientTransactionError") ||
        error->code == MONGO_CODE_WRITE_CONFLICT || error->code == MONGO_CODE_NO_SUCH_TRANSACTION ||
        (!op && error->code == MONGO_CODE_DUPLICATE)) {
        return MONGO_ABORTED;
    }
    return MONGO_FAILED;
}

/* ---- Bulks ---- */

static mongoc_bulk_operation_t *new_bulk(struct mongo_txn *txn, mongoc_collection_t *collection,
                                         bson_error_t *error)
{
    bson_t opts = BSON_INITIALIZER;
    BSON_APPEND_BOOL(&opts, "ordered", true);
    const bool ok = mongoc_client_session_append(txn->session, &opts, error);
    mongoc_bulk_operation_t *bulk =
        ok ? mongoc_collection_create_bulk_operation_with_opts(collection, &opts) : NULL;
    bson_destroy(&opts);
    return bulk;
}

static int64_t count_of(const bson_t *reply, const char *key)
{
    bson_iter_t iter;
    return bson_iter_init_find(&iter, reply, key) ? bson_iter_as_int64(&iter) : 0;
}

/* '{ _id, _rev, not expired }' */
static void select_version(const struct mongo_txn *txn, const struct mongo_op *op, bson_t *out)
{
    BSON_APPEND_UTF8(out, "_id", op->write->id);
    if (op->write->kind != PK_WRITE_COUNT) {
        BSON_APPEND_INT64(out, MONGO_REV, op->write->version);
    }
    mongo_append_live(op->collection, now_of(txn, op), out);
}

struct counts {
    int64_t inserted, matched, removed; /* What the reply must say. */
    size_t writes;                      /* In the bulk. */
};

static bool add_op(struct mongo_txn *txn, mongoc_bulk_operation_t *bulk, struct mongo_op *op,
                   const bson_t *unchecked, struct counts *counts, bson_error_t *error)
{
    bson_t selector = BSON_INITIALIZER;
    bson_t expect = BSON_INITIALIZER;
    bson_t inc;
    bool ok = false;

    switch (op->write->kind) {
    case PK_WRITE_INSERT:
        counts->inserted++;
        ok = mongoc_bulk_operation_insert_with_opts(bulk, op->doc, unchecked, error);
        break;
    case PK_WRITE_REPLACE:
        counts->matched++;
        select_version(txn, op, &selector);
        ok =
            mongoc_bulk_operation_replace_one_with_opts(bulk, &selector, op->doc, unchecked, error);
        break;
    case PK_WRITE_DELETE:
        counts->removed++;
        select_version(txn, op, &selector);
        ok = mongoc_bulk_operation_remove_one_with_opts(bulk, &selector, NULL, error);
        break;
    case PK_WRITE_EXPECT:
        counts->matched++;
        select_version(txn, op, &selector);
        BSON_APPEND_DOCUMENT_BEGIN(&expect, "$inc", &inc);
        BSON_APPEND_INT64(&inc, MONGO_EXPECTS, 1);
        (void)bson_append_document_end(&expect, &inc);
        ok = mongoc_bulk_operation_update_one_with_opts(bulk, &selector, &expect, NULL, error);
        break;
    case PK_WRITE_COUNT:
        select_version(txn, op, &selector);
        ok = mongoc_bulk_operation_update_one_with_opts(bulk, &selector, op->doc, NULL, error);
        break;
    }
    counts->writes++;
    bson_destroy(&selector);
    bson_destroy(&expect);
    return ok;
}

/* Sends a bulk and looks at its counts; 'counts' is NULL when nobody minds. Ends the bulk. */
static enum mongo_end send_bulk(struct mongo_txn *txn, mongoc_bulk_operation_t *bulk,
                                struct mongo_op *const *op, const struct counts *counts)
{
    enum mongo_end end = MONGO_DONE;
    bson_t reply;
    bson_error_t error;

    if (!mongoc_bulk_operation_execute(bulk, &reply, &error)) {
        end = judge(txn, &reply, &error, op, op ? counts->writes : 0);
    } else if (counts && (count_of(&reply, "nInserted") != counts->inserted ||
                          count_of(&reply, "nMatched") != counts->matched ||
                          count_of(&reply, "nRemoved") != counts->removed)) {
        end = MONGO_SHORT;
    }
    bson_destroy(&reply);
    mongoc_bulk_operation_destroy(bulk);
    return end;
}

static enum mongo_end refuse(struct mongo_txn *txn, const bson_error_t *error)
{
    (void)mongo_fail(&txn->error, error, "write to the store");
    return MONGO_FAILED;
}

/* Writes op[0] to op[count - 1], all of one collection; counts or none of them. */
static enum mongo_end write_run(struct mongo_txn *txn, struct mongo_op *const *op, size_t count)
{
    const bool is_counting = op[0]->write->kind == PK_WRITE_COUNT;
    mongoc_collection_t *handle =
        mongoc_client_get_collection(txn->client, txn->mongo->database, op[0]->collection->name);
    bson_t unchecked = BSON_INITIALIZER; /* Our documents are sound; empty keys are legal. */
    bson_error_t error = { 0 };
    struct counts counts = { 0 };
    enum mongo_end end = MONGO_DONE;
    PK_CLEANUP(pk_freep) struct mongo_op **sent = pk_calloc(count, sizeof(struct mongo_op *));

    BSON_APPEND_BOOL(&unchecked, "validate", false);
    mongoc_bulk_operation_t *bulk = new_bulk(txn, handle, &error);
    bool ok = bulk != NULL;
    for (size_t i = 0; ok && i < count; i++) {
        if (!txn->is_out[op[i]->job] && !is_expect_absent(op[i])) {
            sent[counts.writes] = op[i];
            ok = add_op(txn, bulk, op[i], &unchecked, &counts, &error);
        }
    }
    if (!ok) {
        end = refuse(txn, &error);
    } else if (counts.writes && is_counting) {
        end = send_bulk(txn, bulk, sent, &counts);
        end = end == MONGO_SHORT ? MONGO_DONE : end;
        bulk = NULL;
    } else if (counts.writes) {
        end = send_bulk(txn, bulk, sent, &counts);
        bulk = NULL;
    }
    if (bulk) {
        mongoc_bulk_operation_destroy(bulk);
    }
    mongoc_collection_destroy(handle);
    bson_destroy(&unchecked);
    return end;
}

/* The end of the run that starts at 'from': one collection, counts or not. */
static size_t run_end(const struct batch *batch, size_t from, bool is_split)
{
    size_t to = from + 1;
    while (to < batch->count && batch->op[to]->collection == batch->op[from]->collection &&
           (!is_split || (batch->op[to]->write->kind == PK_WRITE_COUNT) ==
                             (batch->op[from]->write->kind == PK_WRITE_COUNT))) {
        to++;
    }
    return to;
}

static enum mongo_end write_all(struct mongo_txn *txn, const struct batch *batch)
{
    enum mongo_end end = MONGO_DONE;
    for (size_t from = 0, to; end == MONGO_DONE && from < batch->count; from = to) {
        to = run_end(batch, from, true);
        end = write_run(txn, batch->op + from, to - from);
    }
    return end;
}

/* ---- Guards ---- */

static bool needs_guard(const struct mongo_op *op)
{
    return op->collection->is_guarded &&
           (op->write->kind == PK_WRITE_INSERT || is_expect_absent(op));
}

static bool add_guard(struct mongo_txn *txn, mongoc_bulk_operation_t *bulk,
                      const struct mongo_op *op, const bson_t *upsert, bson_error_t *error)
{
    bson_t selector = BSON_INITIALIZER;
    bson_t update = BSON_INITIALIZER;
    bson_t set;
    PK_CLEANUP(pk_freep) char *key = pk_strdupf("%s/%s", op->collection->name, op->write->id);

    BSON_APPEND_UTF8(&selector, "_id", key);
    BSON_APPEND_DOCUMENT_BEGIN(&update, "$set", &set);
    BSON_APPEND_DATE_TIME(&set, "at", now_of(txn, op));
    (void)bson_append_document_end(&update, &set);
    /* The same time again would change nothing, and what changes nothing does not collide. */
    BSON_APPEND_DOCUMENT_BEGIN(&update, "$inc", &set);
    BSON_APPEND_INT64(&set, "n", 1);
    (void)bson_append_document_end(&update, &set);
    const bool ok =
        mongoc_bulk_operation_update_one_with_opts(bulk, &selector, &update, upsert, error);
    bson_destroy(&selector);
    bson_destroy(&update);
    return ok;
}

static enum mongo_end write_guards(struct mongo_txn *txn, const struct batch *batch)
{
    mongoc_collection_t *handle = NULL;
    mongoc_bulk_operation_t *bulk = NULL;
    bson_t upsert = BSON_INITIALIZER;
    bson_error_t error = { 0 };
    enum mongo_end end = MONGO_DONE;
    bool ok = true;

    BSON_APPEND_BOOL(&upsert, "upsert", true);
    for (size_t i = 0; ok && i < batch->count; i++) {
        if (!needs_guard(batch->op[i])) {
            continue;
        }
        if (!bulk) {
            handle = mongoc_client_get_collection(txn->client, txn->mongo->database, MONGO_GUARDS);
            bulk = new_bulk(txn, handle, &error);
        }
        ok = bulk && add_guard(txn, bulk, batch->op[i], &upsert, &error);
    }
    if (!ok) {
        end = refuse(txn, &error);
        if (bulk) {
            mongoc_bulk_operation_destroy(bulk);
        }
    } else if (bulk) {
        end = send_bulk(txn, bulk, NULL, NULL);
    }
    if (handle) {
        mongoc_collection_destroy(handle);
    }
    bson_destroy(&upsert);
    return end;
}

/* ---- Looks ---- */

struct seen {
    char *id;
    int64_t version;
};
struct sight {
    struct seen *seen; /* What is there, sorted by id. */
    size_t count;
};

static int compare_seen(const void *left, const void *right)
{
    return strcmp(((const struct seen *)left)->id, ((const struct seen *)right)->id);
}

static void sight_done(struct sight *sight)
{
    for (size_t i = 0; i < sight->count; i++) {
        pk_free(sight->seen[i].id);
    }
    pk_free(sight->seen);
}

static bool needs_look(const struct mongo_txn *txn, const struct mongo_op *op)
{
    return is_expect_absent(op) || (txn->is_looking && (op->write->kind == PK_WRITE_REPLACE ||
                                                        op->write->kind == PK_WRITE_DELETE ||
                                                        op->write->kind == PK_WRITE_EXPECT));
}

/* Reads id and version of those ids that are there. */
static enum mongo_end look_at(struct mongo_txn *txn, const struct pk_collection *collection,
                              const bson_t *ids, int64_t now_ms, struct sight *out)
{
    mongoc_collection_t *handle =
        mongo_snapshot_collection(txn->mongo, txn->client, collection->name);
    bson_t filter = BSON_INITIALIZER;
    bson_t opts = BSON_INITIALIZER;
    bson_t child;
    bson_error_t error = { 0 };
    const bson_t *stored = NULL;
    bson_iter_t iter;
    enum mongo_end end = MONGO_DONE;

    BSON_APPEND_DOCUMENT_BEGIN(&filter, "_id", &child);
    BSON_APPEND_ARRAY(&child, "$in", ids);
    (void)bson_append_document_end(&filter, &child);
    mongo_append_live(collection, now_ms, &filter);
    BSON_APPEND_DOCUMENT_BEGIN(&opts, "projection", &child);
    BSON_APPEND_INT32(&child, MONGO_REV, 1);
    (void)bson_append_document_end(&opts, &child);
    if (!mongoc_client_session_append(txn->session, &opts, &error)) {
        end = refuse(txn, &error);
    }
    mongoc_cursor_t *cursor = mongoc_collection_find_with_opts(handle, &filter, &opts, NULL);
    while (end == MONGO_DONE && mongoc_cursor_next(cursor, &stored)) {
        out->seen = pk_realloc(out->seen, (out->count + 1) * sizeof(*out->seen));
        struct seen *seen = &out->seen[out->count++];
        seen->id =
            pk_strdup(bson_iter_init_find(&iter, stored, "_id") && BSON_ITER_HOLDS_UTF8(&iter)
                          ? bson_iter_utf8(&iter, NULL)
                          : "");
        seen->version =
            bson_iter_init_find(&iter, stored, MONGO_REV) ? bson_iter_as_int64(&iter) : -1;
    }
    const bson_t *reply = NULL;
    if (end == MONGO_DONE && mongoc_cursor_error_document(cursor, &error, &reply)) {
        bson_t empty = BSON_INITIALIZER;
        end = judge(txn, reply ? reply : &empty, &error, NULL, 0);
        bson_destroy(&empty);
    }
    if (out->count) {
        qsort(out->seen, out->count, sizeof(*out->seen), compare_seen);
    }
    mongoc_cursor_destroy(cursor);
    mongoc_collection_destroy(handle);
    bson_destroy(&filter);
    bson_destroy(&opts);
    return end;
}

static void compare_sight(struct mongo_txn *txn, struct mongo_op *const *op, size_t count,
                          const struct sight *sight)
{
    for (size_t i = 0; i < count; i++) {
        if (!needs_look(txn, op[i]) || txn->is_out[op[i]->job]) {
            continue;
        }
        const struct seen key = { .id = op[i]->write->id };
        const struct seen *seen =
            sight->count ? bsearch(&key, sight->seen, sight->count, sizeof(key), compare_seen)
                         : NULL;
        if ((seen ? seen->version : 0) != op[i]->write->version) {
            txn->is_out[op[i]->job] = true;
            mongo_conflict(txn->mongo, txn->job[op[i]->job], op[i]->index, "");
        }
    }
}

static enum mongo_end look_run(struct mongo_txn *txn, struct mongo_op *const *op, size_t count)
{
    PK_CLEANUP(sight_done) struct sight sight = { 0 };
    bson_t ids = BSON_INITIALIZER;
    uint32_t id_count = 0;
    int64_t now_ms = 0;
    char number[16];
    const char *key = NULL;
    enum mongo_end end = MONGO_DONE;

    for (size_t i = 0; i < count; i++) {
        if (needs_look(txn, op[i])) {
            (void)bson_uint32_to_string(id_count++, &key, number, sizeof(number));
            BSON_APPEND_UTF8(&ids, key, op[i]->write->id);
            now_ms = now_of(txn, op[i]);
        }
    }
    if (id_count) {
        end = look_at(txn, op[0]->collection, &ids, now_ms, &sight);
    }
    bson_destroy(&ids);
    if (end == MONGO_DONE && id_count) {
        compare_sight(txn, op, count, &sight);
    }
    return end;
}

static enum mongo_end look_all(struct mongo_txn *txn, const struct batch *batch)
{
    enum mongo_end end = MONGO_DONE;
    for (size_t from = 0, to; end == MONGO_DONE && from < batch->count; from = to) {
        to = run_end(batch, from, false);
        end = look_run(txn, batch->op + from, to - from);
    }
    return end;
}

/* ---- Expired documents in the way ---- */

static bool collect_value(void *context, const char *below, const bson_iter_t *value)
{
    bson_t *array = context;
    char number[16];
    const char *key = NULL;
    (void)below;
    (void)bson_uint32_to_string(bson_count_keys(array), &key, number, sizeof(number));
    (void)bson_append_iter(array, key, -1, value);
    return true;
}

/* '{ keys of the index as the document has them }' */
static void select_keys(const struct pk_index *index, const bson_t *doc, bson_t *out)
{
    char path[256];
    bson_iter_t iter;

    for (size_t k = 0; k < index->key_count; k++) {
        mongo_index_path(index->key[k].path, path, sizeof(path));
        if (pk_path_is_multi(index->key[k].path)) {
            bson_t in;
            bson_t array;
            BSON_APPEND_DOCUMENT_BEGIN(out, path, &in);
            BSON_APPEND_ARRAY_BEGIN(&in, "$in", &array);
            (void)pk_path_each(doc, index->key[k].path, collect_value, &array);
            (void)bson_append_array_end(&in, &array);
            (void)bson_append_document_end(out, &in);
        } else if (pk_path_find(doc, path, &iter)) {
            (void)bson_append_iter(out, path, -1, &iter);
        } else {
            BSON_APPEND_NULL(out, path);
        }
    }
}

static bool add_reclaim(mongoc_bulk_operation_t *bulk, const struct mongo_op *op,
                        const struct pk_index *index, int64_t now_ms, bson_error_t *error)
{
    bson_t selector = BSON_INITIALIZER;
    bson_t expired;

    if (index) {
        select_keys(index, op->doc, &selector);
    } else {
        BSON_APPEND_UTF8(&selector, "_id", op->write->id);
    }
    BSON_APPEND_DOCUMENT_BEGIN(&selector, op->collection->ttl_path, &expired);
    BSON_APPEND_DATE_TIME(&expired, "$lte", now_ms);
    (void)bson_append_document_end(&selector, &expired);
    const bool ok = mongoc_bulk_operation_remove_many_with_opts(bulk, &selector, NULL, error);
    bson_destroy(&selector);
    return ok;
}

static enum mongo_end reclaim_for(struct mongo_txn *txn, const struct mongo_op *op)
{
    mongoc_collection_t *handle =
        mongoc_client_get_collection(txn->client, txn->mongo->database, op->collection->name);
    bson_error_t error = { 0 };
    const int64_t now_ms = now_of(txn, op);
    mongoc_bulk_operation_t *bulk = new_bulk(txn, handle, &error);
    bool ok = bulk && add_reclaim(bulk, op, NULL, now_ms, &error);

    for (size_t i = 0; ok && i < op->collection->index_count; i++) {
        if (op->collection->index[i].is_unique) {
            ok = add_reclaim(bulk, op, &op->collection->index[i], now_ms, &error);
        }
    }
    enum mongo_end end = MONGO_DONE;
    if (ok) {
        end = send_bulk(txn, bulk, NULL, NULL);
    } else {
        end = refuse(txn, &error);
        if (bulk) {
            mongoc_bulk_operation_destroy(bulk);
        }
    }
    mongoc_collection_destroy(handle);
    return end;
}

static enum mongo_end reclaim_all(struct mongo_txn *txn, const struct batch *batch)
{
    enum mongo_end end = MONGO_DONE;
    for (size_t i = 0; end == MONGO_DONE && i < batch->count; i++) {
        const struct mongo_op *op = batch->op[i];
        const struct mongo_list *list = txn->job[op->job]->prepared;
        if (list->is_reclaiming && op->collection->ttl_path && op->write->doc) {
            end = reclaim_for(txn, op);
        }
    }
    return end;
}

/* ---- The transaction ---- */

static bool start(struct mongo_txn *txn, bson_error_t *error)
{
    const int64_t left_ms = mongo_left_ms(txn->mongo, txn->deadline_ns);
    mongoc_transaction_opt_t *opts = mongoc_transaction_opts_new();
    mongoc_read_concern_t *read_concern = mongoc_read_concern_new();

    (void)mongoc_read_concern_set_level(read_concern, MONGOC_READ_CONCERN_LEVEL_SNAPSHOT);
    mongoc_transaction_opts_set_read_concern(opts, read_concern);
    mongoc_transaction_opts_set_write_concern(opts, mongoc_uri_get_write_concern(txn->mongo->uri));
    mongoc_transaction_opts_set_max_commit_time_ms(
        opts, left_ms > MONGO_COMMIT_MIN_MS ? left_ms : MONGO_COMMIT_MIN_MS);
    const bool ok = mongoc_client_session_start_transaction(txn->session, opts, error);
    mongoc_read_concern_destroy(read_concern);
    mongoc_transaction_opts_destroy(opts);
    return ok;
}

static enum mongo_end unknown(struct mongo_txn *txn, const char *why)
{
    (void)pk_fail(&txn->error, PK_UNKNOWN,
                  "read what you wanted to write, or repeat the request under the same key",
                  "the store has not said whether it committed: %s", why);
    return MONGO_UNKNOWN;
}

static void note_dangling(struct mongo *mongo, const mongoc_client_session_t *session)
{
    struct mongo_dangling *dangling = &mongo->dangling;

    (void)pthread_mutex_lock(&dangling->lock);
    if (dangling->count < PK_COUNT(dangling->session)) {
        dangling->session[dangling->count++] = bson_copy(mongoc_client_session_get_lsid(session));
    }
    (void)pthread_mutex_unlock(&dangling->lock);
}

void mongo_txn_end_dangling(struct mongo *mongo, mongoc_client_t *client)
{
    struct mongo_dangling *dangling = &mongo->dangling;
    bson_t command = BSON_INITIALIZER;
    bson_t ids;
    char number[16];
    const char *key = NULL;

    (void)pthread_mutex_lock(&dangling->lock);
    const size_t count = dangling->count;
    BSON_APPEND_ARRAY_BEGIN(&command, "killSessions", &ids);
    for (uint32_t i = 0; i < count; i++) {
        (void)bson_uint32_to_string(i, &key, number, sizeof(number));
        BSON_APPEND_DOCUMENT(&ids, key, dangling->session[i]);
        bson_destroy(dangling->session[i]);
    }
    (void)bson_append_array_end(&command, &ids);
    dangling->count = 0;
    (void)pthread_mutex_unlock(&dangling->lock);
    if (count && client) {
        (void)mongoc_client_command_simple(client, "admin", &command, NULL, NULL, NULL);
    }
    bson_destroy(&command);
}

/* Commits, and commits again while nobody can say what became of it. */
static enum mongo_end commit(struct mongo_txn *txn)
{
    for (unsigned attempt = 1;; attempt++) {
        bson_t reply;
        bson_error_t error = { 0 };
        const bool ok = mongoc_client_session_commit_transaction(txn->session, &reply, &error);
        const bool is_short_of_nodes = bson_has_field(&reply, "writeConcernError");
        const bool is_over = mongo_has_label(&reply, "TransientTransactionError") &&
                             !mongo_has_label(&reply, "UnknownTransactionCommitResult");
        bson_destroy(&reply);
        if (ok && !is_short_of_nodes) {
            mongoc_client_session_get_operation_time(txn->session, &txn->seconds, &txn->increment);
            return MONGO_DONE;
        }
        if (is_over && !is_short_of_nodes) {
            (void)mongo_fail(&txn->error, &error, "commit");
            return mongo_is_away(&error) ? MONGO_AWAY : MONGO_ABORTED;
        }
        if (pk_deadline_passed(txn->mongo->clock, txn->deadline_ns)) {
            note_dangling(txn->mongo, txn->session);
            return unknown(txn, is_short_of_nodes ? "a majority has not confirmed" : error.message);
        }
        mongo_back_off(attempt);
    }
}

static bool is_all_out(const struct mongo_txn *txn)
{
    for (size_t j = 0; j < txn->count; j++) {
        if (!txn->is_out[j]) {
            return false;
        }
    }
    return true;
}

static enum mongo_end run_in_session(struct mongo_txn *txn, const struct batch *batch)
{
    bson_error_t error = { 0 };
    if (!start(txn, &error)) {
        return refuse(txn, &error);
    }
    enum mongo_end end = write_guards(txn, batch);
    if (end == MONGO_DONE) {
        end = look_all(txn, batch);
    }
    if (end == MONGO_DONE && !is_all_out(txn)) {
        end = reclaim_all(txn, batch);
        end = end == MONGO_DONE ? write_all(txn, batch) : end;
        if (end == MONGO_DONE) {
            return commit(txn);
        }
    }
    /* Its failure changes nothing: the server aborts what it hears no more of. */
    (void)mongoc_client_session_abort_transaction(txn->session, NULL);
    return end;
}

enum mongo_end mongo_txn_run(struct mongo_txn *txn)
{
    PK_CLEANUP(batch_done) struct batch batch = { 0 };
    mongoc_session_opt_t *opts = mongoc_session_opts_new();
    bson_error_t error = { 0 };

    txn->error = (struct pk_error){ 0 };
    txn->index[0] = '\0';
    txn->is_duplicate = false;
    gather(txn, &batch);
    mongoc_session_opts_set_causal_consistency(opts, false);
    txn->session = mongoc_client_start_session(txn->client, opts, &error);
    mongoc_session_opts_destroy(opts);
    if (!txn->session) {
        (void)mongo_fail(&txn->error, &error, "start a session");
        return mongo_is_away(&error) ? MONGO_AWAY : MONGO_FAILED;
    }
    const enum mongo_end end = run_in_session(txn, &batch);
    mongoc_client_session_destroy(txn->session);
    txn->session = NULL;
    return end;
}
