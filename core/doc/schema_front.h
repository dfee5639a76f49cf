/* schema_front.h - What actors, keys and the record of changes look like over HTTP.
 *
 * For the tables of routes (api/). Spelt as over HTTP; where an answer is a
 * stored document, its names are those that names.c gives it. */
/* SPDX-License-Identifier: MIT */
#ifndef PK_DOC_SCHEMA_FRONT_H
#define PK_DOC_SCHEMA_FRONT_H

#include "doc/schema.h"

extern const char *const pk_actor_status[]; /* active, suspended, archived */

extern const struct pk_schema pk_schema_actor_create; /* Bodies. */
extern const struct pk_schema pk_schema_actor_patch;
extern const struct pk_schema pk_schema_key_create;

extern const struct pk_schema pk_schema_actor_view; /* Answers. */
extern const struct pk_schema pk_schema_key_view;
extern const struct pk_schema pk_schema_key_created;
extern const struct pk_schema pk_schema_audit_view;

#endif
