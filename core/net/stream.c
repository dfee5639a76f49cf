/* stream.c - Bodies and answers in pieces, between a loop and an executor.
 *
 *     loop ──feed──▶ [ in ] ──pk_request_read──▶ handler
 *     loop ◀─flush── [ out ] ◀──pk_answer_write── handler
 *
 * Each side is bounded by limits.stream_bytes. When 'in' is full the loop stops
 * reading its socket, and the reader's next call asks for more by mail. When
 * 'out' and what the socket has not yet taken are together full, the writer
 * waits for the loop, which has the deadline: a client that takes nothing is
 * cut there, and the cut ends every wait here.
 *
 * Locked: 'in' and 'out' by tie.lock; the rest is the loop's or the handler's. */
/* SPDX-License-Identifier: MIT */
#include "net/stream.h"
#include "net/net_internal.h"

#include "base/alloc.h"

#include <event2/buffer.h>
#include <string.h>

struct pk_stream {
    struct pk_tie tie;
    struct pk_exchange *exchange; /* Loop thread only. */
    size_t most_bytes;

    /* Under tie.lock. */
    struct pk_buf in;
    size_t in_at;        /* Read so far of 'in'. */
    bool is_in_complete; /* No more will come. */
    bool is_more_wanted; /* The loop has stopped reading. */
    struct pk_buf out;   /* Written, not yet in the socket's output. */
    size_t unsent_bytes; /* In the socket's output, as the loop last saw it. */
    bool is_begun;       /* The head has been written, or will be with the next flush. */
    bool is_head_out;    /* Loop thread only. */
};

static void arrive(struct pk_tie *tie)
{
    struct pk_stream *stream = (struct pk_stream *)tie;
    struct pk_conn *conn = stream->exchange ? stream->exchange->conn : NULL;
    if (!conn) {
        return;
    }
    pk_stream_flush(stream);
    (void)pthread_mutex_lock(&tie->lock);
    bool is_more_wanted = stream->is_more_wanted && stream->in_at == stream->in.size;
    stream->is_more_wanted = is_more_wanted ? false : stream->is_more_wanted;
    (void)pthread_mutex_unlock(&tie->lock);
    if (is_more_wanted) {
        pk_conn_feed_again(conn); /* Last: it may close the connection. */
    }
}

static void done(struct pk_tie *tie)
{
    struct pk_stream *stream = (struct pk_stream *)tie;
    pk_buf_done(&stream->in);
    pk_buf_done(&stream->out);
    pk_free(stream);
}

struct pk_stream *pk_stream_new(struct pk_exchange *exchange)
{
    struct pk_stream *stream = pk_calloc(1, sizeof(*stream));
    pk_tie_init(&stream->tie, exchange->loop, arrive, done);
    stream->exchange = exchange;
    stream->most_bytes = exchange->loop->net->options.limits.stream_bytes;
    return stream;
}

void pk_stream_cut(struct pk_stream *stream)
{
    if (stream) {
        pk_tie_cut(&stream->tie);
    }
}

void pk_stream_free(struct pk_stream *stream)
{
    if (stream) {
        stream->exchange = NULL;
        pk_tie_cut(&stream->tie);
        pk_tie_unref(&stream->tie);
    }
}

/* ---- Bodies ---- */

void pk_stream_feed(struct pk_stream *stream, const char *data, size_t size)
{
    (void)pthread_mutex_lock(&stream->tie.lock);
    if (stream->in_at == stream->in.size) {
        pk_buf_clear(&stream->in);
        stream->in_at = 0;
    }
    pk_buf_add(&stream->in, data, size);
    (void)pthread_cond_broadcast(&stream->tie.moved);
    (void)pthread_mutex_unlock(&stream->tie.lock);
}

void pk_stream_feed_end(struct pk_stream *stream)
{
    (void)pthread_mutex_lock(&stream->tie.lock);
    stream->is_in_complete = true;
    (void)pthread_cond_broadcast(&stream->tie.moved);
    (void)pthread_mutex_unlock(&stream->tie.lock);
}

bool pk_stream_is_full(struct pk_stream *stream)
{
    (void)pthread_mutex_lock(&stream->tie.lock);
    /* Half of the bound: what one read of the socket brings comes on top. */
    bool is_full = stream->in.size - stream->in_at >= stream->most_bytes / 2;
    stream->is_more_wanted = is_full;
    (void)pthread_mutex_unlock(&stream->tie.lock);
    return is_full;
}

bool pk_request_read(struct pk_request *request, void *out, size_t size, size_t *out_got,
                     struct pk_error *err)
{
    struct pk_stream *stream = pk_exchange_of(request)->stream;
    if (!stream) { /* It was read whole before the handler began. */
        struct pk_exchange *exchange = pk_exchange_of(request);
        size_t left = request->body.size - exchange->body_read;
        *out_got = left < size ? left : size;
        memcpy(out, pk_buf_text(&request->body) + exchange->body_read, *out_got);
        exchange->body_read += *out_got;
        return true;
    }
    (void)pthread_mutex_lock(&stream->tie.lock);
    while (stream->in_at == stream->in.size && !stream->is_in_complete && stream->tie.loop) {
        if (stream->is_more_wanted) {
            (void)pk_tie_post_locked(&stream->tie);
        }
        (void)pthread_cond_wait(&stream->tie.moved, &stream->tie.lock);
    }
    size_t left = stream->in.size - stream->in_at;
    bool is_ok = left > 0 || stream->is_in_complete;
    *out_got = left < size ? left : size;
    if (*out_got > 0) {
        memcpy(out, stream->in.data + stream->in_at, *out_got);
        stream->in_at += *out_got;
    }
    (void)pthread_mutex_unlock(&stream->tie.lock);
    return is_ok || pk_fail(err, PK_INVALID, "send the body without a pause, and to its end",
                            "the body broke off");
}

/* ---- Answers ---- */

bool pk_answer_write(struct pk_request *request, struct pk_answer *answer, const void *data,
                     size_t size, struct pk_error *err)
{
    struct pk_exchange *exchange = pk_exchange_of(request);
    (void)answer; /* Its head is written by the loop, before anything of 'data'. */
    struct pk_stream *stream = exchange->stream;
    if (!stream) {
        stream = pk_stream_new(exchange);
        exchange->stream = stream;
        if (exchange->is_gone) { /* Set before the loop looked for a stream to cut. */
            pk_stream_cut(stream);
        }
    }
    const char *from = data;
    (void)pthread_mutex_lock(&stream->tie.lock);
    stream->is_begun = true;
    while (size > 0 && stream->tie.loop) {
        size_t held = stream->out.size + stream->unsent_bytes;
        if (held >= stream->most_bytes) {
            (void)pk_tie_post_locked(&stream->tie);
            (void)pthread_cond_wait(&stream->tie.moved, &stream->tie.lock);
            continue;
        }
        size_t piece = size < stream->most_bytes - held ? size : stream->most_bytes - held;
        pk_buf_add(&stream->out, from, piece);
        from += piece;
        size -= piece;
    }
    bool is_there = pk_tie_post_locked(&stream->tie);
    (void)pthread_mutex_unlock(&stream->tie.lock);
    return is_there || pk_fail(err, PK_INVALID, "read the answer without a pause",
                               "the client has gone before the end of the answer");
}

bool pk_stream_has_begun(struct pk_stream *stream)
{
    (void)pthread_mutex_lock(&stream->tie.lock);
    bool is_begun = stream->is_begun;
    (void)pthread_mutex_unlock(&stream->tie.lock);
    return is_begun;
}

void pk_stream_flush(struct pk_stream *stream)
{
    struct pk_exchange *exchange = stream->exchange;
    struct pk_conn *conn = exchange->conn;
    bool is_chunked = !exchange->is_http_1_0 && exchange->request.method != PK_METHOD_HEAD;
    size_t before = pk_conn_unsent(conn);

    (void)pthread_mutex_lock(&stream->tie.lock);
    if (stream->is_begun && !stream->is_head_out) {
        stream->is_head_out = true;
        pk_wire_head(exchange);
    }
    if (stream->out.size > 0) {
        struct evbuffer *output = pk_conn_output(conn);
        exchange->sent_bytes += stream->out.size;
        if (is_chunked) {
            (void)evbuffer_add_printf(output, "%zx\r\n", stream->out.size);
        }
        if (exchange->request.method != PK_METHOD_HEAD) {
            (void)evbuffer_add(output, stream->out.data, stream->out.size);
        }
        if (is_chunked) {
            (void)evbuffer_add(output, "\r\n", 2);
        }
        pk_buf_clear(&stream->out);
    }
    stream->unsent_bytes = pk_conn_unsent(conn);
    if (stream->unsent_bytes < stream->most_bytes) { /* A writer without room would ask again. */
        (void)pthread_cond_broadcast(&stream->tie.moved);
    }
    (void)pthread_mutex_unlock(&stream->tie.lock);
    pk_conn_sending(conn, pk_conn_unsent(conn) - before);
}

void pk_stream_end(struct pk_stream *stream)
{
    struct pk_exchange *exchange = stream->exchange;
    pk_stream_flush(stream);
    if (!exchange->is_http_1_0 && exchange->request.method != PK_METHOD_HEAD) {
        (void)evbuffer_add(pk_conn_output(exchange->conn), "0\r\n\r\n", 5);
    }
}
