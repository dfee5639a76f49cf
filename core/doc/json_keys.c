/* json_keys.c - Has this object had that key before? In time linear in the input.
 *
 * Most objects are small: their keys are compared one by one, by length first.
 * From SMALL keys on a hash set with open addressing takes over, seeded at
 * random for each text that needs one, so that nobody can prepare keys that
 * all fall into one slot. Keys are not copied: they lie in the BSON that is
 * being written, and a key is known by its offset there.
 *
 * Thread: the reader's. */
/* SPDX-License-Identifier: MIT */
#include "doc/json_internal.h"

#include "base/alloc.h"
#include "base/buf.h"
#include "base/crypto.h"

#include <string.h>

enum {
    SMALL = 16,      /* Keys that are compared one by one. */
    FIRST_SLOTS = 64 /* A power of two; the set is kept at most half full. */
};

void pk_json_keys_done(struct pk_json_keys *keys)
{
    pk_free(keys->key);
    *keys = (struct pk_json_keys){ 0 };
}

void pk_json_scope_begin(struct pk_json_keys *keys, struct pk_json_scope *scope)
{
    *scope = (struct pk_json_scope){ .first = keys->count };
}

void pk_json_scope_end(struct pk_json_keys *keys, struct pk_json_scope *scope)
{
    keys->count = scope->first;
    pk_free(scope->slot);
    scope->slot = NULL;
}

/* The two halves of the product fold every input bit into every output bit. */
static uint64_t mix(uint64_t a, uint64_t b)
{
    unsigned __int128 product = (unsigned __int128)a * b;
    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

static uint32_t hash_key(uint64_t seed, const char *key, size_t length)
{
    uint64_t hash = seed ^ length;
    while (length > 0) {
        uint64_t word = 0;
        size_t size = length < sizeof(word) ? length : sizeof(word);
        memcpy(&word, key, size);
        hash = mix(hash ^ word, seed | 1) + seed;
        key += size;
        length -= size;
    }
    hash = mix(hash, 0x9E3779B97F4A7C15ULL ^ seed);
    return (uint32_t)(hash ^ (hash >> 32));
}

static bool is_same(const struct pk_buf *output, const struct pk_json_key *a,
                    const struct pk_json_key *b)
{
    return a->length == b->length &&
           memcmp(output->data + a->at, output->data + b->at, a->length) == 0;
}

/* The slot of an equal key, or the free one where it belongs. */
static uint32_t *find_slot(const struct pk_json_keys *keys, const struct pk_json_scope *scope,
                           const struct pk_buf *output, const struct pk_json_key *key)
{
    size_t mask = scope->slot_count - 1;
    size_t i = key->hash & mask;
    while (scope->slot[i]) {
        const struct pk_json_key *other = &keys->key[scope->slot[i] - 1];
        if (other->hash == key->hash && is_same(output, other, key)) {
            break;
        }
        i = (i + 1) & mask;
    }
    return &scope->slot[i];
}

/* Makes the set, or one twice as large, from the keys on the stack. */
static void grow_set(struct pk_json_keys *keys, struct pk_json_scope *scope,
                     const struct pk_buf *output)
{
    bool is_new = !scope->slot;
    if (keys->seed == 0) {
        keys->seed = pk_random_u64() | 1;
    }
    scope->slot_count = is_new ? FIRST_SLOTS : scope->slot_count * 2;
    pk_free(scope->slot);
    scope->slot = pk_calloc(scope->slot_count, sizeof(*scope->slot));
    for (size_t i = scope->first; i < keys->count; i++) {
        struct pk_json_key *key = &keys->key[i];
        if (is_new) {
            key->hash = hash_key(keys->seed, output->data + key->at, key->length);
        }
        *find_slot(keys, scope, output, key) = (uint32_t)i + 1;
    }
}

static bool is_known(struct pk_json_keys *keys, struct pk_json_scope *scope,
                     const struct pk_buf *output, struct pk_json_key *key)
{
    size_t count = keys->count - scope->first;
    if (count < SMALL) {
        for (size_t i = scope->first; i < keys->count; i++) {
            if (is_same(output, &keys->key[i], key)) {
                return true;
            }
        }
        return false;
    }
    if (!scope->slot || count >= scope->slot_count / 2) {
        grow_set(keys, scope, output);
    }
    key->hash = hash_key(keys->seed, output->data + key->at, key->length);
    uint32_t *slot = find_slot(keys, scope, output, key);
    if (*slot) {
        return true;
    }
    *slot = (uint32_t)keys->count + 1; /* Where the caller pushes it. */
    return false;
}

bool pk_json_scope_add(struct pk_json_keys *keys, struct pk_json_scope *scope,
                       const struct pk_buf *output, size_t at, size_t length)
{
    struct pk_json_key key = { .at = (uint32_t)at, .length = (uint32_t)length };
    if (is_known(keys, scope, output, &key)) {
        return false;
    }
    if (keys->count == keys->capacity) {
        keys->capacity = keys->capacity ? keys->capacity * 2 : 32;
        keys->key = pk_realloc(keys->key, keys->capacity * sizeof(*keys->key));
    }
    keys->key[keys->count++] = key;
    return true;
}
