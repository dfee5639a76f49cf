/* keys.c - /v1/actors/{actor}/keys: what an actor proves itself with.
 *
 * The secret is in the answer that made the key and nowhere else: what is kept
 * under an Idempotency-Key says only that it was shown. Everybody may list his
 * own keys and revoke one of them. */
/* SPDX-License-Identifier: MIT */
#include "access/actor.h"
#include "api/resources.h"
#include "base/alloc.h"
#include "base/error.h"
#include "doc/doc.h"
#include "doc/path.h"
#include "doc/schema_front.h"

#include <stdio.h>
#include <string.h>

/* The key at 'number' of 'apiKeys', in a view; false behind the last. */
static bool key_at(const struct pk_doc *actor, size_t number, bson_t *out)
{
    char path[32];
    bson_t view;
    bson_iter_t iter;
    uint32_t size = 0;
    const uint8_t *data = NULL;

    (void)snprintf(path, sizeof(path), "apiKeys.%zu", number);
    pk_doc_view(actor, &view);
    if (!pk_path_find(&view, path, &iter) || !BSON_ITER_HOLDS_DOCUMENT(&iter)) {
        return false;
    }
    bson_iter_document(&iter, &size, &data);
    return bson_init_static(out, data, size);
}

static const char *id_of(const bson_t *key)
{
    bson_iter_t iter;
    return bson_iter_init_find(&iter, key, "keyId") && BSON_ITER_HOLDS_UTF8(&iter)
               ? bson_iter_utf8(&iter, NULL)
               : "";
}

static bool find_key(const struct pk_doc *actor, const char *id, size_t *out_number, bson_t *out)
{
    for (size_t i = 0; key_at(actor, i, out); i++) {
        if (strcmp(id_of(out), id) == 0) {
            *out_number = i;
            return true;
        }
    }
    return false;
}

/* ---- What it is done to ---- */

static bool subject_key(struct pk_api_call *call, struct pk_object *object, struct pk_error *err)
{
    bson_t key;
    size_t number = 0;
    if (!pk_subject_actor(call, object, err)) {
        return false;
    }
    if (call->found) {
        object->is_missing = !find_key(call->found, pk_call_value(call, "key"), &number, &key);
    }
    return true;
}

/* ---- Showing ---- */

/* The stored key as its schema shows it, so without its hash; 'secret' (NULL: none) before it. The
 * caller destroys it. */
static bson_t *view_of(const bson_t *key, const char *secret)
{
    bson_t *out = bson_new();
    bson_iter_t field;
    if (secret) {
        BSON_APPEND_UTF8(out, "key", secret);
    }
    for (size_t i = 0; i < pk_schema_key_view.count; i++) {
        const char *name = pk_schema_key_view.field[i].name;
        if (bson_iter_init_find(&field, key, name)) {
            (void)bson_append_iter(out, name, -1, &field);
        }
    }
    return out;
}

static bool show_one(struct pk_api_call *call, struct pk_error *err)
{
    bson_t key;
    size_t number = 0;
    if (!find_key(call->found, pk_call_value(call, "key"), &number, &key)) {
        return pk_fail(err, PK_NOT_FOUND, "list the actor's keys", "there is no such key");
    }
    bson_t *view = view_of(&key, NULL);
    const bool ok = pk_call_answer(call, view, 0, err);
    bson_destroy(view);
    return ok;
}

/* Where a page starts: behind the key that the cursor names. */
static bool find_start(const struct pk_api_call *call, size_t *out, struct pk_error *err)
{
    bson_t key;
    if (call->cursor && !find_key(call->found, call->cursor, out, &key)) {
        return pk_fail_field(err, PK_INVALID, "cursor", "start again without a cursor",
                             "there is no such place in the list");
    }
    *out += call->cursor != NULL;
    return true;
}

static bool list(struct pk_api_call *call, struct pk_error *err)
{
    const char *last = NULL;
    size_t at = 0;
    bson_t key;

    if (!find_start(call, &at, err)) {
        return false;
    }
    pk_call_list_begin(call);
    for (size_t count = 0; count < call->limit && key_at(call->found, at, &key); count++, at++) {
        bson_t *view = view_of(&key, NULL);
        const bool ok = pk_call_list_add(call, view, err);
        bson_destroy(view);
        if (!ok) {
            return false;
        }
        last = id_of(&key);
    }
    pk_call_list_end(call, key_at(call->found, at, &key) ? last : NULL);
    return true;
}

/* ---- Changing ---- */

static int64_t wanted_expiry(const struct pk_api_call *call)
{
    bson_iter_t iter;
    return bson_iter_init_find(&iter, call->body, "expiresAt") && BSON_ITER_HOLDS_DATE_TIME(&iter)
               ? bson_iter_date_time(&iter)
               : 0;
}

static const char *wanted_name(const struct pk_api_call *call)
{
    bson_iter_t iter;
    return bson_iter_init_find(&iter, call->body, "name") ? bson_iter_utf8(&iter, NULL) : "";
}

static bool show_secret(struct pk_api_call *call, const struct pk_doc *actor,
                        const struct pk_key *made, struct pk_error *err)
{
    char secret[PK_KEY_TEXT];
    size_t number = 0;
    bson_t key;

    if (!find_key(actor, made->id, &number, &key)) {
        return pk_fail(err, PK_INTERNAL, NULL, "the key that was made is not there");
    }
    pk_key_print(made, secret);
    bson_t *view = view_of(&key, secret);
    const bool ok = pk_call_made(call, err, "/v1/actors/%s/keys/%s", pk_doc_id(actor), made->id) &&
                    pk_call_answer(call, view, 0, err);
    bson_destroy(view);
    pk_secret_wipe(secret, sizeof(secret));
    return ok;
}

static bool create(struct pk_api_call *call, struct pk_error *err)
{
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *actor = NULL;
    PK_CLEANUP(pk_key_wipe) struct pk_key key = { .id = "" };
    return pk_actor_add_key(call->parts->books, &call->by, pk_call_value(call, "actor"), 0,
                            wanted_name(call), wanted_expiry(call), &key, &actor, err) &&
           show_secret(call, actor, &key, err);
}

static bool revoke_key(struct pk_api_call *call, struct pk_error *err)
{
    if (!pk_actor_revoke_key(call->parts->books, &call->by, pk_call_value(call, "actor"), 0,
                             pk_call_value(call, "key"), NULL, err)) {
        return false;
    }
    pk_call_answer_nothing(call);
    return true;
}

/* ---- Routes ---- */

static const struct pk_param keys_param[] = {
    { .name = "actor", .type = PK_PARAM_UUID, .help = "The actor's id." },
    { .name = NULL },
};
static const struct pk_param key_param[] = {
    { .name = "actor", .type = PK_PARAM_UUID, .help = "The actor's id." },
    { .name = "key", .type = PK_PARAM_TEXT, .min = 1, .max = 64, .help = "The key's id." },
    { .name = NULL },
};
static const enum pk_code conflict[] = { PK_CONFLICT, PK_OK };

static const struct pk_api_row row[] = {
    { PK_ROW(GET, "/v1/actors/{actor}/keys", KEY_READ), .lane = PK_LANE_STORE,
      .flags = PK_ROW_LIST | PK_ROW_AFTER, .param = keys_param, .subject = pk_subject_actor,
      .run = list, .answer = &pk_schema_key_view, .id = "listKeys", .tag = "keys",
      .help = "Lists an actor's keys, oldest first; never a secret." },
    { PK_ROW(POST, "/v1/actors/{actor}/keys", KEY_ADD), .lane = PK_LANE_STORE, .status = 201,
      .flags = PK_ROW_WRITES | PK_ROW_ONCE | PK_ROW_SECRET, .param = keys_param,
      .body = &pk_schema_key_create, .subject = pk_subject_actor, .run = create,
      .answer = &pk_schema_key_created, .id = "createKey", .tag = "keys",
      .help = "Gives an actor a key; its secret is in this answer, and nowhere else.",
      .fails = conflict },
    { PK_ROW(GET, "/v1/actors/{actor}/keys/{key}", KEY_READ), .lane = PK_LANE_STORE,
      .flags = PK_ROW_AFTER, .param = key_param, .subject = subject_key, .run = show_one,
      .answer = &pk_schema_key_view, .id = "getKey", .tag = "keys",
      .help = "Shows a key, never its secret." },
    { PK_ROW(DELETE, "/v1/actors/{actor}/keys/{key}", KEY_REVOKE), .lane = PK_LANE_STORE,
      .status = 204, .flags = PK_ROW_WRITES, .param = key_param, .subject = subject_key,
      .run = revoke_key, .id = "revokeKey", .tag = "keys",
      .help = "Revokes a key: within two seconds no server takes it any more.", .fails = conflict },
};
const struct pk_api_table pk_api_keys_table = { row, PK_COUNT(row) };
