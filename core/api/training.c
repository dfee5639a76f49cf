/* training.c - /v1/mappers/{mapper}/train: a mapper learns from its feedback.
 *
 * It takes what saving a draft takes, for a draft is all that comes of it; it
 * learns from everybody's feedback and shows sums of it. A dry run is answered
 * at once; all else is a task: 202 with its id. */
/* SPDX-License-Identifier: MIT */
#include "api/resources.h"
#include "api/versions.h"
#include "base/alloc.h"
#include "base/clock.h"
#include "base/error.h"
#include "doc/doc.h"
#include "doc/schema_train.h"
#include "persona/train.h"

enum { BUDGET_MS = 20 * 1000 }; /* Of a dry run. */

static bool show(struct pk_api_call *call, const struct pk_doc *made, struct pk_error *err)
{
    bson_t view;
    pk_doc_view(made, &view);
    return pk_call_answer(call, &view, 0, err);
}

static struct pk_train read_body(const struct pk_api_call *call)
{
    struct pk_train train = { .mapper = call->object.mapper };
    bson_iter_t iter;
    if (bson_iter_init_find(&iter, call->body, "version")) {
        train.version = bson_iter_utf8(&iter, NULL);
    }
    if (bson_iter_init_find(&iter, call->body, "since")) {
        train.since_ms = bson_iter_date_time(&iter);
    }
    return train;
}

/* The mapper is there: it is the version that is not. */
static bool fail(const struct pk_train *train, struct pk_error *err)
{
    if (err && err->code == PK_NOT_FOUND && train->version) {
        err->field = "version";
    }
    return false;
}

static bool answer_dry(struct pk_api_call *call, const struct pk_train *train, struct pk_error *err)
{
    struct pk_by by = call->by;
    bson_t out;
    by.deadline_ns = pk_deadline_in_ms(call->parts->clock, BUDGET_MS + call->parts->deadline_ms);
    if (!pk_train_dry(call->parts->domain, &by, train, &out, err)) {
        return fail(train, err);
    }
    const bool ok = pk_call_answer(call, &out, 0, err);
    call->answer->status = 200;
    bson_destroy(&out);
    return ok;
}

/* Also when a POST has waited: the row is all that is known then. */
static bool get(struct pk_api_call *call, struct pk_error *err)
{
    bson_t out;
    if (!pk_train_show(call->parts->domain, pk_call_value(call, "mapper"), call->deadline_ns, &out,
                       err)) {
        return false;
    }
    const bool ok = pk_call_answer(call, &out, 0, err);
    bson_destroy(&out);
    return ok;
}

static bool start(struct pk_api_call *call, struct pk_error *err)
{
    const struct pk_train train = read_body(call);
    char task[PK_UUID_TEXT];
    bson_iter_t dry;
    if (bson_iter_init_find(&dry, call->body, "dryRun") && bson_iter_as_bool(&dry)) {
        return answer_dry(call, &train, err);
    }
    if (!pk_train_ask(call->parts->domain, &call->by, &train, task, err)) {
        return fail(&train, err);
    }
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *doc = pk_train_doc(train.mapper, task);
    if (!pk_call_show(call, doc, err)) {
        return false;
    }
    const char *waited = task;
    pk_call_wait_tasks(call, &waited, 1, get, NULL);
    return true;
}

/* ---- Routes ---- */

static const struct pk_param param[] = { PK_PARAM_SCRIPT("mapper"), { .name = NULL } };
static const enum pk_code fails[] = { PK_NOT_FOUND, PK_CONFLICT, PK_TIMEOUT, PK_UNAVAILABLE,
                                      PK_OK };

static const struct pk_api_row row[] = {
    { PK_ROW(POST, "/v1/mappers/{mapper}/train", MAPPER_WRITE), .lane = PK_LANE_SLOW, .status = 202,
      .flags = PK_ROW_WRITES | PK_ROW_ONCE | PK_ROW_WAIT, .param = param, .body = &pk_schema_train,
      .subject = pk_versions_find, .run = start, .show = show, .answer = &pk_schema_training_view,
      .id = "trainMapper", .tag = "mappers",
      .help = "Learns from the feedback that waits: what its processors propose with enough "
              "behind it becomes a draft; nothing is activated.",
      .fails = fails },
    { PK_ROW(GET, "/v1/mappers/{mapper}/train", MAPPER_WRITE), .lane = PK_LANE_STORE,
      .flags = PK_ROW_AFTER, .param = param, .subject = pk_versions_find, .run = get,
      .answer = &pk_schema_training_view, .id = "showTraining", .tag = "mappers",
      .help = "Says how the last training of a mapper stands, or what came of it." },
};
const struct pk_api_table pk_api_training_table = { row, PK_COUNT(row) };
