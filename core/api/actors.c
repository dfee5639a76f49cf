/* actors.c - /v1/actors: who may ask.
 *
 * Everybody may read himself, by his id or as 'self'. All else is for those
 * who operate the server. Changes are access/actor.h's: each with its audit
 * row and its event, in one list. */
/* SPDX-License-Identifier: MIT */
#include "access/actor.h"
#include "api/resources.h"
#include "base/alloc.h"
#include "base/error.h"
#include "doc/doc.h"
#include "doc/schema_front.h"
#include "persona/feedback.h"

#include <math.h>
#include <string.h>

/* ---- What it is done to ---- */

bool pk_subject_actor(struct pk_api_call *call, struct pk_object *object, struct pk_error *err)
{
    const char *id = pk_call_value(call, "actor");
    object->owner = id;
    if (!pk_access_check(call->who, call->row->action, object, NULL)) {
        return true; /* Refused whatever is there; so not even the time says whether it is. */
    }
    if (!pk_store_get(call->parts->books->store, "actors", id, call->deadline_ns, &call->found,
                      err)) {
        return pk_wrap(err, "read the actor");
    }
    object->is_missing = call->found == NULL;
    return true;
}

static bool find_self(struct pk_api_call *call, struct pk_object *object, struct pk_error *err)
{
    const char *id = call->who->actor_id;
    object->owner = id;
    if (!pk_store_get(call->parts->books->store, "actors", id, call->deadline_ns, &call->found,
                      err)) {
        return pk_wrap(err, "read the actor");
    }
    object->is_missing = call->found == NULL;
    return true;
}

/* ---- Showing ---- */

/* Two counts become the mean that they stand for: the share of words that were filled in. */
static void append_usage(const bson_iter_t *usage, bson_t *out)
{
    bson_iter_t field;
    bson_t child;
    double words = 0, sent = 0;
    BSON_APPEND_DOCUMENT_BEGIN(out, "usageMetadata", &child);
    for (bool more = bson_iter_recurse(usage, &field); more && bson_iter_next(&field);) {
        const char *key = bson_iter_key(&field);
        if (strcmp(key, "feedbackWords") == 0) {
            words = bson_iter_as_double(&field);
            continue;
        }
        if (strcmp(key, "totalFeedbackProvided") == 0) {
            sent = bson_iter_as_double(&field);
        }
        (void)bson_append_iter(&child, NULL, 0, &field);
    }
    if (sent > 0) {
        BSON_APPEND_DOUBLE(&child, "averageFeedbackQuality",
                           round(words / (sent * PK_FEEDBACK_WORDS) * 1e4) / 1e4);
    }
    bson_append_document_end(out, &child);
}

/* As it is shown; a reference under the same version. */
static struct pk_doc *shown(const struct pk_doc *actor)
{
    PK_CLEANUP(bson_destroy) bson_t made = BSON_INITIALIZER;
    bson_t view;
    bson_iter_t iter;
    pk_doc_view(actor, &view);
    for (bool more = bson_iter_init(&iter, &view); more && bson_iter_next(&iter);) {
        if (strcmp(bson_iter_key(&iter), "usageMetadata") == 0 && BSON_ITER_HOLDS_DOCUMENT(&iter)) {
            append_usage(&iter, &made);
        } else {
            (void)bson_append_iter(&made, NULL, 0, &iter);
        }
    }
    return pk_doc_new_versioned(&made, pk_doc_version(actor));
}

static bool show(struct pk_api_call *call, const struct pk_doc *actor, struct pk_error *err)
{
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *doc = shown(actor);
    return pk_call_answer_doc(call, "actors", doc, err);
}

static bool show_created(struct pk_api_call *call, const struct pk_doc *actor, struct pk_error *err)
{
    return pk_call_made(call, err, "/v1/actors/%s", pk_doc_id(actor)) && show(call, actor, err);
}

static bool show_found(struct pk_api_call *call, struct pk_error *err)
{
    return pk_call_show(call, call->found, err);
}

static bool list(struct pk_api_call *call, struct pk_error *err)
{
    PK_CLEANUP(pk_page_done) struct pk_page page = { 0 };

    if (!pk_actor_list(call->parts->books, pk_call_value(call, "status"), call->limit, call->cursor,
                       &page, err)) {
        return false;
    }
    pk_call_list_begin(call);
    for (size_t i = 0; i < page.count; i++) {
        PK_CLEANUP(pk_doc_unrefp) struct pk_doc *doc = shown(page.doc[i]);
        if (!pk_call_list_add_doc(call, "actors", doc, err)) {
            return false;
        }
    }
    pk_call_list_end(call, page.next);
    return true;
}

/* ---- Changing ---- */

static bool create(struct pk_api_call *call, struct pk_error *err)
{
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *actor = NULL;
    return pk_actor_create(call->parts->books, &call->by, call->body, &actor, err) &&
           pk_call_show(call, actor, err);
}

static bool change(struct pk_api_call *call, struct pk_error *err)
{
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *actor = NULL;
    return pk_actor_change(call->parts->books, &call->by, pk_call_value(call, "actor"),
                           call->match_version, call->body, &actor, err) &&
           pk_call_show(call, actor, err);
}

static bool move(struct pk_api_call *call, enum pk_actor_move where, struct pk_error *err)
{
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *actor = NULL;
    return pk_actor_move(call->parts->books, &call->by, pk_call_value(call, "actor"),
                         call->match_version, where, &actor, err) &&
           pk_call_show(call, actor, err);
}

static bool suspend(struct pk_api_call *call, struct pk_error *err)
{
    return move(call, PK_ACTOR_SUSPEND, err);
}

static bool resume(struct pk_api_call *call, struct pk_error *err)
{
    return move(call, PK_ACTOR_RESUME, err);
}

static bool archive(struct pk_api_call *call, struct pk_error *err)
{
    return move(call, PK_ACTOR_ARCHIVE, err);
}

/* ---- Routes ---- */

static const struct pk_param list_param[] = {
    { .name = "status",
      .type = PK_PARAM_WORD,
      .allowed = pk_actor_status,
      .fallback = "all",
      .help = "Only actors of this status." },
    { .name = NULL },
};
static const struct pk_param actor_param[] = {
    { .name = "actor", .type = PK_PARAM_UUID, .help = "The actor's id." },
    { .name = NULL },
};
static const enum pk_code conflict[] = { PK_CONFLICT, PK_OK };

#define MOVE(VERB, DOES)                                                                         \
    {                                                                                            \
        PK_ROW(POST, "/v1/actors/{actor}/" #VERB, ACTOR_CHANGE),                                 \
            .lane = PK_LANE_STORE, .flags = PK_ROW_WRITES | PK_ROW_ONCE | PK_ROW_MATCH,          \
            .param = actor_param, .subject = pk_subject_actor, .run = VERB, .show = show,        \
            .answer = &pk_schema_actor_view, .id = #VERB "Actor", .tag = "actors", .help = DOES, \
            .fails = conflict                                                                    \
    }

static const struct pk_api_row row[] = {
    { PK_ROW(GET, "/v1/actors", ACTOR_READ), .lane = PK_LANE_STORE,
      .flags = PK_ROW_LIST | PK_ROW_AFTER, .param = list_param, .run = list,
      .answer = &pk_schema_actor_view, .id = "listActors", .tag = "actors",
      .help = "Lists the actors, in the order of their ids." },
    { PK_ROW(POST, "/v1/actors", ACTOR_CHANGE), .lane = PK_LANE_STORE, .status = 201,
      .flags = PK_ROW_WRITES | PK_ROW_ONCE, .body = &pk_schema_actor_create,
      .body_max_bytes = 512 * 1024, .run = create, .show = show_created,
      .answer = &pk_schema_actor_view, .id = "createActor", .tag = "actors",
      .help = "Creates an actor; it has no key yet.", .fails = conflict },
    { PK_ROW(GET, "/v1/actors/self", ACTOR_SELF), .lane = PK_LANE_STORE, .flags = PK_ROW_AFTER,
      .subject = find_self, .run = show_found, .show = show, .answer = &pk_schema_actor_view,
      .id = "getSelf", .tag = "actors", .help = "Shows the actor whose key this is." },
    { PK_ROW(GET, "/v1/actors/{actor}", ACTOR_READ), .lane = PK_LANE_STORE, .flags = PK_ROW_AFTER,
      .param = actor_param, .subject = pk_subject_actor, .run = show_found, .show = show,
      .answer = &pk_schema_actor_view, .id = "getActor", .tag = "actors",
      .help = "Shows an actor." },
    { PK_ROW(PATCH, "/v1/actors/{actor}", ACTOR_CHANGE), .lane = PK_LANE_STORE,
      .flags = PK_ROW_WRITES | PK_ROW_MATCH, .param = actor_param, .body = &pk_schema_actor_patch,
      .body_max_bytes = 512 * 1024, .subject = pk_subject_actor, .run = change, .show = show,
      .answer = &pk_schema_actor_view, .id = "changeActor", .tag = "actors",
      .help = "Sets the fields that are sent; of the capabilities likewise.", .fails = conflict },
    MOVE(suspend, "Refuses the actor from now on, as if its keys were revoked."),
    MOVE(resume, "Lets a suspended actor in again."),
    MOVE(archive, "Refuses the actor for good; it never changes again."),
};
const struct pk_api_table pk_api_actors_table = { row, PK_COUNT(row) };
