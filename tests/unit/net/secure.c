/* secure.c - See secure.h. */
/* SPDX-License-Identifier: MIT */
#include "secure.h"

#include "client.h"
#include "net/net.h"
#include "test.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

int secure_dial(const struct pk_net *net, size_t listener)
{
    struct sockaddr_in address = { .sin_family = AF_INET };
    struct timeval patience = { .tv_sec = CLIENT_PATIENCE_MS / 1000 };
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const char *colon = strrchr(pk_net_address(net, listener), ':');
    address.sin_port = htons((uint16_t)strtoul(colon + 1, NULL, 10));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    (void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
    if (connect(fd, (struct sockaddr *)&address, sizeof(address)) != 0) {
        (void)close(fd);
        return -1;
    }
    return fd;
}

bool secure_start(struct secure *secure, int fd, const char *certificate)
{
    *secure = (struct secure){ .fd = fd, .context = SSL_CTX_new(TLS_client_method()) };
    SSL_CTX_set_verify(secure->context, SSL_VERIFY_PEER, NULL);
    bool is_ready = fd >= 0 && SSL_CTX_load_verify_file(secure->context, certificate) == 1 &&
                    (secure->ssl = SSL_new(secure->context)) != NULL &&
                    SSL_set1_host(secure->ssl, "localhost") == 1 &&
                    SSL_set_fd(secure->ssl, fd) == 1;
    return is_ready && SSL_connect(secure->ssl) == 1;
}

void secure_open(struct secure *secure, const struct pk_net *net, const char *certificate)
{
    if (!secure_start(secure, secure_dial(net, 0), certificate)) {
        fail_msg("no handshake with %s", pk_net_address(net, 0));
    }
}

void secure_say(struct secure *secure, const char *text)
{
    assert_int_equal(SSL_write(secure->ssl, text, (int)strlen(text)), strlen(text));
}

const char *secure_hear(struct secure *secure, const char *until)
{
    static _Thread_local char text[65536];
    size_t size = 0;
    text[0] = '\0';
    while (size + 1 < sizeof(text) && !(until && strstr(text, until))) {
        int got = SSL_read(secure->ssl, text + size, (int)(sizeof(text) - 1 - size));
        if (got <= 0) {
            break;
        }
        size += (size_t)got;
        text[size] = '\0';
    }
    return text;
}

bool secure_is_ended(struct secure *secure)
{
    char byte;
    int got = SSL_read(secure->ssl, &byte, 1);
    return got == 0 && SSL_get_error(secure->ssl, got) == SSL_ERROR_ZERO_RETURN;
}

void secure_close(struct secure *secure)
{
    SSL_free(secure->ssl);
    SSL_CTX_free(secure->context);
    if (secure->fd >= 0) {
        (void)close(secure->fd);
    }
}
