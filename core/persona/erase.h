/* erase.h - A person is erased: for good, everywhere, and with a receipt.
 *
 * Asking writes the tombstone and takes the person away, in one list: from
 * then on nothing of him is accepted and nobody finds him. The rest is a task
 * in the person's order, which deletes what the inventory says is his and may
 * be killed at any point: it goes on after the next start.
 *
 * What stays: the tombstone (the bare id, for as long as devices may still
 * bring something), the task and the events of the erasure itself until their
 * retention (ids, no more), and audit rows, which name him by keyed hash.
 *
 * It is complete when the embedded store's files have nothing of him any more
 * (pk_store_settle): until then the task goes on trying. A backup made before
 * may still have him: the receipt says until when ('backupsUntil').
 *
 * Any thread. */
/* SPDX-License-Identifier: MIT */
#ifndef PK_PERSONA_ERASE_H
#define PK_PERSONA_ERASE_H

#include "base/id.h"
#include "feed/outbox.h"
#include "persona/domain.h"

#include <stdbool.h>
#include <stdint.h>

struct pk_doc;
struct pk_error;

#define PK_ERASE_TASK "erase_person"

/* Asks for it, audited and announced ("person.erase_asked"). Of whom is being erased or was, the
 * task is the one that was asked for then. PK_NOT_FOUND: nobody is known, nor was, by this id. */
bool pk_erase_person(const struct pk_domain *domain, const struct pk_by *by, const char *person,
                     char out_task[PK_UUID_TEXT], struct pk_error *err);

/* Who was merged is erased with whom he was merged into, and all that were.
 *
 * How far it has got: his tombstone (of a merged id that one's), with the counts of what was
 * deleted so far by collection and, once a pass has found nothing more, 'completedAt'. '*out' NULL:
 * there is none (any more). */
bool pk_erase_receipt(const struct pk_domain *domain, const char *person, int64_t deadline_ns,
                      struct pk_doc **out, struct pk_error *err);

/* "erase_person"; 'context' is the domain. */
pk_task_fn pk_erase_run;

/* ---- For who restores a backup: no server runs, and no task does it ---- */

/* Asked before each step; false ends it, to be done again. */
typedef bool pk_erase_step_fn(void *context, struct pk_error *err);
/* Erases from beginning to end whom a backup has brought back, or what had begun of him then: the
 * same tombstone, counts, audit rows and events; nothing is added to erasures.log when 'is_logged'.
 * Killed at any point, it may be called again. */
bool pk_erase_again(const struct pk_domain *domain, const struct pk_by *by, const char *person,
                    bool is_logged, pk_erase_step_fn *step, void *context, struct pk_error *err);

#endif
