/* idempotency.c - Rows of answers in the store, and what is in flight in memory.
 *
 * The row's id is the actor and a hash of route and key, so it has one length
 * and no character that a store could dislike. A request first takes its place
 * among those in flight and then looks for the row: the other way round, one
 * that ends in between would be seen by neither.
 *
 * What is in flight is a hash table of ids under one lock, held for a look and
 * a link; there are never more entries than requests being worked on. */
/* SPDX-License-Identifier: MIT */
#include "access/idempotency.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/utf8.h"
#include "doc/doc.h"
#include "doc/path.h"
#include "store/store.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

enum { BUCKETS = 1024 };
#define KEEP_DEFAULT_MS (INT64_C(24) * 3600 * 1000)

static const char cut_note[] =
    "{\"note\":\"this request was done before; its answer was too large to be kept, so read what "
    "it made\"}";

struct flight {
    struct flight *next;
    char id[PK_ONCE_ID];
};

struct pk_idempotency {
    const struct pk_books *books;
    int64_t keep_ms;
    pthread_mutex_t lock;           /* Covers 'bucket'. */
    struct flight *bucket[BUCKETS]; /* Chains, by hash of the id. */
};

struct pk_idempotency *pk_idempotency_new(const struct pk_books *books, int64_t keep_ms)
{
    struct pk_idempotency *idempotency = pk_calloc(1, sizeof(*idempotency));
    idempotency->books = books;
    idempotency->keep_ms = keep_ms ? keep_ms : KEEP_DEFAULT_MS;
    (void)pthread_mutex_init(&idempotency->lock, NULL);
    return idempotency;
}

void pk_idempotency_free(struct pk_idempotency *idempotency)
{
    if (idempotency) {
        for (size_t i = 0; i < BUCKETS; i++) {
            while (idempotency->bucket[i]) {
                struct flight *flight = idempotency->bucket[i];
                idempotency->bucket[i] = flight->next;
                pk_free(flight);
            }
        }
        (void)pthread_mutex_destroy(&idempotency->lock);
        pk_free(idempotency);
    }
}

/* ---- In flight ---- */

/* The link that leads to the entry, or the last one, which leads nowhere. */
static struct flight **find_flight(struct pk_idempotency *idempotency, const char *id)
{
    uint64_t hash = 0xCBF29CE484222325u; /* FNV-1a; the id's end is a hash already. */
    for (const char *c = id; *c; c++) {
        hash = (hash ^ (unsigned char)*c) * 0x100000001B3u;
    }
    struct flight **link = &idempotency->bucket[(hash ^ hash >> 32) % BUCKETS];
    while (*link && strcmp((*link)->id, id) != 0) {
        link = &(*link)->next;
    }
    return link;
}

static bool take_off(struct pk_idempotency *idempotency, const char *id)
{
    struct flight *fresh = pk_calloc(1, sizeof(*fresh));
    (void)snprintf(fresh->id, sizeof(fresh->id), "%s", id);
    (void)pthread_mutex_lock(&idempotency->lock);
    struct flight **link = find_flight(idempotency, id);
    const bool is_free = *link == NULL;
    if (is_free) {
        *link = fresh;
    }
    (void)pthread_mutex_unlock(&idempotency->lock);
    if (!is_free) {
        pk_free(fresh);
    }
    return is_free;
}

static void land(struct pk_idempotency *idempotency, const char *id)
{
    (void)pthread_mutex_lock(&idempotency->lock);
    struct flight **link = find_flight(idempotency, id);
    struct flight *flight = *link;
    if (flight) {
        *link = flight->next;
    }
    (void)pthread_mutex_unlock(&idempotency->lock);
    pk_free(flight);
}

/* ---- The request ---- */

static bool check_key(const char *key, size_t size, struct pk_error *err)
{
    bool is_valid = size >= 1 && size <= PK_IDEMPOTENCY_KEY_MAX;
    for (size_t i = 0; is_valid && i < size; i++) {
        is_valid = key[i] > 0x20 && key[i] < 0x7F;
    }
    return is_valid || pk_fail_field(err, PK_INVALID, "Idempotency-Key",
                                     "send 1 to 255 visible characters of ASCII, a UUID say",
                                     "the Idempotency-Key is not valid");
}

/* Each part with its size before it, so that no two requests run together alike. */
static void add_part(struct pk_hasher *hasher, const void *data, size_t size)
{
    const uint64_t length = size;
    pk_hasher_add(hasher, &length, sizeof(length));
    if (size) {
        pk_hasher_add(hasher, data, size);
    }
}

static void name_once(struct pk_once *once, const struct pk_once_request *request)
{
    struct pk_hasher hasher;
    uint8_t hash[PK_HASH_BYTES];
    char hex[PK_HASH_TEXT];

    pk_hasher_init(&hasher);
    add_part(&hasher, request->route, strlen(request->route));
    add_part(&hasher, request->key, request->key_size);
    pk_hasher_end(&hasher, hash);
    pk_hex(hex, hash, sizeof(hash));
    (void)snprintf(once->id, sizeof(once->id), "%.36s:%s", request->actor_id, hex);

    pk_hasher_init(&hasher);
    add_part(&hasher, request->target, strlen(request->target));
    add_part(&hasher, request->body, request->body_size);
    pk_hasher_end(&hasher, hash);
    pk_hex(once->hash, hash, sizeof(hash));
    once->actor_id = request->actor_id;
    once->route = request->route;
}

/* ---- The row ---- */

static bool is_text(const char *text, const char *wanted)
{
    return text && strcmp(text, wanted) == 0;
}

static void read_body(struct pk_replay *replay, bool is_cut)
{
    bson_t view;
    bson_iter_t iter;
    uint32_t size = 0;
    pk_doc_view(replay->row, &view);
    if (is_cut) {
        replay->body = cut_note;
        replay->body_size = sizeof(cut_note) - 1;
        replay->is_cut = true;
    } else if (pk_path_find(&view, "answer.body", &iter) && BSON_ITER_HOLDS_UTF8(&iter)) {
        replay->body = bson_iter_utf8(&iter, &size);
        replay->body_size = size;
    } else {
        replay->body = "";
    }
}

bool pk_once_find(const struct pk_once *once, int64_t deadline_ns, struct pk_replay *out_replay,
                  struct pk_error *err)
{
    struct pk_replay replay = { 0 };
    struct pk_store *store = once->owner->books->store;

    *out_replay = replay;
    if (!pk_store_get(store, "idempotency", once->id, deadline_ns, &replay.row, err)) {
        return pk_wrap(err, "look for an earlier answer");
    }
    if (!replay.row) {
        return true;
    }
    const char *withheld = pk_doc_text(replay.row, "answer.withheld");
    if (!is_text(pk_doc_text(replay.row, "requestHash"), once->hash)) {
        pk_replay_done(&replay);
        return pk_fail_field(err, PK_MISMATCH, "Idempotency-Key",
                             "use a fresh key for each request, the same one to repeat it",
                             "another request was made with this Idempotency-Key");
    }
    if (is_text(withheld, "secret")) {
        pk_replay_done(&replay);
        return pk_fail(err, PK_SHOWN, "if it is lost, revoke that key and create another",
                       "this was done before, and its secret is shown once only");
    }
    replay.status = (int)pk_doc_int(replay.row, "answer.status", 0);
    read_body(&replay, is_text(withheld, "too_large"));
    *out_replay = replay;
    return true;
}

bool pk_once_begin(struct pk_once *out, struct pk_idempotency *idempotency,
                   const struct pk_once_request *request, int64_t deadline_ns,
                   struct pk_replay *out_replay, struct pk_error *err)
{
    struct pk_once once = { 0 };

    *out = once;
    *out_replay = (struct pk_replay){ 0 };
    if (!check_key(request->key, request->key_size, err)) {
        return false;
    }
    name_once(&once, request);
    if (!take_off(idempotency, once.id)) {
        return pk_fail_field(err, PK_CONFLICT, "Idempotency-Key", "wait for the first to end",
                             "a request with this Idempotency-Key is in flight");
    }
    once.owner = idempotency;
    if (!pk_once_find(&once, deadline_ns, out_replay, err)) {
        pk_once_done(&once);
        return false;
    }
    if (out_replay->status) { /* Nothing will be done: others may look, too. */
        pk_once_done(&once);
    }
    *out = once;
    return true;
}

void pk_once_done(struct pk_once *once)
{
    if (once->owner) {
        land(once->owner, once->id);
        once->owner = NULL;
    }
}

/* Why a body is not kept, or NULL. What is no UTF-8 has no form in the row, either. */
static const char *withhold(const struct pk_once_answer *answer)
{
    if (answer->is_secret) {
        return "secret";
    }
    const bool fits =
        answer->body_size <= PK_ANSWER_KEPT_MAX &&
        (answer->body_size == 0 ||
         pk_utf8_check((const uint8_t *)answer->body, answer->body_size) == answer->body_size);
    return fits ? NULL : "too_large";
}

static void add_answer(bson_t *bson, const struct pk_once_answer *answer)
{
    const char *why = withhold(answer);
    bson_t child;
    bson_t headers;

    BSON_APPEND_DOCUMENT_BEGIN(bson, "answer", &child);
    BSON_APPEND_INT32(&child, "status", answer->status);
    if (answer->header && answer->header->name) {
        BSON_APPEND_DOCUMENT_BEGIN(&child, "headers", &headers);
        for (const struct pk_fact *header = answer->header; header->name; header++) {
            BSON_APPEND_UTF8(&headers, header->name, header->text ? header->text : "");
        }
        bson_append_document_end(&child, &headers);
    }
    if (why) {
        BSON_APPEND_UTF8(&child, "withheld", why);
    } else {
        bson_append_utf8(&child, "body", 4, answer->body ? answer->body : "",
                         (int)answer->body_size);
    }
    bson_append_document_end(bson, &child);
}

static void add_people(bson_t *bson, const struct pk_once_answer *answer)
{
    bson_t list;
    char key[24];
    if (answer->person_count == 0) {
        return;
    }
    BSON_APPEND_ARRAY_BEGIN(bson, "userIds", &list);
    for (size_t i = 0; i < answer->person_count; i++) {
        (void)snprintf(key, sizeof(key), "%zu", i);
        BSON_APPEND_UTF8(&list, key, answer->person[i]);
    }
    bson_append_array_end(bson, &list);
}

void pk_once_add(const struct pk_once *once, const struct pk_once_answer *answer,
                 struct pk_writes *list)
{
    const struct pk_idempotency *idempotency = once->owner;
    const int64_t now_ms = pk_clock_wall_ms(idempotency->books->clock);
    bson_t *bson = bson_new();

    BSON_APPEND_UTF8(bson, "_id", once->id);
    BSON_APPEND_UTF8(bson, "actorId", once->actor_id);
    add_people(bson, answer);
    BSON_APPEND_UTF8(bson, "route", once->route);
    BSON_APPEND_UTF8(bson, "requestHash", once->hash);
    add_answer(bson, answer);
    BSON_APPEND_DATE_TIME(bson, "createdAt", now_ms);
    BSON_APPEND_DATE_TIME(bson, "expiresAt", now_ms + idempotency->keep_ms);
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *doc = pk_doc_take(bson);
    pk_writes_insert(list, "idempotency", doc);
}

bool pk_once_lost(const struct pk_once *once, const struct pk_writes *list,
                  const struct pk_commit *commit)
{
    const int at = commit->conflict_write;
    if (at < 0 || (size_t)at >= list->count) {
        return false;
    }
    const struct pk_write *write = &list->write[at];
    const char *id = write->doc ? pk_doc_id(write->doc) : NULL;
    return strcmp(write->collection, "idempotency") == 0 && is_text(id, once->id);
}

const char *pk_replay_header(const struct pk_replay *replay, const char *name)
{
    char path[96];
    (void)snprintf(path, sizeof(path), "answer.headers.%s", name);
    return replay->row ? pk_doc_text(replay->row, path) : NULL;
}

void pk_replay_done(struct pk_replay *replay)
{
    pk_doc_unref(replay->row);
    *replay = (struct pk_replay){ 0 };
}
