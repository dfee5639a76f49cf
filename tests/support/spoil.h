/* spoil.h - Documents that fit a schema but for one thing: missing, null, of another type, out of
 * range, not in the list, of another form. */
/* SPDX-License-Identifier: MIT */
#ifndef PK_TEST_SPOIL_H
#define PK_TEST_SPOIL_H

#include <bson/bson.h>
#include <stddef.h>

struct pk_schema;

/* 'path' is what is wrong ("traits[0].confidence"), 'way' in which way, for who reads a failure. */
typedef void pk_spoil_fn(void *context, const char *path, const char *way, const bson_t *doc);

/* Calls 'each' with a copy of 'doc', which fits the schema, for each row that has a value in it and
 * each way in which that row can be wrong. How many there were. */
size_t pk_spoil_each(const struct pk_schema *schema, const bson_t *doc, pk_spoil_fn *each,
                     void *context);

#endif
