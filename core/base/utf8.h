/* utf8.h - One UTF-8 character at a time, strictly.
 *
 * Strict as in RFC 3629: no overlong forms, no surrogates, nothing above
 * U+10FFFF. Any thread. */
/* SPDX-License-Identifier: MIT */
#ifndef PK_BASE_UTF8_H
#define PK_BASE_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Bytes of the character at 'text' (1 to 4), or 0 when it is not valid within 'length' bytes. */
size_t pk_utf8_step(const uint8_t *text, size_t length);
/* The code point of a character that pk_utf8_step found to be 'size' bytes long. */
uint32_t pk_utf8_point(const uint8_t *text, size_t size);
/* The first invalid byte's offset, or 'length' when all of it is valid. NUL is valid. */
size_t pk_utf8_check(const uint8_t *text, size_t length);
/* At most 'max' bytes of 'text', less what would cut a character in two. */
size_t pk_utf8_cut(const uint8_t *text, size_t length, size_t max);
/* Writes a code point that is not a surrogate; returns the bytes written (1 to 4). */
size_t pk_utf8_put(char out[4], uint32_t code_point);

#endif
