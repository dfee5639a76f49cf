/* sse.c - Events from any thread into one connection.
 *
 *     pk_sse_send ──▶ [ pending ] ──flush, on the loop──▶ the socket's output
 *
 * What counts against the bound is 'pending' and what the socket had not taken
 * at the last flush. 'end' is set once, by the first reason there is; after it
 * nothing is taken any more, and the flush that sees it says good-bye.
 *
 * Locked: 'pending', 'unsent_bytes', 'end' by tie.lock. */
/* SPDX-License-Identifier: MIT */
#include "net/sse.h"
#include "net/net_internal.h"

#include "base/alloc.h"

#include <event2/buffer.h>
#include <string.h>

struct pk_sse {
    struct pk_tie tie;
    struct pk_exchange *exchange; /* While the connection is a stream. Loop thread only. */
    size_t most_bytes;
    size_t beat_bytes; /* What was unsent at the last beat. Loop thread only. */

    /* Under tie.lock. */
    struct pk_buf pending;
    size_t unsent_bytes;
    const char *end; /* Why it ends; NULL: it goes on. */
};

static void arrive(struct pk_tie *tie)
{
    pk_sse_flush((struct pk_sse *)tie);
}

static void done(struct pk_tie *tie)
{
    struct pk_sse *sse = (struct pk_sse *)tie;
    pk_buf_done(&sse->pending);
    pk_free(sse);
}

struct pk_sse *pk_answer_events(struct pk_request *request, struct pk_answer *answer)
{
    struct pk_exchange *exchange = pk_exchange_of(request);
    struct pk_sse *sse = pk_calloc(1, sizeof(*sse));
    pk_tie_init(&sse->tie, exchange->loop, arrive, done);
    pk_tie_ref(&sse->tie); /* The exchange's. */
    sse->most_bytes = exchange->loop->net->options.limits.stream_bytes;
    exchange->sse = sse;
    answer->then = PK_THEN_EVENTS;
    answer->status = 200;
    answer->content_type = "text/event-stream";
    return sse;
}

/* ---- Any thread ---- */

static bool is_line(const char *text, size_t size)
{
    return !memchr(text, '\r', size) && !memchr(text, '\n', size) && !memchr(text, '\0', size);
}

static void add_field(struct pk_buf *out, const char *name, const char *value, size_t size)
{
    pk_buf_add_text(out, name);
    pk_buf_add(out, value, size);
    pk_buf_add_char(out, '\n');
}

static void add_event(struct pk_buf *out, const struct pk_sse_event *event)
{
    if (event->id) {
        add_field(out, "id: ", event->id, strlen(event->id));
    }
    if (event->type) {
        add_field(out, "event: ", event->type, strlen(event->type));
    }
    add_field(out, "data: ", event->data, event->data_size);
    pk_buf_add_char(out, '\n');
}

bool pk_sse_send(struct pk_sse *sse, const struct pk_sse_event *event, struct pk_error *err)
{
    size_t id_size = event->id ? strlen(event->id) : 0;
    size_t type_size = event->type ? strlen(event->type) : 0;
    if (!is_line(event->id ? event->id : "", id_size) ||
        !is_line(event->type ? event->type : "", type_size) ||
        !is_line(event->data, event->data_size)) {
        return pk_fail(err, PK_INVALID, "send the text as JSON, which escapes them",
                       "an event has a line break or NUL");
    }
    size_t size = id_size + type_size + event->data_size + sizeof("id: \nevent: \ndata: \n\n");

    (void)pthread_mutex_lock(&sse->tie.lock);
    bool is_open = sse->tie.loop && !sse->end;
    bool has_room = sse->pending.size + sse->unsent_bytes + size <= sse->most_bytes;
    if (is_open && has_room) {
        add_event(&sse->pending, event);
    } else if (is_open) {
        sse->end = "slow";
    }
    (void)pk_tie_post_locked(&sse->tie);
    (void)pthread_mutex_unlock(&sse->tie.lock);
    if (!is_open) {
        return pk_fail(err, PK_NOT_FOUND, NULL, "the client of this stream has gone");
    }
    return has_room || pk_fail(err, PK_TOO_LARGE, "let it come back with Last-Event-ID",
                               "the client of this stream is too far behind");
}

bool pk_sse_look(struct pk_sse *sse, bool *out_is_behind)
{
    (void)pthread_mutex_lock(&sse->tie.lock);
    const bool is_open = sse->tie.loop && !sse->end;
    *out_is_behind = sse->pending.size + sse->unsent_bytes > sse->most_bytes / 2;
    if (is_open && sse->unsent_bytes > 0) {
        (void)pk_tie_post_locked(&sse->tie); /* The flush counts what is unsent by then. */
    }
    (void)pthread_mutex_unlock(&sse->tie.lock);
    return is_open;
}

void pk_sse_end(struct pk_sse *sse, const char *reason)
{
    (void)pthread_mutex_lock(&sse->tie.lock);
    if (!sse->end) {
        sse->end = reason;
        (void)pk_tie_post_locked(&sse->tie);
    }
    (void)pthread_mutex_unlock(&sse->tie.lock);
}

void pk_sse_unref(struct pk_sse *sse)
{
    if (sse) {
        pk_tie_unref(&sse->tie);
    }
}

/* ---- On the loop ---- */

void pk_sse_begin(struct pk_sse *sse, struct pk_exchange *exchange)
{
    struct pk_conn *conn = exchange->conn;
    sse->exchange = exchange;
    exchange->since_ns = exchange->loop->now_ns;
    pk_conn_wait(conn, PK_CONN_EVENTS, exchange->loop->net->options.limits.beat_ms);
    pk_socket_want(conn, true); /* To learn when the client goes. */
    pk_wire_head(exchange);
    if (exchange->request.method == PK_METHOD_HEAD || exchange->loop->is_draining) {
        pk_sse_end(sse, "stopping");
    } else {
        pk_sse_flush(sse);
    }
}

void pk_sse_flush(struct pk_sse *sse)
{
    struct pk_exchange *exchange = sse->exchange;
    if (!exchange) {
        return; /* Not begun; or over, and the mail came late. */
    }
    struct pk_conn *conn = exchange->conn;
    bool has_body = exchange->request.method != PK_METHOD_HEAD;

    (void)pthread_mutex_lock(&sse->tie.lock);
    const char *end = sse->end;
    if (sse->pending.size > 0 && has_body) {
        exchange->sent_bytes += sse->pending.size;
        (void)evbuffer_add(pk_conn_output(conn), sse->pending.data, sse->pending.size);
        pk_buf_clear(&sse->pending);
    }
    if (end && has_body) {
        (void)evbuffer_add_printf(pk_conn_output(conn), "event: end\ndata: {\"reason\":\"%s\"}\n\n",
                                  end);
    }
    sse->unsent_bytes = pk_conn_unsent(conn);
    (void)pthread_mutex_unlock(&sse->tie.lock);
    if (end) {
        pk_conn_end_events(conn);
    }
}

void pk_sse_beat(struct pk_sse *sse)
{
    struct pk_conn *conn = sse->exchange->conn;
    size_t unsent = pk_conn_unsent(conn);
    if (unsent > 0 && unsent >= sse->beat_bytes && sse->beat_bytes > 0) {
        pk_sse_end(sse, "slow"); /* It has taken nothing since the last beat. */
        return;
    }
    sse->beat_bytes = unsent;
    if (unsent == 0) {
        (void)evbuffer_add(pk_conn_output(conn), ": \n\n", 4);
    }
}

void pk_sse_drain(struct pk_sse *sse)
{
    pk_sse_end(sse, "stopping");
}

void pk_sse_cut(struct pk_sse *sse)
{
    if (sse) {
        sse->exchange = NULL;
        pk_tie_cut(&sse->tie);
        pk_tie_unref(&sse->tie);
    }
}
