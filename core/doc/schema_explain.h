/* schema_explain.h - Why a persona is as it is, and what came of it, as HTTP shows both. */
/* SPDX-License-Identifier: MIT */
#ifndef PK_DOC_SCHEMA_EXPLAIN_H
#define PK_DOC_SCHEMA_EXPLAIN_H

#include "doc/schema.h"

extern const struct pk_schema pk_schema_explanation_view;
extern const struct pk_schema pk_schema_feedback_request; /* Body and answer of POST. */
extern const struct pk_schema pk_schema_feedback_response;
extern const struct pk_schema pk_schema_feedback_view;
extern const struct pk_schema pk_schema_feedback_summary;

#endif
