/* joined.h - What is known of a person outside the mindscape's document: narratives, hot, warm and
 * cold knowledge. Written with the mindscape, in its list; superseded, never lost. */
/* SPDX-License-Identifier: MIT */
#ifndef PK_PERSONA_JOINED_H
#define PK_PERSONA_JOINED_H

#include "persona/domain.h"

#include <bson/bson.h>
#include <stdbool.h>
#include <stddef.h>

struct pk_error;
struct pk_joined;
struct pk_writes;

/* Adds what the operations make to 'list' (inserts and replaces at the versions read). An entry of
 * hot knowledge is found by its key, a node by its label, an edge by its ends and type; all ids
 * are functions of the person and these, so that a replay makes the same. */
bool pk_joined_write(const struct pk_domain *domain, const char *person,
                     const struct pk_joined *const *joined, size_t count, int64_t deadline_ns,
                     struct pk_writes *list, struct pk_error *err);
/* Appends the person's hot knowledge that has not expired at 'now_ms' as an array 'knowledge' of
 * { key, value, expiresAt } (what scripts get). */
bool pk_joined_hot(const struct pk_domain *domain, const char *person, int64_t now_ms,
                   int64_t deadline_ns, bson_t *out, struct pk_error *err);

#endif
