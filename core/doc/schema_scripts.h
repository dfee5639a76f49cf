/* schema_scripts.h - What scripts, and the generations they serve in, are over HTTP.
 *
 * For the tables of routes (api/). Spelt as over HTTP; where an answer is a
 * stored document, its names are those that names.c gives it. */
/* SPDX-License-Identifier: MIT */
#ifndef PK_DOC_SCHEMA_SCRIPTS_H
#define PK_DOC_SCHEMA_SCRIPTS_H

#include "doc/schema.h"

extern const struct pk_schema pk_schema_script_put; /* Bodies. */
extern const struct pk_schema pk_schema_canary_start;
extern const struct pk_schema pk_schema_rollback;

extern const struct pk_schema pk_schema_mapper_row; /* Answers: in lists, ... */
extern const struct pk_schema pk_schema_script_row;
extern const struct pk_schema pk_schema_mapper_view; /* ... and one, with what it is made of. */
extern const struct pk_schema pk_schema_script_view;
extern const struct pk_schema pk_schema_generations;

#endif
