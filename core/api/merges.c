/* merges.c - Two people made one, and two again.
 *
 * Who asks must be allowed to do it to both; a dry run shows traits of both,
 * so it is refused to a key from which some are hidden. */
/* SPDX-License-Identifier: MIT */
#include "api/known.h"
#include "api/resources.h"
#include "base/alloc.h"
#include "base/error.h"
#include "doc/doc.h"
#include "doc/schema_privacy.h"
#include "persona/merge.h"
#include "persona/people.h"
#include "persona/sight.h"
#include "store/store.h"

#include <string.h>

static bool show(struct pk_api_call *call, const struct pk_doc *made, struct pk_error *err)
{
    bson_t view;
    pk_doc_view(made, &view);
    return pk_call_answer(call, &view, 0, err);
}

static bool answer_task(struct pk_api_call *call, const struct pk_merged *merged,
                        struct pk_error *err)
{
    const char *const task[] = { merged->task, merged->part };
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *doc = pk_merge_doc(merged);
    if (!pk_call_show(call, doc, err)) {
        return false;
    }
    pk_call_wait_in_turn(call, task, merged->part[0] ? 2 : 1);
    return true;
}

/* ---- POST /v1/people/merge ---- */

static bool answer_dry(struct pk_api_call *call, const struct pk_merge_ask *ask,
                       struct pk_error *err)
{
    bson_t out = BSON_INITIALIZER;
    if (pk_principal_hides_any(call->who)) {
        bson_destroy(&out);
        return pk_fail(err, PK_FORBIDDEN, "ask with a key from which nothing is hidden",
                       "a dry run shows traits, and some are hidden from this key");
    }
    const bool ok = pk_merge_dry(call->parts->domain, ask, call->deadline_ns, &out, err) &&
                    pk_call_answer(call, &out, 0, err);
    if (ok) {
        call->answer->status = 200;
    }
    bson_destroy(&out);
    return ok;
}

/* The one whom the id names, and him whom it means now: whoever may not see both is not told which
 * of the two it is. */
static bool check_one(struct pk_api_call *call, const char *id, struct pk_error *err)
{
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *found = NULL;
    const struct pk_person_ref ref = { .id = id };
    struct pk_object object = { .person = id };
    if (!pk_access_check(call->who, call->row->action, &object, err) ||
        !pk_person_find(call->parts->domain, &ref, call->deadline_ns, &found, err)) {
        return false;
    }
    object.person = found ? pk_doc_id(found) : id;
    return pk_access_check(call->who, call->row->action, &object, err);
}

static bool check_both(struct pk_api_call *call, const struct pk_merge_ask *ask,
                       struct pk_error *err)
{
    return check_one(call, ask->from, err) && check_one(call, ask->into, err);
}

static bool merge(struct pk_api_call *call, struct pk_error *err)
{
    const struct pk_merge_ask ask = { .from = pk_call_text(call, "from"),
                                      .into = pk_call_text(call, "into"),
                                      .reason = pk_call_text(call, "reason") };
    struct pk_merged merged = { .id = "" };
    if (!check_both(call, &ask, err)) {
        return false;
    }
    if (pk_call_is(call, "dryRun")) {
        return answer_dry(call, &ask, err);
    }
    return pk_merge_people(call->parts->domain, &call->by, &ask, &merged, err) &&
           answer_task(call, &merged, err);
}

/* ---- POST /v1/people/{person}/merges/{merge}/undo ---- */

/* One who was erased is there to be told so, and of one who was merged then to who may see whom. */
static bool find_or_erased(struct pk_api_call *call, struct pk_object *object, struct pk_error *err)
{
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *tombstone = NULL;
    if (!pk_subject_person(call, object, err)) {
        return false;
    }
    if (object->is_missing) {
        if (!pk_store_get(call->parts->books->store, "tombstones", object->person,
                          call->deadline_ns, &tombstone, err)) {
            return pk_wrap(err, "read the person");
        }
        object->is_missing =
            !tombstone || !pk_sight_has(call->who, pk_doc_text(tombstone, "mergedInto"));
    }
    return true;
}

static bool undo(struct pk_api_call *call, struct pk_error *err)
{
    struct pk_merged merged = { .id = "" };
    return pk_merge_undo(call->parts->domain, &call->by, call->who, pk_call_value(call, "person"),
                         pk_call_value(call, "merge"), &merged, err) &&
           answer_task(call, &merged, err);
}

/* ---- Routes ---- */

static const struct pk_param undo_param[] = {
    PK_PARAM_PERSON,
    { .name = "merge", .type = PK_PARAM_UUID, .help = "The merge: 'mergeId' of its answer." },
    { .name = NULL },
};

static const enum pk_code merge_fails[] = { PK_NOT_FOUND, PK_CONFLICT, PK_FULL, PK_OK };
static const enum pk_code undo_fails[] = { PK_CONFLICT, PK_OK };

static const struct pk_api_row row[] = {
    { PK_ROW(POST, "/v1/people/merge", PERSON_MERGE), .lane = PK_LANE_STORE, .status = 202,
      .flags = PK_ROW_WRITES | PK_ROW_ONCE | PK_ROW_MANY | PK_ROW_WAIT,
      .body = &pk_schema_merge_people, .run = merge, .show = show, .answer = &pk_schema_merge_view,
      .id = "mergePeople", .tag = "people", .fails = merge_fails,
      .help = "Makes two people one: 'from' is served as 'into', whose mindscape is made anew from "
              "the observations of both." },
    { PK_ROW(POST, "/v1/people/{person}/merges/{merge}/undo", PERSON_MERGE), .lane = PK_LANE_STORE,
      .status = 202, .flags = PK_ROW_WRITES | PK_ROW_ONCE | PK_ROW_WAIT, .param = undo_param,
      .subject = find_or_erased, .run = undo, .show = show, .answer = &pk_schema_merge_view,
      .id = "undoMerge", .tag = "people", .fails = undo_fails,
      .help = "Undoes a merge: each gets back what is his, what came since under the other's names "
              "as well." },
};
const struct pk_api_table pk_api_merges_table = { row, PK_COUNT(row) };
