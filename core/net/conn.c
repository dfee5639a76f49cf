/* conn.c - One client: bytes in, answers out, in the order of the requests.
 *
 *     IDLE ──byte──▶ HEAD ──head whole, let in──▶ BODY ──whole──▶ RUNNING ◀──▶ PARKED
 *      ▲                │ refused                ▲ │ refused      │ answer written
 *      │                │                reader  │ ▼              ▼
 *      │                │               is behind HELD            EVENTS (for good)
 *      │                ▼                                         ▼
 *      └─────────── LINGER (last)  ◀────────────────────── WRITING or IDLE
 *
 * One request at a time: while it runs nothing is read (but the rest of its
 * own streamed body), so pipelined requests wait in the kernel and answers
 * keep their order. While the gate asks elsewhere who it is that asks, the
 * connection is RUNNING, too, and the body has to wait.
 *
 * Every wait for the client has a deadline that no further byte extends: a
 * head, an answer, an idle connection one absolute; a body and a streamed
 * answer one window after the other, each of which must bring its share of
 * limits.rate_min. A deadline that moves on leaves its timer as it is: when
 * that comes too early, it is set again.
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
#include <sys/ioctl.h>

enum {
    OUTPUT_HIGH = 64 * 1024, /* Above it no further request is looked at. */
    DRAIN_FRESH_MS = 1000,   /* For a connection that has asked nothing when the drain begins. */
    NS_PER_MS = 1000 * 1000
};

static void advance(struct pk_conn *conn);

static bool is_reading(const struct pk_conn *conn)
{
    return conn->state == PK_CONN_IDLE || conn->state == PK_CONN_HEAD ||
           conn->state == PK_CONN_BODY;
}

static size_t input_size(struct pk_conn *conn)
{
    struct evbuffer *input = pk_link_input(conn);
    return input ? evbuffer_get_length(input) : 0;
}

static void drop_input(struct pk_conn *conn)
{
    struct evbuffer *input = pk_link_input(conn);
    if (input) {
        (void)evbuffer_drain(input, evbuffer_get_length(input));
    }
}

static const struct pk_net_limits *limits(const struct pk_conn *conn)
{
    return &conn->loop->net->options.limits;
}

/* ---- Deadlines ---- */

static void set_timer(struct pk_conn *conn)
{
    int64_t left_ns = conn->deadline_ns - conn->loop->now_ns;
    int64_t left_us = left_ns > 0 ? left_ns / 1000 + 1 : 0;
    struct timeval left = { .tv_sec = (time_t)(left_us / 1000000),
                            .tv_usec = (suseconds_t)(left_us % 1000000) };
    conn->timer_ns = conn->deadline_ns;
    (void)evtimer_add(&conn->timer, &left);
}

/* 'deadline_ms' 0: none. */
static void enter(struct pk_conn *conn, enum pk_conn_state state, int64_t deadline_ms)
{
    conn->state = state;
    conn->deadline_ns = deadline_ms > 0 ? conn->loop->now_ns + deadline_ms * NS_PER_MS : 0;
    if (deadline_ms > 0 && (conn->timer_ns == 0 || conn->timer_ns > conn->deadline_ns)) {
        set_timer(conn);
    }
}

/* What a window of 'ms' must bring at least. */
static int64_t share(const struct pk_conn *conn, int64_t ms)
{
    return (int64_t)limits(conn)->rate_min * ms / 1000;
}

static void open_window(struct pk_conn *conn)
{
    conn->window_bytes = conn->parser.body_bytes;
    enter(conn, PK_CONN_BODY, limits(conn)->body_ms);
}

/* A window of a body or of a streamed answer is over. False: it brought too little. */
static bool window_is_good(struct pk_conn *conn)
{
    size_t unsent = pk_conn_unsent(conn);
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

/* ---- Draining ---- */

/* What the client has sent and nobody has parsed. With TLS a little more than it will be. */
static size_t bytes_at_hand(struct pk_conn *conn)
{
    int in_kernel = 0;
    size_t in_wire = conn->wire_in && conn->wire_in != pk_link_input(conn)
                         ? evbuffer_get_length(conn->wire_in)
                         : 0;
    (void)ioctl(conn->fd, FIONREAD, &in_kernel);
    return input_size(conn) + in_wire + (size_t)in_kernel;
}

/* From here on only what is here already is answered: it was accepted. */
static void begin_drain(struct pk_conn *conn)
{
    if (!conn->is_draining) {
        conn->is_draining = true;
        conn->owed_bytes = bytes_at_hand(conn);
    }
}

static bool is_drained(struct pk_conn *conn)
{
    return conn->is_draining && (conn->owed_bytes == 0 || bytes_at_hand(conn) == 0);
}

static int64_t idle_ms(const struct pk_conn *conn)
{
    return conn->is_draining ? DRAIN_FRESH_MS : limits(conn)->idle_ms;
}

/* ---- The end ---- */

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
    (void)evtimer_del(&conn->timer);
    pk_link_close(conn);
    pk_socket_close(conn);
    pk_free(conn);
    loop->connections--;
    loop->net->connections--;
    if (loop->is_shut && !loop->conn) {
        pk_loop_drained(loop);
    }
}

/* Half an answer is out: nothing can be said any more, but what others were told before it goes. */
static void break_off(struct pk_conn *conn)
{
    pk_socket_send(conn);
    pk_conn_close(conn);
}

/* Nothing is read until the client has taken what there is. */
static void write_out(struct pk_conn *conn)
{
    int64_t rate_ms = (int64_t)(pk_conn_unsent(conn) * 1000 / limits(conn)->rate_min);
    pk_socket_want(conn, false);
    enter(conn, PK_CONN_WRITING, limits(conn)->write_ms + rate_ms);
}

void pk_conn_stuck(struct pk_conn *conn)
{
    if (conn->state == PK_CONN_IDLE) {
        write_out(conn);
    }
}

void pk_conn_finish(struct pk_conn *conn)
{
    conn->is_last = true;
    if (pk_conn_unsent(conn) > 0) {
        write_out(conn);
        return;
    }
    if (conn->is_eof) {
        pk_conn_close(conn);
        return;
    }
    pk_link_end_output(conn);
    enter(conn, PK_CONN_LINGER, limits(conn)->linger_ms);
    drop_input(conn);
    pk_socket_want(conn, true);
}

/* The one answer to a request that is not taken; the connection ends with it. */
static void refuse(struct pk_conn *conn, enum pk_refusal refusal)
{
    const struct pk_refusal_row *row = pk_refusal_row(refusal);
    const size_t most_bytes = conn->parser.body_max_bytes;
    bool is_lent = conn->parser.is_lent;
    struct pk_exchange *exchange = is_lent ? NULL : conn->parser.exchange;
    bool is_answer_begun =
        conn->running && conn->running->stream && pk_stream_has_begun(conn->running->stream);

    conn->loop->malformed++;
    if (conn->running) {
        conn->running->refusal = refusal; /* Told when its handler has returned. */
    }
    if (exchange) {
        conn->parser.exchange = NULL;
    }
    pk_parser_done(&conn->parser);
    leave_exchange(conn);
    if (is_answer_begun) {
        break_off(conn);
        return;
    }
    if (!exchange) {
        exchange = pk_exchange_new(conn->loop);
    }
    exchange->is_reported = is_lent;
    exchange->refusal = refusal;
    exchange->conn = conn;
    pk_exchange_name(exchange, conn->loop);
    pk_link_show(conn, &exchange->request);
    const char *detail = row->detail;
    if (refusal == PK_REFUSAL_BODY_LARGE && most_bytes < SIZE_MAX) {
        detail = pk_arena_printf(&exchange->request.arena, "%s of %zu bytes", detail, most_bytes);
    }
    exchange->answer.retry_after_s = refusal == PK_REFUSAL_BODIES_FULL;
    pk_answer_problem(&exchange->request, &exchange->answer, row->status, row->code, detail,
                      row->hint);
    pk_wire_answer(exchange, true);
    pk_exchange_report(exchange);
    pk_exchange_free(exchange);
    pk_conn_finish(conn);
}

/* ---- One request after the other ---- */

/* Sends the answer of conn->running, and frees it. False: the connection is ending. */
static bool reply(struct pk_conn *conn)
{
    struct pk_exchange *exchange = conn->running;
    struct pk_stream *stream = exchange->stream;
    if (conn->loop->is_drain_wanted) { /* Also when this loop has not yet heard of it. */
        begin_drain(conn);
    }
    /* Who sends no more may have asked for more already. */
    bool is_last =
        !exchange->is_keep_alive || (conn->is_eof && input_size(conn) == 0) || is_drained(conn);

    if (conn->parser.is_lent) { /* Answered before its body was here: what follows is no request. */
        pk_parser_done(&conn->parser);
        is_last = true;
    }
    if (stream && pk_stream_has_begun(stream)) {
        pk_stream_end(stream);
        is_last = is_last || exchange->is_http_1_0;
    } else {
        pk_wire_answer(exchange, is_last);
    }
    conn->running = NULL;
    pk_exchange_report(exchange);
    pk_exchange_free(exchange);
    pk_count(&conn->loop->requests, 1);
    conn->served++;
    if (is_last) {
        pk_conn_finish(conn);
        return false;
    }
    enter(conn, PK_CONN_IDLE, idle_ms(conn));
    return true;
}

/* The head is whole. True: on with it. False: it is refused, or asked about elsewhere; then nothing
 * more may be read now. */
static bool let_in(struct pk_conn *conn, struct pk_exchange *exchange)
{
    bool has_body = !conn->parser.is_complete;
    exchange->conn = conn;
    enum pk_entry entry = pk_exchange_enter(exchange);
    if (entry == PK_ENTRY_OPEN) {
        return true;
    }
    conn->running = exchange;
    conn->parser.is_lent = has_body;
    if (entry == PK_ENTRY_AWAY) {
        pk_socket_want(conn, false);
        enter(conn, PK_CONN_RUNNING, 0);
    }
    return false;
}

/* A handler may have the request now. False: nothing more may be read now. */
static bool dispatch(struct pk_conn *conn, struct pk_exchange *exchange)
{
    conn->running = exchange;
    return pk_exchange_start(exchange) && reply(conn);
}

/* The body may come. False: nothing more may be read now. */
static bool feed_body(struct pk_conn *conn)
{
    struct pk_parser *parser = &conn->parser;
    if (conn->state != PK_CONN_BODY) {
        open_window(conn);
    }
    if (parser->is_continue_wanted) {
        parser->is_continue_wanted = false;
        (void)evbuffer_add(pk_conn_output(conn), "HTTP/1.1 100 Continue\r\n\r\n", 25);
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
        pk_socket_want(conn, false);
        enter(conn, PK_CONN_HELD, 0);
        return false;
    }
    return true;
}

/* The head is whole and a body follows. False: nothing more may be read now. */
static bool feed_head(struct pk_conn *conn)
{
    struct pk_exchange *exchange = conn->parser.exchange;
    if (!let_in(conn, exchange)) {
        return !exchange->is_fetching && reply(conn);
    }
    pk_parser_go_on(&conn->parser);
    return feed_body(conn);
}

/* The last byte of the request is here. */
static bool feed_end(struct pk_conn *conn)
{
    bool is_lent = conn->parser.is_lent;
    struct pk_exchange *exchange = conn->parser.exchange;
    if (is_lent) {
        (void)pk_parser_take(&conn->parser);
        pk_conn_wait(conn, PK_CONN_RUNNING, 0);
        return false;
    }
    bool is_in = exchange->is_entered || let_in(conn, exchange);
    (void)pk_parser_take(&conn->parser);
    if (!is_in) {
        return !exchange->is_fetching && reply(conn);
    }
    return dispatch(conn, exchange);
}

/* Feeds what has arrived, up to the end of one request. False: nothing more may be read now. */
static bool feed(struct pk_conn *conn)
{
    struct pk_loop *loop = conn->loop;
    struct evbuffer_iovec piece = { .iov_base = loop->landing, .iov_len = loop->landed };
    size_t used;
    bool has_landed = loop->landed > 0;
    bool was_idle = conn->state == PK_CONN_IDLE;

    if (!has_landed) {
        (void)evbuffer_peek(pk_link_input(conn), -1, NULL, &piece, 1);
    }
    if (was_idle) {
        conn->state = PK_CONN_HEAD;
    }
    enum pk_refusal refusal = pk_parser_feed(&conn->parser, piece.iov_base, piece.iov_len, &used);
    if (refusal != PK_REFUSAL_NONE) {
        loop->landed = 0;
        refuse(conn, refusal);
        return false;
    }
    if (has_landed) {
        pk_socket_keep(conn, used);
    } else {
        (void)evbuffer_drain(pk_link_input(conn), used);
    }
    conn->owed_bytes -= used < conn->owed_bytes ? used : conn->owed_bytes;
    if (conn->parser.is_complete) {
        return feed_end(conn);
    }
    if (conn->parser.is_held) {
        return feed_head(conn);
    }
    if (was_idle && conn->served > 0) {
        /* The first request has had its deadline since the connection was made. */
        enter(conn, PK_CONN_HEAD, limits(conn)->head_ms);
    }
    return !conn->parser.is_head_done || feed_body(conn);
}

/* Does what can be done with the bytes that are here. */
static void advance(struct pk_conn *conn)
{
    while (conn->loop->landed > 0 || input_size(conn) > 0) {
        if (conn->state == PK_CONN_IDLE && pk_conn_unsent(conn) > OUTPUT_HIGH) {
            pk_socket_keep(conn, 0);
            write_out(conn);
            return;
        }
        if (!feed(conn)) {
            return;
        }
    }
    if (conn->is_eof) {
        if (conn->parser.is_lent) {
            pk_conn_close(conn); /* The handler's next read says that the body broke off. */
        } else {
            pk_conn_finish(conn); /* What was begun will not be finished. */
        }
        return;
    }
    pk_socket_tidy(conn);
}

/* ---- What the socket and the clock say ---- */

void pk_conn_came(struct pk_conn *conn, enum pk_link_says says)
{
    says = pk_link_read(conn, says);
    if (says == PK_LINK_BROKEN ||
        (says == PK_LINK_EOF && (conn->state == PK_CONN_LINGER || conn->state == PK_CONN_EVENTS))) {
        pk_conn_close(conn);
        return;
    }
    if (says == PK_LINK_EOF) {
        /* The client may still read: what it asked for in full is answered. */
        conn->is_eof = true;
        pk_socket_want(conn, false);
    }
    if (is_reading(conn)) {
        if (says != PK_LINK_WAIT) {
            advance(conn);
        }
    } else if (conn->state == PK_CONN_LINGER || conn->state == PK_CONN_EVENTS) {
        drop_input(conn);
    }
}

void pk_conn_written(struct pk_conn *conn)
{
    struct pk_stream *stream = conn->running ? conn->running->stream : NULL;
    if (conn->state == PK_CONN_EVENTS) {
        pk_sse_flush(conn->running->sse);
        return;
    }
    if (stream) {
        pk_stream_flush(stream);
    }
    if (conn->state != PK_CONN_WRITING || pk_conn_unsent(conn) > 0) {
        return;
    }
    if (conn->is_last || is_drained(conn)) {
        pk_conn_finish(conn);
        return;
    }
    enter(conn, PK_CONN_IDLE, idle_ms(conn));
    pk_socket_want(conn, !conn->is_eof);
    advance(conn);
}

static void be_late(struct pk_conn *conn)
{
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

static void on_timer(evutil_socket_t fd, short what, void *context)
{
    struct pk_conn *conn = context;
    struct pk_loop *loop = conn->loop;
    (void)fd;
    (void)what;
    int64_t now_ns = pk_loop_now(loop);
    conn->timer_ns = 0;
    if (conn->deadline_ns > now_ns) {
        set_timer(conn); /* It has moved on since. */
        return;
    }
    if (conn->deadline_ns != 0) {
        conn->deadline_ns = 0;
        be_late(conn);
        pk_loop_flush(loop);
    }
}

/* ---- From the loop ---- */

bool pk_conn_new(struct pk_loop *loop, const struct pk_listener *listener, int fd,
                 const struct sockaddr *address)
{
    uint8_t key[16];
    if (!pk_addresses_enter(loop->net->addresses, address, key)) {
        return false;
    }
    struct pk_conn *conn = pk_calloc(1, sizeof(*conn));
    memcpy(conn->address, key, sizeof(key));
    conn->loop = loop;
    conn->listener = listener;
    (void)evtimer_assign(&conn->timer, loop->base, on_timer, conn);
    pk_parser_init(&conn->parser, loop);
    pk_socket_open(conn, fd);
    pk_link_open(conn, address);
    conn->next = loop->conn;
    if (conn->next) {
        conn->next->previous = conn;
    }
    loop->conn = conn;
    loop->connections++;
    loop->net->connections++;
    loop->accepted++;
    enter(conn, PK_CONN_IDLE, loop->is_draining ? DRAIN_FRESH_MS : limits(conn)->head_ms);
    pk_socket_want(conn, true);
    return true;
}

void pk_conn_wait(struct pk_conn *conn, enum pk_conn_state state, int64_t ms)
{
    if (conn->parser.is_lent && !conn->parser.is_complete && state == PK_CONN_RUNNING) {
        return; /* The rest of the body is still read. */
    }
    pk_socket_want(conn, false);
    enter(conn, state, ms);
}

/* There is an answer: sends it, and goes on with what the client has sent since. */
static void go_on(struct pk_conn *conn)
{
    if (reply(conn)) {
        pk_socket_want(conn, !conn->is_eof);
        advance(conn);
    }
}

/* gate.fetch has returned. */
static void enter_again(struct pk_conn *conn, struct pk_exchange *exchange)
{
    bool has_body = conn->parser.exchange == exchange;
    exchange->is_fetching = false;
    if (!exchange->is_let_in) {
        go_on(conn);
    } else if (!has_body) {
        if (pk_exchange_start(exchange)) {
            go_on(conn);
        }
    } else {
        conn->parser.is_lent = false;
        conn->running = NULL;
        pk_parser_go_on(&conn->parser);
        pk_socket_want(conn, true);
        if (feed_body(conn)) {
            advance(conn);
        }
    }
}

void pk_conn_answered(struct pk_conn *conn, struct pk_exchange *exchange)
{
    if (exchange->is_fetching) {
        enter_again(conn, exchange);
    } else if (pk_exchange_returned(exchange)) {
        go_on(conn);
    }
}

void pk_conn_hung(struct pk_conn *conn, struct pk_exchange *instead)
{
    struct pk_exchange *hung = conn->running;
    hung->is_gone = true; /* Before the look at 'stream': see pk_answer_write. */
    bool is_answer_begun = hung->stream && pk_stream_has_begun(hung->stream);
    pk_stream_cut(hung->stream);
    hung->conn = NULL;
    conn->running = instead;
    if (is_answer_begun) {
        conn->running = NULL;
        pk_exchange_free(instead);
        pk_parser_done(&conn->parser);
        break_off(conn);
    } else {
        go_on(conn);
    }
}

void pk_conn_unpark(struct pk_conn *conn, bool is_timed_out)
{
    bool has_body_left = conn->parser.is_lent;
    enter(conn, PK_CONN_RUNNING, 0);
    if (has_body_left) {
        open_window(conn);
        pk_socket_want(conn, true);
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
    pk_exchange_report(exchange);
    pk_exchange_free(exchange);
    pk_count(&conn->loop->requests, 1);
    pk_conn_finish(conn);
}

void pk_conn_feed_again(struct pk_conn *conn)
{
    if (conn->state == PK_CONN_HELD) {
        open_window(conn);
        pk_socket_want(conn, true);
        advance(conn);
    }
}

void pk_conn_sending(struct pk_conn *conn, size_t added_bytes)
{
    size_t unsent = pk_conn_unsent(conn);
    conn->queued_bytes += (int64_t)added_bytes;
    if ((conn->state == PK_CONN_RUNNING || conn->state == PK_CONN_HELD) && unsent > 0 &&
        conn->deadline_ns == 0) {
        conn->window_sent = conn->queued_bytes - (int64_t)unsent;
        enter(conn, conn->state, limits(conn)->write_ms);
    }
}

bool pk_conn_is_owing(struct pk_conn *conn)
{
    bool is_asked = conn->running && conn->state != PK_CONN_EVENTS;
    return is_asked || conn->parser.is_head_done || pk_conn_unsent(conn) > 0;
}

void pk_conn_drain(struct pk_conn *conn)
{
    if (conn->state == PK_CONN_EVENTS) {
        pk_sse_drain(conn->running->sse);
        return;
    }
    begin_drain(conn);
    if (conn->state != PK_CONN_IDLE) {
        return;
    }
    if (conn->served > 0 && conn->owed_bytes == 0) {
        pk_conn_finish(conn);
    } else {
        enter(conn, PK_CONN_IDLE, DRAIN_FRESH_MS);
    }
}
