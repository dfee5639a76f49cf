/* mongo_feed.c - The feed: a change stream on the feed's collection, inserts only.
 *
 * A position is the store's epoch and a resume token, as text:
 *
 *     <epoch>.8265A1...       behind that row, or behind everything up to a time
 *     <epoch>.t<seconds>.<n>  a commit's operationTime (a cursor, not a position)
 *
 * Tokens are equal on all streams, sort as text in stream order, and begin
 * with the clusterTime of their row, which is the operationTime of the commit
 * that wrote it: all rows of a commit have the same one. After an answer the
 * server also says how far it has looked ("postBatchResumeToken"), with or
 * without rows.
 *
 * 'passed' is the time up to and including which every row was returned:
 *   - a row of time T was returned: everything before T;
 *   - an empty answer behind a row of time T: T too, since the rows of a
 *     commit come out of one entry of the oplog and an empty answer means its
 *     end was reached;
 *   - the server has looked up to T: everything before T.
 *
 * The stream is run by aggregate and getMore in a session, not by the driver's
 * change stream: so one getMore waits as long as the caller said, and every
 * break is ours to judge. Whatever may go away by itself is told to the caller
 * (the next call resumes behind the last row returned); a lost history, a
 * token that the server does not know or another epoch become one GAP item
 * and a start at the present. Nothing is tried twice within one call.
 *
 * A client of its own, with a short socket time-out, so that silence is
 * noticed. Thread: one at a time. */
/* SPDX-License-Identifier: MIT */
#include "base/alloc.h"
#include "base/clock.h"
#include "base/id.h"
#include "doc/doc.h"
#include "store/mongo_internal.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    TOKEN_TEXT = 216,        /* Of a resume token, with its NUL. */
    BARRIER_LIVES_MS = 60000 /* A barrier row that is not wanted any more expires. */
};

/* A cluster time: seconds in the upper half, a counter in the lower. Compares as a number. */
typedef uint64_t cluster_time;

struct mongo_feed {
    mongoc_client_t *client;
    mongoc_client_session_t *session; /* NULL: no stream is open. */
    uint32_t server_id;               /* Where its cursor lives. */
    int64_t cursor_id;
    const char *collection;
    char token[TOKEN_TEXT]; /* Behind the last row returned, or looked-up. */
    bson_t *reply;          /* The batch being handed out; NULL: none. */
    bson_iter_t *batch;     /* In 'reply'. Of its own, because it must lie at 128 bytes. */
    bool is_gap_due;        /* The next item is a GAP. */
    bool is_client_worn;    /* It has met a failure: see renew_client. */
    cluster_time last_row;  /* Of the last row returned by this stream; 0: none. */
    cluster_time passed;    /* Every row up to here was returned. */
};

/* ---- Tokens ---- */

/* The resume token's first value: a timestamp (type 82), eight bytes. */
static bool read_time(const char *token, cluster_time *out)
{
    char digits[17];
    if (strlen(token) < 18 || strncmp(token, "82", 2) != 0) {
        return false;
    }
    (void)snprintf(digits, sizeof(digits), "%.16s", token + 2);
    if (strspn(digits, "0123456789ABCDEFabcdef") != 16) {
        return false;
    }
    *out = strtoull(digits, NULL, 16);
    return true;
}

static cluster_time later(cluster_time a, cluster_time b)
{
    return a > b ? a : b;
}

static bool read_token(const bson_t *doc, const char *path, char out[TOKEN_TEXT])
{
    bson_iter_t iter;
    bson_iter_t found;
    if (!bson_iter_init(&iter, doc) || !bson_iter_find_descendant(&iter, path, &found) ||
        !BSON_ITER_HOLDS_UTF8(&found)) {
        return false;
    }
    const char *text = bson_iter_utf8(&found, NULL);
    if (strlen(text) >= TOKEN_TEXT) {
        return false;
    }
    (void)snprintf(out, TOKEN_TEXT, "%s", text);
    return true;
}

static bool is_token(const char *text)
{
    return *text && strlen(text) < TOKEN_TEXT && strspn(text, "0123456789ABCDEF") == strlen(text);
}

/* What stands behind '<epoch>.'; NULL when it is another epoch's. */
static const char *behind_epoch(const struct pk_store *store, const char *position)
{
    const size_t length = strlen(store->epoch);
    return strncmp(position, store->epoch, length) == 0 && position[length] == '.'
               ? position + length + 1
               : NULL;
}

/* ---- The stream ---- */

static void end_batch(struct mongo_feed *feed)
{
    bson_destroy(feed->reply);
    feed->reply = NULL;
}

static void append_server(const struct mongo_feed *feed, bson_t *opts)
{
    BSON_APPEND_INT32(opts, "serverId", (int32_t)feed->server_id);
    (void)mongoc_client_session_append(feed->session, opts, NULL);
}

/* The server's cursor is told to go when the server is still there to be told. */
static void end_stream(struct mongo_feed *feed, const char *database, bool is_polite)
{
    end_batch(feed);
    if (!feed->session) {
        return;
    }
    if (is_polite && feed->cursor_id) {
        bson_t command = BSON_INITIALIZER;
        bson_t opts = BSON_INITIALIZER;
        bson_t cursors;
        BSON_APPEND_UTF8(&command, "killCursors", feed->collection);
        BSON_APPEND_ARRAY_BEGIN(&command, "cursors", &cursors);
        BSON_APPEND_INT64(&cursors, "0", feed->cursor_id);
        (void)bson_append_array_end(&command, &cursors);
        append_server(feed, &opts);
        (void)mongoc_client_command_with_opts(feed->client, database, &command, NULL, &opts, NULL,
                                              NULL);
        bson_destroy(&command);
        bson_destroy(&opts);
    }
    mongoc_client_session_destroy(feed->session);
    feed->session = NULL;
    feed->cursor_id = 0;
}

/* Takes over a reply's batch and notes how far the server has looked once it is handed out. */
static bool take_batch(struct mongo_feed *feed, bson_t *reply, const char *name)
{
    bson_iter_t iter;
    bson_iter_t found;

    end_batch(feed);
    feed->reply = bson_copy(reply); /* Which lies where a bson_t must. */
    bson_destroy(reply);
    if (bson_iter_init(&iter, feed->reply) &&
        bson_iter_find_descendant(&iter, "cursor.id", &found)) {
        feed->cursor_id = bson_iter_as_int64(&found);
    }
    return bson_iter_init(&iter, feed->reply) && bson_iter_find_descendant(&iter, name, &found) &&
           BSON_ITER_HOLDS_ARRAY(&found) && bson_iter_recurse(&found, feed->batch);
}

/* [{$changeStream: {resumeAfter: {_data: token}}}, {$match: {operationType: "insert"}}] */
static void describe_stream(const struct mongo_feed *feed, bson_t *command)
{
    bson_t pipeline;
    bson_t stage;
    bson_t stream;
    bson_t inner;

    BSON_APPEND_UTF8(command, "aggregate", feed->collection);
    BSON_APPEND_ARRAY_BEGIN(command, "pipeline", &pipeline);
    BSON_APPEND_DOCUMENT_BEGIN(&pipeline, "0", &stage);
    BSON_APPEND_DOCUMENT_BEGIN(&stage, "$changeStream", &stream);
    if (feed->token[0]) {
        BSON_APPEND_DOCUMENT_BEGIN(&stream, "resumeAfter", &inner);
        BSON_APPEND_UTF8(&inner, "_data", feed->token);
        (void)bson_append_document_end(&stream, &inner);
    }
    (void)bson_append_document_end(&stage, &stream);
    (void)bson_append_document_end(&pipeline, &stage);
    BSON_APPEND_DOCUMENT_BEGIN(&pipeline, "1", &stage);
    BSON_APPEND_DOCUMENT_BEGIN(&stage, "$match", &inner);
    BSON_APPEND_UTF8(&inner, "operationType", "insert");
    (void)bson_append_document_end(&stage, &inner);
    (void)bson_append_document_end(&pipeline, &stage);
    (void)bson_append_array_end(command, &pipeline);
    BSON_APPEND_DOCUMENT_BEGIN(command, "cursor", &inner);
    (void)bson_append_document_end(command, &inner);
}

static mongoc_server_description_t *find_primary(mongoc_client_t *client, bson_error_t *error)
{
    mongoc_read_prefs_t *primary = mongoc_read_prefs_new(MONGOC_READ_PRIMARY);
    mongoc_server_description_t *server =
        mongoc_client_select_server(client, false, primary, error);
    mongoc_read_prefs_destroy(primary);
    return server;
}

/* Opens the stream behind feed->token, or at the present when that is empty. */
static bool start_stream(struct mongo_feed *feed, const char *database, bson_error_t *error)
{
    mongoc_server_description_t *server = find_primary(feed->client, error);
    if (!server) {
        return false;
    }
    feed->server_id = mongoc_server_description_id(server);
    mongoc_server_description_destroy(server);
    mongoc_session_opt_t *session_opts = mongoc_session_opts_new();
    mongoc_session_opts_set_causal_consistency(session_opts, false);
    feed->session = mongoc_client_start_session(feed->client, session_opts, error);
    mongoc_session_opts_destroy(session_opts);
    if (!feed->session) {
        return false;
    }
    bson_t command = BSON_INITIALIZER;
    bson_t opts = BSON_INITIALIZER;
    bson_t reply;
    describe_stream(feed, &command);
    append_server(feed, &opts);
    bool ok = mongoc_client_read_command_with_opts(feed->client, database, &command, NULL, &opts,
                                                   &reply, error);
    if (ok && !take_batch(feed, &reply, "cursor.firstBatch")) {
        bson_set_error(error, MONGOC_ERROR_CURSOR, MONGOC_ERROR_CURSOR_INVALID_CURSOR,
                       "the server opened no change stream");
        ok = false;
    } else if (!ok) {
        bson_destroy(&reply);
    }
    bson_destroy(&command);
    bson_destroy(&opts);
    if (!ok) {
        end_stream(feed, database, false);
        return false;
    }
    feed->last_row = 0;
    if (!feed->token[0]) { /* At the present: what was before is not this feed's. */
        cluster_time now = 0;
        ok = read_token(feed->reply, "cursor.postBatchResumeToken._data", feed->token) &&
             read_time(feed->token, &now);
        feed->passed = ok && now ? now - 1 : 0;
    }
    return ok;
}

static bool get_more(struct mongo_feed *feed, const char *database, int64_t wait_ms,
                     bson_error_t *error)
{
    bson_t command = BSON_INITIALIZER;
    bson_t opts = BSON_INITIALIZER;
    bson_t reply;

    BSON_APPEND_INT64(&command, "getMore", feed->cursor_id);
    BSON_APPEND_UTF8(&command, "collection", feed->collection);
    BSON_APPEND_INT64(&command, "maxTimeMS", wait_ms > 0 ? wait_ms : 1);
    append_server(feed, &opts);
    bool ok = mongoc_client_command_with_opts(feed->client, database, &command, NULL, &opts, &reply,
                                              error);
    if (!ok) {
        bson_destroy(&reply);
    } else if (!take_batch(feed, &reply, "cursor.nextBatch")) {
        bson_set_error(error, MONGOC_ERROR_CURSOR, MONGOC_ERROR_CURSOR_INVALID_CURSOR,
                       "the change stream gave no batch");
        ok = false;
    }
    bson_destroy(&command);
    bson_destroy(&opts);
    return ok;
}

/* The batch is handed out: the server has looked at least so far. */
static void note_looked(struct mongo_feed *feed, bool is_empty)
{
    char token[TOKEN_TEXT];
    cluster_time looked = 0;

    if (is_empty) {
        feed->passed = later(feed->passed, feed->last_row);
    }
    if (read_token(feed->reply, "cursor.postBatchResumeToken._data", token) &&
        read_time(token, &looked) && strcmp(token, feed->token) > 0) {
        (void)snprintf(feed->token, sizeof(feed->token), "%s", token);
        feed->passed = later(feed->passed, looked ? looked - 1 : 0);
    }
}

/* ---- Breaks ---- */

/* The server will never resume there. Codes of tokens that do not parse differ between versions,
 * so an error about the token itself, on opening, is one whatever its code. */
static bool is_lost(const bson_error_t *error)
{
    return error->code == MONGO_CODE_HISTORY_LOST || error->code == MONGO_CODE_STREAM_FATAL ||
           error->code == MONGO_CODE_INVALID_TOKEN || error->code == 50811 ||
           error->code == 40649 || error->code == 40647 || error->code == 50788 ||
           error->code == 50795 || error->code == 50796 || error->code == 9 ||
           strstr(error->message, "resume token") || strstr(error->message, "KeyString");
}

/* After a failure: false with 'err' set when the next call may resume, true when a GAP is due. */
static bool judge_break(struct mongo_feed *feed, const char *database, const bson_error_t *error,
                        struct pk_error *err)
{
    end_stream(feed, database, false);
    if (is_lost(error)) {
        feed->token[0] = '\0';
        feed->is_gap_due = true;
        return true;
    }
    feed->is_client_worn = true;
    (void)mongo_fail(err, error, "follow the feed");
    if (err && !mongo_is_away(error)) {
        err->code = PK_UNAVAILABLE; /* A cursor that went, a server that stepped down: again. */
    }
    return false;
}

/* ---- Items ---- */

static void tell_position(const struct pk_feed *feed, struct pk_feed_item *out)
{
    const struct mongo_feed *own = feed->impl;
    (void)snprintf(out->position, sizeof(out->position), "%s.%s", feed->store->epoch, own->token);
}

enum row { ROW_NONE, ROW_EVENT, ROW_SKIPPED, ROW_BARRIER };

/* The next row of the batch at hand. */
static enum row next_row(struct mongo_feed *feed, struct pk_feed_item *out)
{
    bson_t change;
    bson_t row;
    bson_iter_t iter;
    const uint8_t *data = NULL;
    uint32_t size = 0;
    cluster_time when = 0;

    if (!feed->reply || !bson_iter_next(feed->batch)) {
        return ROW_NONE;
    }
    if (!BSON_ITER_HOLDS_DOCUMENT(feed->batch)) {
        return ROW_SKIPPED;
    }
    bson_iter_document(feed->batch, &size, &data);
    if (!bson_init_static(&change, data, size) || !read_token(&change, "_id._data", feed->token)) {
        return ROW_SKIPPED;
    }
    if (read_time(feed->token, &when)) {
        feed->last_row = when;
        feed->passed = later(feed->passed, when ? when - 1 : 0);
    }
    if (!bson_iter_init_find(&iter, &change, "fullDocument") || !BSON_ITER_HOLDS_DOCUMENT(&iter)) {
        return ROW_SKIPPED;
    }
    bson_iter_document(&iter, &size, &data);
    if (!bson_init_static(&row, data, size)) {
        return ROW_SKIPPED;
    }
    if (mongo_is_barrier(&row)) {
        return ROW_BARRIER;
    }
    out->doc = mongo_doc(&row);
    return out->doc ? ROW_EVENT : ROW_SKIPPED;
}

static mongoc_client_t *new_client(const struct mongo *mongo, bson_error_t *error)
{
    mongoc_uri_t *uri = mongoc_uri_copy(mongo->uri);
    (void)mongoc_uri_set_option_as_int32(uri, MONGOC_URI_SOCKETTIMEOUTMS, MONGO_FEED_SOCKET_MS);
    mongoc_client_t *client = mongoc_client_new_from_uri_with_error(uri, error);
    mongoc_uri_destroy(uri);
    if (client) {
        (void)mongoc_client_set_error_api(client, MONGOC_ERROR_API_VERSION_2);
    }
    return client;
}

/* A client outside a pool does not look at a server for 5 s after it failed to answer; a new one
 * looks at once. No stream is open. */
static void renew_client(struct pk_feed *feed)
{
    struct mongo_feed *own = feed->impl;
    mongoc_client_t *client = own->is_client_worn ? new_client(mongo_of(feed->store), NULL) : NULL;
    if (client) {
        mongoc_client_destroy(own->client);
        own->client = client;
        own->is_client_worn = false;
    }
}

/* Opens what is not open. False with 'err', or true; then a GAP may be due. */
static bool be_open(struct pk_feed *feed, struct pk_error *err)
{
    struct mongo_feed *own = feed->impl;
    const char *database = mongo_of(feed->store)->database;
    bson_error_t error = { 0 };

    if (!own->session) {
        renew_client(feed);
    }
    if (own->session || start_stream(own, database, &error)) {
        return true;
    }
    if (!judge_break(own, database, &error, err)) {
        return false;
    }
    if (start_stream(own, database, &error)) { /* Lost, so at the present. */
        return true;
    }
    end_stream(own, database, false);
    (void)mongo_fail(err, &error, "follow the feed");
    return false;
}

static bool tell(struct pk_feed *feed, enum pk_feed_kind kind, struct pk_feed_item *out)
{
    out->kind = kind;
    tell_position(feed, out);
    return true;
}

bool mongo_feed_next(struct pk_feed *feed, int64_t timeout_ms, struct pk_feed_item *out,
                     struct pk_error *err)
{
    struct mongo_feed *own = feed->impl;
    const char *database = mongo_of(feed->store)->database;
    int64_t left_ms = timeout_ms;
    bson_error_t error = { 0 };

    if (!be_open(feed, err)) {
        return false;
    }
    for (bool is_first = true;; is_first = false) {
        if (own->is_gap_due) {
            own->is_gap_due = false;
            return tell(feed, PK_FEED_GAP, out);
        }
        bool is_empty = true;
        for (enum row row; (row = next_row(own, out)) != ROW_NONE;) {
            is_empty = false;
            if (row == ROW_EVENT || row == ROW_BARRIER) {
                return tell(feed, row == ROW_EVENT ? PK_FEED_EVENT : PK_FEED_QUIET, out);
            }
        }
        if (own->reply) {
            note_looked(own, is_empty && !is_first);
        }
        if (!is_first && left_ms <= 0) {
            return tell(feed, PK_FEED_QUIET, out);
        }
        const int64_t wait_ms = left_ms < MONGO_FEED_WAIT_MS ? left_ms : MONGO_FEED_WAIT_MS;
        const bool ok = own->cursor_id && get_more(own, database, wait_ms, &error);
        if (!ok && !own->cursor_id) { /* The collection was dropped or renamed. */
            bson_set_error(&error, MONGOC_ERROR_SERVER, MONGO_CODE_STREAM_FATAL,
                           "the change stream has ended");
        }
        if (!ok && (!judge_break(own, database, &error, err) || !be_open(feed, err))) {
            return false;
        }
        left_ms -= wait_ms > 0 ? wait_ms : 1;
    }
}

/* ---- Opening ---- */

/* Whole steps of its alignment, which its size is not. */
static bson_iter_t *new_iter(void)
{
    const size_t step = _Alignof(bson_iter_t);
    return bson_aligned_alloc0(step, (sizeof(bson_iter_t) + step - 1) / step * step);
}

bool mongo_feed_open(struct pk_feed *feed, const char *position, struct pk_error *err)
{
    const struct mongo *mongo = mongo_of(feed->store);
    struct mongo_feed *own = pk_calloc(1, sizeof(*own));
    own->batch = new_iter();
    bson_error_t error = { 0 };

    for (size_t i = 0; i < mongo->inventory->count; i++) {
        if (mongo->inventory->collection[i].is_feed) {
            own->collection = mongo->inventory->collection[i].name;
        }
    }
    own->client = new_client(mongo, &error);
    feed->impl = own;
    if (!own->client || !own->collection) {
        mongo_feed_close(feed);
        return own->collection ? mongo_fail(err, &error, "follow the feed")
                               : pk_fail(err, PK_UNSUPPORTED, "declare one with is_feed",
                                         "the inventory has no collection for the feed");
    }
    const char *token = *position ? behind_epoch(feed->store, position) : NULL;
    if (token && is_token(token) && read_time(token, &own->passed)) {
        own->passed = own->passed ? own->passed - 1 : 0;
        (void)snprintf(own->token, sizeof(own->token), "%s", token);
        return true; /* Opened by the first call of next: a server that is away is told there. */
    }
    own->is_gap_due = *position != '\0';
    if (!be_open(feed, err)) { /* "Now" is now. */
        mongo_feed_close(feed);
        return false;
    }
    return true;
}

void mongo_feed_close(struct pk_feed *feed)
{
    struct mongo_feed *own = feed->impl;
    if (!own) {
        return;
    }
    if (own->client) {
        end_stream(own, mongo_of(feed->store)->database, true);
        mongoc_client_destroy(own->client);
    }
    bson_free(own->batch);
    pk_free(own);
    feed->impl = NULL;
}

/* ---- How far ---- */

void mongo_feed_mark(const struct pk_feed *feed, struct pk_feed_mark *out)
{
    const struct mongo_feed *own = feed->impl;
    if (own->is_gap_due) {
        return; /* What it has passed is for who was told of the gap. */
    }
    out->passed = own->passed;
    if (own->token[0]) {
        (void)snprintf(out->position, sizeof(out->position), "%s.%s", feed->store->epoch,
                       own->token);
    }
}

bool mongo_mark_has_passed(const struct pk_store *store, const struct pk_feed_mark *mark,
                           const char *cursor, bool *out_passed, struct pk_error *err)
{
    const char *token = behind_epoch(store, mark->position);
    const char *rest = behind_epoch(store, cursor);
    uint32_t seconds = 0;
    uint32_t increment = 0;
    int used = 0;

    if (!rest) {
        return pk_fail(err, PK_INVALID, "read again, and use the cursor of that answer",
                       "the cursor '%.60s' is not of this store's epoch", cursor);
    }
    if (sscanf(rest, "t%" SCNu32 ".%" SCNu32 "%n", &seconds, &increment, &used) == 2 &&
        rest[used] == '\0') {
        *out_passed = mark->passed >= ((cluster_time)seconds << 32 | increment);
        return true;
    }
    if (!is_token(rest)) {
        return pk_fail(err, PK_INVALID, "use a cursor as it was given",
                       "the cursor '%.60s' is damaged", cursor);
    }
    *out_passed = token && strcmp(token, rest) >= 0;
    return true;
}

bool mongo_barrier(struct pk_store *store, struct pk_error *err)
{
    struct mongo *mongo = mongo_of(store);
    const struct pk_collection *events = NULL;
    char uuid[PK_UUID_TEXT];
    bson_t doc = BSON_INITIALIZER;
    bson_error_t error = { 0 };

    for (size_t i = 0; i < mongo->inventory->count; i++) {
        events =
            mongo->inventory->collection[i].is_feed ? &mongo->inventory->collection[i] : events;
    }
    mongoc_client_t *client = events ? mongo_pop(mongo, err) : NULL;
    if (!client) {
        return events == NULL;
    }
    pk_uuid_new(uuid);
    BSON_APPEND_UTF8(&doc, "_id", uuid);
    BSON_APPEND_BOOL(&doc, MONGO_BARRIER, true);
    if (events->ttl_path) {
        BSON_APPEND_DATE_TIME(&doc, events->ttl_path, mongo_now_ms(mongo) + BARRIER_LIVES_MS);
    }
    mongoc_collection_t *handle =
        mongoc_client_get_collection(client, mongo->database, events->name);
    const bool ok = mongoc_collection_insert_one(handle, &doc, NULL, NULL, &error);
    mongoc_collection_destroy(handle);
    mongo_push(mongo, client);
    bson_destroy(&doc);
    return ok || mongo_fail(err, &error, "move the feed");
}
