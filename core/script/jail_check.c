/* jail_check.c - Is this BSON such as a script could have given out?
 *
 * A worker that was taken over may send any bytes. What passes here is what
 * encode.c writes and nothing else: { value: <one value> } or { }, of the few
 * types that Lua has, nested no deeper than the call may, keys of objects in
 * strictly ascending order (so none comes twice), keys of lists 0, 1, 2 ...,
 * finite numbers, UTF-8. Whoever reads a result may rely on that.
 *
 * The walk keeps its own small stack: libbson's checks call themselves for each
 * level, and 256 KiB have room for enough levels to end any thread. */
/* SPDX-License-Identifier: MIT */
#include "base/utf8.h"
#include "script/jail_internal.h"

#include <math.h>
#include <string.h>

/* An object or list that is being walked. */
struct level {
    const uint8_t *at, *end; /* 'end' is the closing zero. */
    bool is_list;
    uint32_t count;     /* Elements so far. */
    const uint8_t *key; /* The last one's, NULL: none yet. */
    size_t key_size;
};

struct walk {
    unsigned depth; /* Of 'level' in use. */
    unsigned deepest;
    struct level level[PK_WIRE_DEPTH_MAX];
};

static uint32_t number_at(const uint8_t *data)
{
    uint32_t number;
    memcpy(&number, data, sizeof(number));
    return BSON_UINT32_FROM_LE(number);
}

/* The document at 'data' becomes the innermost level. */
static bool enter(struct walk *walk, const uint8_t *data, size_t room, bool is_list)
{
    const size_t size = room < 5 ? 0 : number_at(data);

    if (size < 5 || size > room || data[size - 1] != 0 || walk->depth == walk->deepest) {
        return false;
    }
    walk->level[walk->depth++] =
        (struct level){ .at = data + 4, .end = data + size - 1, .is_list = is_list };
    return true;
}

static bool is_ascending(const struct level *level, const uint8_t *key, size_t size)
{
    const size_t both = size < level->key_size ? size : level->key_size;
    const int order = level->key ? memcmp(level->key, key, both) : -1;
    return order < 0 || (order == 0 && level->key_size < size);
}

/* Whether the key is this number, written as numbers are. */
static bool is_position(const uint8_t *key, size_t size, uint32_t position)
{
    do {
        if (size == 0 || key[--size] != '0' + position % 10) {
            return false;
        }
        position /= 10;
    } while (position);
    return size == 0;
}

/* Most texts are ASCII, which eight bytes at a time can show. */
static bool is_utf8(const uint8_t *text, size_t size)
{
    uint64_t word = 0, high = 0;
    size_t at = 0;

    for (; at + 8 <= size; at += 8) {
        memcpy(&word, text + at, 8);
        high |= word;
    }
    for (; at < size; at++) {
        high |= text[at];
    }
    return !(high & UINT64_C(0x8080808080808080)) || pk_utf8_check(text, size) == size;
}

static bool key_is_good(struct walk *walk, struct level *level, const uint8_t *key, size_t size)
{
    if (level->is_list) {
        return is_position(key, size, level->count);
    }
    if (walk->depth > 1) { /* It ends at its first NUL, so there is none in it. */
        return is_ascending(level, key, size) && is_utf8(key, size);
    }
    return level->count == 0 && size == 5 && memcmp(key, "value", size) == 0;
}

static bool text_is_good(const uint8_t *data, size_t room, size_t *out_size)
{
    const size_t size = room < 5 ? 0 : number_at(data);
    *out_size = 4 + size;
    return size >= 1 && size <= room - 4 && data[4 + size - 1] == 0 && is_utf8(data + 4, size - 1);
}

static bool binary_is_good(const uint8_t *data, size_t room, size_t *out_size)
{
    const size_t size = room < 5 ? room : number_at(data);
    *out_size = 5 + size;
    return room >= 5 && size <= room - 5 && data[4] != BSON_SUBTYPE_BINARY_DEPRECATED;
}

static bool is_finite(const uint8_t *data)
{
    double number;
    uint64_t bits;
    memcpy(&bits, data, sizeof(bits));
    bits = BSON_UINT64_FROM_LE(bits);
    memcpy(&number, &bits, sizeof(number));
    return isfinite(number) != 0;
}

/* One value of at most 'room' bytes; 'out_size' is what it takes. */
static bool value_is_good(struct walk *walk, uint8_t type, const uint8_t *data, size_t room,
                          size_t *out_size)
{
    switch (type) {
    case BSON_TYPE_NULL:
        *out_size = 0;
        return true;
    case BSON_TYPE_BOOL:
        *out_size = 1;
        return room >= 1 && data[0] <= 1;
    case BSON_TYPE_INT64:
    case BSON_TYPE_DATE_TIME:
        *out_size = 8;
        return room >= 8;
    case BSON_TYPE_DOUBLE:
        *out_size = 8;
        return room >= 8 && is_finite(data);
    case BSON_TYPE_UTF8:
        return text_is_good(data, room, out_size);
    case BSON_TYPE_BINARY:
        return binary_is_good(data, room, out_size);
    case BSON_TYPE_DOCUMENT:
    case BSON_TYPE_ARRAY:
        *out_size = room < 5 ? 0 : number_at(data);
        return enter(walk, data, room, type == BSON_TYPE_ARRAY);
    default:
        return false;
    }
}

static bool element_is_good(struct walk *walk)
{
    struct level *level = &walk->level[walk->depth - 1];
    const uint8_t type = *level->at++;
    const uint8_t *key = level->at;
    const uint8_t *key_end = memchr(key, 0, (size_t)(level->end - key));
    size_t size = 0;

    if (!key_end || !key_is_good(walk, level, key, (size_t)(key_end - key))) {
        return false;
    }
    level->key = key;
    level->key_size = (size_t)(key_end - key);
    level->count++;
    if (!value_is_good(walk, type, key_end + 1, (size_t)(level->end - key_end - 1), &size)) {
        return false;
    }
    level->at = key_end + 1 + size;
    return true;
}

bool jail_value_is_good(const uint8_t *data, size_t size, uint32_t depth)
{
    struct walk walk = { .depth = 0 };

    walk.deepest = depth < PK_WIRE_DEPTH_MAX - 1 ? depth + 1 : PK_WIRE_DEPTH_MAX;
    if (!enter(&walk, data, size, false) || number_at(data) != size) {
        return false;
    }
    while (walk.depth) {
        const struct level *level = &walk.level[walk.depth - 1];
        if (level->at == level->end) {
            walk.depth--;
        } else if (!element_is_good(&walk)) {
            return false;
        }
    }
    return true;
}
