/* mindscape_show.c - A mindscape as those see it who read it over HTTP.
 *
 * The stored document in HTTP's spelling, with each trait's confidence as it
 * is now, less what is hidden from who reads, what is over, and what is the
 * store's own (versions, epoch, removals: they name what may be hidden). */
/* SPDX-License-Identifier: MIT */
#include "persona/mindscape_internal.h"

#include "access/principal.h"
#include "base/alloc.h"
#include "base/error.h"
#include "doc/doc.h"
#include "doc/names.h"
#include "doc/peek.h"
#include "persona/trait.h"

#include <math.h>
#include <string.h>

/* ---- Traits ---- */

static void append_derived(const bson_t *trait, bson_t *out)
{
    bson_t list, source;
    bson_iter_t iter, item;
    char room[16];
    uint32_t at = 0;
    BSON_APPEND_ARRAY_BEGIN(out, "derivedFrom", &list);
    if (bson_iter_init_find(&iter, trait, "sources") && BSON_ITER_HOLDS_ARRAY(&iter) &&
        bson_iter_recurse(&iter, &item)) {
        while (bson_iter_next(&item)) {
            if (pk_peek_view(&item, &source)) {
                const char *key = pk_array_key(at++, room);
                BSON_APPEND_UTF8(&list, key, pk_peek_text(&source, "obsId", ""));
            }
        }
    }
    bson_append_array_end(out, &list);
}

void pk_trait_show(const struct pk_policies *policies, const bson_t *trait, int64_t now_ms,
                   bson_t *out)
{
    bson_iter_t field;
    const double now = pk_trait_confidence(policies, trait, now_ms);
    for (bool is_ok = bson_iter_init(&field, trait); is_ok && bson_iter_next(&field);) {
        const char *key = bson_iter_key(&field);
        if (strcmp(key, "id") == 0) {
            (void)bson_append_iter(out, "traitName", -1, &field);
        } else if (strcmp(key, "confidence") == 0) {
            BSON_APPEND_DOUBLE(out, "confidence", round(now * 1e6) / 1e6);
        } else {
            (void)bson_append_iter(out, key, -1, &field);
        }
    }
    append_derived(trait, out);
}

bool pk_trait_is_shown(const struct pk_domain *domain, const struct pk_mindscape_view *view,
                       const bson_t *trait)
{
    return !(view->who && pk_principal_hides(view->who, pk_peek_text(trait, "id", ""))) &&
           pk_trait_confidence(domain->policies, trait, view->now_ms) >= view->min_confidence;
}

/* Those that are shown, in HTTP's spelling or, for a tree, as they are stored. */
static void show_traits(const struct pk_domain *domain, const struct pk_mindscape_view *view,
                        const bson_t *list, bson_t *out)
{
    bson_iter_t item;
    bson_t trait, child;
    char room[16];
    uint32_t at = 0;
    for (bool is_ok = bson_iter_init(&item, list); is_ok && bson_iter_next(&item);) {
        if (!pk_peek_view(&item, &trait) || !pk_trait_is_shown(domain, view, &trait)) {
            continue;
        }
        const char *key = pk_array_key(at++, room);
        if (view->is_tree) {
            (void)bson_append_iter(out, key, -1, &item);
        } else {
            BSON_APPEND_DOCUMENT_BEGIN(out, key, &child);
            pk_trait_show(domain->policies, &trait, view->now_ms, &child);
            bson_append_document_end(out, &child);
        }
    }
}

static void list_traits(const struct pk_domain *domain, const struct pk_doc *mindscape,
                        const struct pk_mindscape_view *view, bson_t *out)
{
    bson_t stored, list;
    bson_iter_t iter;
    pk_doc_view(mindscape, &stored);
    bson_init(out);
    if (bson_iter_init_find(&iter, &stored, "traits") && pk_peek_view(&iter, &list)) {
        show_traits(domain, view, &list, out);
    }
}

/* The mindscape as it is looked at: now, or as of then; a reference. */
static bool at_that_time(const struct pk_domain *domain, const struct pk_doc *mindscape,
                         const struct pk_mindscape_view *view, int64_t deadline_ns,
                         struct pk_doc **out, struct pk_error *err)
{
    if (view->at_ms != 0) {
        return mindscape_past(domain, mindscape, view->at_ms, deadline_ns, out, err);
    }
    *out = pk_doc_ref((struct pk_doc *)(uintptr_t)mindscape);
    return true;
}

bool pk_mindscape_traits(const struct pk_domain *domain, const struct pk_doc *mindscape,
                         const struct pk_mindscape_view *view, int64_t deadline_ns, bson_t *out,
                         struct pk_error *err)
{
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *then = NULL;
    if (!at_that_time(domain, mindscape, view, deadline_ns, &then, err)) {
        return false;
    }
    list_traits(domain, then, view, out);
    return true;
}

static bool append_traits(const struct pk_domain *domain, const struct pk_doc *mindscape,
                          const struct pk_mindscape_view *view, int64_t deadline_ns, bson_t *out,
                          struct pk_error *err)
{
    bson_t list, embedded;
    bool is_ok = true;
    list_traits(domain, mindscape, view, &list);
    if (view->is_tree) {
        mindscape_tree(&list, out);
    } else if (!view->has_embeddings) {
        BSON_APPEND_ARRAY(out, "traitMatrix", &list);
    } else if ((is_ok = mindscape_embed(domain, pk_doc_id(mindscape), &list, view->at_ms,
                                        deadline_ns, &embedded, err))) {
        BSON_APPEND_ARRAY(out, "traitMatrix", &embedded);
        bson_destroy(&embedded);
    }
    bson_destroy(&list);
    return is_ok;
}

/* ---- What is true just now ---- */

static int64_t until_of(const bson_t *mindscape, const char *key)
{
    bson_iter_t map, until;
    return bson_iter_init_find(&map, mindscape, "highVolatileUntil") &&
                   BSON_ITER_HOLDS_DOCUMENT(&map) && bson_iter_recurse(&map, &until) &&
                   bson_iter_find(&until, key) && BSON_ITER_HOLDS_DATE_TIME(&until)
               ? bson_iter_date_time(&until)
               : INT64_MAX;
}

/* 'map' is highVolatileCache or highVolatileUntil. */
static void append_hot(const bson_t *mindscape, const struct pk_mindscape_view *view,
                       const char *map, bson_t *out)
{
    bson_iter_t iter, value;
    bson_t child;
    BSON_APPEND_DOCUMENT_BEGIN(out, map, &child);
    if (bson_iter_init_find(&iter, mindscape, map) && BSON_ITER_HOLDS_DOCUMENT(&iter) &&
        bson_iter_recurse(&iter, &value)) {
        while (bson_iter_next(&value)) {
            if (until_of(mindscape, bson_iter_key(&value)) > view->now_ms) {
                (void)bson_append_iter(&child, NULL, 0, &value);
            }
        }
    }
    bson_append_document_end(out, &child);
}

/* ---- The rest ---- */

static bool append_knowledge(const struct pk_domain *domain, const struct pk_doc *mindscape,
                             const bson_t *stored, const struct pk_mindscape_view *view,
                             int64_t deadline_ns, bson_t *out, struct pk_error *err)
{
    bson_iter_t iter, field;
    bson_t child;
    const bool has_some = view->at_ms == 0 && /* What was found then is not known. */
                          bson_iter_init_find(&iter, stored, "knowledgeStore") &&
                          BSON_ITER_HOLDS_DOCUMENT(&iter) && bson_iter_recurse(&iter, &field);
    bool is_ok = true;
    if (!has_some && !view->has_knowledge) {
        return true;
    }
    BSON_APPEND_DOCUMENT_BEGIN(out, "knowledgeStore", &child);
    while (has_some && bson_iter_next(&field)) {
        (void)bson_append_iter(&child, NULL, 0, &field);
    }
    if (view->has_knowledge) {
        is_ok = mindscape_layers(domain, mindscape, view, deadline_ns, &child, err);
    }
    bson_append_document_end(out, &child);
    return is_ok;
}

static void copy(const bson_t *from, const char *name, const char *as, bson_t *out)
{
    bson_iter_t iter;
    if (bson_iter_init_find(&iter, from, name)) {
        (void)bson_append_iter(out, as, -1, &iter);
    }
}

/* What the document has over HTTP; of a past time without what counts writes. */
static bool show_document(const struct pk_domain *domain, const struct pk_doc *mindscape,
                          const struct pk_mindscape_view *view, int64_t deadline_ns, bson_t *out,
                          struct pk_error *err)
{
    const bool is_now = view->at_ms == 0;
    bson_t stored;
    pk_doc_view(mindscape, &stored);
    copy(&stored, "_id", "mindscapeId", out);
    copy(&stored, "_id", "personId", out);
    copy(&stored, is_now ? "version" : "", "version", out);
    copy(&stored, "narrative", "narrative", out);
    copy(&stored, "goals", "goals", out);
    copy(&stored, "beliefs", "beliefs", out);
    if (!append_knowledge(domain, mindscape, &stored, view, deadline_ns, out, err) ||
        !append_traits(domain, mindscape, view, deadline_ns, out, err)) {
        return false;
    }
    append_hot(&stored, view, "highVolatileCache", out);
    append_hot(&stored, view, "highVolatileUntil", out);
    copy(&stored, "createdAt", "createdAt", out);
    copy(&stored, "lastUpdated", "updatedAt", out);
    copy(&stored, is_now ? "lastProcessedObservationId" : "", "lastProcessedObservationId", out);
    copy(&stored, is_now ? "processingMetadata" : "", "processingMetadata", out);
    copy(&stored, "seq", "seq", out);
    if (!is_now) {
        BSON_APPEND_DATE_TIME(out, "asOf", view->at_ms);
    }
    return true;
}

bool pk_mindscape_show(const struct pk_domain *domain, const struct pk_doc *mindscape,
                       const struct pk_mindscape_view *view, int64_t deadline_ns, bson_t *out,
                       struct pk_error *err)
{
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *then = NULL;
    if (!at_that_time(domain, mindscape, view, deadline_ns, &then, err)) {
        return false;
    }
    bson_init(out);
    if (!show_document(domain, then, view, deadline_ns, out, err)) {
        bson_destroy(out);
        return false;
    }
    return true;
}

/* ---- What has changed ---- */

void pk_mindscape_changed_since(const struct pk_doc *mindscape, int64_t version, char *out,
                                size_t size)
{
    enum { NAMED_MAX = 20 };
    bson_t view, item_view;
    bson_iter_t iter, item, v;
    size_t named = 0, left = 0, at = 0;

    *out = '\0';
    pk_doc_view(mindscape, &view);
    if (!bson_iter_init_find(&iter, &view, "versions") || !BSON_ITER_HOLDS_ARRAY(&iter) ||
        !bson_iter_recurse(&iter, &item)) {
        return;
    }
    while (bson_iter_next(&item)) {
        if (!pk_peek_view(&item, &item_view) || !bson_iter_init_find(&v, &item_view, "v") ||
            bson_iter_as_int64(&v) <= version) {
            continue;
        }
        const char *kind = pk_peek_text(&item_view, "kind", "");
        const char *key = pk_peek_text(&item_view, "key", "");
        const bool is_trait = strcmp(kind, "trait") == 0;
        const int added = named < NAMED_MAX
                              ? snprintf(out + at, size - at, "%s%s%s%s", named ? ", " : "",
                                         is_trait ? "" : kind, !is_trait && *key ? ":" : "", key)
                              : -1;
        if (added < 0 || (size_t)added + 32 > size - at) { /* Room for how many more. */
            out[at] = '\0';
            left++;
        } else {
            at += (size_t)added;
            named++;
        }
    }
    if (left > 0) {
        (void)snprintf(out + at, size - at, "%s%zu more", at ? " and " : "", left);
    }
}
