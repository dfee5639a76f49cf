/* restore.h - A backup becomes a store again, and stays without those who were erased since.
 *
 * It is loaded and compared as a move is (move.h), with a note in the target of
 * how far it has got; before the target counts as finished, everybody whom
 * erasures.log names is erased again, exactly as then, and what was forgotten
 * is asked to be forgotten again: the next start of a server does that.
 * Interrupted at any point, it goes on when it is run again; until then the
 * target is not served. Thread: the caller's. */
/* SPDX-License-Identifier: MIT */
#ifndef PK_OPS_RESTORE_H
#define PK_OPS_RESTORE_H

#include "ops/backup.h"
#include "ops/move.h"

struct pk_domain;
struct pk_erase_log;

enum pk_restore_step {
    PK_RESTORE_COUNTING,
    PK_RESTORE_LOADING,
    PK_RESTORE_COMPARING,
    PK_RESTORE_LOOKING, /* For those who were erased. */
    PK_RESTORE_ERASING
};
typedef bool pk_restore_progress_fn(void *context, enum pk_restore_step step, const char *what,
                                    int64_t done, int64_t all);

struct pk_restore_options {
    const char *folder; /* The backup: pk_backup_read has found it whole, and says: */
    const struct pk_backup_info *info;
    struct pk_store *to;
    const struct pk_inventory *inventory;
    const struct pk_clock *clock;
    /* All is loaded and nobody erased yet: 'domain' need not have its peppers before, which are
     * held against the keys that were loaded. May be NULL. */
    bool (*loaded)(void *context, struct pk_error *err);
    const struct pk_domain *domain; /* Of the target: books, data folder, how long all is kept. */
    const struct pk_erase_log *erasures; /* NULL: told to go without them; it is audited. */
    pk_restore_progress_fn *progress;    /* May be NULL. */
    void *context;
};
struct pk_restore_result {
    struct pk_move_result move;
    int64_t erased;    /* People of the backup who are not in the store any more. */
    int64_t forgotten; /* Observations that go when a server starts. */
};
void pk_restore_result_done(struct pk_restore_result *result);

/* PK_CONFLICT: the target has documents of its own, or another restore. */
bool pk_restore_run(const struct pk_restore_options *options, struct pk_restore_result *result,
                    struct pk_error *err);

#endif
