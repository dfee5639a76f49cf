/* feedback.c - /v1/feedback: what came of using a persona, and what a mapper's feedback says.
 *
 * POST takes what the specification calls SubmitFeedbackRequest. Whether there
 * is such a persona is said in the words of all others that are not there. The
 * author of a mapper reads feedback on people whom he may see, and its sums
 * over everybody; everybody reads what he sent. */
/* SPDX-License-Identifier: MIT */
#include "persona/feedback.h"
#include "api/resources.h"
#include "api/versions.h"
#include "base/alloc.h"
#include "base/arena.h"
#include "base/error.h"
#include "base/id.h"
#include "doc/doc.h"
#include "doc/schema_explain.h"

#include <math.h>
#include <string.h>

/* ---- POST /v1/feedback ---- */

static bool find_target(struct pk_api_call *call, struct pk_object *object, struct pk_error *err)
{
    const char *instance = pk_call_text(call, "personaInstanceId");
    if (!pk_feedback_find(call->parts->domain, instance ? instance : "", call->deadline_ns,
                          &call->found, err)) {
        return false;
    }
    object->is_missing = call->found == NULL;
    if (call->found) {
        object->person = pk_doc_text(call->found, "userId");
        object->mapper = pk_doc_text(call->found, "mapperId");
    }
    return true;
}

static bool show_taken(struct pk_api_call *call, const struct pk_doc *doc, struct pk_error *err)
{
    const struct pk_feedback_taken *taken = call->own;
    PK_CLEANUP(bson_destroy) bson_t out = BSON_INITIALIZER;
    BSON_APPEND_UTF8(&out, "feedbackId", pk_doc_id(doc));
    BSON_APPEND_UTF8(&out, "status", taken->is_queued ? "queued" : "accepted");
    if (taken->is_queued) {
        BSON_APPEND_DOUBLE(&out, "estimatedProcessingTime",
                           round(taken->estimate_minutes * 1e3) / 1e3);
    }
    return pk_call_made(call, err, "/v1/feedback/%s", pk_doc_id(doc)) &&
           pk_call_answer(call, &out, 0, err);
}

static bool submit(struct pk_api_call *call, struct pk_error *err)
{
    struct pk_feedback_taken *taken = pk_arena_alloc(&call->request->arena, sizeof(*taken));
    bson_iter_t iter;
    bson_t said;
    const uint8_t *data;
    uint32_t size;
    *taken = (struct pk_feedback_taken){ .doc = NULL };
    call->own = taken;
    if (!bson_iter_init_find(&iter, call->body, "feedback")) {
        return pk_fail_field(err, PK_INVALID, "feedback", NULL, "feedback is missing");
    }
    bson_iter_document(&iter, &size, &data);
    if (!bson_init_static(&said, data, size)) {
        return pk_fail(err, PK_INTERNAL, "report it", "the feedback cannot be read");
    }
    const bool ok =
        pk_feedback_submit(call->parts->domain, &call->by, call->found, &said, taken, err) &&
        pk_call_show(call, taken->doc, err);
    if (ok && taken->is_queued) {
        const char *task = taken->task;
        pk_call_wait_tasks(call, &task, 1, NULL, NULL);
    }
    pk_doc_unref(taken->doc);
    taken->doc = NULL;
    return ok;
}

/* ---- GET /v1/feedback/{feedback} ---- */

/* Of a person whom the author may not see it is not there, but for who sent it. */
static bool find_one(struct pk_api_call *call, struct pk_object *object, struct pk_error *err)
{
    if (!pk_feedback_get(call->parts->domain, pk_call_value(call, "feedback"), call->deadline_ns,
                         &call->found, err)) {
        return false;
    }
    object->is_missing = call->found == NULL;
    if (!call->found) {
        return true;
    }
    object->owner = pk_doc_text(call->found, "submittedBy");
    object->mapper = pk_doc_text(call->found, "mapperId");
    const bool is_own = call->who && strcmp(object->owner, call->who->actor_id) == 0;
    object->is_missing = !is_own && call->who &&
                         !pk_principal_may_see(call->who, pk_doc_text(call->found, "userId"));
    return true;
}

static bool show(struct pk_api_call *call, const struct pk_doc *feedback, struct pk_error *err)
{
    return pk_call_answer_doc(call, "feedback", feedback, err);
}

static bool get(struct pk_api_call *call, struct pk_error *err)
{
    return pk_call_show(call, call->found, err);
}

/* ---- GET /v1/mappers/{mapper}/feedback ---- */

static bool summarise(struct pk_api_call *call, struct pk_error *err)
{
    bson_t out;
    if (!pk_feedback_summary(call->parts->domain, pk_call_value(call, "mapper"),
                             pk_call_value(call, "version"), call->deadline_ns, &out, err)) {
        return false;
    }
    const bool ok = pk_call_answer(call, &out, 0, err);
    bson_destroy(&out);
    return ok;
}

/* ---- Routes ---- */

static const struct pk_param feedback_param[] = {
    { .name = "feedback", .type = PK_PARAM_UUID, .help = "The feedback's id." },
    { .name = NULL },
};
static const struct pk_param summary_param[] = {
    PK_PARAM_SCRIPT("mapper"),
    { .name = "version",
      .type = PK_PARAM_TEXT,
      .min = 1,
      .max = 90,
      .fallback = "all",
      .help = "Only feedback on personas that this version has made." },
    { .name = NULL },
};
static const enum pk_code submit_fails[] = { PK_CONFLICT, PK_OK };

static const struct pk_api_row row[] = {
    { PK_ROW(POST, "/v1/feedback", FEEDBACK_WRITE), .lane = PK_LANE_STORE, .status = 201,
      .flags = PK_ROW_WRITES | PK_ROW_ONCE | PK_ROW_WAIT, .body_max_bytes = 1024 * 1024,
      .body = &pk_schema_feedback_request, .subject = find_target, .run = submit,
      .show = show_taken, .answer = &pk_schema_feedback_response, .id = "submitFeedback",
      .tag = "feedback",
      .help = "Takes what came of using a persona that is or was; a processor that accepts "
              "'feedback' gets to see it.",
      .fails = submit_fails },
    { PK_ROW(GET, "/v1/feedback/{feedback}", FEEDBACK_READ), .lane = PK_LANE_STORE,
      .flags = PK_ROW_READS | PK_ROW_AFTER, .param = feedback_param, .subject = find_one,
      .run = get, .show = show, .answer = &pk_schema_feedback_view, .id = "getFeedback",
      .tag = "feedback", .help = "Shows feedback on a mapper's persona, and how far it has got." },
    { PK_ROW(GET, "/v1/mappers/{mapper}/feedback", FEEDBACK_READ), .lane = PK_LANE_SLOW,
      .flags = PK_ROW_AFTER, .param = summary_param, .subject = pk_versions_find, .run = summarise,
      .answer = &pk_schema_feedback_summary, .id = "summariseFeedback", .tag = "feedback",
      .help = "Adds up a mapper's feedback by version and rule: ratings, helpful, would use again, "
              "and the net promoter score." },
};
const struct pk_api_table pk_api_feedback_table = { row, PK_COUNT(row) };
