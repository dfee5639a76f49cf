/* exchange.c - One request and its answer, from lane to lane until there is something to send.
 *
 *     enter ──▶ the gate: OPEN, SHUT, or AWAY ──▶ gate.fetch on the store's lane
 *       │ let in                                        │ let in
 *       ▼                                               ▼
 *     start ──▶ handler on its lane ──▶ then: SEND    the answer goes out
 *                  ▲                          MOVE    another handler, another lane
 *                  └──────────────────────────┤
 *                     woken, out of time ◀──  PARK    waits at the loop
 *                                             EVENTS  the connection becomes a stream
 *
 * An exchange belongs to the loop, but while a lane has it: then the loop only
 * knows that it runs. When its client goes meanwhile, 'conn' becomes NULL, the
 * handler is left to finish, and what it answers is dropped. A call that does
 * not come back keeps its exchange: the client is answered with another one,
 * and the last of thread and loop frees it.
 *
 * Whoever watches (options.done) is told each request once: when its answer is
 * in the output, or at the latest when it is freed. Then the gate's caller is
 * left.
 *
 * Exchanges are used again: a loop keeps a few spare ones, so that a request
 * on the hot path allocates next to nothing. */
/* SPDX-License-Identifier: MIT */
#include "net/net_internal.h"

#include "base/alloc.h"

#include <string.h>

enum {
    SPARE_MAX = 32,              /* Kept by each loop. */
    SPARE_BYTES_MAX = 16 * 1024, /* A buffer larger than this is not kept. */
    STATUS_GONE = 499            /* Nothing was said: the client had gone. */
};

struct pk_exchange *pk_exchange_of(struct pk_request *request)
{
    return (struct pk_exchange *)request;
}

static struct pk_exchange *exchange_of_mail(struct pk_mail *mail)
{
    return (struct pk_exchange *)(void *)((char *)mail - offsetof(struct pk_exchange, mail));
}

static void open_mail(struct pk_mail *mail)
{
    struct pk_exchange *exchange = exchange_of_mail(mail);
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
    exchange->request.path = exchange->request.query = "";
    return exchange;
}

void pk_exchange_report(struct pk_exchange *exchange)
{
    const struct pk_net_options *options = &exchange->loop->net->options;
    const struct pk_refusal_row *row = exchange->refusal ? pk_refusal_row(exchange->refusal) : NULL;
    if (exchange->is_reported) {
        return;
    }
    exchange->is_reported = true;
    exchange->request.times.sent_ns = exchange->loop->now_ns;
    if (exchange->sse && exchange->sent_status) { /* A stream of events waits; it is not slow. */
        exchange->request.times.park_ns += exchange->loop->now_ns - exchange->since_ns;
    }
    if (options->done) {
        int unsent = row ? row->status : STATUS_GONE;
        const struct pk_done done = { .request = &exchange->request,
                                      .status =
                                          exchange->sent_status ? exchange->sent_status : unsent,
                                      .refusal = row ? row->code : NULL,
                                      .answer_bytes = exchange->sent_bytes };
        options->done(options->done_context, &done);
    }
}

/* Whoever asked is left, and what is not used again freed. */
static void empty(struct pk_exchange *exchange, bool is_abandoned)
{
    struct pk_net *net = exchange->loop->net;
    if (exchange->request.caller && !exchange->is_stand_in && !is_abandoned) {
        net->options.gate->leave(net->options.context, exchange->request.caller);
    }
    pk_stream_free(exchange->stream);
    pk_parked_end(exchange->parked);
    pk_sse_cut(exchange->sse);
    pk_answer_done(&exchange->answer);
    pk_buf_done(&exchange->request.body);
    (void)atomic_fetch_sub(&net->bodies_bytes, exchange->body_counted);
    exchange->body_counted = 0;
}

static void destroy(struct pk_exchange *exchange)
{
    pk_buf_done(&exchange->text);
    pk_arena_done(&exchange->request.arena);
    pk_free(exchange);
}

void pk_exchange_free(struct pk_exchange *exchange)
{
    if (!exchange) {
        return;
    }
    struct pk_loop *loop = exchange->loop;
    if (exchange->is_entered && !exchange->is_reported) {
        if (!exchange->sse) { /* What goes on for ever may be left at any time. */
            exchange->sent_status = 0;
        }
        pk_exchange_report(exchange);
    }
    empty(exchange, false);
    struct pk_buf text = exchange->text;
    struct pk_arena arena = exchange->request.arena;
    bool is_kept = loop->spare_count < SPARE_MAX && text.capacity <= SPARE_BYTES_MAX &&
                   arena.used_bytes <= SPARE_BYTES_MAX;
    if (!is_kept) {
        destroy(exchange);
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

/* Its sixteen digits; ids are no secrets, so a table will do. */
static void print_id(char *out, uint64_t id)
{
    static const char digit[16] = "0123456789abcdef";
    for (int i = 0; i < 16; i += 2, id <<= 8) {
        out[i] = digit[id >> 60];
        out[i + 1] = digit[id >> 56 & 15];
    }
    out[16] = '\0';
}

void pk_exchange_name(struct pk_exchange *exchange, struct pk_loop *loop)
{
    if (exchange->request.id[0] == '\0') {
        /* A counter, spread over all 64 bits by a multiplication that can be undone: no two ids
         * of a loop are equal. */
        uint64_t id = (loop->id_base + loop->id_count++) * 0x9E3779B97F4A7C15ULL;
        print_id(exchange->request.id, id);
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
        exchange->since_ns = exchange->loop->now_ns;
        pk_conn_wait(exchange->conn, PK_CONN_PARKED, answer->park_ms);
        return STEP_WAIT;
    }
    if (then == PK_THEN_PARK) { /* Woken before it could wait. */
        exchange->is_resumed = true;
        pk_parked_end(exchange->parked);
        exchange->parked = NULL;
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
    struct pk_loop *loop = exchange->loop;
    enum step step = STEP_RUN;
    while (step == STEP_RUN) {
        struct pk_lane *lane = loop->net->lane[exchange->request.lane];
        if (lane) {
            if (pk_lane_add(lane, exchange)) {
                pk_conn_wait(exchange->conn, PK_CONN_RUNNING, 0);
                return false;
            }
            be_busy(exchange);
            return true;
        }
        int64_t start_ns = loop->now_ns;
        exchange->handler(loop->net->options.context, &exchange->request, &exchange->answer);
        exchange->request.times.run_ns += pk_loop_now(loop) - start_ns;
        step = settle(exchange);
    }
    return step == STEP_SEND;
}

/* ---- The gate ---- */

static void fetch(void *context, struct pk_request *request, struct pk_answer *answer)
{
    struct pk_exchange *exchange = pk_exchange_of(request);
    const struct pk_gate *gate = exchange->loop->net->options.gate;
    exchange->is_let_in = gate->fetch(context, request, answer);
}

enum pk_entry pk_exchange_enter(struct pk_exchange *exchange)
{
    struct pk_request *request = &exchange->request;
    const struct pk_net *net = exchange->loop->net;
    const struct pk_gate *gate = net->options.gate;
    exchange->is_entered = true;
    pk_exchange_name(exchange, exchange->loop);
    pk_link_show(exchange->conn, request);
    pk_cors_add(exchange);
    exchange->gate_headers = exchange->answer.header_count;
    if (!gate || !request->route) {
        return PK_ENTRY_OPEN;
    }
    enum pk_gate_says says = gate->look(net->options.context, request, &exchange->answer);
    exchange->gate_headers = exchange->answer.header_count;
    if (says == PK_GATE_OPEN) {
        return PK_ENTRY_OPEN;
    }
    if (says == PK_GATE_AWAY) {
        exchange->handler = fetch;
        exchange->is_fetching = true;
        if (pk_lane_add(net->lane[PK_LANE_STORE], exchange)) {
            return PK_ENTRY_AWAY;
        }
        exchange->is_fetching = false;
        be_busy(exchange);
    }
    return PK_ENTRY_SHUT;
}

/* ---- Ways on ---- */

bool pk_exchange_start(struct pk_exchange *exchange)
{
    struct pk_request *request = &exchange->request;
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
    exchange->gate_headers = exchange->answer.header_count;
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
    exchange->is_resumed = true;
    exchange->request.is_timed_out = is_timed_out;
    exchange->request.times.park_ns += exchange->loop->now_ns - exchange->since_ns;
    return run(exchange);
}

/* ---- Hung calls ---- */

/* An exchange that says so for 'hung', whose request and answer a thread still has: what is read
 * here was there before the thread began, and does not change. */
static struct pk_exchange *stand_in(const struct pk_exchange *hung)
{
    const struct pk_request *from = &hung->request;
    struct pk_exchange *exchange = pk_exchange_new(hung->loop);
    struct pk_request *to = &exchange->request;
    exchange->conn = hung->conn;
    exchange->is_keep_alive = hung->is_keep_alive;
    exchange->is_http_1_0 = hung->is_http_1_0;
    exchange->is_entered = true;
    exchange->is_stand_in = true;
    to->method = from->method;
    to->path = from->path;
    memcpy(to->segment, from->segment, sizeof(to->segment));
    to->segment_count = from->segment_count;
    to->query = from->query;
    to->header = from->header;
    to->header_count = from->header_count;
    memcpy(to->id, from->id, sizeof(to->id));
    to->route = from->route;
    to->caller = hung->is_fetching ? NULL : from->caller;
    memcpy(to->address, from->address, sizeof(to->address));
    to->listener = from->listener;
    to->is_secure = from->is_secure;
    to->times.first_ns = from->times.first_ns;
    to->times.head_ns = from->times.head_ns;
    to->times.whole_ns = from->times.whole_ns;
    to->times.queue_ns = from->times.queue_ns;
    to->times.run_ns = hung->loop->now_ns - hung->since_ns;
    for (size_t i = 0; i < hung->gate_headers; i++) {
        exchange->answer.header[i] = hung->answer.header[i];
    }
    exchange->answer.header_count = hung->gate_headers;
    pk_answer_problem(to, &exchange->answer, 504, "hung", "the call has not come back in time",
                      "try again later; what it was to do may have been done");
    return exchange;
}

static void open_hung(struct pk_mail *mail)
{
    struct pk_exchange *exchange = exchange_of_mail(mail);
    struct pk_conn *conn = exchange->conn;
    struct pk_exchange *instead = stand_in(exchange);
    exchange->is_reported = true;
    if (conn) {
        pk_conn_hung(conn, instead);
    } else {
        pk_exchange_free(instead); /* Whoever watches is told. */
    }
    if (atomic_fetch_sub(&exchange->holders, 1) == 1) {
        pk_exchange_free(exchange);
    }
}

void pk_exchange_lose(struct pk_exchange *exchange)
{
    atomic_store(&exchange->holders, 2);
    exchange->mail = (struct pk_mail){ .open = open_hung };
    pk_loop_post(exchange->loop, &exchange->mail);
}

void pk_exchange_drop(struct pk_exchange *exchange, bool is_abandoned)
{
    if (atomic_fetch_sub(&exchange->holders, 1) == 1) {
        empty(exchange, is_abandoned);
        destroy(exchange);
    }
}
