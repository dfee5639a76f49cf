/* key.h - A key as a person carries it: pk_<id>_<secret>.
 *
 * The id is public (16 characters, 80 random bits): it finds the actor. The
 * secret has 256 random bits (52 characters); it is shown when the key is made
 * and never again: what is stored is a keyed BLAKE2b of it. A fast hash is
 * right here, for nobody can try 2^256 secrets. Lower-case base32 throughout,
 * so that '_' only separates and the log's masking knows a key when it sees
 * one.
 *
 * A struct pk_key holds a secret: end it with pk_key_wipe. Any thread. */
/* SPDX-License-Identifier: MIT */
#ifndef PK_ACCESS_KEY_H
#define PK_ACCESS_KEY_H

#include "base/crypto.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct pk_pepper;

enum {
    PK_KEY_ID = 16,     /* Characters of the id. */
    PK_KEY_SECRET = 52, /* Characters of the secret. */
    PK_KEY_SIZE = 3 + PK_KEY_ID + 1 + PK_KEY_SECRET,
    PK_KEY_TEXT = PK_KEY_SIZE + 1 /* With its NUL. */
};

struct pk_key {
    char id[PK_KEY_ID + 1];
    char secret[PK_KEY_SECRET + 1];
};

void pk_key_new(struct pk_key *out);
/* Takes exactly what pk_key_print writes. The time depends on 'length' alone. */
bool pk_key_parse(struct pk_key *out, const char *text, size_t length);
void pk_key_print(const struct pk_key *key, char out[PK_KEY_TEXT]);
void pk_key_wipe(struct pk_key *key);

/* What is stored of a key. NULL for 'pepper' does the same work with a pepper that nothing was
 * ever hashed with. */
void pk_key_hash(uint8_t out[PK_HASH_BYTES], const struct pk_pepper *pepper,
                 const struct pk_key *key);
/* True when the key has this hash under this pepper. The time depends on nothing secret, and not
 * on whether 'pepper' is NULL (then the answer is false). */
bool pk_key_fits(const struct pk_key *key, const struct pk_pepper *pepper,
                 const uint8_t hash[PK_HASH_BYTES]);

#endif
