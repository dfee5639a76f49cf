/* replay_make.c - Observations in their order, through their processors, into a mind.
 *
 * Which versions ran is in 'processing': one row each, with what the host had
 * answered. They are loaded once and called in a generation of their own, made
 * of exactly those that an observation needs. The clock of hot knowledge is the
 * instant at which the observation was processed then, so what had expired by
 * then has expired now.
 *
 * Thread: the task's, or the request's. */
/* SPDX-License-Identifier: MIT */
#include "persona/replay_internal.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/error.h"
#include "doc/doc.h"
#include "doc/path.h"
#include "persona/mindscape.h"
#include "persona/registry.h"
#include "script/scripts.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- From begin to end ---- */

static bool load_given(struct replay *replay, struct pk_error *err)
{
    const struct pk_domain *domain = replay->domain;
    const char *version = replay->asked->version;
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *doc = NULL;
    if (!replay->asked->processor) {
        return true;
    }
    if (!version) {
        if (!pk_registry_get(domain->registry, PK_SCRIPT_PROCESSOR, replay->asked->processor, NULL,
                             &doc, err)) {
            return false;
        }
        version = pk_doc_text(doc, "version");
    }
    return pk_registry_load(domain->registry, PK_SCRIPT_PROCESSOR, replay->asked->processor,
                            version, replay->deadline_ns, &replay->given, err);
}

bool replay_begin(struct replay *replay, struct pk_error *err)
{
    const struct pk_domain *domain = replay->domain;
    bson_t view;
    if (!load_given(replay, err) ||
        !pk_mindscape_read(domain, replay->person, replay->deadline_ns, &replay->stored, err)) {
        return false;
    }
    if (!replay->stored &&
        !pk_task_is_not_merged(domain, replay->person, replay->deadline_ns, err)) {
        return false;
    }
    if (!replay->stored) {
        return pk_fail(err, PK_NOT_FOUND, "check the id", "there is no such person");
    }
    pk_doc_view(replay->stored, &view);
    replay->mind = pk_mind_open_again(&view, domain->policies);
    replay->joins = pk_joins_new(NULL, replay->person, 0);
    replay->scripts = pk_scripts_apart(domain->scripts);
    replay->last = pk_doc_int(replay->stored, "seq", 0);
    return true;
}

void replay_done(struct replay *replay)
{
    pk_scripts_free(replay->scripts);
    for (size_t i = 0; i < replay->script_count; i++) {
        pk_script_unref(replay->script[i]);
    }
    pk_script_unref(replay->given);
    pk_joins_free(replay->joins);
    pk_mind_free(replay->mind);
    pk_doc_unref(replay->stored);
    pk_writes_done(&replay->step);
    pk_free(replay->proposal);
}

bool replay_each(struct replay *replay, const struct pk_query *query, replay_each_fn *each,
                 struct pk_error *err)
{
    PK_CLEANUP(pk_freep) char *cursor = NULL;
    do {
        PK_CLEANUP(pk_page_done) struct pk_page page = { 0 };
        struct pk_query next = *query;
        next.cursor = cursor;
        if (!pk_store_find(replay->domain->books->store, &next, replay->deadline_ns, &page, err)) {
            return pk_wrap(err, "read '%s'", query->collection);
        }
        for (size_t i = 0; i < page.count; i++) {
            if (!each(replay, page.doc[i], err)) {
                return false;
            }
        }
        pk_free(cursor);
        cursor = page.next;
        page.next = NULL;
    } while (cursor);
    return true;
}

/* ---- Which processors ---- */

/* One that is to run. */
struct runner {
    struct pk_script *script; /* Borrowed of the replay. */
    bson_t answers;           /* A view into its row. */
    bool is_recorded;         /* It ran then, and its host answered this. */
};
/* Those of one observation. */
struct ran {
    struct pk_page rows;
    struct runner runner[PK_PROCESSORS_MAX];
    size_t count;
};

static struct pk_script *find_script(const struct replay *replay, const char *id,
                                     const char *version)
{
    for (size_t i = 0; i < replay->script_count; i++) {
        if (strcmp(replay->script[i]->id, id) == 0 &&
            strcmp(replay->script[i]->version, version) == 0) {
            return replay->script[i];
        }
    }
    return NULL;
}

static bool take_script(struct replay *replay, const char *id, const char *version,
                        struct pk_script **out, struct pk_error *err)
{
    *out = find_script(replay, id, version);
    if (*out) {
        return true;
    }
    if (replay->script_count == REPLAY_SCRIPTS_MAX) {
        return pk_fail(err, PK_FULL, "name one version that runs instead",
                       "more than %d versions of processors are needed", REPLAY_SCRIPTS_MAX);
    }
    if (!pk_registry_load(replay->domain->registry, PK_SCRIPT_PROCESSOR, id, version,
                          replay->deadline_ns, out, err)) {
        return false;
    }
    replay->script[replay->script_count++] = *out;
    return true;
}

static bool accepts(const struct pk_script *script, const char *type)
{
    for (char *const *accepted = script->accepts; accepted && *accepted; accepted++) {
        if (strcmp(*accepted, type) == 0) {
            return true;
        }
    }
    return false;
}

/* The answers of a row; an empty array when it has none. */
static void take_answers(const struct pk_doc *row, bson_t *out)
{
    static const uint8_t empty[] = { 5, 0, 0, 0, 0 };
    bson_t view;
    bson_iter_t iter;
    const uint8_t *data = empty;
    uint32_t size = sizeof(empty);
    pk_doc_view(row, &view);
    if (bson_iter_init_find(&iter, &view, "answers") && BSON_ITER_HOLDS_ARRAY(&iter)) {
        bson_iter_array(&iter, &size, &data);
    }
    (void)bson_init_static(out, data, size);
}

static bool is_given(const struct replay *replay, const char *id)
{
    return replay->given && strcmp(replay->given->id, id) == 0;
}

/* The place of a processor among those that run; a new one when it has none. */
static struct runner *place_of(struct ran *ran, const char *id)
{
    for (size_t i = 0; i < ran->count; i++) {
        if (strcmp(ran->runner[i].script->id, id) == 0) {
            return &ran->runner[i];
        }
    }
    return ran->count < PK_PROCESSORS_MAX ? &ran->runner[ran->count++] : NULL;
}

/* Rows come in the order in which they were written: of two versions of one processor the one that
 * spoke last counts. What failed before the observation was processed has no place. */
static bool add_recorded(struct replay *replay, struct ran *ran, const struct pk_doc *row,
                         struct pk_error *err)
{
    const char *id = pk_doc_text(row, "processorId");
    const char *version = pk_doc_text(row, "processorVersion");
    const char *status = pk_doc_text(row, "status");
    struct pk_script *script = NULL;
    if (!id || !version || !status || strcmp(status, "done") != 0 ||
        pk_doc_int(row, "seq", 0) == 0 ||
        (is_given(replay, id) && strcmp(replay->given->version, version) != 0)) {
        return true;
    }
    if (is_given(replay, id)) {
        script = replay->given;
    } else if (!take_script(replay, id, version, &script, err)) {
        return false;
    }
    struct runner *runner = place_of(ran, id);
    if (!runner) {
        return pk_fail(err, PK_FULL, "report it", "more than %d processors took one observation",
                       PK_PROCESSORS_MAX);
    }
    *runner = (struct runner){ .script = script, .is_recorded = true };
    take_answers(row, &runner->answers);
    return true;
}

static int by_update(const void *a, const void *b)
{
    const struct pk_doc *const *x = a, *const *y = b;
    const int64_t p = pk_doc_date(*x, "updatedAt", 0), q = pk_doc_date(*y, "updatedAt", 0);
    return p != q ? (p < q ? -1 : 1) : strcmp(pk_doc_id(*x), pk_doc_id(*y));
}

static bool find_ran(struct replay *replay, const struct pk_doc *observation, struct ran *ran,
                     struct pk_error *err)
{
    const char *type = pk_doc_text(observation, "sourceType");
    const struct pk_query query = { .collection = "processing",
                                    .index = "by_observation",
                                    .equal = { PK_TEXT(pk_doc_id(observation)) },
                                    .equal_count = 1,
                                    .limit = PK_PAGE_MAX };
    if (!pk_store_find(replay->domain->books->store, &query, replay->deadline_ns, &ran->rows,
                       err)) {
        return pk_wrap(err, "read what processed the observation");
    }
    if (ran->rows.count > 1) {
        qsort(ran->rows.doc, ran->rows.count, sizeof(struct pk_doc *), by_update);
    }
    for (size_t i = 0; i < ran->rows.count; i++) {
        if (!add_recorded(replay, ran, ran->rows.doc[i], err)) {
            return false;
        }
    }
    if (!replay->given || !type || !accepts(replay->given, type)) {
        return true;
    }
    struct runner *runner = place_of(ran, replay->given->id);
    if (runner && !runner->script) { /* It did not run then. */
        runner->script = replay->given;
    }
    return runner ||
           pk_fail(err, PK_FULL, "deprecate some of them",
                   "more than %d processors would take one observation", PK_PROCESSORS_MAX);
}

/* The generation is made of these; the same set as before stays. */
static void publish(struct replay *replay, const struct ran *ran)
{
    struct pk_scripts_entry entry[PK_PROCESSORS_MAX] = { 0 };
    bool is_same = replay->published_count == ran->count;
    for (size_t i = 0; i < ran->count; i++) {
        is_same = is_same && replay->published[i] == ran->runner[i].script;
        entry[i] = (struct pk_scripts_entry){ .script = ran->runner[i].script, .since_ms = 1 };
    }
    if (is_same) {
        return;
    }
    (void)pk_scripts_publish(replay->scripts, entry, ran->count);
    for (size_t i = 0; i < ran->count; i++) {
        replay->published[i] = ran->runner[i].script;
    }
    replay->published_count = ran->count;
}

static const bson_t *recorded(void *context, const struct pk_script *script)
{
    const struct ran *ran = context;
    for (size_t i = 0; i < ran->count; i++) {
        if (ran->runner[i].script == script) {
            return ran->runner[i].is_recorded ? &ran->runner[i].answers : NULL;
        }
    }
    return NULL;
}

/* ---- One observation ---- */

static bool run_processors(struct replay *replay, struct ran *ran, const struct pk_doc *observation,
                           const struct pk_doc *mindscape, struct pk_processed *out,
                           size_t *out_count, struct pk_error *err)
{
    const int64_t known_at = pk_doc_date(observation, "updatedAt", 0);
    bson_t joined = BSON_INITIALIZER;
    bson_t knowledge;
    bson_iter_t iter;
    const uint8_t *data;
    uint32_t size;
    pk_joins_hot(replay->joins, known_at, &joined);
    (void)bson_iter_init_find(&iter, &joined, "knowledge");
    bson_iter_array(&iter, &size, &data);
    (void)bson_init_static(&knowledge, data, size);
    publish(replay, ran);
    struct pk_generation *pinned = pk_scripts_pin(replay->scripts);
    const struct pk_process_how how = { .scripts = replay->scripts,
                                        .generation = pinned,
                                        .knowledge = &knowledge,
                                        .known_at_ms = known_at,
                                        .recorded = recorded,
                                        .context = ran,
                                        .deadline_ns = replay->deadline_ns };
    const bool ok =
        pk_process_observation(replay->domain, &how, observation, mindscape, out, out_count, err);
    pk_generation_unpin(pinned);
    bson_destroy(&joined);
    return ok;
}

static void keep_proposals(struct replay *replay)
{
    for (size_t i = 0; i < pk_mind_proposal_count(replay->mind); i++) {
        if (replay->proposal_count == replay->proposal_room) {
            replay->proposal_room = replay->proposal_room ? 2 * replay->proposal_room : 8;
            replay->proposal =
                pk_realloc(replay->proposal, replay->proposal_room * sizeof(*replay->proposal));
        }
        (void)snprintf(replay->proposal[replay->proposal_count++], PK_UUID_TEXT, "%s",
                       pk_mind_proposal(replay->mind, i)->id);
    }
}

/* A version that had not processed the observation before has its row from now on. */
static bool add_rows(struct replay *replay, const struct ran *ran, const struct pk_doc *observation,
                     const struct pk_processed *processed, size_t count, struct pk_error *err)
{
    for (size_t i = 0; i < ran->count; i++) {
        for (size_t k = 0; k < count && !ran->runner[i].is_recorded; k++) {
            if (strcmp(processed[k].processor_id, ran->runner[i].script->id) == 0 &&
                !pk_process_add_row(replay->domain, observation, &processed[k],
                                    pk_doc_int(observation, "seq", 0),
                                    pk_clock_wall_ms(replay->domain->books->clock),
                                    replay->deadline_ns, &replay->step, err)) {
                return false;
            }
        }
    }
    return true;
}

/* What came of it goes into the step, and out of the mind. */
static bool write_step(struct replay *replay, int64_t known_at_ms, struct pk_error *err)
{
    struct pk_mind *mind = replay->mind;
    for (size_t i = 0; i < pk_mind_joined_count(mind); i++) {
        if (!pk_joins_apply(replay->joins, pk_mind_joined(mind, i), known_at_ms, err)) {
            return false;
        }
    }
    if (replay->task) {
        if (pk_mind_joined_count(mind) > 0) {
            pk_joins_keep_made(replay->joins, pk_mind_joined(mind, 0), mind);
        }
        pk_mindscape_add_history(mind, replay->person, pk_mind_epoch(mind), 0,
                                 pk_mind_change_count(mind), known_at_ms, &replay->step);
        if (!pk_mindscape_add_reviews(replay->domain, mind, replay->person, replay->deadline_ns,
                                      true, &replay->step, err)) {
            return false;
        }
    }
    keep_proposals(replay);
    pk_mind_forget_rows(mind);
    return replay_step(replay, false, err);
}

static bool apply(struct replay *replay, const struct pk_doc *observation,
                  struct pk_processed *processed, size_t count, struct pk_error *err)
{
    const struct pk_evidence evidence = {
        .obs_id = pk_doc_id(observation),
        .source_type = pk_doc_text(observation, "sourceType"),
        .merged_from = pk_doc_text(observation, "mergedFrom"),
        .effective_at_ms = pk_doc_date(observation, "effectiveAt", 0),
        .seq = pk_doc_int(observation, "seq", 0),
    };
    size_t at = 0;
    (void)pk_mind_begin(replay->mind, &evidence);
    if (!pk_process_apply(replay->mind, observation, processed, count, &at, err)) {
        return pk_wrap(err, "observation '%s'", evidence.obs_id);
    }
    pk_mind_end(replay->mind);
    replay->observations++;
    return true;
}

static bool replay_observation(struct replay *replay, const struct pk_doc *observation,
                               struct ran *ran, struct pk_error *err)
{
    struct pk_processed processed[PK_PROCESSORS_MAX];
    size_t count = 0;
    bson_t document;
    if (!find_ran(replay, observation, ran, err) ||
        !pk_mind_document(replay->mind, 0, &document, err)) {
        return false;
    }
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *mindscape = pk_doc_new(&document);
    bson_destroy(&document);
    const bool ok = run_processors(replay, ran, observation, mindscape, processed, &count, err) &&
                    apply(replay, observation, processed, count, err) &&
                    (!replay->task || add_rows(replay, ran, observation, processed, count, err)) &&
                    write_step(replay, pk_doc_date(observation, "updatedAt", 0), err);
    for (size_t i = 0; i < count; i++) {
        pk_processed_done(&processed[i]);
    }
    return ok;
}

static bool replay_one(struct replay *replay, struct pk_doc *observation, struct pk_error *err)
{
    const char *status = pk_doc_text(observation, "processingStatus");
    const char *forgotten = replay->asked->forgotten;
    if (!status || strcmp(status, "processed") != 0 ||
        (forgotten && strcmp(forgotten, pk_doc_id(observation)) == 0)) {
        return true;
    }
    struct ran ran = { .count = 0 };
    const bool ok = replay_observation(replay, observation, &ran, err);
    pk_page_done(&ran.rows);
    return ok;
}

bool replay_make(struct replay *replay, struct pk_error *err)
{
    const struct pk_query query = {
        .collection = "observations",
        .index = "by_user_seq",
        .equal = { PK_TEXT(replay->person) },
        .equal_count = 1,
        .min = { .is_set = true, .value = PK_INT(1) },
        .limit = 100,
    };
    if (!replay_each(replay, &query, replay_one, err)) {
        return false;
    }
    if (replay->asked->is_regrouped) {
        pk_mind_regroup(replay->mind);
    }
    pk_mind_settle(replay->mind);
    return true;
}
