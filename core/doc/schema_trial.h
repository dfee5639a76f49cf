/* schema_trial.h - Trying a version of a mapper out, over HTTP: bodies and answers. */
/* SPDX-License-Identifier: MIT */
#ifndef PK_DOC_SCHEMA_TRIAL_H
#define PK_DOC_SCHEMA_TRIAL_H

#include "doc/schema.h"

enum { PK_TRIAL_SAMPLE_MAX = 1000 }; /* People of one comparison. */

extern const struct pk_schema pk_schema_dry_run; /* Bodies. */
extern const struct pk_schema pk_schema_mapper_diff;

extern const struct pk_schema pk_schema_dry_run_view; /* Answers. */
extern const struct pk_schema pk_schema_mapper_diff_view;

#endif
