/* openapi_internal.h - The parts of the document that have a file of their own. */
/* SPDX-License-Identifier: MIT */
#ifndef PK_API_OPENAPI_INTERNAL_H
#define PK_API_OPENAPI_INTERNAL_H

struct pk_api_row;
struct pk_buf;

/* A reference to the component 'name' of a kind ("schemas"); 'key' NULL: as an element. */
void pk_openapi_ref(struct pk_buf *out, const char *key, const char *kind, const char *name);

/* ---- openapi_params.c ---- */

void pk_openapi_params(struct pk_buf *out, const struct pk_api_row *row);
void pk_openapi_shared_params(struct pk_buf *out); /* The components. */

/* ---- openapi_problems.c ---- */

/* The errors that a row can answer, as members of its answers. */
void pk_openapi_problem_refs(struct pk_buf *out, const struct pk_api_row *row);
void pk_openapi_problem_answers(struct pk_buf *out); /* The components. */
void pk_openapi_problem_schema(struct pk_buf *out);

#endif
