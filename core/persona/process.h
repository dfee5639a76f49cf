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
struct pk_script;
struct pk_scripts;
struct pk_writes;

pk_task_fn pk_process_run; /* 'context' is the domain. Payload: { observationId }. */
pk_task_started_fn pk_process_started;
pk_task_failed_fn pk_process_failed;

enum { PK_PROCESSORS_MAX = 64 }; /* That accept one type of observations. */

/* What one processor made of an observation: for processing it, and for replay. */
struct pk_processed {
    char processor_id[65], processor_version[96];
    char content_hash[65];
    bson_t operations; /* An array, in stored form (keys escaped). */
    bson_t answers;    /* An array: what its host answered. */
    int64_t duration_ms;
    bool may_skip;   /* Its manifest says on_error = "skip". */
    bool is_skipped; /* It failed, and may. */
    bool is_failed;  /* It failed, and nothing of the observation can be processed. */
    char error[512]; /* Of these two. */
};
void pk_processed_done(struct pk_processed *processed);

/* How an observation is processed; '{ 0 }' but for the generation is how it is done live. */
struct pk_process_how {
    struct pk_scripts *scripts;       /* NULL: the domain's. */
    struct pk_generation *generation; /* Of these. */
    const bson_t *knowledge;          /* Hot knowledge, an array; NULL: as the store has it. */
    int64_t known_at_ms;              /* The instant by which hot knowledge expires; 0: now. */
    /* What the host answered then (an array as in 'processing'), or NULL: the host is asked. NULL
     * in its place: always. */
    const bson_t *(*recorded)(void *context, const struct pk_script *script);
    void *context;
    int64_t deadline_ns;
};
/* Runs the processors that accept the observation on 'mindscape', in order; 'out' has room for
 * PK_PROCESSORS_MAX, and all that were begun are in it, also after a failure; each is ended. A
 * curation has none: its operations are its content (pk_process_curation). */
bool pk_process_observation(const struct pk_domain *domain, const struct pk_process_how *how,
                            const struct pk_doc *observation, const struct pk_doc *mindscape,
                            struct pk_processed *out, size_t *out_count, struct pk_error *err);
/* A task and what it is about may be of two people while these are merged or parted: then it waits
 * (PK_UNAVAILABLE, with these words), and who merges brings the two together. 'person' is the
 * observation's. */
#define PK_TASK_MOVES "the person is being merged or parted"
bool pk_task_is_of(const struct pk_task *task, const char *person, struct pk_error *err);
/* The same for who has no mindscape: his went with a merge. */
bool pk_task_is_not_merged(const struct pk_domain *domain, const char *person, int64_t deadline_ns,
                           struct pk_error *err);
/* The operations that a curation is; a view. False: it is none, or has none. */
bool pk_process_curation(const struct pk_doc *observation, bson_t *out_operations);
/* Applies what was made of one observation, between pk_mind_begin and pk_mind_end. On failure
 * '*at' is the processor at fault, or 'count' for a curation. Those that may be skipped are. */
bool pk_process_apply(struct pk_mind *mind, const struct pk_doc *observation,
                      struct pk_processed *processed, size_t count, size_t *at,
                      struct pk_error *err);
/* The row of 'processing' about it; 'seq' 0: the observation has no place. 'now_ms' is wall time.
 */
bool pk_process_add_row(const struct pk_domain *domain, const struct pk_doc *observation,
                        const struct pk_processed *processed, int64_t seq, int64_t now_ms,
                        int64_t deadline_ns, struct pk_writes *list, struct pk_error *err);

#endif
