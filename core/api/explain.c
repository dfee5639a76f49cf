/* explain.c - /v1/personas/{persona}/explain: why a persona is as it is, or what it would have
 * been.
 *
 * The same document as JSON for programs and as text for people (Accept:
 * text/plain). Who may read the persona may read it; what is hidden from him is
 * not there. It is not kept, and counts as no use of the persona. */
/* SPDX-License-Identifier: MIT */
#include "persona/explain.h"

#include "api/resources.h"
#include "base/alloc.h"
#include "base/arena.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/id.h"
#include "doc/doc.h"
#include "doc/schema_explain.h"
#include "persona/feedback.h"
#include "persona/persona.h"

#include <string.h>

static const char text_type[] = "text/plain; charset=utf-8";

/* What a generation's id stands for is known of its record, before anything that depends on the
 * person is looked at. */
static bool find_name(struct pk_api_call *call, const char *id, struct pk_persona_name *out,
                      bool *out_is_there, struct pk_error *err)
{
    *out_is_there = pk_persona_name(id, out);
    if (*out_is_there) {
        return true;
    }
    if (!pk_uuid_is_v4(id, strlen(id))) {
        return true;
    }
    if (!pk_feedback_find(call->parts->domain, id, call->deadline_ns, &call->found, err)) {
        return false;
    }
    *out_is_there = call->found && pk_persona_name(pk_doc_text(call->found, "personaId"), out);
    return true;
}

static bool find_persona(struct pk_api_call *call, struct pk_object *object, struct pk_error *err)
{
    struct pk_persona_name name;
    bool is_there = false;
    if (!find_name(call, pk_call_value(call, "persona"), &name, &is_there, err)) {
        return false;
    }
    object->is_missing = !is_there;
    if (is_there) {
        object->person = pk_arena_strdup(&call->request->arena, name.person);
        object->mapper = pk_arena_strdup(&call->request->arena, name.mapper);
        object->detail = name.detail;
    }
    return true;
}

/* 0: it was not given. */
static int64_t as_of(const struct pk_api_call *call)
{
    const int64_t at_ms = pk_call_number(call, "as_of", 0);
    return at_ms == 0 && pk_call_value(call, "as_of") ? 1 : at_ms;
}

static bool check_time(const struct pk_api_call *call, struct pk_error *err)
{
    return as_of(call) <= pk_clock_wall_ms(call->parts->books->clock) ||
           pk_fail_field(err, PK_INVALID, "as_of", "name a time that has passed",
                         "as_of lies in the future");
}

static void answer_text(struct pk_api_call *call, const bson_t *explanation)
{
    pk_buf_clear(&call->answer->body);
    pk_explain_print(explanation, &call->answer->body);
    call->answer->content_type = text_type;
    call->answer->status = 200;
}

static bool is_gone(const struct pk_error *why)
{
    return why->code == PK_NOT_FOUND && !why->field;
}

/* By the id that it is asked for; by that of whom the person was merged into, where there is none.
 */
static bool find_explanation(struct pk_api_call *call, struct pk_explain_request *request,
                             bson_t *out, struct pk_error *err)
{
    struct pk_personas *personas = call->parts->domain->personas;
    struct pk_error why = { 0 };
    if (pk_persona_explain(personas, request, out, &why)) {
        return true;
    }
    const char *other = NULL;
    if (is_gone(&why) && !pk_call_follow_persona(call, request->id, &other, err)) {
        return false;
    }
    if (!other) {
        *err = why;
        return false;
    }
    request->id = other;
    return pk_persona_explain(personas, request, out, err);
}

static bool explain(struct pk_api_call *call, struct pk_error *err)
{
    struct pk_explain_request request = {
        .id = pk_call_value(call, "persona"),
        .as_of_ms = as_of(call),
        .mapper_version = pk_call_value(call, "mapper_version"),
        .who = call->who,
        .deadline_ns = call->deadline_ns,
    };
    struct pk_error why = { 0 };
    bson_t out;
    bool ok = true;
    if (!check_time(call, err)) {
        return false;
    }
    if (!find_explanation(call, &request, &out, &why)) {
        if (is_gone(&why)) {
            call->object.is_missing = true; /* In the words of all that is not there. */
            return pk_access_check(call->who, call->row->action, &call->object, err);
        }
        *err = why;
        return false;
    }
    if (call->wants_text) {
        answer_text(call, &out);
    } else {
        ok = pk_call_answer(call, &out, 0, err);
    }
    bson_destroy(&out);
    return ok;
}

static const struct pk_param param[] = {
    { .name = "persona",
      .type = PK_PARAM_TEXT,
      .min = 1,
      .max = 300,
      .help = "<mapper>:<person>:<detail>[:<variant>], or a generation's id." },
    { .name = "as_of",
      .type = PK_PARAM_TIME,
      .help = "What it would have been then, of what was known then." },
    { .name = "mapper_version",
      .type = PK_PARAM_TEXT,
      .min = 5,
      .max = 95,
      .help = "What it would be by this version of the mapper." },
    { .name = NULL },
};
static const enum pk_code fails[] = { PK_CONFLICT,    PK_REFUSED, PK_TOO_LARGE,
                                      PK_UNAVAILABLE, PK_TIMEOUT, PK_OK };

static const struct pk_api_row row[] = {
    { PK_ROW(GET, "/v1/personas/{persona}/explain", PERSONA_READ), .lane = PK_LANE_SCRIPT,
      .flags = PK_ROW_READS | PK_ROW_AFTER, .param = param, .subject = find_persona, .run = explain,
      .answer = &pk_schema_explanation_view, .text_answer = text_type, .id = "explainPersona",
      .tag = "personas",
      .help = "Says of each line of a persona which rule made it of which traits and observations, "
              "which rules did not fire and why, and what has changed since.",
      .fails = fails },
};
const struct pk_api_table pk_api_explain_table = { row, PK_COUNT(row) };
