/* api_internal.h - What the files of the front share; resources (actors.c ...) include row.h only.
 *
 *     api.c       the list of tables, and the routes made of it
 *     gate.c      who asks, and how often: on the loop, before the body
 *     run.c       what every request goes through on its way to a handler
 *     query.c     parameters of query and path
 *     headers.c   Accept, Content-Type, If-Match
 *     body.c      from JSON to a checked document
 *     once.c      Idempotency-Key
 *     wait.c      ?wait=processed
 *     call.c      what handlers call
 *     fail.c      what a failure says
 *     hot_lane.c  ready answers, on the loop */
/* SPDX-License-Identifier: MIT */
#ifndef PK_API_API_INTERNAL_H
#define PK_API_API_INTERNAL_H

#include "api/row.h"

struct pk_openapi;

struct pk_api {
    struct pk_api_parts parts;
    const struct pk_api_row **row; /* In the order of 'route'. */
    struct pk_route *route;
    size_t count; /* Of both. */
    struct pk_openapi *openapi;
};

/* The row of a request that a route has taken. */
const struct pk_api_row *pk_api_row_of(const struct pk_api *api, const struct pk_request *request);
bool pk_row_is_public(const struct pk_api_row *row);

/* ---- gate.c ---- */

/* For public rows, where the gate looks at nothing: what stands behind "Bearer", or NULL. */
const char *pk_gate_key(const struct pk_request *request);
/* Counts a request against its address; false: there were too many. */
bool pk_gate_take_address(const struct pk_api *api, struct pk_request *request);

/* ---- run.c ---- */

pk_handler_fn pk_api_run; /* The handler of every route with 'run'; 'context' is the api. */
/* The same once it has waited for the effects of earlier writes. */
pk_handler_fn pk_api_run_waited;

/* What every call begins and ends with. */
void pk_call_begin(struct pk_api_call *call, struct pk_api *api, struct pk_request *request,
                   struct pk_answer *answer);
void pk_call_end(struct pk_api_call *call);

/* ---- wait.c ---- */

/* Whether the row takes ?wait=processed: a write whose tasks can be waited for, or a read of one
 * person that takes ?after=. */
bool pk_row_may_wait(const struct pk_api_row *row);
/* A step of run.c: a read waits until the person's tasks that are pending now have ended. */
bool pk_call_wait_effects(struct pk_api_call *call, struct pk_error *err);

/* ---- headers.c ---- */

/* How often a header is there; its last value in '*out'. */
size_t pk_header_count(const struct pk_request *request, const char *name, const char **out);
/* Steps of run.c. */
bool pk_call_check_accept(struct pk_api_call *call, struct pk_error *err);
bool pk_call_read_match(struct pk_api_call *call, struct pk_error *err);
/* Picks the version out of a list, once it is known which one is stored. */
bool pk_call_pick_match(struct pk_api_call *call, struct pk_error *err);
/* '*out_is_text': it is of row->text_type. */
bool pk_call_check_type(struct pk_api_call *call, bool *out_is_text, struct pk_error *err);

/* ---- query.c, body.c: steps of run.c, too ---- */

bool pk_call_read_params(struct pk_api_call *call, struct pk_error *err);
bool pk_call_read_body(struct pk_api_call *call, struct pk_error *err);

/* ---- once.c ---- */

bool pk_call_begin_once(struct pk_api_call *call, struct pk_error *err);
/* The handler has failed with 'err': true when another request with this key had been first, and
 * its answer is sent instead. */
bool pk_call_once_was_first(struct pk_api_call *call, const struct pk_error *err);

/* ---- fail.c ---- */

/* Answers with the problem, its field and all faults of the body. */
void pk_call_fail(struct pk_api_call *call, const struct pk_error *err);
/* What may be said of it to who asked: a store that is away has words that name hosts. */
const struct pk_error *pk_fail_outside(const struct pk_error *err);
/* The same where there is no call yet. */
void pk_fail_answer(const struct pk_request *request, struct pk_answer *answer,
                    const struct pk_error *err, const struct pk_faults *faults);

#endif
