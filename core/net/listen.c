/* listen.c - Sockets that listen on one address, one for each loop.
 *
 * The first is bound as if it were alone, so that a port that another program
 * has is found out; only then is sharing (SO_REUSEPORT) allowed, and the others
 * join. Nothing listens before all are bound: the kernel would hand the first
 * connections to one loop alone.
 *
 * To stop, a filter that lets nothing in is put before the socket: a handshake
 * that is under way cannot complete between the last accept and the close,
 * which would reset a client that has been told it is connected. */
/* SPDX-License-Identifier: MIT */
#include "net/net_internal.h"

#include "base/alloc.h"

#include <errno.h>
#include <linux/filter.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { LISTEN_BACKLOG = 1024 };

/* Splits "127.0.0.1:8077" or "[::1]:0". */
static bool split_address(const char *listen, char host[64], char port[8], struct pk_error *err)
{
    static const char hint[] = "write it as ADDRESS:PORT, for example 127.0.0.1:8077 or [::1]:0";
    const char *colon = strrchr(listen, ':');
    size_t host_size = colon ? (size_t)(colon - listen) : 0;
    size_t digits = colon ? strspn(colon + 1, "0123456789") : 0;

    if (host_size == 0 || host_size >= 64 || digits == 0 || digits > 5 ||
        colon[1 + digits] != '\0' || strtoul(colon + 1, NULL, 10) > 65535) {
        return pk_fail(err, PK_INVALID, hint, "'%s' is not an address to listen on", listen);
    }
    if (listen[0] == '[' && listen[host_size - 1] == ']') {
        listen++;
        host_size -= 2;
    }
    memcpy(host, listen, host_size);
    host[host_size] = '\0';
    memcpy(port, colon + 1, digits + 1);
    return true;
}

static bool bind_error(const char *listen, struct pk_error *err)
{
    if (errno == EADDRINUSE) {
        return pk_fail(err, PK_CONFLICT,
                       "stop the program that has it, or choose another port with --listen; "
                       "port 0 takes a free one",
                       "cannot listen on '%s': another program has that port", listen);
    }
    if (errno == EACCES) {
        return pk_fail(err, PK_FORBIDDEN, "choose a port above 1023 with --listen",
                       "cannot listen on '%s': this user may not", listen);
    }
    return pk_fail(err, PK_INVALID, "choose an address of this machine with --listen",
                   "cannot listen on '%s': %s", listen, strerror(errno));
}

/* A socket that is bound to 'address' (of 'size' bytes), sharing it if others do; or -1. */
static int bind_one(const struct sockaddr *address, socklen_t size, bool is_shared)
{
    static const int on = 1;
    int fd = socket(address->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return -1;
    }
    bool is_bound =
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) == 0 &&
        (!is_shared || setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on)) == 0) &&
        bind(fd, address, size) == 0 &&
        setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on)) == 0;
    if (!is_bound) {
        int code = errno;
        (void)close(fd);
        errno = code;
        return -1;
    }
    return fd;
}

static bool bind_all(const struct addrinfo *found, size_t count, int *out_fd)
{
    struct sockaddr_storage address;
    socklen_t size = sizeof(address);
    out_fd[0] = bind_one(found->ai_addr, found->ai_addrlen, false);
    if (out_fd[0] < 0 || getsockname(out_fd[0], (struct sockaddr *)&address, &size) != 0) {
        return false;
    }
    for (size_t i = 1; i < count; i++) {
        out_fd[i] = bind_one((const struct sockaddr *)&address, size, true);
        if (out_fd[i] < 0) {
            return false;
        }
    }
    for (size_t i = 0; i < count; i++) {
        if (listen(out_fd[i], LISTEN_BACKLOG) != 0) {
            return false;
        }
    }
    return true;
}

bool pk_listen(const char *address, size_t count, int *out_fd, struct pk_error *err)
{
    struct addrinfo wish = { .ai_flags = AI_PASSIVE, .ai_socktype = SOCK_STREAM };
    struct addrinfo *found;
    char host[64];
    char port[8];

    if (!split_address(address, host, port, err)) {
        return false;
    }
    int code = getaddrinfo(host, port, &wish, &found);
    if (code != 0) {
        return pk_fail(err, PK_INVALID, "choose an address of this machine with --listen",
                       "cannot listen on '%s': %s", address, gai_strerror(code));
    }
    for (size_t i = 0; i < count; i++) {
        out_fd[i] = -1;
    }
    bool is_bound = bind_all(found, count, out_fd);
    if (!is_bound) {
        (void)bind_error(address, err);
        for (size_t i = 0; i < count && out_fd[i] >= 0; i++) {
            (void)close(out_fd[i]);
        }
    }
    freeaddrinfo(found);
    return is_bound;
}

void pk_listen_text(int fd, char out[PK_NET_ADDRESS_TEXT])
{
    struct sockaddr_storage address;
    socklen_t size = sizeof(address);
    char host[64] = "";
    char port[8] = "";
    (void)getsockname(fd, (struct sockaddr *)&address, &size);
    (void)getnameinfo((struct sockaddr *)&address, size, host, sizeof(host), port, sizeof(port),
                      NI_NUMERICHOST | NI_NUMERICSERV);
    bool is_v6 = address.ss_family == AF_INET6;
    (void)snprintf(out, PK_NET_ADDRESS_TEXT, is_v6 ? "http://[%s]:%s" : "http://%s:%s", host, port);
}

void pk_listen_stop(int fd)
{
    struct sock_filter drop_all = BPF_STMT(BPF_RET | BPF_K, 0);
    struct sock_fprog program = { .len = 1, .filter = &drop_all };
    (void)setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program));
}
