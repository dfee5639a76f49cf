/* pages.h - Lists of which not every row that is read is shown, and lists of one person's ids.
 *
 * Rows are read by an index and looked at one by one. A page of few that are
 * shown among many ends after some reads, perhaps with fewer items than were
 * asked for and a cursor to go on with. A person may have several ids
 * (sight.h): their rows come one id after the other, his own first. */
/* SPDX-License-Identifier: MIT */
#ifndef PK_API_PAGES_H
#define PK_API_PAGES_H

#include "persona/sight.h"

#include <stdbool.h>
#include <stddef.h>

struct pk_api_call;
struct pk_page;

struct pk_pages {
    const char *collection; /* That the rows are of. */
    /* Reads up to 'limit' rows behind 'cursor', of 'person' where there are 'ids'; else NULL. */
    bool (*read)(struct pk_api_call *call, void *context, const char *person, size_t limit,
                 const char *cursor, struct pk_page *out, struct pk_error *err);
    bool (*is_shown)(const struct pk_api_call *call, void *context, const struct pk_doc *row);
    void *context;
    const struct pk_sight_ids *ids; /* NULL: it is asked for no person. */
};
/* Answers a row with PK_ROW_LIST. */
bool pk_call_list_pages(struct pk_api_call *call, const struct pk_pages *pages,
                        struct pk_error *err);

#endif
