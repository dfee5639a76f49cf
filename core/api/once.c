/* once.c - Idempotency-Key: the answer is part of the effect.
 *
 * The handler's decision is completed here (pk_by.complete): the answer is made
 * from the document as it will be stored, and its row goes into the same list.
 * So when the list commits, the answer is kept, and what was kept is what is
 * sent. A decision that is repeated may have lost against another node with
 * the same key: from the second time on its row is looked for first. */
/* SPDX-License-Identifier: MIT */
#include "api/api_internal.h"
#include "base/alloc.h"
#include "base/arena.h"
#include "base/error.h"

#include <string.h>

/* Headers of an answer that are kept with it. */
static const char location[] = "Location";
static const char etag[] = "ETag";

static const char *find_header(const struct pk_answer *answer, const char *name)
{
    for (size_t i = 0; i < answer->header_count; i++) {
        if (strcmp(answer->header[i].name, name) == 0) {
            return answer->header[i].value;
        }
    }
    return NULL;
}

static void keep_answer(struct pk_api_call *call, struct pk_writes *list)
{
    const struct pk_answer *answer = call->answer;
    struct pk_fact header[3] = { { NULL, NULL } };
    const char *place = find_header(answer, location);
    size_t count = 0;
    if (place) {
        header[count++] = (struct pk_fact){ location, place };
    }
    if (answer->etag) {
        header[count++] = (struct pk_fact){ etag, answer->etag };
    }
    const struct pk_once_answer kept = {
        .status = answer->status,
        .header = header,
        .body = answer->body.data,
        .body_size = answer->body.size,
        .is_secret = (call->row->flags & PK_ROW_SECRET) != 0,
        .person = &call->object.person,
        .person_count = call->object.person ? 1 : 0,
    };
    pk_once_add(&call->once, &kept, list);
}

static bool fail_second(struct pk_error *err)
{
    return pk_fail_field(err, PK_CONFLICT, "Idempotency-Key", "send it again to get the answer",
                         "another server has just done this under the same Idempotency-Key");
}

static bool complete(void *context, struct pk_writes *list, const struct pk_doc *doc,
                     struct pk_error *err)
{
    struct pk_api_call *call = context;
    const bool is_repeated = call->decisions++ > 0;
    if (is_repeated && !pk_once_find(&call->once, call->deadline_ns, &call->replay, err)) {
        return false;
    }
    if (call->replay.status) {
        return fail_second(err);
    }
    if (!(call->row->flags & PK_ROW_SECRET)) {
        call->is_shown = false; /* Of a decision that did not come to be. */
        if (!pk_call_show(call, doc, err)) {
            return false;
        }
    }
    keep_answer(call, list);
    return true;
}

/* ---- A repetition ---- */

static void put_header(struct pk_api_call *call, const char *name, const char *value)
{
    (void)pk_answer_header(call->request, call->answer, name, value, NULL);
}

static void answer_again(struct pk_api_call *call)
{
    struct pk_answer *answer = call->answer;
    const struct pk_replay *replay = &call->replay;
    const char *place = pk_replay_header(replay, location);
    const char *version = pk_replay_header(replay, etag);

    pk_buf_clear(&answer->body);
    pk_buf_add(&answer->body, replay->body, replay->body_size);
    answer->content_type = NULL;
    if (replay->body_size) {
        pk_answer_json(answer, replay->status);
    }
    answer->status = replay->status;
    answer->etag = version ? pk_arena_strdup(&call->request->arena, version) : NULL;
    if (place) {
        put_header(call, location, place);
    }
    put_header(call, "Idempotency-Replayed", "true");
    call->is_over = true;
}

bool pk_call_begin_once(struct pk_api_call *call, struct pk_error *err)
{
    struct pk_request *request = call->request;
    const char *key = NULL;
    const size_t count = pk_header_count(request, "idempotency-key", &key);

    if (!(call->row->flags & PK_ROW_ONCE) || count == 0) {
        return true;
    }
    if (count > 1) {
        return pk_fail_field(err, PK_INVALID, "Idempotency-Key", "send one",
                             "there is more than one Idempotency-Key");
    }
    const char *target =
        *request->query ? pk_arena_printf(&request->arena, "%s?%s", request->path, request->query)
                        : request->path;
    const struct pk_once_request wanted = {
        .actor_id = call->who->actor_id,
        .key = key,
        .key_size = strlen(key),
        .route = pk_arena_printf(&request->arena, "%s %s", pk_method_name(call->row->method),
                                 call->row->path),
        .target = target,
        .body = request->body.data,
        .body_size = request->body.size,
    };
    if (!pk_once_begin(&call->once, call->parts->idempotency, &wanted, call->deadline_ns,
                       &call->replay, err)) {
        return false;
    }
    if (call->replay.status) {
        answer_again(call);
        return true;
    }
    call->by.complete = complete;
    call->by.context = call;
    return true;
}

bool pk_call_once_was_first(struct pk_api_call *call, const struct pk_error *err)
{
    const bool is_possible = err->code == PK_CONFLICT || err->code == PK_PRECONDITION;
    if (!call->once.owner || !is_possible) {
        return false;
    }
    if (!call->replay.status &&
        (!pk_once_find(&call->once, call->deadline_ns, &call->replay, NULL) ||
         !call->replay.status)) {
        return false;
    }
    call->position[0] = '\0';
    answer_again(call);
    return true;
}
