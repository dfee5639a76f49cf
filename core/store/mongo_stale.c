/* mongo_stale.c - Transactions that a dead node has left open are ended by the others.
 *
 * A node that is killed in the middle of a transaction ends nothing: its
 * server keeps the transaction open, and with it all that it wrote, until
 * transactionLifetimeLimitSeconds (a minute); whoever wants one of those
 * documents is aborted so long. So who has been aborted more than once asks
 * the server which transactions are open, and ends those that nobody has
 * worked on for MONGO_STALE_MS: between two commands of a transaction a node
 * does nothing that takes long, so its node is dead, or stands still.
 *
 * One that only stood still loses nothing: its next command, the commit too,
 * is told that the transaction was aborted, and its lists go again.
 *
 * Only sessions of our own user and of this program are looked at, for which
 * no right is needed beyond readWrite. Thread: any. */
/* SPDX-License-Identifier: MIT */
#include "base/clock.h"
#include "store/mongo_internal.h"

#include <string.h>

enum { ASK_MS = 1000 /* The server's answer is waited for, at most. */ };

/* '{ aggregate: 1, pipeline: [ $currentOp, $match ], cursor: {} }' */
static bson_t *describe_question(void)
{
    return BCON_NEW("aggregate", BCON_INT32(1), "pipeline", "[", "{", "$currentOp", "{", "allUsers",
                    BCON_BOOL(false), "idleSessions", BCON_BOOL(true), "}", "}", "{", "$match", "{",
                    "active", BCON_BOOL(false), "appName", BCON_UTF8(MONGO_APP),
                    "transaction.timeInactiveMicros", "{", "$gte",
                    BCON_INT64(MONGO_STALE_MS * 1000LL), "}", "}", "}", "]", "cursor", "{", "}",
                    "maxTimeMS", BCON_INT32(ASK_MS));
}

/* Appends '{ id: ... }' of one open transaction's session. */
static bool append_session(const bson_iter_t *operation, uint32_t number, bson_t *out)
{
    bson_iter_t fields;
    bson_iter_t id;
    bson_t session;
    char text[16];
    const char *key = NULL;

    if (!BSON_ITER_HOLDS_DOCUMENT(operation) || !bson_iter_recurse(operation, &fields) ||
        !bson_iter_find_descendant(&fields, "lsid.id", &id)) {
        return false;
    }
    (void)bson_uint32_to_string(number, &key, text, sizeof(text));
    BSON_APPEND_DOCUMENT_BEGIN(out, key, &session);
    (void)bson_append_iter(&session, "id", 2, &id);
    (void)bson_append_document_end(out, &session);
    return true;
}

/* True when there is one to end. */
static bool describe_end(const bson_t *reply, bson_t *command)
{
    bson_iter_t iter;
    bson_iter_t batch;
    bson_t sessions;
    uint32_t count = 0;

    BSON_APPEND_ARRAY_BEGIN(command, "killSessions", &sessions);
    if (bson_iter_init(&iter, reply) &&
        bson_iter_find_descendant(&iter, "cursor.firstBatch", &batch) &&
        BSON_ITER_HOLDS_ARRAY(&batch) && bson_iter_recurse(&batch, &iter)) {
        while (bson_iter_next(&iter)) {
            count += append_session(&iter, count, &sessions);
        }
    }
    (void)bson_append_array_end(command, &sessions);
    return count > 0;
}

/* One of those who were aborted asks, now and then. */
static bool take_turn(struct mongo *mongo)
{
    const int64_t now_ns = pk_clock_mono_ns(mongo->clock);
    int_least64_t next_ns = atomic_load(&mongo->stale_next_ns);
    return now_ns >= next_ns &&
           atomic_compare_exchange_strong(&mongo->stale_next_ns, &next_ns,
                                          now_ns + MONGO_STALE_EVERY_MS * 1000000LL);
}

void mongo_stale_end(struct mongo *mongo, mongoc_client_t *client)
{
    if (!take_turn(mongo)) {
        return;
    }
    bson_t command = BSON_INITIALIZER;
    bson_t reply;
    bson_t *question = describe_question();

    /* What fails here is tried by the next who is aborted. */
    if (mongoc_client_command_simple(client, "admin", question, NULL, &reply, NULL) &&
        describe_end(&reply, &command)) {
        (void)mongoc_client_command_simple(client, "admin", &command, NULL, NULL, NULL);
    }
    bson_destroy(&reply);
    bson_destroy(question);
    bson_destroy(&command);
}
