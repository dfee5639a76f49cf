/* replay.h - A mindscape made anew from the observations that it rests on.
 *
 * The processors run again as they ran then: in the recorded version, with the
 * recorded answers of their host, on the mindscape as it had become by then; or
 * one of them in another version. What comes of it is written beside what is
 * there, under the next epoch of the history, and takes its place in one
 * commit. Two replays give the same essence (pk_mind_essence).
 *
 * Work of this size is a task of the person, in the person's order. */
/* SPDX-License-Identifier: MIT */
#ifndef PK_PERSONA_REPLAY_H
#define PK_PERSONA_REPLAY_H

#include "base/id.h"
#include "feed/outbox.h"
#include "persona/domain.h"

#include <bson/bson.h>
#include <stdbool.h>
#include <stdint.h>

struct pk_doc;
struct pk_error;

/* What shall be different from then; '{ 0 }': nothing. */
struct pk_remake {
    const char *processor; /* That runs in one version wherever that accepts the type, ... */
    const char *version;   /* ... this one; NULL: the active one. */
    const char *forgotten; /* An observation that is left out; or NULL. */
    bool is_regrouped;     /* Observations have come or gone with a merge: like forgetting, it needs
                            * no consent, for nothing is processed that was not before. */
};

/* "replay_person": payload { processor?, version? }. 'context' is the domain, here and below. */
pk_task_fn pk_replay_run;
/* The same within another task of the person, in steps that may be repeated. */
bool pk_replay_again(const struct pk_domain *domain, const struct pk_task *task, const char *person,
                     const struct pk_remake *replay, struct pk_error *err);
/* "forget_observation": payload { observationId }: the observation goes, and what rested on it. */
pk_task_fn pk_forget_run;
/* "replay_all": payload { run }: a link of the chain that pk_replay_all begins. */
pk_task_fn pk_replay_all_run;

/* What a replay would change, and nothing is written: { dryRun, observations, isSame,
 * differences: [{ path, before?, after? }] }. PK_NOT_FOUND: no such person, processor or version.
 */
bool pk_replay_dry(const struct pk_domain *domain, const char *person,
                   const struct pk_remake *replay, int64_t deadline_ns, bson_t *out,
                   struct pk_error *err);
/* { taskId, dryRun: false }: what pk_by's 'complete' gets of the next two, and what is answered. */
struct pk_doc *pk_replay_doc(const char *task) __attribute__((returns_nonnull, warn_unused_result));
/* Asks for it: adds the task, with its audit row. 'out_task' gets its id. */
bool pk_replay_person(const struct pk_domain *domain, const struct pk_by *by, const char *person,
                      const struct pk_remake *replay, char out_task[PK_UUID_TEXT],
                      struct pk_error *err);
/* The same for an observation that shall be forgotten. PK_NOT_FOUND: there is none. */
bool pk_replay_forget(const struct pk_domain *domain, const struct pk_by *by,
                      const char *observation, char out_task[PK_UUID_TEXT], struct pk_error *err);

/* ---- All people ---- */

/* A version (NULL: the active one) of a processor for everybody who has sent what it takes, at most
 * 'per_second' people a second (0: 10). One run at a time: PK_CONFLICT while there is one. */
bool pk_replay_all(const struct pk_domain *domain, const struct pk_by *by, const char *processor,
                   const char *version, double per_second, char out_task[PK_UUID_TEXT],
                   struct pk_error *err);
/* Lets it rest, or go on; kept by the store, so it rests after a restart, too. PK_CONFLICT: there
 * is none under way. */
bool pk_replay_all_pause(const struct pk_domain *domain, const struct pk_by *by, bool is_paused,
                         struct pk_error *err);
/* { status: none, running, paused, done; processor, version, perSecond, lookedAt, replayed,
 * progress, startedAt, completedAt }: the last run. People who are replayed have tasks of their
 * own.
 */
bool pk_replay_all_show(const struct pk_domain *domain, int64_t deadline_ns, bson_t *out,
                        struct pk_error *err);

#endif
