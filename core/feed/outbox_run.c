/* outbox_run.c - The workers: one task from its claim to its end.
 *
 *     handler ──list──▶ + the task's end, at the version of its lease ──▶ one commit
 *
 *     committed           it has ended, or waits for its next attempt
 *     conflict, the end   the lease is lost: another one works on it, or it was discarded
 *     conflict, another   something that the handler has read has changed: it decides again
 *     unknown             the task is read: either it has ended, or all of it is done again
 *     not now             again in a moment, for as long as the lease lasts
 *     refused             the attempt has failed, as if the handler had said so
 *
 * A failed attempt is committed in the same way, alone or, when it was the
 * last, with what the type's 'failed' adds. What cannot be committed before
 * the lease is over is left: whoever claims it next begins anew. */
/* SPDX-License-Identifier: MIT */
#include "base/alloc.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/crypto.h"
#include "base/error.h"
#include "base/log.h"
#include "base/text.h"
#include "doc/doc.h"
#include "feed/outbox_internal.h"

#include <stdio.h>
#include <string.h>

enum { PAUSE_MS = 20, SLOW_NS = 1000000000, DECIDE_FAST = 20 };

enum outcome {
    OUTCOME_DONE,
    OUTCOME_FAILED,
    OUTCOME_AGAIN, /* It waits for its next attempt. */
    OUTCOME_LOST,
    OUTCOME_LEFT
};
/* What a commit has come to. */
enum verdict { VERDICT_DONE, VERDICT_DECIDE, VERDICT_LOST, VERDICT_LEFT, VERDICT_REFUSED };

/* A job at work, on its worker's stack. */
struct duty {
    struct pk_task task; /* First: what its handler holds. */
    struct pk_job *job;
};
struct ending {
    enum outcome outcome;
    int64_t run_after_ms; /* AGAIN, LEFT: wall. */
};

/* ---- Jobs ---- */

struct pk_job *pk_job_new(struct pk_outbox *outbox, struct pk_entry *entry, struct pk_doc *task,
                          const struct pk_task_type *type)
{
    struct pk_job *job = pk_calloc(1, sizeof(*job));
    job->entry = entry;
    job->type = type;
    job->state = &outbox->type_state[type - outbox->options.type];
    job->doc = pk_doc_ref(task);
    job->attempt = pk_doc_int(task, "attempts", 0) + 1;
    return job;
}

void pk_job_free(struct pk_job *job)
{
    pk_doc_unref(job->doc);
    pk_free(job);
}

void pk_job_claimed(struct pk_job *job, struct pk_doc *task, int64_t version)
{
    pk_doc_unref(job->doc);
    job->doc = pk_doc_ref(task);
    job->version = version;
}

void pk_job_leave_type(struct pk_outbox *outbox, struct pk_job *job)
{
    const int64_t now_ms = pk_clock_wall_ms(pk_outbox_books(outbox)->clock);
    struct pk_entry *parked = pk_entries_take(&job->state->parked);
    job->state->running--;
    if (parked) {
        pk_lines_rest(&outbox->lines, parked, 0, now_ms);
        pk_outbox_stir(outbox);
    }
}

/* ---- Committing ---- */

static const struct pk_books *books_of(const struct duty *duty)
{
    return pk_outbox_books(duty->task.outbox);
}

static int64_t wall_ms(const struct duty *duty)
{
    return pk_clock_wall_ms(books_of(duty)->clock);
}

static bool is_over(const struct duty *duty)
{
    return pk_deadline_passed(books_of(duty)->clock, duty->task.deadline_ns);
}

/* A moment that a stop cuts short. */
static void pause_ms(struct pk_outbox *outbox, int64_t ms)
{
    const int64_t until_ns = pk_deadline_in_ms(pk_clock_system(), ms);
    const struct timespec step = { .tv_nsec = 5 * 1000000 };
    while (!outbox->is_stopping && !pk_deadline_passed(pk_clock_system(), until_ns)) {
        (void)nanosleep(&step, NULL);
    }
}

/* Nobody knows what came of the commit, or which of its writes objected. */
static enum verdict look_again(struct duty *duty)
{
    struct pk_error err = { 0 };
    while (!is_over(duty) && !duty->task.outbox->is_stopping) {
        PK_CLEANUP(pk_doc_unrefp) struct pk_doc *task = NULL;
        if (pk_store_get(books_of(duty)->store, "outbox", duty->task.id,
                         pk_deadline_in_ms(books_of(duty)->clock, PK_OUTBOX_STORE_MS), &task,
                         &err)) {
            if (task && pk_doc_version(task) == duty->job->version) {
                return VERDICT_DECIDE;
            }
            return VERDICT_LOST; /* By our own commit perhaps: who reads it next sees. */
        }
        pause_ms(duty->task.outbox, PK_OUTBOX_PAUSE_MS);
    }
    return VERDICT_LEFT;
}

/* Commits 'list' and the task as 'change' makes it, which comes last. */
static enum verdict commit_with(struct duty *duty, struct pk_writes *list,
                                const struct pk_task_change *change, struct pk_error *err)
{
    struct pk_commit commit = { .conflict_write = -1 };
    const int last = (int)list->count;
    PK_CLEANUP(pk_doc_unrefp)
    struct pk_doc *task = pk_task_change(duty->job->doc, change, wall_ms(duty));
    pk_writes_replace(list, "outbox", task, duty->job->version);
    if (pk_store_commit(books_of(duty)->store, list,
                        pk_deadline_in_ms(books_of(duty)->clock, PK_OUTBOX_STORE_MS), &commit,
                        err)) {
        return VERDICT_DONE;
    }
    if (err->code == PK_UNKNOWN || (err->code == PK_CONFLICT && commit.conflict_write < 0)) {
        return look_again(duty);
    }
    if (err->code == PK_CONFLICT) {
        return commit.conflict_write == last ? VERDICT_LOST : VERDICT_DECIDE;
    }
    if (err->code != PK_BUSY && err->code != PK_UNAVAILABLE && err->code != PK_TIMEOUT &&
        err->code != PK_FULL) {
        return VERDICT_REFUSED;
    }
    pause_ms(duty->task.outbox, PK_OUTBOX_PAUSE_MS);
    return VERDICT_DECIDE;
}

/* ---- An attempt that has failed ---- */

/* Sending it again cannot help. */
static bool is_final(enum pk_code code)
{
    static const enum pk_code final[] = { PK_INVALID,   PK_NOT_FOUND,   PK_FORBIDDEN,
                                          PK_TOO_LARGE, PK_UNSUPPORTED, PK_REFUSED };
    for (size_t i = 0; i < PK_COUNT(final); i++) {
        if (final[i] == code) {
            return true;
        }
    }
    return false;
}

/* From half of it to one and a half: those who failed together do not come back together. */
static int64_t backoff_ms(const struct pk_outbox_options *options, int64_t attempt)
{
    int64_t ms = options->backoff_ms;
    for (int64_t i = 1; i < attempt && ms < options->backoff_max_ms; i++) {
        ms *= 2;
    }
    ms = ms < options->backoff_max_ms ? ms : options->backoff_max_ms;
    return ms / 2 + (int64_t)(pk_random_u64() % (uint64_t)(ms + 1));
}

static void describe(const struct pk_error *err, struct pk_buf *out)
{
    pk_buf_add_text(out, pk_code_name(err->code));
    pk_buf_add_text(out, ": ");
    pk_text_clean(out, err->message, strlen(err->message));
    if (err->hint) {
        pk_buf_add_text(out, "; ");
        pk_buf_add_text(out, err->hint);
    }
}

/* What the last attempt leaves behind; a hook that fails itself leaves only the failure. */
static void fill_failed(struct duty *duty, const struct pk_error *why, struct pk_writes *list,
                        bool *is_hooked)
{
    const struct pk_task_type *type = duty->job->type;
    struct pk_error err = { 0 };
    pk_writes_clear(list);
    if (*is_hooked && type->failed && !type->failed(type->context, &duty->task, why, list, &err)) {
        pk_log_error(duty->task.outbox->options.log, "what follows a task's failure has failed",
                     PK_STR("task", duty->task.id), PK_STR("type", type->name), PK_ERR(&err));
        pk_writes_clear(list);
        *is_hooked = false;
    }
    pk_task_tell(list, books_of(duty), duty->job->doc, "task.failed", "endedTaskId");
}

static struct ending left(const struct duty *duty)
{
    return (struct ending){ OUTCOME_LEFT, wall_ms(duty) + PK_OUTBOX_PAUSE_MS };
}

/* What is tried first is tried whatever the time is; not again when the lease is over or the
 * server stops. */
static bool may_try(const struct duty *duty, int tries)
{
    return tries == 0 || !(is_over(duty) || duty->task.outbox->is_stopping);
}

/* Back to its line: for its next attempt, or, when the server stops, as if this one had not been.
 */
static struct ending put_off(struct duty *duty, const char *why)
{
    PK_CLEANUP(pk_writes_done) struct pk_writes list = { 0 };
    const bool is_stopped = duty->task.outbox->is_stopping;
    const int64_t after_ms =
        wall_ms(duty) + backoff_ms(&duty->task.outbox->options, duty->task.attempt);
    const struct pk_task_change change = { .status = "pending",
                                           .error = is_stopped ? NULL : why,
                                           .attempts = is_stopped ? duty->task.attempt - 1 : -1,
                                           .run_after_ms = is_stopped ? 0 : after_ms,
                                           .progress = -1 };
    for (int tries = 0; may_try(duty, tries); tries++) {
        struct pk_error err = { 0 };
        pk_writes_clear(&list);
        switch (commit_with(duty, &list, &change, &err)) {
        case VERDICT_DONE:
            return (struct ending){ OUTCOME_AGAIN, after_ms };
        case VERDICT_LOST:
            return (struct ending){ .outcome = OUTCOME_LOST };
        case VERDICT_LEFT:
        case VERDICT_REFUSED:
            return left(duty);
        case VERDICT_DECIDE:
            break;
        }
    }
    return left(duty);
}

static struct ending give_up(struct duty *duty, const struct pk_error *why, const char *text)
{
    PK_CLEANUP(pk_writes_done) struct pk_writes list = { 0 };
    bool is_hooked = true;
    for (int tries = 0; may_try(duty, tries); tries++) {
        const int64_t now_ms = wall_ms(duty);
        const struct pk_task_change change = { .status = "failed",
                                               .error = text,
                                               .attempts = -1,
                                               .completed_ms = now_ms,
                                               .progress = -1 };
        struct pk_error err = { 0 };
        fill_failed(duty, why, &list, &is_hooked);
        switch (commit_with(duty, &list, &change, &err)) {
        case VERDICT_DONE:
            return (struct ending){ .outcome = OUTCOME_FAILED };
        case VERDICT_LOST:
            return (struct ending){ .outcome = OUTCOME_LOST };
        case VERDICT_LEFT:
            return left(duty);
        case VERDICT_REFUSED: /* By what the hook wants: it is left out. */
            if (!is_hooked) {
                return left(duty);
            }
            is_hooked = false;
            break;
        case VERDICT_DECIDE:
            break;
        }
    }
    return left(duty);
}

static struct ending fail(struct duty *duty, const struct pk_error *why)
{
    PK_CLEANUP(pk_buf_done) struct pk_buf text = { 0 };
    const bool is_last =
        is_final(why->code) ||
        (!duty->task.outbox->is_stopping && duty->task.attempt >= duty->job->type->attempts_max);
    describe(why, &text);
    pk_log_warn(duty->task.outbox->options.log, "a task's attempt has failed",
                PK_STR("task", duty->task.id), PK_STR("type", duty->job->type->name),
                PK_NUM("attempt", duty->task.attempt), PK_FLAG("last", is_last), PK_ERR(why));
    return is_last ? give_up(duty, why, pk_buf_text(&text)) : put_off(duty, pk_buf_text(&text));
}

/* ---- An attempt ---- */

static struct ending attempt(struct duty *duty)
{
    PK_CLEANUP(pk_writes_done) struct pk_writes list = { 0 };
    const struct pk_task_type *type = duty->job->type;
    for (int tries = 0; may_try(duty, tries); tries++) {
        struct pk_error err = { 0 };
        pk_writes_clear(&list);
        duty->task.tries = (unsigned)tries;
        if (!type->run(type->context, &duty->task, &list, &err)) {
            return fail(duty, &err);
        }
        const int64_t now_ms = wall_ms(duty);
        const struct pk_task_change change = {
            .status = "done",
            .attempts = -1,
            .completed_ms = now_ms,
            .expires_ms = now_ms + duty->task.outbox->options.keep_ms,
            .progress = pk_doc_number(duty->job->doc, "progress", -1) >= 0 ? 1 : -1,
        };
        switch (commit_with(duty, &list, &change, &err)) {
        case VERDICT_DONE:
            return (struct ending){ .outcome = OUTCOME_DONE };
        case VERDICT_LOST:
            return (struct ending){ .outcome = OUTCOME_LOST };
        case VERDICT_LEFT:
            return left(duty);
        case VERDICT_REFUSED:
            return fail(duty, &err);
        case VERDICT_DECIDE:
            if (tries >= DECIDE_FAST) { /* Somebody else is quicker every time. */
                pause_ms(duty->task.outbox, PAUSE_MS);
            }
            break;
        }
    }
    return left(duty);
}

/* ---- Leases ---- */

/* A whole lease from now on; 'progress' below 0: as it was. */
static bool renew(struct duty *duty, double progress, struct pk_error *err)
{
    const struct pk_books *books = books_of(duty);
    const int64_t now_ms = wall_ms(duty);
    const struct pk_task_change change = { .status = "in_progress",
                                           .owner = books->node,
                                           .attempts = -1,
                                           .lease_until_ms = now_ms + duty->job->type->lease_ms,
                                           .progress = progress > 1 ? 1 : progress };
    PK_CLEANUP(pk_writes_done) struct pk_writes list = { 0 };
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *doc = pk_task_change(duty->job->doc, &change, now_ms);
    pk_writes_replace(&list, "outbox", doc, duty->job->version);
    if (!pk_store_commit(books->store, &list, pk_deadline_in_ms(books->clock, PK_OUTBOX_STORE_MS),
                         NULL, err)) {
        return pk_wrap(err, "keep the lease of the task");
    }
    duty->task.deadline_ns = pk_deadline_in_ms(books->clock, duty->job->type->lease_ms);
    pk_job_claimed(duty->job, doc, list.write[0].version);
    return true;
}

bool pk_task_progress(const struct pk_task *task, double progress, struct pk_error *err)
{
    struct duty *duty = (struct duty *)(uintptr_t)task; /* Its first member. */
    return renew(duty, progress < 0 ? 0 : progress, err);
}

bool pk_task_should_stop(const struct pk_task *task)
{
    return task->outbox->is_stopping;
}

static void begin(struct pk_outbox *outbox, struct pk_job *job, struct duty *out)
{
    bson_t view;
    bson_iter_t iter;
    uint32_t size = 0;
    const uint8_t *data = NULL;
    out->job = job;
    out->task = (struct pk_task){ .outbox = outbox,
                                  .doc = pk_doc_ref(job->doc),
                                  .id = job->entry->id,
                                  .type = job->type->name,
                                  .person = pk_entry_person(job->entry),
                                  .attempt = job->attempt,
                                  .deadline_ns = job->deadline_ns };
    bson_init(&out->task.payload);
    pk_doc_view(job->doc, &view);
    if (bson_iter_init_find(&iter, &view, "payload") && BSON_ITER_HOLDS_DOCUMENT(&iter)) {
        bson_iter_document(&iter, &size, &data);
        (void)bson_init_static(&out->task.payload, data, size);
    }
}

/* Claimed, and now begun. */
static struct ending carry_out(struct duty *duty)
{
    const int64_t left_ms =
        pk_deadline_left_ms(books_of(duty)->clock, duty->task.deadline_ns, INT64_MAX);
    const int64_t lease_ms =
        duty->job->is_born ? pk_born_lease_ms(duty->job->type) : duty->job->type->lease_ms;
    struct pk_error err = { 0 };
    if (left_ms < lease_ms / 2 && !renew(duty, -1, &err)) { /* It waited long. */
        return err.code == PK_CONFLICT ? (struct ending){ .outcome = OUTCOME_LOST } : left(duty);
    }
    if (duty->task.attempt > duty->job->type->attempts_max) {
        (void)pk_fail(&err, PK_INTERNAL, "look at what the server logged before it ended",
                      "the server ended each of the %u times that it was begun",
                      duty->job->type->attempts_max);
        return fail(duty, &err);
    }
    return attempt(duty);
}

static struct ending run(struct pk_outbox *outbox, struct pk_job *job)
{
    struct duty duty;
    begin(outbox, job, &duty);
    const struct ending ending = carry_out(&duty);
    pk_doc_unref(duty.task.doc);
    return ending;
}

/* ---- The thread ---- */

/* Under the lock. */
static void count_done(struct pk_outbox *outbox)
{
    const int64_t now_s = pk_clock_mono_ns(pk_outbox_books(outbox)->clock) / 1000000000;
    const int64_t first = now_s - outbox->done_s > 60 ? now_s - 60 : outbox->done_s;
    for (int64_t s = first + 1; s <= now_s; s++) {
        outbox->done_in[s % 60] = 0;
    }
    outbox->done_s = now_s > outbox->done_s ? now_s : outbox->done_s;
    outbox->done_in[outbox->done_s % 60]++;
    outbox->stats.done++;
}

/* Under the lock. */
static void finish(struct pk_outbox *outbox, struct pk_job *job, const struct ending *ending)
{
    const int64_t now_ms = pk_clock_wall_ms(pk_outbox_books(outbox)->clock);
    pk_job_leave_type(outbox, job);
    switch (ending->outcome) {
    case OUTCOME_DONE:
        count_done(outbox);
        pk_outbox_end(outbox, job->entry);
        break;
    case OUTCOME_FAILED:
        outbox->stats.failed++;
        pk_outbox_end(outbox, job->entry);
        break;
    case OUTCOME_AGAIN:
        outbox->stats.retried++;
        pk_lines_rest(&outbox->lines, job->entry, ending->run_after_ms, now_ms);
        break;
    case OUTCOME_LOST:
        pk_lines_rest(&outbox->lines, job->entry, 0, now_ms);
        break;
    case OUTCOME_LEFT:
        pk_lines_rest(&outbox->lines, job->entry, ending->run_after_ms, now_ms);
        break;
    }
    pk_job_free(job);
}

/* Under the lock. */
static struct pk_job *take_ready(struct pk_outbox *outbox)
{
    struct pk_job *job = outbox->ready;
    outbox->ready = job->next;
    if (!outbox->ready) {
        outbox->ready_end = &outbox->ready;
    }
    outbox->ready_count--;
    return job;
}

/* Under the lock, which it leaves meanwhile. */
static void work(struct pk_outbox *outbox, struct pk_job *job)
{
    outbox->running_count++;
    (void)pthread_mutex_unlock(&outbox->lock);
    const int64_t begun_ns = pk_clock_mono_ns(pk_clock_system());
    const struct ending ending = run(outbox, job);
    const int64_t took_ns = pk_clock_mono_ns(pk_clock_system()) - begun_ns;
    (void)pthread_mutex_lock(&outbox->lock);
    outbox->running_count--;
    outbox->work_ns += (took_ns - outbox->work_ns) / 16;
    outbox->is_slow = outbox->work_ns > SLOW_NS;
    finish(outbox, job, &ending);
    if (outbox->lines.due.first || outbox->lines.heap_count > 0) {
        pk_outbox_stir(outbox);
    }
    pk_outbox_unlock(outbox);
    (void)pthread_mutex_lock(&outbox->lock);
}

/* While new ones come in most workers rest, so that those who send them are served; then all of
 * them work, and more ends share a commit. */
static bool has_place(const struct pk_outbox *outbox, size_t running)
{
    return running < outbox->options.threads ||
           (running < outbox->options.threads_quiet && pk_born_is_quiet(outbox));
}

void pk_outbox_wake_worker(struct pk_outbox *outbox, size_t running)
{
    if (outbox->ready && has_place(outbox, running)) {
        (void)pthread_cond_signal(&outbox->claimed);
    }
}

void *pk_outbox_run_worker(void *context)
{
    struct pk_outbox *outbox = context;
    (void)pthread_mutex_lock(&outbox->lock);
    while (!outbox->is_stopping) {
        if (outbox->ready && has_place(outbox, outbox->running_count)) {
            struct pk_job *job = take_ready(outbox);
            pk_outbox_wake_worker(outbox, outbox->running_count + 1);
            work(outbox, job);
        } else {
            (void)pthread_cond_wait(&outbox->claimed, &outbox->lock);
        }
    }
    (void)pthread_mutex_unlock(&outbox->lock);
    return NULL;
}

/* ---- The stop ---- */

/* As if it had not been claimed. */
static void unclaim(const struct pk_books *books, const struct pk_doc *task, int64_t version,
                    int64_t attempt, struct pk_writes *list)
{
    const struct pk_task_change change = { .status = "pending",
                                           .attempts = attempt - 1,
                                           .progress = -1 };
    PK_CLEANUP(pk_doc_unrefp)
    struct pk_doc *pending = pk_task_change(task, &change, pk_clock_wall_ms(books->clock));
    pk_writes_replace(list, "outbox", pending, version);
}

struct giving {
    const struct pk_books *books;
    struct pk_writes list;
};

static void unclaim_born(void *context, const struct pk_doc *task)
{
    struct giving *giving = context;
    if (giving->list.count < PK_WRITES_MAX) {
        unclaim(giving->books, task, pk_doc_version(task), pk_doc_int(task, "attempts", 1),
                &giving->list);
    }
}

void pk_outbox_give_back(struct pk_outbox *outbox)
{
    const struct pk_books *books = pk_outbox_books(outbox);
    struct giving giving = { .books = books };
    struct pk_error err = { 0 };
    while (outbox->ready) {
        struct pk_job *job = take_ready(outbox);
        unclaim(books, job->doc, job->version, job->attempt, &giving.list);
        pk_job_free(job);
    }
    pk_born_each(outbox, unclaim_born, &giving);
    pk_born_clear(outbox->born);
    struct pk_writes *list = &giving.list;
    if (list->count > 0 &&
        !pk_store_commit(books->store, list, pk_deadline_in_ms(books->clock, 1000), NULL, &err)) {
        pk_log_info(outbox->options.log, "claimed tasks wait until their leases are over",
                    PK_ERR(&err));
    }
    pk_writes_done(list);
}
