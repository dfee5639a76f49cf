/* takers.h - Threads that take scripts which were saved, so that one that does not end holds up no
 * other.
 *
 *     takers = pk_takers_new(take, context);
 *     pk_takers_add(takers, &taking);      from the thread that watches folders; never waits long
 *     pk_takers_free(takers);              waits for those under way, forgets the rest
 *
 * What is saved under one path is taken in its order, one at a time; of what
 * waits, only the last counts. Different paths are taken side by side, so of two
 * files with one id the last activation wins, whichever that is. */
/* SPDX-License-Identifier: MIT */
#ifndef PK_SCRIPT_TAKERS_H
#define PK_SCRIPT_TAKERS_H

#include "script/bundle.h"

struct pk_takers; /* Opaque. */

enum { PK_TAKERS = 4 }; /* Threads, made when they are needed. */

struct pk_taking {
    const char *path;
    struct pk_bundle *bundle;   /* NULL: it cannot be read, or has gone ... */
    const struct pk_error *why; /* ... when this is NULL, too. */
    bool is_saved;              /* Not just found there. */
};
/* On one of the threads; may block. Everything is borrowed. */
typedef void pk_take_fn(void *context, const struct pk_taking *taking);

struct pk_takers *pk_takers_new(pk_take_fn *take, void *context)
    __attribute__((returns_nonnull, warn_unused_result));
void pk_takers_free(struct pk_takers *takers); /* NULL is fine. */
/* Copies 'taking'; the bundle is referenced. */
void pk_takers_add(struct pk_takers *takers, const struct pk_taking *taking);
/* Waits until all that was added has been taken; false: it took too long. */
bool pk_takers_settle(struct pk_takers *takers, int64_t timeout_ms);

#endif
