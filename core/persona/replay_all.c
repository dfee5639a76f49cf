/* replay_all.c - A version of a processor for all people, a few a second.
 *
 * There is one such run at a time; how far it has got is the setting
 * "replay_all". It is a chain of small tasks: each takes the next people in the
 * order of their ids, adds a task 'replay_person' for those who have sent what
 * the processor takes, notes where it stopped and adds the task that goes on,
 * all in one list. So a crash loses nothing and repeats nothing, and a pause is
 * a word in the setting that the next link reads.
 *
 *     running --pause--> paused --resume--> running ... --> done
 *
 * Ids of people are random, so the share of ids that were passed is the
 * progress.
 *
 * Thread: any. */
/* SPDX-License-Identifier: MIT */
#include "persona/replay.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/error.h"
#include "doc/doc.h"
#include "persona/registry.h"
#include "script/scripts.h"
#include "store/store.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BATCH_MAX = 100, LOOK_EACH_MS = 2000 };
#define SETTING "replay_all"

/* The setting's value, taken apart; texts point into 'doc'. */
struct state {
    struct pk_doc *doc; /* NULL: there never was a run. */
    const char *run, *status, *processor, *version, *after;
    double per_second;
    int64_t looked_at, replayed; /* People. */
    int64_t started_ms, completed_ms;
};

static void state_done(struct state *state)
{
    pk_doc_unref(state->doc);
}

static bool read_state(const struct pk_domain *domain, int64_t deadline_ns, struct state *out,
                       struct pk_error *err)
{
    *out = (struct state){ .doc = NULL };
    if (!pk_store_get(domain->books->store, "settings", SETTING, deadline_ns, &out->doc, err)) {
        return pk_wrap(err, "read how far the replay has got");
    }
    if (out->doc) {
        out->run = pk_doc_text(out->doc, "value.run");
        out->status = pk_doc_text(out->doc, "value.status");
        out->processor = pk_doc_text(out->doc, "value.processor");
        out->version = pk_doc_text(out->doc, "value.version");
        out->after = pk_doc_text(out->doc, "value.after");
        out->per_second = pk_doc_number(out->doc, "value.perSecond", 10);
        out->looked_at = pk_doc_int(out->doc, "value.lookedAt", 0);
        out->replayed = pk_doc_int(out->doc, "value.replayed", 0);
        out->started_ms = pk_doc_date(out->doc, "value.startedAt", 0);
        out->completed_ms = pk_doc_date(out->doc, "value.completedAt", 0);
    }
    return true;
}

static bool has_status(const struct state *state, const char *status)
{
    return state->status && strcmp(state->status, status) == 0;
}

static void write_state(const struct pk_domain *domain, const struct state *state,
                        const char *actor, struct pk_writes *list)
{
    bson_t *bson = bson_new();
    bson_t value;
    BSON_APPEND_UTF8(bson, "_id", SETTING);
    BSON_APPEND_DOCUMENT_BEGIN(bson, "value", &value);
    BSON_APPEND_UTF8(&value, "run", state->run);
    BSON_APPEND_UTF8(&value, "status", state->status);
    BSON_APPEND_UTF8(&value, "processor", state->processor);
    BSON_APPEND_UTF8(&value, "version", state->version);
    BSON_APPEND_UTF8(&value, "after", state->after);
    BSON_APPEND_DOUBLE(&value, "perSecond", state->per_second);
    BSON_APPEND_INT64(&value, "lookedAt", state->looked_at);
    BSON_APPEND_INT64(&value, "replayed", state->replayed);
    BSON_APPEND_DATE_TIME(&value, "startedAt", state->started_ms);
    if (state->completed_ms) {
        BSON_APPEND_DATE_TIME(&value, "completedAt", state->completed_ms);
    }
    bson_append_document_end(bson, &value);
    BSON_APPEND_DATE_TIME(bson, "updatedAt", pk_clock_wall_ms(domain->books->clock));
    BSON_APPEND_UTF8(bson, "updatedBy", actor);
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *doc = pk_doc_take(bson);
    if (state->doc) {
        pk_writes_replace(list, "settings", doc, pk_doc_version(state->doc));
    } else {
        pk_writes_insert(list, "settings", doc);
    }
}

/* A task, and what wakes the outbox. */
static void add_task(const struct pk_domain *domain, const struct pk_task_new *task,
                     char out_id[PK_UUID_TEXT], struct pk_writes *list)
{
    pk_task_add(list, domain->books, task, out_id);
    pk_news_add(list, domain->books,
                &(struct pk_news){
                    .type = "task.added",
                    .entity_type = "task",
                    .entity_id = out_id,
                    .service = "persona",
                    .fact = (const struct pk_fact[]){ { "taskId", out_id }, { NULL, NULL } } });
}

static void add_link(const struct pk_domain *domain, const char *run, int64_t after_ms,
                     char out_id[PK_UUID_TEXT], struct pk_writes *list)
{
    bson_t payload = BSON_INITIALIZER;
    BSON_APPEND_UTF8(&payload, "run", run);
    const int64_t now_ms = pk_clock_wall_ms(domain->books->clock);
    add_task(domain,
             &(struct pk_task_new){ .type = "replay_all",
                                    .payload = &payload,
                                    .run_after_ms = after_ms ? now_ms + after_ms : 0 },
             out_id, list);
    bson_destroy(&payload);
}

/* ---- One link ---- */

/* Whether the processor takes one of these observations. */
static bool takes_one(const struct pk_script *script, const struct pk_page *page)
{
    for (size_t i = 0; i < page->count; i++) {
        const char *type = pk_doc_text(page->doc[i], "sourceType");
        for (char *const *taken = script->accepts; type && taken && *taken; taken++) {
            if (strcmp(*taken, type) == 0) {
                return true;
            }
        }
    }
    return false;
}

/* Whether the person has sent anything that the processor takes: at most what the replay would
 * read, too. */
static bool is_concerned(const struct pk_domain *domain, const struct pk_script *script,
                         const char *person, int64_t deadline_ns, bool *out, struct pk_error *err)
{
    PK_CLEANUP(pk_freep) char *cursor = NULL;
    *out = false;
    do {
        PK_CLEANUP(pk_page_done) struct pk_page page = { 0 };
        const struct pk_query query = { .collection = "observations",
                                        .index = "by_user_created",
                                        .equal = { PK_TEXT(person) },
                                        .equal_count = 1,
                                        .limit = 200,
                                        .cursor = cursor };
        if (!pk_store_find(domain->books->store, &query, deadline_ns, &page, err)) {
            return pk_wrap(err, "look for the person's observations");
        }
        *out = takes_one(script, &page);
        pk_free(cursor);
        cursor = page.next ? pk_strdup(page.next) : NULL;
    } while (!*out && cursor);
    return true;
}

static void add_person(const struct pk_domain *domain, const struct state *state,
                       const char *person, struct pk_writes *list)
{
    char id[PK_UUID_TEXT];
    bson_t payload = BSON_INITIALIZER;
    BSON_APPEND_UTF8(&payload, "processor", state->processor);
    BSON_APPEND_UTF8(&payload, "version", state->version);
    add_task(
        domain,
        &(struct pk_task_new){ .type = "replay_person", .person = person, .payload = &payload }, id,
        list);
    bson_destroy(&payload);
}

static bool find_people(const struct pk_domain *domain, const struct state *state,
                        int64_t deadline_ns, struct pk_page *out, struct pk_error *err)
{
    const double wanted = state->per_second < 1 ? 1 : state->per_second;
    const struct pk_query query = {
        .collection = "people",
        .index = "_id",
        .min = { .is_set = *state->after != '\0',
                 .is_exclusive = true,
                 .value = PK_TEXT(state->after) },
        .limit = wanted < BATCH_MAX ? (size_t)wanted : BATCH_MAX,
    };
    return pk_store_find(domain->books->store, &query, deadline_ns, out, err) ||
           pk_wrap(err, "read the next people");
}

/* The next people; 'state' is moved on. '*out_added' of them have their task. */
static bool take_batch(const struct pk_domain *domain, struct state *state,
                       const struct pk_page *people, int64_t deadline_ns, size_t *out_added,
                       struct pk_writes *list, struct pk_error *err)
{
    struct pk_script *script = NULL;
    bool ok = pk_registry_load(domain->registry, PK_SCRIPT_PROCESSOR, state->processor,
                               state->version, deadline_ns, &script, err);
    for (size_t i = 0; ok && i < people->count; i++) {
        bool is_wanted = false;
        const char *person = pk_doc_id(people->doc[i]);
        ok = pk_doc_text(people->doc[i], "mergedInto") ||
             is_concerned(domain, script, person, deadline_ns, &is_wanted, err);
        if (ok && is_wanted) {
            add_person(domain, state, person, list);
            ++*out_added;
        }
        state->after = person;
        state->looked_at++;
    }
    state->replayed += (int64_t)*out_added;
    pk_script_unref(script);
    return ok;
}

static bool go_on(const struct pk_domain *domain, const struct pk_task *task, struct state *state,
                  struct pk_writes *list, struct pk_error *err)
{
    PK_CLEANUP(pk_page_done) struct pk_page people = { 0 };
    char id[PK_UUID_TEXT];
    size_t added = 0;
    if (!find_people(domain, state, task->deadline_ns, &people, err) ||
        !take_batch(domain, state, &people, task->deadline_ns, &added, list, err)) {
        return false;
    }
    if (people.next) {
        add_link(domain, state->run, (int64_t)((double)added * 1000 / state->per_second), id, list);
    } else {
        state->status = "done";
        state->completed_ms = pk_clock_wall_ms(domain->books->clock);
    }
    write_state(domain, state, "personakit", list);
    return true;
}

bool pk_replay_all_run(void *context, const struct pk_task *task, struct pk_writes *list,
                       struct pk_error *err)
{
    const struct pk_domain *domain = context;
    PK_CLEANUP(state_done) struct state state = { .doc = NULL };
    bson_iter_t run;
    char id[PK_UUID_TEXT];
    if (!read_state(domain, task->deadline_ns, &state, err)) {
        return false;
    }
    const bool is_ours = state.run && bson_iter_init_find(&run, &task->payload, "run") &&
                         BSON_ITER_HOLDS_UTF8(&run) &&
                         strcmp(bson_iter_utf8(&run, NULL), state.run) == 0;
    if (is_ours && has_status(&state, "paused")) {
        add_link(domain, state.run, LOOK_EACH_MS, id, list);
        return true;
    }
    return !is_ours || !has_status(&state, "running") || go_on(domain, task, &state, list, err);
}

/* ---- For people ---- */

struct asking {
    const struct pk_domain *domain;
    const struct pk_by *by;
    const char *processor, *version;
    double per_second;
    const char *from, *to; /* Of a pause: states. */
    char *out_task;
};

static bool finish(struct asking *asking, const char *action, const struct state *state,
                   struct pk_writes *list, struct pk_error *err)
{
    const struct pk_by *by = asking->by;
    const struct pk_fact fact[] = { { "processor", state->processor },
                                    { "version", state->version },
                                    { NULL, NULL } };
    pk_audit_add(
        list, asking->domain->books, by,
        &(struct pk_audit){
            .action = action, .target_type = "settings", .target_id = SETTING, .fact = fact });
    PK_CLEANUP(pk_doc_unrefp)
    struct pk_doc *answer = pk_replay_doc(asking->out_task ? asking->out_task : state->run);
    return !by->complete || by->complete(by->context, list, answer, err);
}

static bool decide_start(void *context, struct pk_writes *list, struct pk_error *err)
{
    struct asking *asking = context;
    const struct pk_domain *domain = asking->domain;
    PK_CLEANUP(state_done) struct state state = { .doc = NULL };
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *version = NULL;
    char run[PK_UUID_TEXT];
    if (!read_state(domain, asking->by->deadline_ns, &state, err)) {
        return false;
    }
    if (has_status(&state, "running") || has_status(&state, "paused")) {
        return pk_fail(err, PK_CONFLICT, "wait until it is done",
                       "a replay of all people is %s already: '%s' %s", state.status,
                       state.processor, state.version);
    }
    if (!pk_registry_get(domain->registry, PK_SCRIPT_PROCESSOR, asking->processor, asking->version,
                         &version, err)) {
        return false;
    }
    pk_uuid_new(run);
    state = (struct state){ .doc = state.doc,
                            .run = run,
                            .status = "running",
                            .processor = asking->processor,
                            .version = pk_doc_text(version, "version"),
                            .after = "",
                            .per_second = asking->per_second,
                            .started_ms = pk_clock_wall_ms(domain->books->clock) };
    write_state(domain, &state, asking->by->actor_id, list);
    add_link(domain, run, 0, asking->out_task, list);
    return finish(asking, "replay.started", &state, list, err);
}

bool pk_replay_all(const struct pk_domain *domain, const struct pk_by *by, const char *processor,
                   const char *version, double per_second, char out_task[PK_UUID_TEXT],
                   struct pk_error *err)
{
    struct asking asking = { .domain = domain,
                             .by = by,
                             .processor = processor,
                             .version = version,
                             .per_second = per_second > 0 ? per_second : 10,
                             .out_task = out_task };
    return pk_by_decide(asking.by, asking.domain->books, decide_start, &asking, err) ||
           pk_wrap(err, "replay all people");
}

static bool decide_pause(void *context, struct pk_writes *list, struct pk_error *err)
{
    struct asking *asking = context;
    PK_CLEANUP(state_done) struct state state = { .doc = NULL };
    if (!read_state(asking->domain, asking->by->deadline_ns, &state, err)) {
        return false;
    }
    if (!has_status(&state, asking->from) && !has_status(&state, asking->to)) {
        return pk_fail(err, PK_CONFLICT, "start one", "no replay of all people is under way");
    }
    if (has_status(&state, asking->from)) {
        state.status = asking->to;
        write_state(asking->domain, &state, asking->by->actor_id, list);
    }
    return finish(asking, asking->to[0] == 'p' ? "replay.paused" : "replay.resumed", &state, list,
                  err);
}

bool pk_replay_all_pause(const struct pk_domain *domain, const struct pk_by *by, bool is_paused,
                         struct pk_error *err)
{
    struct asking asking = { .domain = domain,
                             .by = by,
                             .from = is_paused ? "running" : "paused",
                             .to = is_paused ? "paused" : "running" };
    return pk_by_decide(asking.by, asking.domain->books, decide_pause, &asking, err) ||
           pk_wrap(err, is_paused ? "pause" : "resume");
}

bool pk_replay_all_show(const struct pk_domain *domain, int64_t deadline_ns, bson_t *out,
                        struct pk_error *err)
{
    PK_CLEANUP(state_done) struct state state = { .doc = NULL };
    char prefix[9] = "0";
    if (!read_state(domain, deadline_ns, &state, err)) {
        return false;
    }
    if (!state.doc) {
        BSON_APPEND_UTF8(out, "status", "none");
        return true;
    }
    (void)snprintf(prefix, sizeof(prefix), "%.8s", state.after);
    const double share = (double)strtoul(prefix, NULL, 16) / 4294967296.0;
    BSON_APPEND_UTF8(out, "status", state.status);
    BSON_APPEND_UTF8(out, "processor", state.processor);
    BSON_APPEND_UTF8(out, "version", state.version);
    BSON_APPEND_DOUBLE(out, "perSecond", state.per_second);
    BSON_APPEND_INT64(out, "lookedAt", state.looked_at);
    BSON_APPEND_INT64(out, "replayed", state.replayed);
    BSON_APPEND_DOUBLE(out, "progress", has_status(&state, "done") ? 1 : share);
    BSON_APPEND_DATE_TIME(out, "startedAt", state.started_ms);
    if (state.completed_ms) {
        BSON_APPEND_DATE_TIME(out, "completedAt", state.completed_ms);
    }
    return true;
}
