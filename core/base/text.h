/* text.h - Text from outside, made fit to be shown: escaped, masked, compared.
 *
 * Nothing here fails: whatever the bytes are, what is written is valid UTF-8
 * on one line. Any thread. */
/* SPDX-License-Identifier: MIT */
#ifndef PK_BASE_TEXT_H
#define PK_BASE_TEXT_H

#include <stdbool.h>
#include <stddef.h>

struct pk_buf;

/* Appends 'text' as a JSON string, quotes included. Invalid UTF-8 becomes U+FFFD, a byte each. */
void pk_text_json(struct pk_buf *buf, const char *text, size_t size);

/* Appends 'text' for a person's eyes: control characters, direction overrides, line separators
 * and invalid bytes become \n, \t, \u202e, \xff; a backslash is doubled. With 'quotes' also " is
 * escaped. */
void pk_text_escape(struct pk_buf *buf, const char *text, size_t size, bool quotes);

/* Appends 'text' with control characters and invalid bytes replaced by U+FFFD; newlines stay. */
void pk_text_clean(struct pk_buf *buf, const char *text, size_t size);

/* Appends 'text' without what must not be seen: the secret of a key (pk_<id>_<secret> becomes
 * pk_<id>_***) and the password in a URL (mongodb://me:***@host). In doubt it hides too much. */
void pk_text_mask(struct pk_buf *buf, const char *text, size_t size);

/* How many letters must be added, dropped, changed or swapped with their neighbour to make 'b' of
 * 'a', case and the kind of dash aside; 'limit' when it is that or more. Either longer than 64
 * bytes: 'limit'. */
size_t pk_text_distance(const char *a, const char *b, size_t limit);

#endif
