/* gate.c - Who asks, and whether so often: before a byte of the body is taken.
 *
 *     listener of operations?  ── only rows that say so, without a key
 *     public row?              ── open, whatever key was sent
 *     address ── rate ── Authorization ── keyring ── rate of the key ── may he ask for this at all?
 *                                            │
 *                              not in memory: the same on an executor (fetch)
 *
 * Public rows are answered from memory and are not counted, so that whoever
 * watches over the server is never told to come back later. Who comes by a
 * Unix socket has no address to be counted by.
 *
 * The caller that is left with the request is a reference to a principal. A
 * look allocates nothing but in the request's arena. */
/* SPDX-License-Identifier: MIT */
#include "access/keyring.h"
#include "access/rate.h"
#include "api/api_internal.h"
#include "base/alloc.h"
#include "base/clock.h"
#include "base/error.h"

#include <string.h>
#include <strings.h>

/* A request at the gate. */
struct visit {
    const struct pk_api *api;
    const struct pk_api_row *row;
    struct pk_request *request;
    struct pk_answer *answer;
    const char *key; /* What stands behind "Bearer". */
    struct pk_rate_state rate;
};

static enum pk_gate_says shut(struct visit *visit, const struct pk_error *err)
{
    if (err->code == PK_LIMITED) {
        visit->answer->retry_after_s = (int)visit->rate.retry_s;
    }
    pk_fail_answer(visit->request, visit->answer, err, NULL);
    return PK_GATE_SHUT;
}

/* ---- Rates ---- */

/* The tighter of both limits; nothing when none is set. Once for each request. */
static void tell_rate(struct visit *visit)
{
    const struct pk_rate_state *rate = &visit->rate;
    if (rate->limit) {
        pk_answer_number(visit->request, visit->answer, "RateLimit-Limit", rate->limit);
        pk_answer_number(visit->request, visit->answer, "RateLimit-Remaining", rate->remaining);
        pk_answer_number(visit->request, visit->answer, "RateLimit-Reset", (uint64_t)rate->reset_s);
    }
}

static bool has_address(const struct pk_request *request)
{
    static const uint8_t none[sizeof(request->address)] = { 0 };
    return memcmp(request->address, none, sizeof(none)) != 0;
}

static bool take_address(struct visit *visit, uint32_t cost, struct pk_error *err)
{
    return !has_address(visit->request) ||
           pk_rate_take(visit->api->parts.rate, PK_RATE_ADDRESS, visit->request->address,
                        sizeof(visit->request->address), cost, &visit->rate, err);
}

bool pk_gate_take_address(const struct pk_api *api, struct pk_request *request)
{
    struct visit visit = { .api = api, .request = request };
    return take_address(&visit, 1, NULL);
}

static bool take_key(struct visit *visit, const struct pk_principal *principal,
                     struct pk_error *err)
{
    struct pk_rate_state state = { 0 };
    const bool ok = pk_rate_take(visit->api->parts.rate, PK_RATE_KEY, principal->key_id,
                                 strlen(principal->key_id), 1, &state, err);
    if (!ok) {
        visit->rate = state;
    } else if (state.limit) {
        visit->rate = visit->rate.limit ? pk_rate_tighter(visit->rate, state) : state;
    }
    return ok;
}

/* ---- The key ---- */

/* 401 as RFC 6750 has it: who sent nothing is told what is wanted, not what was wrong. */
static enum pk_gate_says challenge(struct visit *visit, const char *how, const struct pk_error *err)
{
    (void)pk_answer_header(visit->request, visit->answer, "WWW-Authenticate", how, NULL);
    return shut(visit, err);
}

static enum pk_gate_says refuse(struct visit *visit, const struct pk_error *err)
{
    return err->code == PK_UNAUTHORIZED
               ? challenge(visit, "Bearer realm=\"personakit\", error=\"invalid_token\"", err)
               : shut(visit, err);
}

static bool fail_key(struct pk_error *err)
{
    return pk_fail(err, PK_UNAUTHORIZED, "send 'Authorization: Bearer' and a valid key",
                   "the key is missing or not valid");
}

/* What stands behind "Bearer", or NULL. */
static const char *bearer_of(const char *text)
{
    static const char scheme[] = "bearer";
    const size_t size = sizeof(scheme) - 1;
    if (strncasecmp(text, scheme, size) != 0 || (text[size] != ' ' && text[size] != '\0')) {
        return NULL;
    }
    return text + size + strspn(text + size, " ");
}

const char *pk_gate_key(const struct pk_request *request)
{
    const char *text = NULL;
    return pk_header_count(request, "authorization", &text) == 1 ? bearer_of(text) : NULL;
}

/* False: shut, and answered. */
static bool find_key(struct visit *visit)
{
    struct pk_error err = { 0 };
    const char *text = NULL;
    const size_t count = pk_header_count(visit->request, "authorization", &text);

    visit->key = count == 1 ? bearer_of(text) : NULL;
    if (visit->key) {
        return true;
    }
    if (count > 1) {
        (void)pk_fail_field(&err, PK_INVALID, "Authorization", "send one",
                            "there is more than one Authorization header");
        (void)challenge(visit, "Bearer realm=\"personakit\", error=\"invalid_request\"", &err);
        return false;
    }
    (void)fail_key(&err);
    (void)challenge(visit,
                    count ? "Bearer realm=\"personakit\", error=\"invalid_token\""
                          : "Bearer realm=\"personakit\"",
                    &err);
    return false;
}

static bool is_read(const struct visit *visit)
{
    return !(visit->row->flags & PK_ROW_WRITES);
}

/* Who asks is known; the reference moves to the request. */
static enum pk_gate_says welcome(struct visit *visit, struct pk_principal *principal,
                                 struct pk_error *err)
{
    visit->request->caller = principal;
    const bool ok =
        take_key(visit, principal, err) && pk_access_may_ask(principal, visit->row->action, err);
    tell_rate(visit);
    return ok ? PK_GATE_OPEN : shut(visit, err);
}

/* ---- The operations' listener ---- */

static enum pk_gate_says at_the_back_door(struct visit *visit)
{
    struct pk_error err = { 0 };
    if (visit->row->flags & PK_ROW_DOOR) {
        return PK_GATE_OPEN;
    }
    (void)pk_fail(&err, PK_NOT_FOUND, "use the server's main address",
                  "there is no such thing at this address, which is for operations");
    return shut(visit, &err);
}

/* ---- The gate ---- */

static struct visit visit_of(const struct pk_api *api, struct pk_request *request,
                             struct pk_answer *answer)
{
    return (struct visit){
        .api = api, .row = pk_api_row_of(api, request), .request = request, .answer = answer
    };
}

static enum pk_gate_says look(void *context, struct pk_request *request, struct pk_answer *answer)
{
    const struct pk_api *api = context;
    struct visit visit = visit_of(api, request, answer);
    struct pk_principal *principal = NULL;
    struct pk_error err = { 0 };

    if (request->listener == PK_DOOR_OPERATIONS) {
        return at_the_back_door(&visit);
    }
    if (pk_row_is_public(visit.row)) {
        return PK_GATE_OPEN;
    }
    if (!take_address(&visit, 1, &err)) {
        tell_rate(&visit);
        return shut(&visit, &err);
    }
    if (!find_key(&visit)) {
        tell_rate(&visit);
        return PK_GATE_SHUT;
    }
    switch (pk_keyring_look(api->parts.keyring, visit.key, strlen(visit.key), is_read(&visit),
                            &principal, &err)) {
    case PK_LOOK_FOUND:
        return welcome(&visit, principal, &err);
    case PK_LOOK_REFUSED:
        tell_rate(&visit);
        return refuse(&visit, &err);
    case PK_LOOK_AWAY:
        return PK_GATE_AWAY;
    }
    return PK_GATE_SHUT;
}

static bool fetch(void *context, struct pk_request *request, struct pk_answer *answer)
{
    const struct pk_api *api = context;
    struct visit visit = visit_of(api, request, answer);
    struct pk_principal *principal = NULL;
    struct pk_error err = { 0 };

    /* The address was counted on the loop; here it is only asked how it stands. */
    (void)take_address(&visit, 0, NULL);
    if (!find_key(&visit)) {
        return false;
    }
    if (!pk_keyring_fetch(api->parts.keyring, visit.key, strlen(visit.key), is_read(&visit),
                          pk_deadline_in_ms(api->parts.clock, api->parts.deadline_ms), &principal,
                          &err)) {
        tell_rate(&visit);
        (void)refuse(&visit, pk_fail_outside(&err));
        return false;
    }
    return welcome(&visit, principal, &err) == PK_GATE_OPEN;
}

static void leave(void *context, void *caller)
{
    (void)context;
    pk_principal_unref(caller);
}

const struct pk_gate *pk_api_gate(void)
{
    static const struct pk_gate gate = { .look = look, .fetch = fetch, .leave = leave };
    return &gate;
}
