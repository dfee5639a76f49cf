/* trials.c - Versions of mappers tried out before they go live: dry runs and comparisons.
 *
 * A dry run on a person takes a key that may see him; on a mindscape that came
 * with the request, one that may save drafts, for a draft's examples run on
 * mindscapes of its author, too. A comparison shows ids of people and no more,
 * but of anybody: it takes a key that may see everybody and everything. */
/* SPDX-License-Identifier: MIT */
#include "api/resources.h"
#include "api/versions.h"
#include "base/alloc.h"
#include "base/arena.h"
#include "base/clock.h"
#include "base/error.h"
#include "doc/doc.h"
#include "doc/schema_trial.h"
#include "persona/people.h"
#include "persona/trial.h"

enum {
    SAMPLE_DEFAULT = 100,
    BUDGET_MS = 20 * 1000 /* Of a comparison; its answer says what was left out. */
};

static bool body_object(const struct pk_api_call *call, const char *name, bson_t *out)
{
    bson_iter_t iter;
    const uint8_t *data;
    uint32_t size;
    if (!bson_iter_init_find(&iter, call->body, name) || !BSON_ITER_HOLDS_DOCUMENT(&iter)) {
        return false;
    }
    bson_iter_document(&iter, &size, &data);
    return bson_init_static(out, data, size);
}

/* ---- Dry runs ---- */

/* Whom it is run on, once it is known that who asks may. */
static bool find_person(struct pk_api_call *call, struct pk_object *object, struct pk_error *err)
{
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *person = NULL;
    const struct pk_person_ref ref = { .id = pk_call_text(call, "personId") };
    if (!ref.id) {
        return true;
    }
    object->person = ref.id;
    if (!pk_access_check(call->who, call->row->action, object, NULL)) {
        return true; /* Refused whoever is there. */
    }
    if (!pk_person_find(call->parts->domain, &ref, call->deadline_ns, &person, err)) {
        return false;
    }
    object->is_missing = person == NULL;
    object->person = person ? pk_arena_strdup(&call->request->arena, pk_doc_id(person)) : ref.id;
    return true;
}

static bool find_trial(struct pk_api_call *call, struct pk_object *object, struct pk_error *err)
{
    object->mapper = pk_call_value(call, "mapper");
    return find_person(call, object, err);
}

/* On a mindscape that came along it takes what saving a draft takes. */
static bool may_try(const struct pk_api_call *call, struct pk_error *err)
{
    const enum pk_action action = call->object.person ? call->row->action : PK_ACT_MAPPER_WRITE;
    return pk_access_check(call->who, action, &call->object, err);
}

static bool dry_run(struct pk_api_call *call, struct pk_error *err)
{
    bson_iter_t iter;
    bson_t context, mindscape, out;
    struct pk_trial trial = { .mapper = call->object.mapper,
                              .version = pk_call_value(call, "version"),
                              .person = call->object.person,
                              .detail = pk_detail_find(pk_call_text(call, "detailLevel")),
                              .who = call->who,
                              .deadline_ns = call->deadline_ns };
    if (!may_try(call, err)) {
        return false;
    }
    trial.context = body_object(call, "context", &context) ? &context : NULL;
    trial.mindscape = body_object(call, "mindscape", &mindscape) ? &mindscape : NULL;
    if (bson_iter_init_find(&iter, call->body, "now")) {
        trial.now_ms = bson_iter_date_time(&iter);
    }
    if (!pk_trial_run(call->parts->domain, &trial, &out, err)) {
        return false;
    }
    const bool ok = pk_call_answer(call, &out, 0, err);
    bson_destroy(&out);
    return ok;
}

/* ---- Comparisons ---- */

static bool differ(struct pk_api_call *call, struct pk_error *err)
{
    bson_iter_t iter;
    bson_t context, out;
    struct pk_trial_pair pair = { .mapper = call->object.mapper,
                                  .version = pk_call_value(call, "version"),
                                  .against = pk_call_text(call, "against"),
                                  .detail = pk_detail_find(pk_call_text(call, "detailLevel")),
                                  .sample = SAMPLE_DEFAULT,
                                  .budget_ms = BUDGET_MS,
                                  .who = call->who };
    pair.deadline_ns = pk_deadline_in_ms(call->parts->clock, BUDGET_MS + call->parts->deadline_ms);
    pair.context = body_object(call, "context", &context) ? &context : NULL;
    if (bson_iter_init_find(&iter, call->body, "sample")) {
        pair.sample = (size_t)bson_iter_as_int64(&iter);
    }
    if (!pk_trial_differ(call->parts->domain, &pair, &out, err)) {
        return false;
    }
    const bool ok = pk_call_answer(call, &out, 0, err);
    bson_destroy(&out);
    return ok;
}

/* ---- Routes ---- */

static const struct pk_param param[] = { PK_PARAM_SCRIPT("mapper"),
                                         PK_PARAM_VERSION,
                                         { .name = NULL } };
static const enum pk_code fails[] = { PK_NOT_FOUND,   PK_CONFLICT, PK_REFUSED, PK_TOO_LARGE,
                                      PK_UNAVAILABLE, PK_TIMEOUT,  PK_OK };

static const struct pk_api_row row[] = {
    { PK_ROW(POST, "/v1/mappers/{mapper}/versions/{version}/dry-run", MAPPER_TRY),
      .lane = PK_LANE_SCRIPT, .flags = PK_ROW_READS | PK_ROW_AFTER | PK_ROW_MANY, .param = param,
      .body_max_bytes = 4 << 20, .body = &pk_schema_dry_run, .subject = find_trial, .run = dry_run,
      .answer = &pk_schema_dry_run_view, .id = "dryRunMapper", .tag = "mappers",
      .help = "Runs a version, a draft too, on a person's mindscape or a given one, and shows the "
              "persona that it would make; nothing is kept of it.",
      .fails = fails },
    { PK_ROW(POST, "/v1/mappers/{mapper}/versions/{version}/diff", MAPPER_DIFF),
      .lane = PK_LANE_SLOW, .flags = PK_ROW_AFTER, .param = param, .body = &pk_schema_mapper_diff,
      .subject = pk_versions_find, .run = differ, .answer = &pk_schema_mapper_diff_view,
      .id = "diffMapper", .tag = "mappers",
      .help = "Runs two versions on a sample of people, the same ones each time, and says for whom "
              "and where their personas would differ; nothing is kept of them.",
      .fails = fails },
};
const struct pk_api_table pk_api_trials_table = { row, PK_COUNT(row) };
