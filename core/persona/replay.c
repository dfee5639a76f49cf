/* replay.c - The tasks: everything is made beside what is there, and takes its place at once.
 *
 *     sweep      rows of the history that are of no epoch that is valid
 *     make       observations in order; rows of the next epoch as they come
 *     joined     what lies in other collections
 *     flip       the mindscape with its new epoch: one commit
 *     sweep      the rows of the epoch before
 *
 * Each step may be done again: rows have ids that are made of what they stand
 * for, and what an earlier attempt has left is swept first. Until the flip
 * readers see the history that was; who reads facts or the graph while they
 * are brought up to date sees them change one by one.
 *
 * A mindscape that somebody has touched meanwhile (a consent, a narrative) is
 * read again, and everything is made anew: a few times, then the task fails
 * and is tried later.
 *
 * Thread: the outbox's; a dry run's is the request's. */
/* SPDX-License-Identifier: MIT */
#include "persona/replay_internal.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/error.h"
#include "doc/doc.h"
#include "persona/erase_log.h"
#include "persona/mindscape.h"

#include <string.h>

enum { FLIPS_MAX = 5 };

/* ---- Steps ---- */

bool replay_step(struct replay *replay, bool is_last, struct pk_error *err)
{
    struct pk_writes *list = &replay->step;
    if (!replay->task || list->count == 0 ||
        (!is_last && list->count < REPLAY_STEP_WRITES && list->bytes < REPLAY_STEP_BYTES)) {
        return true;
    }
    const double share =
        replay->last > 0 ? (double)replay->observations / ((double)replay->last + 1) : 0.5;
    if (pk_task_should_stop(replay->task)) {
        return pk_fail(err, PK_UNAVAILABLE, "it goes on after the next start", "the server stops");
    }
    if (!pk_task_progress(replay->task, share < 0.99 ? share : 0.99, err) ||
        !pk_store_commit(replay->domain->books->store, list, replay->deadline_ns, NULL, err)) {
        return pk_wrap(err, "write a step of the replay");
    }
    pk_writes_clear(list);
    return true;
}

static bool sweep_one(struct replay *replay, struct pk_doc *row, struct pk_error *err)
{
    pk_writes_delete(&replay->step, "trait_history", pk_doc_id(row), pk_doc_version(row));
    return replay_step(replay, false, err);
}

static bool sweep_range(struct replay *replay, struct pk_bound min, struct pk_bound max,
                        struct pk_error *err)
{
    const struct pk_query query = { .collection = "trait_history",
                                    .index = "by_user_seq",
                                    .equal = { PK_TEXT(replay->person) },
                                    .equal_count = 1,
                                    .min = min,
                                    .max = max,
                                    .limit = 500 };
    return replay_each(replay, &query, sweep_one, err) && replay_step(replay, true, err);
}

/* Rows of all epochs but the valid one. */
static bool sweep(struct replay *replay, int64_t epoch, struct pk_error *err)
{
    const struct pk_bound none = { .is_set = false };
    const struct pk_bound at = { .is_set = true, .is_exclusive = true, .value = PK_INT(epoch) };
    return (sweep_range(replay, none, at, err) && sweep_range(replay, at, none, err)) ||
           pk_wrap(err, "sweep the history");
}

/* The observation itself goes with the flip: until then it can be made again. */
static bool add_forgotten(struct replay *replay, struct pk_writes *list, struct pk_error *err)
{
    const char *id = replay->asked->forgotten;
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *observation = NULL;
    PK_CLEANUP(pk_page_done) struct pk_page rows = { 0 };
    const struct pk_query query = { .collection = "processing",
                                    .index = "by_observation",
                                    .equal = { PK_TEXT(id ? id : "") },
                                    .equal_count = 1,
                                    .limit = PK_PAGE_MAX / 2 };
    struct pk_store *store = replay->domain->books->store;
    if (!id) {
        return true;
    }
    if (!pk_store_get(store, "observations", id, replay->deadline_ns, &observation, err) ||
        !pk_store_find(store, &query, replay->deadline_ns, &rows, err)) {
        return pk_wrap(err, "read what is to be forgotten");
    }
    for (size_t i = 0; i < rows.count; i++) {
        pk_writes_delete(list, "processing", pk_doc_id(rows.doc[i]), pk_doc_version(rows.doc[i]));
    }
    if (observation) {
        pk_writes_delete(list, "observations", id, pk_doc_version(observation));
    }
    return true;
}

/* '*out_again': somebody has touched the mindscape meanwhile. */
static bool flip(struct replay *replay, bool *out_again, struct pk_error *err)
{
    struct pk_writes list = { 0 };
    struct pk_commit commit = { .conflict_write = -1 };
    const int64_t took_ms =
        pk_doc_int(replay->stored, "processingMetadata.lastProcessingDuration", 0);
    bool ok =
        pk_mindscape_apply(replay->domain, replay->mind, replay->stored, took_ms, &list, err) &&
        add_forgotten(replay, &list, err);
    if (!replay->asked->forgotten && !replay->asked->is_regrouped) {
        pk_consent_expect(&list, replay->person, PK_PURPOSE_PROCESSING, &replay->consent);
    }
    if (ok) {
        ok =
            pk_store_commit(replay->domain->books->store, &list, replay->deadline_ns, &commit, err);
        *out_again = !ok && err->code == PK_CONFLICT;
    }
    pk_writes_done(&list);
    return ok || pk_wrap(err, "put the mindscape in its place");
}

/* Processors run over what a person has sent only with his consent; what is to be forgotten is
 * forgotten without it. */
static bool check_consent(struct replay *replay, struct pk_error *err)
{
    const struct pk_domain *domain = replay->domain;
    return replay->asked->forgotten || replay->asked->is_regrouped ||
           pk_consent_check(domain, replay->person, PK_PURPOSE_PROCESSING,
                            pk_clock_wall_ms(domain->books->clock), replay->deadline_ns,
                            &replay->consent, err);
}

/* One attempt, from the first step to the last. */
static bool attempt(struct replay *replay, bool *out_again, struct pk_error *err)
{
    const int64_t epoch = pk_doc_int(replay->stored, "epoch", 0);
    return sweep(replay, epoch, err) && replay_make(replay, err) &&
           replay_step(replay, true, err) && replay_joined(replay, err) &&
           flip(replay, out_again, err) && sweep(replay, pk_mind_epoch(replay->mind), err);
}

static bool run(const struct pk_domain *domain, const struct pk_task *task, const char *person,
                const struct pk_remake *asked, struct pk_error *err)
{
    for (int i = 0; i < FLIPS_MAX; i++) {
        PK_CLEANUP(replay_done)
        struct replay replay = { .domain = domain, .person = person, .asked = asked, .task = task };
        bool is_again = false;
        if (!replay_begin(&replay, err) || !check_consent(&replay, err)) {
            return false;
        }
        if (attempt(&replay, &is_again, err)) {
            return true;
        }
        if (!is_again) {
            return false;
        }
    }
    err->code = PK_UNAVAILABLE; /* Others write all the time; later, then. */
    return false;
}

bool pk_replay_again(const struct pk_domain *domain, const struct pk_task *task, const char *person,
                     const struct pk_remake *asked, struct pk_error *err)
{
    return run(domain, task, person, asked, err);
}

/* ---- Tasks ---- */

/* A copy: what the task shows changes with its progress. NULL: there is none. */
static char *payload_text(const struct pk_task *task, const char *name)
{
    bson_iter_t iter;
    return bson_iter_init_find(&iter, &task->payload, name) && BSON_ITER_HOLDS_UTF8(&iter)
               ? pk_strdup(bson_iter_utf8(&iter, NULL))
               : NULL;
}

bool pk_replay_run(void *context, const struct pk_task *task, struct pk_writes *list,
                   struct pk_error *err)
{
    PK_CLEANUP(pk_freep) char *processor = payload_text(task, "processor");
    PK_CLEANUP(pk_freep) char *version = payload_text(task, "version");
    PK_CLEANUP(pk_freep) char *person = pk_strdup(task->person);
    const struct pk_remake asked = { .processor = processor, .version = version };
    (void)list; /* It has committed its own. */
    return run(context, task, person, &asked, err);
}

/* What has no place yet rests on nothing and nothing on it. */
static bool drop_unprocessed(const struct pk_domain *domain, const struct pk_task *task,
                             const char *id, struct pk_error *err)
{
    PK_CLEANUP(pk_writes_done) struct pk_writes list = { 0 };
    struct replay nothing = { .domain = domain, .asked = &(struct pk_remake){ .forgotten = id } };
    return add_forgotten(&nothing, &list, err) &&
           pk_store_commit(domain->books->store, &list, task->deadline_ns, NULL, err);
}

/* Logged before anything goes, for whoever restores a backup. */
static bool forget(const struct pk_domain *domain, const struct pk_task *task, const char *id,
                   const struct pk_doc *observation, struct pk_error *err)
{
    PK_CLEANUP(pk_freep) char *person = pk_strdup(task->person);
    const struct pk_remake asked = { .forgotten = id };
    const char *status = pk_doc_text(observation, "processingStatus");
    const int64_t now_ms = pk_clock_wall_ms(domain->books->clock);
    if (!pk_erase_log_add(domain, PK_ERASED_OBSERVATION, id,
                          pk_doc_date(task->doc, "createdAt", now_ms), err)) {
        return false;
    }
    if (!status || strcmp(status, "processed") != 0) {
        return drop_unprocessed(domain, task, id, err);
    }
    return run(domain, task, person, &asked, err);
}

/* Done when the store's own files have nothing of it any more. */
bool pk_forget_run(void *context, const struct pk_task *task, struct pk_writes *list,
                   struct pk_error *err)
{
    const struct pk_domain *domain = context;
    PK_CLEANUP(pk_freep) char *id = payload_text(task, "observationId");
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *observation = NULL;
    (void)list; /* It has committed its own. */
    if (!id) {
        return pk_fail(err, PK_INVALID, "discard the task", "it names no observation");
    }
    if (!pk_store_get(domain->books->store, "observations", id, task->deadline_ns, &observation,
                      err)) {
        return pk_wrap(err, "read the observation");
    }
    if (observation && !pk_task_is_of(task, pk_doc_text(observation, "userId"), err)) {
        return false;
    }
    if (observation && !forget(domain, task, id, observation, err)) {
        return false; /* NULL: it went in an attempt before. */
    }
    return pk_store_settle(domain->books->store, 0, err) ||
           pk_wrap(err, "clear the store's files of what was forgotten");
}

bool pk_replay_dry(const struct pk_domain *domain, const char *person,
                   const struct pk_remake *asked, int64_t deadline_ns, bson_t *out,
                   struct pk_error *err)
{
    PK_CLEANUP(replay_done)
    struct replay replay = {
        .domain = domain, .person = person, .asked = asked, .deadline_ns = deadline_ns
    };
    bson_init(&replay.differences);
    bool ok = replay_begin(&replay, err) && check_consent(&replay, err) &&
              replay_make(&replay, err) && replay_differ(&replay, err) &&
              replay_joined(&replay, err);
    if (ok) {
        BSON_APPEND_BOOL(out, "dryRun", true);
        BSON_APPEND_INT64(out, "observations", replay.observations);
        BSON_APPEND_BOOL(out, "isSame", replay.difference_count == 0);
        BSON_APPEND_ARRAY(out, "differences", &replay.differences);
    }
    bson_destroy(&replay.differences);
    return ok;
}
