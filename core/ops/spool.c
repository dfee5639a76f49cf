/* spool.c - The thread behind the ring.
 *
 *     any thread --add--> ring --take--> page (whole lines, 4 KiB) --write(2)--> fd
 *
 * The writer sleeps on 'wake' when the ring is empty. Who adds the first line
 * after that wakes it; then it lingers a little, so that a busy server pays for
 * one wake-up in twenty milliseconds and not for one per line.
 *
 * It never waits in write(2) but in poll(2), where it can be told to stop: a
 * pipe that is ready takes 4 KiB, and a socket is written with MSG_DONTWAIT.
 * After a line that was written in part and then given up, the next write
 * begins with a newline, so that only that one is spoilt. */
/* SPDX-License-Identifier: MIT */
#include "ops/spool.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/error.h"
#include "ops/ring.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    BYTES_DEFAULT = 1024 * 1024,
    LINGER_MS = 20,
    POLL_MS = 100,     /* Between two looks at whether to stop. */
    FAREWELL_MS = 1000 /* How long a file may take after the stop. */
};

struct pk_spool {
    struct pk_ring *ring;
    int fd;
    bool is_socket;
    bool is_torn; /* The writer's own. */
    int wake;     /* eventfd */
    pthread_t thread;
    atomic_bool is_asleep;      /* Nobody has woken the writer yet. */
    atomic_bool is_stopping;    /* Write what is there and go. */
    _Atomic int64_t give_up_ns; /* When stopping: as long may writing take. */
    _Atomic uint64_t written, dropped;

    char page[PK_SPOOL_LINE_MAX]; /* The writer's own. */
    size_t page_size, page_lines;
};

static bool is_over(const struct pk_spool *spool)
{
    return spool->is_stopping && pk_deadline_passed(pk_clock_system(), spool->give_up_ns);
}

static ssize_t write_some(const struct pk_spool *spool, const char *data, size_t size)
{
    return spool->is_socket ? send(spool->fd, data, size, MSG_DONTWAIT | MSG_NOSIGNAL)
                            : write(spool->fd, data, size);
}

/* The bytes that the file took before it failed or the time was over. */
static size_t write_all(const struct pk_spool *spool, const char *data, size_t size)
{
    size_t done = 0;
    while (done < size && !is_over(spool)) {
        struct pollfd waiting = { .fd = spool->fd, .events = POLLOUT };
        if (poll(&waiting, 1, POLL_MS) <= 0) {
            continue;
        }
        const ssize_t n = write_some(spool, data + done, size - done);
        if (n >= 0) {
            done += (size_t)n;
        } else if (errno != EAGAIN && errno != EINTR) {
            break;
        }
    }
    return done;
}

static void write_page(struct pk_spool *spool)
{
    if (spool->page_size == 0) {
        return;
    }
    if (spool->is_torn && write_all(spool, "\n", 1) == 1) {
        spool->is_torn = false;
    }
    const size_t done = spool->is_torn ? 0 : write_all(spool, spool->page, spool->page_size);
    const bool is_whole = done == spool->page_size;
    spool->is_torn = spool->is_torn || (done > 0 && !is_whole && spool->page[done - 1] != '\n');
    *(is_whole ? &spool->written : &spool->dropped) += spool->page_lines;
    spool->page_size = 0;
    spool->page_lines = 0;
}

static void write_ring(struct pk_spool *spool)
{
    for (;;) {
        const size_t size = pk_ring_take(spool->ring, spool->page + spool->page_size,
                                         sizeof(spool->page) - spool->page_size);
        if (size > 0) {
            spool->page_size += size;
            spool->page_lines++;
        } else if (spool->page_size > 0) {
            write_page(spool); /* Full, or there are no more. */
        } else {
            return;
        }
    }
}

static void wait_for_wake(struct pk_spool *spool, int timeout_ms)
{
    struct pollfd waiting = { .fd = spool->wake, .events = POLLIN };
    eventfd_t count;
    if (poll(&waiting, 1, timeout_ms) == 1) {
        (void)eventfd_read(spool->wake, &count);
    }
}

static void *run(void *argument)
{
    struct pk_spool *spool = argument;
    bool is_last = false;
    while (!is_last) {
        is_last = spool->is_stopping; /* Before the look: nobody adds after the stop. */
        write_ring(spool);
        spool->is_asleep = true;
        if (!is_last && !pk_ring_has(spool->ring) && !spool->is_stopping) {
            wait_for_wake(spool, -1);
        }
        spool->is_asleep = false;
        if (!is_last && !spool->is_stopping) {
            wait_for_wake(spool, LINGER_MS); /* A stop ends it, too. */
        }
    }
    return NULL;
}

/* Signals are for the main thread; SIGPIPE stays where nobody looks. */
static bool start(struct pk_spool *spool)
{
    sigset_t all, before;
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    const int failed = pthread_create(&spool->thread, NULL, run, spool);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    return failed == 0;
}

static void release(struct pk_spool *spool)
{
    if (spool->wake >= 0) {
        (void)close(spool->wake);
    }
    pk_ring_free(spool->ring);
    pk_free(spool);
}

bool pk_spool_open(struct pk_spool **out, const struct pk_spool_options *options,
                   struct pk_error *err)
{
    struct pk_spool *spool = pk_calloc(1, sizeof(*spool));
    struct stat state;
    spool->fd = options->fd;
    spool->is_socket = fstat(options->fd, &state) == 0 && S_ISSOCK(state.st_mode);
    spool->ring = pk_ring_new(options->bytes ? options->bytes : BYTES_DEFAULT);
    spool->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (spool->wake < 0 || !start(spool)) {
        release(spool);
        return pk_fail(err, PK_INTERNAL, "raise the limits of processes and open files",
                       "cannot start the thread that writes the access log");
    }
    *out = spool;
    return true;
}

void pk_spool_close(struct pk_spool *spool)
{
    if (spool) {
        spool->give_up_ns = pk_deadline_in_ms(pk_clock_system(), FAREWELL_MS);
        spool->is_stopping = true;
        (void)eventfd_write(spool->wake, 1);
        (void)pthread_join(spool->thread, NULL);
        release(spool);
    }
}

bool pk_spool_add(struct pk_spool *spool, const char *line, size_t size)
{
    assert(size > 0 && size <= PK_SPOOL_LINE_MAX);
    if (!pk_ring_add(spool->ring, line, size)) {
        (void)atomic_fetch_add_explicit(&spool->dropped, 1, memory_order_relaxed);
        return false;
    }
    if (spool->is_asleep && atomic_exchange(&spool->is_asleep, false)) {
        (void)eventfd_write(spool->wake, 1);
    }
    return true;
}

void pk_spool_stats(const struct pk_spool *spool, struct pk_spool_stats *out)
{
    *out = (struct pk_spool_stats){ 0 };
    if (spool) {
        out->written = spool->written;
        out->dropped = spool->dropped;
    }
}
