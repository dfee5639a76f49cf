/* loop.c - One thread that accepts, and moves bytes for its connections.
 *
 * Nothing here waits for anything but the sockets. Other threads reach the
 * loop in two ways, both followed by a write to 'wake_fd': mail in its box
 * (under 'lock'; only the first of many needs the write), and the flags that
 * ask for drain or stop.
 *
 *     drain: let the kernel begin no further connection, accept those that it
 *            completes for SETTLE_MS, close the listeners; let every connection
 *            finish: the last one makes done_fd readable
 *
 * Whatever libevent calls begins with the clock (loop->now_ns), and ends with
 * pk_loop_flush, which sends what there is to say by then.
 *
 * There is one per core, with a listener of its own; they share the cap on
 * connections, the lanes, and nothing else. */
/* SPDX-License-Identifier: MIT */
#include "net/net_internal.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/crypto.h"

#include <errno.h>
#include <event2/buffer.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

enum {
    ACCEPT_AGAIN_MS = 100,
    TICK_MS = 1000,
    SWEEP_MS_MAX = 1000,
    SETTLE_MS = 100,
    NS_PER_MS = 1000 * 1000
};

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

static void welcome(const struct pk_door *door, int fd, const struct sockaddr *address)
{
    static const int on = 1;
    struct pk_loop *loop = door->loop;
    if (loop->net->connections >= loop->net->options.limits.connections_max) {
        turn_away(loop, fd);
        return;
    }
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    if (!pk_conn_new(loop, door->listener, fd, address)) {
        turn_away(loop, fd);
    }
}

static void on_accept(struct evconnlistener *listener, evutil_socket_t fd, struct sockaddr *address,
                      int size, void *context)
{
    const struct pk_door *door = context;
    (void)listener;
    (void)size;
    (void)pk_loop_now(door->loop);
    welcome(door, fd, address);
    pk_loop_flush(door->loop);
}

/* No descriptors left: the one that is kept for this lets the next in line be told. False: nobody
 * was, because another thread was faster or there is nobody. */
static bool turn_away_next(struct pk_loop *loop, int listener)
{
    if (loop->spare_fd >= 0) {
        (void)close(loop->spare_fd);
    }
    int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd >= 0) {
        turn_away(loop, fd);
    }
    loop->spare_fd = fcntl(loop->wake_fd, F_DUPFD_CLOEXEC, 0);
    return fd >= 0;
}

/* When nobody can even be told, the listener would spin: it rests for a moment. */
static void on_accept_error(struct evconnlistener *listener, void *context)
{
    const struct pk_door *door = context;
    struct timeval rest = { .tv_usec = ACCEPT_AGAIN_MS * 1000 };
    if (turn_away_next(door->loop, evconnlistener_get_fd(listener))) {
        return;
    }
    (void)evconnlistener_disable(listener);
    (void)evtimer_add(door->loop->accept_again, &rest);
}

static void on_accept_again(evutil_socket_t fd, short what, void *context)
{
    struct pk_loop *loop = context;
    (void)fd;
    (void)what;
    for (size_t i = 0; i < loop->door_count; i++) {
        if (loop->door[i].accepting) {
            (void)evconnlistener_enable(loop->door[i].accepting);
        }
    }
}

/* ---- Draining and waking ---- */

void pk_loop_drained(struct pk_loop *loop)
{
    if (atomic_fetch_sub(&loop->net->undrained, 1) == 1) {
        (void)eventfd_write(loop->net->done_fd, 1);
    }
}

/* All who are in the queue of 'door'. */
static void welcome_rest(const struct pk_door *door)
{
    struct sockaddr_storage address;
    int listener = evconnlistener_get_fd(door->accepting);
    for (;;) {
        socklen_t size = sizeof(address);
        int fd =
            accept4(listener, (struct sockaddr *)&address, &size, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd >= 0) {
            welcome(door, fd, (struct sockaddr *)&address);
        } else if ((errno != EMFILE && errno != ENFILE) || !turn_away_next(door->loop, listener)) {
            return;
        }
    }
}

/* The handshakes that were under way are over: shuts the doors behind who came in by them. */
static void on_settled(evutil_socket_t none, short what, void *context)
{
    struct pk_loop *loop = context;
    (void)none;
    (void)what;
    (void)pk_loop_now(loop);
    for (size_t i = 0; i < loop->door_count; i++) {
        struct pk_door *door = &loop->door[i];
        welcome_rest(door);
        evconnlistener_free(door->accepting);
        door->accepting = NULL;
    }
    loop->is_shut = true;
    if (!loop->conn) {
        pk_loop_drained(loop);
    }
    pk_loop_flush(loop);
}

/* Whoever has been told that he is connected is served, too: also those whose handshake ends in the
 * next moment. */
static void drain(struct pk_loop *loop)
{
    static const struct timeval settle = { .tv_usec = SETTLE_MS * 1000 };
    loop->is_draining = true;
    for (size_t i = 0; i < loop->door_count; i++) {
        pk_listen_stop(evconnlistener_get_fd(loop->door[i].accepting));
        (void)evconnlistener_enable(loop->door[i].accepting);
    }
    (void)evtimer_add(loop->settled, &settle);
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
    (void)pk_loop_now(loop);
    empty_box(loop);
    pk_loop_flush(loop);
    if (loop->is_stop_wanted) {
        (void)event_base_loopbreak(loop->base);
    } else if (loop->is_drain_wanted && !loop->is_draining) {
        drain(loop);
        pk_loop_flush(loop);
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

int64_t pk_loop_now(struct pk_loop *loop)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    loop->now_ns = (int64_t)now.tv_sec * 1000 * NS_PER_MS + now.tv_nsec;
    return loop->now_ns;
}

/* ---- What comes by the clock ---- */

static void on_flush_again(evutil_socket_t fd, short what, void *context)
{
    (void)fd;
    (void)what;
    (void)pk_loop_now(context);
    pk_loop_flush(context);
}

/* How late the tick is says how long the loop lets others wait. */
static void on_tick(evutil_socket_t fd, short what, void *context)
{
    static const struct timeval second = { .tv_sec = TICK_MS / 1000 };
    struct pk_loop *loop = context;
    (void)fd;
    (void)what;
    int64_t late_ns = pk_loop_now(loop) - loop->tick_due_ns;
    if (loop->tick_due_ns != 0) {
        loop->lag_ns = late_ns > 0 ? late_ns : 0;
    }
    loop->tick_due_ns = loop->now_ns + (int64_t)TICK_MS * NS_PER_MS;
    (void)evtimer_add(loop->tick, &second);
}

static void on_sweep(evutil_socket_t fd, short what, void *context)
{
    struct pk_loop *loop = context;
    (void)fd;
    (void)what;
    for (size_t i = 0; i < PK_LANE_COUNT; i++) {
        if (loop->net->lane[i]) {
            pk_lane_sweep(loop->net->lane[i]);
        }
    }
}

/* Often enough to find what has hung soon after its time; NULL when nothing ever does. */
static struct event *new_sweep(struct pk_loop *loop)
{
    int64_t every_ms = INT64_MAX;
    for (size_t i = 0; i < PK_LANE_COUNT; i++) {
        int64_t hung_ms = loop->net->options.limits.lane[i].hung_ms;
        every_ms = hung_ms > 0 && hung_ms / 8 < every_ms ? hung_ms / 8 : every_ms;
    }
    if (every_ms == INT64_MAX) {
        return NULL;
    }
    every_ms = every_ms > SWEEP_MS_MAX ? SWEEP_MS_MAX : every_ms > 0 ? every_ms : 1;
    struct timeval every = { .tv_sec = (time_t)(every_ms / 1000),
                             .tv_usec = (suseconds_t)(every_ms % 1000 * 1000) };
    struct event *sweep = event_new(loop->base, -1, EV_PERSIST, on_sweep, loop);
    (void)event_add(sweep, &every);
    return sweep;
}

const char *pk_loop_date(struct pk_loop *loop)
{
    struct timespec now;
    struct tm parts;
    if (loop->now_ns >= loop->date_until_ns) {
        (void)clock_gettime(CLOCK_REALTIME, &now);
        (void)gmtime_r(&now.tv_sec, &parts);
        (void)strftime(loop->date, sizeof(loop->date), "%a, %d %b %Y %H:%M:%S GMT", &parts);
        loop->date_until_ns = loop->now_ns + 1000 * NS_PER_MS - now.tv_nsec;
    }
    return loop->date;
}

static void *run(void *argument)
{
    struct pk_loop *loop = argument;
    pk_clock_follow(&loop->now_ns);
    (void)event_base_loop(loop->base, EVLOOP_NO_EXIT_ON_EMPTY);
    return NULL;
}

/* ---- Beginning and end ---- */

bool pk_loop_init(struct pk_loop *loop, struct pk_net *net, struct pk_error *err)
{
    loop->net = net;
    loop->id_base = pk_random_u64();
    loop->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    loop->spare_fd = fcntl(loop->wake_fd, F_DUPFD_CLOEXEC, 0);
    loop->base = event_base_new();
    (void)pthread_mutex_init(&loop->lock, NULL);
    if (!loop->base || loop->wake_fd < 0) {
        return pk_fail(err, PK_INTERNAL, "raise the limit of open files", "cannot start a loop: %s",
                       strerror(errno));
    }
    loop->wake = event_new(loop->base, loop->wake_fd, EV_READ | EV_PERSIST, on_wake, loop);
    (void)event_add(loop->wake, NULL);
    loop->accept_again = evtimer_new(loop->base, on_accept_again, loop);
    loop->flush_again = evtimer_new(loop->base, on_flush_again, loop);
    loop->settled = evtimer_new(loop->base, on_settled, loop);
    loop->tick = evtimer_new(loop->base, on_tick, loop);
    loop->sweep = loop == net->loop ? new_sweep(loop) : NULL;
    on_tick(-1, 0, loop);
    loop->door = pk_calloc(net->options.listener_count, sizeof(*loop->door));
    return true;
}

bool pk_loop_listen(struct pk_loop *loop, const struct pk_listener *listener, int fd,
                    struct pk_error *err)
{
    struct pk_door *door = &loop->door[loop->door_count];
    *door = (struct pk_door){ .loop = loop, .listener = listener };
    /* 0: it listens already. Any other number here would be its backlog; -1 is 128. */
    door->accepting = evconnlistener_new(loop->base, on_accept, door,
                                         LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC, 0, fd);
    if (!door->accepting) {
        (void)close(fd);
        return pk_fail(err, PK_INTERNAL, "raise the limit of open files",
                       "cannot watch a listening socket: %s", strerror(errno));
    }
    evconnlistener_set_error_cb(door->accepting, on_accept_error);
    loop->door_count++;
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
    (void)pk_loop_now(loop);
    loop->tick_due_ns = 0;
    while (loop->conn) {
        loop->net->cut += pk_conn_is_owing(loop->conn);
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
    for (size_t i = 0; i < loop->door_count; i++) {
        if (loop->door[i].accepting) {
            evconnlistener_free(loop->door[i].accepting);
        }
    }
    pk_free(loop->door);
    struct event *const event[] = { loop->accept_again, loop->flush_again, loop->settled,
                                    loop->tick,         loop->sweep,       loop->wake };
    for (size_t i = 0; i < PK_COUNT(event); i++) {
        if (event[i]) {
            event_free(event[i]);
        }
    }
    pk_socket_forget_spares(loop);
    if (loop->base) {
        event_base_free(loop->base);
    }
    pk_buf_done(&loop->departing);
}

void pk_loop_bury(struct pk_loop *loop)
{
    if (!loop->net) {
        return; /* Never begun. */
    }
    if (loop->wake_fd >= 0) {
        (void)close(loop->wake_fd);
    }
    if (loop->spare_fd >= 0) {
        (void)close(loop->spare_fd);
    }
    (void)pthread_mutex_destroy(&loop->lock);
}
