/* database.h - A MongoDB database for a case, lent.
 *
 * To make all collections and indexes takes longer than most cases do. So what
 * a case gives back is lent to the next one that wants a store of the same
 * inventory: emptied, indexes and all still there. The store's description is
 * emptied with the rest, so whoever opens it makes a new store there: another
 * epoch, and positions of the feed from before are nobody's.
 *
 *     char *url = pk_test_database_lend(&inventory);     NULL: there is no MongoDB
 *     pk_store_open(&store, ...);
 *     pk_test_database_return(url, store);
 *
 * The driver closes a store in half a second in which it only waits: that is
 * done beside the next case. What a case that failed has not given back is lent
 * to no one. All are dropped when the program ends. Thread: main. */
/* SPDX-License-Identifier: MIT */
#ifndef PK_TEST_DATABASE_H
#define PK_TEST_DATABASE_H

#include "doc/inventory.h"

struct pk_store;

/* The URL of an empty database, or of one that was never used; NULL when PK_TEST_MONGODB names no
 * replica set. */
char *pk_test_database_lend(const struct pk_inventory *inventory);
/* Closes the store, in which nobody has anything under way, and frees the URL. Both may be NULL; a
 * URL that was not lent is nobody's to empty. */
void pk_test_database_return(char *url, struct pk_store *store);

#endif
