/* problems.h - Every code that an error answer can carry, in one table.
 *
 * An answer of the type application/problem+json has a 'code' that programs
 * act on; it means the same for ever. The table is what 'personakit errors'
 * prints and what /openapi.json says. Read only; any thread.
 *
 * If you answer a new code, add its row in problems.c: a test collects them
 * from the sources. */
/* SPDX-License-Identifier: MIT */
#ifndef PK_API_PROBLEMS_H
#define PK_API_PROBLEMS_H

#include <stdbool.h>
#include <stddef.h>

struct pk_buf;

struct pk_problem {
    const char *code;    /* Stable; never reused for another meaning. */
    int status;          /* The only one it comes with. */
    bool retry;          /* The same request may succeed later. */
    const char *meaning; /* What happened; a clause. */
    const char *advice;  /* What a caller should do; a clause. */
};

/* Sorted by status and code. */
const struct pk_problem *pk_problems(size_t *out_count);
/* NULL: there is no such code. */
const struct pk_problem *pk_problem_find(const char *code);

/* For people and for programs. */
void pk_problems_print(struct pk_buf *out);
void pk_problems_json(struct pk_buf *out);

#endif
