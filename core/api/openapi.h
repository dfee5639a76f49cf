/* openapi.h - /openapi.json: what the table of routes says, in the words of OpenAPI 3.1.
 *
 * The document is made once, when the server starts, and is the same bytes for
 * the same program. */
/* SPDX-License-Identifier: MIT */
#ifndef PK_API_OPENAPI_H
#define PK_API_OPENAPI_H

#include <stddef.h>

struct pk_answer;
struct pk_api_row;
struct pk_buf;
struct pk_hot;
struct pk_openapi; /* Opaque, immutable. */
struct pk_request;

/* Appends the document for these rows. */
void pk_openapi_write(struct pk_buf *out, const struct pk_api_row *const *row, size_t count);

/* Of every row there is (pk_api_row_at). 'hot' (may be NULL) holds the bytes that loops send. */
struct pk_openapi *pk_openapi_new(struct pk_hot *hot);
void pk_openapi_free(struct pk_openapi *openapi); /* NULL is fine. */
/* Answers with the document, compressed when the client takes that. Waits for nothing. */
void pk_openapi_answer(const struct pk_openapi *openapi, struct pk_request *request,
                       struct pk_answer *answer);

#endif
