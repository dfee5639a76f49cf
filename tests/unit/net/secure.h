/* secure.h - A TLS client for tests, on a blocking socket with patience. */
/* SPDX-License-Identifier: MIT */
#ifndef PK_TEST_SECURE_H
#define PK_TEST_SECURE_H

#include <openssl/ssl.h>
#include <stdbool.h>
#include <stddef.h>

struct pk_net;

struct secure {
    SSL_CTX *context;
    SSL *ssl;
    int fd;
};
/* Connects to a listener; the handshake is still to come. */
int secure_dial(const struct pk_net *net, size_t listener);
/* Shakes hands on 'fd', trusting 'certificate' alone. False: it failed. */
bool secure_start(struct secure *secure, int fd, const char *certificate);
/* Both; fails the case. */
void secure_open(struct secure *secure, const struct pk_net *net, const char *certificate);
void secure_say(struct secure *secure, const char *text);
/* Reads until 'until' is there (NULL: until the server's end). Static memory, per thread. */
const char *secure_hear(struct secure *secure, const char *until);
/* True when the server has said that it ends (close_notify), and nothing before that. */
bool secure_is_ended(struct secure *secure);
void secure_close(struct secure *secure);

#endif
