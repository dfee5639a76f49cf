/* process.c - The task: read, run, apply, write.
 *
 * One observation is one list of writes: the mindscape with its history, the
 * observation with its place, a row per processor, and what followers are told.
 * The list carries the versions that were read, so of two that change one
 * mindscape at the same time the second conflicts, and is decided again on
 * what the first has made.
 *
 * What is nearly always so is supposed, not read: that no processor has made a
 * row of it yet, and that nobody was asked for consent of whom the mindscape
 * says nothing such. The list expects it; who was wrong conflicts, and reads.
 *
 * A failure writes its row by itself, for the list of the task is not
 * committed then.
 *
 * Thread: the outbox's. */
/* SPDX-License-Identifier: MIT */
#include "persona/process.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "doc/doc.h"
#include "doc/path.h"
#include "doc/peek.h"
#include "persona/consent.h"
#include "persona/mindscape.h"
#include "script/scripts.h"
#include "store/store.h"

#include <stdio.h>
#include <string.h>

/* One observation on its way. */
struct work {
    const struct pk_domain *domain;
    const struct pk_task *task;
    struct pk_doc *observation, *mindscape;
    const char *person;
    struct pk_processed processed[PK_PROCESSORS_MAX];
    size_t count;
    struct pk_consent consent; /* To processing. */
    int64_t began_ns;
    int64_t now_ms; /* Wall, when it began: for all that is written, and for what expires. */
};

static void work_done(struct work *work)
{
    for (size_t i = 0; i < work->count; i++) {
        pk_processed_done(&work->processed[i]);
    }
    pk_doc_unref(work->observation);
    pk_doc_unref(work->mindscape);
}

/* ---- Rows of 'processing' ---- */

enum { ROW_ID = 400 };

static void put_row(bson_t *bson, const struct pk_doc *observation,
                    const struct pk_processed *processed, const char *id, int64_t seq)
{
    const bool is_bad = processed->is_failed || processed->is_skipped;
    BSON_APPEND_UTF8(bson, "_id", id);
    const char *merged_from = pk_doc_text(observation, "mergedFrom");
    BSON_APPEND_UTF8(bson, "userId", pk_doc_text(observation, "userId"));
    if (merged_from) {
        BSON_APPEND_UTF8(bson, "mergedFrom", merged_from);
    }
    BSON_APPEND_UTF8(bson, "obsId", pk_doc_id(observation));
    BSON_APPEND_UTF8(bson, "processorId", processed->processor_id);
    BSON_APPEND_UTF8(bson, "processorVersion", processed->processor_version);
    BSON_APPEND_UTF8(bson, "contentHash", processed->content_hash);
    if (seq > 0) {
        BSON_APPEND_INT64(bson, "seq", seq);
    }
    BSON_APPEND_UTF8(bson, "status", is_bad ? "failed" : "done");
    BSON_APPEND_ARRAY(bson, "answers", &processed->answers);
    if (is_bad) {
        BSON_APPEND_UTF8(bson, "error", processed->error);
    }
    BSON_APPEND_INT64(bson, "durationMs", processed->duration_ms);
}

static struct pk_doc *make_row(const struct pk_doc *observation,
                               const struct pk_processed *processed, const char *id, int64_t seq,
                               int64_t created_ms, int64_t now_ms)
{
    bson_t *bson = bson_new();
    put_row(bson, observation, processed, id, seq);
    BSON_APPEND_DATE_TIME(bson, "createdAt", created_ms);
    BSON_APPEND_DATE_TIME(bson, "updatedAt", now_ms);
    return pk_doc_take(bson);
}

static void name_row(char out[ROW_ID], const struct pk_doc *observation,
                     const struct pk_processed *processed)
{
    (void)snprintf(out, ROW_ID, "%s:%s:%s", pk_doc_id(observation), processed->processor_id,
                   processed->processor_version);
}

bool pk_process_add_row(const struct pk_domain *domain, const struct pk_doc *observation,
                        const struct pk_processed *processed, int64_t seq, int64_t now_ms,
                        int64_t deadline_ns, struct pk_writes *list, struct pk_error *err)
{
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *before = NULL;
    char id[ROW_ID];
    name_row(id, observation, processed);
    if (!pk_store_get(domain->books->store, "processing", id, deadline_ns, &before, err)) {
        return pk_wrap(err, "read what was processed before");
    }
    const int64_t created_ms = before ? pk_doc_date(before, "createdAt", now_ms) : now_ms;
    PK_CLEANUP(pk_doc_unrefp)
    struct pk_doc *row = make_row(observation, processed, id, seq, created_ms, now_ms);
    if (before) {
        pk_writes_replace(list, "processing", row, pk_doc_version(before));
    } else {
        pk_writes_insert(list, "processing", row);
    }
    return true;
}

/* Nothing was processed of it before: true of nearly all, so it is tried first, and nothing read.
 */
static void add_first_row(const struct work *work, const struct pk_processed *processed,
                          int64_t seq, struct pk_writes *list)
{
    char id[ROW_ID];
    name_row(id, work->observation, processed);
    PK_CLEANUP(pk_doc_unrefp)
    struct pk_doc *row =
        make_row(work->observation, processed, id, seq, work->now_ms, work->now_ms);
    pk_writes_insert(list, "processing", row);
}

static bool add_row(const struct work *work, const struct pk_processed *processed, int64_t seq,
                    struct pk_writes *list, struct pk_error *err)
{
    return pk_process_add_row(work->domain, work->observation, processed, seq, work->now_ms,
                              work->task->deadline_ns, list, err);
}

/* What is supposed here, and not read, the list expects: who was wrong comes again, and reads. */
static bool may_suppose(const struct work *work)
{
    return work->task->attempt == 1 && work->task->tries == 0;
}

static bool add_rows(const struct work *work, int64_t seq, struct pk_writes *list,
                     struct pk_error *err)
{
    bool ok = true;
    for (size_t i = 0; ok && i < work->count; i++) {
        if (may_suppose(work)) {
            add_first_row(work, &work->processed[i], seq, list);
        } else {
            ok = add_row(work, &work->processed[i], seq, list, err);
        }
    }
    return ok;
}

/* What failed is written down for people; that it failed is the outbox's business. */
static void record_failure(const struct work *work, const struct pk_error *why)
{
    struct pk_writes list = { 0 };
    struct pk_error err = { 0 };
    bool ok = why->code != PK_BUSY;
    for (size_t i = 0; ok && i < work->count; i++) {
        if (work->processed[i].is_failed) {
            ok = add_row(work, &work->processed[i], 0, &list, &err);
        }
    }
    if (ok && list.count > 0) {
        ok =
            pk_store_commit(work->domain->books->store, &list, work->task->deadline_ns, NULL, &err);
    }
    if (!ok && err.code != PK_OK) {
        pk_log_warn(work->domain->log, "a processor's failure could not be written down",
                    PK_ERR(&err));
    }
    pk_writes_done(&list);
}

/* ---- The observation ---- */

static struct pk_doc *processed_observation(const struct work *work, int64_t seq)
{
    bson_t view;
    bson_t *bson = bson_new();
    bson_iter_t iter;
    pk_doc_view(work->observation, &view);
    if (bson_iter_init(&iter, &view)) {
        while (bson_iter_next(&iter)) {
            const char *key = bson_iter_key(&iter);
            if (strcmp(key, "processingStatus") == 0) {
                BSON_APPEND_UTF8(bson, key, "processed");
            } else if (strcmp(key, "updatedAt") == 0) {
                BSON_APPEND_DATE_TIME(bson, key, work->now_ms);
            } else if (strcmp(key, "version") == 0) {
                BSON_APPEND_INT64(bson, key, bson_iter_as_int64(&iter) + 1);
            } else if (strcmp(key, "seq") != 0) {
                (void)bson_append_iter(bson, key, -1, &iter);
            }
        }
    }
    BSON_APPEND_INT64(bson, "seq", seq);
    return pk_doc_take(bson);
}

static void tell(const struct work *work, const char *type, const char *code, int64_t version,
                 struct pk_writes *list)
{
    const struct pk_fact fact[] = {
        { "endedTaskId", work->task->id },
        { "code", code },
        { NULL, NULL },
    };
    pk_news_add(list, work->domain->books,
                &(struct pk_news){ .type = type,
                                   .entity_type = "observation",
                                   .entity_id = pk_doc_id(work->observation),
                                   .service = "persona",
                                   .person = work->person,
                                   .version = version,
                                   .fact = fact });
}

/* ---- Steps ---- */

/* Reads what the task names. '*out_is_due' false: there is nothing to do (any more). */
static bool read_observation(struct work *work, bool *out_is_due, struct pk_error *err)
{
    bson_iter_t iter;
    *out_is_due = false;
    if (!bson_iter_init_find(&iter, &work->task->payload, "observationId") ||
        !BSON_ITER_HOLDS_UTF8(&iter)) {
        return pk_fail(err, PK_INVALID, "discard the task", "it names no observation");
    }
    if (!pk_store_get(work->domain->books->store, "observations", bson_iter_utf8(&iter, NULL),
                      work->task->deadline_ns, &work->observation, err)) {
        return pk_wrap(err, "read the observation");
    }
    const char *status =
        work->observation ? pk_doc_text(work->observation, "processingStatus") : NULL;
    *out_is_due = status && strcmp(status, "approved") == 0;
    work->person = *out_is_due ? pk_doc_text(work->observation, "userId") : NULL;
    return true;
}

static bool read_mindscape(struct work *work, struct pk_doc **out_stored, struct pk_error *err)
{
    if (!pk_mindscape_read(work->domain, work->person, work->task->deadline_ns, out_stored, err) ||
        (!*out_stored &&
         !pk_task_is_not_merged(work->domain, work->person, work->task->deadline_ns, err))) {
        return false;
    }
    work->mindscape =
        *out_stored
            ? pk_doc_ref(*out_stored)
            : pk_mindscape_empty(work->person, pk_doc_date(work->observation, "createdAt", 0));
    return true;
}

/* Each record of consent has its line in 'versions', as it was there or came later. */
static bool has_consent_line(const struct pk_doc *mindscape)
{
    bson_t view, row;
    bson_iter_t iter, each;
    pk_doc_view(mindscape, &view);
    if (!bson_iter_init_find(&iter, &view, "versions") || !bson_iter_recurse(&iter, &each)) {
        return true;
    }
    while (bson_iter_next(&each)) {
        if (pk_peek_view(&each, &row) && strcmp(pk_peek_text(&row, "kind", ""), "consent") == 0 &&
            strcmp(pk_peek_text(&row, "key", ""), PK_PURPOSE_PROCESSING) == 0) {
            return true;
        }
    }
    return false;
}

/* Without consent it waits among the failed, to be retried or forgotten. Of somebody who has been
 * processed before, the mindscape says whether he ever was asked. */
static bool check_consent(struct work *work, const struct pk_doc *stored, struct pk_error *err)
{
    return (may_suppose(work) && stored && pk_doc_int(stored, "seq", 0) > 0 &&
            !has_consent_line(stored)) ||
           pk_consent_check(work->domain, work->person, PK_PURPOSE_PROCESSING, work->now_ms,
                            work->task->deadline_ns, &work->consent, err);
}

static bool run_processors(struct work *work, struct pk_error *err)
{
    const struct pk_domain *domain = work->domain;
    struct pk_generation *pinned = pk_scripts_pin(domain->scripts);
    const struct pk_process_how how = { .generation = pinned,
                                        .known_at_ms = work->now_ms,
                                        .deadline_ns = work->task->deadline_ns };
    const bool ok = pk_process_observation(domain, &how, work->observation, work->mindscape,
                                           work->processed, &work->count, err);
    pk_generation_unpin(pinned);
    return ok;
}

/* Applies what was made, and fills the list. */
static bool write_all(struct work *work, const struct pk_doc *stored, struct pk_writes *list,
                      struct pk_error *err)
{
    const struct pk_domain *domain = work->domain;
    const struct pk_evidence evidence = {
        .obs_id = pk_doc_id(work->observation),
        .source_type = pk_doc_text(work->observation, "sourceType"),
        .merged_from = pk_doc_text(work->observation, "mergedFrom"),
        .effective_at_ms = pk_doc_date(work->observation, "effectiveAt", 0),
    };
    bson_t view;
    size_t at = 0;
    pk_doc_view(work->mindscape, &view);
    struct pk_mind *mind = pk_mind_open(&view, domain->policies);
    const int64_t seq = pk_mind_begin(mind, &evidence);
    bool ok = pk_process_apply(mind, work->observation, work->processed, work->count, &at, err);
    if (ok) {
        const int64_t took_ms = (pk_clock_mono_ns(domain->books->clock) - work->began_ns) / 1000000;
        if (work->consent.version && !has_consent_line(work->mindscape)) {
            pk_mind_touch(mind, "consent", PK_PURPOSE_PROCESSING); /* It is older than that. */
        }
        pk_mind_end(mind);
        ok = pk_mindscape_apply(domain, mind, stored, took_ms, list, err);
    }
    const int64_t version = pk_mind_version(mind);
    pk_mind_free(mind);
    if (!ok || !add_rows(work, seq, list, err)) {
        return false;
    }
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *done = processed_observation(work, seq);
    pk_writes_replace(list, "observations", done, pk_doc_version(work->observation));
    pk_consent_expect(list, work->person, PK_PURPOSE_PROCESSING, &work->consent);
    if (!stored) {
        pk_writes_expect_absent(list, "tombstones", work->person);
    }
    tell(work, "mindscape.processing.completed", NULL, version, list);
    return true;
}

bool pk_process_run(void *context, const struct pk_task *task, struct pk_writes *list,
                    struct pk_error *err)
{
    PK_CLEANUP(work_done) struct work work = { .domain = context, .task = task };
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *stored = NULL;
    bool is_due = false;
    work.began_ns = pk_clock_mono_ns(work.domain->books->clock);
    work.now_ms = pk_clock_wall_ms(work.domain->books->clock);
    if (!read_observation(&work, &is_due, err)) {
        return false;
    }
    if (!is_due) {
        return true; /* Forgotten, not approved, or processed already. */
    }
    if (!pk_task_is_of(task, work.person, err)) {
        return false;
    }
    if (!read_mindscape(&work, &stored, err) || !check_consent(&work, stored, err)) {
        return false;
    }
    if (!run_processors(&work, err) || !write_all(&work, stored, list, err)) {
        record_failure(&work, err);
        return false;
    }
    return true;
}

static bool fail_moves(struct pk_error *err)
{
    return pk_fail(err, PK_UNAVAILABLE, "it is tried again", PK_TASK_MOVES);
}

bool pk_task_is_of(const struct pk_task *task, const char *person, struct pk_error *err)
{
    return !task->person || !person || strcmp(task->person, person) == 0 || fail_moves(err);
}

bool pk_task_is_not_merged(const struct pk_domain *domain, const char *person, int64_t deadline_ns,
                           struct pk_error *err)
{
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *tombstone = NULL;
    if (!pk_store_get(domain->books->store, "tombstones", person, deadline_ns, &tombstone, err)) {
        return pk_wrap(err, "look whether the person was merged");
    }
    return !tombstone || pk_doc_date(tombstone, "erasedAt", 0) ||
           !pk_doc_text(tombstone, "mergedInto") || fail_moves(err);
}

void pk_process_started(void *context, const struct pk_doc *task, struct pk_writes *list)
{
    const struct pk_domain *domain = context;
    const char *observation = pk_doc_text(task, "payload.observationId");
    if (observation) {
        pk_news_add(list, domain->books,
                    &(struct pk_news){ .type = "mindscape.processing.started",
                                       .entity_type = "observation",
                                       .entity_id = observation,
                                       .service = "persona",
                                       .person = pk_doc_text(task, "userId") });
    }
}

bool pk_process_failed(void *context, const struct pk_task *task, const struct pk_error *why,
                       struct pk_writes *list, struct pk_error *err)
{
    PK_CLEANUP(work_done) struct work work = { .domain = context, .task = task };
    bool is_due = false;
    if (!read_observation(&work, &is_due, err)) {
        return err->code == PK_INVALID; /* Nothing to tell of. */
    }
    if (is_due) {
        tell(&work, "mindscape.processing.failed", pk_code_name(why->code), 0, list);
    }
    return true;
}
