/* reaper.c - Small batches, so that no caller waits long behind one.
 *
 * Reads never see what has expired, so nothing depends on this thread but
 * room; on MongoDB the server reaps by itself and each call finds nothing.
 *
 * Thread: its own. 'lock' guards 'is_stopping'. */
/* SPDX-License-Identifier: MIT */
#include "ops/reaper.h"

#include "base/alloc.h"
#include "base/cond.h"
#include "base/error.h"
#include "base/log.h"
#include "store/store.h"

#include <pthread.h>
#include <time.h>

enum { BATCH = 500 };

struct pk_reaper {
    struct pk_store *store;
    struct pk_log *log;
    int64_t every_ms;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t stop;
    bool is_stopping;
};

/* Waits for the next round. False: stop. */
static bool rest(struct pk_reaper *reaper)
{
    const struct timespec until = pk_cond_in_ms(reaper->every_ms);
    (void)pthread_mutex_lock(&reaper->lock);
    while (!reaper->is_stopping && pk_cond_wait(&reaper->stop, &reaper->lock, until)) {
    }
    bool is_stopping = reaper->is_stopping;
    (void)pthread_mutex_unlock(&reaper->lock);
    return !is_stopping;
}

static bool is_stopping(struct pk_reaper *reaper)
{
    (void)pthread_mutex_lock(&reaper->lock);
    bool is = reaper->is_stopping;
    (void)pthread_mutex_unlock(&reaper->lock);
    return is;
}

static void *run(void *argument)
{
    struct pk_reaper *reaper = argument;
    while (rest(reaper)) {
        struct pk_error err = { 0 };
        size_t count = BATCH;
        while (count == BATCH && !is_stopping(reaper)) {
            if (!pk_store_reap(reaper->store, BATCH, &count, &err)) {
                pk_log_warn(reaper->log, "expired documents not reaped", PK_ERR(&err));
                break;
            }
        }
    }
    return NULL;
}

bool pk_reaper_start(struct pk_reaper **out, struct pk_store *store, struct pk_log *log,
                     int64_t every_ms, struct pk_error *err)
{
    struct pk_reaper *reaper = pk_calloc(1, sizeof(*reaper));

    reaper->store = store;
    reaper->log = log;
    reaper->every_ms = every_ms;
    (void)pthread_mutex_init(&reaper->lock, NULL);
    pk_cond_init(&reaper->stop);
    if (pthread_create(&reaper->thread, NULL, run, reaper) != 0) {
        pk_free(reaper);
        return pk_fail(err, PK_INTERNAL, "raise the limit of processes", "cannot start a thread");
    }
    *out = reaper;
    return true;
}

void pk_reaper_stop(struct pk_reaper *reaper)
{
    if (!reaper) {
        return;
    }
    (void)pthread_mutex_lock(&reaper->lock);
    reaper->is_stopping = true;
    (void)pthread_cond_signal(&reaper->stop);
    (void)pthread_mutex_unlock(&reaper->lock);
    (void)pthread_join(reaper->thread, NULL);
    (void)pthread_cond_destroy(&reaper->stop);
    (void)pthread_mutex_destroy(&reaper->lock);
    pk_free(reaper);
}
