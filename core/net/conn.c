/* conn.c - One client: bytes in, answers out, in the order of the requests.
 *
 *     IDLE ──byte──▶ HEAD ──head whole──▶ BODY ──whole──▶ RUNNING
 *      ▲                │ refused            │ refused        │ answer written
 *      │                ▼                    ▼                ▼
 *      └─────────── LINGER (last)  ◀──────────────── WRITING or IDLE
 *
 * One request at a time: while it runs nothing is read, so pipelined requests
 * wait in the kernel and answers keep their order. Every state but RUNNING has
 * one absolute deadline that no further byte extends.
 *
 * After a refusal the answer is the last thing said. The input is then thrown
 * away unread for a moment (LINGER): closing with unread input would reset the
 * connection and could destroy the answer before the client has it.
 *
 * Thread: the loop's. pk_conn_close frees; nothing may touch a conn behind it. */
/* SPDX-License-Identifier: MIT */
#include "net/net_internal.h"

#include "base/alloc.h"
#include "base/crypto.h"

#include <event2/buffer.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    OUTPUT_HIGH = 64 * 1024, /* Above it no further request is looked at. */
    DRAIN_FRESH_MS = 1000    /* For a connection that has asked nothing when the drain begins. */
};

static void advance(struct pk_conn *conn);

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

void pk_conn_close(struct pk_conn *conn)
{
    struct pk_loop *loop = conn->loop;
    if (conn->running) {
        conn->running->conn = NULL; /* Its executor goes on; the answer has no reader. */
    }
    if (conn->previous) {
        conn->previous->next = conn->next;
    } else {
        loop->conn = conn->next;
    }
    if (conn->next) {
        conn->next->previous = conn->previous;
    }
    pk_parser_done(&conn->parser);
    event_free(conn->timer);
    bufferevent_free(conn->bev);
    pk_free(conn);
    loop->net->connections--;
    if (loop->is_draining && !loop->conn) {
        pk_loop_drained(loop);
    }
}

/* Everything is said: send what is left, then wait a moment for the client to have read it. */
static void finish(struct pk_conn *conn)
{
    struct evbuffer *output = bufferevent_get_output(conn->bev);
    conn->is_last = true;
    if (evbuffer_get_length(output) > 0) {
        (void)bufferevent_disable(conn->bev, EV_READ);
        enter(conn, PK_CONN_WRITING, limits(conn)->write_ms);
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

static void give_id(struct pk_request *request)
{
    if (request->id[0] == '\0') {
        unsigned char random[8];
        pk_random(random, sizeof(random));
        pk_hex(request->id, random, sizeof(random));
    }
}

/* The one answer to a request that is not taken; the connection ends with it. */
static void refuse(struct pk_conn *conn, enum pk_refusal refusal)
{
    const struct pk_refusal_row *row = pk_refusal_row(refusal);
    struct pk_request nobody = { 0 };
    struct pk_answer answer = { 0 };

    conn->loop->net->malformed++;
    give_id(&nobody);
    pk_answer_problem(&nobody, &answer, row->status, row->code, row->detail, row->hint);
    pk_answer_write(&nobody, &answer, pk_loop_date(conn->loop), true,
                    bufferevent_get_output(conn->bev));
    pk_answer_done(&answer);
    pk_parser_done(&conn->parser);
    finish(conn);
}

/* Writes the answer of a request that has one, and frees it. False: the connection is ending. */
static bool reply(struct pk_conn *conn, struct pk_request *request)
{
    bool is_last = !request->is_keep_alive || conn->is_eof || conn->loop->is_draining;
    pk_answer_write(request, request->answer, pk_loop_date(conn->loop), is_last,
                    bufferevent_get_output(conn->bev));
    pk_request_free(request);
    conn->loop->net->requests++;
    conn->served++;
    if (is_last) {
        finish(conn);
        return false;
    }
    enter(conn, PK_CONN_IDLE, limits(conn)->idle_ms);
    return true;
}

/* A whole request. False: nothing more may be read now. */
static bool dispatch(struct pk_conn *conn, struct pk_request *request)
{
    struct pk_net *net = conn->loop->net;
    request->answer = pk_arena_alloc(&request->arena, sizeof(*request->answer));
    give_id(request);
    if (!request->route) {
        struct pk_match match;
        pk_route_find(net, request, &match);
        pk_route_miss(&match, request, request->answer);
        return reply(conn, request);
    }
    struct pk_lane *lane = net->lane[request->route->lane];
    if (!lane) {
        request->route->handler(net->options.context, request, request->answer);
        return reply(conn, request);
    }
    request->conn = conn;
    conn->running = request;
    enter(conn, PK_CONN_RUNNING, 0);
    (void)bufferevent_disable(conn->bev, EV_READ);
    if (pk_lane_add(lane, conn->loop, request)) {
        return false;
    }
    conn->running = NULL;
    request->answer->retry_after_s = 1;
    pk_answer_problem(request, request->answer, 503, "busy", "too many requests are waiting",
                      "try again in a second");
    (void)bufferevent_enable(conn->bev, EV_READ);
    return reply(conn, request);
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
        return dispatch(conn, pk_parser_take(&conn->parser));
    }
    if (conn->parser.is_head_done && conn->state == PK_CONN_HEAD) {
        enter(conn, PK_CONN_BODY, limits(conn)->body_ms);
    }
    if (conn->parser.is_continue_wanted) {
        conn->parser.is_continue_wanted = false;
        (void)bufferevent_write(conn->bev, "HTTP/1.1 100 Continue\r\n\r\n", 25);
    }
    return true;
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
        finish(conn); /* What was begun will not be finished. */
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
    } else if (conn->state == PK_CONN_LINGER) {
        struct evbuffer *input = bufferevent_get_input(bev);
        (void)evbuffer_drain(input, evbuffer_get_length(input));
    }
}

/* The output is out. */
static void on_written(struct bufferevent *bev, void *context)
{
    struct pk_conn *conn = context;
    if (conn->state != PK_CONN_WRITING) {
        return;
    }
    if (conn->is_last) {
        finish(conn);
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
    if (what & BEV_EVENT_ERROR || conn->state == PK_CONN_LINGER) {
        pk_conn_close(conn);
        return;
    }
    if (what & BEV_EVENT_EOF) {
        /* The client may still read: what it asked for in full is answered. */
        conn->is_eof = true;
        if (is_reading(conn)) {
            finish(conn);
        }
    }
}

static void on_deadline(evutil_socket_t fd, short what, void *context)
{
    struct pk_conn *conn = context;
    (void)fd;
    (void)what;
    bool has_begun = conn->state == PK_CONN_HEAD || conn->state == PK_CONN_BODY;
    if (has_begun) {
        refuse(conn, PK_REFUSAL_SLOW);
    } else {
        pk_conn_close(conn);
    }
}

/* ---- From the loop ---- */

void pk_conn_new(struct pk_loop *loop, int fd)
{
    struct pk_conn *conn = pk_calloc(1, sizeof(*conn));
    conn->loop = loop;
    conn->bev = bufferevent_socket_new(loop->base, fd, BEV_OPT_CLOSE_ON_FREE);
    conn->timer = evtimer_new(loop->base, on_deadline, conn);
    pk_parser_init(&conn->parser, loop->net);
    conn->next = loop->conn;
    if (conn->next) {
        conn->next->previous = conn;
    }
    loop->conn = conn;
    loop->net->connections++;
    loop->net->accepted++;
    bufferevent_setcb(conn->bev, on_read, on_written, on_event, conn);
    enter(conn, PK_CONN_IDLE, loop->is_draining ? DRAIN_FRESH_MS : limits(conn)->head_ms);
    (void)bufferevent_enable(conn->bev, EV_READ);
}

void pk_conn_answered(struct pk_conn *conn, struct pk_request *request)
{
    conn->running = NULL;
    (void)bufferevent_enable(conn->bev, EV_READ);
    if (reply(conn, request)) {
        advance(conn);
    }
}

void pk_conn_drain(struct pk_conn *conn)
{
    char byte;
    if (conn->state != PK_CONN_IDLE) {
        return;
    }
    /* A request may lie in the kernel, accepted and not yet read. */
    bool has_input = evbuffer_get_length(bufferevent_get_input(conn->bev)) > 0 ||
                     recv(bufferevent_getfd(conn->bev), &byte, 1, MSG_PEEK | MSG_DONTWAIT) == 1;
    if (conn->served > 0 && !has_input) {
        finish(conn);
    } else {
        enter(conn, PK_CONN_IDLE, DRAIN_FRESH_MS);
    }
}
