/* digest.h - What documents say, as a number that does not depend on order.
 *
 * A document's digest is a BLAKE2b over its content with the fields of every
 * object sorted by name, so two stores that keep fields in another order still
 * agree. A set's sum adds digests, so the order in which they are read does
 * not matter, and one missing, added or changed document shows. Any thread. */
/* SPDX-License-Identifier: MIT */
#ifndef PK_OPS_DIGEST_H
#define PK_OPS_DIGEST_H

#include "base/crypto.h"

#include <stdbool.h>

struct pk_doc;

/* Equal for equal content, whatever the order of fields. */
void pk_digest_doc(const struct pk_doc *doc, uint8_t out[PK_HASH_BYTES]);

/* '{ 0 }' is the sum of nothing. */
struct pk_sum {
    uint64_t word[PK_HASH_BYTES / 8];
    int64_t count; /* Documents added. */
};
void pk_sum_add(struct pk_sum *sum, const uint8_t digest[PK_HASH_BYTES]);
bool pk_sum_equal(const struct pk_sum *a, const struct pk_sum *b);
/* The sum in hexadecimal. */
void pk_sum_text(const struct pk_sum *sum, char out[PK_HASH_TEXT]);

#endif
