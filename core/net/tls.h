/* tls.h - Certificate and key, and what TLS makes of a connection's bytes.
 *
 *     pk_tls_open(&tls, "chain.pem", "key.pem", &err);
 *     pipe = pk_tls_pipe_new(tls, wire_in, wire_out);     one connection
 *     pk_tls_pipe_read(pipe)      what came in at 'wire_in' lies in pipe->input, in clear
 *     evbuffer_add(pipe->output, ...), pk_tls_pipe_write(pipe)    goes out at 'wire_out'
 *     pk_tls_pipe_end(pipe)       says that nothing more comes (close_notify)
 *
 * A reload changes what later connections get; those that are there keep what
 * they began with. pk_tls_* may be called by any thread, pk_tls_pipe_* by the
 * loop that has the connection. */
/* SPDX-License-Identifier: MIT */
#ifndef PK_NET_TLS_H
#define PK_NET_TLS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct bio_method_st;
struct evbuffer;
struct pk_error;
struct pk_tls; /* Opaque. */
struct ssl_st;

/* PEM files: the server's certificate and those above it, in this order; its key, without a
 * password. Copies the paths. An expired certificate is taken: see pk_tls_expires_ms. */
bool pk_tls_open(struct pk_tls **out, const char *certificate, const char *key,
                 struct pk_error *err);
void pk_tls_close(struct pk_tls *tls); /* NULL is fine. After the last connection. */
/* Reads both files anew. On failure everything stays as it was. */
bool pk_tls_reload(struct pk_tls *tls, struct pk_error *err);
/* Wall time at which the server's own certificate expires. */
int64_t pk_tls_expires_ms(struct pk_tls *tls);
/* For a new connection, by the certificate of now; free it with SSL_free. */
struct ssl_st *pk_tls_session(struct pk_tls *tls);
/* How a connection reads and writes; from pk_tls_method_new. */
const struct bio_method_st *pk_tls_method(const struct pk_tls *tls);

/* ---- tls_pipe.c ---- */

enum {
    PK_TLS_WIRE_HIGH = 64 * 1024, /* Bytes not yet sent above which nothing more is encrypted. */
    PK_TLS_WIRE_MAX = 256 * 1024  /* A client that makes us say more without listening is cut. */
};
enum pk_tls_says {
    PK_TLS_MORE,  /* All that came in is in the clear, as far as it was whole. */
    PK_TLS_EOF,   /* The same, and the client sends no more. */
    PK_TLS_BROKEN /* Not TLS, or not acceptable. An alert may be in 'wire_out'; say no more. */
};
struct pk_tls_pipe {
    struct ssl_st *ssl;
    struct evbuffer *wire_in, *wire_out; /* The connection's own, encrypted. */
    struct evbuffer *input, *output;     /* In clear; owned. */
    bool is_ended;                       /* pk_tls_pipe_end was called, or nothing can be said. */
};
/* NULL: no memory. Freed with BIO_meth_free. */
struct bio_method_st *pk_tls_method_new(void);
struct pk_tls_pipe *pk_tls_pipe_new(struct pk_tls *tls, struct evbuffer *wire_in,
                                    struct evbuffer *wire_out);
void pk_tls_pipe_free(struct pk_tls_pipe *pipe); /* NULL is fine. */
enum pk_tls_says pk_tls_pipe_read(struct pk_tls_pipe *pipe);
/* Moves what there is to say to 'wire_out', up to PK_TLS_WIRE_HIGH. False: TLS is broken. */
bool pk_tls_pipe_write(struct pk_tls_pipe *pipe);
void pk_tls_pipe_end(struct pk_tls_pipe *pipe);

#endif
