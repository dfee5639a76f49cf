/* feedback_process.c - Feedback through the processors that accept it.
 *
 * What they make of it (operations) is kept with the feedback as its lessons,
 * by processor and version, and nothing else happens: whoever trains a mapper
 * (train.h) reads them, and has them made anew where other versions of the
 * processors serve by then. A feedback is processed once; one that was erased meanwhile, or
 * processed already, is no failure.
 *
 * Thread: the task's. */
/* SPDX-License-Identifier: MIT */
#include "persona/feedback_internal.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/error.h"
#include "doc/doc.h"
#include "doc/path.h"
#include "feed/outbox.h"
#include "persona/mindscape.h"
#include "persona/process.h"
#include "script/scripts.h"
#include "store/store.h"

#include <string.h>

/* The feedback as processors see it. */
static struct pk_doc *as_observation(const struct pk_doc *feedback)
{
    bson_t *made = bson_new();
    bson_t child, view;
    pk_doc_view(feedback, &view);
    BSON_APPEND_UTF8(made, "_id", pk_doc_id(feedback));
    BSON_APPEND_UTF8(made, "userId", pk_doc_text(feedback, "userId"));
    BSON_APPEND_UTF8(made, "sourceType", PK_FEEDBACK_TYPE);
    BSON_APPEND_DOCUMENT_BEGIN(made, "content", &child);
    BSON_APPEND_DOCUMENT(&child, "structured", &view);
    bson_append_document_end(made, &child);
    BSON_APPEND_DATE_TIME(made, "effectiveAt", pk_doc_date(feedback, "submittedAt", 0));
    return pk_doc_take(made);
}

static void append_lessons(const struct pk_processed *processed, size_t count, bson_t *out)
{
    bson_t list, lesson;
    BSON_APPEND_ARRAY_BEGIN(out, "lessons", &list);
    for (size_t i = 0; i < count; i++) {
        char room[16];
        const char *key;
        (void)bson_uint32_to_string((uint32_t)i, &key, room, sizeof(room));
        BSON_APPEND_DOCUMENT_BEGIN(&list, key, &lesson);
        BSON_APPEND_UTF8(&lesson, "processorId", processed[i].processor_id);
        BSON_APPEND_UTF8(&lesson, "processorVersion", processed[i].processor_version);
        BSON_APPEND_ARRAY(&lesson, "operations", &processed[i].operations);
        bson_append_document_end(&list, &lesson);
    }
    bson_append_array_end(out, &list);
}

static bool is_made_anew(const char *name)
{
    return strcmp(name, "processingStatus") == 0 || strcmp(name, "processedAt") == 0 ||
           strcmp(name, "lessons") == 0;
}

static struct pk_doc *processed_feedback(const struct pk_doc *feedback,
                                         const struct pk_processed *processed, size_t count,
                                         int64_t now_ms)
{
    bson_t view, *made = bson_new();
    bson_iter_t iter;
    pk_doc_view(feedback, &view);
    for (bool more = bson_iter_init(&iter, &view); more && bson_iter_next(&iter);) {
        if (!is_made_anew(bson_iter_key(&iter))) {
            (void)bson_append_iter(made, NULL, 0, &iter);
        }
    }
    BSON_APPEND_UTF8(made, "processingStatus", "processed");
    BSON_APPEND_DATE_TIME(made, "processedAt", now_ms);
    append_lessons(processed, count, made);
    return pk_doc_take(made);
}

static bool run_processors(const struct pk_domain *domain, int64_t deadline_ns,
                           const struct pk_doc *feedback, struct pk_processed *out, size_t *count,
                           struct pk_error *err)
{
    const int64_t now_ms = pk_clock_wall_ms(domain->books->clock);
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *observation = as_observation(feedback);
    PK_CLEANUP(pk_doc_unrefp)
    struct pk_doc *nothing = pk_mindscape_empty(pk_doc_text(feedback, "userId"), now_ms);
    struct pk_generation *pinned = pk_scripts_pin(domain->scripts);
    const struct pk_process_how how = { .generation = pinned,
                                        .known_at_ms = now_ms,
                                        .deadline_ns = deadline_ns };
    const bool ok = pk_process_observation(domain, &how, observation, nothing, out, count, err);
    pk_generation_unpin(pinned);
    return ok;
}

static void announce(const struct pk_domain *domain, const struct pk_doc *feedback,
                     struct pk_writes *list)
{
    const struct pk_fact fact[] = { { "mapperId", pk_doc_text(feedback, "mapperId") },
                                    { "mapperVersion", pk_doc_text(feedback, "mapperVersion") },
                                    { NULL, NULL } };
    pk_news_add(list, domain->books,
                &(struct pk_news){ .type = "feedback.processed",
                                   .entity_type = "feedback",
                                   .entity_id = pk_doc_id(feedback),
                                   .service = "persona",
                                   .person = pk_doc_text(feedback, "userId"),
                                   .fact = fact });
}

void feedback_put(const struct pk_domain *domain, const struct pk_doc *feedback,
                  struct pk_doc *learnt, struct pk_writes *list)
{
    pk_writes_replace(list, "feedback", learnt, pk_doc_version(feedback));
    pk_writes_expect_absent(list, "tombstones", pk_doc_text(feedback, "userId"));
    announce(domain, feedback, list);
}

bool feedback_learn(const struct pk_domain *domain, const struct pk_doc *feedback,
                    int64_t deadline_ns, struct pk_doc **out, struct pk_error *err)
{
    struct pk_processed processed[PK_PROCESSORS_MAX];
    size_t count = 0;
    const bool ok = run_processors(domain, deadline_ns, feedback, processed, &count, err);
    if (ok) {
        *out =
            processed_feedback(feedback, processed, count, pk_clock_wall_ms(domain->books->clock));
    }
    for (size_t i = 0; i < count; i++) {
        pk_processed_done(&processed[i]);
    }
    return ok;
}

/* The next lesson is of this version. */
static bool is_lesson_of(bson_iter_t *lessons, const struct pk_script *script)
{
    bson_iter_t id, version;
    return bson_iter_next(lessons) && bson_iter_recurse(lessons, &id) &&
           bson_iter_find(&id, "processorId") && BSON_ITER_HOLDS_UTF8(&id) &&
           strcmp(bson_iter_utf8(&id, NULL), script->id) == 0 &&
           bson_iter_recurse(lessons, &version) && bson_iter_find(&version, "processorVersion") &&
           BSON_ITER_HOLDS_UTF8(&version) &&
           strcmp(bson_iter_utf8(&version, NULL), script->version) == 0;
}

bool feedback_is_learnt(const struct pk_doc *feedback, const struct pk_generation *generation)
{
    const struct pk_script *script[PK_PROCESSORS_MAX];
    const size_t count =
        pk_generation_accepting(generation, PK_FEEDBACK_TYPE, script, PK_PROCESSORS_MAX);
    bson_t view;
    bson_iter_t iter, lessons;

    pk_doc_view(feedback, &view);
    if (count > PK_PROCESSORS_MAX || !bson_iter_init_find(&iter, &view, "lessons") ||
        !BSON_ITER_HOLDS_ARRAY(&iter) || !bson_iter_recurse(&iter, &lessons)) {
        return false;
    }
    for (size_t i = 0; i < count; i++) {
        if (!is_lesson_of(&lessons, script[i])) {
            return false;
        }
    }
    return !bson_iter_next(&lessons);
}

bool pk_feedback_run(void *context, const struct pk_task *task, struct pk_writes *list,
                     struct pk_error *err)
{
    const struct pk_domain *domain = context;
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *feedback = NULL;
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *learnt = NULL;
    bson_iter_t id;

    if (!bson_iter_init_find(&id, &task->payload, "feedbackId") || !BSON_ITER_HOLDS_UTF8(&id)) {
        return pk_fail(err, PK_INVALID, "discard the task", "the task names no feedback");
    }
    if (!pk_feedback_get(domain, bson_iter_utf8(&id, NULL), task->deadline_ns, &feedback, err)) {
        return false;
    }
    if (!feedback || strcmp(pk_doc_text(feedback, "processingStatus"), "pending") != 0) {
        return true;
    }
    if (!feedback_learn(domain, feedback, task->deadline_ns, &learnt, err)) {
        return false;
    }
    feedback_put(domain, feedback, learnt, list);
    return true;
}
