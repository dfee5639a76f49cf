/* conn.c - One client: bytes in, answers out, in the order of the requests.
 *
 *     IDLE ──byte──▶ HEAD ──head whole──▶ BODY ──whole──▶ RUNNING ◀──▶ PARKED
 *      ▲                │ refused          ▲ │ refused      │ answer written
 *      │                │          reader  │ ▼              ▼
 *      │                │         is behind HELD            EVENTS (for good)
 *      │                ▼                                   ▼
 *      └─────────── LINGER (last)  ◀──────────────── WRITING or IDLE
 *
 * One request at a time: while it runs nothing is read (but the rest of its
 * own streamed body), so pipelined requests wait in the kernel and answers
 * keep their order.
 *
 * Every wait for the client has a deadline that no further byte extends: a
 * head, an answer, an idle connection one absolute; a body and a streamed
 * answer one window after the other, each of which must bring its share of
 * limits.rate_min.
 *
 * After a refusal the answer is the last thing said. The input is then thrown
 * away unread for a moment (LINGER): closing with unread input would reset the
 * connection and could destroy the answer before the client has it.
 *
 * Thread: the loop's. pk_conn_close frees; nothing may touch a conn behind it. */
/* SPDX-License-Identifier: MIT */
#include "net/net_internal.h"

#include "base/alloc.h"

#include <event2/buffer.h>
#include <string.h>
#include <unistd.h>

enum {
    INPUT_HIGH = 64 * 1024,  /* More is left in the kernel. */
    OUTPUT_HIGH = 64 * 1024, /* Above it no further request is looked at. */
    DRAIN_FRESH_MS = 1000    /* For a connection that has asked nothing when the drain begins. */
};

static void advance(struct pk_conn *conn);

/* 'deadline_ms' 0: none. */
static void enter(struct pk_conn *conn, enum pk_conn_state state, int64_t deadline_ms)
{
    struct timeval left = { .tv_sec = (time_t)(deadline_ms / 1000),
                            .tv_usec = (suseconds_t)(deadline_ms % 1000 * 1000) };
    conn->state = state;
    if (deadline_ms > 0) {
        (void)evtimer_add(conn->timer, &left);
    } else {
        (void)evtimer_del(conn->timer);
    }
}

static const struct pk_net_limits *limits(const struct pk_conn *conn)
{
    return &conn->loop->net->options.limits;
}

/* What a window of 'ms' must bring at least. */
static int64_t share(const struct pk_conn *conn, int64_t ms)
{
    return (int64_t)limits(conn)->rate_min * ms / 1000;
}

/* An exchange that nobody else has dies with the connection; one that a lane has, goes on. */
static void leave_exchange(struct pk_conn *conn)
{
    struct pk_exchange *exchange = conn->running;
    conn->running = NULL;
    if (!exchange) {
        return;
    }
    exchange->conn = NULL;
    if (conn->state == PK_CONN_PARKED || conn->state == PK_CONN_EVENTS) {
        pk_exchange_free(exchange);
        return;
    }
    exchange->is_gone = true; /* Before the look at 'stream': see pk_answer_write. */
    pk_stream_cut(exchange->stream);
}

void pk_conn_close(struct pk_conn *conn)
{
    struct pk_loop *loop = conn->loop;
    pk_parser_done(&conn->parser); /* Before the exchange: the parser may have lent it. */
    leave_exchange(conn);
    if (conn->previous) {
        conn->previous->next = conn->next;
    } else {
        loop->conn = conn->next;
    }
    if (conn->next) {
        conn->next->previous = conn->previous;
    }
    pk_addresses_leave(loop->net->addresses, conn->address);
    event_free(conn->timer);
    bufferevent_free(conn->bev);
    pk_free(conn);
    loop->connections--;
    loop->net->connections--;
    if (loop->is_draining && !loop->conn) {
        pk_loop_drained(loop);
    }
}

void pk_conn_finish(struct pk_conn *conn)
{
    struct evbuffer *output = bufferevent_get_output(conn->bev);
    size_t size = evbuffer_get_length(output);
    conn->is_last = true;
    if (size > 0) {
        int64_t rate_ms = (int64_t)(size * 1000 / limits(conn)->rate_min);
        (void)bufferevent_disable(conn->bev, EV_READ);
        enter(conn, PK_CONN_WRITING, limits(conn)->write_ms + rate_ms);
        return;
    }
    if (conn->is_eof) {
        pk_conn_close(conn);
        return;
    }
    (void)shutdown(bufferevent_getfd(conn->bev), SHUT_WR);
    enter(conn, PK_CONN_LINGER, limits(conn)->linger_ms);
    (void)bufferevent_enable(conn->bev, EV_READ);
    struct evbuffer *input = bufferevent_get_input(conn->bev);
    (void)evbuffer_drain(input, evbuffer_get_length(input));
}

/* The one answer to a request that is not taken; the connection ends with it. */
static void refuse(struct pk_conn *conn, enum pk_refusal refusal)
{
    const struct pk_refusal_row *row = pk_refusal_row(refusal);
    bool is_answer_begun =
        conn->running && conn->running->stream && pk_stream_has_begun(conn->running->stream);

    conn->loop->malformed++;
    pk_parser_done(&conn->parser);
    leave_exchange(conn);
    if (is_answer_begun) {
        pk_conn_close(conn); /* Half an answer is out: nothing can be said any more. */
        return;
    }
    struct pk_exchange *nobody = pk_exchange_new(conn->loop);
    pk_exchange_name(nobody, conn->loop);
    pk_answer_problem(&nobody->request, &nobody->answer, row->status, row->code, row->detail,
                      row->hint);
    pk_wire_answer(nobody, true, bufferevent_get_output(conn->bev));
    pk_exchange_free(nobody);
    pk_conn_finish(conn);
}

/* ---- One request after the other ---- */

/* Sends the answer of conn->running, and frees it. False: the connection is ending. */
static bool reply(struct pk_conn *conn)
{
    struct pk_exchange *exchange = conn->running;
    struct pk_stream *stream = exchange->stream;
    bool is_last = !exchange->is_keep_alive || conn->is_eof || conn->loop->is_draining;

    if (conn->parser.is_lent) { /* Answered before its body was here: what follows is no request. */
        pk_parser_done(&conn->parser);
        is_last = true;
    }
    if (stream && pk_stream_has_begun(stream)) {
        pk_stream_end(stream);
        is_last = is_last || exchange->is_http_1_0;
    } else {
        pk_wire_answer(exchange, is_last, bufferevent_get_output(conn->bev));
    }
    conn->running = NULL;
    pk_exchange_free(exchange);
    conn->loop->requests++;
    conn->served++;
    if (is_last) {
        pk_conn_finish(conn);
        return false;
    }
    enter(conn, PK_CONN_IDLE, limits(conn)->idle_ms);
    return true;
}

/* A handler may have the request now. False: nothing more may be read now. */
static bool dispatch(struct pk_conn *conn, struct pk_exchange *exchange)
{
    exchange->conn = conn;
    conn->running = exchange;
    return pk_exchange_start(exchange) && reply(conn);
}

static void open_window(struct pk_conn *conn)
{
    conn->window_bytes = conn->parser.body_bytes;
    enter(conn, PK_CONN_BODY, limits(conn)->body_ms);
}

/* The head is whole, and the body not yet. False: nothing more may be read now. */
static bool feed_body(struct pk_conn *conn)
{
    struct pk_parser *parser = &conn->parser;
    if (conn->state == PK_CONN_HEAD) {
        open_window(conn);
    }
    if (parser->is_continue_wanted) {
        parser->is_continue_wanted = false;
        (void)bufferevent_write(conn->bev, "HTTP/1.1 100 Continue\r\n\r\n", 25);
    }
    struct pk_stream *stream = parser->exchange->stream;
    if (!stream) {
        return true;
    }
    if (!parser->is_lent) {
        parser->is_lent = true;
        if (!dispatch(conn, parser->exchange) && !conn->running) {
            return false; /* Answered without its body. */
        }
    }
    if (pk_stream_is_full(stream)) {
        (void)bufferevent_disable(conn->bev, EV_READ);
        enter(conn, PK_CONN_HELD, 0);
        return false;
    }
    return true;
}

/* The last byte of the request is here. */
static bool feed_end(struct pk_conn *conn)
{
    bool is_lent = conn->parser.is_lent;
    struct pk_exchange *exchange = pk_parser_take(&conn->parser);
    if (is_lent) {
        pk_conn_wait(conn, PK_CONN_RUNNING, 0);
        return false;
    }
    return dispatch(conn, exchange);
}

/* Feeds what has arrived, up to the end of one request. False: nothing more may be read now. */
static bool feed(struct pk_conn *conn, struct evbuffer *input)
{
    struct evbuffer_iovec piece;
    size_t used;

    (void)evbuffer_peek(input, -1, NULL, &piece, 1);
    if (conn->state == PK_CONN_IDLE) {
        /* The first request has had its deadline since the connection was made. */
        if (conn->served > 0) {
            enter(conn, PK_CONN_HEAD, limits(conn)->head_ms);
        } else {
            conn->state = PK_CONN_HEAD;
        }
    }
    enum pk_refusal refusal = pk_parser_feed(&conn->parser, piece.iov_base, piece.iov_len, &used);
    if (refusal != PK_REFUSAL_NONE) {
        refuse(conn, refusal);
        return false;
    }
    (void)evbuffer_drain(input, used);
    if (conn->parser.is_complete) {
        return feed_end(conn);
    }
    return !conn->parser.is_head_done || feed_body(conn);
}

/* Does what can be done with the bytes that are here. */
static void advance(struct pk_conn *conn)
{
    struct evbuffer *input = bufferevent_get_input(conn->bev);
    struct evbuffer *output = bufferevent_get_output(conn->bev);

    while (evbuffer_get_length(input) > 0) {
        if (evbuffer_get_length(output) > OUTPUT_HIGH && conn->state == PK_CONN_IDLE) {
            (void)bufferevent_disable(conn->bev, EV_READ);
            enter(conn, PK_CONN_WRITING, limits(conn)->write_ms);
            return;
        }
        if (!feed(conn, input)) {
            return;
        }
    }
    if (conn->is_eof) {
        if (conn->parser.is_lent) {
            pk_conn_close(conn); /* The handler's next read says that the body broke off. */
        } else {
            pk_conn_finish(conn); /* What was begun will not be finished. */
        }
    }
}

/* ---- What libevent calls ---- */

static bool is_reading(const struct pk_conn *conn)
{
    return conn->state == PK_CONN_IDLE || conn->state == PK_CONN_HEAD ||
           conn->state == PK_CONN_BODY;
}

static void on_read(struct bufferevent *bev, void *context)
{
    struct pk_conn *conn = context;
    if (is_reading(conn)) {
        advance(conn);
    } else if (conn->state == PK_CONN_LINGER || conn->state == PK_CONN_EVENTS) {
        struct evbuffer *input = bufferevent_get_input(bev);
        (void)evbuffer_drain(input, evbuffer_get_length(input));
    }
}

/* The output is out. */
static void on_written(struct bufferevent *bev, void *context)
{
    struct pk_conn *conn = context;
    struct pk_stream *stream = conn->running ? conn->running->stream : NULL;
    if (conn->state == PK_CONN_EVENTS) {
        pk_sse_flush(conn->running->sse);
    } else if (stream) {
        pk_stream_flush(stream);
    }
    if (conn->state != PK_CONN_WRITING) {
        return;
    }
    if (conn->is_last) {
        pk_conn_finish(conn);
        return;
    }
    enter(conn, PK_CONN_IDLE, limits(conn)->idle_ms);
    (void)bufferevent_enable(bev, EV_READ);
    advance(conn);
}

static void on_event(struct bufferevent *bev, short what, void *context)
{
    struct pk_conn *conn = context;
    (void)bev;
    if (what & BEV_EVENT_ERROR || conn->state == PK_CONN_LINGER || conn->state == PK_CONN_EVENTS) {
        pk_conn_close(conn);
        return;
    }
    if (what & BEV_EVENT_EOF) {
        /* The client may still read: what it asked for in full is answered. */
        conn->is_eof = true;
        if (is_reading(conn)) {
            advance(conn);
        }
    }
}

/* A window of a body or of a streamed answer is over. False: it brought too little. */
static bool window_is_good(struct pk_conn *conn)
{
    size_t unsent = evbuffer_get_length(bufferevent_get_output(conn->bev));
    int64_t sent = conn->queued_bytes - (int64_t)unsent;
    if (conn->state == PK_CONN_BODY) {
        int64_t came = (int64_t)(conn->parser.body_bytes - conn->window_bytes);
        open_window(conn);
        return came >= share(conn, limits(conn)->body_ms);
    }
    bool is_good = unsent == 0 || sent - conn->window_sent >= share(conn, limits(conn)->write_ms);
    conn->window_sent = sent;
    enter(conn, conn->state, unsent > 0 ? limits(conn)->write_ms : 0);
    return is_good;
}

static void on_deadline(evutil_socket_t fd, short what, void *context)
{
    struct pk_conn *conn = context;
    (void)fd;
    (void)what;
    switch (conn->state) {
    case PK_CONN_HEAD:
        refuse(conn, PK_REFUSAL_SLOW);
        return;
    case PK_CONN_BODY:
        if (!window_is_good(conn)) {
            refuse(conn, PK_REFUSAL_SLOW);
        }
        return;
    case PK_CONN_HELD:
    case PK_CONN_RUNNING:
        if (!window_is_good(conn)) {
            pk_conn_close(conn);
        }
        return;
    case PK_CONN_PARKED:
        pk_conn_unpark(conn, true);
        return;
    case PK_CONN_EVENTS:
        enter(conn, PK_CONN_EVENTS, limits(conn)->beat_ms);
        pk_sse_beat(conn->running->sse);
        return;
    case PK_CONN_IDLE:
    case PK_CONN_WRITING:
    case PK_CONN_LINGER:
        pk_conn_close(conn);
        return;
    }
}

/* ---- From the loop ---- */

bool pk_conn_new(struct pk_loop *loop, int fd, const struct sockaddr *address)
{
    uint8_t key[16];
    if (!pk_addresses_enter(loop->net->addresses, address, key)) {
        return false;
    }
    struct pk_conn *conn = pk_calloc(1, sizeof(*conn));
    memcpy(conn->address, key, sizeof(key));
    conn->loop = loop;
    conn->bev = bufferevent_socket_new(loop->base, fd, BEV_OPT_CLOSE_ON_FREE);
    conn->timer = evtimer_new(loop->base, on_deadline, conn);
    pk_parser_init(&conn->parser, loop);
    conn->next = loop->conn;
    if (conn->next) {
        conn->next->previous = conn;
    }
    loop->conn = conn;
    loop->connections++;
    loop->net->connections++;
    loop->accepted++;
    bufferevent_setcb(conn->bev, on_read, on_written, on_event, conn);
    bufferevent_setwatermark(conn->bev, EV_READ, 0, INPUT_HIGH);
    enter(conn, PK_CONN_IDLE, loop->is_draining ? DRAIN_FRESH_MS : limits(conn)->head_ms);
    (void)bufferevent_enable(conn->bev, EV_READ);
    return true;
}

void pk_conn_wait(struct pk_conn *conn, enum pk_conn_state state, int64_t ms)
{
    if (conn->parser.is_lent && !conn->parser.is_complete && state == PK_CONN_RUNNING) {
        return; /* The rest of the body is still read. */
    }
    (void)bufferevent_disable(conn->bev, EV_READ);
    enter(conn, state, ms);
}

/* There is an answer: sends it, and goes on with what the client has sent since. */
static void go_on(struct pk_conn *conn)
{
    bool was_waiting = !is_reading(conn);
    if (reply(conn)) {
        if (was_waiting) {
            (void)bufferevent_enable(conn->bev, EV_READ);
        }
        advance(conn);
    }
}

void pk_conn_answered(struct pk_conn *conn, struct pk_exchange *exchange)
{
    if (pk_exchange_returned(exchange)) {
        go_on(conn);
    }
}

void pk_conn_unpark(struct pk_conn *conn, bool is_timed_out)
{
    bool has_body_left = conn->parser.is_lent;
    enter(conn, PK_CONN_RUNNING, 0);
    if (has_body_left) {
        open_window(conn);
        (void)bufferevent_enable(conn->bev, EV_READ);
    }
    if (pk_exchange_resume(conn->running, is_timed_out)) {
        go_on(conn);
    } else if (has_body_left) {
        advance(conn);
    }
}

void pk_conn_end_events(struct pk_conn *conn)
{
    struct pk_exchange *exchange = conn->running;
    conn->running = NULL;
    pk_exchange_free(exchange);
    conn->loop->requests++;
    pk_conn_finish(conn);
}

void pk_conn_feed_again(struct pk_conn *conn)
{
    if (conn->state == PK_CONN_HELD) {
        open_window(conn);
        (void)bufferevent_enable(conn->bev, EV_READ);
        advance(conn);
    }
}

void pk_conn_sending(struct pk_conn *conn, size_t added_bytes)
{
    size_t unsent = evbuffer_get_length(bufferevent_get_output(conn->bev));
    conn->queued_bytes += (int64_t)added_bytes;
    bool is_timed = evtimer_pending(conn->timer, NULL);
    if ((conn->state == PK_CONN_RUNNING || conn->state == PK_CONN_HELD) && unsent > 0 &&
        !is_timed) {
        conn->window_sent = conn->queued_bytes - (int64_t)unsent;
        enter(conn, conn->state, limits(conn)->write_ms);
    }
}

void pk_conn_drain(struct pk_conn *conn)
{
    char byte;
    if (conn->state == PK_CONN_EVENTS) {
        pk_sse_drain(conn->running->sse);
        return;
    }
    if (conn->state != PK_CONN_IDLE) {
        return;
    }
    /* A request may lie in the kernel, accepted and not yet read. */
    bool has_input = evbuffer_get_length(bufferevent_get_input(conn->bev)) > 0 ||
                     recv(bufferevent_getfd(conn->bev), &byte, 1, MSG_PEEK | MSG_DONTWAIT) == 1;
    if (conn->served > 0 && !has_input) {
        pk_conn_finish(conn);
    } else {
        enter(conn, PK_CONN_IDLE, DRAIN_FRESH_MS);
    }
}
