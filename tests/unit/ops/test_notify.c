/* test_notify.c - What arrives at a service manager's socket. */
/* SPDX-License-Identifier: MIT */
#include "test.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/error.h"
#include "ops/notify.h"

#include <poll.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/* The manager's end. */
struct manager {
    int fd;
    char name[100]; /* For NOTIFY_SOCKET. */
    char message[512];
};

static void manager_init(struct manager *manager, bool is_abstract)
{
    struct sockaddr_un at = { .sun_family = AF_UNIX };
    static unsigned serial;
    if (is_abstract) {
        (void)snprintf(manager->name, sizeof(manager->name), "@pk-test-%d-%u", (int)getpid(),
                       serial++);
    } else {
        (void)snprintf(manager->name, sizeof(manager->name), "%s/n%u", pk_test_folder(), serial++);
    }
    const size_t size = strlen(manager->name);
    assert_true(size < sizeof(at.sun_path));
    memcpy(at.sun_path, manager->name, size);
    at.sun_path[0] = is_abstract ? '\0' : '/';
    manager->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(manager->fd, (const struct sockaddr *)&at,
                          (socklen_t)(offsetof(struct sockaddr_un, sun_path) + size)),
                     0);
}

static const char *next_message(struct manager *manager)
{
    struct pollfd waiting = { .fd = manager->fd, .events = POLLIN };
    assert_int_equal(poll(&waiting, 1, 20 * 1000), 1);
    const ssize_t size = recv(manager->fd, manager->message, sizeof(manager->message) - 1, 0);
    assert_true(size >= 0);
    manager->message[size] = '\0';
    return manager->message;
}

static struct pk_notify *open_notify(const char *name, const char *us, const char *pid)
{
    struct pk_error err = { 0 };
    struct pk_notify *notify = NULL;
    assert_ok(pk_notify_open(&notify, name, us, pid, &err), &err);
    return notify;
}

static void check_messages(bool is_abstract)
{
    struct manager manager;
    long long us = 0;
    manager_init(&manager, is_abstract);
    struct pk_notify *notify = open_notify(manager.name, NULL, NULL);
    pk_notify_ready(notify, "serving http://127.0.0.1:8077");
    assert_string_equal(next_message(&manager), "READY=1\nSTATUS=serving http://127.0.0.1:8077\n");
    pk_notify_ready(notify, NULL);
    assert_string_equal(next_message(&manager), "READY=1\n");
    pk_notify_status(notify, "draining\nREADY=1\rx");
    assert_string_equal(next_message(&manager), "STATUS=draining READY=1 x\n");
    pk_notify_stopping(notify, "signal");
    assert_string_equal(next_message(&manager), "STOPPING=1\nSTATUS=signal\n");

    const int64_t before_us = pk_clock_mono_ns(pk_clock_system()) / 1000;
    pk_notify_reloading(notify);
    assert_int_equal(sscanf(next_message(&manager), "RELOADING=1\nMONOTONIC_USEC=%lld\n", &us), 1);
    assert_true(us >= before_us && us <= pk_clock_mono_ns(pk_clock_system()) / 1000);
    pk_notify_close(notify);
    (void)close(manager.fd);
}

TEST(service_manager_hears_by_path)
{
    check_messages(false);
}

TEST(service_manager_hears_by_abstract_name)
{
    check_messages(true);
}

TEST(without_a_service_manager_nothing_is_said_and_nothing_fails)
{
    static const char *const name[] = { NULL, "" };
    struct pk_error err = { 0 };
    for (size_t i = 0; i < PK_COUNT(name); i++) {
        struct pk_notify *notify = open_notify(name[i], "1000", NULL);
        pk_notify_ready(notify, "x");
        pk_notify_reloading(notify);
        pk_notify_stopping(notify, NULL);
        assert_int_equal(pk_notify_watchdog_ms(notify), 0);
        assert_ok(pk_notify_watch(notify, NULL, NULL, &err), &err);
        pk_notify_close(notify);
    }
    pk_notify_close(NULL);
}

TEST(service_manager_that_is_gone_holds_nobody_up)
{
    struct manager manager;
    manager_init(&manager, false);
    struct pk_notify *notify = open_notify(manager.name, NULL, NULL);
    (void)close(manager.fd);
    pk_notify_ready(notify, "x");
    (void)unlink(manager.name);
    pk_notify_ready(notify, "x");
    pk_notify_close(notify);
}

TEST(environment_that_makes_no_sense_is_refused)
{
    static const struct {
        const char *socket, *us;
    } bad[] = {
        { "relative", NULL }, { "/", NULL },    { "@", NULL },  { "vsock:2:1", NULL },
        { "/x", "0" },        { "/x", "-5" },   { "/x", "5s" }, { "/x", "99999999999999" },
        { "/x", " " },        { "/x", "0x10" },
    };
    char path[200];
    struct pk_error err = { 0 };
    struct pk_notify *notify = NULL;
    for (size_t i = 0; i < PK_COUNT(bad); i++) {
        if (pk_notify_open(&notify, bad[i].socket, bad[i].us, NULL, &err)) {
            fail_msg("'%s', '%s' was taken", bad[i].socket, bad[i].us ? bad[i].us : "");
        }
        assert_int_equal(err.code, PK_INVALID);
        assert_non_null(err.hint);
    }
    memset(path, 'x', sizeof(path) - 1);
    path[0] = '/';
    path[sizeof(path) - 1] = '\0';
    assert_false(pk_notify_open(&notify, path, NULL, NULL, &err));
}

TEST(watchdog_of_another_process_is_not_ours)
{
    char pid[32];
    (void)snprintf(pid, sizeof(pid), "%d", (int)getpid() + 1);
    struct pk_notify *notify = open_notify("/x", "5000000", pid);
    assert_int_equal(pk_notify_watchdog_ms(notify), 0);
    pk_notify_close(notify);
    (void)snprintf(pid, sizeof(pid), "%d", (int)getpid());
    notify = open_notify("/x", "5000000", pid);
    assert_int_equal(pk_notify_watchdog_ms(notify), 5000);
    pk_notify_close(notify);
}

struct pulse {
    atomic_bool is_alive;
    _Atomic unsigned asked;
};

static bool has_pulse(void *context)
{
    struct pulse *pulse = context;
    pulse->asked++;
    return pulse->is_alive;
}

/* Until it was asked three times more. */
static void wait_asked(struct pulse *pulse)
{
    const unsigned asked = pulse->asked;
    const int64_t deadline_ns = pk_deadline_in_ms(pk_clock_system(), PK_TEST_PATIENCE_MS);
    while (pulse->asked < asked + 3) {
        assert_false(pk_deadline_passed(pk_clock_system(), deadline_ns));
        (void)poll(NULL, 0, 1);
    }
}

TEST(watchdog_hears_twice_a_period_as_long_as_the_server_lives)
{
    struct manager manager;
    struct pulse pulse = { .is_alive = true };
    struct pk_error err = { 0 };
    manager_init(&manager, false);
    struct pk_notify *notify = open_notify(manager.name, "40000", NULL);
    const int64_t before_ns = pk_clock_mono_ns(pk_clock_system());
    assert_ok(pk_notify_watch(notify, has_pulse, &pulse, &err), &err);
    for (size_t i = 0; i < 5; i++) {
        assert_string_equal(next_message(&manager), "WATCHDOG=1\n");
    }
    assert_true(pk_clock_mono_ns(pk_clock_system()) - before_ns >= INT64_C(80000000));

    pulse.is_alive = false;
    wait_asked(&pulse); /* And says no. */
    struct pollfd waiting = { .fd = manager.fd, .events = POLLIN };
    while (poll(&waiting, 1, 0) == 1) { /* What was said before. */
        assert_string_equal(next_message(&manager), "WATCHDOG=1\n");
    }
    wait_asked(&pulse);
    assert_int_equal(poll(&waiting, 1, 0), 0);

    pulse.is_alive = true; /* It has come back: heard again. */
    assert_string_equal(next_message(&manager), "WATCHDOG=1\n");
    pk_notify_close(notify);
    (void)close(manager.fd);
}
