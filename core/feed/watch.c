/* watch.c - One thread follows the feed; another moves it when somebody waits on a quiet one.
 *
 *     store ──item──▶ watcher ──▶ listeners, in the order of pk_watch_tell
 *                        │
 *                     'mark'  how far everybody has been told
 *                        │
 *     pk_watch_wait ──▶ fresh ──▶ waiting ──passed, too old, or stopped──▶ wake
 *
 * A cursor counts as passed when the listeners have been told, not when the
 * row was read: who is woken then reads a cache that knows his write.
 *
 * No waiter is lost between the two lists: he looks at 'mark' and goes to
 * 'fresh' under the lock under which the watcher sets 'mark' and empties
 * 'fresh'. 'waiting' is the watcher's alone, so nobody stands behind it.
 *
 * Cursors cannot be sorted, only asked for one by one. So that thousands who
 * wait (perhaps for cursors that will never be) take no more than a tenth of
 * the thread from the listeners, the next look at all of them comes no sooner
 * than ten times as long after the last as that one took: a hundred take 30 us
 * and are looked at 0.3 ms later, ten thousand take 3 ms.
 *
 * On MongoDB a quiet stream does not move by itself. The barrier thread writes
 * one row for all who wait, and none again for those whom a row has covered: a
 * cursor of the future costs one row, not a stream of them. It is a thread of
 * its own because a write may hang where the feed does not.
 *
 * 'lock' guards what its field says; everything else is the watcher's. */
/* SPDX-License-Identifier: MIT */
#include "feed/watch.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/cond.h"
#include "base/error.h"
#include "base/log.h"
#include "doc/doc.h"
#include "store/store.h"

#include <assert.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

enum {
    LISTENERS_MAX = 16,
    WAITERS_DEFAULT = 10000,
    TICK_MS = 500,          /* Of pk_feed_next: so often silence is told from quiet. */
    LOOK_MS = 1,            /* The same while a look at the waiters is due. */
    LOOK_SHARE = 10,        /* A look takes at most one part in so many of the thread. */
    WAIT_MAX_MS = 30000,    /* A waiter who was forgotten is woken then. */
    BACKOFF_FIRST_MS = 20,  /* After the first failure; doubled each time, */
    BACKOFF_MAX_MS = 500,   /* up to this. */
    GRACE_MS = 3,           /* Most cursors pass by themselves in this time. */
    BARRIER_AGAIN_MS = 200, /* After a barrier that failed. */
};

struct waiter {
    struct waiter *next;
    pk_watch_wake_fn *wake;
    void *context;
    int64_t until_ns; /* Monotonic: woken then, whatever is passed. */
    char cursor[];
};
struct queue { /* In order of arrival, so also of 'until_ns'. */
    struct waiter *first;
    struct waiter **end;
};

struct pk_watch {
    struct pk_watch_options options;
    struct listener {
        pk_watch_fn *hear;
        void *context;
    } listener[LISTENERS_MAX];
    size_t listener_count;
    pthread_t watcher, barrier;
    bool is_running; /* Both threads were started. */

    /* The watcher's. */
    struct pk_feed *feed;
    struct queue waiting;
    bool is_look_due;      /* 'mark' has moved since the last look at 'waiting'. */
    int64_t look_after_ns; /* Monotonic. */
    int64_t away_ns;       /* Monotonic: the outage began; 0: there is none. */
    uint64_t away_tries;   /* Failures of this outage. */
    int64_t backoff_ms;

    pthread_mutex_t lock;
    pthread_cond_t stirred; /* A stop, or somebody who waits. */
    /* Under 'lock'. */
    struct pk_feed_mark mark;
    struct queue fresh;
    size_t waiter_count; /* In 'fresh' and 'waiting'. */
    uint64_t asked;      /* Waiters so far. */
    uint64_t covered;    /* So many of them have had their barrier. */
    bool is_stopping;
    uint64_t events, gaps, failures;
    int64_t heard_ns; /* Monotonic: the store last answered; 0: never. */
};

/* ---- Making one ---- */

static void queue_init(struct queue *queue)
{
    queue->first = NULL;
    queue->end = &queue->first;
}

static void queue_add(struct queue *queue, struct waiter *waiter)
{
    waiter->next = NULL;
    *queue->end = waiter;
    queue->end = &waiter->next;
}

/* Everything of 'from' goes behind 'to'. */
static void queue_move(struct queue *to, struct queue *from)
{
    if (from->first) {
        *to->end = from->first;
        to->end = from->end;
        queue_init(from);
    }
}

struct pk_watch *pk_watch_new(const struct pk_watch_options *options)
{
    struct pk_watch *watch = pk_calloc(1, sizeof(*watch));

    watch->options = *options;
    if (watch->options.waiters_max == 0) {
        watch->options.waiters_max = WAITERS_DEFAULT;
    }
    queue_init(&watch->fresh);
    queue_init(&watch->waiting);
    (void)pthread_mutex_init(&watch->lock, NULL);
    pk_cond_init(&watch->stirred);
    return watch;
}

void pk_watch_free(struct pk_watch *watch)
{
    if (watch) {
        pk_watch_stop(watch);
        (void)pthread_cond_destroy(&watch->stirred);
        (void)pthread_mutex_destroy(&watch->lock);
        pk_free(watch);
    }
}

void pk_watch_tell(struct pk_watch *watch, pk_watch_fn *hear, void *context)
{
    assert(!watch->is_running && watch->listener_count < LISTENERS_MAX);
    watch->listener[watch->listener_count++] =
        (struct listener){ .hear = hear, .context = context };
}

/* ---- Time ---- */

static int64_t now_ns(const struct pk_watch *watch)
{
    return pk_clock_mono_ns(watch->options.clock);
}

/* Under 'lock'. Sleeps until something stirs, at most 'ms'. */
static void doze(struct pk_watch *watch, int64_t ms)
{
    (void)pk_cond_wait(&watch->stirred, &watch->lock, pk_cond_in_ms(ms));
}

/* Under 'lock'. Sleeps that long unless it is stopped. */
static void rest(struct pk_watch *watch, int64_t ms)
{
    const int64_t until_ns = pk_deadline_in_ms(pk_clock_system(), ms);
    while (!watch->is_stopping && !pk_deadline_passed(pk_clock_system(), until_ns)) {
        doze(watch, ms);
    }
}

/* ---- Who waits ---- */

static void wake_all(struct queue *queue)
{
    for (struct waiter *next, *waiter = queue->first; waiter; waiter = next) {
        next = waiter->next;
        waiter->wake(waiter->context);
        pk_free(waiter);
    }
    queue_init(queue);
}

static bool is_over(struct pk_watch *watch, const struct pk_feed_mark *mark,
                    const struct waiter *waiter, int64_t at_ns)
{
    bool has_passed = false;
    return !pk_mark_has_passed(watch->options.store, mark, waiter->cursor, &has_passed, NULL) ||
           has_passed || at_ns >= waiter->until_ns;
}

/* Looks at each of those who wait, and wakes those who need not. */
static void look_at_all(struct pk_watch *watch, const struct pk_feed_mark *mark)
{
    const int64_t begun_ns = now_ns(watch);
    struct queue over;
    struct queue left;
    size_t count = 0;

    queue_init(&over);
    queue_init(&left);
    for (struct waiter *next, *waiter = watch->waiting.first; waiter; waiter = next) {
        next = waiter->next;
        const bool is = is_over(watch, mark, waiter, begun_ns);
        queue_add(is ? &over : &left, waiter);
        count += is;
    }
    queue_init(&watch->waiting);
    queue_move(&watch->waiting, &left);
    (void)pthread_mutex_lock(&watch->lock);
    watch->waiter_count -= count;
    (void)pthread_mutex_unlock(&watch->lock);
    wake_all(&over);
    watch->is_look_due = false;
    watch->look_after_ns = now_ns(watch) + (now_ns(watch) - begun_ns) * LOOK_SHARE;
}

/* After every answer, and every failure to answer. */
static void tend_waiters(struct pk_watch *watch)
{
    struct pk_feed_mark mark;
    (void)pthread_mutex_lock(&watch->lock);
    mark = watch->mark;
    queue_move(&watch->waiting, &watch->fresh);
    (void)pthread_mutex_unlock(&watch->lock);

    const struct waiter *oldest = watch->waiting.first;
    const int64_t at_ns = now_ns(watch);
    if (!oldest) {
        watch->is_look_due = false;
    } else if ((watch->is_look_due && at_ns >= watch->look_after_ns) || at_ns >= oldest->until_ns) {
        look_at_all(watch, &mark);
    }
}

/* ---- The watcher ---- */

/* The listeners have been told: now it counts as passed. */
static void publish(struct pk_watch *watch, enum pk_feed_kind kind)
{
    struct pk_feed_mark mark;
    pk_feed_mark(watch->feed, &mark);
    (void)pthread_mutex_lock(&watch->lock);
    if (mark.passed != watch->mark.passed || strcmp(mark.position, watch->mark.position) != 0) {
        watch->mark = mark;
        watch->is_look_due = true;
    }
    watch->events += kind == PK_FEED_EVENT;
    watch->gaps += kind == PK_FEED_GAP;
    watch->heard_ns = now_ns(watch);
    (void)pthread_mutex_unlock(&watch->lock);
}

static void hear(struct pk_watch *watch, struct pk_feed_item *item)
{
    if (watch->away_ns) {
        pk_log_info(watch->options.log, "the feed answers again",
                    PK_NUM("away_ms", (now_ns(watch) - watch->away_ns) / 1000000),
                    PK_NUM("tries", watch->away_tries));
        watch->away_ns = 0;
        watch->away_tries = 0;
    }
    watch->backoff_ms = BACKOFF_FIRST_MS;
    for (size_t i = 0; i < watch->listener_count; i++) {
        watch->listener[i].hear(watch->listener[i].context, item);
    }
    publish(watch, item->kind);
    pk_doc_unref(item->doc);
}

static void hear_nothing(struct pk_watch *watch, const struct pk_error *err)
{
    if (!watch->away_ns) {
        pk_log_warn(watch->options.log, "the feed does not answer", PK_ERR(err));
        watch->away_ns = now_ns(watch);
    }
    watch->away_tries++;
    (void)pthread_mutex_lock(&watch->lock);
    watch->failures++;
    rest(watch, watch->backoff_ms);
    (void)pthread_mutex_unlock(&watch->lock);
    watch->backoff_ms =
        watch->backoff_ms * 2 < BACKOFF_MAX_MS ? watch->backoff_ms * 2 : BACKOFF_MAX_MS;
}

static bool is_stopping(struct pk_watch *watch)
{
    (void)pthread_mutex_lock(&watch->lock);
    const bool is = watch->is_stopping;
    (void)pthread_mutex_unlock(&watch->lock);
    return is;
}

static void *run_watcher(void *argument)
{
    struct pk_watch *watch = argument;
    bool is_first = true; /* Until the listeners have heard something no key is believed. */
    while (!is_stopping(watch)) {
        struct pk_error err = { 0 };
        struct pk_feed_item item;
        const int64_t wait_ms = is_first || watch->is_look_due ? LOOK_MS : TICK_MS;
        if (pk_feed_next(watch->feed, wait_ms, &item, &err)) {
            hear(watch, &item);
            is_first = false;
        } else {
            hear_nothing(watch, &err);
        }
        tend_waiters(watch);
    }
    return NULL;
}

/* ---- The barrier ---- */

/* Under 'lock', which it leaves for the write. */
static void cover_all(struct pk_watch *watch)
{
    const uint64_t asked = watch->asked; /* They have written before this barrier begins. */
    bool ok = true;
    if (watch->waiter_count > 0) {
        (void)pthread_mutex_unlock(&watch->lock);
        ok = pk_store_barrier(watch->options.store, NULL); /* The watcher says that it is away. */
        (void)pthread_mutex_lock(&watch->lock);
    }
    if (ok) {
        watch->covered = asked;
    } else {
        rest(watch, BARRIER_AGAIN_MS);
    }
}

static void *run_barrier(void *argument)
{
    struct pk_watch *watch = argument;
    (void)pthread_mutex_lock(&watch->lock);
    while (!watch->is_stopping) {
        if (watch->covered == watch->asked) {
            (void)pthread_cond_wait(&watch->stirred, &watch->lock);
        } else {
            rest(watch, GRACE_MS);
            cover_all(watch);
        }
    }
    (void)pthread_mutex_unlock(&watch->lock);
    return NULL;
}

/* ---- Start and stop ---- */

static bool fail_thread(struct pk_error *err)
{
    return pk_fail(err, PK_INTERNAL, "raise the limit of processes", "cannot start a thread");
}

static void tell_to_stop(struct pk_watch *watch)
{
    (void)pthread_mutex_lock(&watch->lock);
    watch->is_stopping = true;
    (void)pthread_cond_broadcast(&watch->stirred);
    (void)pthread_mutex_unlock(&watch->lock);
}

bool pk_watch_start(struct pk_watch *watch, struct pk_error *err)
{
    assert(!watch->is_running && !watch->is_stopping);
    if (!pk_feed_open(&watch->feed, watch->options.store, NULL, err)) {
        return pk_wrap(err, "follow the feed");
    }
    watch->backoff_ms = BACKOFF_FIRST_MS;
    publish(watch, PK_FEED_QUIET);
    if (pthread_create(&watch->barrier, NULL, run_barrier, watch) != 0) {
        return fail_thread(err);
    }
    if (pthread_create(&watch->watcher, NULL, run_watcher, watch) != 0) {
        tell_to_stop(watch);
        (void)pthread_join(watch->barrier, NULL);
        return fail_thread(err);
    }
    watch->is_running = true;
    return true;
}

void pk_watch_stop(struct pk_watch *watch)
{
    if (!watch) {
        return;
    }
    tell_to_stop(watch);
    if (watch->is_running) {
        (void)pthread_join(watch->watcher, NULL);
        (void)pthread_join(watch->barrier, NULL);
        watch->is_running = false;
    }
    pk_feed_close(watch->feed);
    watch->feed = NULL;
    (void)pthread_mutex_lock(&watch->lock); /* From here on nobody is added. */
    queue_move(&watch->waiting, &watch->fresh);
    watch->waiter_count = 0;
    (void)pthread_mutex_unlock(&watch->lock);
    wake_all(&watch->waiting);
}

/* ---- Any thread ---- */

bool pk_watch_has_passed(struct pk_watch *watch, const char *cursor, bool *out_passed,
                         struct pk_error *err)
{
    struct pk_feed_mark mark;
    (void)pthread_mutex_lock(&watch->lock);
    mark = watch->mark;
    (void)pthread_mutex_unlock(&watch->lock);
    return pk_mark_has_passed(watch->options.store, &mark, cursor, out_passed, err);
}

/* Under 'lock'. True: he waits; false with PK_OK: he need not. */
static bool add_waiter(struct pk_watch *watch, struct waiter *waiter, struct pk_error *err)
{
    bool has_passed = false;
    err->code = PK_OK;
    if (!pk_mark_has_passed(watch->options.store, &watch->mark, waiter->cursor, &has_passed, err) ||
        has_passed || watch->is_stopping) {
        return false;
    }
    if (watch->waiter_count >= watch->options.waiters_max) {
        return pk_fail(err, PK_BUSY, "try again", "too many requests wait for their writes");
    }
    queue_add(&watch->fresh, waiter);
    watch->waiter_count++;
    if (watch->asked++ == watch->covered) { /* Else the barrier's thread is up already. */
        (void)pthread_cond_broadcast(&watch->stirred);
    }
    return true;
}

bool pk_watch_wait(struct pk_watch *watch, const char *cursor, pk_watch_wake_fn *wake,
                   void *context, struct pk_error *err)
{
    const size_t size = strlen(cursor) + 1;
    struct waiter *waiter = pk_calloc(1, sizeof(*waiter) + size);
    struct pk_error why;

    waiter->wake = wake;
    waiter->context = context;
    waiter->until_ns = now_ns(watch) + (int64_t)WAIT_MAX_MS * 1000000;
    memcpy(waiter->cursor, cursor, size);
    (void)pthread_mutex_lock(&watch->lock);
    const bool is_waiting = add_waiter(watch, waiter, &why);
    (void)pthread_mutex_unlock(&watch->lock);
    if (is_waiting) {
        return true;
    }
    pk_free(waiter);
    if (why.code != PK_OK) {
        if (err) {
            *err = why;
        }
        return false;
    }
    wake(context);
    return true;
}

void pk_watch_stats(struct pk_watch *watch, struct pk_watch_stats *out)
{
    (void)pthread_mutex_lock(&watch->lock);
    *out = (struct pk_watch_stats){
        .events = watch->events,
        .gaps = watch->gaps,
        .failures = watch->failures,
        .silence_ms = watch->heard_ns ? (now_ns(watch) - watch->heard_ns) / 1000000 : INT64_MAX,
        .waiters = watch->waiter_count,
    };
    (void)pthread_mutex_unlock(&watch->lock);
}

void pk_watch_position(struct pk_watch *watch, char *out, size_t size)
{
    (void)pthread_mutex_lock(&watch->lock);
    (void)snprintf(out, size, "%s", watch->mark.position);
    (void)pthread_mutex_unlock(&watch->lock);
}
