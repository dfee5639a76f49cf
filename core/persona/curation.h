/* curation.h - What people say of what is known: corrections, pins, and decisions on reviews.
 *
 * Each is an observation of type 'curation' that outranks what processors
 * derive; it takes its place in the person's order like any other. Its
 * content.structured is { "operations": [...] } (mind.h): the verbs of
 * processors and pin, unpin, removeGoal, removeBelief. */
/* SPDX-License-Identifier: MIT */
#ifndef PK_PERSONA_CURATION_H
#define PK_PERSONA_CURATION_H

#include "base/id.h"
#include "persona/domain.h"

#include <bson/bson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct pk_doc;
struct pk_error;
struct pk_page;

/* The ids of what was written: the curation and the task that carries it out. */
struct pk_curated {
    char observation[PK_UUID_TEXT];
    char task[PK_UUID_TEXT];
};
/* { observationId, taskId }: what pk_by's 'complete' gets of a patch or pin, and what is answered.
 */
struct pk_doc *pk_curated_doc(const struct pk_curated *curated)
    __attribute__((returns_nonnull, warn_unused_result));
/* PATCH of a mindscape: 'changes' is a MindscapePatch (doc/schema_curation.h), accepted. 'version'
 * is the domain's (If-Match), 0: whatever it is; PK_PRECONDITION says what has changed since. */
bool pk_curation_patch(const struct pk_domain *domain, const struct pk_by *by, const char *person,
                       int64_t version, const bson_t *changes, struct pk_curated *out,
                       struct pk_error *err);
bool pk_curation_pin(const struct pk_domain *domain, const struct pk_by *by, const char *person,
                     const char *path, bool is_pinned, struct pk_curated *out,
                     struct pk_error *err);

enum pk_review_decision { PK_REVIEW_APPROVE, PK_REVIEW_DECLINE, PK_REVIEW_UNDO };
/* '*out' is the review afterwards; 'complete' gets it, too. PK_CONFLICT: it cannot be decided so
 * (any more). */
bool pk_review_decide(const struct pk_domain *domain, const struct pk_by *by, const char *person,
                      const char *review, enum pk_review_decision decision, struct pk_doc **out,
                      struct pk_curated *curated, struct pk_error *err);
bool pk_review_list(const struct pk_domain *domain, const char *person, const char *status,
                    size_t limit, const char *cursor, struct pk_page *out, struct pk_error *err);

#endif
