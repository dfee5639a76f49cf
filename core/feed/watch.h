/* watch.h - The one thread that follows the feed, and everybody it tells.
 *
 *     watch = pk_watch_new(&options);
 *     pk_watch_tell(watch, hear, ring);      listeners, before it starts
 *     pk_watch_start(watch, &err);
 *
 * A listener is called on the watcher's thread, in the order of the feed, for
 * every item: events, gaps, and quiet spells too (each is an answer of the
 * store). It must not block.
 *
 * Who needs his own write waits for its cursor without a thread:
 *
 *     if (pk_watch_has_passed(watch, cursor, &passed, err) && !passed) {
 *         park; pk_watch_wait(watch, cursor, wake, parked, &err);
 *     } */
/* SPDX-License-Identifier: MIT */
#ifndef PK_FEED_WATCH_H
#define PK_FEED_WATCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct pk_clock;
struct pk_error;
struct pk_feed_item;
struct pk_log;
struct pk_store;
struct pk_watch; /* Opaque. */

struct pk_watch_options {
    struct pk_store *store;
    const struct pk_clock *clock;
    struct pk_log *log;
    size_t waiters_max; /* 0: 10,000. */
};

struct pk_watch *pk_watch_new(const struct pk_watch_options *options);
void pk_watch_free(struct pk_watch *watch); /* Stops it first; NULL is fine. */

typedef void pk_watch_fn(void *context, const struct pk_feed_item *item);
/* Before the start. */
void pk_watch_tell(struct pk_watch *watch, pk_watch_fn *hear, void *context);
bool pk_watch_start(struct pk_watch *watch, struct pk_error *err);
void pk_watch_stop(struct pk_watch *watch); /* Nobody is told anything after it; more than once is
                                             * fine, as is NULL. Who waits is woken. */

/* Any thread. PK_INVALID: no cursor of this store. */
bool pk_watch_has_passed(struct pk_watch *watch, const char *cursor, bool *out_passed,
                         struct pk_error *err);
/* 'wake' is called once, on any thread, with 'context': when the feed has passed 'cursor' (perhaps
 * before this returns), or the watcher stops. PK_BUSY: too many wait, and it is not called. A
 * waiter whose time is out forgets: 'wake' must bear being called late, after 30 s at the latest
 * while the watcher runs. */
typedef void pk_watch_wake_fn(void *context);
bool pk_watch_wait(struct pk_watch *watch, const char *cursor, pk_watch_wake_fn *wake,
                   void *context, struct pk_error *err);

/* For metrics and /readyz. */
struct pk_watch_stats {
    uint64_t events, gaps, failures; /* Items heard, and times the store did not answer. */
    int64_t silence_ms;              /* Since the store last answered; INT64_MAX: never. */
    size_t waiters;
};
void pk_watch_stats(struct pk_watch *watch, struct pk_watch_stats *out);
/* Where the feed stands now, into out[PK_POSITION_TEXT]. */
void pk_watch_position(struct pk_watch *watch, char *out, size_t size);

#endif
