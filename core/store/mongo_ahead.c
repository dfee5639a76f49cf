/* mongo_ahead.c - What a transaction does ahead of its writes: guards, looks, making room.
 *
 *     guards   inserts and 'expect absent' of guarded collections write a row
 *              under the same key, so that two such lists collide
 *     looks    ids that must be absent are read; when looking, the versions
 *              of all others, too. A list that does not match is out: it has
 *              its conflict, and the rest goes on
 *     room     a list that met a duplicate in a collection that expires goes
 *              again with expired documents that hold its keys deleted
 *
 * A guard row only has to collide with a transaction that is open at the same
 * time: one that began after the other's commit sees the document itself, or
 * its absence. So the server may take old rows away (TTL) at any moment. To
 * delete one is a write of it, like any other: of two open transactions that
 * want the same key, one finds it changed or inserted since its snapshot and
 * is aborted, whether the row was there before, is there now, or never was.
 *
 * Thread: the leader of the group. */
/* SPDX-License-Identifier: MIT */
#include "base/alloc.h"
#include "doc/doc.h"
#include "doc/path.h"
#include "store/mongo_internal.h"

#include <stdlib.h>
#include <string.h>

/* ---- Guards ---- */

static bool needs_guard(const struct mongo_op *op)
{
    return op->collection->is_guarded &&
           (op->write->kind == PK_WRITE_INSERT || mongo_op_expects_absence(op));
}

static bool add_guard(struct mongo_txn *txn, mongoc_bulk_operation_t *bulk,
                      const struct mongo_op *op, const bson_t *upsert, bson_error_t *error)
{
    bson_t selector = BSON_INITIALIZER;
    bson_t update = BSON_INITIALIZER;
    bson_t set;
    PK_CLEANUP(pk_freep) char *key = pk_strdupf("%s/%s", op->collection->name, op->write->id);

    BSON_APPEND_UTF8(&selector, "_id", key);
    /* Its age is that of the row, not of its last use: the TTL index is left as it is. */
    BSON_APPEND_DOCUMENT_BEGIN(&update, "$setOnInsert", &set);
    BSON_APPEND_DATE_TIME(&set, "at", mongo_op_now_ms(txn, op));
    (void)bson_append_document_end(&update, &set);
    BSON_APPEND_DOCUMENT_BEGIN(&update, "$inc", &set); /* What changes nothing does not collide. */
    BSON_APPEND_INT64(&set, "n", 1);
    (void)bson_append_document_end(&update, &set);
    const bool ok =
        mongoc_bulk_operation_update_one_with_opts(bulk, &selector, &update, upsert, error);
    bson_destroy(&selector);
    bson_destroy(&update);
    return ok;
}

enum mongo_end mongo_ahead_guard(struct mongo_txn *txn, const struct mongo_batch *batch)
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
            bulk = mongo_txn_bulk(txn, handle, &error);
        }
        ok = bulk && add_guard(txn, bulk, batch->op[i], &upsert, &error);
    }
    if (!ok) {
        end = mongo_txn_refuse(txn, &error);
        if (bulk) {
            mongoc_bulk_operation_destroy(bulk);
        }
    } else if (bulk) {
        end = mongo_txn_send(txn, bulk, NULL, NULL);
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
    return mongo_op_expects_absence(op) ||
           (txn->is_looking &&
            (op->write->kind == PK_WRITE_REPLACE || op->write->kind == PK_WRITE_DELETE ||
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
        end = mongo_txn_refuse(txn, &error);
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
        end = mongo_txn_judge(txn, reply ? reply : &empty, &error, NULL, 0);
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
            now_ms = mongo_op_now_ms(txn, op[i]);
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

enum mongo_end mongo_ahead_look(struct mongo_txn *txn, const struct mongo_batch *batch)
{
    enum mongo_end end = MONGO_DONE;
    for (size_t from = 0, to; end == MONGO_DONE && from < batch->count; from = to) {
        to = mongo_batch_run_end(batch, from, false);
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
    const int64_t now_ms = mongo_op_now_ms(txn, op);
    mongoc_bulk_operation_t *bulk = mongo_txn_bulk(txn, handle, &error);
    bool ok = bulk && add_reclaim(bulk, op, NULL, now_ms, &error);

    for (size_t i = 0; ok && i < op->collection->index_count; i++) {
        if (op->collection->index[i].is_unique) {
            ok = add_reclaim(bulk, op, &op->collection->index[i], now_ms, &error);
        }
    }
    enum mongo_end end = MONGO_DONE;
    if (ok) {
        end = mongo_txn_send(txn, bulk, NULL, NULL);
    } else {
        end = mongo_txn_refuse(txn, &error);
        if (bulk) {
            mongoc_bulk_operation_destroy(bulk);
        }
    }
    mongoc_collection_destroy(handle);
    return end;
}

enum mongo_end mongo_ahead_reclaim(struct mongo_txn *txn, const struct mongo_batch *batch)
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
