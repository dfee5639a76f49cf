/* listen.c - Sockets that listen on one TCP address, one for each loop.
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
#include "net/listen.h"

#include "base/alloc.h"

#include <errno.h>
#include <linux/filter.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { LISTEN_BACKLOG = 1024 };

/* Splits "127.0.0.1:8077" or "[::1]:0". */
static bool split_address(const char *listen, char host[64], char port[8], struct pk_error *err)
{
    static const char hint[] = "write it as ADDRESS:PORT, for example 127.0.0.1:8077 or [::1]:0, "
                               "or as unix:/PATH";
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

/* What can be in the way, and what to do about it. */
static const struct {
    int code; /* errno. */
    enum pk_code kind;
    const char *what;
    const char *hint;
} trouble_table[] = {
    { EADDRINUSE, PK_CONFLICT, "another program has that port",
      "stop the program that has it, or choose another port with --listen; port 0 takes a free "
      "one; [::] has the IPv4 addresses, too" },
    { EACCES, PK_FORBIDDEN, "this user may not use that port",
      "choose a port above 1023 with --listen, or give the program CAP_NET_BIND_SERVICE" },
    { EPERM, PK_FORBIDDEN, "this user may not use that port",
      "choose a port above 1023 with --listen, or give the program CAP_NET_BIND_SERVICE" },
    { EADDRNOTAVAIL, PK_INVALID, "this machine does not have that address",
      "choose an address that 'ip address' shows with --listen; 0.0.0.0 and [::] are all of them" },
    { EAFNOSUPPORT, PK_UNSUPPORTED, "IPv6 is switched off on this machine",
      "choose an IPv4 address with --listen, for example 127.0.0.1:8077" },
    { EMFILE, PK_FULL, "too many files are open", "raise the limit of open files" },
    { ENFILE, PK_FULL, "too many files are open", "raise the limit of open files" },
};

static bool bind_error(const char *listen, struct pk_error *err)
{
    int code = errno;
    for (size_t i = 0; i < PK_COUNT(trouble_table); i++) {
        if (trouble_table[i].code == code) {
            return pk_fail(err, trouble_table[i].kind, trouble_table[i].hint,
                           "cannot listen on '%s': %s", listen, trouble_table[i].what);
        }
    }
    return pk_fail(err, PK_INVALID, "choose an address of this machine with --listen",
                   "cannot listen on '%s': %s", listen, strerror(code));
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

static bool listen_tcp(const char *address, size_t count, int *out_fd, struct pk_error *err)
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

bool pk_listen(const char *address, size_t count, int *out_fd, struct pk_socket_file *out_file,
               struct pk_error *err)
{
    out_file->path[0] = '\0';
    if (strncmp(address, "unix:", 5) == 0) {
        return pk_listen_unix(address, count, out_fd, out_file, err);
    }
    return listen_tcp(address, count, out_fd, err);
}

void pk_listen_text(int fd, bool is_secure, char out[PK_NET_ADDRESS_TEXT])
{
    struct sockaddr_storage address = { 0 };
    socklen_t size = sizeof(address);
    char host[64] = "";
    char port[8] = "";
    (void)getsockname(fd, (struct sockaddr *)&address, &size);
    if (address.ss_family == AF_UNIX) {
        const struct sockaddr_un *local = (const struct sockaddr_un *)(const void *)&address;
        (void)snprintf(out, PK_NET_ADDRESS_TEXT, "unix:%.*s", (int)sizeof(local->sun_path),
                       local->sun_path);
        return;
    }
    (void)getnameinfo((struct sockaddr *)&address, size, host, sizeof(host), port, sizeof(port),
                      NI_NUMERICHOST | NI_NUMERICSERV);
    bool is_v6 = address.ss_family == AF_INET6;
    (void)snprintf(out, PK_NET_ADDRESS_TEXT, is_v6 ? "http%s://[%s]:%s" : "http%s://%s:%s",
                   is_secure ? "s" : "", host, port);
}

void pk_listen_stop(int fd)
{
    enum { TCP_FLAGS = 13, TCP_SYN = 0x02 };
    /* A handshake that is under way may end; none begins. */
    struct sock_filter drop_syn[] = {
        BPF_STMT(BPF_LD | BPF_B | BPF_ABS, TCP_FLAGS),
        BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, TCP_SYN, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, 0),
        BPF_STMT(BPF_RET | BPF_K, UINT32_MAX),
    };
    struct sock_fprog program = { .len = PK_COUNT(drop_syn), .filter = drop_syn };
    int family = AF_UNSPEC;
    socklen_t size = sizeof(family);
    (void)getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &family, &size);
    if (family == AF_UNIX) {
        (void)shutdown(fd, SHUT_RD); /* Refuses who comes; who is in the queue can be accepted. */
    } else {
        (void)setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program));
    }
}
