/* observation_find.c - Observations, read: one by id, or a person's, newest first. */
/* SPDX-License-Identifier: MIT */
#include "persona/observation_internal.h"

#include "access/principal.h"
#include "base/alloc.h"
#include "base/error.h"
#include "doc/doc.h"
#include "doc/path.h"
#include "store/store.h"

#include <string.h>

enum { READS_MAX = 20 }; /* Of pages, for one list. */

bool pk_observation_get(const struct pk_domain *domain, const char *id, int64_t deadline_ns,
                        struct pk_doc **out, struct pk_error *err)
{
    return pk_store_get(domain->books->store, "observations", id, deadline_ns, out, err) ||
           pk_wrap(err, "read the observation");
}

/* Leaves those of the page that are of this type. */
static void keep_type(struct pk_page *page, const char *type)
{
    size_t kept = 0;
    for (size_t i = 0; i < page->count; i++) {
        const char *own = pk_doc_text(page->doc[i], "sourceType");
        if (own && strcmp(own, type) == 0) {
            page->doc[kept++] = page->doc[i];
        } else {
            pk_doc_unref(page->doc[i]);
        }
    }
    page->count = kept;
}

/* No index has the type, for all observations would pay for it: pages are read until one has
 * something of it, or READS_MAX were read. So a page may be shorter than asked for, and even empty
 * before the last. */
static bool find_of_type(const struct pk_domain *domain, struct pk_query query, const char *type,
                         struct pk_page *out, struct pk_error *err)
{
    PK_CLEANUP(pk_freep) char *cursor = NULL;
    for (int reads = 1;; reads++) {
        if (!pk_store_find(domain->books->store, &query, 0, out, err)) {
            return pk_wrap(err, "list the observations");
        }
        keep_type(out, type);
        if (out->count > 0 || !out->next || reads == READS_MAX) {
            return true;
        }
        pk_free(cursor);
        cursor = pk_strdup(out->next);
        query.cursor = cursor;
        pk_page_done(out);
        *out = (struct pk_page){ 0 };
    }
}

bool pk_observation_list(const struct pk_domain *domain, const struct pk_observation_filter *filter,
                         size_t limit, const char *cursor, struct pk_page *out,
                         struct pk_error *err)
{
    struct pk_query query = { .collection = "observations",
                              .index = filter->status ? "by_user_status" : "by_user_created",
                              .equal = { PK_TEXT(filter->person) },
                              .equal_count = 1,
                              .limit = limit,
                              .cursor = cursor };
    if (filter->status) {
        query.equal[query.equal_count++] = PK_TEXT(filter->status);
    }
    if (filter->type) {
        return find_of_type(domain, query, filter->type, out, err);
    }
    return pk_store_find(domain->books->store, &query, 0, out, err) ||
           pk_wrap(err, "list the observations");
}

/* ---- Out of sight ---- */

static bool is_in_sight(void *context, const char *below, const bson_iter_t *value)
{
    const struct pk_principal **who = context;
    (void)below;
    if (BSON_ITER_HOLDS_UTF8(value) && pk_principal_hides(*who, bson_iter_utf8(value, NULL))) {
        *who = NULL; /* Found. */
    }
    return *who != NULL;
}

/* A curation says which traits it is about. */
static bool names_hidden(const struct pk_principal *who, const struct pk_doc *observation)
{
    bson_t view;
    pk_doc_view(observation, &view);
    (void)pk_path_each(&view, "content.structured.operations[].path", is_in_sight, &who);
    return who == NULL;
}

static bool has_hidden_path(const struct pk_principal *who, const struct pk_page *page)
{
    for (size_t i = 0; i < page->count; i++) {
        const char *path = pk_doc_text(page->doc[i], "path");
        if (path && pk_principal_hides(who, path)) {
            return true;
        }
    }
    return false;
}

/* Each trait that it has changed has its row in the history. */
static bool has_told(const struct pk_domain *domain, const struct pk_principal *who, const char *id,
                     int64_t deadline_ns, bool *out, struct pk_error *err)
{
    PK_CLEANUP(pk_freep) char *cursor = NULL;
    do {
        PK_CLEANUP(pk_page_done) struct pk_page page = { 0 };
        const struct pk_query query = { .collection = "trait_history",
                                        .index = "by_observation",
                                        .equal = { PK_TEXT(id) },
                                        .equal_count = 1,
                                        .limit = PK_PAGE_MAX,
                                        .cursor = cursor };
        if (!pk_store_find(domain->books->store, &query, deadline_ns, &page, err)) {
            return pk_wrap(err, "read what rests on the observation");
        }
        *out = has_hidden_path(who, &page);
        pk_free(cursor);
        cursor = page.next;
        page.next = NULL;
    } while (!*out && cursor);
    return true;
}

bool pk_observation_is_hidden(const struct pk_domain *domain, const struct pk_principal *who,
                              const struct pk_doc *observation, int64_t deadline_ns, bool *out,
                              struct pk_error *err)
{
    const char *sender = pk_doc_text(observation, "createdBy");
    *out = false;
    if (!who || !pk_principal_hides_any(who) || (sender && strcmp(sender, who->actor_id) == 0)) {
        return true;
    }
    *out = names_hidden(who, observation);
    return *out || has_told(domain, who, pk_doc_id(observation), deadline_ns, out, err);
}
