/* run.c - What every request goes through between the gate and its handler.
 *
 * The steps are a table, and in this order on purpose: first what depends on
 * the request alone, then who asks and what it would be done to, then the
 * rates and the keys of repetition, which only he may use up who may do it at
 * all. A step that fails ends the request with its error; one that has
 * answered (a repetition) or parked it sets 'is_over'.
 *
 * A request that was parked comes back here and goes through all of it again:
 * nothing of the first pass is kept, so nothing of it can be out of date.
 *
 * Thread: an executor's. */
/* SPDX-License-Identifier: MIT */
#include "access/keyring.h"
#include "access/rate.h"
#include "api/after.h"
#include "api/api_internal.h"
#include "base/alloc.h"
#include "base/arena.h"
#include "base/clock.h"
#include "base/error.h"
#include "doc/doc.h"
#include "persona/access_log.h"
#include "persona/domain.h"

#include <string.h>

/* ---- Steps ---- */

static void run_again(void *context, struct pk_request *request, struct pk_answer *answer);

static bool wait_for_write(struct pk_api_call *call, struct pk_error *err)
{
    if (!call->after) {
        return true;
    }
    if (call->round > 0) {
        return pk_after_end(call->parts->watch, call->request, call->after, err);
    }
    return pk_after_begin(call->parts->watch, call->request, call->answer, call->after,
                          call->row->lane, run_again, &call->is_over, err);
}

/* He was let in at the gate; a long body, a queue or a wait may have come between. */
static bool ask_again_who(struct pk_api_call *call, struct pk_error *err)
{
    struct pk_keyring *ring = call->parts->keyring;
    const bool is_read = !(call->row->flags & PK_ROW_WRITES);
    if (!call->who) {
        return true;
    }
    switch (pk_keyring_still(ring, call->who, is_read, err)) {
    case PK_LOOK_FOUND:
        return true;
    case PK_LOOK_REFUSED:
        return false;
    case PK_LOOK_AWAY:
        break;
    }
    if (!pk_keyring_renew(ring, call->who, is_read, call->deadline_ns, &call->renewed, err)) {
        return false;
    }
    call->who = call->renewed;
    return true;
}

/* Nobody comes here without a key but by a public row or the operations' listener. */
static bool check_access(struct pk_api_call *call, struct pk_error *err)
{
    const struct pk_api_row *row = call->row;
    const bool is_let_in =
        call->request->listener == PK_DOOR_OPERATIONS && (row->flags & PK_ROW_DOOR);
    if (row->subject && !row->subject(call, &call->object, err)) {
        return false;
    }
    if (row->flags & PK_ROW_MANY) {
        return pk_access_may_ask(call->who, row->action, err);
    }
    return is_let_in ||
           pk_access_check(call->who, row->action, row->subject ? &call->object : NULL, err);
}

static bool take_person(struct pk_api_call *call, struct pk_error *err)
{
    const char *person = call->object.person;
    struct pk_rate_state state = { 0 };
    if (!(call->row->flags & PK_ROW_WRITES) || !person) {
        return true;
    }
    if (!pk_rate_take(call->parts->rate, PK_RATE_PERSON, person, strlen(person), 1, &state, err)) {
        call->answer->retry_after_s = (int)state.retry_s;
        return false;
    }
    return true;
}

static bool run_handler(struct pk_api_call *call, struct pk_error *err)
{
    struct pk_error own = { 0 };
    if (call->row->run(call, &own) || pk_call_once_was_first(call, &own)) {
        return true;
    }
    *err = own;
    return false;
}

/* A read that was answered is noted: who read what of the person. */
static bool note_read(struct pk_api_call *call, struct pk_error *err)
{
    const struct pk_domain *domain = call->parts->domain;
    (void)err;
    if ((call->row->flags & PK_ROW_READS) && domain && domain->access_log && call->who &&
        call->object.person) {
        pk_access_log_add(domain->access_log, call->object.person, call->who->actor_id,
                          pk_action_get(call->row->action)->name, NULL);
    }
    return true;
}

static const struct {
    const char *name;
    bool (*run)(struct pk_api_call *call, struct pk_error *err);
} step_table[] = {
    { "accept", pk_call_check_accept }, { "parameters", pk_call_read_params },
    { "versions", pk_call_read_match }, { "body", pk_call_read_body },
    { "after", wait_for_write },        { "who", ask_again_who },
    { "access", check_access },         { "effects", pk_call_wait_effects },
    { "match", pk_call_pick_match },    { "person's rate", take_person },
    { "once", pk_call_begin_once },     { "handler", run_handler },
    { "access log", note_read },
};

/* ---- From beginning to end ---- */

void pk_call_begin(struct pk_api_call *call, struct pk_api *api, struct pk_request *request,
                   struct pk_answer *answer)
{
    call->parts = &api->parts;
    call->row = pk_api_row_of(api, request);
    call->request = request;
    call->answer = answer;
    call->who = request->caller;
    call->deadline_ns = pk_deadline_in_ms(api->parts.clock, api->parts.deadline_ms);
    call->by = (struct pk_by){ .actor_id = call->who ? call->who->actor_id : "nobody",
                               .request_id = request->id,
                               .deadline_ns = call->deadline_ns,
                               .cursor = call->position };
}

void pk_call_end(struct pk_api_call *call)
{
    if (call->body) {
        bson_destroy(&call->accepted);
    }
    pk_once_done(&call->once);
    pk_replay_done(&call->replay);
    pk_doc_unref(call->found);
    pk_principal_unref(call->renewed);
    pk_faults_done(&call->faults);
}

static void tell_cursor(struct pk_api_call *call)
{
    const char *cursor = call->wrote ? call->wrote : call->position;
    if (*cursor) {
        (void)pk_answer_header(call->request, call->answer, "PersonaKit-Cursor", cursor, NULL);
    }
}

static bool go(struct pk_api_call *call, struct pk_error *err)
{
    for (size_t i = 0; i < PK_COUNT(step_table) && !call->is_over; i++) {
        if (!step_table[i].run(call, err)) {
            return false;
        }
    }
    return true;
}

static void run(struct pk_api *api, struct pk_request *request, struct pk_answer *answer, int round)
{
    PK_CLEANUP(pk_call_end) struct pk_api_call call = { .round = round };
    struct pk_error err = { 0 };
    const int64_t store_ns = pk_store_thread_ns();
    const size_t headers = answer->header_count; /* The gate's, and net's. */

    pk_call_begin(&call, api, request, answer);
    answer->status = call.row->status ? call.row->status : 200;
    if (go(&call, &err)) {
        tell_cursor(&call);
    } else {
        answer->etag = NULL;
        answer->header_count = err.code == PK_MEDIA_TYPE ? answer->header_count : headers;
        pk_call_fail(&call, &err);
    }
    request->times.store_ns += pk_store_thread_ns() - store_ns;
}

void pk_api_run(void *context, struct pk_request *request, struct pk_answer *answer)
{
    run(context, request, answer, 0);
}

static void run_again(void *context, struct pk_request *request, struct pk_answer *answer)
{
    run(context, request, answer, 1);
}

void pk_api_run_waited(void *context, struct pk_request *request, struct pk_answer *answer)
{
    run(context, request, answer, 2);
}
