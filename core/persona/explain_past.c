/* explain_past.c - What was known when: the mindscape as it was read, the mapper that was active.
 *
 * All that a mindscape says has its history, so it can be put back: of a past
 * time all of it, of a cached persona what the persona has read of it.
 *
 * Thread: any. */
/* SPDX-License-Identifier: MIT */
#include "persona/explain_internal.h"

#include "base/alloc.h"
#include "doc/doc.h"
#include "persona/canary.h"
#include "persona/mind.h"
#include "persona/mindscape_internal.h"
#include "persona/registry.h"
#include "store/store.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- A mindscape with other traits ---- */

static struct pk_doc *with_traits(const struct pk_doc *mindscape, const bson_t *traits)
{
    bson_t view, *made = bson_new();
    bson_iter_t iter;
    pk_doc_view(mindscape, &view);
    for (bool more = bson_iter_init(&iter, &view); more && bson_iter_next(&iter);) {
        if (strcmp(bson_iter_key(&iter), "traits") == 0) {
            BSON_APPEND_ARRAY(made, "traits", traits);
        } else {
            (void)bson_append_iter(made, NULL, 0, &iter);
        }
    }
    struct pk_doc *doc = pk_doc_new_versioned(made, pk_doc_version(mindscape));
    bson_destroy(made);
    return doc;
}

/* ---- As of a time ---- */

bool explain_as_of(const struct explaining *it, int64_t at_ms, struct pk_doc **out,
                   struct pk_error *err)
{
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *then = NULL;
    if (!mindscape_past(it->domain, it->now, at_ms, it->request->deadline_ns, &then, err)) {
        return false;
    }
    *out = pk_mindscape_known_to(then, it->request->who);
    return true;
}

/* ---- As it was read ---- */

/* A page of what has changed under a path, the newest first. */
static bool read_history(const struct explaining *it, const char *path, const char *cursor,
                         struct pk_page *out, struct pk_error *err)
{
    const struct pk_query query = {
        .collection = "trait_history",
        .index = "by_user_path",
        .equal = { PK_TEXT(it->name.person), PK_INT(pk_doc_int(it->now, "epoch", 0)),
                   PK_TEXT(path) },
        .equal_count = 3,
        .is_reversed = true,
        .cursor = cursor,
    };
    return pk_store_find(it->domain->books->store, &query, it->request->deadline_ns, out, err);
}

/* The oldest change of a trait that came after an instant; '*out' NULL: there is none. */
static bool find_change(const struct explaining *it, const char *path, int64_t at_ms,
                        struct pk_doc **out, struct pk_error *err)
{
    PK_CLEANUP(pk_freep) char *cursor = NULL;
    bool is_done = false;
    do {
        PK_CLEANUP(pk_page_done) struct pk_page page = { 0 };
        if (!read_history(it, path, cursor, &page, err)) {
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
        if (!pk_peek_view(&item, &row) || !bson_iter_init_find(&v, &row, "v") ||
            bson_iter_as_int64(&v) <= putting->version ||
            strcmp(pk_peek_text(&row, "kind", ""), "trait") != 0 ||
            !explain_reads_have(reads, pk_peek_text(&row, "key", ""))) {
            continue;
        }
        if (out->count == out->capacity) {
            out->capacity = out->capacity ? out->capacity * 2 : 16;
            out->path = pk_realloc(out->path, out->capacity * sizeof(*out->path));
        }
        out->path[out->count++] = pk_peek_text(&row, "key", "");
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
        if (!pk_peek_view(&item, &trait)) {
            continue;
        }
        const char *path = pk_peek_text(&trait, "id", "");
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

/* What is beside traits, as it was when the last row before that instant had been written. */
static bool take_back_rest(const struct explaining *it, int64_t at_ms, struct pk_mind *mind,
                           struct pk_error *err)
{
    PK_CLEANUP(pk_freep) char *cursor = NULL;
    bool is_done = false;
    do {
        PK_CLEANUP(pk_page_done) struct pk_page page = { 0 };
        if (!read_history(it, PK_MIND_REST, cursor, &page, err)) {
            return pk_wrap(err, "read the history of goals, beliefs and what was true just then");
        }
        for (size_t i = 0; i < page.count && !is_done; i++) {
            bson_t row;
            is_done = pk_doc_date(page.doc[i], "createdAt", 0) <= at_ms;
            if (!is_done) {
                pk_doc_view(page.doc[i], &row);
                pk_mind_take_back(mind, &row);
            }
        }
        pk_free(cursor);
        cursor = page.next && !is_done ? pk_strdup(page.next) : NULL;
    } while (cursor);
    return true;
}

static bool put_back_rest(const struct explaining *it, const struct pk_doc *mindscape,
                          int64_t at_ms, struct pk_doc **out, struct pk_error *err)
{
    bson_t view, document;
    pk_doc_view(mindscape, &view);
    struct pk_mind *mind = pk_mind_open(&view, it->domain->policies);
    const bool ok =
        take_back_rest(it, at_ms, mind, err) && pk_mind_document(mind, 0, &document, err);
    if (ok) {
        *out = pk_doc_new_versioned(&document, pk_doc_version(mindscape));
        bson_destroy(&document);
    }
    pk_mind_free(mind);
    return ok;
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
        PK_CLEANUP(pk_doc_unrefp) struct pk_doc *made = with_traits(it->now, &putting.traits);
        bson_destroy(&putting.traits);
        return put_back_rest(it, made, at_ms, out, err);
    }
    bson_destroy(&putting.traits);
    return false;
}

/* ---- The mapper that was active ---- */

/* What the latest word of a canary before an instant says of the person. */
struct trying {
    const char *mapper, *person;
    bool is_over; /* That word was heard. */
};

/* True when a row of the audit log, newest first, says by which version the person was served. */
static bool is_switch(struct trying *trying, const struct pk_doc *row)
{
    const char *action = pk_doc_text(row, "action");
    const char *version = pk_doc_text(row, "details.version");
    if (!action || !version) {
        return false;
    }
    if (strcmp(action, "mapper.activated") == 0 || strcmp(action, "mapper.rolled_back") == 0) {
        return true;
    }
    const bool has_ended = strcmp(action, "mapper.canary_ended") == 0;
    if (!has_ended && strcmp(action, "mapper.canary_started") != 0 &&
        strcmp(action, "mapper.canary_changed") != 0) {
        return false;
    }
    const char *share = pk_doc_text(row, "details.share");
    const bool is_tried =
        !trying->is_over && !has_ended && share &&
        pk_canary_takes(trying->mapper, version, trying->person, strtod(share, NULL));
    trying->is_over = true;
    return is_tried;
}

/* The audit log says when which version became active, and who did it; and which one was tried on
 * what share of people. */
bool explain_active_version(const struct explaining *it, int64_t at_ms, char out[PK_SCRIPT_VERSION],
                            struct pk_error *err)
{
    PK_CLEANUP(pk_freep) char *cursor = NULL;
    struct trying trying = { .mapper = it->name.mapper, .person = it->name.person };
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
            if (is_switch(&trying, page.doc[i])) {
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
