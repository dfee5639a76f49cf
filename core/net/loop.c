/* loop.c - One thread that accepts, and moves bytes for its connections.
 *
 * Nothing here waits for anything but the sockets. Other threads reach the
 * loop in two ways, both followed by a write to 'wake_fd': mail in its box
 * (under 'lock'; only the first of many needs the write), and the flags that
 * ask for drain or stop.
 *
 *     drain: accept what the kernel has already accepted, close the listener,
 *            let every connection finish; the last one makes done_fd readable
 *
 * There is one per core, with a listener of its own; they share the cap on
 * connections, the lanes, and nothing else. */
/* SPDX-License-Identifier: MIT */
#include "net/net_internal.h"

#include "base/alloc.h"
#include "base/crypto.h"

#include <errno.h>
#include <event2/buffer.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

enum { ACCEPT_AGAIN_MS = 100 };

/* ---- Accepting ---- */

/* Over a cap: say so without a word from the client, and close. */
static void turn_away(struct pk_loop *loop, int fd)
{
    static const char busy[] = "HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\n"
                               "Connection: close\r\nContent-Length: 0\r\n\r\n";
    loop->refused++;
    (void)send(fd, busy, sizeof(busy) - 1, MSG_DONTWAIT | MSG_NOSIGNAL);
    (void)shutdown(fd, SHUT_WR);
    (void)close(fd);
}

static void welcome(struct pk_loop *loop, int fd, const struct sockaddr *address)
{
    static const int on = 1;
    if (loop->net->connections >= loop->net->options.limits.connections_max) {
        turn_away(loop, fd);
        return;
    }
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    if (!pk_conn_new(loop, fd, address)) {
        turn_away(loop, fd);
    }
}

static void on_accept(struct evconnlistener *listener, evutil_socket_t fd, struct sockaddr *address,
                      int size, void *context)
{
    (void)listener;
    (void)size;
    welcome(context, fd, address);
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
    if (atomic_fetch_sub(&loop->net->undrained, 1) == 1) {
        (void)eventfd_write(loop->net->done_fd, 1);
    }
}

static void drain(struct pk_loop *loop)
{
    int listener = evconnlistener_get_fd(loop->listener);
    int fd = -1;
    struct sockaddr_storage address;
    socklen_t size = sizeof(address);

    loop->is_draining = true;
    pk_listen_stop(listener);
    /* These clients have been told that they are connected: they are served, too. */
    while ((fd = accept4(listener, (struct sockaddr *)&address, &size,
                         SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
        welcome(loop, fd, (struct sockaddr *)&address);
        size = sizeof(address);
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

/* Opens the mail, oldest first. */
static void empty_box(struct pk_loop *loop)
{
    struct pk_mail *in_order = NULL;

    (void)pthread_mutex_lock(&loop->lock);
    struct pk_mail *mail = loop->box;
    loop->box = NULL;
    (void)pthread_mutex_unlock(&loop->lock);

    while (mail) {
        struct pk_mail *next = mail->next;
        mail->next = in_order;
        in_order = mail;
        mail = next;
    }
    while (in_order) {
        mail = in_order;
        in_order = mail->next;
        mail->open(mail);
    }
}

static void on_wake(evutil_socket_t fd, short what, void *context)
{
    struct pk_loop *loop = context;
    eventfd_t count;
    (void)what;
    (void)eventfd_read(fd, &count);
    empty_box(loop);
    if (loop->is_stop_wanted) {
        (void)event_base_loopbreak(loop->base);
    } else if (loop->is_drain_wanted && !loop->is_draining) {
        drain(loop);
    }
}

void pk_loop_wake(struct pk_loop *loop)
{
    loop->wakes++;
    (void)eventfd_write(loop->wake_fd, 1);
}

void pk_loop_post(struct pk_loop *loop, struct pk_mail *mail)
{
    (void)pthread_mutex_lock(&loop->lock);
    bool is_first = loop->box == NULL;
    mail->next = loop->box;
    loop->box = mail;
    (void)pthread_mutex_unlock(&loop->lock);
    if (is_first) {
        pk_loop_wake(loop); /* One wake-up for all that is in the box. */
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

/* ---- Beginning and end ---- */

bool pk_loop_init(struct pk_loop *loop, struct pk_net *net, int listen_fd, struct pk_error *err)
{
    loop->net = net;
    loop->id_base = pk_random_u64();
    loop->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    loop->base = event_base_new();
    (void)pthread_mutex_init(&loop->lock, NULL);
    if (!loop->base || loop->wake_fd < 0) {
        (void)close(listen_fd);
        return pk_fail(err, PK_INTERNAL, "raise the limit of open files", "cannot start a loop: %s",
                       strerror(errno));
    }
    loop->wake = event_new(loop->base, loop->wake_fd, EV_READ | EV_PERSIST, on_wake, loop);
    (void)event_add(loop->wake, NULL);
    loop->accept_again = evtimer_new(loop->base, on_accept_again, loop);
    loop->listener = evconnlistener_new(
        loop->base, on_accept, loop, LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC, -1, listen_fd);
    evconnlistener_set_error_cb(loop->listener, on_accept_error);
    return true;
}

bool pk_loop_start(struct pk_loop *loop, struct pk_error *err)
{
    if (pthread_create(&loop->thread, NULL, run, loop) != 0) {
        return pk_fail(err, PK_INTERNAL, "raise the limit of processes", "cannot start a thread");
    }
    loop->is_started = true;
    return true;
}

void pk_loop_stop(struct pk_loop *loop)
{
    if (loop->is_started) {
        loop->is_stop_wanted = true;
        pk_loop_wake(loop);
        (void)pthread_join(loop->thread, NULL);
        loop->is_started = false;
    }
}

void pk_loop_cut(struct pk_loop *loop)
{
    while (loop->conn) {
        pk_conn_close(loop->conn);
    }
}

void pk_loop_done(struct pk_loop *loop)
{
    if (!loop->net) {
        return; /* Never begun. */
    }
    empty_box(loop);
    while (loop->spare) {
        struct pk_exchange *exchange = loop->spare;
        loop->spare = exchange->next;
        pk_buf_done(&exchange->text);
        pk_arena_done(&exchange->request.arena);
        pk_free(exchange);
    }
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
    pk_buf_done(&loop->scratch);
    (void)pthread_mutex_destroy(&loop->lock);
}
