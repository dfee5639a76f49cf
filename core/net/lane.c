/* lane.c - The threads that handlers run on, one handler at a time each.
 *
 * A lane is a bounded queue and some threads. A request waits in it, runs, and
 * goes back to its loop with an answer. A full queue refuses at once: what
 * runs is not disturbed by what cannot. A thread is started when something is
 * added and none is idle, until the lane has all it may have. Who was parked
 * and goes on was let in when he came: he is never refused, nor takes the
 * place of one who comes now. (There are no more of them than connections.)
 *
 *     loop ──pk_lane_add──▶ queue ──▶ thread: handler ──mail──▶ loop
 *
 * A call that takes longer than limits.hung_ms is lost: its thread is no longer
 * the lane's, another may take its place, and the loop is told, which answers
 * the client. When the call comes back after all, its thread frees what it has
 * and ends. Calls that read or write in pieces wait for clients, so they are
 * never taken for hung.
 *
 *     since + hung_ms is over ──▶ lost ──the call returns──▶ the thread ends
 *
 * Locked: all fields, those of workers, too, by 'lock'. A request belongs to
 * whoever holds it. */
/* SPDX-License-Identifier: MIT */
#include "net/net_internal.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/cond.h"

enum {
    NS_PER_MS = 1000 * 1000,
    CLOSE_MS = 1000,    /* That the end waits for calls that may hang, and for those that do. */
    CLOSE_LOOK_MS = 10, /* Meanwhile it looks so often. */
};

struct worker {
    struct pk_lane *lane;
    pthread_t thread;
    struct pk_exchange *exchange; /* That it runs; NULL: none. */
    bool is_lost;
};
struct pk_lane {
    pthread_mutex_t lock;
    pthread_cond_t filled; /* Something waits, or the lane stops. */
    pthread_cond_t ended;  /* The lane stops, and a call has come back. */
    struct pk_exchange *first, *last;
    size_t waiting, running, idle; /* Requests, requests, threads. */
    size_t resumed;                /* Of those that wait: let in before, so they take no place. */
    struct pk_lane_limits limits;
    uint64_t busy; /* Requests refused. */
    uint64_t hung; /* Calls lost since the start. */
    size_t lost;   /* Of these, not back yet. */
    size_t ending; /* Of these, back, and on their way out. */
    struct worker **worker;
    size_t worker_count;
    void *context;
    bool is_stopping;
    bool is_abandoned; /* Nobody waits for the lost any more: the last of them frees it. */
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

static int64_t now_ns(void)
{
    return pk_clock_mono_ns(pk_clock_system());
}

static void destroy(struct pk_lane *lane)
{
    (void)pthread_cond_destroy(&lane->filled);
    (void)pthread_cond_destroy(&lane->ended);
    (void)pthread_mutex_destroy(&lane->lock);
    pk_free(lane);
}

/* ---- A thread ---- */

/* The next request, or NULL when the lane stops. With 'lock' held. */
static struct pk_exchange *take(struct worker *worker)
{
    struct pk_lane *lane = worker->lane;
    lane->idle++;
    while (!lane->first && !lane->is_stopping) {
        (void)pthread_cond_wait(&lane->filled, &lane->lock);
    }
    lane->idle--;
    struct pk_exchange *exchange = lane->is_stopping ? NULL : lane->first;
    if (exchange) {
        int64_t now = now_ns();
        lane->first = exchange->next;
        lane->waiting--;
        lane->resumed -= exchange->is_resumed;
        lane->running++;
        exchange->request.times.queue_ns += now - exchange->since_ns;
        exchange->since_ns = now;
        worker->exchange = exchange;
    }
    return exchange;
}

/* The lost call has come back. With 'lock' held, which it gives up. */
static void end_lost(struct worker *worker, struct pk_exchange *exchange)
{
    struct pk_lane *lane = worker->lane;
    struct pk_net *net = exchange->loop->net;
    bool is_abandoned = lane->is_abandoned;
    lane->lost--;
    lane->ending++;
    (void)pthread_mutex_unlock(&lane->lock);
    pk_exchange_drop(exchange, is_abandoned);
    pk_free(worker);
    (void)pthread_mutex_lock(&lane->lock);
    lane->ending--;
    bool is_last = lane->is_abandoned && lane->lost + lane->ending == 0;
    (void)pthread_cond_broadcast(&lane->ended);
    (void)pthread_mutex_unlock(&lane->lock);
    if (is_last) {
        destroy(lane);
        pk_net_unref(net);
    }
}

static void *work(void *argument)
{
    struct worker *worker = argument;
    struct pk_lane *lane = worker->lane;
    struct pk_exchange *exchange;
    (void)pthread_mutex_lock(&lane->lock);
    while ((exchange = take(worker)) != NULL) {
        (void)pthread_mutex_unlock(&lane->lock);
        exchange->handler(lane->context, &exchange->request, &exchange->answer);
        pk_gzip_answer(exchange);
        (void)pthread_mutex_lock(&lane->lock);
        if (worker->is_lost) {
            end_lost(worker, exchange);
            return NULL;
        }
        exchange->request.times.run_ns += now_ns() - exchange->since_ns;
        worker->exchange = NULL;
        lane->running--;
        if (lane->is_stopping) {
            (void)pthread_cond_broadcast(&lane->ended);
        }
        (void)pthread_mutex_unlock(&lane->lock);
        pk_loop_post(exchange->loop, &exchange->mail);
        (void)pthread_mutex_lock(&lane->lock);
    }
    (void)pthread_mutex_unlock(&lane->lock);
    return NULL;
}

/* With 'lock' held: enough threads for what waits, as far as there may be. */
static void start_thread(struct pk_lane *lane)
{
    if (lane->is_stopping || lane->idle >= lane->waiting ||
        lane->worker_count == lane->limits.threads) {
        return;
    }
    struct worker *worker = pk_calloc(1, sizeof(*worker));
    worker->lane = lane;
    if (pthread_create(&worker->thread, NULL, work, worker) == 0) {
        lane->worker[lane->worker_count++] = worker;
    } else {
        pk_free(worker);
    }
}

/* ---- Hung calls ---- */

static bool is_hung(const struct worker *worker, int64_t now, int64_t hung_ms)
{
    const struct pk_exchange *exchange = worker->exchange;
    return exchange && !exchange->stream && now - exchange->since_ns > hung_ms * NS_PER_MS;
}

/* With 'lock' held. */
static void lose(struct pk_lane *lane, size_t at)
{
    struct worker *worker = lane->worker[at];
    worker->is_lost = true;
    (void)pthread_detach(worker->thread);
    lane->worker[at] = lane->worker[--lane->worker_count];
    lane->running--;
    lane->lost++;
    lane->hung++;
    pk_exchange_lose(worker->exchange);
}

/* With 'lock' held: loses what has run for 'hung_ms', as long as fewer than 'most' are lost. */
static void lose_all(struct pk_lane *lane, int64_t hung_ms, size_t most)
{
    int64_t now = now_ns();
    for (size_t i = lane->worker_count; i > 0 && lane->lost < most; i--) {
        if (is_hung(lane->worker[i - 1], now, hung_ms)) {
            lose(lane, i - 1);
            start_thread(lane);
        }
    }
}

void pk_lane_sweep(struct pk_lane *lane)
{
    if (lane->limits.hung_ms == 0) {
        return;
    }
    (void)pthread_mutex_lock(&lane->lock);
    lose_all(lane, lane->limits.hung_ms, PK_NET_HUNG_MAX);
    start_thread(lane); /* Of those that wait none may have found one when it was added. */
    (void)pthread_mutex_unlock(&lane->lock);
}

/* ---- Beginning and end ---- */

struct pk_lane *pk_lane_new(const struct pk_lane_limits *limits, void *context)
{
    struct pk_lane *lane = pk_calloc(1, sizeof(*lane));
    lane->limits = *limits;
    lane->context = context;
    lane->worker = pk_calloc(limits->threads, sizeof(struct worker *));
    (void)pthread_mutex_init(&lane->lock, NULL);
    (void)pthread_cond_init(&lane->filled, NULL);
    pk_cond_init(&lane->ended);
    return lane;
}

/* With 'lock' held: waits for 'ended', a moment at most. */
static void wait_a_little(struct pk_lane *lane)
{
    (void)pk_cond_wait(&lane->ended, &lane->lock, pk_cond_in_ms(CLOSE_LOOK_MS));
}

/* With 'lock' held: until nothing runs that is not lost, and then a while for what is. */
static void wait_for_calls(struct pk_lane *lane)
{
    int64_t end_ns = now_ns() + (int64_t)CLOSE_MS * NS_PER_MS;
    while (lane->running > 0) {
        if (lane->limits.hung_ms > 0 && now_ns() > end_ns) {
            lose_all(lane, CLOSE_MS, SIZE_MAX);
        }
        wait_a_little(lane);
    }
    while (lane->lost > 0 && now_ns() < end_ns) {
        wait_a_little(lane);
    }
}

/* With 'lock' held: what is lost now frees the lane itself. */
static size_t abandon(struct pk_lane *lane, struct pk_net *net)
{
    while (lane->ending > 0) {
        wait_a_little(lane);
    }
    lane->is_abandoned = lane->lost > 0;
    if (lane->is_abandoned) {
        (void)atomic_fetch_add(&net->refs, 1);
    }
    return lane->lost;
}

size_t pk_lane_free(struct pk_lane *lane, struct pk_net *net)
{
    if (!lane) {
        return 0;
    }
    (void)pthread_mutex_lock(&lane->lock);
    lane->is_stopping = true;
    (void)pthread_cond_broadcast(&lane->filled);
    wait_for_calls(lane);
    (void)pthread_mutex_unlock(&lane->lock);
    for (size_t i = 0; i < lane->worker_count; i++) {
        (void)pthread_join(lane->worker[i]->thread, NULL);
        pk_free(lane->worker[i]);
    }
    pk_free(lane->worker);
    while (lane->first) {
        struct pk_exchange *exchange = lane->first;
        lane->first = exchange->next;
        pk_exchange_free(exchange);
    }
    (void)pthread_mutex_lock(&lane->lock);
    size_t lost = abandon(lane, net);
    (void)pthread_mutex_unlock(&lane->lock);
    if (lost == 0) {
        destroy(lane);
    }
    return lost;
}

/* ---- Requests ---- */

bool pk_lane_add(struct pk_lane *lane, struct pk_exchange *exchange)
{
    exchange->since_ns = exchange->loop->now_ns;
    (void)pthread_mutex_lock(&lane->lock);
    size_t places = lane->limits.queue_max + lane->limits.threads - lane->running;
    bool has_room = (exchange->is_resumed || lane->waiting - lane->resumed < places) &&
                    lane->lost < PK_NET_HUNG_MAX;
    if (has_room) {
        lane->waiting++;
        start_thread(lane);
        has_room = lane->worker_count > 0; /* Else not one thread could be started. */
        lane->waiting -= !has_room;
    }
    if (has_room) {
        exchange->next = NULL;
        *(lane->first ? &lane->last->next : &lane->first) = exchange;
        lane->last = exchange;
        lane->resumed += exchange->is_resumed;
        (void)pthread_cond_signal(&lane->filled);
    }
    lane->busy += !has_room;
    (void)pthread_mutex_unlock(&lane->lock);
    return has_room;
}

void pk_lane_stats(struct pk_lane *lane, struct pk_lane_stats *out)
{
    (void)pthread_mutex_lock(&lane->lock);
    *out = (struct pk_lane_stats){ .threads = lane->worker_count,
                                   .running = lane->running,
                                   .waiting = lane->waiting,
                                   .busy = lane->busy,
                                   .hung = lane->hung,
                                   .lost = lane->lost };
    (void)pthread_mutex_unlock(&lane->lock);
}
