/* feedback.h - What came of using a persona: taken once it existed, counted, never lost. */
/* SPDX-License-Identifier: MIT */
#ifndef PK_PERSONA_FEEDBACK_H
#define PK_PERSONA_FEEDBACK_H

#include "access/principal.h"
#include "persona/domain.h"

#include <bson/bson.h>
#include <stdbool.h>
#include <stddef.h>

struct pk_doc;
struct pk_error;

struct pk_feedback_taken {
    struct pk_doc *doc;      /* A reference. */
    bool is_queued;          /* A processor will look at it. */
    double estimate_minutes; /* When queued. */
};
/* 'body' is a SubmitFeedbackRequest. PK_NOT_FOUND: that persona never was. */
bool pk_feedback_submit(const struct pk_domain *domain, const struct pk_by *by,
                        const struct pk_principal *who, const bson_t *body,
                        struct pk_feedback_taken *out, struct pk_error *err);
/* Of a mapper: by version and rule; ratings, helpful, NPS. 'version' NULL: all. */
bool pk_feedback_summary(const struct pk_domain *domain, const char *mapper, const char *version,
                         int64_t deadline_ns, bson_t *out, struct pk_error *err);

#endif
