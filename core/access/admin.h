/* admin.h - The first actor, and the way back in when its key is lost.
 *
 * Both leave the key in FOLDER/admin.key (mode 0600), one line. They are
 * repeatable: after a crash at any point, the next call of either puts things
 * right, and the key in the file is one that works or there is no file. */
/* SPDX-License-Identifier: MIT */
#ifndef PK_ACCESS_ADMIN_H
#define PK_ACCESS_ADMIN_H

#include <stdbool.h>

struct pk_books;
struct pk_error;

/* The id of the actor 'admin' in every store, so that two nodes that start at once make one. */
#define PK_ADMIN_ID "00000000-0000-4000-8000-000000000001"

/* At every start: finishes what a crash left half done; on a store without actors creates 'admin'
 * with all capabilities. '*out_is_new': its key was written just now. */
bool pk_admin_ensure(const struct pk_books *books, const char *folder, bool *out_is_new,
                     struct pk_error *err);

/* 'key reset': a new key for 'admin', all its old ones revoked, its status and capabilities made
 * whole again; audited. An 'admin' that is not there is made. */
bool pk_admin_reset(const struct pk_books *books, const char *folder, struct pk_error *err);

#endif
