/* json_put.h - JSON written by hand: what is made from tables (schemas, /openapi.json).
 *
 *     pk_json_open(&out, NULL, '{');
 *     pk_json_put_text(&out, "type", "string");
 *     pk_json_close(&out, '}');
 *
 * Commas are seen to: one is put where something stands before. */
/* SPDX-License-Identifier: MIT */
#ifndef PK_DOC_JSON_PUT_H
#define PK_DOC_JSON_PUT_H

#include <stdbool.h>

struct pk_buf;

/* Before a value: a comma, unless it is the first of its object or list. */
void pk_json_next(struct pk_buf *out);
void pk_json_key(struct pk_buf *out, const char *key); /* The value follows. */
/* Opens what 'key' names, or the next element when it is NULL; 'bracket' is '{' or '['. */
void pk_json_open(struct pk_buf *out, const char *key, char bracket);
void pk_json_close(struct pk_buf *out, char bracket); /* '}' or ']' */

/* A whole member, or the next element when 'key' is NULL. */
void pk_json_put_text(struct pk_buf *out, const char *key, const char *value);
void pk_json_put_number(struct pk_buf *out, const char *key, double value);
void pk_json_put_bool(struct pk_buf *out, const char *key, bool value);
/* 'value' is JSON already. */
void pk_json_put_raw(struct pk_buf *out, const char *key, const char *value);

#endif
