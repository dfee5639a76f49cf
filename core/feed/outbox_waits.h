/* outbox_waits.h - Who waits for a task, or for all tasks of a person.
 *
 * Nothing here locks or calls anybody: those whose wait is over are collected
 * under the outbox's lock, and called once it is left. */
/* SPDX-License-Identifier: MIT */
#ifndef PK_FEED_OUTBOX_WAITS_H
#define PK_FEED_OUTBOX_WAITS_H

#include "base/id.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { PK_WAITS_BUCKETS = 1024 };

struct pk_wait {
    struct pk_wait *next;
    char key[PK_UUID_TEXT]; /* Of a task, or a person. */
    size_t left;            /* Ends that it takes: 1 for a task. */
    uint64_t number;        /* A person's: of tasks up to this one (pk_entry.number). */
    int64_t until_ns;       /* Monotonic: over then, whatever has ended. */
    void (*wake)(void *context);
    void *context;
};
struct pk_waits { /* '{ 0 }' is empty. */
    struct pk_wait *bucket[PK_WAITS_BUCKETS];
    struct pk_wait *over; /* To be called. */
    size_t count;         /* Of those in the buckets. */
};

/* A copy of 'wait'; whoever has no 'left' is over at once. */
void pk_waits_add(struct pk_waits *waits, const struct pk_wait *wait);
/* The task has ended; or one of the person's, with this number, needs nobody's wait any more. */
void pk_waits_end(struct pk_waits *waits, const char *key, uint64_t number);
/* All whose time is out; INT64_MAX: all. */
void pk_waits_expire(struct pk_waits *waits, int64_t now_ns);
/* Calls those that 'over' has led to; without any lock. */
void pk_waits_call(struct pk_wait *over);

#endif
