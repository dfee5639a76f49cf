/* observation_find.c - Observations, read: one by id, or a person's, newest first. */
/* SPDX-License-Identifier: MIT */
#include "persona/observation_internal.h"

#include "base/alloc.h"
#include "base/error.h"
#include "doc/doc.h"
#include "store/store.h"

#include <string.h>

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

/* No index has both status and type: pages by status are read until one has something of the type,
 * so a page may be shorter than asked for, and is never empty but for the last. */
static bool find_both(const struct pk_domain *domain, struct pk_query query, const char *type,
                      struct pk_page *out, struct pk_error *err)
{
    PK_CLEANUP(pk_freep) char *cursor = NULL;
    for (;;) {
        if (!pk_store_find(domain->books->store, &query, 0, out, err)) {
            return pk_wrap(err, "list the observations");
        }
        keep_type(out, type);
        if (out->count > 0 || !out->next) {
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
                              .index = filter->status ? "by_user_status"
                                       : filter->type ? "by_user_type"
                                                      : "by_user_created",
                              .equal = { PK_TEXT(filter->person) },
                              .equal_count = 1,
                              .limit = limit,
                              .cursor = cursor };
    if (filter->status || filter->type) {
        query.equal[query.equal_count++] =
            filter->status ? PK_TEXT(filter->status) : PK_TEXT(filter->type);
    }
    if (filter->status && filter->type) {
        return find_both(domain, query, filter->type, out, err);
    }
    return pk_store_find(domain->books->store, &query, 0, out, err) ||
           pk_wrap(err, "list the observations");
}
