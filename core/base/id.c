/* id.c - Each name is a small grammar; each parser reads it from left to right. */
/* SPDX-License-Identifier: MIT */
#include "base/id.h"

#include "base/crypto.h"

#include <stdatomic.h>
#include <string.h>

enum {
    SCRIPT_ID_MAX = 64,
    TRAIT_PATH_MAX = 200,
    MODEL_DIGITS = 14,
    MODEL_SHORT_MAX = 32,
    LAG_MS = 1000
};

/* Above it a double, which JSON and Lua count with, is no longer exact. */
static const uint64_t semver_number_max = ((uint64_t)1 << 53) - 1;

/* The machine's locale has no say in what a name is, so not <ctype.h>. */
static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_lower(char c)
{
    return c >= 'a' && c <= 'z';
}

static bool is_alnum(char c)
{
    return is_digit(c) || is_lower(c) || (c >= 'A' && c <= 'Z');
}

static bool is_hex(char c)
{
    return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

/* Sets version and variant, and writes it. */
static void print_uuid(uint8_t byte[16], char *out)
{
    static const uint8_t part[] = { 4, 2, 2, 2, 6 }; /* Bytes between the dashes. */
    const uint8_t *at = byte;

    byte[6] = (uint8_t)((byte[6] & 0x0f) | 0x40); /* Version 4. */
    byte[8] = (uint8_t)((byte[8] & 0x3f) | 0x80); /* RFC 4122's variant. */
    for (size_t i = 0; i < sizeof(part); i++) {
        pk_hex(out, at, part[i]);
        out += 2 * part[i];
        at += part[i];
        *out++ = '-';
    }
    out[-1] = '\0';
}

void pk_uuid_new(char out[PK_UUID_TEXT])
{
    uint8_t byte[16];
    pk_random(byte, sizeof(byte));
    print_uuid(byte, out);
}

/* The next of this process: milliseconds and, in the low 12 bits, a count within them. A clock that
 * lags a little goes on counting; one that was set back begins anew. */
static uint64_t next_tick(int64_t wall_ms)
{
    static _Atomic uint64_t last;
    const uint64_t now = (uint64_t)wall_ms << 12;
    uint64_t before = atomic_load(&last);
    uint64_t tick;
    do {
        const bool lags = now <= before && before - now < (uint64_t)LAG_MS << 12;
        tick = lags ? before + 1 : now;
    } while (!atomic_compare_exchange_weak(&last, &before, tick));
    return tick;
}

void pk_uuid_ordered(int64_t wall_ms, char out[PK_UUID_TEXT])
{
    const uint64_t tick = next_tick(wall_ms);
    uint8_t byte[16];
    pk_random(byte, sizeof(byte));
    for (int i = 0; i < 6; i++) {
        byte[i] = (uint8_t)(tick >> (12 + 8 * (5 - i)));
    }
    byte[6] = (uint8_t)(tick >> 8) & 0x0f;
    byte[7] = (uint8_t)tick;
    print_uuid(byte, out);
}

bool pk_uuid_is_v4(const char *text, size_t length)
{
    if (length != PK_UUID_TEXT - 1) {
        return false;
    }
    for (size_t i = 0; i < length; i++) {
        bool is_dash = i == 8 || i == 13 || i == 18 || i == 23;
        if (is_dash ? text[i] != '-' : !is_hex(text[i])) {
            return false;
        }
    }
    return text[14] == '4' && memchr("89abAB", text[19], 6) != NULL;
}

bool pk_script_id_is_valid(const char *text, size_t length)
{
    if (length < 1 || length > SCRIPT_ID_MAX) {
        return false;
    }
    for (size_t i = 0; i < length; i++) {
        bool is_inner = i > 0 && (text[i] == '_' || text[i] == '-');
        if (!is_lower(text[i]) && !is_digit(text[i]) && !is_inner) {
            return false;
        }
    }
    return true;
}

bool pk_trait_path_is_valid(const char *text, size_t length)
{
    char before = '.'; /* As if a segment had just ended: none may be empty. */

    if (length < 1 || length > TRAIT_PATH_MAX) {
        return false;
    }
    for (size_t i = 0; i < length; i++) {
        if (text[i] == '.' ? before == '.'
                           : !is_alnum(text[i]) && text[i] != '_' && text[i] != '-') {
            return false;
        }
        before = text[i];
    }
    return before != '.';
}

bool pk_model_version_is_valid(const char *text, size_t length)
{
    const size_t head = 2 + MODEL_DIGITS + 1; /* "v_" digits "_" */

    if (pk_uuid_is_v4(text, length)) {
        return true;
    }
    if (length <= head || length > head + MODEL_SHORT_MAX || memcmp(text, "v_", 2) != 0 ||
        text[head - 1] != '_') {
        return false;
    }
    for (size_t i = 2; i < length; i++) {
        if (i < head - 1 ? !is_digit(text[i]) : i >= head && !is_alnum(text[i])) {
            return false;
        }
    }
    return true;
}

/* What is left to read. */
struct cursor {
    const char *at;
    const char *end;
};

static bool take_char(struct cursor *cursor, char c)
{
    if (cursor->at == cursor->end || *cursor->at != c) {
        return false;
    }
    cursor->at++;
    return true;
}

/* A number without leading zeros. */
static bool take_number(struct cursor *cursor, uint64_t *out)
{
    const char *first = cursor->at;
    uint64_t value = 0;

    for (; cursor->at < cursor->end && is_digit(*cursor->at); cursor->at++) {
        value = value * 10 + (uint64_t)(*cursor->at - '0');
        if (value > semver_number_max) {
            return false;
        }
    }
    *out = value;
    return cursor->at > first && (*first != '0' || cursor->at == first + 1);
}

/* Dot-separated identifiers of [0-9A-Za-z-]+; in a pre-release those of digits alone are
 * numbers, which have no leading zeros. */
static bool take_identifiers(struct cursor *cursor, bool is_pre, char *out, size_t out_size)
{
    const char *first = cursor->at;

    do {
        const char *start = cursor->at;
        bool is_number = true;
        for (; cursor->at < cursor->end && (is_alnum(*cursor->at) || *cursor->at == '-');
             cursor->at++) {
            is_number = is_number && is_digit(*cursor->at);
        }
        if (cursor->at == start) {
            return false;
        }
        if (is_pre && is_number && *start == '0' && cursor->at > start + 1) {
            return false;
        }
    } while (take_char(cursor, '.'));

    size_t size = (size_t)(cursor->at - first);
    if (size >= out_size) {
        return false;
    }
    memcpy(out, first, size);
    out[size] = '\0';
    return true;
}

bool pk_semver_parse(const char *text, size_t length, struct pk_semver *out)
{
    struct cursor cursor = { text, text + length };
    struct pk_semver version = { 0 };

    if (!take_number(&cursor, &version.major) || !take_char(&cursor, '.') ||
        !take_number(&cursor, &version.minor) || !take_char(&cursor, '.') ||
        !take_number(&cursor, &version.patch)) {
        return false;
    }
    if (take_char(&cursor, '-') &&
        !take_identifiers(&cursor, true, version.pre, sizeof(version.pre))) {
        return false;
    }
    if (take_char(&cursor, '+') &&
        !take_identifiers(&cursor, false, version.build, sizeof(version.build))) {
        return false;
    }
    if (cursor.at != cursor.end) {
        return false;
    }
    *out = version;
    return true;
}

static int compare_numbers(uint64_t a, uint64_t b)
{
    return (a > b) - (a < b);
}

static bool is_number(const char *text, size_t length)
{
    for (size_t i = 0; i < length; i++) {
        if (!is_digit(text[i])) {
            return false;
        }
    }
    return true;
}

/* One identifier of a pre-release against another: numbers below words, numbers by value (no
 * leading zeros, so the longer is the larger), words by their bytes. */
static int compare_identifiers(const char *a, size_t a_length, const char *b, size_t b_length)
{
    bool a_is_number = is_number(a, a_length);
    bool b_is_number = is_number(b, b_length);

    if (a_is_number != b_is_number) {
        return a_is_number ? -1 : 1;
    }
    if (a_is_number && a_length != b_length) {
        return a_length < b_length ? -1 : 1;
    }
    int order = memcmp(a, b, a_length < b_length ? a_length : b_length);
    return order ? order : compare_numbers(a_length, b_length);
}

static int compare_pre(const char *a, const char *b)
{
    if (!*a || !*b) { /* A release is above its pre-releases. */
        return (*b != '\0') - (*a != '\0');
    }
    for (;;) {
        size_t a_length = strcspn(a, ".");
        size_t b_length = strcspn(b, ".");
        int order = compare_identifiers(a, a_length, b, b_length);
        if (order) {
            return order;
        }
        a += a_length;
        b += b_length;
        if (!*a || !*b) { /* The one with more identifiers is above. */
            return (*a != '\0') - (*b != '\0');
        }
        a++;
        b++;
    }
}

int pk_semver_compare(const struct pk_semver *a, const struct pk_semver *b)
{
    int order = compare_numbers(a->major, b->major);
    order = order ? order : compare_numbers(a->minor, b->minor);
    order = order ? order : compare_numbers(a->patch, b->patch);
    return order ? order : compare_pre(a->pre, b->pre);
}
