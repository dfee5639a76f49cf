/* explain_traits.c - What a persona has read, and the observations and narratives behind it.
 *
 * Its read set says what was read and what was looked for in vain. Of each
 * trait: its value as it was read, how sure we were then and are now, and where
 * it comes from; a trait that has changed since shows both.
 *
 * Thread: any. */
/* SPDX-License-Identifier: MIT */
#include "persona/explain_internal.h"

#include "base/alloc.h"
#include "doc/doc.h"
#include "doc/path.h"
#include "persona/trait.h"
#include "store/store.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
    TRAITS_MAX = 500,  /* Shown. */
    SOURCES_MAX = 1000 /* Looked up, of all of them. */
};

/* ---- Traits of a mindscape ---- */

/* Calls 'each' with every trait in order, until it is false. */
static void each_trait(const struct pk_doc *mindscape,
                       bool (*each)(void *context, const bson_t *trait), void *context)
{
    bson_t view, list, trait;
    bson_iter_t item;
    pk_doc_view(mindscape, &view);
    if (!explain_view(&view, "traits", &list)) {
        return;
    }
    for (bool more = bson_iter_init(&item, &list); more && bson_iter_next(&item);) {
        if (pk_peek_view(&item, &trait) && !each(context, &trait)) {
            return;
        }
    }
}

struct finding {
    const char *path;
    bson_t *out;
    bool is_found;
};

static bool find(void *context, const bson_t *trait)
{
    struct finding *finding = context;
    if (strcmp(pk_peek_text(trait, "id", ""), finding->path) == 0) {
        finding->is_found = bson_init_static(finding->out, bson_get_data(trait), trait->len);
    }
    return !finding->is_found;
}

bool explain_find_trait(const struct pk_doc *mindscape, const char *path, bson_t *out)
{
    struct finding finding = { .path = path, .out = out };
    each_trait(mindscape, find, &finding);
    return finding.is_found;
}

/* ---- Read sets ---- */

void explain_each_read(const struct pk_doc *persona, explain_read_fn *each, void *context)
{
    static const char *const basis[] = { "coreBasis.readSet", "overlayBasis.readSet" };
    bson_t view, list, row;
    bson_iter_t item;
    pk_doc_view(persona, &view);
    for (size_t i = 0; i < PK_COUNT(basis); i++) {
        if (!explain_view(&view, basis[i], &list)) {
            continue;
        }
        for (bool more = bson_iter_init(&item, &list); more && bson_iter_next(&item);) {
            if (pk_peek_view(&item, &row)) {
                each(context, &row);
            }
        }
    }
}

static bool is_below(const char *path, const char *prefix)
{
    const size_t length = strlen(prefix);
    return length == 0 ||
           (strncmp(path, prefix, length) == 0 && (path[length] == '\0' || path[length] == '.'));
}

static void collect(void *context, const bson_t *row)
{
    struct explain_reads *reads = context;
    const char *how = pk_peek_text(row, "match", "");
    const char *key = pk_peek_text(row, "key", "");
    if (strcmp(pk_peek_text(row, "kind", ""), "trait") != 0 ||
        (strcmp(how, "miss") == 0 && !reads->has_misses)) {
        return;
    }
    if (reads->count == reads->capacity) {
        reads->capacity = reads->capacity ? reads->capacity * 2 : 64;
        reads->path = pk_realloc(reads->path, reads->capacity * sizeof(*reads->path));
    }
    if (*key && strcmp(how, "prefix") != 0) {
        reads->path[reads->count++] = key;
        return;
    }
    reads->prefix = pk_realloc(reads->prefix, (reads->prefix_count + 1) * sizeof(*reads->prefix));
    reads->prefix[reads->prefix_count++] = key;
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

void explain_reads_sort(struct explain_reads *reads)
{
    if (reads->count > 0) {
        qsort(reads->path, reads->count, sizeof(*reads->path), by_text);
    }
}

void explain_reads_of(const struct pk_doc *persona, bool has_misses, struct explain_reads *out)
{
    *out = (struct explain_reads){ .has_misses = has_misses };
    explain_each_read(persona, collect, out);
    explain_reads_sort(out);
}

void explain_reads_done(struct explain_reads *reads)
{
    pk_free(reads->path);
    pk_free(reads->prefix);
}

bool explain_reads_have(const struct explain_reads *reads, const char *path)
{
    if (reads->count > 0 &&
        bsearch(&path, reads->path, reads->count, sizeof(*reads->path), by_text)) {
        return true;
    }
    for (size_t i = 0; i < reads->prefix_count; i++) {
        if (is_below(path, reads->prefix[i])) {
            return true;
        }
    }
    return false;
}

/* ---- Where a trait comes from ---- */

struct adding {
    const struct explaining *it;
    bson_t *out; /* An array. */
    uint32_t count;
    const struct explain_reads *reads; /* Of traits. */
    size_t looked_up;
    struct pk_error *err;
    bool has_failed;
};

static void copy_field(bson_t *out, const char *as, const bson_t *from, const char *path)
{
    bson_iter_t iter;
    if (pk_path_find(from, path, &iter) && !BSON_ITER_HOLDS_NULL(&iter)) {
        (void)bson_append_iter(out, as, -1, &iter);
    }
}

bool explain_put_observation(const struct explaining *it, const char *id, bool is_name_only,
                             bson_t *out, struct pk_error *err)
{
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *observation = NULL;
    bson_t view;
    BSON_APPEND_UTF8(out, "observationId", id);
    if (is_name_only) {
        return true;
    }
    if (!pk_store_get(it->domain->books->store, "observations", id, it->request->deadline_ns,
                      &observation, err)) {
        return false;
    }
    if (observation) {
        pk_doc_view(observation, &view);
        copy_field(out, "sourceType", &view, "sourceType");
        copy_field(out, "source", &view, "sourceMetadata.source");
        copy_field(out, "effectiveAt", &view, "effectiveAt");
    }
    return true;
}

static void put_source(struct adding *adding, const bson_t *source, bson_t *out)
{
    const char *id = pk_peek_text(source, "obsId", "");
    copy_field(out, "weight", source, "weight");
    const bool is_name_only = adding->has_failed || adding->looked_up++ >= SOURCES_MAX;
    if (!explain_put_observation(adding->it, id, is_name_only, out, adding->err)) {
        adding->has_failed = true;
    }
}

static void put_sources(struct adding *adding, const bson_t *trait, bson_t *out)
{
    bson_t list, sources, source, child;
    bson_iter_t item;
    char room[16];
    uint32_t count = 0;
    BSON_APPEND_ARRAY_BEGIN(out, "sources", &list);
    if (explain_view(trait, "sources", &sources)) {
        for (bool more = bson_iter_init(&item, &sources); more && bson_iter_next(&item);) {
            if (pk_peek_view(&item, &source)) {
                (void)bson_append_document_begin(&list, explain_key(&count, room), -1, &child);
                put_source(adding, &source, &child);
                bson_append_document_end(&list, &child);
            }
        }
    }
    bson_append_array_end(out, &list);
    copy_field(out, "sourceCount", trait, "sourceCount");
}

static void put_narratives(const bson_t *trait, bson_t *out)
{
    bson_t list, links, link, child;
    bson_iter_t item;
    char room[16];
    uint32_t count = 0;
    if (!explain_view(trait, "links", &links)) {
        return;
    }
    BSON_APPEND_ARRAY_BEGIN(out, "narratives", &list);
    for (bool more = bson_iter_init(&item, &links); more && bson_iter_next(&item);) {
        if (pk_peek_view(&item, &link) && *pk_peek_text(&link, "narrativeId", "")) {
            (void)bson_append_document_begin(&list, explain_key(&count, room), -1, &child);
            copy_field(&child, "narrativeId", &link, "narrativeId");
            copy_field(&child, "linkType", &link, "linkType");
            copy_field(&child, "weight", &link, "confidence");
            bson_append_document_end(&list, &child);
        }
    }
    bson_append_array_end(out, &list);
}

/* ---- One trait ---- */

static double sure(const struct explaining *it, const bson_t *trait, int64_t at_ms)
{
    return round(pk_trait_confidence(it->domain->policies, trait, at_ms) * 1e4) / 1e4;
}

/* The mindscape's version at which it last changed; 0: not known. */
static int64_t version_of(const struct explaining *it, const char *path)
{
    bson_t view, list, row;
    bson_iter_t item, v;
    pk_doc_view(it->now, &view);
    if (!explain_view(&view, "versions", &list)) {
        return 0;
    }
    for (bool more = bson_iter_init(&item, &list); more && bson_iter_next(&item);) {
        if (pk_peek_view(&item, &row) && strcmp(pk_peek_text(&row, "key", ""), path) == 0 &&
            strcmp(pk_peek_text(&row, "kind", ""), "trait") == 0 &&
            bson_iter_init_find(&v, &row, "v")) {
            return bson_iter_as_int64(&v);
        }
    }
    return 0;
}

static bool is_same_value(const bson_t *a, const bson_t *b)
{
    bson_iter_t left, right;
    return bson_iter_init_find(&left, a, "value") && bson_iter_init_find(&right, b, "value") &&
           pk_trait_same_value(&left, &right);
}

/* What is held of it now, beside what was. */
static void put_now(const struct explaining *it, const bson_t *trait, const char *path, bson_t *out)
{
    bson_t held;
    const bool is_held = explain_find_trait(it->now, path, &held);
    BSON_APPEND_BOOL(out, "isHeld", is_held);
    if (is_held) {
        BSON_APPEND_DOUBLE(out, "confidenceNow", sure(it, &held, it->now_ms));
        if (!is_same_value(trait, &held)) {
            copy_field(out, "valueNow", &held, "value");
        }
    }
}

static bool put_trait(void *context, const bson_t *trait)
{
    struct adding *adding = context;
    const struct explaining *it = adding->it;
    const char *path = pk_peek_text(trait, "id", "");
    char room[16];
    bson_t child;
    if (!explain_reads_have(adding->reads, path)) {
        return true;
    }
    (void)bson_append_document_begin(adding->out, explain_key(&adding->count, room), -1, &child);
    BSON_APPEND_UTF8(&child, "traitName", path);
    copy_field(&child, "value", trait, "value");
    BSON_APPEND_INT64(&child, "version", version_of(it, path));
    BSON_APPEND_DOUBLE(&child, "confidenceThen", sure(it, trait, it->then_ms));
    put_now(it, trait, path, &child);
    copy_field(&child, "pinned", trait, "pinned");
    put_sources(adding, trait, &child);
    put_narratives(trait, &child);
    bson_append_document_end(adding->out, &child);
    return !adding->has_failed && adding->count < TRAITS_MAX;
}

/* ---- Misses, and reads that are no traits ---- */

static bool is_listed(const bson_t *list, const bson_t *row)
{
    bson_iter_t item;
    bson_t one;
    for (bool more = bson_iter_init(&item, list); more && bson_iter_next(&item);) {
        if (pk_peek_view(&item, &one) && bson_equal(&one, row)) {
            return true;
        }
    }
    return false;
}

/* Those of a trait that is hidden from who asks are not told of. */
static void put_read(void *context, const bson_t *row)
{
    struct adding *adding = context;
    const struct pk_principal *who = adding->it->request->who;
    const bool is_trait = strcmp(pk_peek_text(row, "kind", ""), "trait") == 0;
    const bool is_miss = strcmp(pk_peek_text(row, "match", ""), "miss") == 0;
    char room[16];
    if ((is_trait && !is_miss) || is_listed(adding->out, row) ||
        (is_trait && who && pk_principal_hides(who, pk_peek_text(row, "key", "")))) {
        return;
    }
    (void)bson_append_document(adding->out, explain_key(&adding->count, room), -1, row);
}

bool explain_add_traits(const struct explaining *it, bson_t *out, struct pk_error *err)
{
    PK_CLEANUP(explain_reads_done) struct explain_reads known;
    bson_t list;
    struct adding traits = { .it = it, .out = &list, .reads = &known, .err = err };
    struct adding reads = { .it = it, .out = &list };

    explain_reads_of(it->persona, false, &known);
    BSON_APPEND_ARRAY_BEGIN(out, "traits", &list);
    each_trait(it->then, put_trait, &traits);
    bson_append_array_end(out, &list);
    if (traits.has_failed) {
        return pk_wrap(err, "read what the traits rest on");
    }
    BSON_APPEND_ARRAY_BEGIN(out, "reads", &list);
    explain_each_read(it->persona, put_read, &reads);
    bson_append_array_end(out, &list);
    return true;
}
