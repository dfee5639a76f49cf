/* cond.h - Conditions that are waited for until an instant, by the clock that only goes on.
 *
 * The machine's own clock, not a pk_clock: a thread sleeps in real time. */
/* SPDX-License-Identifier: MIT */
#ifndef PK_BASE_COND_H
#define PK_BASE_COND_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <time.h>

void pk_cond_init(pthread_cond_t *cond);
/* The instant so far from now (below 0: now), or at which CLOCK_MONOTONIC has that much. */
struct timespec pk_cond_in_ms(int64_t ms);
struct timespec pk_cond_at_ns(int64_t mono_ns);
/* Under 'lock'. False: 'until' has passed. It may wake for no reason: look, and wait again. */
bool pk_cond_wait(pthread_cond_t *cond, pthread_mutex_t *lock, struct timespec until);

#endif
