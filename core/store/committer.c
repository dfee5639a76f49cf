/* committer.c - Leaders and followers.
 *
 * A group goes through a slot; there are as many slots as groups may be open
 * at a time. The rule that keeps it simple: whenever a slot becomes free or a
 * job arrives, 'dispatch' gives each free slot to the first job in the queue
 * that may go. That job leads: it wakes up, lets the last crowd come back, fills
 * its group with what waits by then, has the engine commit it, gives the slot to
 * the next leader, and wakes its members. So a free slot means that nobody who
 * waits may go.
 *
 *     WAITING --dispatch--> LEADING --form, apply--> DONE
 *        |                                            ^
 *        +------taken by a leader--> TAKEN -----------+
 *        +------deadline---------------------(PK_BUSY)+
 *
 * What may go: in exclusive mode a job must not touch what an open group
 * touches, nor what an earlier job in the queue touches that had to stay; so
 * each id sees its jobs in the order they came, and nobody is overtaken on it.
 *
 * The crowd: most of those whom a commit served come back at once, with their
 * next list. A leader who takes only the first of them leaves the rest to the
 * commit after his, and there they stay: two halves that take turns, each at
 * the price of a whole. So the leader sleeps until as many are there as the
 * slot's last group left behind, served or waiting. For that they have a part
 * of the time that their commit took, counted from its end: the wait costs
 * little beside what it saves, who is alone waits for nobody, and who comes
 * later finds that the time is over.
 *
 * Beside an open group another one is begun when that one is slow, or when many
 * wait: what a group costs, it costs for two lists as for twenty, nearly. Who
 * waits looks by himself whether the open ones have become slow.
 *
 * Waiting is a futex on the job's own state: one system call to sleep, one to
 * wake, and no lock to fight for when sixty wake at once. A job lies on its
 * caller's stack, so it is not looked at any more once its state says DONE.
 *
 * Locking: 'lock' guards queue, slots and the table of touches. It is never
 * held while the engine works or while somebody is woken. */
/* SPDX-License-Identifier: MIT */
#include "store/committer.h"

#include "base/alloc.h"
#include "base/clock.h"

#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum job_state { JOB_WAITING, JOB_LEADING, JOB_TAKEN, JOB_DONE };

enum {
    SLOTS_MAX = 8,
    CROWD_SHARE = 8, /* The crowd has this part of its commit's time to come back. */
    LOOK_MS = 50     /* How often a sleeper with a deadline looks at the clock, at least. */
};

/* One group, from the moment its leader is chosen. */
struct slot {
    bool is_open;
    struct pk_job **job; /* lists_max of them; the leader first. */
    size_t count;
    int64_t begun_ns;      /* When its leader was chosen. */
    size_t crowd;          /* Of its last group: those it served, and those it left waiting. */
    int64_t crowd_end_ns;  /* When their time to come back is over. */
    size_t wanted;         /* Its leader sleeps until so many others wait; 0: it does not. */
    _Atomic int is_called; /* What the leader sleeps on: they are there. */
};

/* Who touches an id, in open groups and in those that wait before the one that is looked at. */
struct mark {
    uint64_t key;
    int64_t version;
    bool is_expect;
    uint32_t round; /* The look it belongs to; others are empty. */
};

struct pk_committer {
    struct pk_committer_options options;
    pthread_mutex_t lock;
    struct pk_job *first; /* The queue, oldest first. */
    struct pk_job **last;
    atomic_size_t waiting;
    struct slot slot[SLOTS_MAX];
    struct mark *mark; /* Open addressing; a power of two. */
    size_t mark_count, mark_size;
    uint32_t round;
};

/* ---- Sleeping and waking ---- */

static void wake(_Atomic int *word)
{
    (void)syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

/* At most 'timeout_ns'; 0: for as long as it takes. */
static void sleep_while(_Atomic int *word, int value, int64_t timeout_ns)
{
    struct timespec time = { .tv_sec = timeout_ns / 1000000000,
                             .tv_nsec = (long)(timeout_ns % 1000000000) };
    (void)syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, value, timeout_ns ? &time : NULL, NULL, 0);
}

/* ---- Touches ---- */

static void start_round(struct pk_committer *committer)
{
    committer->round++;
    committer->mark_count = 0;
    if (committer->round == 0) { /* Wrapped: what looks current may be old. */
        memset(committer->mark, 0, committer->mark_size * sizeof(*committer->mark));
        committer->round = 1;
    }
}

static struct mark *find_mark(struct pk_committer *committer, uint64_t key)
{
    const size_t mask = committer->mark_size - 1;
    size_t i = (size_t)key & mask;
    while (committer->mark[i].round == committer->round && committer->mark[i].key != key) {
        i = (i + 1) & mask;
    }
    return &committer->mark[i];
}

static void grow_marks(struct pk_committer *committer)
{
    struct mark *old = committer->mark;
    const size_t old_size = committer->mark_size;

    committer->mark_size *= 2;
    committer->mark = pk_calloc(committer->mark_size, sizeof(*committer->mark));
    for (size_t i = 0; i < old_size; i++) {
        if (old[i].round == committer->round) {
            *find_mark(committer, old[i].key) = old[i];
        }
    }
    pk_free(old);
}

static void mark_job(struct pk_committer *committer, const struct pk_job *job)
{
    for (size_t i = 0; i < job->touch_count; i++) {
        const struct pk_touch *touch = &job->touch[i];
        struct mark *mark = find_mark(committer, touch->key);
        if (mark->round == committer->round) {
            mark->is_expect =
                mark->is_expect && touch->is_expect && mark->version == touch->version;
            continue;
        }
        *mark = (struct mark){ .key = touch->key,
                               .version = touch->version,
                               .is_expect = touch->is_expect,
                               .round = committer->round };
        if (++committer->mark_count * 2 > committer->mark_size) {
            grow_marks(committer);
        }
    }
}

static bool is_marked(struct pk_committer *committer, const struct pk_job *job)
{
    for (size_t i = 0; i < job->touch_count; i++) {
        const struct pk_touch *touch = &job->touch[i];
        const struct mark *mark = find_mark(committer, touch->key);
        if (mark->round == committer->round &&
            !(mark->is_expect && touch->is_expect && mark->version == touch->version)) {
            return true;
        }
    }
    return false;
}

static void mark_open_groups(struct pk_committer *committer)
{
    start_round(committer);
    for (size_t s = 0; s < committer->options.groups_max; s++) {
        for (size_t i = 0; i < committer->slot[s].count; i++) {
            mark_job(committer, committer->slot[s].job[i]);
        }
    }
}

/* ---- The queue; all of it under the lock ---- */

static void push(struct pk_committer *committer, struct pk_job *job)
{
    job->next = NULL;
    *committer->last = job;
    committer->last = &job->next;
    atomic_fetch_add_explicit(&committer->waiting, 1, memory_order_relaxed);
}

/* Takes out the job that 'link' points at. */
static struct pk_job *unlink_job(struct pk_committer *committer, struct pk_job **link)
{
    struct pk_job *job = *link;
    *link = job->next;
    if (!job->next) {
        committer->last = link;
    }
    atomic_fetch_sub_explicit(&committer->waiting, 1, memory_order_relaxed);
    return job;
}

/* False: what waits had better join the group after the open one. */
static bool may_begin(const struct pk_committer *committer)
{
    const struct pk_committer_options *options = &committer->options;
    const int64_t slow_ns = pk_clock_mono_ns(options->clock) - options->slow_ms * 1000000;
    bool is_quick = false;
    for (size_t s = 0; s < options->groups_max; s++) {
        is_quick =
            is_quick || (committer->slot[s].is_open && committer->slot[s].begun_ns > slow_ns);
    }
    return !is_quick || pk_committer_waiting(committer) >= options->beside_min;
}

static struct slot *free_slot(struct pk_committer *committer)
{
    if (!may_begin(committer)) {
        return NULL;
    }
    for (size_t s = 0; s < committer->options.groups_max; s++) {
        if (!committer->slot[s].is_open) {
            return &committer->slot[s];
        }
    }
    return NULL;
}

/* The place in the queue of the first job that may go, or NULL. */
static struct pk_job **first_to_go(struct pk_committer *committer)
{
    if (!committer->options.is_exclusive) {
        return committer->first ? &committer->first : NULL;
    }
    mark_open_groups(committer);
    for (struct pk_job **link = &committer->first; *link; link = &(*link)->next) {
        if (!is_marked(committer, *link)) {
            return link;
        }
        mark_job(committer, *link); /* It stays; those behind it on the same id stay, too. */
    }
    return NULL;
}

/* Gives each free slot a leader. The ones to wake go to 'leader' (SLOTS_MAX of them). */
static size_t dispatch(struct pk_committer *committer, struct pk_job **leader)
{
    size_t count = 0;
    struct slot *slot = free_slot(committer);
    while (slot && committer->first) {
        struct pk_job **link = first_to_go(committer);
        if (!link) {
            break;
        }
        struct pk_job *job = unlink_job(committer, link);
        slot->is_open = true;
        slot->job[0] = job;
        slot->count = 1;
        slot->begun_ns = pk_clock_mono_ns(committer->options.clock);
        atomic_store_explicit(&job->state, JOB_LEADING, memory_order_release);
        leader[count++] = job;
        slot = free_slot(committer);
    }
    return count;
}

/* Adds what waits to the leader's group, in order, until it is full. */
static void form_group(struct pk_committer *committer, struct slot *slot)
{
    const struct pk_committer_options *options = &committer->options;
    size_t bytes = slot->job[0]->writes->bytes;
    struct pk_job **link = &committer->first;

    if (options->is_exclusive && *link) {
        mark_open_groups(committer);
    }
    while (*link && slot->count < options->lists_max) {
        struct pk_job *job = *link;
        if (options->is_exclusive && is_marked(committer, job)) {
            mark_job(committer, job);
            link = &job->next;
            continue;
        }
        if (bytes + job->writes->bytes > options->bytes_max) {
            break; /* The next in order is too large; nobody slips past it. */
        }
        bytes += job->writes->bytes;
        (void)unlink_job(committer, link);
        slot->job[slot->count++] = job;
        if (options->is_exclusive) {
            mark_job(committer, job);
        }
        atomic_store_explicit(&job->state, JOB_TAKEN, memory_order_relaxed);
    }
}

/* ---- A job's way ---- */

static struct slot *slot_of(struct pk_committer *committer, const struct pk_job *leader)
{
    for (size_t s = 0; s < committer->options.groups_max; s++) {
        if (committer->slot[s].is_open && committer->slot[s].job[0] == leader) {
            return &committer->slot[s];
        }
    }
    return NULL;
}

/* Everyone but the leader, who is awake. */
static void finish_members(struct pk_job **job, size_t count)
{
    for (size_t i = 1; i < count; i++) {
        atomic_store_explicit(&job[i]->state, JOB_DONE, memory_order_release);
        wake(&job[i]->state);
    }
}

/* The crowd of a group that took so long is expected until then. */
static int64_t crowd_end_ns(const struct pk_committer *committer, int64_t commit_ns)
{
    const int64_t most_ns = committer->options.crowd_max_ms * 1000000;
    const int64_t share_ns = commit_ns / CROWD_SHARE;
    return pk_clock_mono_ns(committer->options.clock) + (share_ns < most_ns ? share_ns : most_ns);
}

/* Closes the group and hands its slot on. The member list is the caller's from here. */
static void hand_over(struct pk_committer *committer, struct slot *slot, size_t served,
                      int64_t commit_ns)
{
    struct pk_job *leader[SLOTS_MAX];

    (void)pthread_mutex_lock(&committer->lock);
    slot->is_open = false;
    slot->count = 0;
    slot->crowd = served + pk_committer_waiting(committer);
    slot->crowd_end_ns = crowd_end_ns(committer, commit_ns);
    const size_t count = dispatch(committer, leader);
    (void)pthread_mutex_unlock(&committer->lock);
    for (size_t i = 0; i < count; i++) {
        wake(&leader[i]->state);
    }
}

/* Called under the lock, which it gives up while it sleeps. */
static void await_crowd(struct pk_committer *committer, struct slot *slot)
{
    const struct pk_committer_options *options = &committer->options;
    const size_t crowd = slot->crowd < options->lists_max ? slot->crowd : options->lists_max;
    const int64_t deadline_ns = slot->job[0]->deadline_ns;
    const int64_t end_ns =
        deadline_ns && deadline_ns < slot->crowd_end_ns ? deadline_ns : slot->crowd_end_ns;
    const int64_t left_ns = end_ns - pk_clock_mono_ns(options->clock);

    if (1 + pk_committer_waiting(committer) >= crowd || left_ns <= 0) {
        return;
    }
    slot->wanted = crowd - 1;
    atomic_store_explicit(&slot->is_called, 0, memory_order_relaxed);
    (void)pthread_mutex_unlock(&committer->lock);
    /* Once, not until the clock says so: a test may have stopped it. */
    sleep_while(&slot->is_called, 0, left_ns);
    (void)pthread_mutex_lock(&committer->lock);
    slot->wanted = 0;
}

/* A slot whose crowd is there now, and whose leader is to be woken; or NULL. Under the lock. */
static struct slot *call_crowd(struct pk_committer *committer)
{
    for (size_t s = 0; s < committer->options.groups_max; s++) {
        struct slot *slot = &committer->slot[s];
        if (slot->wanted && pk_committer_waiting(committer) >= slot->wanted) {
            slot->wanted = 0;
            atomic_store_explicit(&slot->is_called, 1, memory_order_relaxed);
            return slot;
        }
    }
    return NULL;
}

static void lead(struct pk_committer *committer, struct pk_job *job)
{
    const struct pk_committer_options *options = &committer->options;

    (void)pthread_mutex_lock(&committer->lock);
    struct slot *slot = slot_of(committer, job);
    assert(slot);
    await_crowd(committer, slot);
    form_group(committer, slot);
    const size_t count = slot->count;
    (void)pthread_mutex_unlock(&committer->lock);

    /* Others read the slot's members under the lock to see what they touch; nobody writes them
     * while the group is open. */
    const int64_t start_ns = pk_clock_mono_ns(options->clock);
    options->apply(options->engine, slot->job, count);
    const int64_t commit_ns = pk_clock_mono_ns(options->clock) - start_ns;

    PK_CLEANUP(pk_freep) struct pk_job **member = pk_alloc(count * sizeof(struct pk_job *));
    memcpy(member, slot->job, count * sizeof(struct pk_job *));
    if (options->is_upkeep_due && options->is_upkeep_due(options->engine)) {
        /* Members see nothing of the upkeep. Those that exclusive mode keeps apart from them are
         * safe until the slot closes: the touches must outlive it, so it closes for them first. */
        (void)pthread_mutex_lock(&committer->lock);
        slot->count = 1;
        (void)pthread_mutex_unlock(&committer->lock);
        finish_members(member, count);
        options->upkeep(options->engine);
        hand_over(committer, slot, count, commit_ns);
        return;
    }
    /* The next leader first: the device is idle until it comes. */
    hand_over(committer, slot, count, commit_ns);
    finish_members(member, count);
}

/* True when the job was still waiting and is out of the queue now. */
static bool take_back(struct pk_committer *committer, struct pk_job *job)
{
    struct pk_job *leader[SLOTS_MAX];
    size_t count = 0;
    bool is_out = false;

    (void)pthread_mutex_lock(&committer->lock);
    if (atomic_load_explicit(&job->state, memory_order_relaxed) == JOB_WAITING) {
        struct pk_job **link = &committer->first;
        while (*link != job) {
            link = &(*link)->next;
        }
        (void)unlink_job(committer, link);
        is_out = true;
        /* Those that stayed behind because of it may go now. */
        count = dispatch(committer, leader);
    }
    (void)pthread_mutex_unlock(&committer->lock);
    for (size_t i = 0; i < count; i++) {
        wake(&leader[i]->state);
    }
    return is_out;
}

/* The open groups may have become slow. */
static void look_for_slow(struct pk_committer *committer)
{
    struct pk_job *leader[SLOTS_MAX];

    (void)pthread_mutex_lock(&committer->lock);
    const size_t count = dispatch(committer, leader);
    (void)pthread_mutex_unlock(&committer->lock);
    for (size_t i = 0; i < count; i++) {
        wake(&leader[i]->state);
    }
}

/* How long a job that waits sleeps at most; 0: for as long as it takes. */
static int64_t doze_ms(const struct pk_committer *committer, const struct pk_job *job)
{
    const int64_t most_ms = committer->options.slow_ms ? committer->options.slow_ms : LOOK_MS;
    if (!job->deadline_ns) {
        return committer->options.slow_ms;
    }
    const int64_t left_ms =
        pk_deadline_left_ms(committer->options.clock, job->deadline_ns, most_ms);
    return left_ms < 1 ? 1 : left_ms < most_ms ? left_ms : most_ms;
}

/* Sleeps until the job leads or is done; false: its deadline passed first. */
static bool await(struct pk_committer *committer, struct pk_job *job)
{
    for (;;) {
        const int state = atomic_load_explicit(&job->state, memory_order_acquire);
        if (state == JOB_LEADING || state == JOB_DONE) {
            return true;
        }
        if (state != JOB_WAITING) {
            sleep_while(&job->state, state, 0);
            continue;
        }
        if (job->deadline_ns && pk_deadline_passed(committer->options.clock, job->deadline_ns) &&
            take_back(committer, job)) {
            return false;
        }
        sleep_while(&job->state, state, doze_ms(committer, job) * 1000000);
        if (committer->options.slow_ms &&
            atomic_load_explicit(&job->state, memory_order_relaxed) == JOB_WAITING) {
            look_for_slow(committer);
        }
    }
}

static void give_up(struct pk_job *job)
{
    job->is_ok = false;
    (void)pk_fail(&job->error, PK_BUSY, "try again, or allow it more time",
                  "nothing was written: the deadline passed while it waited for a commit");
}

void pk_committer_run(struct pk_committer *committer, struct pk_job *job)
{
    struct pk_job *leader[SLOTS_MAX];

    if (pk_deadline_passed(committer->options.clock, job->deadline_ns)) {
        give_up(job);
        return;
    }
    atomic_store_explicit(&job->state, JOB_WAITING, memory_order_relaxed);
    (void)pthread_mutex_lock(&committer->lock);
    push(committer, job);
    const size_t count = dispatch(committer, leader);
    struct slot *called = call_crowd(committer);
    (void)pthread_mutex_unlock(&committer->lock);
    if (called) {
        wake(&called->is_called);
    }
    for (size_t i = 0; i < count; i++) {
        if (leader[i] != job) {
            wake(&leader[i]->state);
        }
    }
    if (!await(committer, job)) {
        give_up(job);
        return;
    }
    if (atomic_load_explicit(&job->state, memory_order_acquire) == JOB_LEADING) {
        lead(committer, job);
    }
}

/* ---- Life ---- */

struct pk_committer *pk_committer_new(const struct pk_committer_options *options)
{
    struct pk_committer *committer = pk_calloc(1, sizeof(*committer));

    assert(options->groups_max > 0 && options->groups_max <= SLOTS_MAX);
    assert(options->lists_max > 0);
    committer->options = *options;
    committer->last = &committer->first;
    committer->mark_size = 256;
    committer->mark = pk_calloc(committer->mark_size, sizeof(*committer->mark));
    committer->round = 1;
    (void)pthread_mutex_init(&committer->lock, NULL);
    for (size_t s = 0; s < options->groups_max; s++) {
        committer->slot[s].job = pk_calloc(options->lists_max, sizeof(struct pk_job *));
    }
    return committer;
}

void pk_committer_free(struct pk_committer *committer)
{
    if (!committer) {
        return;
    }
    assert(!committer->first);
    for (size_t s = 0; s < committer->options.groups_max; s++) {
        pk_free(committer->slot[s].job);
    }
    pk_free(committer->mark);
    (void)pthread_mutex_destroy(&committer->lock);
    pk_free(committer);
}

size_t pk_committer_waiting(const struct pk_committer *committer)
{
    return atomic_load_explicit(&committer->waiting, memory_order_relaxed);
}
