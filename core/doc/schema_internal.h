/* schema_internal.h - How faults are put into words. For schema*.c only. */
/* SPDX-License-Identifier: MIT */
#ifndef PK_DOC_SCHEMA_INTERNAL_H
#define PK_DOC_SCHEMA_INTERNAL_H

#include "doc/schema.h"

/* Formats: what a text must be made of, and its words. */
bool pk_format_is_valid(enum pk_format format, const char *text, size_t length);

/* Appends what a row wants: "a number from 0 to 1". 'is_json': as the sender of JSON sees it. */
void pk_field_describe(struct pk_buf *out, const struct pk_field *field, bool is_json);
/* Appends what a value is, shortened: "'abc'", "a list of 3 elements". */
void pk_value_describe(struct pk_buf *out, const bson_iter_t *value, bool is_secret);
/* The field of 'schema' whose name is most like 'name', or NULL when none is. */
const char *pk_schema_nearest(const struct pk_schema *schema, const char *name);

#endif
