/* tls_pipe.c - One connection's bytes, to and from TLS, between buffers.
 *
 *     socket ──▶ wire_in  ──decrypt──▶ input  ──▶ the requests
 *     socket ◀── wire_out ◀──encrypt── output ◀── the answers
 *
 * TLS never sees the socket: it reads from and writes to the connection's
 * buffers, so that one read brings many records, an answer's head and body go
 * out as one record by one write, and every deadline and limit that holds for
 * plain connections holds for these, too.
 *
 * The handshake needs no state of its own: SSL_read makes it as bytes arrive.
 *
 * Encrypting stops while PK_TLS_WIRE_HIGH bytes are unsent; what TLS itself
 * wants to say (alerts, new keys) is let through up to PK_TLS_WIRE_MAX. */
/* SPDX-License-Identifier: MIT */
#include "net/tls.h"

#include "base/alloc.h"

#include <event2/buffer.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdlib.h>
#include <string.h>

enum { RECORD_MAX = 16 * 1024, READ_MIN = 512 };

/* ---- The buffers as OpenSSL's BIO ---- */

static int bio_read(BIO *bio, char *out, size_t size, size_t *out_got)
{
    struct pk_tls_pipe *pipe = BIO_get_data(bio);
    BIO_clear_retry_flags(bio);
    int got = evbuffer_remove(pipe->wire_in, out, size);
    if (got <= 0) {
        BIO_set_retry_read(bio);
        return 0;
    }
    *out_got = (size_t)got;
    return 1;
}

static int bio_write(BIO *bio, const char *data, size_t size, size_t *out_put)
{
    struct pk_tls_pipe *pipe = BIO_get_data(bio);
    BIO_clear_retry_flags(bio);
    if (evbuffer_get_length(pipe->wire_out) > PK_TLS_WIRE_MAX ||
        evbuffer_add(pipe->wire_out, data, size) != 0) {
        return 0; /* And no retry: the connection ends. */
    }
    *out_put = size;
    return 1;
}

static long bio_control(BIO *bio, int command, long number, void *pointer)
{
    (void)bio;
    (void)number;
    (void)pointer;
    return command == BIO_CTRL_FLUSH;
}

static int bio_create(BIO *bio)
{
    BIO_set_init(bio, 1);
    return 1;
}

struct bio_method_st *pk_tls_method_new(void)
{
    BIO_METHOD *method = BIO_meth_new(BIO_TYPE_SOURCE_SINK, "evbuffers");
    bool is_made = method && BIO_meth_set_create(method, bio_create) == 1 &&
                   BIO_meth_set_read_ex(method, bio_read) == 1 &&
                   BIO_meth_set_write_ex(method, bio_write) == 1 &&
                   BIO_meth_set_ctrl(method, bio_control) == 1;
    if (!is_made) {
        BIO_meth_free(method);
        return NULL;
    }
    return method;
}

/* ---- Reading ---- */

/* Says at least something to who speaks no TLS at all: OpenSSL is silent then. */
static void add_alert(struct pk_tls_pipe *pipe)
{
    static const unsigned char alert[] = { 21, 3, 1, 0, 2, 2, 70 }; /* Fatal: protocol version. */
    if (evbuffer_get_length(pipe->wire_out) == 0 && !SSL_is_init_finished(pipe->ssl)) {
        (void)evbuffer_add(pipe->wire_out, alert, sizeof(alert));
    }
}

static enum pk_tls_says fail(struct pk_tls_pipe *pipe)
{
    int why = SSL_get_error(pipe->ssl, 0);
    if (why == SSL_ERROR_WANT_READ) {
        return PK_TLS_MORE;
    }
    if (why == SSL_ERROR_ZERO_RETURN) {
        return PK_TLS_EOF;
    }
    ERR_clear_error();
    add_alert(pipe);
    pipe->is_ended = true;
    return PK_TLS_BROKEN;
}

enum pk_tls_says pk_tls_pipe_read(struct pk_tls_pipe *pipe)
{
    ERR_clear_error();
    for (;;) {
        struct evbuffer_iovec room;
        size_t got;
        size_t most = evbuffer_get_length(pipe->wire_in) + (size_t)SSL_pending(pipe->ssl);
        if (most < READ_MIN) {
            most = READ_MIN;
        }
        if (evbuffer_reserve_space(pipe->input, (ev_ssize_t)most, &room, 1) != 1) {
            return PK_TLS_BROKEN;
        }
        if (SSL_read_ex(pipe->ssl, room.iov_base, room.iov_len, &got) != 1) {
            return fail(pipe);
        }
        room.iov_len = got;
        (void)evbuffer_commit_space(pipe->input, &room, 1);
    }
}

/* ---- Writing ---- */

/* As much of the output as one record takes, head and body together. */
static size_t next_record(struct evbuffer *output, unsigned char copy[RECORD_MAX],
                          const void **out_data)
{
    struct evbuffer_iovec first;
    size_t size = evbuffer_get_length(output);
    size = size < RECORD_MAX ? size : RECORD_MAX;
    if (evbuffer_peek(output, 1, NULL, &first, 1) >= 1 && first.iov_len >= size) {
        *out_data = first.iov_base;
    } else {
        (void)evbuffer_copyout(output, copy, size);
        *out_data = copy;
    }
    return size;
}

bool pk_tls_pipe_write(struct pk_tls_pipe *pipe)
{
    unsigned char copy[RECORD_MAX];
    if (!SSL_is_init_finished(pipe->ssl) || pipe->is_ended) {
        return true; /* Nothing was asked yet, or all was said. */
    }
    ERR_clear_error();
    while (evbuffer_get_length(pipe->output) > 0 &&
           evbuffer_get_length(pipe->wire_out) < PK_TLS_WIRE_HIGH) {
        const void *data;
        size_t put;
        size_t size = next_record(pipe->output, copy, &data);
        if (SSL_write_ex(pipe->ssl, data, size, &put) != 1) {
            ERR_clear_error();
            pipe->is_ended = true;
            return false;
        }
        (void)evbuffer_drain(pipe->output, put);
    }
    return true;
}

void pk_tls_pipe_end(struct pk_tls_pipe *pipe)
{
    if (!pipe->is_ended && SSL_is_init_finished(pipe->ssl)) {
        ERR_clear_error();
        (void)SSL_shutdown(pipe->ssl);
        ERR_clear_error();
    }
    pipe->is_ended = true;
}

/* ---- Beginning and end ---- */

struct pk_tls_pipe *pk_tls_pipe_new(struct pk_tls *tls, struct evbuffer *wire_in,
                                    struct evbuffer *wire_out)
{
    SSL *ssl = pk_tls_session(tls);
    BIO *bio = BIO_new(pk_tls_method(tls));
    if (!ssl || !bio) {
        abort(); /* No memory: as pk_alloc does. */
    }
    struct pk_tls_pipe *pipe = pk_calloc(1, sizeof(*pipe));
    *pipe = (struct pk_tls_pipe){ .ssl = ssl,
                                  .wire_in = wire_in,
                                  .wire_out = wire_out,
                                  .input = evbuffer_new(),
                                  .output = evbuffer_new() };
    BIO_set_data(bio, pipe);
    SSL_set_bio(ssl, bio, bio);
    SSL_set_accept_state(ssl);
    return pipe;
}

void pk_tls_pipe_free(struct pk_tls_pipe *pipe)
{
    if (pipe) {
        SSL_free(pipe->ssl);
        evbuffer_free(pipe->input);
        evbuffer_free(pipe->output);
        pk_free(pipe);
    }
}
