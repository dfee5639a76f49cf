/* lane.c - The threads that handlers run on, one handler at a time each.
 *
 * A lane is a bounded queue and some threads. A request waits in it, runs, and
 * goes back to its loop with an answer. A full queue refuses at once: what
 * runs is not disturbed by what cannot. A thread is started when something is
 * added and none is idle, until the lane has all it may have.
 *
 *     loop ──pk_lane_add──▶ queue ──▶ thread: handler ──mail──▶ loop
 *
 * Locked: all fields, by 'lock'. A request belongs to whoever holds it. */
/* SPDX-License-Identifier: MIT */
#include "net/net_internal.h"

#include "base/alloc.h"

struct pk_lane {
    pthread_mutex_t lock;
    pthread_cond_t filled; /* Something waits, or the lane stops. */
    struct pk_exchange *first, *last;
    size_t waiting, running, idle; /* Requests, requests, threads. */
    struct pk_lane_limits limits;
    uint64_t busy; /* Requests refused. */
    pthread_t *thread;
    size_t thread_count;
    void *context;
    bool is_stopping;
};

static const char *const lane_name[] = {
    [PK_LANE_HOT] = "hot",
    [PK_LANE_STORE] = "store",
    [PK_LANE_SCRIPT] = "script",
    [PK_LANE_SLOW] = "slow",
};
_Static_assert(PK_COUNT(lane_name) == PK_LANE_COUNT, "every lane has its name");

const char *pk_lane_text(enum pk_lane_name lane)
{
    return lane_name[lane];
}

/* The next request, or NULL when the lane stops. With 'lock' held. */
static struct pk_exchange *take(struct pk_lane *lane)
{
    lane->idle++;
    while (!lane->first && !lane->is_stopping) {
        (void)pthread_cond_wait(&lane->filled, &lane->lock);
    }
    lane->idle--;
    struct pk_exchange *exchange = lane->is_stopping ? NULL : lane->first;
    if (exchange) {
        lane->first = exchange->next;
        lane->waiting--;
        lane->running++;
    }
    return exchange;
}

static void *work(void *argument)
{
    struct pk_lane *lane = argument;
    struct pk_exchange *exchange;
    (void)pthread_mutex_lock(&lane->lock);
    while ((exchange = take(lane)) != NULL) {
        (void)pthread_mutex_unlock(&lane->lock);
        exchange->handler(lane->context, &exchange->request, &exchange->answer);
        pk_gzip_answer(exchange);
        (void)pthread_mutex_lock(&lane->lock);
        lane->running--;
        (void)pthread_mutex_unlock(&lane->lock);
        pk_loop_post(exchange->loop, &exchange->mail);
        (void)pthread_mutex_lock(&lane->lock);
    }
    (void)pthread_mutex_unlock(&lane->lock);
    return NULL;
}

struct pk_lane *pk_lane_new(const struct pk_lane_limits *limits, void *context)
{
    struct pk_lane *lane = pk_calloc(1, sizeof(*lane));
    lane->limits = *limits;
    lane->context = context;
    lane->thread = pk_calloc(limits->threads, sizeof(*lane->thread));
    (void)pthread_mutex_init(&lane->lock, NULL);
    (void)pthread_cond_init(&lane->filled, NULL);
    return lane;
}

void pk_lane_free(struct pk_lane *lane)
{
    if (!lane) {
        return;
    }
    (void)pthread_mutex_lock(&lane->lock);
    lane->is_stopping = true;
    (void)pthread_cond_broadcast(&lane->filled);
    (void)pthread_mutex_unlock(&lane->lock);
    for (size_t i = 0; i < lane->thread_count; i++) {
        (void)pthread_join(lane->thread[i], NULL);
    }
    while (lane->first) {
        struct pk_exchange *exchange = lane->first;
        lane->first = exchange->next;
        pk_exchange_free(exchange);
    }
    (void)pthread_cond_destroy(&lane->filled);
    (void)pthread_mutex_destroy(&lane->lock);
    pk_free(lane->thread);
    pk_free(lane);
}

/* With 'lock' held: enough threads for what waits, as far as there may be. */
static void start_thread(struct pk_lane *lane)
{
    if (lane->idle < lane->waiting && lane->thread_count < lane->limits.threads &&
        pthread_create(&lane->thread[lane->thread_count], NULL, work, lane) == 0) {
        lane->thread_count++;
    }
}

bool pk_lane_add(struct pk_lane *lane, struct pk_exchange *exchange)
{
    (void)pthread_mutex_lock(&lane->lock);
    size_t free_threads = lane->limits.threads - lane->running;
    bool has_room = lane->waiting < lane->limits.queue_max + free_threads;
    if (has_room) {
        exchange->next = NULL;
        if (lane->first) {
            lane->last->next = exchange;
        } else {
            lane->first = exchange;
        }
        lane->last = exchange;
        lane->waiting++;
        start_thread(lane);
        (void)pthread_cond_signal(&lane->filled);
    }
    if (lane->thread_count == 0 && has_room) {
        lane->first = NULL; /* Not one thread could be started. */
        lane->waiting = 0;
        has_room = false;
    }
    lane->busy += !has_room;
    (void)pthread_mutex_unlock(&lane->lock);
    return has_room;
}

void pk_lane_stats(struct pk_lane *lane, struct pk_lane_stats *out)
{
    (void)pthread_mutex_lock(&lane->lock);
    *out = (struct pk_lane_stats){ .threads = lane->thread_count,
                                   .running = lane->running,
                                   .waiting = lane->waiting,
                                   .busy = lane->busy };
    (void)pthread_mutex_unlock(&lane->lock);
}
