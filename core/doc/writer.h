/* writer.h - BSON written straight into a buffer, for the rooms' own converters.
 *
 * libbson's appenders copy a child into its parent and insist on being ended
 * on every way out. What is made here in one pass (JSON, the stored form) is
 * written as bytes instead: an open object is only an offset, so an error
 * simply drops the buffer. The caller checks keys and sizes. */
/* SPDX-License-Identifier: MIT */
#ifndef PK_DOC_WRITER_H
#define PK_DOC_WRITER_H

#include <bson/bson.h>
#include <stddef.h>
#include <stdint.h>

struct pk_buf;

enum { PK_ARRAY_KEY = 12 }; /* Bytes of an array's key with its NUL, at most. */

/* Opens a document, object or array and returns where it starts; end it with the same. */
size_t pk_writer_begin(struct pk_buf *buf);
void pk_writer_end(struct pk_buf *buf, size_t start);

/* An element's type and key; its value follows. Returns the offset of the type, to change it. */
size_t pk_writer_key(struct pk_buf *buf, bson_type_t type, const char *key, size_t length);
/* Values, without type and key. */
void pk_writer_int64(struct pk_buf *buf, int64_t value); /* Also a date. */
void pk_writer_double(struct pk_buf *buf, double value);
void pk_writer_text(struct pk_buf *buf, const char *text, size_t length);
/* Appends the element that 'iter' stands on as it is, under the key 'key'. */
void pk_writer_copy(struct pk_buf *buf, const char *key, size_t length, const bson_iter_t *iter);

/* Writes an array's key ("0", "1" ...) and returns its length. */
size_t pk_writer_array_key(char out[PK_ARRAY_KEY], uint32_t index);

/* Turns the finished bytes into 'out', which is initialised here; the caller destroys it. */
void pk_writer_take(const struct pk_buf *buf, bson_t *out);

#endif
