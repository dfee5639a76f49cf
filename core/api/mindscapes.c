/* mindscapes.c - GET /v1/people/{person}/mindscape: what is known of a person.
 *
 * Its ETag is the mindscape's own version, which If-Match of a correction
 * names; what decays by itself changes no version. As of a past time it has
 * none. */
/* SPDX-License-Identifier: MIT */
#include "api/known.h"
#include "api/resources.h"
#include "base/alloc.h"
#include "base/arena.h"
#include "base/clock.h"
#include "base/error.h"
#include "doc/doc.h"
#include "doc/schema_known.h"
#include "persona/people.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- What it is done to ---- */

/* The one that 'person' was merged into, when he has none himself. */
static bool follow_merge(struct pk_api_call *call, struct pk_object *object, struct pk_error *err)
{
    const struct pk_person_ref ref = { .id = object->person };
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *found = NULL;
    if (!pk_person_find(call->parts->domain, &ref, call->deadline_ns, &found, err)) {
        return false;
    }
    if (!found || strcmp(pk_doc_id(found), object->person) == 0) {
        return true;
    }
    object->person = pk_arena_strdup(&call->request->arena, pk_doc_id(found));
    return !pk_access_check(call->who, call->row->action, object, NULL) ||
           pk_mindscape_get(call->parts->domain, object->person, call->deadline_ns, &call->found,
                            err);
}

bool pk_subject_mindscape(struct pk_api_call *call, struct pk_object *object, struct pk_error *err)
{
    object->person = pk_call_value(call, "person");
    if (!pk_access_check(call->who, call->row->action, object, NULL)) {
        return true; /* Refused whatever is there; so not even the time says whether it is. */
    }
    if (!pk_mindscape_get(call->parts->domain, object->person, call->deadline_ns, &call->found,
                          err)) {
        return false;
    }
    if (!call->found && !follow_merge(call, object, err)) {
        return false;
    }
    object->is_missing = call->found == NULL;
    return true;
}

/* ---- How it is looked at ---- */

static bool read_unit(const char *text, double *out)
{
    char *end = NULL;
    if (strspn(text, "0123456789.") != strlen(text)) {
        return false;
    }
    *out = strtod(text, &end);
    return end && *end == '\0' && *out >= 0 && *out <= 1;
}

void pk_known_now(const struct pk_api_call *call, struct pk_mindscape_view *out)
{
    *out = (struct pk_mindscape_view){
        .now_ms = pk_clock_wall_ms(call->parts->clock),
        .who = call->who,
    };
}

bool pk_known_view(const struct pk_api_call *call, struct pk_mindscape_view *out,
                   struct pk_error *err)
{
    const char *least = pk_call_value(call, "min_confidence");
    pk_known_now(call, out);
    if (least && !read_unit(least, &out->min_confidence)) {
        return pk_fail_field(err, PK_INVALID, "min_confidence", "give a number from 0 to 1",
                             "'%.20s' is no confidence", least);
    }
    return true;
}

static void read_include(const char *words, struct pk_mindscape_view *view)
{
    view->has_embeddings = words && strstr(words, "embedding");
    view->has_knowledge = words && strstr(words, "knowledge");
}

static bool read_view(const struct pk_api_call *call, struct pk_mindscape_view *out,
                      struct pk_error *err)
{
    const char *shape = pk_call_value(call, "shape");
    if (!pk_known_view(call, out, err)) {
        return false;
    }
    read_include(pk_call_value(call, "include"), out);
    const int64_t at_ms = pk_call_number(call, "at", 0);
    if (pk_call_value(call, "at") && at_ms < out->now_ms) {
        out->at_ms = at_ms != 0 ? at_ms : 1;
        out->now_ms = out->at_ms;
    }
    out->is_tree = shape && strcmp(shape, "tree") == 0;
    return true;
}

static bool run(struct pk_api_call *call, struct pk_error *err)
{
    struct pk_mindscape_view view;
    bson_t shown;
    if (!read_view(call, &view, err) || !pk_mindscape_show(call->parts->domain, call->found, &view,
                                                           call->deadline_ns, &shown, err)) {
        return false;
    }
    const int64_t version = view.at_ms ? 0 : pk_doc_int(call->found, "version", 0);
    const bool is_ok = pk_call_answer(call, &shown, version, err);
    bson_destroy(&shown);
    return is_ok;
}

/* ---- Routes ---- */

static const char *const shape[] = { "array", "tree", NULL };
static const char *const included[] = { "embedding", "knowledge", "embedding,knowledge",
                                        "knowledge,embedding", NULL };
static const struct pk_param param[] = {
    PK_PARAM_PERSON,
    { .name = "at",
      .type = PK_PARAM_TIME,
      .fallback = "now",
      .help = "All as it was before anything that took effect later was taken in: traits, goals, "
              "beliefs, the narrative, what was true just then, and what 'include' joins. What is "
              "still to come is now, and 'asOf' is left out." },
    { .name = "shape",
      .type = PK_PARAM_WORD,
      .allowed = shape,
      .fallback = "array",
      .help = "'tree': traits as a nested object of their values." },
    PK_PARAM_MIN_CONFIDENCE,
    { .name = "include",
      .type = PK_PARAM_WORD,
      .allowed = included,
      .fallback = "neither",
      .help = "'embedding', 'knowledge' (hot and warm layers), or both with a comma." },
    { .name = NULL },
};
static const struct pk_api_row row[] = {
    { PK_ROW(GET, "/v1/people/{person}/mindscape", MINDSCAPE_READ), .lane = PK_LANE_STORE,
      .flags = PK_ROW_READS | PK_ROW_AFTER, .param = param, .subject = pk_subject_mindscape,
      .run = run, .answer = &pk_schema_mindscape_view, .id = "getMindscape", .tag = "mindscapes",
      .help = "Shows what is known of a person, with each trait's confidence as it is now." },
};
const struct pk_api_table pk_api_mindscapes_table = { row, PK_COUNT(row) };
