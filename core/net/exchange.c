/* exchange.c - One request and its answer, from lane to lane until there is something to send.
 *
 *     start ──▶ handler on its lane ──▶ then: SEND    the answer goes out
 *                  ▲                          MOVE    another handler, another lane
 *                  └──────────────────────────┤
 *                     woken, out of time ◀──  PARK    waits at the loop
 *                                             EVENTS  the connection becomes a stream
 *
 * An exchange belongs to the loop, but while a lane has it: then the loop only
 * knows that it runs. When its client goes meanwhile, 'conn' becomes NULL, the
 * handler is left to finish, and what it answers is dropped.
 *
 * Exchanges are used again: a loop keeps a few spare ones, so that a request
 * on the hot path allocates next to nothing. */
/* SPDX-License-Identifier: MIT */
#include "net/net_internal.h"

#include "base/alloc.h"
#include "base/crypto.h"

#include <string.h>

enum {
    SPARE_MAX = 32,             /* Kept by each loop. */
    SPARE_BYTES_MAX = 16 * 1024 /* A buffer larger than this is not kept. */
};

struct pk_exchange *pk_exchange_of(struct pk_request *request)
{
    return (struct pk_exchange *)request;
}

static void open_mail(struct pk_mail *mail)
{
    struct pk_exchange *exchange =
        (struct pk_exchange *)(void *)((char *)mail - offsetof(struct pk_exchange, mail));
    if (exchange->conn) {
        pk_conn_answered(exchange->conn, exchange);
    } else {
        pk_exchange_free(exchange);
    }
}

struct pk_exchange *pk_exchange_new(struct pk_loop *loop)
{
    struct pk_exchange *exchange = loop->spare;
    if (exchange) {
        loop->spare = exchange->next;
        loop->spare_count--;
        exchange->next = NULL;
    } else {
        exchange = pk_calloc(1, sizeof(*exchange));
    }
    exchange->loop = loop;
    exchange->mail.open = open_mail;
    return exchange;
}

void pk_exchange_free(struct pk_exchange *exchange)
{
    if (!exchange) {
        return;
    }
    struct pk_loop *loop = exchange->loop;
    struct pk_buf text = exchange->text;
    struct pk_arena arena = exchange->request.arena;

    pk_stream_free(exchange->stream);
    pk_parked_end(exchange->parked);
    pk_sse_cut(exchange->sse);
    pk_answer_done(&exchange->answer);
    pk_buf_done(&exchange->request.body);
    bool is_kept = loop->spare_count < SPARE_MAX && text.capacity <= SPARE_BYTES_MAX &&
                   arena.used_bytes <= SPARE_BYTES_MAX;
    if (!is_kept) {
        pk_buf_done(&text);
        pk_arena_done(&arena);
        pk_free(exchange);
        return;
    }
    pk_arena_reset(&arena);
    pk_buf_clear(&text);
    memset((void *)exchange, 0, sizeof(*exchange));
    exchange->text = text;
    exchange->request.arena = arena;
    exchange->next = loop->spare;
    loop->spare = exchange;
    loop->spare_count++;
}

void pk_exchange_name(struct pk_exchange *exchange, struct pk_loop *loop)
{
    if (exchange->request.id[0] == '\0') {
        /* A counter, spread over all 64 bits by a multiplication that can be undone: no two ids
         * of a loop are equal. */
        uint64_t id = (loop->id_base + loop->id_count++) * 0x9E3779B97F4A7C15ULL;
        pk_hex(exchange->request.id, &id, sizeof(id));
    }
}

/* ---- From lane to lane ---- */

enum step { STEP_RUN, STEP_SEND, STEP_WAIT };

/* A handler has returned, and we are on the loop. */
static enum step settle(struct pk_exchange *exchange)
{
    struct pk_answer *answer = &exchange->answer;
    enum pk_then then = answer->then;
    answer->then = PK_THEN_SEND;
    if (then == PK_THEN_SEND) {
        return STEP_SEND;
    }
    if (then == PK_THEN_EVENTS) {
        pk_sse_begin(exchange->sse, exchange);
        return STEP_WAIT;
    }
    exchange->request.lane = answer->lane;
    exchange->handler = answer->handler;
    if (then == PK_THEN_PARK && pk_parked_begin(exchange->parked, exchange)) {
        pk_conn_wait(exchange->conn, PK_CONN_PARKED, answer->park_ms);
        return STEP_WAIT;
    }
    return STEP_RUN;
}

static void be_busy(struct pk_exchange *exchange)
{
    exchange->answer.retry_after_s = 1;
    pk_answer_problem(&exchange->request, &exchange->answer, 503, "busy",
                      "too many requests are waiting", "try again in a second");
}

/* Runs exchange->handler, and those behind it, as far as that goes on this thread. */
static bool run(struct pk_exchange *exchange)
{
    const struct pk_net *net = exchange->loop->net;
    enum step step = STEP_RUN;
    while (step == STEP_RUN) {
        struct pk_lane *lane = net->lane[exchange->request.lane];
        if (lane) {
            if (pk_lane_add(lane, exchange)) {
                pk_conn_wait(exchange->conn, PK_CONN_RUNNING, 0);
                return false;
            }
            be_busy(exchange);
            return true;
        }
        exchange->handler(net->options.context, &exchange->request, &exchange->answer);
        step = settle(exchange);
    }
    return step == STEP_SEND;
}

bool pk_exchange_start(struct pk_exchange *exchange)
{
    struct pk_request *request = &exchange->request;
    pk_exchange_name(exchange, exchange->loop);
    pk_cors_add(exchange);
    if (!request->route) {
        struct pk_match match;
        pk_route_find(exchange->loop->net, request, &match);
        if (!pk_cors_options(exchange, &match)) {
            pk_route_miss(exchange->loop->net, &match, request, &exchange->answer);
        }
        return true;
    }
    request->lane = request->route->lane;
    exchange->handler = request->route->handler;
    return run(exchange);
}

bool pk_exchange_returned(struct pk_exchange *exchange)
{
    enum step step = settle(exchange);
    return step == STEP_RUN ? run(exchange) : step == STEP_SEND;
}

bool pk_exchange_resume(struct pk_exchange *exchange, bool is_timed_out)
{
    pk_parked_end(exchange->parked);
    exchange->parked = NULL;
    exchange->request.is_timed_out = is_timed_out;
    return run(exchange);
}
