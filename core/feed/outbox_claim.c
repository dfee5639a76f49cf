/* outbox_claim.c - The dispatcher: reads what is due, claims it in one list, hands it on.
 *
 * While one claim is on its way to the disk, what becomes due is collected for
 * the next: a busy outbox claims up to a hundred tasks in one durable commit, a
 * quiet one a single task at once. What is claimed ahead is at most eight
 * tasks a thread, and one a thread while tasks take long, so that no lease
 * runs out in the queue.
 *
 * Those that were born claimed (outbox_born.c) are handed on as they are.
 *
 * Tasks that became due one after the other lie side by side in the index of
 * those that are pending: one read brings nearly all of them, and what it does
 * not bring is read by its id. */
/* SPDX-License-Identifier: MIT */
#include "base/alloc.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "doc/doc.h"
#include "feed/outbox_internal.h"

#include <string.h>

enum {
    BATCH_MAX = 128,
    AHEAD = 8,           /* Tasks claimed ahead for each thread, at most. */
    AHEAD_MAX = 512,     /* At a stop they are given back in one list. */
    FIND_FROM = 4,       /* So many are looked for in the index. */
    FIND_MORE = 64,      /* The index may bring so many that are not wanted. */
    FIND_BEFORE_MS = 50, /* A task is a little older than the row that told of it. */
    LOOK_MS = 500,       /* So often the wall clock is looked at: it may jump. */
    FOREIGN_MS = 200,    /* So often a task that another node holds. */
    SWEEP_PAGES = 10,    /* Of the oldest that are pending. */
    CLAIM_MS = 1000,     /* For a claim: what is locked must not hold up the rest. */
    LOCKED_MS = 2000,    /* After one that is locked. */
    UNKNOWN_TYPE_MS = 30000
};

struct batch {
    struct pk_entry *entry[BATCH_MAX];
    struct pk_doc *doc[BATCH_MAX]; /* References; NULL: there is none. */
    struct pk_job *job[BATCH_MAX]; /* Of those to be claimed, or born so; else NULL. */
    size_t count;
};

static int64_t now_ms(const struct pk_outbox *outbox)
{
    return pk_clock_wall_ms(pk_outbox_books(outbox)->clock);
}

static int64_t store_deadline(const struct pk_outbox *outbox)
{
    return pk_deadline_in_ms(pk_outbox_books(outbox)->clock, PK_OUTBOX_STORE_MS);
}

/* ---- Whose task it is ---- */

/* In progress at a node that may still be at it. */
static bool is_foreign(const struct pk_outbox *outbox, const struct pk_doc *task)
{
    const char *status = pk_doc_text(task, "status");
    const char *owner = pk_doc_text(task, "leaseOwner");
    return !outbox->is_alone && status && strcmp(status, "in_progress") == 0 && owner &&
           strcmp(owner, pk_outbox_books(outbox)->node) != 0 &&
           pk_doc_date(task, "leaseUntil", 0) > now_ms(outbox);
}

static bool is_pending(const struct pk_doc *task)
{
    const char *status = pk_doc_text(task, "status");
    return status && strcmp(status, "pending") == 0;
}

static struct pk_entry_new entry_of(const struct pk_outbox *outbox, const struct pk_doc *task)
{
    const int64_t created_ms = pk_doc_date(task, "createdAt", 0);
    int64_t wake_ms = is_pending(task) ? pk_doc_date(task, "runAfter", 0) : 0;
    if (is_foreign(outbox, task)) {
        wake_ms = now_ms(outbox) + FOREIGN_MS;
    }
    return (struct pk_entry_new){
        .id = pk_doc_id(task),
        .person = pk_doc_text(task, "userId"),
        .created_ms = created_ms,
        .wake_ms = wake_ms,
        .is_apart = is_pending(task) && pk_doc_int(task, "attempts", 0) == 0,
        .is_inserted = true,
    };
}

/* ---- Looking through the store ---- */

static void learn_page(struct pk_outbox *outbox, const struct pk_page *page)
{
    (void)pthread_mutex_lock(&outbox->lock);
    for (size_t i = 0; i < page->count; i++) {
        const struct pk_entry_new made = entry_of(outbox, page->doc[i]);
        if (!pk_lines_find(&outbox->lines, made.id)) {
            (void)pk_lines_add(&outbox->lines, &made, now_ms(outbox));
        }
    }
    (void)pthread_mutex_unlock(&outbox->lock);
}

/* All tasks of a status, the oldest first, in at most so many pages. */
static bool learn(struct pk_outbox *outbox, const char *status, size_t pages, struct pk_error *err)
{
    char *cursor = NULL;
    bool ok = true;
    for (size_t i = 0; ok && i < pages && (i == 0 || cursor) && !outbox->is_stopping; i++) {
        PK_CLEANUP(pk_page_done) struct pk_page page = { 0 };
        ok = pk_store_find(pk_outbox_books(outbox)->store,
                           &(struct pk_query){ .collection = "outbox",
                                               .index = "by_status",
                                               .equal = { PK_TEXT(status) },
                                               .equal_count = 1,
                                               .limit = PK_PAGE_MAX,
                                               .cursor = cursor },
                           store_deadline(outbox), &page, err);
        pk_free(cursor);
        cursor = ok && page.next ? pk_strdup(page.next) : NULL;
        learn_page(outbox, &page);
    }
    pk_free(cursor);
    return ok;
}

/* Under the lock, which it leaves meanwhile. First those that are pending: while it looks, another
 * node may claim one, which is then found among those in progress. */
static void load(struct pk_outbox *outbox)
{
    struct pk_error err = { 0 };
    const uint64_t gaps = outbox->gaps;
    (void)pthread_mutex_unlock(&outbox->lock);
    const bool ok =
        learn(outbox, "pending", SIZE_MAX, &err) && learn(outbox, "in_progress", SIZE_MAX, &err);
    if (!ok) {
        pk_log_warn(outbox->options.log, "tasks not read; it is tried again", PK_ERR(&err));
    }
    (void)pthread_mutex_lock(&outbox->lock);
    outbox->is_loaded = ok && outbox->gaps == gaps;
    if (outbox->is_loaded) {
        pk_outbox_add_new(outbox);
    } else if (!outbox->is_stopping) {
        pk_outbox_doze(outbox, PK_OUTBOX_PAUSE_MS);
    }
}

/* Under the lock, which it leaves meanwhile: leases of nodes that have died, what nobody told of,
 * and who has waited too long. */
static void sweep(struct pk_outbox *outbox)
{
    const struct pk_clock *clock = pk_outbox_books(outbox)->clock;
    struct pk_error err = { 0 };
    outbox->sweep_ns = pk_deadline_in_ms(pk_clock_system(), outbox->options.sweep_ms);
    pk_waits_expire(&outbox->waits, pk_clock_mono_ns(clock));
    pk_born_forget(outbox);
    pk_outbox_unlock(outbox);
    if (!learn(outbox, "in_progress", outbox->is_alone ? SWEEP_PAGES : SIZE_MAX, &err) ||
        !learn(outbox, "pending", SWEEP_PAGES, &err)) {
        pk_log_warn(outbox->options.log, "tasks not swept; it is tried again", PK_ERR(&err));
    }
    (void)pthread_mutex_lock(&outbox->lock);
}

/* ---- Reading what is due ---- */

/* Under the lock. */
static void take_batch(struct pk_outbox *outbox, struct batch *batch, size_t max)
{
    batch->count = 0;
    while (batch->count < max && batch->count < BATCH_MAX) {
        struct pk_entry *entry = pk_lines_take(&outbox->lines);
        if (!entry) {
            break;
        }
        batch->doc[batch->count] = pk_born_doc(outbox, entry->id);
        batch->job[batch->count] = NULL;
        batch->entry[batch->count++] = entry;
    }
}

static bool find_docs(struct pk_outbox *outbox, struct batch *batch, struct pk_error *err)
{
    PK_CLEANUP(pk_page_done) struct pk_page page = { 0 };
    int64_t first_ms = INT64_MAX;
    for (size_t i = 0; i < batch->count; i++) {
        if (!batch->doc[i] && batch->entry[i]->created_ms < first_ms) {
            first_ms = batch->entry[i]->created_ms;
        }
    }
    if (!pk_store_find(pk_outbox_books(outbox)->store,
                       &(struct pk_query){
                           .collection = "outbox",
                           .index = "by_status",
                           .equal = { PK_TEXT("pending") },
                           .equal_count = 1,
                           .min = { .is_set = true, .value = PK_DATE(first_ms - FIND_BEFORE_MS) },
                           .limit = batch->count + FIND_MORE },
                       store_deadline(outbox), &page, err)) {
        return false;
    }
    for (size_t i = 0, at = 0; i < page.count && batch->count > 0; i++) {
        const char *id = pk_doc_id(page.doc[i]);
        /* Both are nearly in the same order: 'at' goes round, and seldom far. */
        for (size_t tries = 0; tries < batch->count; tries++, at = (at + 1) % batch->count) {
            if (!batch->doc[at] && memcmp(batch->entry[at]->id, id, 8) == 0 &&
                strcmp(batch->entry[at]->id, id) == 0) {
                batch->doc[at] = pk_doc_ref(page.doc[i]);
                break;
            }
        }
    }
    return true;
}

static bool read_docs(struct pk_outbox *outbox, struct batch *batch, struct pk_error *err)
{
    size_t missing = 0;
    for (size_t i = 0; i < batch->count; i++) {
        missing += !batch->doc[i];
    }
    if (missing >= FIND_FROM && !find_docs(outbox, batch, err)) {
        return false;
    }
    for (size_t i = 0; i < batch->count; i++) {
        if (!batch->doc[i] &&
            !pk_store_get(pk_outbox_books(outbox)->store, "outbox", batch->entry[i]->id,
                          store_deadline(outbox), &batch->doc[i], err)) {
            return false;
        }
    }
    return true;
}

/* ---- What becomes of each ---- */

static const struct pk_task_type *type_of(const struct pk_outbox *outbox, const struct pk_doc *task)
{
    const char *name = pk_doc_text(task, "taskType");
    const struct pk_task_type *type = outbox->options.type;
    while (type->name && !(name && strcmp(type->name, name) == 0)) {
        type++;
    }
    return type->name ? type : NULL;
}

/* The row that told of it named another person than the task does. */
static bool is_misplaced(const struct pk_entry *entry, const struct pk_doc *task)
{
    const char *person = pk_doc_text(task, "userId");
    const char *known = pk_entry_person(entry);
    return person && known ? strcmp(person, known) != 0 : person != known;
}

/* Whoever waits for the person need not wait for this one any more. */
static void excuse(struct pk_outbox *outbox, const struct pk_entry *entry)
{
    const char *person = pk_entry_person(entry);
    if (person && entry->is_in_line) {
        pk_waits_end(&outbox->waits, person, entry->number);
    }
}

/* Under the lock. True: it is to be claimed. */
static bool sort_one(struct pk_outbox *outbox, struct pk_entry *entry, const struct pk_doc *task)
{
    const int64_t at_ms = now_ms(outbox);
    if (!task || !pk_task_is_open(task)) {
        pk_outbox_end(outbox, entry);
        return false;
    }
    const int64_t run_ms = is_pending(task) ? pk_doc_date(task, "runAfter", 0) : 0;
    if (is_misplaced(entry, task)) {
        const struct pk_entry_new made = entry_of(outbox, task);
        excuse(outbox, entry);
        pk_lines_end(&outbox->lines, entry, at_ms);
        (void)pk_lines_add(&outbox->lines, &made, at_ms);
    } else if (is_foreign(outbox, task)) {
        pk_lines_rest(&outbox->lines, entry, at_ms + FOREIGN_MS, at_ms);
    } else if (run_ms > at_ms && pk_doc_int(task, "attempts", 0) == 0) {
        excuse(outbox, entry); /* Until it is due for the first time it holds nobody up. */
        pk_lines_leave(&outbox->lines, entry, run_ms, at_ms);
    } else if (run_ms > at_ms) {
        pk_lines_rest(&outbox->lines, entry, run_ms, at_ms);
    } else if (!type_of(outbox, task)) {
        pk_log_warn(outbox->options.log, "no task of this type is known here",
                    PK_STR("type", pk_doc_text(task, "taskType")), PK_STR("task", entry->id));
        pk_lines_rest(&outbox->lines, entry, at_ms + UNKNOWN_TYPE_MS, at_ms);
    } else {
        return true;
    }
    return false;
}

/* Under the lock. False: so many of its type are at work already; one of them will bring it back.
 */
static bool take_place(struct pk_outbox *outbox, struct pk_entry *entry,
                       const struct pk_task_type *type)
{
    struct pk_type_state *state = &outbox->type_state[type - outbox->options.type];
    if (state->running >= type->running_max) {
        pk_entries_add(&state->parked, entry);
        return false;
    }
    state->running++;
    return true;
}

/* Under the lock. */
static struct pk_job *new_job(struct pk_outbox *outbox, struct pk_entry *entry, struct pk_doc *task,
                              const struct pk_task_type *type)
{
    struct pk_job *job = pk_job_new(outbox, entry, task, type);
    job->is_born = pk_born_take(outbox, task, &job->deadline_ns);
    if (job->is_born) {
        job->version = pk_doc_version(task);
        job->attempt = pk_doc_int(task, "attempts", 1);
    } else {
        outbox->stats.lost += !is_pending(task);
    }
    return job;
}

/* Under the lock: what is not to be claimed goes where it belongs. */
static void sort_batch(struct pk_outbox *outbox, struct batch *batch)
{
    for (size_t i = 0; i < batch->count; i++) {
        const struct pk_task_type *type = batch->doc[i] ? type_of(outbox, batch->doc[i]) : NULL;
        if (sort_one(outbox, batch->entry[i], batch->doc[i]) &&
            take_place(outbox, batch->entry[i], type)) {
            batch->job[i] = new_job(outbox, batch->entry[i], batch->doc[i], type);
        }
    }
}

/* ---- Claiming ---- */

/* Replaces the job's document by the one that says whose it is. */
static void add_claim(struct pk_outbox *outbox, struct pk_job *job, struct pk_writes *list)
{
    const int64_t at_ms = now_ms(outbox);
    const int64_t version = pk_doc_version(job->doc);
    const struct pk_task_change change = { .status = "in_progress",
                                           .owner = pk_outbox_books(outbox)->node,
                                           .attempts = job->attempt,
                                           .lease_until_ms = at_ms + job->type->lease_ms,
                                           .progress = -1 };
    PK_CLEANUP(pk_doc_unrefp)
    struct pk_doc *claimed = pk_task_change(job->doc, &change, at_ms);
    job->deadline_ns = pk_deadline_in_ms(pk_outbox_books(outbox)->clock, job->type->lease_ms);
    pk_writes_replace(list, "outbox", claimed, version);
}

/* Under the lock. It is looked at again: at once, or when the store has had time to come back. */
static void drop_job(struct pk_outbox *outbox, struct pk_job *job, int64_t wait_ms)
{
    struct pk_entry *entry = job->entry;
    pk_job_leave_type(outbox, job);
    pk_lines_rest(&outbox->lines, entry, now_ms(outbox) + wait_ms, now_ms(outbox));
    pk_job_free(job);
}

/* They are looked at again: at once, or when the store has had time to come back. */
static void drop_all(struct pk_outbox *outbox, struct pk_job **job, size_t count, int64_t wait_ms)
{
    (void)pthread_mutex_lock(&outbox->lock);
    for (size_t i = 0; i < count; i++) {
        drop_job(outbox, job[i], wait_ms);
    }
    pk_outbox_unlock(outbox);
}

/* Behind the claims, whose places in the list are those of the jobs. */
static void tell_started(struct pk_job **job, size_t count, struct pk_writes *list)
{
    for (size_t i = 0; i < count; i++) {
        if (job[i]->type->started && job[i]->attempt == 1) {
            job[i]->type->started(job[i]->type->context, job[i]->doc, list);
        }
    }
}

/* Commits the claims of 'job' in one list. */
static bool commit_list(struct pk_outbox *outbox, struct pk_job **job, size_t count,
                        struct pk_commit *commit, struct pk_error *err)
{
    PK_CLEANUP(pk_writes_done) struct pk_writes list = { 0 };
    for (size_t i = 0; i < count; i++) {
        add_claim(outbox, job[i], &list);
    }
    tell_started(job, count, &list);
    if (!pk_store_commit(pk_outbox_books(outbox)->store, &list,
                         pk_deadline_in_ms(pk_outbox_books(outbox)->clock, CLAIM_MS), commit,
                         err)) {
        return false;
    }
    for (size_t i = 0; i < count; i++) {
        pk_job_claimed(job[i], list.write[i].doc, list.write[i].version);
    }
    return true;
}

/* Under the lock. */
static void hand_on(struct pk_outbox *outbox, struct pk_job **job, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        job[i]->next = NULL;
        *outbox->ready_end = job[i];
        outbox->ready_end = &job[i]->next;
        outbox->ready_count++;
    }
    if (count > 0) {
        pk_outbox_wake_worker(outbox, outbox->running_count); /* He wakes the next. */
    }
}

/* Claims, and hands on what is claimed. What another one was quicker for is dropped, and the rest
 * sent again. A list that came to nothing in its time has perhaps one task that is locked, by a
 * transaction that a dead node has left open on MongoDB: each half goes alone. */
static void claim_list(struct pk_outbox *outbox, struct pk_job **job, size_t count)
{
    while (count > 0) {
        struct pk_error err = { 0 };
        struct pk_commit commit = { .conflict_write = -1 };
        if (commit_list(outbox, job, count, &commit, &err)) {
            (void)pthread_mutex_lock(&outbox->lock);
            hand_on(outbox, job, count);
            pk_outbox_unlock(outbox);
            return;
        }
        const size_t at = (size_t)commit.conflict_write;
        if (err.code == PK_CONFLICT && commit.conflict_write >= 0 && at < count) {
            drop_all(outbox, &job[at], 1, 0);
            memmove(&job[at], &job[at + 1], (--count - at) * sizeof(struct pk_job *));
        } else if (err.code == PK_BUSY && count > 1) {
            claim_list(outbox, job, count / 2);
            claim_list(outbox, job + count / 2, count - count / 2);
            return;
        } else {
            pk_log_warn(outbox->options.log, "tasks not claimed; it is tried again", PK_ERR(&err),
                        PK_NUM("tasks", count));
            drop_all(outbox, job, count, err.code == PK_BUSY ? LOCKED_MS : PK_OUTBOX_PAUSE_MS);
            return;
        }
    }
}

/* Those of the batch's jobs that were born claimed, or were not. */
static size_t pick_jobs(const struct batch *batch, bool is_born, struct pk_job **out)
{
    size_t count = 0;
    for (size_t i = 0; i < batch->count; i++) {
        if (batch->job[i] && batch->job[i]->is_born == is_born) {
            out[count++] = batch->job[i];
        }
    }
    return count;
}

/* Under the lock, which it leaves. */
static void claim_jobs(struct pk_outbox *outbox, struct batch *batch)
{
    struct pk_job *job[BATCH_MAX], *born[BATCH_MAX];
    const size_t born_count = pick_jobs(batch, true, born);
    const size_t count = pick_jobs(batch, false, job); /* Before those who are born may end. */
    hand_on(outbox, born, born_count);
    pk_outbox_unlock(outbox);
    claim_list(outbox, job, count);
}

/* Under the lock: nobody could be asked what becomes of them. */
static void put_back(struct pk_outbox *outbox, struct batch *batch)
{
    for (size_t i = 0; i < batch->count; i++) {
        pk_lines_rest(&outbox->lines, batch->entry[i], now_ms(outbox) + PK_OUTBOX_PAUSE_MS,
                      now_ms(outbox));
    }
}

/* Under the lock, which it leaves meanwhile. */
static void claim(struct pk_outbox *outbox, size_t max)
{
    struct batch batch;
    struct pk_error err = { 0 };
    take_batch(outbox, &batch, max);
    pk_outbox_unlock(outbox);
    const bool ok = batch.count == 0 || read_docs(outbox, &batch, &err);
    if (!ok) {
        pk_log_warn(outbox->options.log, "tasks not read; it is tried again", PK_ERR(&err));
    }
    (void)pthread_mutex_lock(&outbox->lock);
    if (ok) {
        sort_batch(outbox, &batch);
        claim_jobs(outbox, &batch);
    } else {
        put_back(outbox, &batch);
        pk_outbox_unlock(outbox);
    }
    for (size_t i = 0; i < batch.count; i++) {
        pk_doc_unref(batch.doc[i]);
    }
    (void)pthread_mutex_lock(&outbox->lock);
}

/* ---- The thread ---- */

/* Under the lock. How many may be claimed now; 0: enough are. */
static size_t room(const struct pk_outbox *outbox)
{
    const size_t wanted = outbox->options.threads * (outbox->is_slow ? 1 : AHEAD);
    const size_t ahead = wanted < AHEAD_MAX ? wanted : AHEAD_MAX;
    return outbox->ready_count <= ahead / 2 ? ahead - outbox->ready_count : 0;
}

void *pk_outbox_run_dispatcher(void *context)
{
    struct pk_outbox *outbox = context;
    outbox->sweep_ns = pk_deadline_in_ms(pk_clock_system(), outbox->options.sweep_ms);
    (void)pthread_mutex_lock(&outbox->lock);
    while (!outbox->is_stopping) {
        const int64_t wake_ms = pk_lines_tick(&outbox->lines, now_ms(outbox));
        const size_t max = room(outbox);
        if (!outbox->is_loaded) {
            load(outbox);
        } else if (pk_deadline_passed(pk_clock_system(), outbox->sweep_ns)) {
            sweep(outbox);
        } else if (max > 0 && outbox->lines.due.first) {
            claim(outbox, max);
        } else {
            pk_outbox_wake_worker(outbox, outbox->running_count); /* It may be quiet by now. */
            const int64_t left_ms = wake_ms == INT64_MAX ? LOOK_MS : wake_ms - now_ms(outbox);
            pk_outbox_doze(outbox, left_ms < 1 ? 1 : left_ms > LOOK_MS ? LOOK_MS : left_ms);
        }
    }
    (void)pthread_mutex_unlock(&outbox->lock);
    return NULL;
}
