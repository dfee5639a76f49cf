/* schema_curation.h - What people say of a mindscape, over HTTP: corrections, pins, decisions,
 * replays.
 *
 * For the tables of routes (api/). Spelt as over HTTP. */
/* SPDX-License-Identifier: MIT */
#ifndef PK_DOC_SCHEMA_CURATION_H
#define PK_DOC_SCHEMA_CURATION_H

#include "doc/schema.h"

extern const char *const pk_review_status[]; /* pending, approved, declined, undone */

extern const struct pk_schema pk_schema_mindscape_patch; /* Bodies. */
extern const struct pk_schema pk_schema_replay_person;
extern const struct pk_schema pk_schema_replay_all;

extern const struct pk_schema pk_schema_curated; /* Answers. */
extern const struct pk_schema pk_schema_review_view;
extern const struct pk_schema pk_schema_replay_view;
extern const struct pk_schema pk_schema_replay_state;

#endif
