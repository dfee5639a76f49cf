/* mongo_probe.c - What a server must be able to do, tried out.
 *
 * Servers that speak MongoDB's protocol differ in what they can do, and say
 * little about it. So each feature that the store rests on is used once, in a
 * scratch collection that is dropped again, and all that are missing are
 * named together.
 *
 * Thread: the opener's. */
/* SPDX-License-Identifier: MIT */
#include "base/alloc.h"
#include "base/buf.h"
#include "base/id.h"
#include "store/mongo_internal.h"

#include <string.h>

struct probing {
    mongoc_client_t *client;
    const char *database;
    char name[64]; /* Of the scratch collection. */
    mongoc_collection_t *scratch;
};

static bool make_index(struct probing *probing, const char *json, bson_error_t *error)
{
    bson_t command = BSON_INITIALIZER;
    bson_t indexes;
    bson_t index;

    BSON_APPEND_UTF8(&command, "createIndexes", probing->name);
    BSON_APPEND_ARRAY_BEGIN(&command, "indexes", &indexes);
    bool ok = bson_init_from_json(&index, json, -1, error);
    if (ok) {
        BSON_APPEND_DOCUMENT(&indexes, "0", &index);
        bson_destroy(&index);
    }
    (void)bson_append_array_end(&command, &indexes);
    ok = ok && mongoc_client_write_command_with_opts(probing->client, probing->database, &command,
                                                     NULL, NULL, error);
    bson_destroy(&command);
    return ok;
}

static bool try_partial(struct probing *probing, bson_error_t *error)
{
    return make_index(probing,
                      "{\"key\": {\"email\": 1}, \"name\": \"partial\", \"unique\": true, "
                      "\"partialFilterExpression\": {\"email\": {\"$exists\": true}}}",
                      error);
}

static bool try_wildcard(struct probing *probing, bson_error_t *error)
{
    return make_index(probing, "{\"key\": {\"metadata.$**\": 1}, \"name\": \"wildcard\"}", error);
}

static bool try_ttl(struct probing *probing, bson_error_t *error)
{
    return make_index(probing,
                      "{\"key\": {\"expiresAt\": 1}, \"name\": \"ttl\", "
                      "\"expireAfterSeconds\": 0}",
                      error);
}

static bool try_transaction(struct probing *probing, bson_error_t *error)
{
    bson_t opts = BSON_INITIALIZER;
    bson_t doc = BSON_INITIALIZER;
    mongoc_client_session_t *session = mongoc_client_start_session(probing->client, NULL, error);

    BSON_APPEND_UTF8(&doc, "_id", "probe");
    const bool ok = session && mongoc_client_session_start_transaction(session, NULL, error) &&
                    mongoc_client_session_append(session, &opts, error) &&
                    mongoc_collection_insert_one(probing->scratch, &doc, &opts, NULL, error) &&
                    mongoc_client_session_commit_transaction(session, NULL, error);
    if (session) {
        mongoc_client_session_destroy(session);
    }
    bson_destroy(&opts);
    bson_destroy(&doc);
    return ok;
}

static bool try_stream(struct probing *probing, bson_error_t *error)
{
    bson_t pipeline = BSON_INITIALIZER;
    const bson_t *why = NULL;
    mongoc_change_stream_t *stream = mongoc_collection_watch(probing->scratch, &pipeline, NULL);
    bool ok = !mongoc_change_stream_error_document(stream, error, &why);
    if (ok && !mongoc_change_stream_get_resume_token(stream)) {
        bson_set_error(error, MONGOC_ERROR_SERVER, 0, "an empty stream has no resume token");
        ok = false;
    }
    mongoc_change_stream_destroy(stream);
    bson_destroy(&pipeline);
    return ok;
}

/* Indexes come first: of a collection that has a document each takes a tenth of a second. */
static const struct {
    const char *name;
    bool (*run)(struct probing *probing, bson_error_t *error);
} feature_table[] = {
    { "partial indexes", try_partial },   { "TTL indexes", try_ttl },
    { "wildcard indexes", try_wildcard }, { "transactions", try_transaction },
    { "change streams", try_stream },
};

static bool make_scratch(struct probing *probing, struct pk_error *err)
{
    bson_t command = BSON_INITIALIZER;
    bson_error_t error;

    BSON_APPEND_UTF8(&command, "create", probing->name);
    const bool ok = mongoc_client_write_command_with_opts(probing->client, probing->database,
                                                          &command, NULL, NULL, &error);
    bson_destroy(&command);
    return ok || mongo_fail(err, &error, "create a scratch collection");
}

bool mongo_probe(mongoc_client_t *client, const char *database, struct pk_error *err)
{
    struct probing probing = { .client = client, .database = database };
    PK_CLEANUP(pk_buf_done) struct pk_buf missing = { 0 };
    char uuid[PK_UUID_TEXT];
    bson_error_t error;
    bool is_away = false;

    pk_uuid_new(uuid);
    (void)snprintf(probing.name, sizeof(probing.name), "personakit_probe_%s", uuid);
    if (!make_scratch(&probing, err)) {
        return false;
    }
    probing.scratch = mongoc_client_get_collection(client, database, probing.name);
    for (size_t i = 0; i < PK_COUNT(feature_table) && !is_away; i++) {
        if (!feature_table[i].run(&probing, &error)) {
            is_away = mongo_is_away(&error);
            pk_buf_printf(&missing, "%s%s (%s)", missing.size ? ", " : "", feature_table[i].name,
                          error.message);
        }
    }
    (void)mongoc_collection_drop(probing.scratch, NULL);
    mongoc_collection_destroy(probing.scratch);
    if (is_away) {
        return mongo_fail(err, &error, "probe the server");
    }
    return missing.size == 0 || pk_fail(err, PK_UNSUPPORTED,
                                        "use MongoDB 5.0 or later, not a look-alike, and a user "
                                        "with the role readWrite",
                                        "the server lacks %s", pk_buf_text(&missing));
}
