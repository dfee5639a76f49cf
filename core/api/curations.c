/* curations.c - Corrections of a mindscape: PATCH, pin and unpin.
 *
 * Each becomes an observation that is carried out in the person's order, so the
 * answer is 202 with the ids of the observation and of its task; who adds
 * ?wait=processed is answered when the task has ended.
 *
 * Who may not see a trait may not correct it either: every path that is named
 * is checked like the one in an address. */
/* SPDX-License-Identifier: MIT */
#include "api/resources.h"
#include "base/alloc.h"
#include "base/error.h"
#include "doc/doc.h"
#include "doc/schema_curation.h"
#include "persona/curation.h"

#include <string.h>

static bool find_trait(struct pk_api_call *call, struct pk_object *object, struct pk_error *err)
{
    object->path = pk_call_value(call, "trait");
    return pk_subject_person(call, object, err);
}

static bool show(struct pk_api_call *call, const struct pk_doc *curated, struct pk_error *err)
{
    bson_t view;
    pk_doc_view(curated, &view);
    return pk_call_answer(call, &view, 0, err);
}

static bool answer(struct pk_api_call *call, const struct pk_curated *curated, struct pk_error *err)
{
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *doc = pk_curated_doc(curated);
    const char *task = curated->task;
    if (!pk_call_show(call, doc, err)) {
        return false;
    }
    pk_call_wait_tasks(call, &task, 1, NULL, NULL);
    return true;
}

/* Every trait that this part of the patch names is one that the caller may see. */
static bool may_patch_part(struct pk_api_call *call, const char *part, struct pk_error *err)
{
    static const char *const name[] = { "traitName", "id" };
    bson_iter_t iter, each, path;
    struct pk_object object = call->object;
    if (!bson_iter_init_find(&iter, call->body, part) || !bson_iter_recurse(&iter, &each)) {
        return true;
    }
    while (bson_iter_next(&each)) {
        for (size_t i = 0; i < PK_COUNT(name); i++) {
            if (bson_iter_recurse(&each, &path) && bson_iter_find(&path, name[i])) {
                object.path = bson_iter_utf8(&path, NULL);
                if (!pk_access_check(call->who, PK_ACT_TRAIT_CHANGE, &object, err)) {
                    return false;
                }
            }
        }
    }
    return true;
}

static bool may_patch(struct pk_api_call *call, struct pk_error *err)
{
    return may_patch_part(call, "traitMatrix", err) && may_patch_part(call, "traits", err);
}

/* What has changed is named only to those from whom nothing is hidden. */
static bool fail_patch(const struct pk_api_call *call, struct pk_error *err)
{
    if (err->code == PK_PRECONDITION && pk_principal_hides_any(call->who)) {
        (void)pk_fail(err, PK_PRECONDITION, "read the mindscape again and decide anew",
                      "the mindscape has changed since it was read");
    }
    return false;
}

static bool patch(struct pk_api_call *call, struct pk_error *err)
{
    struct pk_curated curated;
    if (!may_patch(call, err)) {
        return false;
    }
    if (!pk_curation_patch(call->parts->domain, &call->by, call->object.person, call->match_version,
                           call->body, &curated, err)) {
        return fail_patch(call, err);
    }
    return answer(call, &curated, err);
}

static bool set_pin(struct pk_api_call *call, bool is_pinned, struct pk_error *err)
{
    struct pk_curated curated;
    return pk_curation_pin(call->parts->domain, &call->by, call->object.person, call->object.path,
                           is_pinned, &curated, err) &&
           answer(call, &curated, err);
}

static bool pin(struct pk_api_call *call, struct pk_error *err)
{
    return set_pin(call, true, err);
}

static bool unpin(struct pk_api_call *call, struct pk_error *err)
{
    return set_pin(call, false, err);
}

/* ---- Routes ---- */

static const struct pk_param person_param[] = {
    { .name = "person", .type = PK_PARAM_UUID, .help = "The person's id." },
    { .name = NULL },
};
static const struct pk_param trait_param[] = {
    { .name = "person", .type = PK_PARAM_UUID, .help = "The person's id." },
    { .name = "trait",
      .type = PK_PARAM_TEXT,
      .min = 1,
      .max = 200,
      .help = "The trait's path, as in 'work.focus.peak_hours'." },
    { .name = NULL },
};

static const struct pk_api_row row[] = {
    { PK_ROW(PATCH, "/v1/people/{person}/mindscape", MINDSCAPE_CHANGE), .lane = PK_LANE_STORE,
      .status = 202, .flags = PK_ROW_WRITES | PK_ROW_MATCH | PK_ROW_WAIT, .param = person_param,
      .body = &pk_schema_mindscape_patch, .body_max_bytes = 512 * 1024,
      .subject = pk_subject_person, .run = patch, .show = show, .answer = &pk_schema_curated,
      .id = "correctMindscape", .tag = "mindscapes",
      .help = "Corrects what is known of a person: by an observation that outranks what scripts "
              "derive." },
    { PK_ROW(POST, "/v1/people/{person}/traits/{trait}/pin", TRAIT_CHANGE), .lane = PK_LANE_STORE,
      .status = 202, .flags = PK_ROW_WRITES | PK_ROW_ONCE | PK_ROW_WAIT, .param = trait_param,
      .subject = find_trait, .run = pin, .show = show, .answer = &pk_schema_curated,
      .id = "pinTrait", .tag = "mindscapes", .help = "Pins a trait: it never decays." },
    { PK_ROW(POST, "/v1/people/{person}/traits/{trait}/unpin", TRAIT_CHANGE), .lane = PK_LANE_STORE,
      .status = 202, .flags = PK_ROW_WRITES | PK_ROW_ONCE | PK_ROW_WAIT, .param = trait_param,
      .subject = find_trait, .run = unpin, .show = show, .answer = &pk_schema_curated,
      .id = "unpinTrait", .tag = "mindscapes", .help = "Lets a pinned trait decay again." },
};
const struct pk_api_table pk_api_curations_table = { row, PK_COUNT(row) };
