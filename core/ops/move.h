/* move.h - Copies everything from one store into another, and proves it.
 *
 * The order is: count the source, copy collection by collection in order of
 * '_id', compare both stores document by document. How far it has got lies in
 * the target (settings, id "move") and is written in the same list as the
 * documents it speaks of; so a move that was killed at any point goes on
 * exactly there when it is run again.
 *
 * The source must be quiet, and the target empty or a move of this very source
 * that is not finished: stores are never mixed. Thread: the caller's. */
/* SPDX-License-Identifier: MIT */
#ifndef PK_OPS_MOVE_H
#define PK_OPS_MOVE_H

#include "ops/digest.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct pk_clock;
struct pk_error;
struct pk_inventory;
struct pk_store;

enum pk_move_step { PK_MOVE_COUNTING, PK_MOVE_COPYING, PK_MOVE_COMPARING };

struct pk_move_progress {
    enum pk_move_step step;
    const char *collection;
    int64_t done; /* Documents, of all collections together. */
    int64_t all;  /* 0 while counting. */
};

struct pk_move_options {
    struct pk_store *from, *to;
    const char *from_folder; /* Instead of 'from': a backup's files, one of BSON per collection. */
    const char *from_name; /* What the note calls the source, 39 bytes at most; NULL: its epoch. */
    bool is_restore;       /* The source is a backup. */
    /* What is left to do in the target once it was compared and before it may be used; called again
     * when that was interrupted. May be NULL. */
    bool (*then)(void *context, struct pk_error *err);
    const struct pk_inventory *inventory;
    const struct pk_clock *clock;
    /* Told after every page or list; returning false stops the move, resumable. May be NULL. */
    bool (*progress)(void *context, const struct pk_move_progress *progress);
    void *context;
};

/* One collection, as both stores were read at the end. */
struct pk_move_row {
    const char *collection;
    struct pk_sum from, to;
    int64_t expired;       /* Expired in one of them meanwhile; in neither sum. */
    char *first_different; /* The '_id' of a document that differs, or NULL. */
};

struct pk_move_result {
    struct pk_move_row *row; /* One per collection of the inventory; NULL before the comparison. */
    size_t count;
    int64_t copied;         /* Documents copied by this call. */
    bool is_resumed;        /* It went on where another had stopped. */
    bool is_old;            /* It had been finished before: nothing was done. */
    int64_t finished_at_ms; /* Wall time. */
};
void pk_move_result_done(struct pk_move_result *result);

/* PK_CONFLICT: the target is not this move's, or the stores differ at the end (then 'result' has
 * the rows). PK_BUSY: the source is in use. PK_TIMEOUT: 'progress' has stopped it. */
bool pk_move_run(const struct pk_move_options *options, struct pk_move_result *result,
                 struct pk_error *err);

/* Fails when a move or a restore into this store has begun and is not finished: it must not be
 * served. */
bool pk_move_check_finished(struct pk_store *store, const struct pk_clock *clock,
                            struct pk_error *err);

#endif
