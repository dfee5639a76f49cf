/* bed.h - A store with a feed and nothing else, for one case: SQLite, or MongoDB. */
/* SPDX-License-Identifier: MIT */
#ifndef PK_TEST_FEED_BED_H
#define PK_TEST_FEED_BED_H

#include "feed/watch.h"
#include "store/store.h"
#include "test.h"

#include <pthread.h>

enum engine { ENGINE_SQLITE, ENGINE_MONGO };

struct bed {
    struct pk_store *store;
    char *url;
    bool is_mongo;
};
/* Skips the case when PK_TEST_MONGODB is not set. 'url' NULL: a fresh one. */
void bed_open(struct bed *bed, enum engine engine, const char *url);
void bed_done(struct bed *bed);

/* Announces an event with this number in one commit; its cursor into 'out' (may be NULL). */
void announce(struct bed *bed, int number, struct pk_commit *out);

/* MongoDB: drops the feed's collection, so that the stream is lost. */
void drop_feed(struct bed *bed);

/* What a listener has heard, and who waits has learnt. */
struct heard {
    pthread_mutex_t lock;
    pthread_cond_t moved;
    int number[4096]; /* Of events, in order. */
    size_t events, gaps, quiet;
    size_t woken;
};
void heard_init(struct heard *heard);
void heard_listen(void *heard, const struct pk_feed_item *item);
void heard_wake(void *heard);
/* Waits until 'count' (a field of 'heard') is at least 'least'; fails the case after 'ms'. */
void await_count(struct heard *heard, const size_t *count, size_t least, int64_t ms);
size_t read_count(struct heard *heard, const size_t *count);

#endif
