/* notify.c - Datagrams to the service manager, and the thread of its watchdog.
 *
 * Every message is one sendto(2) on one socket that is never connected, so a
 * service manager that was restarted hears the next one. A message that cannot
 * be sent within SEND_MS is lost: to serve is more important than to say so.
 *
 * Thread: any; the watchdog's own asks and sends. 'lock' guards 'is_stopping'. */
/* SPDX-License-Identifier: MIT */
#include "ops/notify.h"

#include "base/alloc.h"
#include "base/buf.h"
#include "base/cond.h"
#include "base/error.h"

#include <errno.h>
#include <pthread.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

enum { SEND_MS = 1000, US_PER_MS = 1000, NS_PER_US = 1000 };
#define NS_PER_S    INT64_C(1000000000)
#define WATCHDOG_US INT64_C(86400000000) /* The longest period: a day. */

struct pk_notify {
    int fd; /* -1: nobody listens. */
    struct sockaddr_un to;
    socklen_t to_size;
    int64_t watchdog_us; /* 0: none is wanted. */

    bool has_thread;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t stop;
    bool is_stopping;
    pk_notify_alive_fn *is_alive;
    void *context;
};

/* ---- Opening ---- */

static bool read_address(struct pk_notify *notify, const char *name, struct pk_error *err)
{
    const size_t size = strlen(name);
    if ((name[0] != '/' && name[0] != '@') || name[1] == '\0' ||
        size >= sizeof(notify->to.sun_path)) {
        return pk_fail(err, PK_INVALID, "unset it, or let systemd set it",
                       "NOTIFY_SOCKET is neither a path nor an abstract name");
    }
    notify->to.sun_family = AF_UNIX;
    memcpy(notify->to.sun_path, name, size);
    if (name[0] == '@') {
        notify->to.sun_path[0] = '\0'; /* So are abstract names told apart; no NUL ends them. */
    }
    notify->to_size =
        (socklen_t)(offsetof(struct sockaddr_un, sun_path) + size + (name[0] == '@' ? 0 : 1));
    return true;
}

static bool read_number(const char *text, int64_t max, int64_t *out)
{
    char *end;
    errno = 0;
    const long long number = strtoll(text, &end, 10);
    *out = number;
    return errno == 0 && end != text && *end == '\0' && number > 0 && number <= max;
}

/* A watchdog that is meant for another process (the one that started this) is none. */
static bool read_watchdog(struct pk_notify *notify, const char *us, const char *pid,
                          struct pk_error *err)
{
    int64_t number;
    if (!us || !*us) {
        return true;
    }
    if (pid && *pid && (!read_number(pid, INT32_MAX, &number) || number != getpid())) {
        return true;
    }
    if (!read_number(us, WATCHDOG_US, &number)) {
        return pk_fail(err, PK_INVALID, "unset it, or let systemd set it",
                       "WATCHDOG_USEC is '%.40s', which is no number of microseconds up to a day",
                       us);
    }
    notify->watchdog_us = number;
    return true;
}

static bool open_socket(struct pk_notify *notify, struct pk_error *err)
{
    const struct timeval wait = { .tv_sec = SEND_MS / 1000 };
    notify->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (notify->fd < 0) {
        return pk_fail(err, PK_INTERNAL, "raise the limit of open files",
                       "cannot make a socket to the service manager: %s", strerror(errno));
    }
    (void)setsockopt(notify->fd, SOL_SOCKET, SO_SNDTIMEO, &wait, sizeof(wait));
    return true;
}

bool pk_notify_open(struct pk_notify **out, const char *socket_name, const char *watchdog_us,
                    const char *watchdog_pid, struct pk_error *err)
{
    struct pk_notify *notify = pk_calloc(1, sizeof(*notify));
    const bool is_wanted = socket_name && *socket_name;

    notify->fd = -1;
    (void)pthread_mutex_init(&notify->lock, NULL);
    pk_cond_init(&notify->stop);
    if (is_wanted &&
        (!read_address(notify, socket_name, err) ||
         !read_watchdog(notify, watchdog_us, watchdog_pid, err) || !open_socket(notify, err))) {
        pk_notify_close(notify);
        return false;
    }
    *out = notify;
    return true;
}

void pk_notify_close(struct pk_notify *notify)
{
    if (!notify) {
        return;
    }
    if (notify->has_thread) {
        (void)pthread_mutex_lock(&notify->lock);
        notify->is_stopping = true;
        (void)pthread_cond_signal(&notify->stop);
        (void)pthread_mutex_unlock(&notify->lock);
        (void)pthread_join(notify->thread, NULL);
    }
    if (notify->fd >= 0) {
        (void)close(notify->fd);
    }
    (void)pthread_cond_destroy(&notify->stop);
    (void)pthread_mutex_destroy(&notify->lock);
    pk_free(notify);
}

/* ---- Saying ---- */

static void send_text(const struct pk_notify *notify, const char *text, size_t size)
{
    if (notify->fd >= 0) {
        (void)sendto(notify->fd, text, size, MSG_NOSIGNAL, (const struct sockaddr *)&notify->to,
                     notify->to_size);
    }
}

/* A line break in a status would begin another assignment. */
static void add_status(struct pk_buf *message, const char *status)
{
    pk_buf_add_text(message, "STATUS=");
    for (; *status; status++) {
        pk_buf_add_char(message, *status == '\n' || *status == '\r' ? ' ' : *status);
    }
    pk_buf_add_char(message, '\n');
}

static void say(const struct pk_notify *notify, const char *assignments, const char *status)
{
    PK_CLEANUP(pk_buf_done) struct pk_buf message = { 0 };
    pk_buf_add_text(&message, assignments);
    if (status) {
        add_status(&message, status);
    }
    send_text(notify, pk_buf_text(&message), message.size);
}

void pk_notify_ready(struct pk_notify *notify, const char *status)
{
    say(notify, "READY=1\n", status);
}

void pk_notify_reloading(struct pk_notify *notify)
{
    struct timespec now;
    char text[80];
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    (void)snprintf(text, sizeof(text), "RELOADING=1\nMONOTONIC_USEC=%lld\n",
                   (long long)now.tv_sec * 1000000 + now.tv_nsec / NS_PER_US);
    say(notify, text, NULL);
}

void pk_notify_stopping(struct pk_notify *notify, const char *status)
{
    say(notify, "STOPPING=1\n", status);
}

void pk_notify_status(struct pk_notify *notify, const char *status)
{
    say(notify, "", status);
}

/* ---- The watchdog ---- */

int64_t pk_notify_watchdog_ms(const struct pk_notify *notify)
{
    return notify->watchdog_us / US_PER_MS;
}

/* Waits until then. False: stop. */
static bool rest(struct pk_notify *notify, int64_t until_ns)
{
    const struct timespec until = pk_cond_at_ns(until_ns);
    (void)pthread_mutex_lock(&notify->lock);
    while (!notify->is_stopping && pk_cond_wait(&notify->stop, &notify->lock, until)) {
    }
    const bool goes_on = !notify->is_stopping;
    (void)pthread_mutex_unlock(&notify->lock);
    return goes_on;
}

static void *watch(void *argument)
{
    static const char alive[] = "WATCHDOG=1\n";
    struct pk_notify *notify = argument;
    int64_t next_ns;
    do {
        struct timespec now;
        if (notify->is_alive(notify->context)) {
            send_text(notify, alive, sizeof(alive) - 1);
        }
        (void)clock_gettime(CLOCK_MONOTONIC, &now);
        next_ns = now.tv_sec * NS_PER_S + now.tv_nsec + notify->watchdog_us * NS_PER_US / 2;
    } while (rest(notify, next_ns));
    return NULL;
}

bool pk_notify_watch(struct pk_notify *notify, pk_notify_alive_fn *is_alive, void *context,
                     struct pk_error *err)
{
    if (notify->fd < 0 || notify->watchdog_us == 0) {
        return true;
    }
    notify->is_alive = is_alive;
    notify->context = context;
    if (pthread_create(&notify->thread, NULL, watch, notify) != 0) {
        return pk_fail(err, PK_INTERNAL, "raise the limit of processes", "cannot start a thread");
    }
    notify->has_thread = true;
    return true;
}
