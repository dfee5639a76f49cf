/* schema_intake.h - What observations, people and consents look like over HTTP.
 *
 * For the tables of routes (api/) and for who takes observations in (persona/).
 * Spelt as over HTTP; where an answer is a stored document, its names are those
 * that names.c gives it. */
/* SPDX-License-Identifier: MIT */
#ifndef PK_DOC_SCHEMA_INTAKE_H
#define PK_DOC_SCHEMA_INTAKE_H

#include "doc/schema.h"

extern const char *const pk_observation_status[]; /* pending, approved, processed, rejected */
extern const char *const pk_observation_type[];   /* The built-in ones. */

extern const struct pk_schema pk_schema_observation_new;   /* Bodies: one ... */
extern const struct pk_schema pk_schema_observation_short; /* ... as v0.2.0 has it ... */
extern const struct pk_schema pk_schema_observation_batch; /* ... and many. */
extern const struct pk_schema pk_schema_observation_reject;
extern const struct pk_schema pk_schema_consent_put;

extern const struct pk_schema pk_schema_observation_view; /* Answers. */
extern const struct pk_schema pk_schema_observation_sent;
extern const struct pk_schema pk_schema_observation_results;
extern const struct pk_schema pk_schema_person_view;
extern const struct pk_schema pk_schema_consent_view;

#endif
