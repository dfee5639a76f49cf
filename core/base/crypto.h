/* crypto.h - Randomness, hashes and comparisons; the only user of libsodium.
 *
 * Call pk_crypto_init once at start, before any thread; the rest is for any
 * thread. */
/* SPDX-License-Identifier: MIT */
#ifndef PK_BASE_CRYPTO_H
#define PK_BASE_CRYPTO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct pk_error;

enum { PK_HASH_BYTES = 32, PK_HASH_TEXT = 65 };

bool pk_crypto_init(struct pk_error *err);
void pk_random(void *out, size_t size);
uint64_t pk_random_u64(void);

/* BLAKE2b with 32 bytes of output; 'key' may be NULL (then key_size is 0), else 16 to 64 bytes. */
void pk_hash(uint8_t out[PK_HASH_BYTES], const void *data, size_t size, const void *key,
             size_t key_size);
/* SHA-256, where others prescribe it (S3, checksums of artifacts). */
/* SipHash of 128 bits: for tables whose keys a stranger chooses, never for secrets. Ten times as
 * fast as pk_hash on short data. */
enum { PK_SHORT_KEY_BYTES = 16 };
void pk_hash_short(uint64_t out[2], const void *data, size_t size,
                   const uint8_t key[PK_SHORT_KEY_BYTES]);
void pk_sha256(uint8_t out[PK_HASH_BYTES], const void *data, size_t size);
/* A BLAKE2b over many pieces; init, add ..., end. */
struct pk_hasher {
    _Alignas(64) unsigned char opaque[384];
};
void pk_hasher_init(struct pk_hasher *hasher);
void pk_hasher_add(struct pk_hasher *hasher, const void *data, size_t size);
void pk_hasher_end(struct pk_hasher *hasher, uint8_t out[PK_HASH_BYTES]);

/* Ed25519: who has the secret made the signature. A pair is made anew, or of the 32 bytes that it
 * was once made of ('seed', the only thing to keep; secret). */
enum { PK_SIGN_SEED = 32, PK_SIGN_KEY = 32, PK_SIGN_SECRET = 64, PK_SIGN_BYTES = 64 };
void pk_sign_pair(const uint8_t seed[PK_SIGN_SEED], uint8_t out_key[PK_SIGN_KEY],
                  uint8_t out_secret[PK_SIGN_SECRET]);
void pk_sign_make(uint8_t out[PK_SIGN_BYTES], const void *data, size_t size,
                  const uint8_t secret[PK_SIGN_SECRET]);
bool pk_sign_check(const uint8_t sig[PK_SIGN_BYTES], const void *data, size_t size,
                   const uint8_t key[PK_SIGN_KEY]);

/* True when equal; the time taken depends on 'size' alone. */
bool pk_secret_equal(const void *a, const void *b, size_t size);
/* Overwrites in a way that the compiler does not leave out. */
void pk_secret_wipe(void *secret, size_t size);

/* Lower-case hexadecimal; 'out' takes 2 * size + 1 bytes. */
void pk_hex(char *out, const void *data, size_t size);
/* Lower-case base32 (a-z, 2-7) without padding, so that '_' can separate; 'out' takes
 * (size * 8 + 4) / 5 + 1 bytes. */
void pk_base32(char *out, const void *data, size_t size);

#endif
