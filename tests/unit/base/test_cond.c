/* test_cond.c - Waiting for a condition: until an instant, or until somebody says so. */
/* SPDX-License-Identifier: MIT */
#include "base/alloc.h"
#include "base/cond.h"
#include "test.h"

#include <stdbool.h>

static int64_t ns_of(struct timespec at)
{
    return (int64_t)at.tv_sec * 1000000000 + at.tv_nsec;
}

static int64_t now_ns(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return ns_of(now);
}

TEST(an_instant_lies_so_far_from_now_and_never_before_it)
{
    static const int64_t far_ms[] = { 0, 1, 999, 1000, 1999, 3600001 };
    for (size_t i = 0; i < PK_COUNT(far_ms); i++) {
        const int64_t before_ns = now_ns();
        const struct timespec at = pk_cond_in_ms(far_ms[i]);
        assert_true(at.tv_nsec >= 0 && at.tv_nsec < 1000000000);
        assert_true(ns_of(at) >= before_ns + far_ms[i] * 1000000);
        assert_true(ns_of(at) <= now_ns() + far_ms[i] * 1000000);
    }
    const int64_t before_ns = now_ns();
    assert_true(ns_of(pk_cond_in_ms(-5000)) >= before_ns);
    const struct timespec at = pk_cond_at_ns(INT64_C(12345678901));
    assert_true(at.tv_sec == 12 && at.tv_nsec == 345678901);
}

struct shared {
    pthread_mutex_t lock;
    pthread_cond_t said;
    bool is_said;
};

static void *say(void *context)
{
    struct shared *shared = context;
    (void)pthread_mutex_lock(&shared->lock);
    shared->is_said = true;
    (void)pthread_cond_signal(&shared->said);
    (void)pthread_mutex_unlock(&shared->lock);
    return NULL;
}

TEST(who_waits_wakes_when_it_is_said_or_when_the_instant_is_over)
{
    struct shared shared = { .lock = PTHREAD_MUTEX_INITIALIZER };
    pthread_t thread;
    pk_cond_init(&shared.said);
    (void)pthread_mutex_lock(&shared.lock);
    const struct timespec soon = pk_cond_in_ms(20);
    while (pk_cond_wait(&shared.said, &shared.lock, soon)) {
    }
    assert_true(now_ns() >= ns_of(soon));
    assert_false(pk_cond_wait(&shared.said, &shared.lock, soon)); /* It is over. */
    assert_int_equal(pthread_create(&thread, NULL, say, &shared), 0);
    const struct timespec late = pk_cond_in_ms(PK_TEST_PATIENCE_MS);
    while (!shared.is_said && pk_cond_wait(&shared.said, &shared.lock, late)) {
    }
    assert_true(shared.is_said);
    (void)pthread_mutex_unlock(&shared.lock);
    assert_int_equal(pthread_join(thread, NULL), 0);
    (void)pthread_cond_destroy(&shared.said);
}
