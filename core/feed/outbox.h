/* outbox.h - Work that an accepted change still has to cause: done later, and its effect once.
 *
 * Whoever writes adds a task to his own list (pk_task_add), so the work is
 * there exactly when its cause is. The outbox claims tasks under a lease, runs
 * them on threads of its own, and commits what each one decided together with
 * its completion; the completion replaces the task at the version of its
 * lease, so a node that was late for its own lease writes nothing.
 *
 *     pk_task_add(list, books, &(struct pk_task_new){ .type = "process_observation",
 *                 .person = person, .payload = &payload }, task_id);
 *     ... commit ...
 *     the feed's row about it wakes the outbox; so do the earliest runAfter and a sweep each 30 s
 *
 *     pending ──claim──▶ in_progress ──▶ done         forgotten after keep_ms
 *        ▲                    │  │
 *        ├──next attempt──────┘  └─────▶ failed       stays until it is retried or discarded
 *        └──retry────────────────────────┘  └─▶ discarded
 *
 * Tasks of one person run one at a time, in the order in which they were
 * written (of one list: in its order); one that waits for its next attempt
 * holds those behind it, one that was asked for later (run_after_ms) does not
 * until it is due. Those behind one that has failed or was discarded go on.
 *
 * A task may be born claimed by the node that writes it (pk_task_new.outbox): then it is in
 * progress from the start, and takes its place in its person's line all the same.
 *
 * An end is no row of the feed: that would double what a small task costs.
 * Who waits on the node that does the work is woken by it at once; a node that
 * knows another one to be at work reads that task each 200 ms. Rows there are
 * of the rare ends that people want to hear of: "task.failed" and
 * "task.discarded" (metadata.endedTaskId), and "task.retried" (taskId).
 *
 * What is known of a task that waits takes about 200 bytes of memory.
 *
 * Any thread, if nothing else is said. */
/* SPDX-License-Identifier: MIT */
#ifndef PK_FEED_OUTBOX_H
#define PK_FEED_OUTBOX_H

#include "access/audit.h"
#include "base/id.h"

#include <bson/bson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct pk_commit;
struct pk_doc;
struct pk_error;
struct pk_feed_item;
struct pk_log;
struct pk_outbox; /* Opaque. */
struct pk_page;
struct pk_watch;
struct pk_writes;

/* ---- Asking for work ---- */

struct pk_task_new {
    const char *type;      /* A row of the options' table. */
    const char *person;    /* Whose order it keeps; NULL: nobody's. */
    const char *actor;     /* Who asked: he may see it (/v1/tasks/{id}); NULL: nobody did. */
    const bson_t *payload; /* NULL: {}. Ids, never what is known of a person. */
    int64_t run_after_ms;  /* Wall; 0: now. */
    const char *id;        /* NULL: a fresh UUID. */
    /* It is claimed as it is written, by this node, when that has room: no commit is spent on it.
     * What is told of its start goes into the list. NULL: whoever claims it. */
    struct pk_outbox *outbox;
};
/* Adds the task to 'list'; 'out_id' (PK_UUID_TEXT bytes; may be NULL) gets its id. Whoever adds one
 * announces something in the same list whose metadata has 'taskId' (pk_news.fact), which is what
 * wakes the outbox of every node. */
void pk_task_add(struct pk_writes *list, const struct pk_books *books,
                 const struct pk_task_new *task, char out_id[PK_UUID_TEXT]);

/* Adds to 'list' that a task which has failed is tried again, from its first attempt, and what
 * wakes the outbox. 'task' is as it was read: the list replaces that version. */
void pk_task_retry(struct pk_writes *list, const struct pk_books *books, const struct pk_doc *task);

/* ---- Doing it ---- */

/* A task under way; borrowed by its handler. */
struct pk_task {
    struct pk_outbox *outbox;
    struct pk_doc *doc; /* As it was claimed, also after pk_task_progress: texts of it stay. */
    const char *id;
    const char *type;
    const char *person;  /* Or NULL. */
    bson_t payload;      /* A view. */
    int64_t attempt;     /* From 1. */
    unsigned tries;      /* How often its list conflicted in this attempt: what it supposed of the
                          * store, unread, may be why. */
    int64_t deadline_ns; /* Of its lease. */
};
/* Reads, decides, and fills the empty list (of PK_WRITES_MAX - 1 writes at most) with the effects:
 * committed with the task's completion, or not at all. Called again after a conflict, with an empty
 * list. False: 'err' says why; it is tried again (with back-off and jitter) unless the code is one
 * that sending again cannot help (PK_INVALID, PK_NOT_FOUND, PK_FORBIDDEN, PK_TOO_LARGE,
 * PK_UNSUPPORTED, PK_REFUSED), or attempts are used up. Long work commits its own repeatable steps
 * by itself, and says so with pk_task_progress; one that deletes tasks of its person leaves its
 * own, which ends with it. */
typedef bool pk_task_fn(void *context, const struct pk_task *task, struct pk_writes *list,
                        struct pk_error *err);
/* The last attempt has failed with 'why': fills 'list' with what becomes visible of that, committed
 * with the task's failure. */
typedef bool pk_task_failed_fn(void *context, const struct pk_task *task,
                               const struct pk_error *why, struct pk_writes *list,
                               struct pk_error *err);

/* Its first attempt is claimed: adds to 'list' what is told of that, committed with the claim
 * (after a restart it may be told again). On the dispatcher's thread: it reads nothing. */
typedef void pk_task_started_fn(void *context, const struct pk_doc *task, struct pk_writes *list);

struct pk_task_type {
    const char *name; /* NULL ends a table. */
    pk_task_fn *run;
    pk_task_started_fn *started; /* NULL: nothing is told. */
    pk_task_failed_fn *failed;   /* NULL: nothing further. */
    void *context;               /* Of all three. */
    unsigned attempts_max;       /* 0: 8. */
    unsigned running_max; /* At the same time on this node; 0: as many as there are threads. */
    int64_t lease_ms;     /* 0: 60 s; pk_task_progress renews it. */
    const char *help;
};

struct pk_outbox_options {
    const struct pk_books *books;
    const struct pk_task_type *type; /* Borrowed. */
    struct pk_log *log;
    /* A task of this person has ended, here or elsewhere: told before anybody who waited for it is
     * woken, and perhaps before the feed tells of its effects, so that what is remembered of the
     * person is not taken for what he waited for. Must not block; NULL: nobody is told. */
    void (*ended)(void *context, const char *person);
    void *context;          /* Of 'ended'. */
    unsigned threads;       /* 0: 16. */
    unsigned threads_quiet; /* While no new tasks come in, on SQLite; 0: as many. */
    int64_t keep_ms;        /* store.retention.outbox: how long what is done stays visible. */
    int64_t backoff_ms;     /* Before the second attempt; doubles, with jitter; 0: 1 s. */
    int64_t backoff_max_ms; /* 0: 10 min. */
    int64_t sweep_ms;       /* 0: 30 s. */
};
struct pk_outbox *pk_outbox_new(const struct pk_outbox_options *options)
    __attribute__((returns_nonnull, warn_unused_result));
/* Its threads: they look at what waits in the store, then follow what is heard. The watcher runs
 * already, so that nothing falls between. */
bool pk_outbox_start(struct pk_outbox *outbox, struct pk_error *err);
/* Takes nothing new; what is under way ends, or loses its lease, which another start picks up.
 * More than once is fine, as is NULL. */
void pk_outbox_stop(struct pk_outbox *outbox);
void pk_outbox_free(struct pk_outbox *outbox); /* Stops it first; NULL is fine. */
/* A listener of the feed (pk_watch_tell): does not block. */
void pk_outbox_hear(struct pk_outbox *outbox, const struct pk_feed_item *item);

/* Says how far long work has got (0 to 1), and renews the lease in the same commit. PK_CONFLICT:
 * the lease is lost (or the task was discarded): stop, another one works on it. */
bool pk_task_progress(const struct pk_task *task, double progress, struct pk_error *err);
/* True when the server stops: long work ends between two steps, and goes on after the next start.
 */
bool pk_task_should_stop(const struct pk_task *task);

/* ---- Waiting for it, without a thread ---- */

/* 'wake' is called once, on any thread, when the task has ended ('done', 'failed', 'discarded' or
 * gone), perhaps before this returns, when the outbox stops, or when it was forgotten (30 s): it
 * must bear being called late. A task that the feed has not told of yet is looked for in the store.
 * PK_BUSY: too many wait. */
typedef void pk_outbox_wake_fn(void *context);
bool pk_outbox_wait(struct pk_outbox *outbox, const char *task_id, pk_outbox_wake_fn *wake,
                    void *context, struct pk_error *err);
/* The same for all tasks of a person that are due or under way now, as far as this node has heard:
 * whoever wants those of a write waits for its cursor first. */
bool pk_outbox_wait_person(struct pk_outbox *outbox, const char *person, pk_outbox_wake_fn *wake,
                           void *context, struct pk_error *err);

/* ---- For people ---- */

bool pk_outbox_get(const struct pk_books *books, const char *id, struct pk_doc **out,
                   struct pk_error *err); /* PK_NOT_FOUND when there is none. */
/* Of a person in the order in which they were asked for, else in order of runAfter (and by status,
 * when there is none given). With a type, or a person and a status, a page may have fewer than
 * 'limit', or none, and still a next. */
struct pk_outbox_filter {
    const char *status;        /* "pending", "in_progress", "done", "failed", "discarded". */
    const char *type, *person; /* NULL, as all: any. */
};
bool pk_outbox_list(const struct pk_books *books, const struct pk_outbox_filter *filter,
                    size_t limit, const char *cursor, struct pk_page *out, struct pk_error *err);
/* Audited, both, and told. A task that has failed is tried again from its first attempt, one that
 * is pending now; all others are PK_CONFLICT. Every task that is not done can be given up for good:
 * it has no effect any more, even when it is under way. */
bool pk_outbox_retry(const struct pk_books *books, const struct pk_by *by, const char *id,
                     struct pk_doc **out, struct pk_error *err);
bool pk_outbox_discard(const struct pk_books *books, const struct pk_by *by, const char *id,
                       struct pk_doc **out, struct pk_error *err);

struct pk_outbox_stats {
    uint64_t done, failed, retried,
        lost;                /* Since the start; 'lost': leases that were taken over. */
    size_t waiting, running; /* Known to this node now. */
    double per_minute;       /* Tasks done lately: for estimates. */
    int64_t oldest_ms;       /* How long the oldest due one has waited; 0: none. */
};
void pk_outbox_stats(struct pk_outbox *outbox, struct pk_outbox_stats *out);
/* Minutes until a task of this type that is added now is done, by the rate of late; at least 1/60.
 */
double pk_outbox_estimate(struct pk_outbox *outbox, const char *type);

#endif
