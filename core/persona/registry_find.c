/* registry_find.c - Reading: versions, which one is active, what came before it, what is barred.
 *
 * Lists of ids hop: the newest version of the first id behind the last one, by
 * the index of age, so that an id with a thousand versions costs one look. */
/* SPDX-License-Identifier: MIT */
#include "persona/registry_internal.h"

#include "base/alloc.h"
#include "base/id.h"
#include "doc/doc.h"
#include "store/store.h"

#include <string.h>

enum { LIMIT_DEFAULT = 100, STEPS_MAX = 64 };

bool registry_fail_missing(enum pk_script_kind kind, const char *version, struct pk_error *err)
{
    return pk_fail(err, PK_NOT_FOUND, "list them, or their versions", "there is no such %s%s",
                   version ? "version of a " : "", pk_script_kind_name(kind));
}

/* The first document of a query; NULL: there is none. */
static bool find_first(struct pk_registry *registry, struct pk_query *query, int64_t deadline_ns,
                       struct pk_doc **out, struct pk_error *err)
{
    PK_CLEANUP(pk_page_done) struct pk_page page = { 0 };
    query->limit = 1;
    if (!pk_store_find(registry_store(registry), query, deadline_ns, &page, err)) {
        return pk_wrap(err, "read '%s'", query->collection);
    }
    *out = page.count ? pk_doc_ref(page.doc[0]) : NULL;
    return true;
}

/* Processors and conditions lie in one collection, under ids that are theirs together. */
static bool keep_kind(enum pk_script_kind kind, struct pk_doc **doc)
{
    if (*doc && registry_doc_kind(*doc) != kind) {
        pk_doc_unref(*doc);
        *doc = NULL;
    }
    return true;
}

bool registry_find_version(struct pk_registry *registry, enum pk_script_kind kind, const char *id,
                           const char *version, int64_t deadline_ns, struct pk_doc **out,
                           struct pk_error *err)
{
    struct pk_query query = { .collection = registry_home(kind)->collection,
                              .index = "by_version",
                              .equal = { PK_TEXT(id), PK_TEXT(version) },
                              .equal_count = 2 };
    return find_first(registry, &query, deadline_ns, out, err) && keep_kind(kind, out);
}

bool registry_find_active(struct pk_registry *registry, enum pk_script_kind kind, const char *id,
                          int64_t deadline_ns, struct pk_doc **out, struct pk_error *err)
{
    struct pk_query query = { .collection = registry_home(kind)->collection,
                              .index = "one_active",
                              .equal = { PK_TEXT(id) },
                              .equal_count = 1 };
    return find_first(registry, &query, deadline_ns, out, err) && keep_kind(kind, out);
}

/* By age, within the kind where a collection has several. */
static struct pk_query query_by_age(enum pk_script_kind kind)
{
    struct pk_query query = { .collection = registry_home(kind)->collection, .index = "by_age" };
    if (kind != PK_SCRIPT_MAPPER) {
        query.equal[query.equal_count++] = PK_TEXT(pk_script_kind_name(kind));
    }
    return query;
}

bool registry_find_newest(struct pk_registry *registry, enum pk_script_kind kind, const char *id,
                          int64_t deadline_ns, struct pk_doc **out, struct pk_error *err)
{
    struct pk_query query = query_by_age(kind);
    query.equal[query.equal_count++] = PK_TEXT(id);
    return find_first(registry, &query, deadline_ns, out, err);
}

bool registry_find_bar(struct pk_registry *registry, const char *hash_text, int64_t deadline_ns,
                       struct pk_doc **out, struct pk_error *err)
{
    return pk_store_get(registry_store(registry), "script_state", hash_text, deadline_ns, out,
                        err) ||
           pk_wrap(err, "see what is barred");
}

/* ---- What was active before ---- */

static bool may_run(struct pk_registry *registry, const struct pk_doc *doc, int64_t deadline_ns,
                    bool *out, struct pk_error *err)
{
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *bar = NULL;
    const char *status = pk_doc_text(doc, "status");
    const char *hash = pk_doc_text(doc, "contentHash");
    *out = false;
    if (!status || strcmp(status, "deprecated") == 0 || !hash) {
        return true;
    }
    if (!registry_find_bar(registry, hash, deadline_ns, &bar, err)) {
        return false;
    }
    *out = bar == NULL;
    return true;
}

bool registry_find_before(struct pk_registry *registry, const struct pk_doc *active,
                          int64_t deadline_ns, struct pk_doc **out, struct pk_error *err)
{
    const enum pk_script_kind kind = registry_doc_kind(active);
    const char *id = registry_doc_script_id(active);
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *at = NULL;

    *out = NULL;
    for (int i = 0; i < STEPS_MAX; i++) { /* Versions that took turns make a circle. */
        const char *previous = pk_doc_text(at ? at : active, "previousVersion");
        struct pk_doc *before = NULL;
        bool may = false;
        if (!previous) {
            return true;
        }
        if (!registry_find_version(registry, kind, id, previous, deadline_ns, &before, err)) {
            return false;
        }
        pk_doc_unref(at);
        at = before;
        if (!at || strcmp(pk_doc_id(at), pk_doc_id(active)) == 0) {
            return true;
        }
        if (!may_run(registry, at, deadline_ns, &may, err)) {
            return false;
        }
        if (may) {
            *out = at;
            at = NULL;
            return true;
        }
    }
    return true;
}

/* ---- For those who ask ---- */

bool pk_registry_get(struct pk_registry *registry, enum pk_script_kind kind, const char *id,
                     const char *version, struct pk_doc **out, struct pk_error *err)
{
    struct pk_doc *doc = NULL;
    if (version ? !registry_find_version(registry, kind, id, version, 0, &doc, err)
                : !registry_find_active(registry, kind, id, 0, &doc, err)) {
        return false;
    }
    if (!doc && !version && !registry_find_newest(registry, kind, id, 0, &doc, err)) {
        return false;
    }
    *out = doc;
    return doc != NULL || registry_fail_missing(kind, version, err);
}

/* The id behind 'after' (NULL: the first): its active version, or its newest. */
static bool next_id(struct pk_registry *registry, enum pk_script_kind kind, const char *after,
                    struct pk_doc **out, struct pk_error *err)
{
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *newest = NULL;
    struct pk_query query = query_by_age(kind);
    if (after) {
        query.min =
            (struct pk_bound){ .is_set = true, .is_exclusive = true, .value = PK_TEXT(after) };
    }
    if (!find_first(registry, &query, 0, &newest, err)) {
        return false;
    }
    const char *status = newest ? pk_doc_text(newest, "status") : NULL;
    if (status && strcmp(status, "active") != 0 &&
        !registry_find_active(registry, kind, registry_doc_script_id(newest), 0, out, err)) {
        return false;
    }
    if (!*out) {
        *out = newest;
        newest = NULL;
    }
    return true;
}

static bool list_ids(struct pk_registry *registry, enum pk_script_kind kind, size_t limit,
                     const char *cursor, struct pk_page *out, struct pk_error *err)
{
    if (cursor && !pk_script_id_is_valid(cursor, strlen(cursor))) {
        return pk_fail_field(err, PK_INVALID, "cursor", "start again without a cursor",
                             "there is no such place in the list");
    }
    struct pk_doc *doc = NULL;
    out->doc = pk_calloc(limit, sizeof(struct pk_doc *));
    if (!next_id(registry, kind, cursor, &doc, err)) {
        return false;
    }
    while (doc && out->count < limit) {
        const char *id = registry_doc_script_id(doc);
        out->doc[out->count++] = doc;
        doc = NULL;
        if (!next_id(registry, kind, id, &doc, err)) {
            return false;
        }
    }
    if (doc) {
        out->next = pk_strdup(registry_doc_script_id(out->doc[out->count - 1]));
        pk_doc_unref(doc);
    }
    return true;
}

bool pk_registry_list(struct pk_registry *registry, enum pk_script_kind kind, const char *id,
                      size_t limit, const char *cursor, struct pk_page *out, struct pk_error *err)
{
    limit = limit ? limit : LIMIT_DEFAULT;
    limit = limit < PK_PAGE_MAX ? limit : PK_PAGE_MAX;
    if (!id) {
        *out = (struct pk_page){ 0 };
        if (!list_ids(registry, kind, limit, cursor, out, err)) {
            pk_page_done(out);
            *out = (struct pk_page){ 0 };
            return false;
        }
        return true;
    }
    struct pk_query query = query_by_age(kind);
    query.equal[query.equal_count++] = PK_TEXT(id);
    query.limit = limit;
    query.cursor = cursor;
    return pk_store_find(registry_store(registry), &query, 0, out, err) ||
           pk_wrap(err, "list the versions");
}

bool pk_registry_barred(struct pk_registry *registry, const char *id, size_t limit,
                        struct pk_page *out, struct pk_error *err)
{
    const struct pk_query query = { .collection = "script_state",
                                    .index = "by_script",
                                    .equal = { PK_TEXT(id) },
                                    .equal_count = id != NULL,
                                    .limit = limit };
    return pk_store_find(registry_store(registry), &query, 0, out, err) ||
           pk_wrap(err, "list what is barred");
}
