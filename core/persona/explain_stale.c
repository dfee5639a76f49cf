/* explain_stale.c - What has changed since a persona was made, and what that would do to it.
 *
 * What a mapping would give now is made by the version that serves now, and
 * compared with the persona section by section. A mapper that fails now, or is
 * not there any more, is said in words: the explanation of what was stands.
 *
 * Thread: any. */
/* SPDX-License-Identifier: MIT */
#include "persona/explain_internal.h"

#include "base/alloc.h"
#include "doc/doc.h"
#include "doc/path.h"
#include "persona/registry.h"

#include <stdio.h>
#include <string.h>

/* ---- What has changed ---- */

/* A row of 'versions' that a read of the persona meets. */
struct meeting {
    const bson_t *changed;
    bool is_met;
};

static bool is_below(const char *path, const char *prefix)
{
    const size_t length = strlen(prefix);
    return strncmp(path, prefix, length) == 0 && (path[length] == '\0' || path[length] == '.');
}

static void meet(void *context, const bson_t *row)
{
    struct meeting *meeting = context;
    const char *read = pk_peek_text(row, "key", ""),
               *key = pk_peek_text(meeting->changed, "key", "");
    if (strcmp(pk_peek_text(row, "kind", ""), pk_peek_text(meeting->changed, "kind", "")) == 0) {
        const bool is_prefix = strcmp(pk_peek_text(row, "match", ""), "prefix") == 0;
        meeting->is_met = meeting->is_met || !*read || !*key ||
                          (is_prefix ? is_below(key, read) : strcmp(key, read) == 0);
    }
}

static void add_changed(const struct explaining *it, int64_t version, bson_t *out)
{
    bson_t view, versions, row, list;
    bson_iter_t item, v;
    char room[16];
    uint32_t count = 0;
    pk_doc_view(it->now, &view);
    BSON_APPEND_ARRAY_BEGIN(out, "changed", &list);
    if (explain_view(&view, "versions", &versions)) {
        for (bool more = bson_iter_init(&item, &versions); more && bson_iter_next(&item);) {
            struct meeting meeting = { .changed = &row };
            if (!pk_peek_view(&item, &row) || !bson_iter_init_find(&v, &row, "v") ||
                bson_iter_as_int64(&v) <= version ||
                (it->request->who && strcmp(pk_peek_text(&row, "kind", ""), "trait") == 0 &&
                 pk_principal_hides(it->request->who, pk_peek_text(&row, "key", "")))) {
                continue;
            }
            explain_each_read(it->persona, meet, &meeting);
            if (meeting.is_met) {
                (void)bson_append_document(&list, explain_key(&count, room), -1, &row);
            }
        }
    }
    bson_append_array_end(out, &list);
}

/* ---- What that would do ---- */

static const struct {
    const char *stored, *shown, *version;
} half_row[] = { { "coreSnapshot", "personaCore", "coreVersion" },
                 { "overlaySlice", "contextualOverlay", "overlayVersion" } };

static bool is_equal(const bson_iter_t *a, const bson_iter_t *b)
{
    bson_t left = BSON_INITIALIZER, right = BSON_INITIALIZER;
    (void)bson_append_iter(&left, "v", -1, a);
    (void)bson_append_iter(&right, "v", -1, b);
    const bool ok = bson_equal(&left, &right);
    bson_destroy(&left);
    bson_destroy(&right);
    return ok;
}

static void put_effect(bson_t *list, uint32_t *count, const char *path, const bson_iter_t *before,
                       const bson_iter_t *after)
{
    char room[16];
    bson_t child;
    (void)bson_append_document_begin(list, explain_key(count, room), -1, &child);
    BSON_APPEND_UTF8(&child, "path", path);
    if (before) {
        (void)bson_append_iter(&child, "before", -1, before);
    }
    if (after) {
        (void)bson_append_iter(&child, "after", -1, after);
    }
    bson_append_document_end(list, &child);
}

/* Sections of 'from' that 'to' has otherwise or, with 'is_back', not at all. */
static void compare(bson_t *list, uint32_t *count, size_t half, const bson_t *from,
                    const bson_t *to, bool is_back)
{
    bson_iter_t iter, other;
    char path[300];
    for (bool more = bson_iter_init(&iter, from); more && bson_iter_next(&iter);) {
        const char *key = bson_iter_key(&iter);
        const bool is_there = bson_iter_init_find(&other, to, key);
        if (strcmp(key, "generatedAt") == 0 || strcmp(key, half_row[half].version) == 0 ||
            (is_there && (is_back || is_equal(&iter, &other)))) {
            continue;
        }
        (void)snprintf(path, sizeof(path), "%s.%.200s", half_row[half].shown, key);
        if (is_back) {
            put_effect(list, count, path, NULL, &iter);
        } else {
            put_effect(list, count, path, &iter, is_there ? &other : NULL);
        }
    }
}

static void add_effect(const struct explaining *it, const struct pk_doc *anew, bson_t *out)
{
    bson_t was, would, before, after, list;
    uint32_t count = 0;
    pk_doc_view(it->persona, &was);
    pk_doc_view(anew, &would);
    BSON_APPEND_ARRAY_BEGIN(out, "effect", &list);
    for (size_t i = 0; i < PK_COUNT(half_row); i++) {
        if (explain_view(&was, half_row[i].stored, &before) &&
            explain_view(&would, half_row[i].stored, &after)) {
            compare(&list, &count, i, &before, &after, false);
            compare(&list, &count, i, &after, &before, true);
        }
    }
    bson_append_array_end(out, &list);
}

/* ---- Together ---- */

static const char *const freshness_name[] = {
    [PK_FRESH] = "fresh",
    [PK_STALE_MAPPER] = "mapper",
    [PK_STALE_TIME] = "time",
    [PK_STALE_READ] = "read",
};

/* The version that serves the person; "": none does. */
static void find_serving(const struct explaining *it, char out[PK_SCRIPT_VERSION])
{
    struct pk_generation *pinned = pk_scripts_pin(it->domain->scripts);
    const struct pk_script *serving = persona_serving(pinned, it->persona, it->now);
    (void)snprintf(out, PK_SCRIPT_VERSION, "%s", serving ? serving->version : "");
    pk_generation_unpin(pinned);
}

static void try_anew(const struct explaining *it, const char *version, bson_t *out)
{
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *anew = NULL;
    struct pk_script *mapper = NULL;
    struct pk_error why = { 0 };
    if (*version &&
        pk_registry_load(it->domain->registry, PK_SCRIPT_MAPPER, it->name.mapper, version,
                         it->request->deadline_ns, &mapper, &why) &&
        explain_make(it, mapper, it->now, NULL, it->now_ms, &anew, &why)) {
        add_effect(it, anew, out);
    } else {
        BSON_APPEND_UTF8(out, "problem",
                         *version ? why.message : "no version of the mapper serves");
    }
    pk_script_unref(mapper);
}

static bool add_stale(const struct explaining *it, bson_t *out, struct pk_error *err)
{
    char serving[PK_SCRIPT_VERSION];
    struct pk_fresh fresh = { PK_STALE_MAPPER, PK_STALE_MAPPER };
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *mindscape = pk_doc_ref(it->now);
    bson_t child;

    find_serving(it, serving);
    if (*serving && !persona_is_fresh(it->domain, it->persona, serving, it->now_ms,
                                      it->request->deadline_ns, &mindscape, &fresh, err)) {
        return false;
    }
    BSON_APPEND_DOCUMENT_BEGIN(out, "staleness", &child);
    BSON_APPEND_BOOL(&child, "isStale", !pk_fresh_is(&fresh));
    BSON_APPEND_UTF8(&child, "core", freshness_name[fresh.core]);
    BSON_APPEND_UTF8(&child, "overlay", freshness_name[fresh.overlay]);
    /* Of a half that was kept, nothing had changed by the time the other one was made. */
    const int64_t core = pk_doc_int(it->persona, "coreBasis.mindscapeVersion", 0);
    const int64_t overlay = pk_doc_int(it->persona, "overlayBasis.mindscapeVersion", 0);
    add_changed(it, core > overlay ? core : overlay, &child);
    if (!pk_fresh_is(&fresh)) {
        try_anew(it, serving, &child);
    }
    bson_append_document_end(out, &child);
    return true;
}

bool explain_add_stale(const struct explaining *it, bson_t *out, struct pk_error *err)
{
    /* What was never served is not out of date. */
    return it->is_made || add_stale(it, out, err) || pk_wrap(err, "see what has changed");
}
