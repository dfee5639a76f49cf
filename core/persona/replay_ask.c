/* replay_ask.c - Asking for a replay: a task in the person's order, with its audit row.
 *
 * Thread: any. */
/* SPDX-License-Identifier: MIT */
#include "persona/replay.h"

#include "base/alloc.h"
#include "base/error.h"
#include "doc/doc.h"
#include "persona/mindscape.h"
#include "persona/registry.h"
#include "store/store.h"

#include <stdio.h>
#include <string.h>

/* What is asked for. */
struct asking {
    const struct pk_domain *domain;
    const struct pk_by *by;
    const char *person; /* Found, for an observation that shall be forgotten. */
    const struct pk_remake *replay;
    char *out_task;
    char found[PK_UUID_TEXT];
};

static void add_text(bson_t *bson, const char *name, const char *text)
{
    if (text) {
        BSON_APPEND_UTF8(bson, name, text);
    }
}

struct pk_doc *pk_replay_doc(const char *task)
{
    bson_t *bson = bson_new();
    BSON_APPEND_UTF8(bson, "taskId", task);
    BSON_APPEND_BOOL(bson, "dryRun", false);
    return pk_doc_take(bson);
}

/* The task, what wakes the outbox, who asked, and what he wants to go with it. */
static bool add_all(struct asking *asking, const char *type, const char *action,
                    struct pk_writes *list, struct pk_error *err)
{
    const struct pk_books *books = asking->domain->books;
    const struct pk_by *by = asking->by;
    bson_t payload = BSON_INITIALIZER;
    add_text(&payload, "processor", asking->replay->processor);
    add_text(&payload, "version", asking->replay->version);
    add_text(&payload, "observationId", asking->replay->forgotten);
    pk_task_add(
        list, books,
        &(struct pk_task_new){
            .type = type, .person = asking->person, .actor = by->actor_id, .payload = &payload },
        asking->out_task);
    bson_destroy(&payload);
    const struct pk_fact fact[] = { { "taskId", asking->out_task },
                                    { "processor", asking->replay->processor },
                                    { "version", asking->replay->version },
                                    { NULL, NULL } };
    pk_audit_add(list, books, by,
                 &(struct pk_audit){ .action = action,
                                     .person = asking->person,
                                     .target_type = "outbox",
                                     .target_id = asking->out_task,
                                     .fact = fact });
    pk_news_add(list, books,
                &(struct pk_news){ .type = action,
                                   .entity_type = "task",
                                   .entity_id = asking->out_task,
                                   .service = "persona",
                                   .person = asking->person,
                                   .fact = fact });
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *answer = pk_replay_doc(asking->out_task);
    return !by->complete || by->complete(by->context, list, answer, err);
}

static bool decide_replay(void *context, struct pk_writes *list, struct pk_error *err)
{
    struct asking *asking = context;
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *mindscape = NULL;
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *version = NULL;
    if (!pk_mindscape_read(asking->domain, asking->person, asking->by->deadline_ns, &mindscape,
                           err)) {
        return false;
    }
    if (!mindscape) {
        return pk_fail(err, PK_NOT_FOUND, "check the id", "there is no such person");
    }
    if (asking->replay->processor &&
        !pk_registry_get(asking->domain->registry, PK_SCRIPT_PROCESSOR, asking->replay->processor,
                         asking->replay->version, &version, err)) {
        return false;
    }
    return add_all(asking, "replay_person", "person.replay_asked", list, err);
}

bool pk_replay_person(const struct pk_domain *domain, const struct pk_by *by, const char *person,
                      const struct pk_remake *replay, char out_task[PK_UUID_TEXT],
                      struct pk_error *err)
{
    struct asking asking = {
        .domain = domain, .by = by, .person = person, .replay = replay, .out_task = out_task
    };
    return pk_by_decide(asking.by, asking.domain->books, decide_replay, &asking, err) ||
           pk_wrap(err, "replay the person");
}

static bool decide_forget(void *context, struct pk_writes *list, struct pk_error *err)
{
    struct asking *asking = context;
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *observation = NULL;
    if (!pk_store_get(asking->domain->books->store, "observations", asking->replay->forgotten,
                      asking->by->deadline_ns, &observation, err)) {
        return pk_wrap(err, "read the observation");
    }
    const char *person = observation ? pk_doc_text(observation, "userId") : NULL;
    if (!person) {
        return pk_fail(err, PK_NOT_FOUND, "it may have been forgotten already",
                       "there is no such observation");
    }
    (void)snprintf(asking->found, sizeof(asking->found), "%s", person);
    asking->person = asking->found;
    return add_all(asking, "forget_observation", "observation.forget_asked", list, err);
}

bool pk_replay_forget(const struct pk_domain *domain, const struct pk_by *by,
                      const char *observation, char out_task[PK_UUID_TEXT], struct pk_error *err)
{
    const struct pk_remake replay = { .forgotten = observation };
    struct asking asking = { .domain = domain, .by = by, .replay = &replay, .out_task = out_task };
    return pk_by_decide(asking.by, asking.domain->books, decide_forget, &asking, err) ||
           pk_wrap(err, "forget the observation");
}
