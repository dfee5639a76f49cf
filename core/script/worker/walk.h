/* walk.h - A step from one element of a BSON document to the next, without a call.
 *
 *     struct walk_at at;
 *     for (walk_into(&at, data, size); walk_next(&at);) { ... at.type, at.key, at.value ... }
 *
 * For lists of hundreds of traits, where a look at each field costs more than
 * all the rest: by the server, which cuts a mindscape down to what a script
 * names, and by the worker, which reads it. What is walked was checked before;
 * a size that leads out of the document ends the walk all the same. Only such
 * types are known as documents of ours have; another ends the walk. */
/* SPDX-License-Identifier: MIT */
#ifndef PK_SCRIPT_WORKER_WALK_H
#define PK_SCRIPT_WORKER_WALK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* Numbers of the BSON specification. */
enum {
    WALK_DOUBLE = 0x01,
    WALK_TEXT = 0x02,
    WALK_DOCUMENT = 0x03,
    WALK_ARRAY = 0x04,
    WALK_BINARY = 0x05,
    WALK_ID = 0x07,
    WALK_BOOL = 0x08,
    WALK_DATE = 0x09,
    WALK_NULL = 0x0a,
    WALK_INT32 = 0x10,
    WALK_TIMESTAMP = 0x11,
    WALK_INT64 = 0x12,
    WALK_DECIMAL = 0x13,
};

#define WALK_IS_LITTLE (__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__)

/* An element, and where the walk is. */
struct walk_at {
    const uint8_t *next, *end; /* Of the document, without its closing zero. */
    const uint8_t *start;      /* The element's first byte: its type. */
    const char *key;
    const uint8_t *value;
    size_t key_size;
    size_t size; /* Of the value. */
    uint8_t type;
};

static inline uint32_t walk_number(const uint8_t *data)
{
    return (uint32_t)data[0] | (uint32_t)data[1] << 8 | (uint32_t)data[2] << 16 |
           (uint32_t)data[3] << 24;
}

/* Bytes of a value of which 'room' are there; SIZE_MAX: it is none that we know. */
static inline size_t walk_size(uint8_t type, const uint8_t *value, size_t room)
{
    switch (type) {
    case WALK_DOUBLE:
    case WALK_DATE:
    case WALK_INT64:
    case WALK_TIMESTAMP:
        return 8;
    case WALK_INT32:
        return 4;
    case WALK_BOOL:
        return 1;
    case WALK_NULL:
        return 0;
    case WALK_ID:
        return 12;
    case WALK_DECIMAL:
        return 16;
    case WALK_TEXT:
        return room < 5 ? SIZE_MAX : 4 + (size_t)walk_number(value);
    case WALK_BINARY:
        return room < 5 ? SIZE_MAX : 5 + (size_t)walk_number(value);
    case WALK_DOCUMENT:
    case WALK_ARRAY:
        return room < 5 || walk_number(value) < 5 ? SIZE_MAX : (size_t)walk_number(value);
    default:
        return SIZE_MAX;
    }
}

/* Where the text at 'at' ends: at its NUL, or at 'end'. Eight bytes at a time. */
static inline const uint8_t *walk_text_end(const uint8_t *at, const uint8_t *end)
{
    for (; end - at >= 8; at += 8) {
        uint64_t word;
        memcpy(&word, at, 8);
        const uint64_t zero =
            (word - UINT64_C(0x0101010101010101)) & ~word & UINT64_C(0x8080808080808080);
        if (zero) { /* The lowest bit that is set is right, in little endian. */
            return at +
                   (WALK_IS_LITTLE ? __builtin_ctzll(zero) / 8 : (int)strnlen((const char *)at, 8));
        }
    }
    while (at < end && *at) {
        at++;
    }
    return at;
}

/* Sets out on a document of 'size' bytes. */
static inline void walk_into(struct walk_at *at, const uint8_t *data, size_t size)
{
    const bool is_good = size >= 5 && walk_number(data) <= size && walk_number(data) >= 5;
    at->next = data + 4;
    at->end = is_good ? data + walk_number(data) - 1 : data + 4;
}

static inline bool walk_next(struct walk_at *at)
{
    const uint8_t *to = at->next;

    at->start = to;
    if (to >= at->end) {
        return false;
    }
    at->type = *to++;
    at->key = (const char *)to;
    to = walk_text_end(to, at->end);
    at->key_size = (size_t)(to - (const uint8_t *)at->key);
    if (to >= at->end) {
        return false;
    }
    at->value = ++to;
    const size_t room = (size_t)(at->end - to);
    at->size = walk_size(at->type, to, room);
    if (at->size > room) {
        return false;
    }
    at->next = to + at->size;
    return true;
}

static inline bool walk_is(const struct walk_at *at, const char *key, size_t size)
{
    return at->key_size == size && memcmp(at->key, key, size) == 0;
}

/* A text's bytes; it has one for its NUL beside 'out_size'. */
static inline const char *walk_text(const struct walk_at *at, size_t *out_size)
{
    *out_size = at->size > 4 ? at->size - 5 : 0;
    return (const char *)at->value + 4;
}

/* ---- Traits ---- */

static inline uint64_t walk_mix(uint64_t hash, uint64_t word)
{
    hash = (hash ^ word) * UINT64_C(0xff51afd7ed558ccd);
    return hash ^ hash >> 32;
}

/* Hash of an id. Its last eight bytes are taken as one, also when some of them were taken before.
 */
static inline uint32_t walk_hash(const char *text, size_t size)
{
    uint64_t hash = UINT64_C(0x9e3779b97f4a7c15) ^ size;
    uint64_t word = 0;

    if (size < 8) {
        for (size_t i = 0; i < size; i++) {
            word = word << 8 | (uint8_t)text[i];
        }
        return (uint32_t)walk_mix(hash, word);
    }
    for (size_t i = 0; i + 8 < size; i += 8) {
        memcpy(&word, text + i, 8);
        hash = walk_mix(hash, word);
    }
    memcpy(&word, text + size - 8, 8);
    return (uint32_t)walk_mix(hash, word);
}

/* Whether two texts of that size are the same. */
static inline bool walk_equal(const char *one, const char *other, size_t size)
{
    uint64_t a, b;

    if (size < 8) {
        return memcmp(one, other, size) == 0;
    }
    for (size_t i = 0; i + 8 < size; i += 8) {
        memcpy(&a, one + i, 8);
        memcpy(&b, other + i, 8);
        if (a != b) {
            return false;
        }
    }
    memcpy(&a, one + size - 8, 8);
    memcpy(&b, other + size - 8, 8);
    return a == b;
}

static inline bool walk_is_id(const struct walk_at *at)
{
    return at->type == WALK_TEXT && (walk_is(at, "id", 2) || walk_is(at, "traitName", 9));
}

/* The id of a trait's document, in 'id' or 'traitName': the first of them that is a text. It stands
 * first, mostly. */
static inline bool walk_id(const uint8_t *data, size_t size, const char **out, size_t *out_size)
{
    struct walk_at at;

    for (walk_into(&at, data, size); walk_next(&at);) {
        if (walk_is_id(&at)) {
            *out = walk_text(&at, out_size);
            return true;
        }
    }
    return false;
}

#endif
