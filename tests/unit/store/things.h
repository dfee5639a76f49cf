/* things.h - A small inventory of the store's unit tests, and documents for it.
 *
 * 'things' has one index of each sort; 'events' is the feed; 'plain' has
 * neither schema nor TTL. */
/* SPDX-License-Identifier: MIT */
#ifndef PK_TESTS_THINGS_H
#define PK_TESTS_THINGS_H

#include "doc/inventory.h"
#include "store/store.h"

const struct pk_inventory *things_inventory(void);
/* The same at schema version 2, with one more index ('by_size'). */
const struct pk_inventory *things_inventory_2(void);
/* The same at version 1, where 'by_owner' is on other keys. */
const struct pk_inventory *things_inventory_other(void);

/* A thing; NULL and 0 leave a field out. The caller unrefs it. */
struct thing {
    const char *id, *owner, *name, *slot, *status, *tag, *tag2;
    int64_t at, expires_at;
    int64_t size;
};
struct pk_doc *thing_new(struct thing thing);

/* Opens a store over 'folder' with the machine's clock; fails the case when it cannot. */
struct pk_store *things_open(const char *folder);
/* Commits one write and fails the case unless it is done. Returns the new version. */
int64_t things_insert(struct pk_store *store, struct thing thing);
int64_t things_replace(struct pk_store *store, struct thing thing, int64_t version);
/* Commits an insert; 'commit' may be NULL. */
bool things_try(struct pk_store *store, struct thing thing, struct pk_commit *commit,
                struct pk_error *err);
int64_t things_version(struct pk_store *store, const char *id); /* 0: not there. */
/* All pages of a query, one after the other, as ids; the caller frees them. */
char *things_walk(struct pk_store *store, struct pk_query query, size_t limit);
/* Walked in pages of any size, the query yields these ids. */
void things_assert_walk(struct pk_store *store, struct pk_query query, const char *ids);
/* The ids of a page, joined by spaces, in a static buffer. */
const char *things_ids(const struct pk_page *page);

#endif
