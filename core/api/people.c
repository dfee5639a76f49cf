/* people.c - /v1/people: who is known, what others call them, and what was sent of each.
 *
 * Of one who was merged it is said that he is; into whom, to who may see that
 * one, too (persona/sight.h). */
/* SPDX-License-Identifier: MIT */
#include "persona/people.h"
#include "api/resources.h"
#include "base/alloc.h"
#include "base/arena.h"
#include "base/error.h"
#include "doc/doc.h"
#include "doc/schema_intake.h"
#include "persona/observation.h"
#include "persona/sight.h"

#include <stdlib.h>
#include <string.h>

/* ---- The list ---- */

static bool add(struct pk_api_call *call, const struct pk_doc *person, struct pk_error *err)
{
    bson_t view, shown;
    if (!pk_sight_has(call->who, pk_doc_id(person))) {
        return true;
    }
    pk_doc_view(person, &view);
    if (!pk_call_spell(call, "people", &view, &shown, err)) {
        return false;
    }
    if (pk_doc_text(person, "mergedInto")) {
        BSON_APPEND_BOOL(&shown, "isMerged", true);
    }
    const bool ok = pk_call_list_add(call, &shown, err);
    bson_destroy(&shown);
    return ok;
}

/* Merges followed, for who may see both: whose name it is, and whom that one is now. */
static bool find_external(struct pk_api_call *call, const struct pk_person_ref *ref,
                          struct pk_doc **out, struct pk_error *err)
{
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *named = NULL;
    const struct pk_domain *domain = call->parts->domain;
    if (!pk_person_named(domain, ref, call->deadline_ns, &named, err)) {
        return false;
    }
    return !named || !pk_sight_has(call->who, pk_doc_id(named)) ||
           pk_person_find(domain, ref, call->deadline_ns, out, err);
}

static bool list_external(struct pk_api_call *call, const char *external, struct pk_error *err)
{
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *person = NULL;
    const size_t source = strcspn(external, ":");
    if (source == 0 || external[source] == '\0' || external[source + 1] == '\0') {
        return pk_fail_field(err, PK_INVALID, "external", "send source:id, as in 'slack:U123'",
                             "'%.100s' is not an external id", external);
    }
    const struct pk_person_ref ref = {
        .source = pk_arena_strndup(&call->request->arena, external, source),
        .external = external + source + 1,
    };
    if (!find_external(call, &ref, &person, err)) {
        return false;
    }
    pk_call_list_begin(call);
    if (person && !add(call, person, err)) {
        return false;
    }
    pk_call_list_end(call, NULL);
    return true;
}

/* Those whom the key names, in the order of their ids: the cursor is the last one. */
static bool list_named(struct pk_api_call *call, struct pk_error *err)
{
    const struct pk_names_set *people = &call->who->people;
    const char *next = NULL;
    size_t count = 0, i = 0;
    while (call->cursor && i < people->name_count && strcmp(people->name[i], call->cursor) <= 0) {
        i++;
    }
    pk_call_list_begin(call);
    for (; i < people->name_count && count < call->limit; i++) {
        PK_CLEANUP(pk_doc_unrefp) struct pk_doc *person = NULL;
        if (!pk_store_get(call->parts->books->store, "people", people->name[i], call->deadline_ns,
                          &person, err)) {
            return pk_wrap(err, "read the person");
        }
        if (person && !add(call, person, err)) {
            return false;
        }
        count++;
        next = people->name[i];
    }
    pk_call_list_end(call, i < people->name_count ? next : NULL);
    return true;
}

static bool list(struct pk_api_call *call, struct pk_error *err)
{
    PK_CLEANUP(pk_page_done) struct pk_page page = { 0 };
    const char *external = pk_call_value(call, "external");
    if (external) {
        return list_external(call, external, err);
    }
    if (!call->who->people.is_all) {
        return list_named(call, err);
    }
    if (!pk_person_list(call->parts->domain, call->limit, call->cursor, &page, err)) {
        return false;
    }
    pk_call_list_begin(call);
    for (size_t i = 0; i < page.count; i++) {
        if (!add(call, page.doc[i], err)) {
            return false;
        }
    }
    pk_call_list_end(call, page.next);
    return true;
}

/* ---- What was sent of one ---- */

bool pk_subject_person(struct pk_api_call *call, struct pk_object *object, struct pk_error *err)
{
    const char *id = pk_call_value(call, "person");
    const struct pk_person_ref ref = { .id = id };
    object->person = id;
    if (!pk_access_check(call->who, call->row->action, object, NULL)) {
        return true; /* Refused whoever is there; so not even the time says whether he is. */
    }
    if (!pk_person_find(call->parts->domain, &ref, call->deadline_ns, &call->found, err)) {
        return false;
    }
    object->is_missing = call->found == NULL;
    object->person = call->found ? pk_doc_id(call->found) : id;
    return true;
}

static bool list_observations(struct pk_api_call *call, struct pk_error *err)
{
    PK_CLEANUP(pk_page_done) struct pk_page page = { 0 };
    const struct pk_observation_filter filter = {
        .person = call->object.person,
        .status = pk_call_value(call, "status"),
        .type = pk_call_value(call, "type"),
    };
    if (!pk_observation_list(call->parts->domain, &filter, call->limit, call->cursor, &page, err)) {
        return false;
    }
    pk_call_list_begin(call);
    for (size_t i = 0; i < page.count; i++) {
        bool is_hidden = false;
        if (!pk_observation_is_hidden(call->parts->domain, call->who, page.doc[i],
                                      call->deadline_ns, &is_hidden, err) ||
            (!is_hidden && !pk_call_list_add_doc(call, "observations", page.doc[i], err))) {
            return false;
        }
    }
    pk_call_list_end(call, page.next);
    return true;
}

/* ---- Routes ---- */

static const struct pk_param list_param[] = {
    { .name = "external",
      .type = PK_PARAM_TEXT,
      .min = 1,
      .max = 402,
      .pattern = "^[^:\\u0000]+:[^\\u0000]+$",
      .help = "Only whom another system calls so: source:id, as in 'slack:U123'." },
    { .name = NULL },
};
static const struct pk_param observations_param[] = {
    { .name = "person", .type = PK_PARAM_UUID, .help = "The person's id." },
    { .name = "status",
      .type = PK_PARAM_WORD,
      .allowed = pk_observation_status,
      .fallback = "all",
      .help = "Only observations of this status." },
    { .name = "type",
      .type = PK_PARAM_TEXT,
      .min = 1,
      .max = 200,
      .fallback = "all",
      .help = "Only observations of this type." },
    { .name = NULL },
};

static const struct pk_api_row row[] = {
    { PK_ROW(GET, "/v1/people", PERSON_LIST), .lane = PK_LANE_STORE,
      .flags = PK_ROW_LIST | PK_ROW_AFTER, .param = list_param, .run = list,
      .answer = &pk_schema_person_view, .id = "listPeople", .tag = "people",
      .help = "Lists the people whom the key may see, newest first." },
    { PK_ROW(GET, "/v1/people/{person}/observations", OBSERVATION_READ), .lane = PK_LANE_STORE,
      .flags = PK_ROW_READS | PK_ROW_LIST | PK_ROW_AFTER, .param = observations_param,
      .subject = pk_subject_person, .run = list_observations, .answer = &pk_schema_observation_view,
      .id = "listObservations", .tag = "observations",
      .help = "Lists a person's observations, newest first; without those that tell of hidden "
              "traits, and with a filter of both kinds a page may be short." },
};
const struct pk_api_table pk_api_people_table = { row, PK_COUNT(row) };
