/* query.h - Parameters, read strictly: what is not declared, repeated or damaged is an error that
 * names it.
 *
 * '%XX' is decoded once; '+' is a plus, never a space. Texts are UTF-8 without
 * NUL. What is read lives in the arena. Any thread. */
/* SPDX-License-Identifier: MIT */
#ifndef PK_API_QUERY_H
#define PK_API_QUERY_H

#include "api/row.h"

struct pk_arena;

/* What a list of parameters may hold, and where each goes. */
struct pk_param_slot {
    const struct pk_param *param;
    const char **value; /* NULL until it was given. */
    int64_t *number;    /* For INT, BOOL and TIME; may be NULL for others. */
};

/* Reads "a=1&b=%20" into the slots. */
bool pk_query_read(struct pk_arena *arena, const char *query, const struct pk_param_slot *slot,
                   size_t count, struct pk_error *err);
/* Checks one text and fills its slot. */
bool pk_param_read(struct pk_arena *arena, const struct pk_param_slot *slot, const char *text,
                   struct pk_error *err);

#endif
