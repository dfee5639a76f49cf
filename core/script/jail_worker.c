/* jail_worker.c - A worker process, and frames to and from it.
 *
 * It is started by posix_spawn, which neither copies our memory nor runs our
 * code in the child: the server has many threads. It gets one end of a
 * socketpair as descriptor 3, an empty environment (a sanitizer's options
 * aside), no blocked signals, and a process group of its own, so that Ctrl-C
 * on the server's terminal does not reach it: the server ends its calls first.
 *
 * A worker is not trusted. Writing to it never blocks past the deadline, what
 * it sends is taken up to a limit, and a frame of the wrong kind or size is
 * nonsense, upon which it is killed. Killing is cheap: it has no state that
 * anybody would miss.
 * Thread: whoever holds the worker. */
/* SPDX-License-Identifier: MIT */
#include "base/alloc.h"
#include "base/error.h"
#include "script/jail_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { HELLO_MS = 10000, RECEIVE_BYTES = 16384, BUFFER_KEEP_BYTES = 256 << 10 };

/* ---- The process ---- */

/* Nothing of our environment goes to the worker, but for what a sanitizer's runtime reads. */
static const char *const passed_on[] = {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    "ASAN_OPTIONS", "TSAN_OPTIONS", "UBSAN_OPTIONS",
#endif
    NULL
};

static int spawn(struct jail_worker *worker, const char *path, bool is_unsafe, int fd)
{
    char *const argv[] = { (char *)"personakit-worker", is_unsafe ? (char *)"unsafe" : NULL, NULL };
    char *env[PK_COUNT(passed_on)] = { 0 };
    size_t env_count = 0;
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    sigset_t none, all;

    for (size_t i = 0; passed_on[i]; i++) {
        const char *value = getenv(passed_on[i]);
        if (value) {
            env[env_count++] = pk_strdupf("%s=%s", passed_on[i], value);
        }
    }
    (void)sigemptyset(&none);
    (void)sigfillset(&all);
    (void)posix_spawn_file_actions_init(&actions);
    (void)posix_spawnattr_init(&attributes);
    (void)posix_spawn_file_actions_adddup2(&actions, fd, PK_WIRE_FD);
    (void)posix_spawn_file_actions_addclosefrom_np(&actions, PK_WIRE_FD + 1);
    (void)posix_spawnattr_setsigmask(&attributes, &none);
    (void)posix_spawnattr_setsigdefault(&attributes, &all);
    (void)posix_spawnattr_setpgroup(&attributes, 0);
    (void)posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF |
                                                    POSIX_SPAWN_SETPGROUP);
    int failed = posix_spawn(&worker->pid, path, &actions, &attributes, argv, env);
    (void)posix_spawnattr_destroy(&attributes);
    (void)posix_spawn_file_actions_destroy(&actions);
    for (size_t i = 0; i < env_count; i++) {
        pk_free(env[i]);
    }
    if (failed) {
        worker->pid = 0;
    } else {
        (void)clock_getcpuclockid(worker->pid, &worker->cpu_clock);
    }
    return failed;
}

static bool hear_hello(struct jail_worker *worker, bool is_unsafe, struct pk_error *err)
{
    struct pk_wire_hello hello;
    enum pk_wire_kind kind = PK_WIRE_HELLO;
    const enum jail_io io =
        jail_receive(worker, sizeof(hello), jail_now_ns() + HELLO_MS * INT64_C(1000000), &kind);

    if (io != JAIL_IO_OK || kind != PK_WIRE_HELLO ||
        worker->in.size != sizeof(struct pk_wire_head) + sizeof(hello)) {
        return pk_fail(err, PK_UNAVAILABLE,
                       "see whether personakit-worker is the one of this build",
                       "cannot start a script worker: it does not say hello");
    }
    memcpy(&hello, worker->in.data + sizeof(struct pk_wire_head), sizeof(hello));
    hello.why[sizeof(hello.why) - 1] = '\0';
    jail_taken(worker);
    if (hello.version != PK_WIRE_VERSION) {
        return pk_fail(err, PK_UNAVAILABLE, "install server and worker of one build",
                       "cannot use this script worker: it speaks version %u, not %d", hello.version,
                       PK_WIRE_VERSION);
    }
    worker->is_locked = hello.is_locked != 0;
    if (!worker->is_locked && !is_unsafe) {
        return pk_fail(
            err, PK_UNAVAILABLE,
            "allow seccomp here, or set scripts.jail = \"unsafe\" and trust every script",
            "cannot lock a script worker down: %s", hello.why);
    }
    return true;
}

bool jail_worker_start(struct jail_worker *worker, const char *path, bool is_unsafe,
                       struct pk_error *err)
{
    int pair[2];

    *worker = (struct jail_worker){ .fd = -1 };
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0) {
        return pk_fail(err, PK_BUSY, "raise the limit on open files",
                       "cannot make a pipe for a script worker: %s", strerror(errno));
    }
    /* Above 3, or the child's copy would be closed with the original. */
    int theirs = fcntl(pair[1], F_DUPFD_CLOEXEC, PK_WIRE_FD + 1);
    int failed = theirs < 0 ? errno : spawn(worker, path, is_unsafe, theirs);
    (void)close(pair[1]);
    if (theirs >= 0) {
        (void)close(theirs);
    }
    worker->fd = pair[0];
    if (failed) {
        (void)jail_worker_end(worker);
        return pk_fail(err, PK_UNAVAILABLE,
                       "personakit-worker lies beside personakit; see that it can be executed",
                       "cannot start a script worker '%s': %s", path, strerror(failed));
    }
    if (!hear_hello(worker, is_unsafe, err)) {
        (void)jail_worker_end(worker);
        return false;
    }
    return true;
}

int jail_worker_end(struct jail_worker *worker)
{
    int status = -1;

    if (worker->pid > 0) {
        (void)kill(worker->pid, SIGKILL);
        while (waitpid(worker->pid, &status, 0) < 0) {
            if (errno != EINTR) {
                status = -1; /* Somebody ignores SIGCHLD: it is reaped all the same. */
                break;
            }
        }
        worker->pid = 0;
    }
    if (worker->fd >= 0) {
        (void)close(worker->fd);
        worker->fd = -1;
    }
    pk_buf_done(&worker->in);
    pk_buf_done(&worker->out);
    return status;
}

bool jail_worker_is_stale(const struct jail_worker *worker)
{
    struct pollfd ready = { .fd = worker->fd, .events = POLLIN };
    return poll(&ready, 1, 0) != 0;
}

/* ---- Frames ---- */

int64_t jail_now_ns(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

/* Milliseconds to the deadline, rounded up, so that waiting never ends early. */
static int left_ms(int64_t deadline_ns)
{
    const int64_t left = deadline_ns - jail_now_ns();
    const int64_t ms = left <= 0 ? 0 : (left + 999999) / 1000000;
    return ms > INT_MAX ? INT_MAX : (int)ms;
}

static enum jail_io wait_for(const struct jail_worker *worker, short events, int64_t deadline_ns)
{
    for (;;) {
        struct pollfd ready = { .fd = worker->fd, .events = events };
        const int ms = left_ms(deadline_ns);
        const int count = poll(&ready, 1, ms);
        if (count > 0) {
            return JAIL_IO_OK;
        }
        if (count == 0 || ms == 0) {
            return JAIL_IO_TIMEOUT;
        }
    }
}

void jail_frame(struct jail_worker *worker, enum pk_wire_kind kind)
{
    const struct pk_wire_head head = { .kind = kind };
    pk_buf_clear(&worker->out);
    pk_buf_add(&worker->out, &head, sizeof(head));
    worker->tail_size = 0;
}

void jail_frame_tail(struct jail_worker *worker, const void *data, size_t size)
{
    worker->tail = data;
    worker->tail_size = size;
}

/* Sends what there is from byte 'at' on. */
static ssize_t send_from(const struct jail_worker *worker, size_t at)
{
    const struct pk_buf *out = &worker->out;
    const size_t behind = at > out->size ? at - out->size : 0;
    struct iovec part[2] = {
        { out->data + (at < out->size ? at : out->size), at < out->size ? out->size - at : 0 },
        { (char *)(uintptr_t)worker->tail + behind, worker->tail_size - behind },
    };
    const struct msghdr message = { .msg_iov = part, .msg_iovlen = worker->tail_size ? 2 : 1 };

    return sendmsg(worker->fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
}

enum jail_io jail_send(struct jail_worker *worker, int64_t deadline_ns)
{
    struct pk_buf *out = &worker->out;
    struct pk_wire_head head;

    memcpy(&head, out->data, sizeof(head));
    head.size = (uint32_t)(out->size + worker->tail_size - sizeof(head));
    memcpy(out->data, &head, sizeof(head));
    for (size_t at = 0; at < out->size + worker->tail_size;) {
        const ssize_t sent = send_from(worker, at);
        if (sent >= 0) {
            at += (size_t)sent;
            continue;
        }
        if (errno == EAGAIN) { /* One that reads byte by byte gets no more time by it. */
            const enum jail_io io = left_ms(deadline_ns) == 0
                                        ? JAIL_IO_TIMEOUT
                                        : wait_for(worker, POLLOUT, deadline_ns);
            if (io != JAIL_IO_OK) {
                return io;
            }
        } else if (errno != EINTR) {
            return JAIL_IO_GONE;
        }
    }
    if (out->capacity > BUFFER_KEEP_BYTES) {
        pk_buf_done(out);
    }
    return JAIL_IO_OK;
}

/* From here on a read waits so long; one system call less than to poll before each. */
static void be_patient(struct jail_worker *worker, int ms)
{
    if (ms && ms != worker->patience_ms) {
        const struct timeval time = { ms / 1000, ms % 1000 * 1000 };
        (void)setsockopt(worker->fd, SOL_SOCKET, SO_RCVTIMEO, &time, sizeof(time));
        worker->patience_ms = ms;
    }
}

enum jail_io jail_receive(struct jail_worker *worker, size_t max, int64_t deadline_ns,
                          enum pk_wire_kind *out_kind)
{
    struct pk_buf *in = &worker->in;
    struct pk_wire_head head = { 0 };
    bool is_late = false;

    for (;;) {
        if (in->size >= sizeof(head)) {
            memcpy(&head, in->data, sizeof(head));
            if (head.size > max || in->size > sizeof(head) + head.size) {
                return JAIL_IO_NONSENSE;
            }
            if (in->size == sizeof(head) + head.size) {
                *out_kind = (enum pk_wire_kind)head.kind;
                return JAIL_IO_OK;
            }
        }
        const size_t wanted =
            in->size < sizeof(head) ? RECEIVE_BYTES : sizeof(head) + head.size - in->size + 1;
        if (is_late) {
            return JAIL_IO_TIMEOUT;
        }
        const int ms = left_ms(deadline_ns);
        is_late = ms == 0; /* What lies there is taken, once. */
        be_patient(worker, ms);
        const ssize_t got =
            recv(worker->fd, pk_buf_reserve(in, wanted), wanted, is_late ? MSG_DONTWAIT : 0);
        if (got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR)) {
            return JAIL_IO_GONE;
        }
        in->size += got > 0 ? (size_t)got : 0;
    }
}

void jail_taken(struct jail_worker *worker)
{
    pk_buf_clear(&worker->in);
    if (worker->in.capacity > BUFFER_KEEP_BYTES) {
        pk_buf_done(&worker->in);
    }
}
