/* resources.h - The tables of routes, one for each resource, and what they share.
 *
 * If you add a resource: its table here, and its line in api.c. */
/* SPDX-License-Identifier: MIT */
#ifndef PK_API_RESOURCES_H
#define PK_API_RESOURCES_H

#include "api/row.h"

extern const struct pk_api_table pk_api_actors_table;
extern const struct pk_api_table pk_api_keys_table;
extern const struct pk_api_table pk_api_audit_table;
extern const struct pk_api_table pk_api_system_table;
extern const struct pk_api_table pk_api_mappers_table;
extern const struct pk_api_table pk_api_scripts_table;
extern const struct pk_api_table pk_api_generations_table;

/* Reads the actor that {actor} names into call->found. */
pk_subject_fn pk_subject_actor;

#endif
