/* personas.c - /v1/personas: have one made, or read what is cached.
 *
 * POST /v1/personas/map answers what the specification calls
 * MapPersonaResponse. GET /v1/personas/{id} takes a composite id
 * (<mapper>:<person>:<detail>[:<variant>]) or that of a generation; a fresh
 * one by its composite id is answered from the loop. A persona is shown
 * without what it rests on: explain does that. Its ETag is its generation,
 * and another one while it is stale, for that is said in the answer. */
/* SPDX-License-Identifier: MIT */
#include "api/api_internal.h"
#include "api/hot_lane.h"
#include "api/resources.h"
#include "base/alloc.h"
#include "base/arena.h"
#include "base/error.h"
#include "doc/doc.h"
#include "doc/names.h"
#include "doc/path.h"
#include "doc/schema_persona.h"
#include "net/hot.h"
#include "net/stream.h"
#include "persona/domain.h"
#include "persona/people.h"
#include "persona/persona.h"

#include <string.h>

/* ---- What is shown ---- */

/* Stored fields that no answer has. */
static bool is_inward(const char *name)
{
    static const char *const inward[] = { "coreBasis", "overlayBasis", "explanation", "insteadOf",
                                          "variantValues" };
    for (size_t i = 0; i < PK_COUNT(inward); i++) {
        if (strcmp(inward[i], name) == 0) {
            return true;
        }
    }
    return false;
}

/* A persona as HTTP spells it; 'out' is ended by the caller, on success only. */
static bool show_persona(const struct pk_doc *persona, bson_t *out, struct pk_error *err)
{
    PK_CLEANUP(bson_destroy) bson_t kept = BSON_INITIALIZER;
    bson_iter_t iter;
    bson_t view;

    pk_doc_view(persona, &view);
    for (bool more = bson_iter_init(&iter, &view); more && bson_iter_next(&iter);) {
        if (!is_inward(bson_iter_key(&iter))) {
            (void)bson_append_iter(&kept, NULL, 0, &iter);
        }
    }
    if (!pk_names_translate("personas", PK_SPELLING_STORED, PK_SPELLING_HTTP, &kept, out, err)) {
        return pk_wrap(err, "spell the persona");
    }
    BSON_APPEND_UTF8(out, "sourceMindscapeId", pk_doc_text(persona, "userId"));
    if (pk_persona_is_canary(persona)) {
        BSON_APPEND_BOOL(out, "isCanary", true);
    }
    return true;
}

static const char *etag_of(struct pk_api_call *call, const struct pk_doc *persona)
{
    return pk_arena_printf(&call->request->arena, "\"%s%s\"",
                           pk_doc_text(persona, "personaInstanceId"),
                           pk_doc_bool(persona, "isStale", true) ? ".stale" : "");
}

static void fill_object(struct pk_api_call *call, const struct pk_persona_name *name,
                        struct pk_object *object)
{
    object->person = pk_arena_strdup(&call->request->arena, name->person);
    object->mapper = pk_arena_strdup(&call->request->arena, name->mapper);
    object->detail = name->detail;
}

/* ---- POST /v1/personas/map ---- */

static bool find_wanted(struct pk_api_call *call, struct pk_object *object, struct pk_error *err)
{
    const char *asked = pk_call_text(call, "personaId");
    char own[PK_UUID_TEXT];
    object->person = asked;
    object->mapper = pk_call_text(call, "mapperId");
    object->detail = pk_detail_find(pk_call_text(call, "detailLevel"));
    if (!pk_access_check(call->who, call->row->action, object, NULL)) {
        return true; /* Refused whoever is there; so not even the time says whether he is. */
    }
    if (!pk_person_find_id(call->parts->domain, asked, call->deadline_ns, own, err)) {
        return false;
    }
    if (!*own && call->who->people.is_all) { /* It tells him nothing that he may not see. */
        return pk_fail(err, PK_NOT_FOUND, "the first observation of a person makes him known",
                       "there is no person '%s'", asked);
    }
    object->is_missing = !*own;
    object->person = *own ? pk_arena_strdup(&call->request->arena, own) : asked;
    return true;
}

/* context.requiredSections, in the request's arena; NULL when there are none. */
static const char *const *read_sections(struct pk_api_call *call)
{
    bson_iter_t iter, item;
    const char **list = NULL;
    size_t count = 0;
    if (!pk_path_find(call->body, "context.requiredSections", &iter) ||
        !BSON_ITER_HOLDS_ARRAY(&iter)) {
        return NULL;
    }
    for (bool more = bson_iter_recurse(&iter, &item); more && bson_iter_next(&item);) {
        count++;
    }
    list = pk_arena_alloc(&call->request->arena, (count + 1) * sizeof(*list));
    count = 0;
    for (bool more = bson_iter_recurse(&iter, &item); more && bson_iter_next(&item);) {
        list[count++] = bson_iter_utf8(&item, NULL);
    }
    list[count] = NULL;
    return list;
}

static void add_metadata(bson_t *out, const struct pk_mapped *mapped)
{
    static const char *const status[] = {
        [PK_PERSONA_FRESH] = "fresh",
        [PK_PERSONA_STALE] = "stale",
        [PK_PERSONA_REGENERATED] = "regenerated",
    };
    bson_t metadata, cost, warnings;
    BSON_APPEND_DOCUMENT_BEGIN(out, "metadata", &metadata);
    BSON_APPEND_DOUBLE(&metadata, "generationTime",
                       mapped->took_ns > 0 ? (double)mapped->took_ns / 1e6 : 0);
    BSON_APPEND_UTF8(&metadata, "cacheStatus", status[mapped->status]);
    BSON_APPEND_DOCUMENT_BEGIN(&metadata, "cost", &cost);
    BSON_APPEND_INT64(&cost, "tokens", mapped->tokens);
    BSON_APPEND_DOUBLE(&cost, "dollars", 0);
    bson_append_document_end(&metadata, &cost);
    if (mapped->warning_count > 0) {
        BSON_APPEND_ARRAY_BEGIN(&metadata, "warnings", &warnings);
        for (size_t i = 0; i < mapped->warning_count; i++) {
            char index[16];
            const char *key;
            (void)bson_uint32_to_string((uint32_t)i, &key, index, sizeof(index));
            BSON_APPEND_UTF8(&warnings, key, mapped->warning[i]);
        }
        bson_append_array_end(&metadata, &warnings);
    }
    bson_append_document_end(out, &metadata);
}

/* While another maps the same, the request waits without a thread; at most as long as one may. */
static void *park(void *context)
{
    struct pk_api_call *call = context;
    const int64_t left_ms = call->parts->deadline_ms - call->request->times.park_ns / (1000 * 1000);
    return left_ms > 0 ? pk_answer_park(call->request, call->answer, left_ms, call->row->lane,
                                        pk_api_run_waited)
                       : NULL;
}

static void wake(void *parked)
{
    (void)pk_parked_wake(parked);
    pk_parked_unref(parked);
}

/* Whom nothing is found of was perhaps merged before this node has heard it: then he who may see
 * the other one asks for that one. */
static bool find_merged(struct pk_api_call *call, struct pk_map_request *wanted)
{
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *person = NULL;
    struct pk_object object = call->object;
    const struct pk_person_ref ref = { .id = wanted->person };
    if (!pk_person_find(call->parts->domain, &ref, call->deadline_ns, &person, NULL) || !person ||
        strcmp(pk_doc_id(person), wanted->person) == 0) {
        return false;
    }
    object.person = pk_arena_strdup(&call->request->arena, pk_doc_id(person));
    if (!pk_access_check(call->who, call->row->action, &object, NULL)) {
        return false;
    }
    call->object = object;
    wanted->person = object.person;
    return true;
}

static bool map(struct pk_api_call *call, struct pk_error *err)
{
    PK_CLEANUP(pk_mapped_done) struct pk_mapped mapped = { 0 };
    PK_CLEANUP(bson_destroy) bson_t out = BSON_INITIALIZER;
    bson_iter_t iter;
    bson_t persona, context;
    const uint8_t *data;
    uint32_t size;
    struct pk_map_request wanted = { .mapper = call->object.mapper,
                                     .person = call->object.person,
                                     .detail = call->object.detail,
                                     .is_stale_fine = pk_call_is(call, "includeStale"),
                                     .is_strict = pk_call_is(call, "strict"),
                                     .purpose = pk_call_text(call, "purpose"),
                                     .sections = read_sections(call),
                                     .who = call->who,
                                     .deadline_ns = call->deadline_ns,
                                     .parking = { .park = park, .wake = wake, .context = call } };

    if (bson_iter_init_find(&iter, call->body, "context") && BSON_ITER_HOLDS_DOCUMENT(&iter)) {
        bson_iter_document(&iter, &size, &data);
        if (bson_init_static(&context, data, size)) {
            wanted.context = &context;
        }
    }
    if (!pk_persona_map(call->parts->domain->personas, &wanted, &mapped, err) &&
        (err->code != PK_NOT_FOUND || !find_merged(call, &wanted) ||
         !pk_persona_map(call->parts->domain->personas, &wanted, &mapped, err))) {
        return false;
    }
    call->is_over = mapped.is_parked;
    if (mapped.is_parked) {
        return true;
    }
    if (!show_persona(mapped.persona, &persona, err)) {
        return false;
    }
    BSON_APPEND_DOCUMENT(&out, "persona", &persona);
    bson_destroy(&persona);
    add_metadata(&out, &mapped);
    return pk_call_answer(call, &out, 0, err);
}

/* ---- GET /v1/personas/{id} ---- */

/* On the loop. Other scripts may make another persona, so answers made with the ones before are
 * forgotten when it is first seen that they do not serve any more. */
static void hot_persona(void *context, struct pk_request *request, struct pk_answer *answer)
{
    const struct pk_api *api = context;
    const struct pk_principal *who = request->caller;
    const char *id = request->segment[2];
    struct pk_persona_name name;

    if (!pk_persona_name(id, &name)) {
        pk_hot_lane_pass(context, request, answer);
        return;
    }
    if (pk_personas_scripts_changed(api->parts.domain->personas)) {
        pk_hot_gap(api->parts.hot);
    }
    const struct pk_object object = { .person = name.person,
                                      .mapper = name.mapper,
                                      .detail = name.detail };
    pk_hot_lane(context, request, answer, &object);
    if (answer->entry) {
        pk_persona_used(api->parts.domain->personas, id, who ? who->actor_id : NULL);
    }
}

/* What it names, and nothing more: consent is looked at behind access. */
static bool find_persona(struct pk_api_call *call, struct pk_object *object, struct pk_error *err)
{
    PK_CLEANUP(pk_freep) char *id = NULL;
    struct pk_persona_name name;

    if (!pk_persona_find_name(call->parts->domain->personas, pk_call_value(call, "persona"),
                              call->deadline_ns, &id, err)) {
        return false;
    }
    object->is_missing = !id || !pk_persona_name(id, &name);
    if (!object->is_missing) {
        fill_object(call, &name, object);
    }
    return true;
}

static bool show(struct pk_api_call *call, const struct pk_doc *persona, struct pk_error *err)
{
    bson_t shown;
    if (!show_persona(persona, &shown, err)) {
        return false;
    }
    const bool ok = pk_call_answer(call, &shown, 0, err);
    bson_destroy(&shown);
    call->answer->etag = ok ? etag_of(call, persona) : NULL;
    return ok;
}

bool pk_call_follow_persona(struct pk_api_call *call, const char *id, const char **out,
                            struct pk_error *err)
{
    const struct pk_person_ref ref = { .id = call->object.person };
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *person = NULL;
    struct pk_persona_name name;
    *out = NULL;
    if (!pk_persona_name(id, &name)) {
        return true;
    }
    if (!pk_person_find(call->parts->domain, &ref, call->deadline_ns, &person, err)) {
        return false;
    }
    if (!person || strcmp(pk_doc_id(person), ref.id) == 0) {
        return true;
    }
    call->object.person = pk_arena_strdup(&call->request->arena, pk_doc_id(person));
    *out = pk_arena_printf(&call->request->arena, "%s:%s%s", name.mapper, call->object.person,
                           strchr(id, ':') + 1 + strlen(ref.id));
    return pk_access_check(call->who, call->row->action, &call->object, err);
}

static bool get_merged(struct pk_api_call *call, const char *id, struct pk_error *err)
{
    const char *other;
    return pk_call_follow_persona(call, id, &other, err) &&
           (!other || pk_persona_get(call->parts->domain->personas, other, call->who,
                                     call->deadline_ns, &call->found, err));
}

static bool get(struct pk_api_call *call, struct pk_error *err)
{
    struct pk_personas *personas = call->parts->domain->personas;
    const char *person = call->object.person;
    const char *id = pk_call_value(call, "persona");
    const uint64_t stamp = pk_hot_stamp(call->parts->hot, person);

    if (!pk_persona_get(personas, id, call->who, call->deadline_ns, &call->found, err) ||
        (!call->found && !get_merged(call, id, err))) {
        return false;
    }
    if (!call->found) {
        call->object.is_missing = true;
        return pk_access_check(call->who, call->row->action, &call->object, err);
    }
    if (!pk_call_show(call, call->found, err)) {
        return false;
    }
    if (pk_persona_is_named(call->found, id) && !pk_doc_bool(call->found, "isStale", true)) {
        pk_hot_lane_keep_for(call, person, stamp, pk_persona_valid_from(call->found),
                             pk_persona_valid_until(call->found));
    }
    pk_persona_served(personas, call->found, call->who ? call->who->actor_id : NULL);
    return true;
}

/* ---- GET /v1/people/{person}/personas ---- */

static bool list(struct pk_api_call *call, struct pk_error *err)
{
    PK_CLEANUP(pk_page_done) struct pk_page page = { 0 };
    if (!pk_persona_list(call->parts->domain->personas, call->object.person, call->who, call->limit,
                         call->cursor, call->deadline_ns, &page, err)) {
        return false;
    }
    pk_call_list_begin(call);
    for (size_t i = 0; i < page.count; i++) {
        bson_t shown;
        if (!show_persona(page.doc[i], &shown, err)) {
            return false;
        }
        const bool ok = pk_call_list_add(call, &shown, err);
        bson_destroy(&shown);
        if (!ok) {
            return false;
        }
    }
    pk_call_list_end(call, page.next);
    return true;
}

/* ---- Routes ---- */

static const struct pk_param persona_param[] = {
    { .name = "persona",
      .type = PK_PARAM_TEXT,
      .min = 1,
      .max = 300,
      .help = "<mapper>:<person>:<detail>[:<variant>], or a generation's id." },
    { .name = NULL },
};
static const struct pk_param person_param[] = {
    { .name = "person", .type = PK_PARAM_UUID, .help = "The person." },
    { .name = NULL },
};
static const enum pk_code map_fails[] = { PK_CONFLICT,    PK_REFUSED, PK_TOO_LARGE,
                                          PK_UNAVAILABLE, PK_TIMEOUT, PK_OK };

static const struct pk_api_row row[] = {
    { PK_ROW(POST, "/v1/personas/map", PERSONA_MAP), .lane = PK_LANE_SCRIPT, .flags = PK_ROW_AFTER,
      .body = &pk_schema_map_request, .subject = find_wanted, .run = map,
      .answer = &pk_schema_map_response, .id = "mapPersona", .tag = "personas",
      .help = "Gives a persona of a person by a mapper: the cached one while it is fresh, else a "
              "new one.",
      .fails = map_fails },
    { PK_ROW(GET, "/v1/personas/{persona}", PERSONA_READ), .lane = PK_LANE_STORE,
      .flags = PK_ROW_AFTER, .param = persona_param, .subject = find_persona, .hot = hot_persona,
      .run = get, .show = show, .answer = &pk_schema_persona_view, .id = "getPersona",
      .tag = "personas", .help = "Shows a cached persona, fresh or stale." },
    { PK_ROW(GET, "/v1/people/{person}/personas", PERSONA_LIST), .lane = PK_LANE_STORE,
      .flags = PK_ROW_READS | PK_ROW_LIST | PK_ROW_AFTER, .param = person_param,
      .subject = pk_subject_person, .run = list, .answer = &pk_schema_persona_view,
      .id = "listPersonas", .tag = "personas",
      .help = "Lists the cached personas of a person, in the order of their ids." },
};
const struct pk_api_table pk_api_personas_table = { row, PK_COUNT(row) };
