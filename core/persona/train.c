/* train.c - The task that trains a mapper: from its feedback to a draft.
 *
 *     learn     feedback through its processors, where it has not been     a commit for each
 *     decide    which proposals have enough behind them
 *     draft     the version and the word of it in the row                  one commit
 *     mark      the feedback that was weighed is incorporated              a commit for a page
 *     complete  the row says so, followers are told                        with the task's end
 *
 * Killed between any two of these it goes on where it was: what was learnt is
 * kept with its feedback; a row that names a draft has the changes, by which
 * the feedback to mark is found again. A draft that does not pass is not
 * written: the task fails with what is wrong, and the feedback waits. Nothing
 * becomes active here.
 *
 * Thread: the task's. */
/* SPDX-License-Identifier: MIT */
#include "persona/train_internal.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/error.h"
#include "doc/doc.h"
#include "persona/registry.h"
#include "store/store.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

void train_begin(struct train *train, const struct pk_domain *domain, const char *mapper)
{
    *train = (struct train){ .domain = domain, .mapper = mapper };
    bson_init(&train->changes);
    bson_init(&train->open);
}

void train_done(struct train *train)
{
    train_tally_done(&train->tally);
    pk_script_unref(train->script);
    bson_destroy(&train->changes);
    bson_destroy(&train->open);
}

/* ---- The draft ---- */

static void tell_draft(const struct train *train, const struct pk_doc *draft,
                       struct pk_writes *list)
{
    const struct pk_by by = { .actor_id = train->actor };
    const struct pk_fact fact[] = { { "version", train->version },
                                    { "parentVersion", train->parent },
                                    { "contentHash", pk_doc_text(draft, "contentHash") },
                                    { "trainingTaskId", train->task->id },
                                    { NULL, NULL } };
    pk_audit_add(list, train->domain->books, &by,
                 &(struct pk_audit){ .action = "mapper.trained",
                                     .target_type = "mappers",
                                     .target_id = train->mapper,
                                     .fact = fact });
    pk_news_add(list, train->domain->books,
                &(struct pk_news){ .type = "mapper.updated",
                                   .entity_type = "mapper",
                                   .entity_id = train->mapper,
                                   .service = "persona",
                                   .fact = fact });
}

/* Draft and row in one list: of two that were begun the second finds the row changed. */
static bool write_draft(struct train *train, const struct pk_doc *row, struct pk_error *err)
{
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *draft = NULL;
    struct pk_writes list = { 0 };
    if (!train_draft(train, &draft, err)) {
        return false;
    }
    pk_writes_insert(&list, "mappers", draft);
    train_row_put(train, row, train->task->id, "running", 0, &list);
    tell_draft(train, draft, &list);
    const bool ok =
        pk_store_commit(train->domain->books->store, &list, train->deadline_ns, NULL, err);
    pk_writes_done(&list);
    return ok || pk_wrap(err, "write the draft");
}

/* ---- The end ---- */

static bool complete(struct train *train, struct pk_writes *list, struct pk_error *err)
{
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *row = NULL;
    char samples[24], weighed[24];
    if (!train_row_read(train->domain, train->mapper, train->deadline_ns, &row, err)) {
        return false;
    }
    (void)snprintf(samples, sizeof(samples), "%" PRId64, train->samples);
    (void)snprintf(weighed, sizeof(weighed), "%" PRId64, train->incorporated);
    const struct pk_fact fact[] = { { "trainingTaskId", train->task->id },
                                    { "parentVersion", train->parent },
                                    { "version", train->version[0] ? train->version : NULL },
                                    { "samples", samples },
                                    { "incorporated", weighed },
                                    { NULL, NULL } };
    train_row_put(train, row, train->task->id, "done",
                  pk_clock_wall_ms(train->domain->books->clock), list);
    pk_news_add(list, train->domain->books,
                &(struct pk_news){ .type = "mapper.training.completed",
                                   .entity_type = "mapper",
                                   .entity_id = train->mapper,
                                   .service = "persona",
                                   .fact = fact });
    return true;
}

static bool go(struct train *train, const struct pk_doc *row, struct pk_writes *list,
               struct pk_error *err)
{
    if (!train->version[0]) {
        train->samples = train->failures = 0;
        train->problem[0] = '\0';
        if (!pk_registry_load(train->domain->registry, PK_SCRIPT_MAPPER, train->mapper,
                              train->parent, train->deadline_ns, &train->script, err) ||
            !train_learn(train, err)) {
            return false;
        }
        if (train_decide(train) &&
            (!train_weighed(train, false, err) || !write_draft(train, row, err))) {
            return false;
        }
    }
    return (!train->version[0] || train_weighed(train, true, err)) && complete(train, list, err);
}

/* The row, when it is about this task: another one may have taken its place. */
static bool find_row(const struct pk_domain *domain, const struct pk_task *task,
                     const char **mapper, struct pk_doc **out, struct pk_error *err)
{
    bson_iter_t iter;
    *out = NULL;
    if (!bson_iter_init_find(&iter, &task->payload, "mapperId") || !BSON_ITER_HOLDS_UTF8(&iter)) {
        return pk_fail(err, PK_INVALID, "discard the task", "the task names no mapper");
    }
    *mapper = bson_iter_utf8(&iter, NULL);
    if (!train_row_read(domain, *mapper, task->deadline_ns, out, err)) {
        return false;
    }
    const char *id = *out ? pk_doc_text(*out, "value.taskId") : NULL;
    if (*out && (!id || strcmp(id, task->id) != 0)) {
        pk_doc_unref(*out);
        *out = NULL;
    }
    return true;
}

bool pk_train_run(void *context, const struct pk_task *task, struct pk_writes *list,
                  struct pk_error *err)
{
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *row = NULL;
    PK_CLEANUP(train_done) struct train train;
    const char *mapper = NULL;
    train_begin(&train, context, NULL);
    if (!find_row(context, task, &mapper, &row, err)) {
        return false;
    }
    if (!row || pk_doc_date(row, "value.completedAt", 0)) {
        return true;
    }
    const char *actor = pk_doc_text(row, "value.askedBy");
    train.mapper = mapper;
    train.task = task;
    train.actor = actor ? actor : "personakit";
    train.deadline_ns = task->deadline_ns;
    train_row_take(&train, row);
    return go(&train, row, list, err);
}

bool pk_train_failed(void *context, const struct pk_task *task, const struct pk_error *why,
                     struct pk_writes *list, struct pk_error *err)
{
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *row = NULL;
    PK_CLEANUP(train_done) struct train train;
    const char *mapper = NULL;
    train_begin(&train, context, NULL);
    if (!find_row(context, task, &mapper, &row, err)) {
        return false;
    }
    if (row && !pk_doc_date(row, "value.completedAt", 0)) {
        const char *actor = pk_doc_text(row, "value.askedBy");
        train.mapper = mapper;
        train.actor = actor ? actor : "personakit";
        train_row_take(&train, row);
        (void)snprintf(train.problem, sizeof(train.problem), "%s", why->message);
        train_row_put(&train, row, task->id, "failed", 0, list);
    }
    return true;
}
