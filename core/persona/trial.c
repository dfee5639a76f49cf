/* trial.c - A version of a mapper on scripts apart, and one dry run of it.
 *
 * What is made is made as every persona is (persona_run.c, persona_made.c). The
 * scripts are others than those that serve, so failures are counted against
 * nobody and put no version in quarantine.
 *
 * Thread: any; each trial is its caller's. */
/* SPDX-License-Identifier: MIT */
#include "persona/trial_internal.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/error.h"
#include "doc/doc.h"
#include "persona/mindscape.h"
#include "persona/registry.h"

#include <string.h>

enum { MISSING_MAX = 200, RULES_MAX = 2000 };

/* Whose a mindscape is that was given: nobody's. */
static const char nobody[] = "00000000-0000-4000-8000-000000000000";

/* ---- A version that runs apart ---- */

bool trial_open(struct stage *stage, const struct pk_domain *domain, const char *mapper,
                const char *version, int64_t deadline_ns, struct pk_error *err)
{
    *stage = (struct stage){ .domain = *domain };
    if (!pk_registry_load(domain->registry, PK_SCRIPT_MAPPER, mapper, version, deadline_ns,
                          &stage->mapper, err)) {
        return false;
    }
    stage->domain.scripts = pk_scripts_apart(domain->scripts);
    (void)pk_scripts_publish(stage->domain.scripts,
                             &(struct pk_scripts_entry){ .script = stage->mapper }, 1);
    stage->pinned = pk_scripts_pin(stage->domain.scripts);
    return true;
}

void trial_done(struct stage *stage)
{
    if (stage->pinned) {
        pk_generation_unpin(stage->pinned);
        pk_scripts_free(stage->domain.scripts);
    }
    pk_script_unref(stage->mapper);
    *stage = (struct stage){ 0 };
}

/* ---- One mindscape ---- */

/* The mapper's doing, not the machine's: it would be so again. */
static bool is_its_doing(const struct pk_error *err)
{
    return err->code == PK_REFUSED || err->code == PK_CONFLICT || err->code == PK_TOO_LARGE ||
           err->code == PK_UNAVAILABLE;
}

static bool make(const struct mapping *mapping, struct attempt *out, struct pk_error *err)
{
    PK_CLEANUP(made_done) struct made made = { 0 };
    struct product product = { 0 };
    if (!persona_run(mapping, true, true, &made, err)) {
        return false;
    }
    out->took_ns = made.took_ns;
    out->missing = (struct list){ BSON_INITIALIZER, 0 };
    out->has_missing = true;
    list_add_texts(&out->missing, &made.output, "missing", MISSING_MAX, 2000);
    if (!persona_make(mapping, &made, &mapping->common, NULL, &product, err)) {
        return false;
    }
    out->persona = product.doc;
    return true;
}

bool trial_try(const struct stage *stage, const struct pk_map_request *request,
               struct pk_doc *mindscape, int64_t now_ms, struct attempt *out, struct pk_error *err)
{
    const struct pk_principal *who = request->who;
    struct mapping mapping = { .personas = stage->domain.personas,
                               .domain = &stage->domain,
                               .request = request,
                               .now_ms = now_ms,
                               .started_ns = pk_clock_mono_ns(stage->domain.books->clock),
                               .pinned = stage->pinned,
                               .mapper = stage->mapper,
                               .mindscape = mindscape,
                               .has_hidden = who && pk_principal_hides_any(who) };
    *out = (struct attempt){ 0 };
    variant_init(&mapping.common, request, stage->mapper, false);
    mapping.place = &mapping.common;
    const bool ok = make(&mapping, out, &out->why);
    variant_done(&mapping.common);
    if (!ok && !is_its_doing(&out->why)) {
        *err = out->why;
        attempt_done(out);
        return false;
    }
    return true;
}

void attempt_done(struct attempt *attempt)
{
    pk_doc_unref(attempt->persona);
    if (attempt->has_missing) {
        bson_destroy(&attempt->missing.bson);
    }
    *attempt = (struct attempt){ 0 };
}

void attempt_add_rules(const struct attempt *attempt, struct list *out)
{
    bson_t view, basis;
    if (!attempt->persona) {
        return;
    }
    pk_doc_view(attempt->persona, &view);
    for (size_t i = 0; i < (size_t)HALVES; i++) {
        if (half_find(&view, half_table[i].basis, BSON_TYPE_DOCUMENT, &basis)) {
            list_add_texts(out, &basis, "ruleIds", RULES_MAX, 200);
        }
    }
}

/* ---- A dry run ---- */

static bool find_mindscape(const struct pk_domain *domain, const struct pk_trial *trial,
                           int64_t now_ms, struct pk_doc **out, struct pk_error *err)
{
    *out = NULL;
    if (!trial->person) {
        *out = trial_given(domain, trial->mindscape, now_ms);
        return true;
    }
    return pk_mindscape_read(domain, trial->person, trial->deadline_ns, out, err) &&
           (*out || pk_fail_field(err, PK_NOT_FOUND, "personId", "check the id",
                                  "there is no such person"));
}

static void add_content(const struct pk_doc *persona, bson_t *out)
{
    static const char *const shown[] = { "personaCore", "contextualOverlay" };
    bson_t view, half;
    pk_doc_view(persona, &view);
    for (size_t i = 0; i < (size_t)HALVES; i++) {
        if (half_find(&view, half_table[i].snapshot, BSON_TYPE_DOCUMENT, &half)) {
            BSON_APPEND_DOCUMENT(out, shown[i], &half);
        }
    }
}

static void add_lists(const struct attempt *attempt, bson_t *out)
{
    struct list rules = { BSON_INITIALIZER, 0 };
    bson_t none = BSON_INITIALIZER;
    bson_t view, warnings;
    attempt_add_rules(attempt, &rules);
    BSON_APPEND_ARRAY(out, "ruleIds", &rules.bson);
    bool has_some = false;
    if (attempt->persona) {
        pk_doc_view(attempt->persona, &view);
        has_some = half_find(&view, "warnings", BSON_TYPE_ARRAY, &warnings);
    }
    BSON_APPEND_ARRAY(out, "warnings", has_some ? &warnings : &none);
    BSON_APPEND_ARRAY(out, "missing", attempt->has_missing ? &attempt->missing.bson : &none);
    bson_destroy(&rules.bson);
    bson_destroy(&none);
}

static void add_all(const struct pk_trial *trial, const struct pk_doc *mindscape, int64_t now_ms,
                    const struct attempt *attempt, bson_t *out)
{
    BSON_APPEND_UTF8(out, "mapperId", trial->mapper);
    BSON_APPEND_UTF8(out, "mapperVersion", trial->version);
    if (trial->person) {
        BSON_APPEND_UTF8(out, "personId", trial->person);
    }
    BSON_APPEND_UTF8(out, "detailLevel", pk_detail_name(trial->detail));
    BSON_APPEND_INT64(out, "mindscapeVersion", pk_doc_int(mindscape, "version", 0));
    BSON_APPEND_DATE_TIME(out, "mappedAt", now_ms);
    BSON_APPEND_DOUBLE(out, "generationTime",
                       attempt->took_ns > 0 ? (double)attempt->took_ns / 1e6 : 0);
    if (attempt->persona) {
        add_content(attempt->persona, out);
    }
    add_lists(attempt, out);
    if (!attempt->persona) {
        BSON_APPEND_UTF8(out, "problem", attempt->why.message);
    }
}

bool pk_trial_run(const struct pk_domain *domain, const struct pk_trial *trial, bson_t *out,
                  struct pk_error *err)
{
    PK_CLEANUP(trial_done) struct stage stage = { 0 };
    PK_CLEANUP(attempt_done) struct attempt attempt = { 0 };
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *mindscape = NULL;
    const int64_t now_ms = trial->now_ms ? trial->now_ms : pk_clock_wall_ms(domain->books->clock);
    const struct pk_map_request request = { .mapper = trial->mapper,
                                            .person = trial->person ? trial->person : nobody,
                                            .detail = trial->detail,
                                            .context = trial->context,
                                            .who = trial->who,
                                            .deadline_ns = trial->deadline_ns };
    if (!find_mindscape(domain, trial, now_ms, &mindscape, err) ||
        !trial_open(&stage, domain, trial->mapper, trial->version, trial->deadline_ns, err) ||
        !trial_try(&stage, &request, mindscape, now_ms, &attempt, err)) {
        return false;
    }
    if (!attempt.persona && attempt.why.code != PK_CONFLICT) {
        *err = attempt.why;
        return false;
    }
    bson_init(out);
    add_all(trial, mindscape, now_ms, &attempt, out);
    return true;
}
