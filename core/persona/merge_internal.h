/* merge_internal.h - What the files of merge.h share. For merge*.c only.
 *
 *     merge.c          asking, undoing: who may, and the list that begins it
 *     merge_run.c      the tasks: from the first step to the last
 *     merge_move.c     documents and tasks change their person
 *     merge_order.c    one order of two, and two of one
 *     merge_consent.c  the stricter of two consents
 *     merge_ids.c      who is one person
 *     merge_dry.c      what a merge would do */
/* SPDX-License-Identifier: MIT */
#ifndef PK_PERSONA_MERGE_INTERNAL_H
#define PK_PERSONA_MERGE_INTERNAL_H

#include "persona/merge.h"
#include "store/store.h"

/* A merge or an undo under way. */
struct merging {
    const struct pk_domain *domain;
    const struct pk_task *task;
    char id[PK_UUID_TEXT];     /* The merge. */
    char from[PK_UUID_TEXT];   /* Who is merged, or parted again. */
    char into[PK_UUID_TEXT];   /* Who has the data: the last of the chain. */
    char holder[PK_UUID_TEXT]; /* Whose 'merges' it stands in: of a merge the same. */
    int64_t asked_ms;          /* Of an undo: when (wall). */
    struct pk_person_ids ids;  /* 'from', and who is merged into him. */
    bool is_parted;            /* Of an undo: 'from' is a person again. */
    struct pk_doc *gone;       /* ... and his tombstone, when he was erased since; or NULL. */
    double progress;
};
/* One step's list: renews the lease, commits, clears. */
bool merging_commit(struct merging *merging, struct pk_writes *list, struct pk_error *err);

/* ---- merge_move.c ---- */

/* What is of 'from' becomes into's, or goes, until nothing is left. */
bool merging_take(struct merging *merging, struct pk_error *err);
/* What is of 'ids' becomes from's again, until nothing is left; it goes when he was erased since.
 */
bool merging_give(struct merging *merging, struct pk_error *err);
/* What is left to do of 'from' is into's, behind the merge, whose task must be under way: only then
 * is it sure to stand before them. */
bool merging_take_tasks(struct merging *merging, struct pk_error *err);
/* Tasks of 'into' whose observation is from's again become from's. */
bool merging_give_tasks(struct merging *merging, struct pk_error *err);
/* A copy of 'doc' with another person at 'userId'; 'merged_from' NULL: without. */
struct pk_doc *merging_doc(const struct pk_doc *doc, const char *person, const char *merged_from);

/* The person's document with another 'storedBytes'. */
struct pk_doc *merging_count_bytes(const struct pk_doc *person, int64_t bytes);

/* ---- merge_order.c ---- */

/* What was processed of both gets places in one order: that of acceptance, each in his own. 'top'
 * is the greatest place, -1 at first: it is chosen then, and nothing is written before it is kept.
 */
bool merging_join_orders(struct merging *merging, int64_t *top, bool *out_is_chosen,
                         struct pk_error *err);
/* The places of one person are 1, 2, 3 ...; '*out_last' is the last one. */
bool merging_close_ranks(struct merging *merging, const char *person, int64_t *out_last,
                         struct pk_error *err);

/* ---- merge_consent.c ---- */

/* into's records are the strictest of all of them; what they were stands in 'own'. */
bool merging_join_consents(struct merging *merging, struct pk_error *err);
/* Without 'from' they are made anew; those that were decided anew since stay, and hold for 'from',
 * too, where they forbid. */
bool merging_part_consents(struct merging *merging, struct pk_error *err);

/* ---- merge.c ---- */

/* Whether the two may be merged as they are now. */
bool merge_check(const struct pk_domain *domain, const struct pk_merge_ask *ask,
                 int64_t deadline_ns, struct pk_error *err);

/* ---- 'merges' of a person ---- */

struct merge_entry {
    const char *id, *person, *status, *task; /* Borrowed of the document. */
    int64_t top, version, known_ms;          /* -1: not said. */
};
bool merge_entry_find(const struct pk_doc *person, const char *merge, struct merge_entry *out);
/* One that is being carried out, or undone. */
bool merge_is_under_way(const struct pk_doc *person, struct merge_entry *out);
/* The person's document with one entry changed: 'set' holds the fields that are new. */
struct pk_doc *merge_entry_set(const struct pk_doc *person, const char *merge, const bson_t *set,
                               int64_t now_ms);

#endif
