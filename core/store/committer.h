/* committer.h - Many callers' lists in one durable commit.
 *
 * A caller brings a job and sleeps until it has an outcome. Whoever finds a
 * free group slot leads: gives those whom the last commit served a moment to
 * join again, takes what waits, has the engine commit it as one, wakes the
 * others with an outcome each, and goes. No thread of its own.
 *
 * Jobs leave in the order they came, but one that touches an id that an open
 * or forming group touches stays behind for the next (unless both only expect
 * the same version); the engine never sees two lists about one id in a group.
 * A job whose deadline passes while it waits is taken out: PK_BUSY, not done.
 * Once in a group it waits for the outcome. Any thread. */
/* SPDX-License-Identifier: MIT */
#ifndef PK_STORE_COMMITTER_H
#define PK_STORE_COMMITTER_H

#include "store/store.h"

struct pk_clock;
struct pk_collection;
struct pk_committer; /* Opaque. */

/* One id that a list writes or expects. */
struct pk_touch {
    uint64_t key;    /* Hash of collection and id. */
    int64_t version; /* Of an expect. */
    bool is_expect;  /* Only looked at. */
};

/* What store.c worked out about a write: one per write of the list, same order. */
struct pk_target {
    const struct pk_collection *collection;
    int64_t new_version; /* INSERT, REPLACE: what it is stored under. */
    bool is_folded;      /* An EXPECT that another write of the list covers: nothing to do. */
};

struct pk_job {
    struct pk_writes *writes; /* The caller's; checked by store.c, never changed by an engine. */
    int64_t deadline_ns;
    struct pk_target *target; /* writes->count of them. */
    struct pk_touch *touch;   /* Sorted by key, each key once. */
    size_t touch_count;
    void *prepared; /* The engine's own, made on the caller's thread. */

    bool is_ok; /* The outcome, set by the engine's 'apply' for every job. */
    struct pk_error error;
    struct pk_commit commit;

    struct pk_job *next; /* The committer's own from here on. */
    _Atomic int state;
};

struct pk_committer_options {
    size_t groups_max; /* Open at the same time: 1 on SQLite, 2 on MongoDB. */
    size_t beside_min; /* Beside an open group another one begins when so many lists wait... */
    int64_t slow_ms;   /* ...or when all that are open have taken longer than that. 0: at once. */
    size_t lists_max;  /* Per group. */
    size_t bytes_max;  /* Per group; a single larger list goes alone. */
    int64_t crowd_max_ms; /* How long a leader waits, at most, for the callers of the commit before
                           * his to come back and join: a part of what that commit took, and never
                           * past his own deadline. 0: not at all. */
    bool is_exclusive; /* Keep lists that touch one id apart (MongoDB). SQLite applies them in turn.
                        */
    /* Commits the jobs as one and sets every job's outcome. Runs on the leader's thread. */
    void (*apply)(void *engine, struct pk_job **job, size_t count);
    /* Upkeep between two groups (a checkpoint): asked after every group; when it is due, it runs
     * after the members were woken and before the next group starts. Both NULL: none. */
    bool (*is_upkeep_due)(void *engine);
    void (*upkeep)(void *engine);
    void *engine;
    const struct pk_clock *clock;
};

struct pk_committer *pk_committer_new(const struct pk_committer_options *options);
void pk_committer_free(struct pk_committer *committer); /* Nobody may be waiting. */
/* Returns when the job has its outcome. */
void pk_committer_run(struct pk_committer *committer, struct pk_job *job);
size_t pk_committer_waiting(const struct pk_committer *committer);

#endif
