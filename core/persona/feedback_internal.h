/* feedback_internal.h - What the files of feedback and training share; nobody else includes it. */
/* SPDX-License-Identifier: MIT */
#ifndef PK_PERSONA_FEEDBACK_INTERNAL_H
#define PK_PERSONA_FEEDBACK_INTERNAL_H

#include "persona/feedback.h"

struct pk_generation;

/* Its processors, as they are now, over one feedback: '*out' is it with their lessons, processed.
 * Nothing is written. */
bool feedback_learn(const struct pk_domain *domain, const struct pk_doc *feedback,
                    int64_t deadline_ns, struct pk_doc **out, struct pk_error *err);
/* Adds to 'list' that 'learnt' takes the place of 'feedback', and what is told of that. */
void feedback_put(const struct pk_domain *domain, const struct pk_doc *feedback,
                  struct pk_doc *learnt, struct pk_writes *list);
/* Its lessons are those of the processors that serve in this generation. */
bool feedback_is_learnt(const struct pk_doc *feedback, const struct pk_generation *generation);

#endif
