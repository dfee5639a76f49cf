/* lane.c - The threads that handlers run on, one handler at a time each.
 *
 * A lane is a bounded queue and some threads. A request waits in it, runs, and
 * goes back to its loop with an answer. A full queue refuses at once: what
 * runs is not disturbed by what cannot.
 *
 *     loop ──pk_lane_add──▶ queue ──▶ thread: handler ──pk_loop_done──▶ loop
 *
 * Locked: the queue, by 'lock'. A request belongs to whoever holds it. */
/* SPDX-License-Identifier: MIT */
#include "net/net_internal.h"

#include "base/alloc.h"

struct pk_lane {
    pthread_mutex_t lock;
    pthread_cond_t filled; /* Something waits, or the lane stops. */
    struct job *first, *last;
    size_t waiting, queue_max;
    pthread_t *thread;
    size_t thread_count;
    void *context;
    bool is_stopping;
};

struct job {
    struct pk_loop *loop;
    struct pk_request *request;
    struct job *next;
};

/* The next job, or NULL when the lane stops. */
static struct job *take(struct pk_lane *lane)
{
    (void)pthread_mutex_lock(&lane->lock);
    while (!lane->first && !lane->is_stopping) {
        (void)pthread_cond_wait(&lane->filled, &lane->lock);
    }
    struct job *job = lane->is_stopping ? NULL : lane->first;
    if (job) {
        lane->first = job->next;
        lane->waiting--;
    }
    (void)pthread_mutex_unlock(&lane->lock);
    return job;
}

static void *work(void *argument)
{
    struct pk_lane *lane = argument;
    struct job *job;
    while ((job = take(lane)) != NULL) {
        struct pk_request *request = job->request;
        request->route->handler(lane->context, request, request->answer);
        pk_loop_done(job->loop, request);
        pk_free(job);
    }
    return NULL;
}

struct pk_lane *pk_lane_new(size_t threads, size_t queue_max, void *context)
{
    struct pk_lane *lane = pk_calloc(1, sizeof(*lane));
    lane->queue_max = queue_max;
    lane->context = context;
    lane->thread = pk_calloc(threads, sizeof(*lane->thread));
    (void)pthread_mutex_init(&lane->lock, NULL);
    (void)pthread_cond_init(&lane->filled, NULL);
    while (lane->thread_count < threads &&
           pthread_create(&lane->thread[lane->thread_count], NULL, work, lane) == 0) {
        lane->thread_count++;
    }
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
        struct job *job = lane->first;
        lane->first = job->next;
        pk_request_free(job->request);
        pk_free(job);
    }
    (void)pthread_cond_destroy(&lane->filled);
    (void)pthread_mutex_destroy(&lane->lock);
    pk_free(lane->thread);
    pk_free(lane);
}

bool pk_lane_add(struct pk_lane *lane, struct pk_loop *loop, struct pk_request *request)
{
    struct job *job = pk_alloc(sizeof(*job));
    *job = (struct job){ .loop = loop, .request = request };

    (void)pthread_mutex_lock(&lane->lock);
    bool has_room = lane->waiting < lane->queue_max && lane->thread_count > 0;
    if (has_room) {
        if (lane->first) {
            lane->last->next = job;
        } else {
            lane->first = job;
        }
        lane->last = job;
        lane->waiting++;
        (void)pthread_cond_signal(&lane->filled);
    }
    (void)pthread_mutex_unlock(&lane->lock);
    if (!has_room) {
        pk_free(job);
    }
    return has_room;
}
