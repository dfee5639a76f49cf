/* cond.c - pthread's conditions, on CLOCK_MONOTONIC. */
/* SPDX-License-Identifier: MIT */
#include "base/cond.h"

#include <errno.h>

enum { NS_PER_MS = 1000000, NS_PER_S = 1000000000 };

void pk_cond_init(pthread_cond_t *cond)
{
    pthread_condattr_t attributes;
    (void)pthread_condattr_init(&attributes);
    (void)pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    (void)pthread_cond_init(cond, &attributes);
    (void)pthread_condattr_destroy(&attributes);
}

struct timespec pk_cond_in_ms(int64_t ms)
{
    struct timespec at;
    (void)clock_gettime(CLOCK_MONOTONIC, &at);
    if (ms > 0) {
        at.tv_sec += (time_t)(ms / 1000);
        at.tv_nsec += (long)(ms % 1000) * NS_PER_MS;
        at.tv_sec += at.tv_nsec / NS_PER_S;
        at.tv_nsec %= NS_PER_S;
    }
    return at;
}

struct timespec pk_cond_at_ns(int64_t mono_ns)
{
    return (struct timespec){ .tv_sec = (time_t)(mono_ns / NS_PER_S),
                              .tv_nsec = (long)(mono_ns % NS_PER_S) };
}

bool pk_cond_wait(pthread_cond_t *cond, pthread_mutex_t *lock, struct timespec until)
{
    return pthread_cond_timedwait(cond, lock, &until) != ETIMEDOUT;
}
