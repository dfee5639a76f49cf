/* feedback.h - What came of using a persona: taken once it existed, counted, never lost.
 *
 *     pk_feedback_find(domain, "greeter:<person>:instant", deadline_ns, &target, err)
 *     pk_feedback_submit(domain, by, target, body, &taken, err)
 *
 * Feedback is about one generation of a persona, and finds it in 'persona_log',
 * so it may come after the persona itself has gone. It changes nothing but
 * counts: a mapper learns of it when somebody trains it. Any thread. */
/* SPDX-License-Identifier: MIT */
#ifndef PK_PERSONA_FEEDBACK_H
#define PK_PERSONA_FEEDBACK_H

#include "base/id.h"
#include "persona/domain.h"

#include <bson/bson.h>
#include <stdbool.h>
#include <stddef.h>

struct pk_doc;
struct pk_error;
struct pk_task;
struct pk_writes;

/* Processors that accept this type read feedback; its task's type is the second. */
#define PK_FEEDBACK_TYPE "feedback"
#define PK_FEEDBACK_TASK "process_feedback"

/* The record ('persona_log') of the generation that an id names: its own; of a composite id the one
 * that is cached, or else the latest. '*out' NULL: that persona never was, or its record has gone.
 */
bool pk_feedback_find(const struct pk_domain *domain, const char *id, int64_t deadline_ns,
                      struct pk_doc **out, struct pk_error *err);

struct pk_feedback_taken {
    struct pk_doc *doc;      /* The feedback; a reference. */
    bool is_queued;          /* A processor will look at it: 'task' does it. */
    double estimate_minutes; /* When queued. */
    char task[PK_UUID_TEXT]; /* ""; or the task. */
};
/* 'target' as found; 'body' is the 'feedback' of a SubmitFeedbackRequest, checked by its schema.
 * PK_INVALID: it contradicts the generation (mapperVersion, ruleId). PK_FORBIDDEN: it is submitted
 * for another actor by one that is no system. 'by->complete' is handed the feedback. */
bool pk_feedback_submit(const struct pk_domain *domain, const struct pk_by *by,
                        const struct pk_doc *target, const bson_t *body,
                        struct pk_feedback_taken *out, struct pk_error *err);
bool pk_feedback_get(const struct pk_domain *domain, const char *id, int64_t deadline_ns,
                     struct pk_doc **out, struct pk_error *err); /* '*out' NULL: there is none. */

/* Of a mapper, over all people: by version (newest first) and rule; ratings, helpful, NPS.
 * 'version' NULL: all. 'out' is initialised here, on success only. */
bool pk_feedback_summary(const struct pk_domain *domain, const char *mapper, const char *version,
                         int64_t deadline_ns, bson_t *out, struct pk_error *err);

/* The task: runs the processors over one feedback and keeps what they make of it as its 'lessons'.
 * They get it as an observation of type "feedback", with an empty mindscape: feedback is about the
 * mapper, and never changes what is known of a person. 'context' is the domain. */
bool pk_feedback_run(void *context, const struct pk_task *task, struct pk_writes *list,
                     struct pk_error *err);

/* How much of the words of a feedback were filled in: 0 to PK_FEEDBACK_WORDS. An actor's
 * averageFeedbackQuality is the mean share of them, made of two counts when it is read. */
enum { PK_FEEDBACK_WORDS = 5 };
int pk_feedback_words(const bson_t *feedback);

#endif
