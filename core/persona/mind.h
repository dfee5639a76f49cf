/* mind.h - A mindscape while it changes: operations in, a new document and its history out.
 *
 * Pure: no store, no clock, no randomness. The same mindscape and the same
 * operations give the same bytes, which is what replay rests on; ids that must
 * be new are made from the observation's id (pk_mind_id).
 *
 *     struct pk_mind *mind = pk_mind_open(&stored, policies);
 *     pk_mind_begin(mind, &evidence);                  one observation
 *     pk_mind_apply(mind, &ran, &operations, &err)     each processor that took it
 *     pk_mind_end(mind);                               raises seq and version, once
 *     ... further observations (replay) ...
 *     pk_mind_write(mind, ...)                         mindscape.h: into a list of writes
 *
 * Arithmetic lies in trait.h; what lies in other collections (narratives, hot,
 * warm and cold knowledge) is handed on as it is, in pk_joined.
 * One thread at a time. */
/* SPDX-License-Identifier: MIT */
#ifndef PK_PERSONA_MIND_H
#define PK_PERSONA_MIND_H

#include "base/id.h"

#include <bson/bson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct pk_error;
struct pk_mind; /* Opaque. */
struct pk_policies;

/* The observation under way. */
struct pk_evidence {
    const char *obs_id;
    const char *source_type; /* "work_session"; "curation" outranks the others. */
    const char
        *merged_from; /* Whose it was: ids in it may have been made for that one. NULL: own. */
    int64_t effective_at_ms; /* All arithmetic uses it. */
    int64_t seq; /* Its place, in a replay (a forgotten one leaves a hole); 0: the next one. */
};
/* Who made the operations. */
struct pk_ran {
    const char *processor_id; /* NULL: a person's curation. */
    const char *processor_version;
};

/* 'stored' is a mindscape document (copied); an empty one of a new person is fine. */
struct pk_mind *pk_mind_open(const bson_t *stored, const struct pk_policies *policies)
    __attribute__((returns_nonnull, warn_unused_result));
/* For replay: nothing is known yet, in the next epoch; 'createdAt', the version and 'versions' go
 * on from 'stored'. What differs from it in the end gets a version when pk_mind_settle is called.
 */
struct pk_mind *pk_mind_open_again(const bson_t *stored, const struct pk_policies *policies)
    __attribute__((returns_nonnull, warn_unused_result));
void pk_mind_settle(struct pk_mind *mind);
/* Before it is settled: observations have got their places anew, so there are none beyond the last
 * that came. */
void pk_mind_regroup(struct pk_mind *mind);
void pk_mind_free(struct pk_mind *mind); /* NULL is fine. */

/* The next place in the person's order, and which one it is. */
int64_t pk_mind_begin(struct pk_mind *mind, const struct pk_evidence *evidence);
/* 'operations' is the array that a processor returned (lua/README.md), or a curation's. All of it
 * is applied or none: false says what is wrong with which operation. */
bool pk_mind_apply(struct pk_mind *mind, const struct pk_ran *ran, const bson_t *operations,
                   struct pk_error *err);
void pk_mind_end(struct pk_mind *mind);
/* Gives up what was applied since pk_mind_begin, the place as well. */
void pk_mind_undo(struct pk_mind *mind);
/* Raises the version and what 'versions' says of one thing, for changes that lie elsewhere
 * ("narratives", "warm", "graph", "model", "consent", "hot" with its key ...). */
void pk_mind_touch(struct pk_mind *mind, const char *kind, const char *key);
#define PK_MIND_FACTS "facts" /* What 'versions' has a line of once a fact was kept ("hot"). */

/* ---- What has come of it, since it was opened ---- */

bool pk_mind_has_changed(const struct pk_mind *mind);
int64_t pk_mind_version(const struct pk_mind *mind); /* The domain's 'version', as it will be. */
int64_t pk_mind_seq(const struct pk_mind *mind);
int64_t pk_mind_epoch(const struct pk_mind *mind);
const char *pk_mind_person(const struct pk_mind *mind);

/* Rows for trait_history, in order. Documents are NULL where there was or is nothing. What an
 * observation has changed beside traits is one row, with this path; see mind_rest.c. */
#define PK_MIND_REST "*"
struct pk_trait_change {
    const char *path;
    const bson_t *before, *after;
    int64_t seq;
    const char *obs_id, *processor_id, *processor_version; /* The latter two NULL for curations. */
    int64_t effective_at_ms;
};
size_t pk_mind_change_count(const struct pk_mind *mind);
const struct pk_trait_change *pk_mind_change(const struct pk_mind *mind, size_t i);
/* Proposals that a policy 'review' held back: rows for reviews. */
struct pk_proposal {
    char id[PK_UUID_TEXT];
    const char *path, *reason, *obs_id;
    const bson_t *current; /* NULL: it is new. */
    const bson_t *proposed;
    int64_t effective_at_ms;
};
size_t pk_mind_proposal_count(const struct pk_mind *mind);
const struct pk_proposal *pk_mind_proposal(const struct pk_mind *mind, size_t i);
/* Operations on other collections (narrative, remember, learn, node, edge), in order. */
struct pk_joined {
    char id[PK_UUID_TEXT]; /* Of what it makes, unless it finds it by key or label. */
    const bson_t *operation;
    const char *obs_id;
    int64_t effective_at_ms;
    int64_t seq; /* The observation's place. */
};
size_t pk_mind_joined_count(const struct pk_mind *mind);
const struct pk_joined *pk_mind_joined(const struct pk_mind *mind, size_t i);
/* Adds what the operation's observation has made in other collections to that observation's row of
 * what is beside traits; 'made' is appended to its 'after'. */
void pk_mind_add_joined(struct pk_mind *mind, const struct pk_joined *joined, const bson_t *made);
/* Changes, proposals and joined operations are written (a long replay writes them in parts). */
void pk_mind_forget_rows(struct pk_mind *mind);
/* Everything readable that has changed ("trait:work.focus", "goals"), sorted, each once. */
size_t pk_mind_touched(struct pk_mind *mind, const char *const **out);

/* The document as it is now, in its stored form, without a look at a clock: 'lastUpdated' is the
 * greatest effectiveAt. 'duration_ms' goes into processingMetadata. PK_TOO_LARGE above its cap,
 * with what to prune. */
bool pk_mind_document(const struct pk_mind *mind, int64_t duration_ms, bson_t *out,
                      struct pk_error *err);
/* Takes back a document of trait_history, of this mindscape's epoch; from the newest on, each once.
 * What is left is what there was before it, to be read: versions and counts are those of now, and
 * what was removed stays known. 'lastUpdated' is then what pk_mind_set_updated says, but not before
 * the person was known. */
void pk_mind_take_back(struct pk_mind *mind, const bson_t *row);
void pk_mind_set_updated(struct pk_mind *mind, int64_t at_ms);
/* Bytes that replay compares: the document without 'version', 'versions', 'floor', 'epoch' and
 * processingMetadata. */
void pk_mind_essence(const bson_t *mindscape, bson_t *out);

/* A UUID v4 in form, the same for the same parts: for what processors make. That of pk_mind_id_near
 * begins as the observation's does, which is of the time: what is made together lies together. */
void pk_mind_id(char out[PK_UUID_TEXT], const char *obs_id, const char *maker, const char *what,
                size_t index);
void pk_mind_id_near(char out[PK_UUID_TEXT], const char *obs_id, const char *maker,
                     const char *what, size_t index);

#endif
