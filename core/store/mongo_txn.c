/* mongo_txn.c - One transaction of some lists: bulks with versions in the filters, then a commit.
 *
 * In this order, all in one session transaction (one snapshot):
 *
 *     ahead    guards, looks, and making room (mongo_ahead.c)
 *     writes   one ordered bulk per collection; counts in one of their own,
 *              because nobody minds when their document is gone
 *     commit   sent once, and then only ever committed again on the same
 *              session until it is answered or the deadline ends
 *
 * A write finds its document by '_id' and '_rev', so that one that has moved
 * on makes the bulk's count short. A unique index that objects names the write.
 *
 * After the commit was sent, the transaction is over for good only when the
 * server says so with the label TransientTransactionError. That holds for a
 * commit that was sent again, too, after a fail-over to another member: with
 * w:majority that member answers "no such transaction" (251) only after a
 * majority has confirmed that it is the primary, and attaches the label only
 * then; and what a majority had of the first commit, it has as well. A 251
 * without the label says nothing. Everything else is unknown.
 *
 * A transaction that the server was not seen to end may be open there for a
 * minute, and whoever wants what it wrote is aborted. So the next transaction
 * begins with killing the sessions of such ones. The driver may have given such
 * a session to somebody else by then: he is interrupted (11601), and tries again.
 *
 * Thread: the leader of the group. */
/* SPDX-License-Identifier: MIT */
#include "base/alloc.h"
#include "base/clock.h"
#include "doc/doc.h"
#include "store/mongo_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- The writes in the order they go ---- */

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

static void gather(const struct mongo_txn *txn, struct mongo_batch *out)
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

static void batch_done(struct mongo_batch *batch)
{
    pk_free(batch->op);
}

int64_t mongo_op_now_ms(const struct mongo_txn *txn, const struct mongo_op *op)
{
    return ((const struct mongo_list *)txn->job[op->job]->prepared)->now_ms;
}

bool mongo_op_expects_absence(const struct mongo_op *op)
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
    (void)mongo_fail(&txn->error, &error, "write to the store");
    if (error.code == MONGO_CODE_WRITE_CONFLICT ||
        (!op && error.code == MONGO_CODE_DUPLICATE)) { /* Another one's guard, a moment ago. */
        return MONGO_ABORTED;
    }
    if (!op || index < 0 || (size_t)index >= count) {
        return MONGO_FAILED;
    }
    txn->named_job = op[index]->job;
    txn->named_write = op[index]->index;
    txn->is_duplicate = error.code == MONGO_CODE_DUPLICATE;
    return MONGO_NAMED;
}

enum mongo_end mongo_txn_judge(struct mongo_txn *txn, const bson_t *reply,
                               const bson_error_t *error, struct mongo_op *const *op, size_t count)
{
    bson_iter_t write_error;

    if (find_write_error(reply, &write_error)) {
        return name_write(txn, write_error, op, count);
    }
    (void)mongo_fail(&txn->error, error, "write to the store");
    if (error->code == MONGO_CODE_INTERRUPTED) { /* Killed for an earlier one of its session. */
        return MONGO_ABORTED;
    }
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

mongoc_bulk_operation_t *mongo_txn_bulk(struct mongo_txn *txn, mongoc_collection_t *collection,
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
    mongo_append_live(op->collection, mongo_op_now_ms(txn, op), out);
}

static bool add_op(struct mongo_txn *txn, mongoc_bulk_operation_t *bulk, struct mongo_op *op,
                   const bson_t *unchecked, struct mongo_counts *counts, bson_error_t *error)
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

enum mongo_end mongo_txn_send(struct mongo_txn *txn, mongoc_bulk_operation_t *bulk,
                              struct mongo_op *const *op, const struct mongo_counts *counts)
{
    enum mongo_end end = MONGO_DONE;
    bson_t reply;
    bson_error_t error;

    if (!mongoc_bulk_operation_execute(bulk, &reply, &error)) {
        end = mongo_txn_judge(txn, &reply, &error, op, op ? counts->writes : 0);
    } else if (counts && (count_of(&reply, "nInserted") != counts->inserted ||
                          count_of(&reply, "nMatched") != counts->matched ||
                          count_of(&reply, "nRemoved") != counts->removed)) {
        end = MONGO_SHORT;
    }
    bson_destroy(&reply);
    mongoc_bulk_operation_destroy(bulk);
    return end;
}

enum mongo_end mongo_txn_refuse(struct mongo_txn *txn, const bson_error_t *error)
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
    struct mongo_counts counts = { 0 };
    enum mongo_end end = MONGO_DONE;
    PK_CLEANUP(pk_freep) struct mongo_op **sent = pk_calloc(count, sizeof(struct mongo_op *));

    BSON_APPEND_BOOL(&unchecked, "validate", false);
    mongoc_bulk_operation_t *bulk = mongo_txn_bulk(txn, handle, &error);
    bool ok = bulk != NULL;
    for (size_t i = 0; ok && i < count; i++) {
        if (!txn->is_out[op[i]->job] && !mongo_op_expects_absence(op[i])) {
            sent[counts.writes] = op[i];
            ok = add_op(txn, bulk, op[i], &unchecked, &counts, &error);
        }
    }
    if (!ok) {
        end = mongo_txn_refuse(txn, &error);
    } else if (counts.writes && is_counting) {
        end = mongo_txn_send(txn, bulk, sent, &counts);
        end = end == MONGO_SHORT ? MONGO_DONE : end;
        bulk = NULL;
    } else if (counts.writes) {
        end = mongo_txn_send(txn, bulk, sent, &counts);
        bulk = NULL;
    }
    if (bulk) {
        mongoc_bulk_operation_destroy(bulk);
    }
    mongoc_collection_destroy(handle);
    bson_destroy(&unchecked);
    return end;
}

size_t mongo_batch_run_end(const struct mongo_batch *batch, size_t from, bool is_split)
{
    size_t to = from + 1;
    while (to < batch->count && batch->op[to]->collection == batch->op[from]->collection &&
           (!is_split || (batch->op[to]->write->kind == PK_WRITE_COUNT) ==
                             (batch->op[from]->write->kind == PK_WRITE_COUNT))) {
        to++;
    }
    return to;
}

static enum mongo_end write_all(struct mongo_txn *txn, const struct mongo_batch *batch)
{
    enum mongo_end end = MONGO_DONE;
    for (size_t from = 0, to; end == MONGO_DONE && from < batch->count; from = to) {
        to = mongo_batch_run_end(batch, from, true);
        end = write_run(txn, batch->op + from, to - from);
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

/* The transaction may still be open at the server, and hold what it wrote. */
static void note_dangling(struct mongo *mongo, const bson_t *session)
{
    struct mongo_dangling *dangling = &mongo->dangling;

    (void)pthread_mutex_lock(&dangling->lock);
    if (dangling->count < PK_COUNT(dangling->session)) {
        dangling->session[dangling->count++] = bson_copy(session);
    }
    (void)pthread_mutex_unlock(&dangling->lock);
}

static size_t take_dangling(struct mongo *mongo, bson_t *out[MONGO_DANGLING_MAX])
{
    struct mongo_dangling *dangling = &mongo->dangling;

    (void)pthread_mutex_lock(&dangling->lock);
    const size_t count = dangling->count;
    memcpy(out, dangling->session, count * sizeof(bson_t *));
    dangling->count = 0;
    (void)pthread_mutex_unlock(&dangling->lock);
    return count;
}

void mongo_txn_end_dangling(struct mongo *mongo, mongoc_client_t *client)
{
    bson_t *session[MONGO_DANGLING_MAX];
    const size_t count = take_dangling(mongo, session);
    bson_t command = BSON_INITIALIZER;
    bson_t ids;
    bson_error_t error;
    char number[16];
    const char *key = NULL;

    BSON_APPEND_ARRAY_BEGIN(&command, "killSessions", &ids);
    for (uint32_t i = 0; i < count; i++) {
        (void)bson_uint32_to_string(i, &key, number, sizeof(number));
        BSON_APPEND_DOCUMENT(&ids, key, session[i]);
    }
    (void)bson_append_array_end(&command, &ids);
    const bool is_later =
        count && client &&
        !mongoc_client_command_simple(client, "admin", &command, NULL, NULL, &error) &&
        mongo_is_away(&error);
    for (size_t i = 0; i < count; i++) {
        if (is_later) {
            note_dangling(mongo, session[i]);
        }
        bson_destroy(session[i]);
    }
    bson_destroy(&command);
}

/* Commits, and commits again while nobody can say what became of it. */
static enum mongo_end commit(struct mongo_txn *txn)
{
    const int64_t least_ns = pk_deadline_in_ms(txn->mongo->clock, MONGO_COMMIT_MIN_MS);
    const int64_t until_ns = txn->deadline_ns > least_ns ? txn->deadline_ns : least_ns;

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
        if (pk_deadline_passed(txn->mongo->clock, until_ns)) {
            note_dangling(txn->mongo, mongoc_client_session_get_lsid(txn->session));
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

static enum mongo_end run_in_session(struct mongo_txn *txn, const struct mongo_batch *batch)
{
    bson_error_t error = { 0 };
    if (!start(txn, &error)) {
        return mongo_txn_refuse(txn, &error);
    }
    enum mongo_end end = mongo_ahead_guard(txn, batch);
    if (end == MONGO_DONE) {
        end = mongo_ahead_look(txn, batch);
    }
    if (end == MONGO_DONE && !is_all_out(txn)) {
        end = mongo_ahead_reclaim(txn, batch);
        end = end == MONGO_DONE ? write_all(txn, batch) : end;
        if (end == MONGO_DONE) {
            return commit(txn);
        }
    }
    /* The driver does not say whether the server heard of it. */
    (void)mongoc_client_session_abort_transaction(txn->session, NULL);
    if (end == MONGO_AWAY) {
        note_dangling(txn->mongo, mongoc_client_session_get_lsid(txn->session));
    }
    return end;
}

enum mongo_end mongo_txn_run(struct mongo_txn *txn)
{
    PK_CLEANUP(batch_done) struct mongo_batch batch = { 0 };
    mongoc_session_opt_t *opts = mongoc_session_opts_new();
    bson_error_t error = { 0 };

    txn->error = (struct pk_error){ 0 };
    txn->index[0] = '\0';
    txn->is_duplicate = false;
    mongo_txn_end_dangling(txn->mongo, txn->client);
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
