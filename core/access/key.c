/* key.c - Keys are made, taken apart and hashed.
 *
 * The parser looks at every character of a text of the right length, eight at a
 * time, and folds what it finds into one word, so that it tells nobody by its time how far a
 * guess was right. The last character of the secret carries one bit (52 * 5 is
 * 260): only the two characters that leave the other four bits unset are a
 * secret's end, so a secret has one spelling. */
/* SPDX-License-Identifier: MIT */
#include "access/key.h"

#include "access/pepper.h"

#include <string.h>

enum { ID_BYTES = 10, SECRET_BYTES = 32 };
static const char prefix[] = "pk_";
enum { PREFIX = sizeof(prefix) - 1 };
#define EACH UINT64_C(0x0101010101010101) /* Times a byte: that byte, eight times. */

_Static_assert((ID_BYTES * 8 + 4) / 5 == PK_KEY_ID, "the id's bytes make its characters");
_Static_assert((SECRET_BYTES * 8 + 4) / 5 == PK_KEY_SECRET, "and the secret's");

void pk_key_new(struct pk_key *out)
{
    uint8_t id[ID_BYTES];
    uint8_t secret[SECRET_BYTES];
    pk_random(id, sizeof(id));
    pk_random(secret, sizeof(secret));
    pk_base32(out->id, id, sizeof(id));
    pk_base32(out->secret, secret, sizeof(secret));
    pk_secret_wipe(secret, sizeof(secret));
}

/* The top bit of each of eight bytes that is from 'low' to 'high'; the others mean nothing. All
 * bytes are below 0x80, so that no sum carries into the next one. */
static uint64_t within(uint64_t bytes, unsigned low, unsigned high)
{
    return (bytes + EACH * (0x80 - low)) & ~(bytes + EACH * (0x7f - high));
}

/* 0 when all of 'text', of at least eight characters, is base32. The last eight may be looked at
 * with some that were before: what is bad stays bad. */
static uint64_t strangers(const char *text, size_t size)
{
    uint64_t bad = 0;
    for (size_t i = 0; i < size; i += sizeof(uint64_t)) {
        const size_t at = i + sizeof(uint64_t) <= size ? i : size - sizeof(uint64_t);
        uint64_t word;
        memcpy(&word, text + at, sizeof(word));
        const uint64_t low = word & EACH * 0x7f;
        bad |= word | ~(within(low, 'a', 'z') | within(low, '2', '7'));
    }
    return bad & EACH * 0x80;
}

bool pk_key_parse(struct pk_key *out, const char *text, size_t length)
{
    uint64_t bad = 0;

    *out = (struct pk_key){ 0 };
    if (length != PK_KEY_SIZE) {
        return false;
    }
    const char *id = text + PREFIX;
    const char *secret = id + PK_KEY_ID + 1;
    for (size_t i = 0; i < PREFIX; i++) {
        bad |= (unsigned)(unsigned char)text[i] ^ (unsigned)(unsigned char)prefix[i];
    }
    bad |= (unsigned)(unsigned char)id[PK_KEY_ID] ^ '_';
    bad |= strangers(id, PK_KEY_ID);
    bad |= strangers(secret, PK_KEY_SECRET);
    const unsigned last = (unsigned char)secret[PK_KEY_SECRET - 1];
    bad |= (last & ~(unsigned)('a' ^ 'q')) ^ 'a'; /* 'a' or 'q': they differ in one bit. */
    if (bad) {
        return false;
    }
    memcpy(out->id, id, PK_KEY_ID);
    memcpy(out->secret, secret, PK_KEY_SECRET);
    return true;
}

void pk_key_print(const struct pk_key *key, char out[PK_KEY_TEXT])
{
    memcpy(out, prefix, PREFIX);
    memcpy(out + PREFIX, key->id, PK_KEY_ID);
    out[PREFIX + PK_KEY_ID] = '_';
    memcpy(out + PREFIX + PK_KEY_ID + 1, key->secret, PK_KEY_SECRET);
    out[PK_KEY_SIZE] = '\0';
}

void pk_key_wipe(struct pk_key *key)
{
    pk_secret_wipe(key, sizeof(*key));
}

void pk_key_hash(uint8_t out[PK_HASH_BYTES], const struct pk_pepper *pepper,
                 const struct pk_key *key)
{
    static const uint8_t nobodys[PK_PEPPER_BYTES] = { 0 };
    static const char purpose[] = "key:"; /* So that no hash made for another purpose fits. */
    char text[sizeof(purpose) - 1 + PK_KEY_ID + PK_KEY_SECRET]; /* One block of BLAKE2b. */

    memcpy(text, purpose, sizeof(purpose) - 1);
    memcpy(text + sizeof(purpose) - 1, key->id, PK_KEY_ID);
    memcpy(text + sizeof(purpose) - 1 + PK_KEY_ID, key->secret, PK_KEY_SECRET);
    pk_hash(out, text, sizeof(text), pepper ? pepper->secret : nobodys, PK_PEPPER_BYTES);
    pk_secret_wipe(text, sizeof(text));
}

bool pk_key_fits(const struct pk_key *key, const struct pk_pepper *pepper,
                 const uint8_t hash[PK_HASH_BYTES])
{
    uint8_t made[PK_HASH_BYTES];
    pk_key_hash(made, pepper, key);
    const bool is_equal = pk_secret_equal(made, hash, PK_HASH_BYTES);
    return is_equal & (pepper != NULL);
}
