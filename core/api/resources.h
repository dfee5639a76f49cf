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
extern const struct pk_api_table pk_api_tasks_table;
extern const struct pk_api_table pk_api_observations_table;
extern const struct pk_api_table pk_api_people_table;
extern const struct pk_api_table pk_api_consents_table;
extern const struct pk_api_table pk_api_personas_table;
extern const struct pk_api_table pk_api_mindscapes_table;
extern const struct pk_api_table pk_api_traits_table;
extern const struct pk_api_table pk_api_curations_table;
extern const struct pk_api_table pk_api_reviews_table;
extern const struct pk_api_table pk_api_replays_table;
extern const struct pk_api_table pk_api_feedback_table;
extern const struct pk_api_table pk_api_explain_table;
extern const struct pk_api_table pk_api_trials_table;
extern const struct pk_api_table pk_api_training_table;
extern const struct pk_api_table pk_api_privacy_table;
extern const struct pk_api_table pk_api_merges_table;

/* Reads the actor that {actor} names into call->found. */
pk_subject_fn pk_subject_actor;
/* Reads the person that {person} names, merges followed: his 'people' document into call->found,
 * his id into the object. */
pk_subject_fn pk_subject_person;
/* Reads the observation that {observation} names into call->found; one that is hidden from who asks
 * is not there. */
pk_subject_fn pk_subject_observation;
/* Under the id of somebody who was merged there is no persona: '*out' is the same of whom he was
 * merged into, for who may see that one; NULL: he was not merged. */
bool pk_call_follow_persona(struct pk_api_call *call, const char *id, const char **out,
                            struct pk_error *err);

#endif
