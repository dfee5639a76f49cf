/* merge.h - Two people turn out to be one; and, when that was wrong, two again.
 *
 *     from.mergedInto = into          every name of 'from' means 'into' from then on
 *     tombstones: from, mergedInto    what was being written of 'from' is decided again
 *     what is his moves to 'into'     with 'mergedFrom', whose it was
 *     what is made of it goes         one order of both, replayed: into's mindscape
 *
 * Undoing gives back what has 'mergedFrom', that which has come since under
 * the other's names as well, and replays both. It is possible for as long as
 * neither was erased, also of a link within a chain of merges.
 *
 * Both are tasks in the person's order, in steps that may be repeated.
 * Any thread. */
/* SPDX-License-Identifier: MIT */
#ifndef PK_PERSONA_MERGE_H
#define PK_PERSONA_MERGE_H

#include "base/id.h"
#include "feed/outbox.h"
#include "persona/domain.h"

#include <bson/bson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct pk_doc;
struct pk_error;
struct pk_principal;

#define PK_MERGE_TASK "merge_people"
#define PK_UNDO_TASK  "unmerge_people"
#define PK_PART_TASK  "part_person"

enum { PK_IDS_MAX = 150 }; /* That one person may have. */

/* Everybody who is one person: his own id first, then those merged into him, and into these. */
struct pk_person_ids {
    struct pk_doc *doc[PK_IDS_MAX]; /* Of 'people'; references. */
    size_t count;
    size_t depth; /* Merges one behind the other, of the longest chain. */
};
/* '*out' is empty when there is no such person; end it with pk_person_ids_done. */
bool pk_person_ids(const struct pk_domain *domain, const char *person, int64_t deadline_ns,
                   struct pk_person_ids *out, struct pk_error *err);
void pk_person_ids_done(struct pk_person_ids *ids);
bool pk_person_ids_have(const struct pk_person_ids *ids, const char *id);

struct pk_merge_ask {
    const char *from, *into;
    const char *reason; /* NULL: none was given. */
};
struct pk_merged {
    char id[PK_UUID_TEXT];   /* The merge. */
    char task[PK_UUID_TEXT]; /* That carries it out. */
    /* Of an undo: the task that follows it and makes from's mindscape; there is none before 'from'
     * is a person again, and none when he was erased. "": there will be none. */
    char part[PK_UUID_TEXT];
    char from[PK_UUID_TEXT], into[PK_UUID_TEXT];
};
/* Asks for it. PK_INVALID: one person twice. PK_NOT_FOUND: one is not known. PK_CONFLICT: one is
 * merged already (into whom), or one of their merges is under way. pk_by's 'complete' gets
 * pk_merge_doc. */
bool pk_merge_people(const struct pk_domain *domain, const struct pk_by *by,
                     const struct pk_merge_ask *ask, struct pk_merged *out, struct pk_error *err);
/* What it would do, and nothing is written: { dryRun, from, into, moves: { collection: n },
 * conflictCount, conflicts: [{ path, from: { value, confidence }, into: {...} }] }. */
bool pk_merge_dry(const struct pk_domain *domain, const struct pk_merge_ask *ask,
                  int64_t deadline_ns, bson_t *out, struct pk_error *err);
/* 'person': whom it was merged into, or whom that one is now. The same again answers the task.
 * PK_NOT_FOUND: there is no such merge, or 'who' (NULL: the server itself) may not see both. */
bool pk_merge_undo(const struct pk_domain *domain, const struct pk_by *by,
                   const struct pk_principal *who, const char *person, const char *merge,
                   struct pk_merged *out, struct pk_error *err);
/* { mergeId, taskId, partTaskId (of an undo), from, into, dryRun: false } */
struct pk_doc *pk_merge_doc(const struct pk_merged *merged)
    __attribute__((returns_nonnull, warn_unused_result));

/* The tasks; 'context' is the domain. */
pk_task_fn pk_merge_run;
pk_task_fn pk_merge_undo_run;
pk_task_fn pk_merge_part_run;

#endif
