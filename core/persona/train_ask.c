/* train_ask.c - A training is asked for, and shown: one row of 'settings' for each mapper.
 *
 * The row "train.<mapper>" names the task, so that one mapper is trained once
 * at a time; what came of it is written there in the list that ends the task.
 * A training whose draft is written and whose feedback is not all marked yet is
 * gone on with by whoever asks next, if its task has been given up.
 *
 * Thread: any. */
/* SPDX-License-Identifier: MIT */
#include "persona/train_internal.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/error.h"
#include "doc/doc.h"
#include "doc/path.h"
#include "persona/feedback.h"
#include "persona/registry.h"
#include "script/scripts.h"
#include "store/store.h"

#include <stdio.h>
#include <string.h>

/* ---- The row ---- */

char *train_row_id(const char *mapper)
{
    return pk_strdupf("train.%s", mapper);
}

bool train_row_read(const struct pk_domain *domain, const char *mapper, int64_t deadline_ns,
                    struct pk_doc **out, struct pk_error *err)
{
    PK_CLEANUP(pk_freep) char *id = train_row_id(mapper);
    *out = NULL;
    return pk_store_get(domain->books->store, "settings", id, deadline_ns, out, err) ||
           pk_wrap(err, "read how the training stands");
}

static void put_text(bson_t *out, const char *name, const char *text)
{
    if (text && *text) {
        BSON_APPEND_UTF8(out, name, text);
    }
}

void train_put(const struct train *train, bson_t *out)
{
    put_text(out, "parentVersion", train->parent);
    put_text(out, "version", train->version);
    if (train->since_ms) {
        BSON_APPEND_DATE_TIME(out, "since", train->since_ms);
    }
    BSON_APPEND_INT64(out, "samples", train->samples);
    BSON_APPEND_INT64(out, "incorporated", train->incorporated);
    BSON_APPEND_INT64(out, "failures", train->failures);
    put_text(out, "problem", train->problem);
    BSON_APPEND_ARRAY(out, "changes", &train->changes);
    BSON_APPEND_ARRAY(out, "open", &train->open);
    BSON_APPEND_DATE_TIME(out, "startedAt", train->started_ms);
}

void train_row_put(const struct train *train, const struct pk_doc *row, const char *task,
                   const char *status, int64_t completed_ms, struct pk_writes *list)
{
    PK_CLEANUP(pk_freep) char *id = train_row_id(train->mapper);
    bson_t value, *made = bson_new();
    BSON_APPEND_UTF8(made, "_id", id);
    BSON_APPEND_DOCUMENT_BEGIN(made, "value", &value);
    BSON_APPEND_UTF8(&value, "status", status);
    BSON_APPEND_UTF8(&value, "taskId", task);
    BSON_APPEND_UTF8(&value, "askedBy", train->actor);
    train_put(train, &value);
    if (completed_ms) {
        BSON_APPEND_DATE_TIME(&value, "completedAt", completed_ms);
    }
    bson_append_document_end(made, &value);
    BSON_APPEND_DATE_TIME(made, "updatedAt", pk_clock_wall_ms(train->domain->books->clock));
    BSON_APPEND_UTF8(made, "updatedBy", train->actor);
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *doc = pk_doc_take(made);
    if (row) {
        pk_writes_replace(list, "settings", doc, pk_doc_version(row));
    } else {
        pk_writes_insert(list, "settings", doc);
    }
}

static void take_text(const struct pk_doc *row, const char *path, char *out, size_t size)
{
    const char *text = pk_doc_text(row, path);
    (void)snprintf(out, size, "%s", text ? text : "");
}

static void take_list(const struct pk_doc *row, const char *path, bson_t *out)
{
    bson_t view, list;
    bson_iter_t iter;
    const uint8_t *data;
    uint32_t size;
    pk_doc_view(row, &view);
    if (pk_path_find(&view, path, &iter) && BSON_ITER_HOLDS_ARRAY(&iter)) {
        bson_iter_array(&iter, &size, &data);
        if (bson_init_static(&list, data, size)) {
            bson_destroy(out);
            bson_copy_to(&list, out);
        }
    }
}

void train_row_take(struct train *train, const struct pk_doc *row)
{
    take_text(row, "value.parentVersion", train->parent, sizeof(train->parent));
    take_text(row, "value.version", train->version, sizeof(train->version));
    take_text(row, "value.problem", train->problem, sizeof(train->problem));
    train->since_ms = pk_doc_date(row, "value.since", 0);
    train->started_ms = pk_doc_date(row, "value.startedAt", 0);
    train->samples = pk_doc_int(row, "value.samples", 0);
    train->incorporated = pk_doc_int(row, "value.incorporated", 0);
    train->failures = pk_doc_int(row, "value.failures", 0);
    take_list(row, "value.changes", &train->changes);
    take_list(row, "value.open", &train->open);
}

/* ---- Showing ---- */

bool pk_train_show(const struct pk_domain *domain, const char *mapper, int64_t deadline_ns,
                   bson_t *out, struct pk_error *err)
{
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *row = NULL;
    bson_t view;
    bson_iter_t iter, each;
    if (!train_row_read(domain, mapper, deadline_ns, &row, err)) {
        return false;
    }
    bson_init(out);
    BSON_APPEND_UTF8(out, "mapperId", mapper);
    BSON_APPEND_BOOL(out, "dryRun", false);
    if (!row) {
        BSON_APPEND_UTF8(out, "status", "none");
        return true;
    }
    pk_doc_view(row, &view);
    for (bool more = bson_iter_init_find(&iter, &view, "value") && bson_iter_recurse(&iter, &each);
         more && bson_iter_next(&each);) {
        (void)bson_append_iter(out, NULL, 0, &each);
    }
    return true;
}

struct pk_doc *pk_train_doc(const char *mapper, const char *task)
{
    bson_t *made = bson_new();
    BSON_APPEND_UTF8(made, "mapperId", mapper);
    BSON_APPEND_BOOL(made, "dryRun", false);
    BSON_APPEND_UTF8(made, "status", "running");
    BSON_APPEND_UTF8(made, "taskId", task);
    return pk_doc_take(made);
}

/* ---- Asking ---- */

static bool has_processor(const struct pk_domain *domain)
{
    const struct pk_script *one;
    struct pk_generation *pinned = pk_scripts_pin(domain->scripts);
    const bool is_there = pk_generation_accepting(pinned, PK_FEEDBACK_TYPE, &one, 1) > 0;
    pk_generation_unpin(pinned);
    return is_there;
}

/* The version to train from, and that there is somebody who can learn. */
static bool begin(struct train *train, const struct pk_train *asked, struct pk_error *err)
{
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *parent = NULL;
    if (!pk_registry_get(train->domain->registry, PK_SCRIPT_MAPPER, asked->mapper, asked->version,
                         &parent, err)) {
        return false;
    }
    if (!has_processor(train->domain)) {
        return pk_fail(err, PK_CONFLICT,
                       "activate a processor that accepts 'feedback', as the shipped "
                       "'feedback-votes' does",
                       "nobody can learn from feedback: no processor accepts it");
    }
    take_text(parent, "version", train->parent, sizeof(train->parent));
    train->since_ms = asked->since_ms;
    train->started_ms = pk_clock_wall_ms(train->domain->books->clock);
    return true;
}

bool pk_train_dry(const struct pk_domain *domain, const struct pk_by *by,
                  const struct pk_train *asked, bson_t *out, struct pk_error *err)
{
    PK_CLEANUP(train_done) struct train train;
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *draft = NULL;
    struct pk_error why = { 0 };
    train_begin(&train, domain, asked->mapper);
    train.actor = by->actor_id;
    train.deadline_ns = by->deadline_ns;
    if (!begin(&train, asked, err) ||
        !pk_registry_load(domain->registry, PK_SCRIPT_MAPPER, train.mapper, train.parent,
                          train.deadline_ns, &train.script, err) ||
        !train_learn(&train, err)) {
        return pk_wrap(err, "train '%.64s'", asked->mapper);
    }
    if (train_decide(&train) && !train_draft(&train, &draft, &why) && !train.problem[0]) {
        (void)snprintf(train.problem, sizeof(train.problem), "%s", why.message);
    }
    bson_init(out);
    BSON_APPEND_UTF8(out, "mapperId", train.mapper);
    BSON_APPEND_BOOL(out, "dryRun", true);
    BSON_APPEND_UTF8(out, "status", "none");
    train_put(&train, out);
    return true;
}

struct asking {
    const struct pk_domain *domain;
    const struct pk_by *by;
    const struct pk_train *asked;
    char *out_task;
};

/* PK_CONFLICT: the task that the row names is not at its end. */
static bool check_free(const struct asking *asking, const struct pk_doc *row, struct pk_error *err)
{
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *task = NULL;
    struct pk_error why = { 0 };
    const char *id = pk_doc_text(row, "value.taskId");
    const char *status = NULL;
    if (id && !pk_outbox_get(asking->domain->books, id, &task, &why) && why.code != PK_NOT_FOUND) {
        *err = why;
        return false;
    }
    status = task ? pk_doc_text(task, "status") : NULL;
    if (status && (strcmp(status, "pending") == 0 || strcmp(status, "in_progress") == 0)) {
        return pk_fail(err, PK_CONFLICT, "wait for it: 'personakit task show' says how far it is",
                       "'%.64s' is being trained already: task %s", asking->asked->mapper, id);
    }
    return true;
}

static void add_task(const struct asking *asking, struct pk_writes *list)
{
    const struct pk_books *books = asking->domain->books;
    bson_t payload = BSON_INITIALIZER;
    BSON_APPEND_UTF8(&payload, "mapperId", asking->asked->mapper);
    pk_task_add(list, books,
                &(struct pk_task_new){
                    .type = PK_TRAIN_TASK, .actor = asking->by->actor_id, .payload = &payload },
                asking->out_task);
    bson_destroy(&payload);
}

static void tell(const struct asking *asking, const struct train *train, struct pk_writes *list)
{
    const struct pk_fact fact[] = { { "taskId", asking->out_task },
                                    { "version", train->parent },
                                    { NULL, NULL } };
    pk_audit_add(list, asking->domain->books, asking->by,
                 &(struct pk_audit){ .action = "mapper.training.asked",
                                     .target_type = "mappers",
                                     .target_id = train->mapper,
                                     .fact = fact });
    pk_news_add(list, asking->domain->books,
                &(struct pk_news){ .type = "mapper.training.asked",
                                   .entity_type = "mapper",
                                   .entity_id = train->mapper,
                                   .service = "persona",
                                   .fact = fact });
}

static bool decide(void *context, struct pk_writes *list, struct pk_error *err)
{
    struct asking *asking = context;
    const struct pk_by *by = asking->by;
    PK_CLEANUP(train_done) struct train train;
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *row = NULL;
    train_begin(&train, asking->domain, asking->asked->mapper);
    train.actor = by->actor_id;
    if (!begin(&train, asking->asked, err) ||
        !train_row_read(asking->domain, train.mapper, by->deadline_ns, &row, err) ||
        (row && !check_free(asking, row, err))) {
        return false;
    }
    if (row && pk_doc_text(row, "value.version") && !pk_doc_date(row, "value.completedAt", 0)) {
        train_row_take(&train, row); /* Its draft is there: the marks are wanted. */
    }
    add_task(asking, list);
    train_row_put(&train, row, asking->out_task, "running", 0, list);
    tell(asking, &train, list);
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *answer = pk_train_doc(train.mapper, asking->out_task);
    return !by->complete || by->complete(by->context, list, answer, err);
}

bool pk_train_ask(const struct pk_domain *domain, const struct pk_by *by,
                  const struct pk_train *train, char out_task[PK_UUID_TEXT], struct pk_error *err)
{
    struct asking asking = { .domain = domain, .by = by, .asked = train, .out_task = out_task };
    return pk_by_decide(by, domain->books, decide, &asking, err) ||
           pk_wrap(err, "train '%.64s'", train->mapper);
}
