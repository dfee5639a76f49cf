/* loop.c - One thread that accepts, and moves bytes for its connections.
 *
 * Nothing here waits for anything but the sockets. Other threads reach the
 * loop in two ways, both followed by a write to 'wake_fd': a finished request
 * in the 'done' list (under 'lock'), and the flags that ask for drain or stop.
 *
 *     drain: accept what the kernel has already accepted, close the listener,
 *            let every connection finish; the last one makes done_fd readable
 *
 * The struct is complete in itself, so that there can be one per core. */
/* SPDX-License-Identifier: MIT */
#include "net/net_internal.h"

#include "base/alloc.h"

#include <errno.h>
#include <event2/buffer.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { ACCEPT_AGAIN_MS = 100, LISTEN_BACKLOG = 1024 };

static const struct pk_net_limits default_limits = {
    .head_ms = 10 * 1000,
    .body_ms = 30 * 1000,
    .idle_ms = 60 * 1000,
    .write_ms = 30 * 1000,
    .linger_ms = 2 * 1000,
    .connections_max = 10000,
    .executors = 8,
    .queue_max = 1024,
};

/* ---- Accepting ---- */

/* Over the cap: say so without a word from the client, and close. */
static void turn_away(struct pk_loop *loop, int fd)
{
    static const char busy[] = "HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\n"
                               "Connection: close\r\nContent-Length: 0\r\n\r\n";
    loop->net->refused++;
    (void)send(fd, busy, sizeof(busy) - 1, MSG_DONTWAIT | MSG_NOSIGNAL);
    (void)shutdown(fd, SHUT_WR);
    (void)close(fd);
}

static void welcome(struct pk_loop *loop, int fd)
{
    static const int on = 1;
    if (loop->net->connections >= loop->net->options.limits.connections_max) {
        turn_away(loop, fd);
        return;
    }
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    pk_conn_new(loop, fd);
}

static void on_accept(struct evconnlistener *listener, evutil_socket_t fd, struct sockaddr *address,
                      int size, void *context)
{
    (void)listener;
    (void)address;
    (void)size;
    welcome(context, fd);
}

/* No descriptors left: the listener would spin, so it rests for a moment. */
static void on_accept_error(struct evconnlistener *listener, void *context)
{
    struct pk_loop *loop = context;
    struct timeval rest = { .tv_usec = ACCEPT_AGAIN_MS * 1000 };
    (void)evconnlistener_disable(listener);
    (void)evtimer_add(loop->accept_again, &rest);
}

static void on_accept_again(evutil_socket_t fd, short what, void *context)
{
    struct pk_loop *loop = context;
    (void)fd;
    (void)what;
    if (loop->listener) {
        (void)evconnlistener_enable(loop->listener);
    }
}

/* ---- Draining and waking ---- */

void pk_loop_drained(struct pk_loop *loop)
{
    (void)eventfd_write(loop->net->done_fd, 1);
}

static void drain(struct pk_loop *loop)
{
    int fd = -1;
    loop->is_draining = true;
    /* These clients have been told that they are connected: they are served, too. */
    while ((fd = accept4(evconnlistener_get_fd(loop->listener), NULL, NULL,
                         SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
        welcome(loop, fd);
    }
    evconnlistener_free(loop->listener);
    loop->listener = NULL;
    if (!loop->conn) {
        pk_loop_drained(loop);
        return;
    }
    for (struct pk_conn *conn = loop->conn, *next; conn; conn = next) {
        next = conn->next;
        pk_conn_drain(conn);
    }
}

/* Hands out the answers that executors have brought, oldest first. */
static void deliver(struct pk_loop *loop)
{
    struct pk_request *in_order = NULL;

    (void)pthread_mutex_lock(&loop->lock);
    struct pk_request *done = loop->done;
    loop->done = NULL;
    (void)pthread_mutex_unlock(&loop->lock);

    while (done) {
        struct pk_request *next = done->next;
        done->next = in_order;
        in_order = done;
        done = next;
    }
    while (in_order) {
        struct pk_request *request = in_order;
        in_order = request->next;
        if (request->conn) {
            pk_conn_answered(request->conn, request);
        } else {
            pk_request_free(request);
        }
    }
}

static void on_wake(evutil_socket_t fd, short what, void *context)
{
    struct pk_loop *loop = context;
    eventfd_t count;
    (void)what;
    (void)eventfd_read(fd, &count);
    deliver(loop);
    if (loop->is_stop_wanted) {
        (void)event_base_loopbreak(loop->base);
    } else if (loop->is_drain_wanted && !loop->is_draining) {
        drain(loop);
    }
}

void pk_loop_done(struct pk_loop *loop, struct pk_request *request)
{
    (void)pthread_mutex_lock(&loop->lock);
    bool is_first = loop->done == NULL;
    request->next = loop->done;
    loop->done = request;
    (void)pthread_mutex_unlock(&loop->lock);
    if (is_first) {
        (void)eventfd_write(loop->wake_fd, 1); /* One wake-up for all that wait. */
    }
}

const char *pk_loop_date(struct pk_loop *loop)
{
    struct timeval now;
    struct tm parts;
    (void)event_base_gettimeofday_cached(loop->base, &now);
    if (loop->date_s != now.tv_sec) {
        loop->date_s = now.tv_sec;
        (void)gmtime_r(&now.tv_sec, &parts);
        (void)strftime(loop->date, sizeof(loop->date), "%a, %d %b %Y %H:%M:%S GMT", &parts);
    }
    return loop->date;
}

static void *run(void *argument)
{
    struct pk_loop *loop = argument;
    (void)event_base_loop(loop->base, EVLOOP_NO_EXIT_ON_EMPTY);
    return NULL;
}

/* ---- Opening ---- */

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

static bool open_socket(const char *listen_on, int *out_fd, struct pk_error *err)
{
    static const int on = 1;
    struct addrinfo wish = { .ai_flags = AI_PASSIVE, .ai_socktype = SOCK_STREAM };
    struct addrinfo *found;
    char host[64];
    char port[8];

    if (!split_address(listen_on, host, port, err)) {
        return false;
    }
    int code = getaddrinfo(host, port, &wish, &found);
    if (code != 0) {
        return pk_fail(err, PK_INVALID, "choose an address of this machine with --listen",
                       "cannot listen on '%s': %s", listen_on, gai_strerror(code));
    }
    int fd = socket(found->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    bool is_bound = fd >= 0 && bind(fd, found->ai_addr, found->ai_addrlen) == 0 &&
                    listen(fd, LISTEN_BACKLOG) == 0;
    freeaddrinfo(found);
    if (!is_bound) {
        (void)bind_error(listen_on, err);
        if (fd >= 0) {
            (void)close(fd);
        }
        return false;
    }
    *out_fd = fd;
    return true;
}

static void write_address(struct pk_net *net, int fd)
{
    struct sockaddr_storage address;
    socklen_t size = sizeof(address);
    char host[64] = "";
    char port[8] = "";
    (void)getsockname(fd, (struct sockaddr *)&address, &size);
    (void)getnameinfo((struct sockaddr *)&address, size, host, sizeof(host), port, sizeof(port),
                      NI_NUMERICHOST | NI_NUMERICSERV);
    bool is_v6 = address.ss_family == AF_INET6;
    (void)snprintf(net->address, sizeof(net->address), is_v6 ? "http://[%s]:%s" : "http://%s:%s",
                   host, port);
}

static bool loop_init(struct pk_loop *loop, struct pk_net *net, int fd, struct pk_error *err)
{
    loop->net = net;
    loop->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    loop->base = event_base_new();
    (void)pthread_mutex_init(&loop->lock, NULL);
    if (!loop->base || loop->wake_fd < 0) {
        (void)close(fd);
        return pk_fail(err, PK_INTERNAL, "raise the limit of open files", "cannot start a loop: %s",
                       strerror(errno));
    }
    loop->wake = event_new(loop->base, loop->wake_fd, EV_READ | EV_PERSIST, on_wake, loop);
    (void)event_add(loop->wake, NULL);
    loop->accept_again = evtimer_new(loop->base, on_accept_again, loop);
    loop->listener = evconnlistener_new(loop->base, on_accept, loop,
                                        LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC, -1, fd);
    evconnlistener_set_error_cb(loop->listener, on_accept_error);
    return true;
}

static void loop_done(struct pk_loop *loop)
{
    while (loop->conn) {
        pk_conn_close(loop->conn);
    }
    deliver(loop);
    if (loop->listener) {
        evconnlistener_free(loop->listener);
    }
    if (loop->accept_again) {
        event_free(loop->accept_again);
    }
    if (loop->wake) {
        event_free(loop->wake);
    }
    if (loop->base) {
        event_base_free(loop->base);
    }
    if (loop->wake_fd >= 0) {
        (void)close(loop->wake_fd);
    }
    (void)pthread_mutex_destroy(&loop->lock);
}

/* 'given' where it is set, the default elsewhere. */
static struct pk_net_limits fill_limits(const struct pk_net_limits *given)
{
    struct pk_net_limits limits = *given;
#define FILL(field) limits.field = given->field ? given->field : default_limits.field
    FILL(head_ms);
    FILL(body_ms);
    FILL(idle_ms);
    FILL(write_ms);
    FILL(linger_ms);
    FILL(connections_max);
    FILL(executors);
    FILL(queue_max);
#undef FILL
    return limits;
}

bool pk_net_open(struct pk_net **out, const struct pk_net_options *options, struct pk_error *err)
{
    int fd = -1;
    if (!open_socket(options->listen, &fd, err)) {
        return false;
    }
    struct pk_net *net = pk_calloc(1, sizeof(*net));
    net->options = *options;
    net->options.limits = fill_limits(&options->limits);
    net->done_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    net->loop.wake_fd = -1;
    write_address(net, fd);
    (void)signal(SIGPIPE, SIG_IGN);
    if (!loop_init(&net->loop, net, fd, err)) {
        pk_net_close(net);
        return false;
    }
    net->lane[PK_LANE_STORE] =
        pk_lane_new(net->options.limits.executors, net->options.limits.queue_max, options->context);
    if (pthread_create(&net->loop.thread, NULL, run, &net->loop) != 0) {
        pk_net_close(net);
        return pk_fail(err, PK_INTERNAL, "raise the limit of processes", "cannot start a thread");
    }
    net->is_started = true;
    *out = net;
    return true;
}

const char *pk_net_address(const struct pk_net *net)
{
    return net->address;
}

void pk_net_drain(struct pk_net *net)
{
    net->loop.is_drain_wanted = true;
    (void)eventfd_write(net->loop.wake_fd, 1);
}

int pk_net_done_fd(const struct pk_net *net)
{
    return net->done_fd;
}

void pk_net_close(struct pk_net *net)
{
    if (!net) {
        return;
    }
    if (net->is_started) {
        net->loop.is_stop_wanted = true;
        (void)eventfd_write(net->loop.wake_fd, 1);
        (void)pthread_join(net->loop.thread, NULL);
    }
    for (size_t i = 0; i < PK_LANE_COUNT; i++) {
        pk_lane_free(net->lane[i]); /* Before the loop: its threads hand requests to it. */
    }
    loop_done(&net->loop);
    (void)close(net->done_fd);
    pk_free(net);
}

void pk_net_stats(const struct pk_net *net, struct pk_net_stats *out)
{
    out->connections = net->connections;
    out->accepted = net->accepted;
    out->refused = net->refused;
    out->requests = net->requests;
    out->malformed = net->malformed;
}
