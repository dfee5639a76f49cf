/* process.h - From observation to mindscape: the task 'process_observation'.
 *
 * The observation's processors run in the jail, in declared order, all on the
 * mindscape as it was before; what they ask for is applied in that order and
 * committed with the observation's new status and place, the rows of what
 * each version made of it, and the task's end: once, or not at all.
 *
 * What fails is tried again, and parked in the end: the observation stays as
 * it was, the error is in 'processing', and operators see the failed task. */
/* SPDX-License-Identifier: MIT */
#ifndef PK_PERSONA_PROCESS_H
#define PK_PERSONA_PROCESS_H

#include "feed/outbox.h"
#include "persona/domain.h"
#include "persona/mind.h"

struct pk_doc;
struct pk_generation;

pk_task_fn pk_process_run; /* 'context' is the domain. Payload: { observationId }. */
pk_task_failed_fn pk_process_failed;

/* What one processor made of an observation: for processing it, and for replay. */
struct pk_processed {
    char processor_id[65], processor_version[96];
    char content_hash[65];
    bson_t operations; /* An array. */
    bson_t answers;    /* An array: what its host answered. */
    int64_t duration_ms;
    bool is_skipped; /* It failed, and its manifest says 'skip'. */
    char error[512]; /* Of a skipped one. */
};
/* Runs the processors that accept the observation on 'mindscape', in order; 'out' gets up to 'max'.
 * A curation has none: its operations are its content. */
bool pk_process_observation(const struct pk_domain *domain, struct pk_generation *generation,
                            const struct pk_doc *observation, const struct pk_doc *mindscape,
                            int64_t deadline_ns, struct pk_processed *out, size_t max,
                            size_t *out_count, struct pk_error *err);
void pk_processed_done(struct pk_processed *processed);

#endif
