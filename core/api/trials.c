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

static const char *body_text(const struct pk_api_call *call, const char *name)
{
    bson_iter_t iter;
    return bson_iter_init_find(&iter, call->body, name) && BSON_ITER_HOLDS_UTF8(&iter)
               ? bson_iter_utf8(&iter, NULL)
               : NULL;
}

/* ---- Dry runs ---- */

/* Whom it is run on, once it is known that who asks may. */
static bool find_person(struct pk_api_call *call, struct pk_object *object, struct pk_error *err)
{
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *person = NULL;
    const struct pk_person_ref ref = { .id = body_text(call, "personId") };
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
    object->person =
        person ? pk_arena_strdup(&call->request->arena, pk_doc_id(person)) : ref.id;
    return true;
}

static bool find_trial(struct pk_api_call *call, struct pk_object *object, struct pk_error *err)
{
    object->mapper = pk_call_value(call, "mapper");
    return find_person(call, object, err);
}

static bool check_version(struct pk_api_call *call, struct pk_error *err)
{
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *version = NULL;
    (void)version;
    (void)call;
    (void)err;
    return true;
}
