/* persona_made.c - The document of a persona, made of what a mapper gave.
 *
 * Core and overlay are taken one by one: a half that was run becomes a snapshot
 * (its sections, a hash of them, a date) with its basis; the other one is that of the
 * persona before. When the result says what that persona said, it is that one: it keeps its
 * instance and dates, and only its bases and its end are new. So nobody who holds
 * its ETag is told of a change that is none. */
/* SPDX-License-Identifier: MIT */
#include "persona/persona_half_internal.h"

#include "base/alloc.h"
#include "base/buf.h"
#include "base/clock.h"
#include "doc/doc.h"
#include "persona/input.h"

#include <stdio.h>
#include <string.h>

enum {
    LINES_MAX = 2000, /* The schema's limits. */
    LINE_TRAITS_MAX = 200,
    WARNINGS_MAX = 200,
    RULES_MAX = 2000,
    MISSING_MAX = 5, /* Named in a refusal. */
    HOUR_MS = 3600 * 1000
};

static bool was_run(const struct made *made, const struct half *half)
{
    return half->is_core ? made->has_core : made->has_overlay;
}

/* ---- What is missing ---- */

static bool allows_missing(const struct pk_script *mapper)
{
    const char *what = half_text(&mapper->manifest, "onMissing");
    return what && strcmp(what, "degrade") == 0;
}

static bool check_missing(const struct made *made, struct pk_error *err)
{
    PK_CLEANUP(pk_buf_done) struct pk_buf names = { 0 };
    bson_iter_t iter, item;
    size_t count = 0;
    if (allows_missing(made->ran) || !bson_iter_init_find(&iter, &made->output, "missing") ||
        !BSON_ITER_HOLDS_ARRAY(&iter) || !bson_iter_recurse(&iter, &item)) {
        return true;
    }
    while (bson_iter_next(&item)) {
        if (BSON_ITER_HOLDS_UTF8(&item) && count++ < MISSING_MAX) {
            pk_buf_printf(&names, "%s'%s'", count > 1 ? ", " : "", bson_iter_utf8(&item, NULL));
        }
    }
    if (count == 0) {
        return true;
    }
    return pk_fail(err, PK_CONFLICT,
                   "send observations that tell of it, or let the mapper go on with on_missing",
                   "mapper '%s' needs %s %s%s, which %s not known of this person", made->ran->id,
                   count > 1 ? "the traits" : "the trait", pk_buf_text(&names),
                   count > MISSING_MAX ? " and more" : "", count > 1 ? "are" : "is");
}

/* ---- Explanation and warnings ---- */

static bool is_of_half(const bson_iter_t *line, const struct half *half)
{
    bson_iter_t fields;
    const size_t length = strlen(half->name);
    if (!bson_iter_recurse(line, &fields) || !bson_iter_find(&fields, "path") ||
        !BSON_ITER_HOLDS_UTF8(&fields)) {
        return false;
    }
    const char *path = bson_iter_utf8(&fields, NULL);
    return strncmp(path, half->name, length) == 0 && path[length] == '.';
}

static void add_line(struct list *list, const bson_iter_t *line)
{
    struct list traits = { BSON_INITIALIZER, 0 };
    bson_iter_t fields;
    bson_t row = BSON_INITIALIZER, given;
    const uint8_t *data;
    uint32_t size;

    bson_iter_document(line, &size, &data);
    if (bson_init_static(&given, data, size) && bson_iter_init(&fields, &given)) {
        while (bson_iter_next(&fields)) {
            if (BSON_ITER_HOLDS_UTF8(&fields)) {
                (void)bson_append_iter(&row, NULL, 0, &fields);
            }
        }
        list_add_texts(&traits, &given, "traits", LINE_TRAITS_MAX, 200);
        if (traits.count > 0) {
            BSON_APPEND_ARRAY(&row, "traits", &traits.bson);
        }
        list_add_doc(list, &row);
    }
    bson_destroy(&traits.bson);
    bson_destroy(&row);
}

/* Lines of core, then those of overlay, each from who made it. */
static void add_explanation(bson_t *doc, const struct made *made, const bson_t *base)
{
    struct list lines = { BSON_INITIALIZER, 0 };
    bson_t explanation;
    for (size_t i = 0; i < (size_t)HALVES; i++) {
        const bool is_run = was_run(made, &half_table[i]);
        bson_iter_t iter, line;
        if (!(is_run ? bson_iter_init_find(&iter, &made->output, "lines")
                     : base && bson_iter_init(&iter, base) &&
                           bson_iter_find_descendant(&iter, "explanation.lines", &iter)) ||
            !BSON_ITER_HOLDS_ARRAY(&iter) || !bson_iter_recurse(&iter, &line)) {
            continue;
        }
        while (lines.count < LINES_MAX && bson_iter_next(&line)) {
            if (BSON_ITER_HOLDS_DOCUMENT(&line) && is_of_half(&line, &half_table[i])) {
                add_line(&lines, &line);
            }
        }
    }
    BSON_APPEND_DOCUMENT_BEGIN(doc, "explanation", &explanation);
    BSON_APPEND_ARRAY(&explanation, "lines", &lines.bson);
    bson_append_document_end(doc, &explanation);
    bson_destroy(&lines.bson);
}

/* Questions of the retrieval pipeline that are not answered here. */
static void add_unanswered(struct list *list, const struct mapping *mapping,
                           const struct made *made)
{
    char *text[16];
    const size_t count = pk_input_warnings(made->ran, pk_detail_name(mapping->request->detail),
                                           text, PK_COUNT(text));
    for (size_t i = 0; i < count && i < PK_COUNT(text); i++) {
        list_add_text(list, text[i], strlen(text[i]));
        pk_free(text[i]);
    }
}

/* Those of both halves, then what is required and missing. */
static void collect_warnings(struct list *list, const struct mapping *mapping,
                             const struct made *made, const bson_t basis[2])
{
    bson_iter_t iter, item;
    add_unanswered(list, mapping, made);
    for (size_t i = 0; i < (size_t)HALVES; i++) {
        list_add_texts(list, &basis[i], "warnings", WARNINGS_MAX, 2000);
    }
    if (!bson_iter_init_find(&iter, &made->output, "missing") || !BSON_ITER_HOLDS_ARRAY(&iter) ||
        !bson_iter_recurse(&iter, &item)) {
        return;
    }
    while (list->count < WARNINGS_MAX && bson_iter_next(&item)) {
        if (BSON_ITER_HOLDS_UTF8(&item)) {
            PK_CLEANUP(pk_freep)
            char *text =
                pk_strdupf("required trait '%.200s' is not known", bson_iter_utf8(&item, NULL));
            list_add_text(list, text, strlen(text));
        }
    }
}

/* ---- Size ---- */

struct largest {
    const char *half, *name;
    size_t bytes;
};

static void note_largest(struct largest top[3], const struct half *half, const bson_t *snapshot)
{
    bson_iter_t iter;
    for (bool more = bson_iter_init(&iter, snapshot); more && bson_iter_next(&iter);) {
        struct largest it = { half->name, bson_iter_key(&iter), 0 };
        uint32_t size = 0;
        const uint8_t *data;
        if (BSON_ITER_HOLDS_DOCUMENT(&iter)) {
            bson_iter_document(&iter, &size, &data);
        } else if (BSON_ITER_HOLDS_ARRAY(&iter)) {
            bson_iter_array(&iter, &size, &data);
        } else if (BSON_ITER_HOLDS_UTF8(&iter)) {
            (void)bson_iter_utf8(&iter, &size);
        }
        it.bytes = strcmp(it.name, half->version) == 0 ? 0 : size;
        for (size_t i = 0; i < 3; i++) {
            if (it.bytes > top[i].bytes) {
                const struct largest less = top[i];
                top[i] = it;
                it = less;
            }
        }
    }
}

static bool check_size(const struct mapping *mapping, const struct made *made,
                       const bson_t snapshot[2], struct pk_error *err)
{
    const int64_t max =
        mapping->domain->persona_max_bytes ? mapping->domain->persona_max_bytes : PERSONA_MAX_BYTES;
    struct largest top[3] = { { 0 } };
    PK_CLEANUP(pk_buf_done) struct pk_buf names = { 0 };
    if ((int64_t)snapshot[0].len + snapshot[1].len <= max) {
        return true;
    }
    note_largest(top, &half_table[0], &snapshot[0]);
    note_largest(top, &half_table[1], &snapshot[1]);
    for (size_t i = 0; i < PK_COUNT(top) && top[i].bytes > 0; i++) {
        pk_buf_printf(&names, "%s%s.%s (%zu bytes)", i ? ", " : "", top[i].half, top[i].name,
                      top[i].bytes);
    }
    return pk_fail(err, PK_TOO_LARGE, "have the mapper say less in its largest sections",
                   "mapper '%s' %s made a persona of %u bytes, over %lld: %s", made->ran->id,
                   made->ran->version, snapshot[0].len + snapshot[1].len, (long long)max,
                   pk_buf_text(&names));
}

/* ---- The document ---- */

/* Everything that goes into it. */
struct parts {
    bson_t snapshot[2], basis[2]; /* By half_table; own memory. */
    bool has_snapshot[2], has_basis[2];
    struct list warnings;
};

static void parts_done(struct parts *parts)
{
    for (size_t i = 0; i < 2; i++) {
        if (parts->has_snapshot[i]) {
            bson_destroy(&parts->snapshot[i]);
        }
        if (parts->has_basis[i]) {
            bson_destroy(&parts->basis[i]);
        }
    }
    bson_destroy(&parts->warnings.bson);
}

static bool copy_part(const bson_t *base, const char *name, bson_t *out)
{
    bson_t found;
    const bool ok = base && half_find(base, name, BSON_TYPE_DOCUMENT, &found);
    if (ok) {
        bson_copy_to(&found, out);
    }
    return ok;
}

/* True when a half that was run says what it said before. */
static bool is_same_half(const bson_t *base, const struct half *half, const bson_t *snapshot)
{
    bson_t before;
    const char *a = base && half_find(base, half->snapshot, BSON_TYPE_DOCUMENT, &before)
                        ? half_text(&before, half->version)
                        : NULL;
    const char *b = half_text(snapshot, half->version);
    return a && b && strcmp(a, b) == 0;
}

static bool collect(const struct mapping *mapping, const struct made *made, const bson_t *base,
                    struct parts *parts, struct pk_error *err)
{
    for (size_t i = 0; i < (size_t)HALVES; i++) {
        const struct half *half = &half_table[i];
        const bool is_run = was_run(made, half);
        parts->has_snapshot[i] = is_run
                                     ? half_sections(mapping, made, half, &parts->snapshot[i], err)
                                     : copy_part(base, half->snapshot, &parts->snapshot[i]);
        if (!parts->has_snapshot[i]) {
            return is_run ? false
                          : pk_fail(err, PK_INTERNAL, NULL, "the persona before has no %s",
                                    half->snapshot);
        }
        if (is_run && is_same_half(base, half, &parts->snapshot[i])) {
            bson_destroy(&parts->snapshot[i]); /* It is the one that was made then. */
            parts->has_snapshot[i] = copy_part(base, half->snapshot, &parts->snapshot[i]);
        }
        parts->has_basis[i] = is_run ? half_basis(mapping, made, half, &parts->basis[i], err)
                                     : copy_part(base, half->basis, &parts->basis[i]);
        if (!parts->has_basis[i]) {
            return is_run ? false
                          : pk_fail(err, PK_INTERNAL, NULL, "the persona before has no %s",
                                    half->basis);
        }
    }
    return true;
}

static bool is_same(const struct made *made, const bson_t *base, const struct parts *parts)
{
    static const bson_t nothing = BSON_INITIALIZER;
    bson_t before;
    const char *version = base ? half_text(base, "mapperVersion") : NULL;
    if (!version || strcmp(version, made->ran->version) != 0) {
        return false;
    }
    if (!half_find(base, "warnings", BSON_TYPE_ARRAY, &before)) {
        (void)bson_init_static(&before, bson_get_data(&nothing), nothing.len);
    }
    return bson_equal(&before, &parts->warnings.bson) &&
           is_same_half(base, &half_table[0], &parts->snapshot[0]) &&
           is_same_half(base, &half_table[1], &parts->snapshot[1]);
}

/* Of the prompts that the persona has. */
static int64_t tokens_of(const struct made *made, const bson_t *base)
{
    bson_iter_t iter;
    if (made->has_overlay || !base || !bson_iter_init(&iter, base) ||
        !bson_iter_find_descendant(&iter, "generationMetadata.totalTokensUsed", &iter)) {
        return made->prompts.tokens;
    }
    return bson_iter_as_int64(&iter);
}

static void add_cache_status(bson_t *generation, const struct mapping *mapping,
                             const struct made *made, const bson_t *base)
{
    bson_t status;
    bson_iter_t iter;
    BSON_APPEND_DOCUMENT_BEGIN(generation, "cacheStatus", &status);
    BSON_APPEND_BOOL(&status, "coreWasCached", !made->has_core);
    BSON_APPEND_BOOL(&status, "coreIsStale", base != NULL && made->has_core);
    if (base && bson_iter_init(&iter, base) &&
        bson_iter_find_descendant(&iter, "coreSnapshot.generatedAt", &iter) &&
        BSON_ITER_HOLDS_DATE_TIME(&iter)) {
        const int64_t age = mapping->now_ms - bson_iter_date_time(&iter);
        BSON_APPEND_INT64(&status, "coreCacheAge", age > 0 ? age : 0);
    }
    bson_append_document_end(generation, &status);
}

static void add_generation(bson_t *doc, const struct mapping *mapping, const struct made *made,
                           const bson_t *base)
{
    bson_t generation;
    BSON_APPEND_DOCUMENT_BEGIN(doc, "generationMetadata", &generation);
    BSON_APPEND_INT64(&generation, "generationDurationMs", made->took_ns / 1000000);
    BSON_APPEND_INT64(&generation, "totalTokensUsed", tokens_of(made, base));
    BSON_APPEND_DOUBLE(&generation, "totalCost", 0);
    add_cache_status(&generation, mapping, made, base);
    bson_append_document_end(doc, &generation);
}

static void add_usage(bson_t *doc, const struct mapping *mapping)
{
    bson_t usage;
    BSON_APPEND_DOCUMENT_BEGIN(doc, "usageMetadata", &usage);
    BSON_APPEND_INT64(&usage, "accessCount", 0);
    if (mapping->request->who) {
        BSON_APPEND_UTF8(&usage, "lastAccessedBy", mapping->request->who->actor_id);
    }
    BSON_APPEND_BOOL(&usage, "feedbackReceived", false);
    bson_append_document_end(doc, &usage);
}

static void add_identity(bson_t *doc, const struct mapping *mapping, const struct made *made,
                         const struct variant *as)
{
    char id[PK_UUID_TEXT];
    pk_uuid_new(id);
    BSON_APPEND_UTF8(doc, "_id", as->id);
    BSON_APPEND_UTF8(doc, "personaInstanceId", id);
    BSON_APPEND_UTF8(doc, "userId", mapping->request->person);
    BSON_APPEND_UTF8(doc, "mapperId", mapping->request->mapper);
    BSON_APPEND_UTF8(doc, "mapperVersion", made->ran->version);
    BSON_APPEND_UTF8(doc, "detailLevel", pk_detail_name(mapping->request->detail));
    if (as->name[0]) {
        BSON_APPEND_UTF8(doc, "variant", as->name);
        BSON_APPEND_DOCUMENT(doc, "variantValues", &as->values);
    }
}

/* What every refresh sets anew. */
static void add_life(bson_t *doc, const struct mapping *mapping, const struct made *made,
                     const struct parts *parts, const bson_t *base)
{
    const int64_t ttl_ms = half_ttl_ms(mapping, "ttlSeconds");
    BSON_APPEND_BOOL(doc, "isStale", false);
    BSON_APPEND_DATE_TIME(doc, "expiresAt", mapping->now_ms + ttl_ms);
    BSON_APPEND_DOUBLE(doc, "ttlHours", (double)ttl_ms / HOUR_MS);
    BSON_APPEND_INT64(doc, "mindscapeVersion", pk_doc_int(mapping->mindscape, "version", 0));
    for (size_t i = 0; i < (size_t)HALVES; i++) {
        BSON_APPEND_DOCUMENT(doc, half_table[i].snapshot, &parts->snapshot[i]);
        BSON_APPEND_DOCUMENT(doc, half_table[i].basis, &parts->basis[i]);
    }
    add_explanation(doc, made, base);
    if (parts->warnings.count > 0) {
        BSON_APPEND_ARRAY(doc, "warnings", &parts->warnings.bson);
    }
}

/* Fields of 'base' that a refresh leaves alone. */
static void add_kept(bson_t *doc, const bson_t *base)
{
    static const char *const kept[] = {
        "_id",           "personaInstanceId", "userId",    "mapperId",
        "mapperVersion", "detailLevel",       "variant",   "variantValues",
        "generatedAt",   "usageMetadata",     "createdBy", "generationMetadata"
    };
    bson_iter_t iter;
    for (size_t i = 0; i < PK_COUNT(kept); i++) {
        if (bson_iter_init_find(&iter, base, kept[i])) {
            (void)bson_append_iter(doc, kept[i], -1, &iter);
        }
    }
}

bool persona_make(const struct mapping *mapping, const struct made *made, const struct variant *as,
                  const struct pk_doc *base_doc, struct product *out, struct pk_error *err)
{
    PK_CLEANUP(parts_done) struct parts parts = { .warnings = { BSON_INITIALIZER, 0 } };
    bson_t view;
    const bson_t *base = NULL;
    if (base_doc) {
        pk_doc_view(base_doc, &view);
        base = &view;
    }
    if (!check_missing(made, err) || !collect(mapping, made, base, &parts, err) ||
        !check_size(mapping, made, parts.snapshot, err)) {
        return false;
    }
    collect_warnings(&parts.warnings, mapping, made, parts.basis);

    bson_t *doc = bson_new();
    const char *before = base ? half_text(base, "_id") : NULL;
    out->is_new = !before || strcmp(before, as->id) != 0 || !is_same(made, base, &parts);
    if (out->is_new) {
        add_identity(doc, mapping, made, as);
        BSON_APPEND_DATE_TIME(doc, "generatedAt", mapping->now_ms);
        add_generation(doc, mapping, made, base);
        add_usage(doc, mapping);
        if (mapping->request->who) {
            BSON_APPEND_UTF8(doc, "createdBy", mapping->request->who->actor_id);
        }
    } else {
        add_kept(doc, base);
    }
    add_life(doc, mapping, made, &parts, base);
    out->doc = pk_doc_take(doc);
    return true;
}

/* ---- The record ---- */

static void add_rules(bson_t *row, const bson_t *persona)
{
    struct list rules = { BSON_INITIALIZER, 0 };
    bson_t basis;
    for (size_t i = 0; i < (size_t)HALVES; i++) {
        if (half_find(persona, half_table[i].basis, BSON_TYPE_DOCUMENT, &basis)) {
            list_add_texts(&rules, &basis, "ruleIds", RULES_MAX, 200);
        }
    }
    BSON_APPEND_ARRAY(row, "ruleIds", &rules.bson);
    bson_destroy(&rules.bson);
}

static void add_read_sets(bson_t *row, const bson_t *persona)
{
    struct list reads = { BSON_INITIALIZER, 0 };
    for (size_t i = 0; i < (size_t)HALVES; i++) {
        bson_t basis, list, item;
        bson_iter_t iter;
        if (!half_find(persona, half_table[i].basis, BSON_TYPE_DOCUMENT, &basis) ||
            !half_find(&basis, "readSet", BSON_TYPE_ARRAY, &list) ||
            !bson_iter_init(&iter, &list)) {
            continue;
        }
        while (reads.count < HALF_READS_MAX && bson_iter_next(&iter)) {
            const uint8_t *data;
            uint32_t size;
            bson_iter_document(&iter, &size, &data);
            if (bson_init_static(&item, data, size)) {
                list_add_doc(&reads, &item);
            }
        }
    }
    BSON_APPEND_ARRAY(row, "readSet", &reads.bson);
    bson_destroy(&reads.bson);
}

static void add_costs(bson_t *row, const struct mapping *mapping, const struct made *made)
{
    const int64_t all_ns = pk_clock_mono_ns(mapping->domain->books->clock) - mapping->started_ns;
    bson_t child;
    BSON_APPEND_DOCUMENT_BEGIN(row, "timings", &child);
    BSON_APPEND_DOUBLE(&child, "script", (double)made->result.jail.took_ns / 1e6);
    BSON_APPEND_DOUBLE(&child, "call", (double)made->took_ns / 1e6);
    BSON_APPEND_DOUBLE(&child, "all", all_ns > 0 ? (double)all_ns / 1e6 : 0);
    bson_append_document_end(row, &child);
    BSON_APPEND_DOCUMENT_BEGIN(row, "cost", &child);
    BSON_APPEND_INT64(&child, "tokens", made->prompts.tokens);
    BSON_APPEND_DOUBLE(&child, "dollars", 0);
    bson_append_document_end(row, &child);
}

struct pk_doc *persona_log_row(const struct mapping *mapping, const struct made *made,
                               const struct pk_doc *persona)
{
    static const char *const same[] = { "userId",      "mapperId",   "mapperVersion",
                                        "detailLevel", "variant",    "mindscapeVersion",
                                        "createdBy",   "generatedAt" };
    const int64_t gone_ms = pk_doc_date(persona, "expiresAt", 0);
    const int64_t kept_ms = mapping->now_ms + mapping->domain->persona_log_keep_ms;
    bson_t view, *row = bson_new();
    bson_iter_t iter;

    pk_doc_view(persona, &view);
    BSON_APPEND_UTF8(row, "_id", pk_doc_text(persona, "personaInstanceId"));
    BSON_APPEND_UTF8(row, "personaId", pk_doc_id(persona));
    for (size_t i = 0; i < PK_COUNT(same); i++) {
        if (bson_iter_init_find(&iter, &view, same[i])) {
            (void)bson_append_iter(row, same[i], -1, &iter);
        }
    }
    add_rules(row, &view);
    add_read_sets(row, &view);
    add_costs(row, mapping, made);
    BSON_APPEND_DATE_TIME(row, "personaExpiresAt", gone_ms);
    BSON_APPEND_BOOL(row, "isExpiryAnnounced", false);
    /* It outlives its persona, so that the end of that is announced. */
    BSON_APPEND_DATE_TIME(row, "expiresAt",
                          kept_ms > gone_ms + 24 * HOUR_MS ? kept_ms : gone_ms + 24 * HOUR_MS);
    return pk_doc_take(row);
}

struct pk_doc *persona_marked(const struct pk_doc *persona, bool is_stale)
{
    bson_t view, *made;
    bson_iter_t iter;
    if (pk_doc_bool(persona, "isStale", false) == is_stale) {
        return pk_doc_ref((struct pk_doc *)(uintptr_t)persona);
    }
    pk_doc_view(persona, &view);
    made = bson_copy(&view);
    if (bson_iter_init_find(&iter, made, "isStale") && BSON_ITER_HOLDS_BOOL(&iter)) {
        bson_iter_overwrite_bool(&iter, is_stale);
    }
    struct pk_doc *doc = pk_doc_new_versioned(made, pk_doc_version(persona));
    bson_destroy(made);
    return doc;
}
