/* move_state.c - The document in the target that says how far a move has got.
 *
 *     { _id: "move", value: { fromEpoch, startedAtMs, finishedAtMs (0: not yet),
 *       isRestore?, comparedAtMs? (both of a restore alone), isCounting?,
 *       collections: [ { name, all, done, last?, lastMs?, isDone } ... ] }, ... }
 *
 * It is written with the documents it counts, in one list. Thread: the move's. */
/* SPDX-License-Identifier: MIT */
#include "ops/move_internal.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "doc/doc.h"

#include <stdio.h>
#include <string.h>

void pk_move_state_init(struct pk_move_state *state, const struct pk_inventory *inventory)
{
    *state = (struct pk_move_state){ .count = inventory->count };
    state->part = pk_calloc(inventory->count, sizeof(*state->part));
    for (size_t i = 0; i < inventory->count; i++) {
        state->part[i].collection = &inventory->collection[i];
    }
}

void pk_move_state_done(struct pk_move_state *state)
{
    for (size_t i = 0; i < state->count; i++) {
        pk_free(state->part[i].last);
    }
    pk_free(state->part);
    *state = (struct pk_move_state){ 0 };
}

static struct pk_move_part *find_part(struct pk_move_state *state, const char *name)
{
    for (size_t i = 0; i < state->count; i++) {
        if (strcmp(state->part[i].collection->name, name) == 0) {
            return &state->part[i];
        }
    }
    return NULL;
}

/* Reads element 'i' of 'collections'. False: there is none. */
static bool read_part(struct pk_move_state *state, const struct pk_doc *doc, size_t i)
{
    char path[64];
#define AT(field) ((void)snprintf(path, sizeof(path), "value.collections.%zu." field, i), path)
    const char *name = pk_doc_text(doc, AT("name"));
    struct pk_move_part *part = name ? find_part(state, name) : NULL;
    if (part) {
        const char *last = pk_doc_text(doc, AT("last"));
        pk_free(part->last);
        part->last = last ? pk_strdup(last) : NULL;
        part->last_ms = pk_doc_int(doc, AT("lastMs"), 0);
        part->all = pk_doc_int(doc, AT("all"), 0);
        part->done = pk_doc_int(doc, AT("done"), 0);
        part->is_done = pk_doc_bool(doc, AT("isDone"), false);
    }
#undef AT
    return name != NULL;
}

bool pk_move_state_load(struct pk_move_state *state, struct pk_store *store,
                        const struct pk_clock *clock, struct pk_error *err)
{
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *doc = NULL;
    size_t i = 0;
    if (!pk_store_get(store, PK_MOVE_COLLECTION, PK_MOVE_ID,
                      pk_deadline_in_ms(clock, PK_MOVE_CALL_MS), &doc, err)) {
        return pk_wrap(err, "read how far the move has got");
    }
    state->version = 0;
    if (!doc) {
        return true;
    }
    const char *epoch = pk_doc_text(doc, "value.fromEpoch");
    (void)snprintf(state->from_epoch, sizeof(state->from_epoch), "%s", epoch ? epoch : "");
    state->started_at_ms = pk_doc_int(doc, "value.startedAtMs", 0);
    state->finished_at_ms = pk_doc_int(doc, "value.finishedAtMs", 0);
    state->compared_at_ms = pk_doc_int(doc, "value.comparedAtMs", 0);
    state->is_restore = pk_doc_bool(doc, "value.isRestore", false);
    state->is_counting = pk_doc_bool(doc, "value.isCounting", false);
    state->version = pk_doc_version(doc);
    while (read_part(state, doc, i)) {
        i++;
    }
    return true;
}

static void append_part(bson_t *array, size_t i, const struct pk_move_part *part)
{
    bson_t child;
    char key[24];
    (void)snprintf(key, sizeof(key), "%zu", i);
    BSON_APPEND_DOCUMENT_BEGIN(array, key, &child);
    BSON_APPEND_UTF8(&child, "name", part->collection->name);
    BSON_APPEND_INT64(&child, "all", part->all);
    BSON_APPEND_INT64(&child, "done", part->done);
    if (part->last && !part->is_done) { /* It may be a person: no longer than it is needed. */
        BSON_APPEND_UTF8(&child, "last", part->last);
        BSON_APPEND_INT64(&child, "lastMs", part->last_ms);
    }
    BSON_APPEND_BOOL(&child, "isDone", part->is_done);
    bson_append_document_end(array, &child);
}

void pk_move_state_save(const struct pk_move_state *state, struct pk_writes *list)
{
    bson_t *bson = bson_new();
    bson_t value;
    bson_t array;
    BSON_APPEND_UTF8(bson, "_id", PK_MOVE_ID);
    BSON_APPEND_DOCUMENT_BEGIN(bson, "value", &value);
    BSON_APPEND_UTF8(&value, "fromEpoch", state->from_epoch);
    BSON_APPEND_INT64(&value, "startedAtMs", state->started_at_ms);
    BSON_APPEND_INT64(&value, "finishedAtMs", state->finished_at_ms);
    if (state->is_restore) {
        BSON_APPEND_BOOL(&value, "isRestore", true);
        BSON_APPEND_INT64(&value, "comparedAtMs", state->compared_at_ms);
    }
    if (state->is_counting) {
        BSON_APPEND_BOOL(&value, "isCounting", true);
    }
    BSON_APPEND_ARRAY_BEGIN(&value, "collections", &array);
    for (size_t i = 0; i < state->count; i++) {
        append_part(&array, i, &state->part[i]);
    }
    bson_append_array_end(&value, &array);
    bson_append_document_end(bson, &value);
    BSON_APPEND_DATE_TIME(bson, "updatedAt", state->started_at_ms);
    BSON_APPEND_UTF8(bson, "updatedBy", "personakit");

    struct pk_doc *doc = pk_doc_take(bson);
    if (state->version) {
        pk_writes_replace(list, PK_MOVE_COLLECTION, doc, state->version);
    } else {
        pk_writes_insert(list, PK_MOVE_COLLECTION, doc);
    }
    pk_doc_unref(doc);
}
