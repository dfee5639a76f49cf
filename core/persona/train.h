/* train.h - A mapper learns from feedback: a draft of another version, for a person to look at.
 *
 *     pk_train_ask(domain, by, &(struct pk_train){ .mapper = "daily" }, task, err)
 *     ... the task 'train_mapper': feedback through its processors, proposals added up,
 *         a draft that is tried out, feedback marked as incorporated ...
 *     pk_train_show(domain, "daily", deadline_ns, &out, err)
 *
 * Processors of feedback propose: t:tune(rule, { ... }), t:keep(rule), t:configure(setting, value).
 * A change is made when the weights of those who propose it, less those of all who speak against
 * it, come to 1. The draft has the files of the version that it was trained from, and a
 * 'tuning.json' (lua/personakit/tuning.lua). Nothing is activated. Feedback that was weighed in a
 * change is 'incorporated'; all other stays, and counts the next time. Any thread. */
/* SPDX-License-Identifier: MIT */
#ifndef PK_PERSONA_TRAIN_H
#define PK_PERSONA_TRAIN_H

#include "base/id.h"
#include "feed/outbox.h"
#include "persona/domain.h"

#include <bson/bson.h>
#include <stdint.h>

struct pk_doc;
struct pk_error;

#define PK_TRAIN_TASK "train_mapper"

struct pk_train {
    const char *mapper;
    const char *version; /* That it is trained from; NULL: the active one, or the newest. */
    int64_t since_ms;    /* Only feedback that came since then (wall); 0: all. */
};
/* What it would change, and nothing is written: as pk_train_show, with dryRun true. PK_NOT_FOUND:
 * no such mapper or version. PK_CONFLICT: no processor of feedback is active. */
bool pk_train_dry(const struct pk_domain *domain, const struct pk_by *by,
                  const struct pk_train *train, bson_t *out, struct pk_error *err);
/* Asks for it: adds the task, with its audit row; 'by->complete' gets what pk_train_doc makes.
 * PK_CONFLICT, too: this mapper is being trained. One that was given up between its draft and its
 * marks goes on there. 'out_task' gets the task's id. */
bool pk_train_ask(const struct pk_domain *domain, const struct pk_by *by,
                  const struct pk_train *train, char out_task[PK_UUID_TEXT], struct pk_error *err);
/* { mapperId, dryRun: false, status: running, taskId } */
struct pk_doc *pk_train_doc(const char *mapper, const char *task)
    __attribute__((returns_nonnull, warn_unused_result));
/* The last training of a mapper: { mapperId, dryRun, status: none, running, done, failed; taskId,
 * parentVersion, version, samples, incorporated, failures, problem, changes, open, startedAt,
 * completedAt }. 'out' is initialised here, on success only. */
bool pk_train_show(const struct pk_domain *domain, const char *mapper, int64_t deadline_ns,
                   bson_t *out, struct pk_error *err);

/* The task's: payload { mapperId }; 'context' is the domain. */
pk_task_fn pk_train_run;
pk_task_failed_fn pk_train_failed;

#endif
