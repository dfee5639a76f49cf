/* test_committer.c - Every job gets exactly one outcome, in order, and apart where it must be.
 *
 * The engine here is a recorder: it notes which jobs came together, that no
 * two of an open group touch one id, and in which order each id saw its jobs. */
/* SPDX-License-Identifier: MIT */
#include "store/committer.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "test.h"

#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <time.h>

enum { THREADS = 64, ROUNDS = 200, IDS = 8 };

struct recorder {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    int open_writers[IDS]; /* Jobs in open groups that write the id. */
    int64_t expected[IDS]; /* The version that open expects of the id name; 0: none. */
    int open_expects[IDS]; /* How many. */
    bool has_overlap;      /* Two in open groups touched one id. */
    int open_groups, open_max;
    size_t largest;
    atomic_int applied;
    bool is_gated;              /* 'apply' waits until the test opens the gate. */
    int arrived;                /* Groups that have come to the gate. */
    char order[256];            /* Marks of the jobs as they were applied. */
    struct pk_clock_fake *fake; /* Moved on by each commit; may be NULL. */
    int64_t commit_ms;          /* By so much. */
};

struct marked_job {
    struct pk_job job; /* First: the recorder casts back. */
    struct pk_touch touch[2];
    struct pk_writes writes;
    char mark;
    int outcomes;
};

static void enter(struct recorder *recorder, const struct pk_job *job)
{
    for (size_t i = 0; i < job->touch_count; i++) {
        const struct pk_touch *touch = &job->touch[i];
        const size_t id = (size_t)touch->key % IDS;
        if (touch->is_expect) {
            recorder->has_overlap |= recorder->open_writers[id] > 0;
            recorder->has_overlap |=
                recorder->open_expects[id] > 0 && recorder->expected[id] != touch->version;
            recorder->expected[id] = touch->version;
            recorder->open_expects[id]++;
        } else {
            recorder->has_overlap |=
                recorder->open_writers[id] > 0 || recorder->open_expects[id] > 0;
            recorder->open_writers[id]++;
        }
    }
}

static void leave(struct recorder *recorder, const struct pk_job *job)
{
    for (size_t i = 0; i < job->touch_count; i++) {
        const size_t id = (size_t)job->touch[i].key % IDS;
        if (job->touch[i].is_expect) {
            recorder->open_expects[id]--;
        } else {
            recorder->open_writers[id]--;
        }
    }
}

static void record(void *engine, struct pk_job **job, size_t count)
{
    struct recorder *recorder = engine;
    (void)pthread_mutex_lock(&recorder->lock);
    recorder->open_groups++;
    recorder->open_max =
        recorder->open_groups > recorder->open_max ? recorder->open_groups : recorder->open_max;
    recorder->largest = count > recorder->largest ? count : recorder->largest;
    for (size_t i = 0; i < count; i++) {
        enter(recorder, job[i]);
    }
    recorder->arrived++;
    (void)pthread_cond_broadcast(&recorder->changed);
    while (recorder->is_gated) {
        (void)pthread_cond_wait(&recorder->changed, &recorder->lock);
    }
    (void)pthread_mutex_unlock(&recorder->lock);

    for (size_t i = 0; i < count; i++) {
        struct marked_job *marked = (struct marked_job *)job[i];
        marked->job.is_ok = true;
        marked->outcomes++;
        atomic_fetch_add(&recorder->applied, 1);
    }

    (void)pthread_mutex_lock(&recorder->lock);
    for (size_t i = 0; i < count; i++) {
        const struct marked_job *marked = (const struct marked_job *)job[i];
        const size_t length = strlen(recorder->order);
        if (marked->mark && length + 1 < sizeof(recorder->order)) {
            recorder->order[length] = marked->mark;
        }
        leave(recorder, job[i]);
    }
    recorder->open_groups--;
    (void)pthread_mutex_unlock(&recorder->lock);
    if (recorder->fake) {
        pk_clock_fake_advance(recorder->fake, recorder->commit_ms);
    }
}

static void recorder_init(struct recorder *recorder)
{
    memset(recorder, 0, sizeof(*recorder));
    (void)pthread_mutex_init(&recorder->lock, NULL);
    (void)pthread_cond_init(&recorder->changed, NULL);
}

static struct pk_committer *new_committer(struct recorder *recorder, size_t groups, size_t lists,
                                          bool is_exclusive, const struct pk_clock *clock)
{
    const struct pk_committer_options options = {
        .groups_max = groups,
        .lists_max = lists,
        .bytes_max = 1000000,
        .crowd_max_ms = 1,
        .is_exclusive = is_exclusive,
        .apply = record,
        .engine = recorder,
        .clock = clock,
    };
    return pk_committer_new(&options);
}

static void job_init(struct marked_job *marked, char mark, uint64_t key, int64_t expect)
{
    memset(marked, 0, sizeof(*marked));
    marked->mark = mark;
    marked->touch[0] = (struct pk_touch){ .key = key, .version = expect, .is_expect = expect != 0 };
    marked->job.writes = &marked->writes;
    marked->job.touch = marked->touch;
    marked->job.touch_count = 1;
}

/* Waits until a condition holds; fails the case when patience ends. */
#define AWAIT(condition)                                           \
    do {                                                           \
        for (int tries_ = 0; !(condition); tries_++) {             \
            const struct timespec pause_ = { .tv_nsec = 1000000 }; \
            assert_true(tries_ < PK_TEST_PATIENCE_MS);             \
            (void)nanosleep(&pause_, NULL);                        \
        }                                                          \
    } while (0)

static void set_gate(struct recorder *recorder, bool is_gated)
{
    (void)pthread_mutex_lock(&recorder->lock);
    recorder->is_gated = is_gated;
    (void)pthread_cond_broadcast(&recorder->changed);
    (void)pthread_mutex_unlock(&recorder->lock);
}

/* ---- Sixty-four at once ---- */

struct producer {
    pthread_t thread;
    struct pk_committer *committer;
    unsigned seed;
    int bad;
};

static unsigned next_random(unsigned *seed)
{
    *seed = *seed * 1664525u + 1013904223u;
    return *seed >> 8;
}

static void *produce(void *context)
{
    struct producer *producer = context;
    for (int i = 0; i < ROUNDS; i++) {
        struct marked_job marked;
        const uint64_t key = next_random(&producer->seed) % IDS;
        job_init(&marked, 0, key, next_random(&producer->seed) % 3 ? 0 : 1 + (int64_t)(key % 2));
        if (next_random(&producer->seed) % 4 == 0 && key + 1 < IDS) {
            marked.touch[1] = (struct pk_touch){ .key = key + 1 };
            marked.job.touch_count = 2;
        }
        pk_committer_run(producer->committer, &marked.job);
        producer->bad += marked.outcomes != 1 || !marked.job.is_ok;
    }
    return NULL;
}

/* The first group stands at the gate until the others wait: then there is a crowd to serve. */
static void run_producers(struct pk_committer *committer, struct recorder *recorder)
{
    static struct producer producer[THREADS];
    set_gate(recorder, true);
    for (unsigned i = 0; i < THREADS; i++) {
        producer[i] = (struct producer){ .committer = committer, .seed = i + 1 };
        assert_int_equal(pthread_create(&producer[i].thread, NULL, produce, &producer[i]), 0);
    }
    AWAIT(pk_committer_waiting(committer) >= THREADS / 2);
    set_gate(recorder, false);
    int bad = 0;
    for (unsigned i = 0; i < THREADS; i++) {
        (void)pthread_join(producer[i].thread, NULL);
        bad += producer[i].bad;
    }
    assert_int_equal(bad, 0);
}

TEST(every_job_of_sixty_four_threads_has_exactly_one_outcome)
{
    struct recorder recorder;
    recorder_init(&recorder);
    struct pk_committer *committer = new_committer(&recorder, 1, 32, false, pk_clock_system());
    run_producers(committer, &recorder);
    assert_int_equal(recorder.applied, THREADS * ROUNDS);
    assert_int_equal(recorder.open_max, 1);
    assert_true(recorder.largest > 1);
    assert_true(recorder.largest <= 32);
    assert_int_equal(pk_committer_waiting(committer), 0);
    pk_committer_free(committer);
}

TEST(exclusive_groups_never_share_an_id)
{
    struct recorder recorder;
    recorder_init(&recorder);
    struct pk_committer *committer = new_committer(&recorder, 2, 16, true, pk_clock_system());
    run_producers(committer, &recorder);
    assert_int_equal(recorder.applied, THREADS * ROUNDS);
    assert_false(recorder.has_overlap);
    assert_true(recorder.open_max <= 2);
    pk_committer_free(committer);
}

/* ---- One after the other, behind a gate ---- */

struct caller {
    pthread_t thread;
    struct pk_committer *committer;
    struct marked_job marked;
};

static void *call(void *context)
{
    struct caller *caller = context;
    pk_committer_run(caller->committer, &caller->marked.job);
    return NULL;
}

static int arrived(struct recorder *recorder)
{
    (void)pthread_mutex_lock(&recorder->lock);
    const int count = recorder->arrived;
    (void)pthread_mutex_unlock(&recorder->lock);
    return count;
}

static void start_call(struct caller *caller, struct pk_committer *committer)
{
    caller->committer = committer;
    assert_int_equal(pthread_create(&caller->thread, NULL, call, caller), 0);
}

TEST(jobs_on_one_id_leave_in_the_order_they_came_and_others_pass_them)
{
    struct recorder recorder;
    struct caller caller[6];
    recorder_init(&recorder);
    struct pk_committer *committer = new_committer(&recorder, 1, 16, true, pk_clock_system());

    set_gate(&recorder, true);
    job_init(&caller[0].marked, 'a', 1, 0); /* Leads, and stands at the gate. */
    start_call(&caller[0], committer);
    AWAIT(arrived(&recorder) == 1);
    const struct {
        char mark;
        uint64_t key;
    } late[] = { { 'b', 2 }, { 'c', 2 }, { 'd', 3 }, { 'e', 2 }, { 'f', 3 } };
    for (size_t i = 0; i < 5; i++) {
        job_init(&caller[i + 1].marked, late[i].mark, late[i].key, 0);
        start_call(&caller[i + 1], committer);
        AWAIT(pk_committer_waiting(committer) == i + 1);
    }
    set_gate(&recorder, false);
    for (size_t i = 0; i < 6; i++) {
        (void)pthread_join(caller[i].thread, NULL);
    }
    /* Then b with d, then c with f, then e. */
    assert_string_equal(recorder.order, "abdcfe");
    pk_committer_free(committer);
}

TEST(two_groups_are_open_at_once_unless_they_touch_one_id)
{
    struct recorder recorder;
    struct caller caller[3];
    recorder_init(&recorder);
    struct pk_committer *committer = new_committer(&recorder, 2, 16, true, pk_clock_system());

    set_gate(&recorder, true);
    job_init(&caller[0].marked, 'a', 1, 0);
    start_call(&caller[0], committer);
    AWAIT(arrived(&recorder) == 1);
    job_init(&caller[1].marked, 'b', 1, 0); /* Must wait for 'a' although a slot is free. */
    start_call(&caller[1], committer);
    AWAIT(pk_committer_waiting(committer) == 1);
    job_init(&caller[2].marked, 'c', 2, 0); /* Passes it. */
    start_call(&caller[2], committer);
    AWAIT(arrived(&recorder) == 2);
    assert_int_equal(pk_committer_waiting(committer), 1);
    set_gate(&recorder, false);
    for (size_t i = 0; i < 3; i++) {
        (void)pthread_join(caller[i].thread, NULL);
    }
    assert_false(recorder.has_overlap);
    assert_int_equal(recorder.open_max, 2);
    pk_committer_free(committer);
}

TEST(expects_of_one_version_share_a_group)
{
    struct recorder recorder;
    struct caller caller[4];
    recorder_init(&recorder);
    struct pk_committer *committer = new_committer(&recorder, 1, 16, true, pk_clock_system());

    set_gate(&recorder, true);
    job_init(&caller[0].marked, 'a', 1, 0);
    start_call(&caller[0], committer);
    AWAIT(arrived(&recorder) == 1);
    for (size_t i = 1; i < 4; i++) {
        job_init(&caller[i].marked, (char)('a' + i), 2, i == 3 ? 8 : 7);
        start_call(&caller[i], committer);
        AWAIT(pk_committer_waiting(committer) == i);
    }
    set_gate(&recorder, false);
    for (size_t i = 0; i < 4; i++) {
        (void)pthread_join(caller[i].thread, NULL);
    }
    assert_string_equal(recorder.order, "abcd");
    assert_int_equal(recorder.arrived, 3); /* a; b and c; d. */
    pk_committer_free(committer);
}

TEST(a_list_too_large_for_the_group_is_not_overtaken)
{
    struct recorder recorder;
    struct caller caller[4];
    recorder_init(&recorder);
    struct pk_committer *committer = new_committer(&recorder, 1, 16, false, pk_clock_system());

    set_gate(&recorder, true);
    for (size_t i = 0; i < 4; i++) {
        job_init(&caller[i].marked, (char)('a' + i), i, 0);
        caller[i].marked.writes.bytes = i == 2 ? 900000 : 400000;
        start_call(&caller[i], committer);
        if (i == 0) {
            AWAIT(arrived(&recorder) == 1);
        } else {
            AWAIT(pk_committer_waiting(committer) == i);
        }
    }
    set_gate(&recorder, false);
    for (size_t i = 0; i < 4; i++) {
        (void)pthread_join(caller[i].thread, NULL);
    }
    assert_string_equal(recorder.order, "abcd");
    assert_int_equal(recorder.arrived, 4);
    pk_committer_free(committer);
}

TEST(a_job_whose_deadline_passes_while_it_waits_is_busy_and_not_done)
{
    struct recorder recorder;
    struct pk_clock_fake fake;
    struct caller caller[3];
    recorder_init(&recorder);
    pk_clock_fake_init(&fake, 1000);
    struct pk_committer *committer = new_committer(&recorder, 1, 16, true, &fake.clock);

    set_gate(&recorder, true);
    job_init(&caller[0].marked, 'a', 1, 0);
    /* Its deadline passes, too, but it is in a group by then. */
    caller[0].marked.job.deadline_ns = pk_deadline_in_ms(&fake.clock, 10);
    start_call(&caller[0], committer);
    AWAIT(arrived(&recorder) == 1);
    for (size_t i = 1; i < 3; i++) {
        job_init(&caller[i].marked, (char)('a' + i), 1, 0);
        caller[i].marked.job.deadline_ns = i == 1 ? pk_deadline_in_ms(&fake.clock, 10) : 0;
        start_call(&caller[i], committer);
        AWAIT(pk_committer_waiting(committer) == i);
    }
    pk_clock_fake_advance(&fake, 11);
    AWAIT(pk_committer_waiting(committer) == 1);
    (void)pthread_join(caller[1].thread, NULL);
    assert_false(caller[1].marked.job.is_ok);
    assert_int_equal(caller[1].marked.job.error.code, PK_BUSY);
    assert_int_equal(caller[1].marked.outcomes, 0);
    set_gate(&recorder, false);
    (void)pthread_join(caller[0].thread, NULL);
    (void)pthread_join(caller[2].thread, NULL);
    assert_true(caller[0].marked.job.is_ok);
    assert_string_equal(recorder.order, "ac");
    pk_committer_free(committer);
}

/* ---- The crowd ---- */

/* The clock is a test's, which commits alone move on; the leader's sleep is a real one. So a leader
 * who waits where he should not, or whom nobody wakes, is late by LONG_MS of real time. */
enum { LONG_MS = 200 * 1000, CALLERS = 6 };

struct crowd {
    struct recorder recorder;
    struct pk_clock_fake fake;
    struct pk_committer *committer;
    struct caller caller[CALLERS];
    int64_t start_ns; /* Of the machine's clock. */
};

static void crowd_init(struct crowd *crowd, int64_t commit_ms, int64_t most_ms)
{
    recorder_init(&crowd->recorder);
    pk_clock_fake_init(&crowd->fake, 1000);
    crowd->recorder.fake = &crowd->fake;
    crowd->recorder.commit_ms = commit_ms;
    const struct pk_committer_options options = {
        .groups_max = 1,
        .lists_max = 16,
        .bytes_max = 1000000,
        .crowd_max_ms = most_ms,
        .apply = record,
        .engine = &crowd->recorder,
        .clock = &crowd->fake.clock,
    };
    crowd->committer = pk_committer_new(&options);
    crowd->start_ns = pk_clock_mono_ns(pk_clock_system());
    for (size_t i = 0; i < CALLERS; i++) {
        job_init(&crowd->caller[i].marked, (char)('a' + i), i, 0);
    }
}

static bool is_late(const struct crowd *crowd)
{
    return pk_clock_mono_ns(pk_clock_system()) - crowd->start_ns > LONG_MS / 2 * 1000000LL;
}

static void run_caller(struct crowd *crowd, size_t i)
{
    start_call(&crowd->caller[i], crowd->committer);
    (void)pthread_join(crowd->caller[i].thread, NULL);
}

/* 'a' commits alone while 'b', 'c' and 'd' come to wait: a crowd of four, one of whom is away. */
static void make_crowd(struct crowd *crowd)
{
    set_gate(&crowd->recorder, true);
    start_call(&crowd->caller[0], crowd->committer);
    AWAIT(arrived(&crowd->recorder) == 1);
    for (size_t i = 1; i < 4; i++) {
        start_call(&crowd->caller[i], crowd->committer);
        AWAIT(pk_committer_waiting(crowd->committer) == i);
    }
    set_gate(&crowd->recorder, false);
    (void)pthread_join(crowd->caller[0].thread, NULL);
}

static void end_crowd(struct crowd *crowd)
{
    for (size_t i = 1; i < 4; i++) {
        (void)pthread_join(crowd->caller[i].thread, NULL);
        assert_true(crowd->caller[i].marked.job.is_ok);
    }
}

TEST(a_crowd_that_comes_back_goes_in_one_group)
{
    struct crowd crowd;
    crowd_init(&crowd, 8 * LONG_MS, LONG_MS);
    make_crowd(&crowd);
    run_caller(&crowd, 4);
    end_crowd(&crowd);
    assert_string_equal(crowd.recorder.order, "abcde");
    assert_int_equal(crowd.recorder.arrived, 2); /* a; the others, as soon as the last is there. */
    assert_false(is_late(&crowd));
    pk_committer_free(crowd.committer);
}

TEST(a_crowd_that_does_not_come_back_is_awaited_for_its_share_and_no_longer)
{
    static const struct {
        int64_t commit_ms, most_ms;
    } row[] = {
        { 80, LONG_MS },     /* An eighth of what the commit took. */
        { 8 * LONG_MS, 10 }, /* The most that is allowed. */
        { 8 * LONG_MS, 0 },  /* Nothing is. */
        { 0, LONG_MS },      /* The clock stands still. */
    };
    for (size_t i = 0; i < PK_COUNT(row); i++) {
        struct crowd crowd;
        crowd_init(&crowd, row[i].commit_ms, row[i].most_ms);
        make_crowd(&crowd);
        end_crowd(&crowd);
        assert_string_equal(crowd.recorder.order, "abcd");
        assert_int_equal(crowd.recorder.arrived, 2);
        assert_false(is_late(&crowd));
        pk_committer_free(crowd.committer);
    }
}

TEST(who_is_alone_waits_for_nobody)
{
    struct crowd crowd;
    crowd_init(&crowd, 8 * LONG_MS, LONG_MS);
    for (size_t i = 0; i < CALLERS; i++) {
        run_caller(&crowd, i);
    }
    assert_int_equal(crowd.recorder.arrived, CALLERS);
    assert_false(is_late(&crowd));
    pk_committer_free(crowd.committer);
}

TEST(who_comes_when_the_time_of_a_crowd_is_over_waits_for_nobody)
{
    struct crowd crowd;
    crowd_init(&crowd, 8 * LONG_MS, 8 * LONG_MS);
    make_crowd(&crowd);
    run_caller(&crowd, 4);
    end_crowd(&crowd); /* Four, who may be expected for an eighth of what their commit took. */
    pk_clock_fake_advance(&crowd.fake, LONG_MS);
    run_caller(&crowd, 5);
    assert_int_equal(crowd.recorder.arrived, 3);
    assert_false(is_late(&crowd));
    pk_committer_free(crowd.committer);
}

TEST(a_leader_awaits_no_crowd_past_his_deadline)
{
    struct crowd crowd;
    crowd_init(&crowd, 8 * LONG_MS, LONG_MS);
    /* 'b' will lead; when the commit before it ends it has 10 ms left. */
    crowd.caller[1].marked.job.deadline_ns = pk_deadline_in_ms(&crowd.fake.clock, 8 * LONG_MS + 10);
    make_crowd(&crowd);
    end_crowd(&crowd);
    assert_int_equal(crowd.recorder.arrived, 2);
    assert_false(is_late(&crowd));
    pk_committer_free(crowd.committer);
}

/* ---- Beside an open group ---- */

enum { BESIDE = 3, SLOW_MS = 20 };

/* One group stands at the gate; those behind it touch other ids. */
struct beside {
    struct recorder recorder;
    struct pk_clock_fake fake;
    struct pk_committer *committer;
    struct next {
        struct pk_committer *committer;
        struct marked_job marked;
        pthread_t thread;
    } next[BESIDE + 1];
    size_t count;
};

static void *run_next(void *context)
{
    struct next *next = context;
    pk_committer_run(next->committer, &next->marked.job);
    return NULL;
}

static int arrived_at(struct beside *beside)
{
    (void)pthread_mutex_lock(&beside->recorder.lock);
    const int count = beside->recorder.arrived;
    (void)pthread_mutex_unlock(&beside->recorder.lock);
    return count;
}

static void start_next(struct beside *beside, bool is_waiting)
{
    const size_t waiting = pk_committer_waiting(beside->committer) + 1;
    const int arrived = arrived_at(beside) + 1;
    struct next *next = &beside->next[beside->count];
    next->committer = beside->committer;
    job_init(&next->marked, 0, beside->count, 0);
    assert_int_equal(pthread_create(&next->thread, NULL, run_next, next), 0);
    if (is_waiting) { /* Who was not given a slot as he came has to be let in by somebody. */
        AWAIT(pk_committer_waiting(beside->committer) == waiting);
    } else {
        AWAIT(arrived_at(beside) == arrived);
    }
    beside->count++;
}

static void beside_init(struct beside *beside)
{
    memset(beside, 0, sizeof(*beside));
    recorder_init(&beside->recorder);
    pk_clock_fake_init(&beside->fake, 1000);
    beside->committer = pk_committer_new(&(struct pk_committer_options){
        .groups_max = 2,
        .beside_min = BESIDE,
        .slow_ms = SLOW_MS,
        .lists_max = 16,
        .bytes_max = 1000000,
        .is_exclusive = true,
        .apply = record,
        .engine = &beside->recorder,
        .clock = &beside->fake.clock,
    });
    set_gate(&beside->recorder, true);
    start_next(beside, false);
}

static void beside_end(struct beside *beside)
{
    set_gate(&beside->recorder, false);
    for (size_t i = 0; i < beside->count; i++) {
        (void)pthread_join(beside->next[i].thread, NULL);
        assert_int_equal(beside->next[i].marked.outcomes, 1);
    }
    assert_int_equal(beside->recorder.open_max, 2);
    pk_committer_free(beside->committer);
}

TEST(beside_an_open_group_another_begins_when_many_wait)
{
    struct beside beside;
    beside_init(&beside);
    start_next(&beside, true);
    start_next(&beside, true);
    assert_int_equal(arrived_at(&beside), 1);
    start_next(&beside, false);
    assert_int_equal(pk_committer_waiting(beside.committer), 0);
    beside_end(&beside);
}

TEST(beside_a_slow_group_another_begins_though_nobody_comes)
{
    struct beside beside;
    beside_init(&beside);
    start_next(&beside, true);
    assert_int_equal(arrived_at(&beside), 1);
    pk_clock_fake_advance(&beside.fake, SLOW_MS);
    AWAIT(arrived_at(&beside) == 2);
    beside_end(&beside);
}

/* ---- Upkeep ---- */

struct upkept {
    struct recorder recorder; /* First. */
    atomic_int runs;
};

static bool is_due(void *engine)
{
    (void)engine;
    return true;
}

static void run_upkeep(void *engine)
{
    struct upkept *upkept = engine;
    (void)pthread_mutex_lock(&upkept->recorder.lock);
    assert_int_equal(upkept->recorder.open_groups, 0);
    (void)pthread_mutex_unlock(&upkept->recorder.lock);
    atomic_fetch_add(&upkept->runs, 1);
}

TEST(upkeep_runs_between_groups_and_nobody_is_lost)
{
    struct upkept upkept;
    recorder_init(&upkept.recorder);
    upkept.runs = 0;
    const struct pk_committer_options options = {
        .groups_max = 1,
        .lists_max = 8,
        .bytes_max = 1000,
        .apply = record,
        .is_upkeep_due = is_due,
        .upkeep = run_upkeep,
        .engine = &upkept,
        .clock = pk_clock_system(),
    };
    struct pk_committer *committer = pk_committer_new(&options);
    run_producers(committer, &upkept.recorder);
    assert_int_equal(upkept.recorder.applied, THREADS * ROUNDS);
    assert_int_equal(upkept.runs, upkept.recorder.arrived);
    pk_committer_free(committer);
}
