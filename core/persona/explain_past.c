/* explain_past.c - What was known when: the mindscape as it was read, the mapper that was active.
 *
 * Traits have their history, so they can be put back exactly. What was true
 * just then (highVolatileCache) has none: of a past time nothing of it is known,
 * and of a cached persona it is as it is now, which the explanation says.
 *
 * Thread: any. */
/* SPDX-License-Identifier: MIT */
#include "persona/explain_internal.h"

#include "base/alloc.h"
#include "doc/doc.h"
#include "persona/mindscape_internal.h"
#include "persona/registry.h"
#include "store/store.h"

#include <stdio.h>
#include <string.h>

/* ---- A mindscape with other traits ---- */

/* Goals and beliefs that were held by then. */
static void append_held(const bson_iter_t *list, int64_t at_ms, bson_t *out)
{
    bson_iter_t item, created;
    bson_t view, held;
    char room[16];
    uint32_t count = 0;
    BSON_APPEND_ARRAY_BEGIN(out, bson_iter_key(list), &held);
    for (bool more = bson_iter_recurse(list, &item); more && bson_iter_next(&item);) {
        if (explain_view_of(&item, &view) && bson_iter_init_find(&created, &view, "createdAt") &&
            BSON_ITER_HOLDS_DATE_TIME(&created) && bson_iter_date_time(&created) <= at_ms) {
            (void)bson_append_iter(&held, explain_key(&count, room), -1, &item);
        }
    }
    bson_append_array_end(out, &held);
}

/* 'at_ms' not 0: as of then, and not only the traits. */
static struct pk_doc *with_traits(const struct pk_doc *mindscape, const bson_t *traits,
                                  int64_t at_ms)
{
    bson_t view, nothing, *made = bson_new();
    bson_iter_t iter;
    pk_doc_view(mindscape, &view);
    for (bool more = bson_iter_init(&iter, &view); more && bson_iter_next(&iter);) {
        const char *key = bson_iter_key(&iter);
        if (strcmp(key, "traits") == 0) {
            BSON_APPEND_ARRAY(made, key, traits);
        } else if (at_ms != 0 && strncmp(key, "highVolatile", 12) == 0) {
            BSON_APPEND_DOCUMENT_BEGIN(made, key, &nothing);
            bson_append_document_end(made, &nothing);
        } else if (at_ms != 0 && (strcmp(key, "goals") == 0 || strcmp(key, "beliefs") == 0)) {
            append_held(&iter, at_ms, made);
        } else {
            (void)bson_append_iter(made, NULL, 0, &iter);
        }
    }
    struct pk_doc *doc = pk_doc_new_versioned(made, pk_doc_version(mindscape));
    bson_destroy(made);
    return doc;
}

struct pk_doc *explain_without_hidden(struct pk_doc *mindscape, const struct pk_principal *who)
{
    bson_t view, list, trait, kept = BSON_INITIALIZER;
    bson_iter_t item;
    char room[16];
    uint32_t count = 0;
    if (!who || !pk_principal_hides_any(who)) {
        return mindscape;
    }
    pk_doc_view(mindscape, &view);
    if (explain_view(&view, "traits", &list)) {
        for (bool more = bson_iter_init(&item, &list); more && bson_iter_next(&item);) {
            if (explain_view_of(&item, &trait) &&
                !pk_principal_hides(who, explain_text(&trait, "id"))) {
                (void)bson_append_iter(&kept, explain_key(&count, room), -1, &item);
            }
        }
    }
    struct pk_doc *made = with_traits(mindscape, &kept, 0);
    bson_destroy(&kept);
    pk_doc_unref(mindscape);
    return made;
}

/* ---- As of a time ---- */

bool explain_as_of(const struct explaining *it, int64_t at_ms, struct pk_doc **out,
                   struct pk_error *err)
{
    bson_t traits;
    if (!mindscape_past(it->domain, it->now, at_ms, it->request->deadline_ns, &traits, err)) {
        return false;
    }
    *out = explain_without_hidden(with_traits(it->now, &traits, at_ms), it->request->who);
    bson_destroy(&traits);
    return true;
}

/* ---- As it was read ---- */

/* The oldest change of a trait that came after an instant; '*out' NULL: there is none. */
static bool find_change(const struct explaining *it, const char *path, int64_t at_ms,
                        struct pk_doc **out, struct pk_error *err)
{
    PK_CLEANUP(pk_freep) char *cursor = NULL;
    bool is_done = false;
    do {
        PK_CLEANUP(pk_page_done) struct pk_page page = { 0 };
        const struct pk_query query = {
            .collection = "trait_history",
            .index = "by_user_path",
            .equal = { PK_TEXT(it->name.person), PK_INT(pk_doc_int(it->now, "epoch", 0)),
                       PK_TEXT(path) },
            .equal_count = 3,
            .is_reversed = true,
            .cursor = cursor,
        };
        if (!pk_store_find(it->domain->books->store, &query, it->request->deadline_ns, &page,
                           err)) {
            return pk_wrap(err, "read the history of '%s'", path);
        }
        for (size_t i = 0; i < page.count && !is_done; i++) {
            is_done = pk_doc_date(page.doc[i], "createdAt", 0) <= at_ms;
            if (!is_done) {
                pk_doc_unref(*out);
                *out = pk_doc_ref(page.doc[i]);
            }
        }
        pk_free(cursor);
        cursor = page.next && !is_done ? pk_strdup(page.next) : NULL;
    } while (cursor);
    return true;
}

/* The traits of a mindscape while some are put back; sorted by path, as they are stored. */
struct putting {
    const struct explaining *it;
    int64_t version, at_ms;
    bson_t traits; /* An array. */
    uint32_t count;
};

static void append_trait(struct putting *putting, const bson_t *trait)
{
    char room[16];
    (void)bson_append_document(&putting->traits, explain_key(&putting->count, room), -1, trait);
}

/* One that is newer than what was read: what it was before, if it was. */
static bool put_back(struct putting *putting, const char *path, const bson_t *held,
                     struct pk_error *err)
{
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *change = NULL;
    bson_t view, before;
    if (!find_change(putting->it, path, putting->at_ms, &change, err)) {
        return false;
    }
    if (change) {
        pk_doc_view(change, &view);
        if (explain_view(&view, "before", &before)) {
            append_trait(putting, &before);
        }
    } else if (held) {
        append_trait(putting, held);
    }
    return true;
}

/* Traits that were read and whose row in 'versions' is newer, each by its path. */
static void find_newer(const struct putting *putting, const struct explain_reads *reads,
                       const bson_t *versions, struct explain_reads *out)
{
    bson_iter_t item, v;
    bson_t row;
    *out = (struct explain_reads){ .path = NULL };
    for (bool more = bson_iter_init(&item, versions); more && bson_iter_next(&item);) {
        if (!explain_view_of(&item, &row) || !bson_iter_init_find(&v, &row, "v") ||
            bson_iter_as_int64(&v) <= putting->version ||
            strcmp(explain_text(&row, "kind"), "trait") != 0 ||
            !explain_reads_have(reads, explain_text(&row, "key"))) {
            continue;
        }
        if (out->count == out->capacity) {
            out->capacity = out->capacity ? out->capacity * 2 : 16;
            out->path = pk_realloc(out->path, out->capacity * sizeof(*out->path));
        }
        out->path[out->count++] = explain_text(&row, "key");
    }
    explain_reads_sort(out);
}

static bool put_back_held(struct putting *putting, const bson_t *mindscape,
                          const struct explain_reads *newer, struct pk_error *err)
{
    bson_t list, trait;
    bson_iter_t item;
    if (!explain_view(mindscape, "traits", &list)) {
        return true;
    }
    for (bool more = bson_iter_init(&item, &list); more && bson_iter_next(&item);) {
        if (!explain_view_of(&item, &trait)) {
            continue;
        }
        const char *path = explain_text(&trait, "id");
        if (!explain_reads_have(newer, path)) {
            append_trait(putting, &trait);
        } else if (!put_back(putting, path, &trait, err)) {
            return false;
        }
    }
    return true;
}

/* Those that are no longer held. */
static bool put_back_removed(struct putting *putting, const struct explain_reads *newer,
                             struct pk_error *err)
{
    const struct pk_principal *who = putting->it->request->who;
    bson_t held;
    for (size_t i = 0; i < newer->count; i++) {
        if (!explain_find_trait(putting->it->now, newer->path[i], &held) &&
            !(who && pk_principal_hides(who, newer->path[i])) &&
            !put_back(putting, newer->path[i], NULL, err)) {
            return false;
        }
    }
    return true;
}

bool explain_put_back(const struct explaining *it, int64_t version, int64_t at_ms,
                      struct pk_doc **out, struct pk_error *err)
{
    struct putting putting = { .it = it, .version = version, .at_ms = at_ms };
    PK_CLEANUP(explain_reads_done) struct explain_reads reads = { .path = NULL };
    PK_CLEANUP(explain_reads_done) struct explain_reads newer = { .path = NULL };
    bson_t view, versions;

    pk_doc_view(it->now, &view);
    if (pk_doc_int(it->now, "version", 0) <= version ||
        !explain_view(&view, "versions", &versions)) {
        *out = pk_doc_ref(it->now);
        return true;
    }
    explain_reads_of(it->persona, true, &reads);
    find_newer(&putting, &reads, &versions, &newer);
    bson_init(&putting.traits);
    const bool ok =
        put_back_held(&putting, &view, &newer, err) && put_back_removed(&putting, &newer, err);
    if (ok) {
        *out = with_traits(it->now, &putting.traits, 0);
    }
    bson_destroy(&putting.traits);
    return ok;
}

/* ---- The mapper that was active ---- */

static bool is_switch(const struct pk_doc *row)
{
    const char *action = pk_doc_text(row, "action");
    return action && pk_doc_text(row, "details.version") &&
           (strcmp(action, "mapper.activated") == 0 || strcmp(action, "mapper.rolled_back") == 0);
}

/* The audit log says when which version became active, and who did it. */
bool explain_active_version(const struct explaining *it, int64_t at_ms, char out[PK_SCRIPT_VERSION],
                            struct pk_error *err)
{
    PK_CLEANUP(pk_freep) char *cursor = NULL;
    do {
        PK_CLEANUP(pk_page_done) struct pk_page page = { 0 };
        const struct pk_query query = { .collection = "audit",
                                        .index = "by_target",
                                        .equal = { PK_TEXT(it->name.mapper) },
                                        .equal_count = 1,
                                        .max = { .is_set = true, .value = PK_DATE(at_ms) },
                                        .cursor = cursor };
        if (!pk_store_find(it->domain->books->store, &query, it->request->deadline_ns, &page,
                           err)) {
            return pk_wrap(err, "read which version was active");
        }
        for (size_t i = 0; i < page.count; i++) {
            if (is_switch(page.doc[i])) {
                (void)snprintf(out, PK_SCRIPT_VERSION, "%s",
                               pk_doc_text(page.doc[i], "details.version"));
                return true;
            }
        }
        pk_free(cursor);
        cursor = page.next ? pk_strdup(page.next) : NULL;
    } while (cursor);
    return pk_fail_field(err, PK_NOT_FOUND, "as_of", "name a version with mapper_version",
                         "no version of mapper '%s' was active then", it->name.mapper);
}
