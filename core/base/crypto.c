/* crypto.c - Thin: each function is one call of libsodium. */
/* SPDX-License-Identifier: MIT */
#include "base/crypto.h"

#include "base/error.h"

#include <assert.h>
#include <sodium.h>
#include <string.h>

_Static_assert(sizeof(crypto_generichash_state) <= sizeof(struct pk_hasher),
               "the opaque hasher holds libsodium's state");
_Static_assert(_Alignof(struct pk_hasher) >= _Alignof(crypto_generichash_state),
               "and is aligned for it");
_Static_assert(crypto_shorthash_siphashx24_KEYBYTES == PK_SHORT_KEY_BYTES &&
                   crypto_shorthash_siphashx24_BYTES == 2 * sizeof(uint64_t),
               "SipHash takes and gives what the header says");

bool pk_crypto_init(struct pk_error *err)
{
    if (sodium_init() < 0) {
        return pk_fail(err, PK_INTERNAL, "check that the machine offers getrandom or /dev/urandom",
                       "cannot start libsodium");
    }
    return true;
}

void pk_random(void *out, size_t size)
{
    randombytes_buf(out, size);
}

uint64_t pk_random_u64(void)
{
    uint64_t value = 0;
    randombytes_buf(&value, sizeof(value));
    return value;
}

void pk_hash(uint8_t out[PK_HASH_BYTES], const void *data, size_t size, const void *key,
             size_t key_size)
{
    assert(key ? key_size >= 16 && key_size <= 64 : key_size == 0);
    int rc = crypto_generichash(out, PK_HASH_BYTES, data, size, key, key_size);
    assert(rc == 0);
    (void)rc;
}

void pk_hash_short(uint64_t out[2], const void *data, size_t size,
                   const uint8_t key[PK_SHORT_KEY_BYTES])
{
    unsigned char bytes[crypto_shorthash_siphashx24_BYTES];
    (void)crypto_shorthash_siphashx24(bytes, data, size, key);
    memcpy(out, bytes, sizeof(bytes));
}

void pk_sha256(uint8_t out[PK_HASH_BYTES], const void *data, size_t size)
{
    (void)crypto_hash_sha256(out, data, size);
}

static crypto_generichash_state *state_of(struct pk_hasher *hasher)
{
    return (crypto_generichash_state *)(void *)hasher->opaque;
}

void pk_hasher_init(struct pk_hasher *hasher)
{
    (void)crypto_generichash_init(state_of(hasher), NULL, 0, PK_HASH_BYTES);
}

void pk_hasher_add(struct pk_hasher *hasher, const void *data, size_t size)
{
    (void)crypto_generichash_update(state_of(hasher), data, size);
}

void pk_hasher_end(struct pk_hasher *hasher, uint8_t out[PK_HASH_BYTES])
{
    (void)crypto_generichash_final(state_of(hasher), out, PK_HASH_BYTES);
}

void pk_sign_pair(const uint8_t seed[PK_SIGN_SEED], uint8_t out_key[PK_SIGN_KEY],
                  uint8_t out_secret[PK_SIGN_SECRET])
{
    (void)crypto_sign_seed_keypair(out_key, out_secret, seed);
}

void pk_sign_make(uint8_t out[PK_SIGN_BYTES], const void *data, size_t size,
                  const uint8_t secret[PK_SIGN_SECRET])
{
    (void)crypto_sign_detached(out, NULL, data, size, secret);
}

bool pk_sign_check(const uint8_t sig[PK_SIGN_BYTES], const void *data, size_t size,
                   const uint8_t key[PK_SIGN_KEY])
{
    return crypto_sign_verify_detached(sig, data, size, key) == 0;
}

bool pk_secret_equal(const void *a, const void *b, size_t size)
{
    return sodium_memcmp(a, b, size) == 0;
}

void pk_secret_wipe(void *secret, size_t size)
{
    sodium_memzero(secret, size);
}

void pk_hex(char *out, const void *data, size_t size)
{
    (void)sodium_bin2hex(out, size * 2 + 1, data, size);
}

void pk_base32(char *out, const void *data, size_t size)
{
    static const char digit[32] = "abcdefghijklmnopqrstuvwxyz234567";
    const uint8_t *byte = data;
    uint32_t bits = 0; /* Read and not yet written; only the lowest 'count' matter. */
    int count = 0;

    for (size_t i = 0; i < size; i++) {
        bits = bits << 8 | byte[i];
        for (count += 8; count >= 5; count -= 5) {
            *out++ = digit[bits >> (count - 5) & 31];
        }
    }
    if (count > 0) {
        *out++ = digit[bits << (5 - count) & 31];
    }
    *out = '\0';
}
