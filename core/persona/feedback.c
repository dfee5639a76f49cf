/* feedback.c - Feedback is checked against the generation it is about, and written with its counts.
 *
 * One list of writes holds the feedback, its event, the counts of the actor who
 * sent it and of the mapper's version, the persona's 'feedbackReceived' when it
 * is still that generation, and the task, when a processor accepts feedback.
 * Counts are added up by the store, so that many may send at the same time; the
 * persona is replaced at its version, once in its life.
 *
 * Thread: any. */
/* SPDX-License-Identifier: MIT */
#include "persona/feedback.h"

#include "access/actor.h"
#include "base/alloc.h"
#include "base/clock.h"
#include "base/error.h"
#include "doc/doc.h"
#include "doc/path.h"
#include "feed/outbox.h"
#include "persona/persona.h"
#include "persona/registry.h"
#include "script/scripts.h"
#include "store/store.h"

#include <string.h>

/* ---- What it is about ---- */

static bool find_record(const struct pk_domain *domain, const char *id, int64_t deadline_ns,
                        struct pk_doc **out, struct pk_error *err)
{
    PK_CLEANUP(pk_page_done) struct pk_page page = { 0 };
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *cached = NULL;
    const struct pk_query latest = { .collection = "persona_log",
                                     .index = "by_persona",
                                     .equal = { PK_TEXT(id) },
                                     .equal_count = 1,
                                     .limit = 1 };
    const bool is_instance = pk_uuid_is_v4(id, strlen(id));
    *out = NULL;
    if (!is_instance &&
        !pk_store_get(domain->books->store, "personas", id, deadline_ns, &cached, err)) {
        return pk_wrap(err, "read the persona");
    }
    if (is_instance || cached) {
        const char *instance = is_instance ? id : pk_doc_text(cached, "personaInstanceId");
        return pk_store_get(domain->books->store, "persona_log", instance, deadline_ns, out, err) ||
               pk_wrap(err, "read the persona's record");
    }
    if (!pk_store_find(domain->books->store, &latest, deadline_ns, &page, err)) {
        return pk_wrap(err, "read the persona's record");
    }
    *out = page.count > 0 ? pk_doc_ref(page.doc[0]) : NULL;
    return true;
}

/* Who has not said which variant he means, means what is made for the person now. */
bool pk_feedback_find(const struct pk_domain *domain, const char *id, int64_t deadline_ns,
                      struct pk_doc **out, struct pk_error *err)
{
    PK_CLEANUP(pk_freep) char *canary = pk_persona_canary_id(domain, id);
    *out = NULL;
    return (!canary || find_record(domain, canary, deadline_ns, out, err)) &&
           (*out || find_record(domain, id, deadline_ns, out, err));
}

bool pk_feedback_get(const struct pk_domain *domain, const char *id, int64_t deadline_ns,
                     struct pk_doc **out, struct pk_error *err)
{
    return pk_store_get(domain->books->store, "feedback", id, deadline_ns, out, err) ||
           pk_wrap(err, "read the feedback");
}

/* ---- Checks ---- */

struct submission {
    const struct pk_domain *domain;
    const struct pk_by *by;
    const struct pk_doc *target;
    const bson_t *body;
    const char *sender; /* submittedBy */
    int64_t now_ms;
    char id[PK_UUID_TEXT];
    struct pk_feedback_taken *out; /* Filled before 'by->complete' is asked. */
};

static const char *text_in(const bson_t *doc, const char *path)
{
    bson_iter_t iter;
    return pk_path_find(doc, path, &iter) && BSON_ITER_HOLDS_UTF8(&iter)
               ? bson_iter_utf8(&iter, NULL)
               : NULL;
}

static bool has_fired(const struct pk_doc *target, const char *rule)
{
    bson_t view;
    bson_iter_t iter, item;
    pk_doc_view(target, &view);
    if (!bson_iter_init_find(&iter, &view, "ruleIds") || !BSON_ITER_HOLDS_ARRAY(&iter) ||
        !bson_iter_recurse(&iter, &item)) {
        return false;
    }
    while (bson_iter_next(&item)) {
        if (BSON_ITER_HOLDS_UTF8(&item) && strcmp(bson_iter_utf8(&item, NULL), rule) == 0) {
            return true;
        }
    }
    return false;
}

/* What is said once outside and once inside 'feedback', or known of the generation. */
static bool check_target(const struct submission *it, struct pk_error *err)
{
    const char *instance = text_in(it->body, "personaInstanceId");
    const char *version = text_in(it->body, "mapperVersion");
    const char *rule = text_in(it->body, "ruleId");
    const char *made_by = pk_doc_text(it->target, "mapperVersion");
    const char *persona = pk_doc_text(it->target, "personaId");
    PK_CLEANUP(pk_freep)
    char *canary = instance ? pk_persona_canary_id(it->domain, instance) : NULL;

    if (instance && strcmp(instance, pk_doc_id(it->target)) != 0 &&
        strcmp(instance, persona) != 0 && (!canary || strcmp(canary, persona) != 0)) {
        return pk_fail_field(err, PK_INVALID, "feedback.personaInstanceId",
                             "leave it out: it stands beside 'feedback'",
                             "feedback.personaInstanceId names another persona");
    }
    if (version && strcmp(version, made_by) != 0) {
        return pk_fail_field(err, PK_INVALID, "feedback.mapperVersion",
                             "leave it out: the generation knows its version",
                             "version '%.90s' did not make this persona; '%.90s' did", version,
                             made_by);
    }
    return !rule || has_fired(it->target, rule) ||
           pk_fail_field(err, PK_INVALID, "feedback.ruleId",
                         "name a rule that fired: the persona's explanation lists them",
                         "rule '%.100s' did not fire in this persona", rule);
}

/* Who sends for others is a system, and they exist: they are counted for. */
static bool check_sender(struct submission *it, struct pk_error *err)
{
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *own = NULL;
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *other = NULL;
    struct pk_store *store = it->domain->books->store;
    const char *named = text_in(it->body, "submittedBy");

    it->sender = named ? named : it->by->actor_id;
    if (strcmp(it->sender, it->by->actor_id) == 0) {
        return true;
    }
    if (!pk_store_get(store, "actors", it->by->actor_id, it->by->deadline_ns, &own, err)) {
        return pk_wrap(err, "read who sends the feedback");
    }
    const char *type = own ? pk_doc_text(own, "actorType") : NULL;
    if (!type || strcmp(type, "system") != 0) {
        return pk_fail_field(err, PK_FORBIDDEN, "feedback.submittedBy",
                             "leave it out, or send it as an actor of type 'system'",
                             "only a system may submit feedback for another actor");
    }
    if (!pk_store_get(store, "actors", it->sender, it->by->deadline_ns, &other, err)) {
        return pk_wrap(err, "read for whom the feedback is sent");
    }
    return other || pk_fail_field(err, PK_INVALID, "feedback.submittedBy", "name an actor",
                                  "there is no actor '%.64s'", it->sender);
}

/* ---- The document ---- */

/* An array with something in it, or a text that is more than spaces. */
static bool is_filled(const bson_iter_t *value)
{
    bson_iter_t item;
    if (BSON_ITER_HOLDS_ARRAY(value)) {
        return bson_iter_recurse(value, &item) && bson_iter_next(&item);
    }
    if (!BSON_ITER_HOLDS_UTF8(value)) {
        return false;
    }
    const char *text = bson_iter_utf8(value, NULL);
    return text[strspn(text, " \t\r\n")] != '\0';
}

int pk_feedback_words(const bson_t *feedback)
{
    static const char *const field[PK_FEEDBACK_WORDS] = { "specificFeedback.whatWorkedWell",
                                                          "specificFeedback.whatDidntWork",
                                                          "specificFeedback.missingSections",
                                                          "specificFeedback.incorrectSections",
                                                          "specificFeedback.suggestions" };
    bson_iter_t iter;
    int count = 0;
    for (size_t i = 0; i < PK_COUNT(field); i++) {
        count += pk_path_find(feedback, field[i], &iter) && is_filled(&iter);
    }
    return count;
}

static struct pk_doc *make(const struct submission *it)
{
    static const char *const said[] = { "taskContext", "ratings", "specificFeedback",
                                        "impact",      "helpful", "context",
                                        "ruleId" };
    const char *actor = text_in(it->body, "actorId");
    bson_t *doc = bson_new();
    bson_iter_t iter;

    BSON_APPEND_UTF8(doc, "_id", it->id);
    BSON_APPEND_UTF8(doc, "userId", pk_doc_text(it->target, "userId"));
    BSON_APPEND_UTF8(doc, "personaInstanceId", pk_doc_id(it->target));
    BSON_APPEND_UTF8(doc, "mapperId", pk_doc_text(it->target, "mapperId"));
    BSON_APPEND_UTF8(doc, "mapperVersion", pk_doc_text(it->target, "mapperVersion"));
    BSON_APPEND_UTF8(doc, "actorId", actor ? actor : it->sender);
    for (size_t i = 0; i < PK_COUNT(said); i++) {
        if (bson_iter_init_find(&iter, it->body, said[i])) {
            (void)bson_append_iter(doc, said[i], -1, &iter);
        }
    }
    BSON_APPEND_DATE_TIME(doc, "submittedAt", it->now_ms);
    BSON_APPEND_UTF8(doc, "submittedBy", it->sender);
    BSON_APPEND_UTF8(doc, "processingStatus", "pending");
    return pk_doc_take(doc);
}

/* ---- What is counted ---- */

static void append_usage(const bson_iter_t *usage, bson_t *out)
{
    bson_iter_t field;
    bson_t child;
    BSON_APPEND_DOCUMENT_BEGIN(out, "usageMetadata", &child);
    for (bool more = bson_iter_recurse(usage, &field); more && bson_iter_next(&field);) {
        if (strcmp(bson_iter_key(&field), "feedbackReceived") != 0) {
            (void)bson_append_iter(&child, NULL, 0, &field);
        }
    }
    BSON_APPEND_BOOL(&child, "feedbackReceived", true);
    bson_append_document_end(out, &child);
}

/* The cached persona hears of its first feedback, while it is the generation that was meant. */
static bool mark_persona(const struct submission *it, struct pk_writes *list, struct pk_error *err)
{
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *persona = NULL;
    bson_t view, *marked;
    bson_iter_t iter;

    if (!pk_store_get(it->domain->books->store, "personas", pk_doc_text(it->target, "personaId"),
                      it->by->deadline_ns, &persona, err)) {
        return pk_wrap(err, "read the persona");
    }
    if (!persona || pk_doc_bool(persona, "usageMetadata.feedbackReceived", false) ||
        strcmp(pk_doc_text(persona, "personaInstanceId"), pk_doc_id(it->target)) != 0) {
        return true;
    }
    marked = bson_new();
    pk_doc_view(persona, &view);
    for (bool more = bson_iter_init(&iter, &view); more && bson_iter_next(&iter);) {
        if (strcmp(bson_iter_key(&iter), "usageMetadata") == 0) {
            append_usage(&iter, marked);
        } else {
            (void)bson_append_iter(marked, NULL, 0, &iter);
        }
    }
    struct pk_doc *doc = pk_doc_take(marked);
    pk_writes_replace(list, "personas", doc, pk_doc_version(persona));
    pk_doc_unref(doc);
    return true;
}

static void count_all(const struct submission *it, struct pk_writes *list)
{
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *mapper = NULL;
    const struct pk_count sent[] = {
        { .path = "usageMetadata.totalFeedbackProvided", .amount = 1 },
        { .path = "usageMetadata.feedbackWords", .amount = pk_feedback_words(it->body) },
    };
    const struct pk_count got = { .path = "trainingMetadata.totalFeedbackCount", .amount = 1 };
    pk_writes_count(list, "actors", it->sender, sent, PK_COUNT(sent));
    if (it->domain->registry &&
        pk_registry_get(it->domain->registry, PK_SCRIPT_MAPPER, pk_doc_text(it->target, "mapperId"),
                        pk_doc_text(it->target, "mapperVersion"), &mapper, NULL)) {
        pk_writes_count(list, "mappers", pk_doc_id(mapper), &got, 1);
    }
}

/* ---- Writing ---- */

static bool has_processor(const struct pk_domain *domain)
{
    const struct pk_script *one;
    struct pk_generation *pinned = pk_scripts_pin(domain->scripts);
    const bool is_there = pk_generation_accepting(pinned, PK_FEEDBACK_TYPE, &one, 1) > 0;
    pk_generation_unpin(pinned);
    return is_there;
}

static void ask_for_work(const struct submission *it, struct pk_writes *list)
{
    bson_t payload = BSON_INITIALIZER;
    BSON_APPEND_UTF8(&payload, "feedbackId", it->id);
    pk_task_add(list, it->domain->books,
                &(struct pk_task_new){ .type = PK_FEEDBACK_TASK,
                                       .person = pk_doc_text(it->target, "userId"),
                                       .actor = it->by->actor_id,
                                       .payload = &payload },
                it->out->task);
    bson_destroy(&payload);
}

static void announce(const struct submission *it, struct pk_writes *list)
{
    const struct pk_fact fact[] = {
        { "personaInstanceId", pk_doc_id(it->target) },
        { "personaId", pk_doc_text(it->target, "personaId") },
        { "mapperId", pk_doc_text(it->target, "mapperId") },
        { "mapperVersion", pk_doc_text(it->target, "mapperVersion") },
        { "taskId", it->out->is_queued ? it->out->task : NULL },
        { NULL, NULL },
    };
    pk_news_add(list, it->domain->books,
                &(struct pk_news){ .type = "feedback.received",
                                   .entity_type = "feedback",
                                   .entity_id = it->id,
                                   .service = "persona",
                                   .person = pk_doc_text(it->target, "userId"),
                                   .fact = fact });
}

static bool decide(void *context, struct pk_writes *list, struct pk_error *err)
{
    struct submission *it = context;
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *doc = make(it);
    bson_t view;

    pk_writes_insert(list, "feedback", doc);
    pk_doc_view(doc, &view);
    pk_doc_unref(it->out->doc);
    it->out->doc = pk_doc_new_versioned(&view, pk_writes_version(list, 0));
    pk_writes_expect_absent(list, "tombstones", pk_doc_text(it->target, "userId"));
    if (!mark_persona(it, list, err)) {
        return false;
    }
    count_all(it, list);
    if (it->out->is_queued) {
        ask_for_work(it, list);
    }
    announce(it, list);
    return !it->by->complete || it->by->complete(it->by->context, list, it->out->doc, err);
}

/* A person who is erased meanwhile has no personas any more. */
static bool is_erased(const struct submission *it)
{
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *tombstone = NULL;
    return pk_store_get(it->domain->books->store, "tombstones", pk_doc_text(it->target, "userId"),
                        it->by->deadline_ns, &tombstone, NULL) &&
           tombstone;
}

bool pk_feedback_submit(const struct pk_domain *domain, const struct pk_by *by,
                        const struct pk_doc *target, const bson_t *body,
                        struct pk_feedback_taken *out, struct pk_error *err)
{
    struct submission it = {
        .domain = domain, .by = by, .target = target, .body = body, .out = out
    };

    *out = (struct pk_feedback_taken){ .doc = NULL };
    if (!check_target(&it, err) || !check_sender(&it, err)) {
        return false;
    }
    if (is_erased(&it)) {
        return pk_fail(err, PK_NOT_FOUND, "look at the id", "there is no such persona");
    }
    it.now_ms = pk_clock_wall_ms(domain->books->clock);
    pk_uuid_ordered(it.now_ms, it.id);
    out->is_queued = domain->outbox && has_processor(domain);
    out->estimate_minutes =
        out->is_queued ? pk_outbox_estimate(domain->outbox, PK_FEEDBACK_TASK) : 0;
    if (!pk_by_decide(by, domain->books, decide, &it, err)) {
        pk_doc_unref(out->doc);
        *out = (struct pk_feedback_taken){ .doc = NULL };
        return pk_wrap(err, "take the feedback");
    }
    return true;
}
