/* explain.c - What is explained: the cached persona, or what would have been.
 *
 *     cached     the persona; mindscape and facts put back to what it read; its version
 *     as of T    mindscape and facts as of T; the version active at T, or a given one; made at T
 *     version    mindscape and facts as they are; the given version; made now
 *
 * What would have been is made as every persona is (persona_run.c, persona_made.c)
 * but on scripts apart, so that it counts for nobody and is written nowhere.
 * From then on all three are the same: a persona, what it read, its mapper.
 *
 * Thread: any. */
/* SPDX-License-Identifier: MIT */
#include "persona/explain_internal.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "doc/doc.h"
#include "doc/path.h"
#include "persona/mindscape.h"
#include "persona/registry.h"
#include "store/store.h"

#include <stdio.h>
#include <string.h>

/* ---- Pieces of BSON ---- */

bool explain_view(const bson_t *doc, const char *path, bson_t *out)
{
    bson_iter_t iter;
    return pk_path_find(doc, path, &iter) && pk_peek_view(&iter, out);
}

const char *explain_key(uint32_t *count, char room[16])
{
    return pk_array_key((*count)++, room);
}

/* ---- Making what would have been ---- */

static void fill_request(const struct explaining *it, struct pk_map_request *out, bson_t *context)
{
    bson_t view;
    *out = (struct pk_map_request){ .mapper = it->name.mapper,
                                    .person = it->name.person,
                                    .detail = it->name.detail,
                                    .deadline_ns = it->request->deadline_ns };
    if (it->persona) { /* The same values of the request, and the same purpose. */
        pk_doc_view(it->persona, &view);
        out->purpose = pk_doc_text(it->persona, "variantValues.purpose");
        out->context = explain_view(&view, "variantValues.context", context) ? context : NULL;
    }
}

bool explain_make(const struct explaining *it, struct pk_script *mapper,
                  const struct pk_doc *mindscape, const bson_t *knowledge, int64_t at_ms,
                  struct pk_doc **out, struct pk_error *err)
{
    PK_CLEANUP(made_done) struct made made = { 0 };
    struct pk_domain domain = *it->domain;
    struct pk_map_request request;
    struct product product = { 0 };
    bson_t context;
    struct mapping mapping = { .personas = it->personas,
                               .domain = &domain,
                               .request = &request,
                               .now_ms = at_ms,
                               .started_ns = pk_clock_mono_ns(domain.books->clock),
                               .mapper = mapper,
                               .knowledge = knowledge };

    fill_request(it, &request, &context);
    domain.scripts = pk_scripts_apart(it->domain->scripts);
    (void)pk_scripts_publish(domain.scripts, &(struct pk_scripts_entry){ .script = mapper }, 1);
    mapping.mindscape = (struct pk_doc *)(uintptr_t)mindscape;
    mapping.pinned = pk_scripts_pin(domain.scripts);
    variant_init(&mapping.common, &request, mapper, false);
    mapping.place = &mapping.common;
    const bool ok = persona_run(&mapping, true, true, &made, err) &&
                    persona_make(&mapping, &made, &mapping.common, NULL, &product, err);
    variant_done(&mapping.common);
    made_done(&made);
    pk_generation_unpin(mapping.pinned);
    pk_scripts_free(domain.scripts);
    *out = ok ? product.doc : NULL;
    return ok;
}

/* ---- What is explained ---- */

static bool fail_missing(struct pk_error *err)
{
    return pk_fail(err, PK_NOT_FOUND, "have it mapped, or ask with as_of or mapper_version",
                   "there is no such persona");
}

/* The cached one, when there is one, and what its id names. */
static bool find_persona(struct explaining *it, struct pk_error *err)
{
    const struct pk_explain_request *request = it->request;
    if (!pk_persona_get(it->personas, request->id, request->who, request->deadline_ns, &it->persona,
                        err)) {
        return false;
    }
    if (!pk_persona_name(it->persona ? pk_doc_id(it->persona) : request->id, &it->name)) {
        return fail_missing(err);
    }
    it->is_made = request->as_of_ms != 0 || request->mapper_version != NULL;
    /* What made a variant differ is known of a cached one alone. */
    return it->persona || (it->is_made && it->name.variant[0] == '\0') || fail_missing(err);
}

static bool find_mapper(struct explaining *it, struct pk_error *err)
{
    const struct pk_explain_request *request = it->request;
    char found[PK_SCRIPT_VERSION];
    const char *version = request->mapper_version;

    if (!version && request->as_of_ms != 0) {
        if (!explain_active_version(it, request->as_of_ms, found, err)) {
            return false;
        }
        version = found;
    } else if (!version) {
        version = pk_doc_text(it->persona, "mapperVersion");
    }
    struct pk_error why = { 0 };
    if (pk_registry_load(it->domain->registry, PK_SCRIPT_MAPPER, it->name.mapper, version,
                         request->deadline_ns, &it->mapper, &why)) {
        return true;
    }
    if (why.code == PK_NOT_FOUND && request->mapper_version) {
        return pk_fail_field(err, PK_NOT_FOUND, "mapper_version", "list its versions",
                             "mapper '%s' has no version '%.90s'", it->name.mapper, version);
    }
    *err = why;
    return false;
}

static int64_t later(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

/* The mindscape as it is, and as the mapping read it. */
static bool find_mindscape(struct explaining *it, struct pk_error *err)
{
    const struct pk_explain_request *request = it->request;
    bool ok = true;

    if (!pk_mindscape_read(it->domain, it->name.person, request->deadline_ns, &it->now, err)) {
        return false;
    }
    if (!it->now) {
        return fail_missing(err);
    }
    struct pk_doc *whole = it->now;
    it->now = pk_mindscape_known_to(whole, request->who);
    pk_doc_unref(whole);
    if (request->as_of_ms != 0) {
        it->then_ms = request->as_of_ms;
        ok = explain_as_of(it, it->then_ms, &it->then, err);
    } else if (it->is_made) {
        it->then_ms = it->now_ms;
        it->then = pk_doc_ref(it->now);
    } else {
        const int64_t version = later(pk_doc_int(it->persona, "coreBasis.mindscapeVersion", 0),
                                      pk_doc_int(it->persona, "overlayBasis.mindscapeVersion", 0));
        it->then_ms = later(pk_doc_date(it->persona, "coreBasis.validFrom", 0),
                            pk_doc_date(it->persona, "overlayBasis.validFrom", 0));
        ok = explain_put_back(it, version, it->then_ms, &it->then, err);
    }
    return ok;
}

/* What would have been takes the place of what is cached. */
static bool make_persona(struct explaining *it, struct pk_error *err)
{
    struct pk_doc *made = NULL;
    if (!it->is_made) {
        return true;
    }
    if (!explain_make(it, it->mapper, it->then, it->knowledge, it->then_ms, &made, err)) {
        return pk_wrap(err, "make what would have been");
    }
    pk_doc_unref(it->persona);
    it->persona = made;
    return true;
}

/* ---- The document ---- */

static void add_head(const struct explaining *it, bson_t *out)
{
    const struct pk_doc *persona = it->persona;
    BSON_APPEND_UTF8(out, "compositeKey", pk_doc_id(persona));
    if (!it->is_made) {
        BSON_APPEND_UTF8(out, "personaInstanceId", pk_doc_text(persona, "personaInstanceId"));
    }
    BSON_APPEND_UTF8(out, "personId", it->name.person);
    BSON_APPEND_UTF8(out, "sourceMapperId", it->name.mapper);
    BSON_APPEND_UTF8(out, "mapperVersion", it->mapper->version);
    BSON_APPEND_UTF8(out, "detailLevel", pk_detail_name(it->name.detail));
    BSON_APPEND_INT64(out, "mindscapeVersion", pk_doc_int(persona, "mindscapeVersion", 0));
    BSON_APPEND_BOOL(out, "isHypothetical", it->is_made);
    BSON_APPEND_DATE_TIME(out, "mappedAt", it->then_ms);
    BSON_APPEND_DATE_TIME(out, "explainedAt", it->now_ms);
}

static void add_warnings(const struct explaining *it, bson_t *out)
{
    bson_t view, said;
    pk_doc_view(it->persona, &view);
    if (explain_view(&view, "warnings", &said) && !bson_empty(&said)) {
        BSON_APPEND_ARRAY(out, "warnings", &said);
    }
}

/* What was said, when it is said nowhere else. */
static void add_content(const struct explaining *it, bson_t *out)
{
    bson_t view, half;
    pk_doc_view(it->persona, &view);
    if (it->is_made && explain_view(&view, "coreSnapshot", &half)) {
        BSON_APPEND_DOCUMENT(out, "personaCore", &half);
    }
    if (it->is_made && explain_view(&view, "overlaySlice", &half)) {
        BSON_APPEND_DOCUMENT(out, "contextualOverlay", &half);
    }
}

static bool explain_all(struct explaining *it, bson_t *out, struct pk_error *err)
{
    if (!find_persona(it, err) || !find_mapper(it, err) || !find_mindscape(it, err) ||
        !explain_find_facts(it, err) || !make_persona(it, err)) {
        return false;
    }
    add_head(it, out);
    add_content(it, out);
    add_warnings(it, out);
    return explain_add_lines(it, out, err) && explain_add_traits(it, out, err) &&
           explain_add_facts(it, out, err) && explain_add_stale(it, out, err);
}

bool pk_persona_explain(struct pk_personas *personas, const struct pk_explain_request *request,
                        bson_t *out, struct pk_error *err)
{
    struct explaining it = { .personas = personas,
                             .domain = personas->domain,
                             .request = request,
                             .now_ms = pk_clock_wall_ms(personas->domain->books->clock) };
    bson_t made = BSON_INITIALIZER;
    const bool ok = explain_all(&it, &made, err);
    if (ok) {
        bson_copy_to(&made, out);
    }
    bson_destroy(&made);
    explain_facts_done(&it);
    pk_doc_unref(it.persona);
    pk_doc_unref(it.now);
    pk_doc_unref(it.then);
    pk_script_unref(it.mapper);
    return ok;
}
