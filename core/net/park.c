/* park.c - Requests that wait at their loop without a thread.
 *
 *     handler ──pk_answer_park──▶ returns ──▶ PARKED ──woken, or out of time──▶ next handler
 *                    │                          ▲
 *                    └── reference ──▶ waker ───┘ mail
 *
 * The waker may be quicker than the handler's return: then the wake is
 * remembered, and parking ends before it begins. 'exchange' and 'is_woken'
 * belong to the loop's thread, so the two ways out cannot both be taken. */
/* SPDX-License-Identifier: MIT */
#include "net/net_internal.h"
#include "net/stream.h"

#include "base/alloc.h"

struct pk_parked {
    struct pk_tie tie;
    struct pk_exchange *exchange; /* While it is parked. Loop thread only. */
    bool is_woken;                /* Loop thread only. */
};

static void arrive(struct pk_tie *tie)
{
    struct pk_parked *parked = (struct pk_parked *)tie;
    struct pk_exchange *exchange = parked->exchange;
    parked->is_woken = true;
    if (exchange) {
        pk_conn_unpark(exchange->conn, false);
    }
}

static void done(struct pk_tie *tie)
{
    pk_free(tie);
}

struct pk_parked *pk_answer_park(struct pk_request *request, struct pk_answer *answer,
                                 int64_t timeout_ms, enum pk_lane_name lane, pk_handler_fn *handler)
{
    struct pk_exchange *exchange = pk_exchange_of(request);
    struct pk_parked *parked = pk_calloc(1, sizeof(*parked));
    pk_tie_init(&parked->tie, exchange->loop, arrive, done);
    pk_tie_ref(&parked->tie); /* The exchange's. */
    exchange->parked = parked;
    answer->then = PK_THEN_PARK;
    answer->lane = lane;
    answer->handler = handler;
    answer->park_ms = timeout_ms > 0 ? timeout_ms : 1;
    return parked;
}

bool pk_parked_begin(struct pk_parked *parked, struct pk_exchange *exchange)
{
    parked->exchange = exchange;
    return !parked->is_woken;
}

void pk_parked_end(struct pk_parked *parked)
{
    if (parked) {
        parked->exchange = NULL;
        pk_tie_cut(&parked->tie);
        pk_tie_unref(&parked->tie);
    }
}

bool pk_parked_wake(struct pk_parked *parked)
{
    (void)pthread_mutex_lock(&parked->tie.lock);
    bool is_there = pk_tie_post_locked(&parked->tie);
    (void)pthread_mutex_unlock(&parked->tie.lock);
    return is_there;
}

void pk_parked_unref(struct pk_parked *parked)
{
    if (parked) {
        pk_tie_unref(&parked->tie);
    }
}
