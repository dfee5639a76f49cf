/* base64.h - Binary data as text: RFC 4648 with padding, strictly. Any thread. */
/* SPDX-License-Identifier: MIT */
#ifndef PK_DOC_BASE64_H
#define PK_DOC_BASE64_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct pk_buf;

void pk_base64_add(struct pk_buf *buf, const uint8_t *data, size_t size);
/* Appends the bytes. False, with 'buf' as it was, for foreign characters, wrong padding, and
 * bits set behind the data (two texts never mean the same bytes). */
bool pk_base64_read(struct pk_buf *buf, const char *text, size_t length);

#endif
