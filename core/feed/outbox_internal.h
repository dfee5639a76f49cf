/* outbox_internal.h - What the files of the outbox share.
 *
 *     outbox.c           start and stop; what is heard; who waits
 *     outbox_claim.c     the dispatcher: reads what is due, claims it, sweeps
 *     outbox_born.c      tasks that are claimed as they are written
 *     outbox_run.c       the workers: one task from its claim to its end
 *     outbox_task.c      tasks as documents
 *     outbox_admin.c     for people: list, retry, discard
 *     outbox_lines.[ch]  what waits, in memory
 *     outbox_waits.[ch]  who waits for it */
/* SPDX-License-Identifier: MIT */
#ifndef PK_FEED_OUTBOX_INTERNAL_H
#define PK_FEED_OUTBOX_INTERNAL_H

#include "feed/outbox.h"
#include "feed/outbox_lines.h"
#include "feed/outbox_waits.h"
#include "store/store.h"

#include <pthread.h>

enum {
    PK_OUTBOX_STORE_MS = 10000,                   /* For one call of the store. */
    PK_OUTBOX_PAUSE_MS = 100,                     /* After a store that did not answer. */
    PK_OUTBOX_DISCARDED_MS = 7 * 24 * 3600 * 1000 /* How long one that was given up is shown. */
};

/* ---- Documents (outbox_task.c) ---- */

/* What changes in a task's document; the rest stays. */
struct pk_task_change {
    const char *status;
    const char *owner;      /* Of the lease; NULL: there is none. */
    const char *error;      /* NULL: as it was. */
    int64_t attempts;       /* Below 0: as it was. */
    int64_t run_after_ms;   /* 0: as it was. */
    int64_t lease_until_ms; /* 0: none. */
    int64_t completed_ms;   /* 0: it is not. */
    int64_t expires_ms;     /* 0: it does not. */
    double progress;        /* Below 0: as it was. */
};
struct pk_doc *pk_task_change(const struct pk_doc *task, const struct pk_task_change *change,
                              int64_t now_ms) __attribute__((returns_nonnull, warn_unused_result));
/* 'pending' or 'in_progress'. */
bool pk_task_is_open(const struct pk_doc *task);
/* Its row in the feed: "task.failed" ... ; 'fact' is the name under which its id stands. */
void pk_task_tell(struct pk_writes *list, const struct pk_books *books, const struct pk_doc *task,
                  const char *type, const char *fact);

/* ---- Claimed as it is written (outbox_born.c) ---- */

struct pk_born; /* Opaque. */
struct pk_born *pk_born_new(void) __attribute__((returns_nonnull, warn_unused_result));
void pk_born_clear(struct pk_born *born);
void pk_born_free(struct pk_born *born);
/* The type of a task that is to be born claimed; NULL: another one is to claim it. */
const struct pk_task_type *pk_born_type(struct pk_outbox *outbox, const char *name);
int64_t pk_born_lease_ms(const struct pk_task_type *type);
/* None was born for a moment. */
bool pk_born_is_quiet(const struct pk_outbox *outbox);
/* It is in a list, and will be stored under 'version' when that is committed. */
void pk_born_add(struct pk_outbox *outbox, const struct pk_task_type *type,
                 const struct pk_doc *task, int64_t version);
/* The document of one that was born here; NULL: it is to be read. */
struct pk_doc *pk_born_doc(struct pk_outbox *outbox, const char *id);
/* True: it is still as it was born, so its lease is ours. It is forgotten here. */
bool pk_born_take(struct pk_outbox *outbox, const struct pk_doc *task, int64_t *out_deadline_ns);
/* Under the outbox's lock: those that nobody told of while their lease lasted. */
void pk_born_forget(struct pk_outbox *outbox);
/* Those whose turn has not come, as far as their documents are kept; when none of the outbox's
 * threads runs. */
void pk_born_each(struct pk_outbox *outbox, void (*each)(void *context, const struct pk_doc *task),
                  void *context);

/* ---- One at work ---- */

struct pk_type_state {
    size_t running;           /* Claimed, or at work. */
    struct pk_entries parked; /* Held until one of them has ended. */
};

struct pk_job {
    struct pk_job *next;
    struct pk_entry *entry;
    const struct pk_task_type *type;
    struct pk_type_state *state;
    struct pk_doc *doc;  /* As it is stored now; a reference. */
    int64_t version;     /* Of its lease. */
    int64_t attempt;     /* From 1. */
    int64_t deadline_ns; /* Of its lease. */
    bool is_born;        /* Claimed as it was written: there is nothing to commit. */
};
struct pk_job *pk_job_new(struct pk_outbox *outbox, struct pk_entry *entry, struct pk_doc *task,
                          const struct pk_task_type *type);
void pk_job_free(struct pk_job *job);
/* Its claim was committed: 'task' is stored under 'version'. */
void pk_job_claimed(struct pk_job *job, struct pk_doc *task, int64_t version);
/* Under the lock: it is not at work any more, so one that is parked for its type may be. */
void pk_job_leave_type(struct pk_outbox *outbox, struct pk_job *job);

struct pk_outbox {
    struct pk_outbox_options options; /* With the defaults filled in. */
    size_t type_count;
    struct pk_type_state *type_state; /* As options.type. */
    struct pk_born *born;             /* outbox_born.c's own. */
    bool is_alone;                    /* The store has no other nodes: other leases are dead. */
    pthread_t dispatcher;
    pthread_t *worker;
    size_t worker_count;     /* Started. */
    _Atomic bool is_running; /* The dispatcher was started. */
    _Atomic bool is_stopping;

    pthread_mutex_t lock;
    pthread_cond_t stirred; /* The dispatcher: something is due, or wanted. */
    pthread_cond_t claimed; /* Workers: there is something to do. */
    /* Under 'lock'. */
    struct pk_lines lines;
    struct pk_waits waits;
    struct pk_waits early; /* For a person, from before all was loaded. */
    struct pk_job *ready;  /* Claimed, in order. */
    struct pk_job **ready_end;
    size_t ready_count, running_count;
    bool is_loaded;           /* All that waits in the store is known. */
    bool is_dozing;           /* The dispatcher sleeps. */
    _Atomic bool is_slow;     /* Tasks took longer than a second lately: claim few. */
    uint64_t gaps;            /* Heard so far: each asks for another loading. */
    struct pk_entry_new *new; /* Heard while it was being loaded; texts of its own. */
    size_t new_count, new_size;
    int64_t sweep_ns;     /* Monotonic: the next one. */
    int64_t work_ns;      /* What a task takes, lately. */
    uint64_t done_in[60]; /* Tasks done, by second. */
    int64_t done_s;       /* The second that the last of them belongs to. */
    struct pk_outbox_stats stats;
};

static inline const struct pk_books *pk_outbox_books(const struct pk_outbox *outbox)
{
    return outbox->options.books;
}

/* Leaves the lock, and calls those whose wait has ended under it. */
void pk_outbox_unlock(struct pk_outbox *outbox);
/* Under the lock. Wakes the dispatcher when it sleeps. */
void pk_outbox_stir(struct pk_outbox *outbox);
/* Under the lock. Wakes one that rests, when 'running' are at work and one more may be. */
void pk_outbox_wake_worker(struct pk_outbox *outbox, size_t running);
/* Under the lock. Sleeps on 'stirred' for at most 'ms'. */
void pk_outbox_doze(struct pk_outbox *outbox, int64_t ms);
/* Under the lock. Whoever waits for the entry need not any more; it is forgotten. */
void pk_outbox_end(struct pk_outbox *outbox, struct pk_entry *entry);
/* Under the lock, when all is loaded: adds what was heard meanwhile, and who came to wait. */
void pk_outbox_add_new(struct pk_outbox *outbox);

void *pk_outbox_run_dispatcher(void *outbox);
void *pk_outbox_run_worker(void *outbox);
/* Gives back what was claimed and not begun: no thread runs any more. */
void pk_outbox_give_back(struct pk_outbox *outbox);

#endif
