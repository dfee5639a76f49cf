/* json.h - JSON to BSON and back.
 *
 * Strict both ways. Reading refuses, each with the byte offset: duplicate
 * keys, nesting above PK_DOC_MAX_DEPTH, invalid UTF-8, lone surrogates, NaN
 * and infinities, integers outside int64, other numbers outside double, NUL in
 * keys, anything behind the value. A number without fraction and exponent
 * becomes int64, others double; "-0" is a double.
 *
 * '.' and '$' are not allowed in stored keys, and '%' escapes: a key read from
 * JSON is stored with %2E, %24 and %25 for them, and written back plain.
 * Declared field names contain none of the three, so only free-form fields
 * ever show it. Strings stay strings here; which of them are dates is known to
 * the schema (schema.h). Dates are written as ISO 8601 in UTC, binary as
 * base64, and doubles so that reading them again gives the same bits. */
/* SPDX-License-Identifier: MIT */
#ifndef PK_DOC_JSON_H
#define PK_DOC_JSON_H

#include <bson/bson.h>
#include <stdbool.h>
#include <stddef.h>

struct pk_buf;
struct pk_error;

/* Of text to read, and of the BSON it becomes (a body may hold many documents). */
enum { PK_JSON_MAX_BYTES = 64 * 1024 * 1024 };

/* Reads one JSON object into 'out', which is initialised here and must be ended with bson_destroy
 * by the caller, on success only. 'out_offset' (may be NULL) is the byte at fault on failure. */
bool pk_json_read(bson_t *out, const char *text, size_t length, size_t *out_offset,
                  struct pk_error *err);

enum pk_json_style {
    PK_JSON_COMPACT,  /* No white space; keys in document order. */
    PK_JSON_PRETTY,   /* Two spaces of indentation; for people. */
    PK_JSON_CANONICAL /* Compact, keys sorted by bytes at every level; for hashing. */
};
/* Appends 'doc' as JSON. Fails only for values that JSON has no form for (NaN, infinities, BSON's
 * odd types), naming the path. */
bool pk_json_write(struct pk_buf *buf, const bson_t *doc, enum pk_json_style style,
                   struct pk_error *err);

/* Appends 'text' as a JSON string with its quotes, escaping what JSON demands and no more; invalid
 * UTF-8 becomes U+FFFD. For documents and answers; what a person may read on a terminal goes
 * through pk_text_json (base/text.h). */
void pk_json_add_string(struct pk_buf *buf, const char *text, size_t length);

/* Escapes and unescapes one key; appends to 'buf'. */
void pk_key_escape(struct pk_buf *buf, const char *key, size_t length);
void pk_key_unescape(struct pk_buf *buf, const char *key, size_t length);

#endif
