/* utf8.c - UTF-8 by the table of RFC 3629, section 4.
 *
 * The second byte decides: its allowed range depends on the first one, and
 * that alone excludes overlong forms (E0, F0), surrogates (ED) and code points
 * above U+10FFFF (F4). All further bytes are 80..BF. */
/* SPDX-License-Identifier: MIT */
#include "base/utf8.h"

#include <string.h>

/* What may follow a first byte; rows in ascending order of 'first'. */
static const struct {
    uint8_t first, last; /* First bytes that this row is for. */
    uint8_t low, high;   /* Range of the second byte. */
    uint8_t size;        /* Bytes of the character. */
} row_table[] = {
    { 0xC2, 0xDF, 0x80, 0xBF, 2 }, { 0xE0, 0xE0, 0xA0, 0xBF, 3 }, { 0xE1, 0xEC, 0x80, 0xBF, 3 },
    { 0xED, 0xED, 0x80, 0x9F, 3 }, { 0xEE, 0xEF, 0x80, 0xBF, 3 }, { 0xF0, 0xF0, 0x90, 0xBF, 4 },
    { 0xF1, 0xF3, 0x80, 0xBF, 4 }, { 0xF4, 0xF4, 0x80, 0x8F, 4 },
};

size_t pk_utf8_step(const uint8_t *text, size_t length)
{
    if (length == 0) {
        return 0;
    }
    if (text[0] < 0x80) {
        return 1;
    }
    for (size_t i = 0; i < sizeof(row_table) / sizeof(row_table[0]); i++) {
        if (text[0] < row_table[i].first || text[0] > row_table[i].last) {
            continue;
        }
        size_t size = row_table[i].size;
        if (length < size || text[1] < row_table[i].low || text[1] > row_table[i].high) {
            return 0;
        }
        for (size_t k = 2; k < size; k++) {
            if ((text[k] & 0xC0) != 0x80) {
                return 0;
            }
        }
        return size;
    }
    return 0;
}

uint32_t pk_utf8_point(const uint8_t *text, size_t size)
{
    uint32_t point = size == 1 ? text[0] : text[0] & (0x7FU >> size);
    for (size_t i = 1; i < size; i++) {
        point = point << 6 | (text[i] & 0x3FU);
    }
    return point;
}

size_t pk_utf8_check(const uint8_t *text, size_t length)
{
    size_t at = 0;
    while (at < length) {
        /* Most text is ASCII: eight bytes at a time have no top bit. */
        uint64_t word;
        if (length - at >= sizeof(word)) {
            memcpy(&word, text + at, sizeof(word));
            if ((word & 0x8080808080808080ULL) == 0) {
                at += sizeof(word);
                continue;
            }
        }
        size_t step = pk_utf8_step(text + at, length - at);
        if (step == 0) {
            return at;
        }
        at += step;
    }
    return length;
}

size_t pk_utf8_cut(const uint8_t *text, size_t length, size_t max)
{
    if (length <= max) {
        return length;
    }
    while (max > 0 && (text[max] & 0xC0) == 0x80) {
        max--;
    }
    return max;
}

size_t pk_utf8_put(char out[4], uint32_t code_point)
{
    if (code_point < 0x80) {
        out[0] = (char)code_point;
        return 1;
    }
    if (code_point < 0x800) {
        out[0] = (char)(0xC0 | (code_point >> 6));
        out[1] = (char)(0x80 | (code_point & 0x3F));
        return 2;
    }
    if (code_point < 0x10000) {
        out[0] = (char)(0xE0 | (code_point >> 12));
        out[1] = (char)(0x80 | ((code_point >> 6) & 0x3F));
        out[2] = (char)(0x80 | (code_point & 0x3F));
        return 3;
    }
    out[0] = (char)(0xF0 | (code_point >> 18));
    out[1] = (char)(0x80 | ((code_point >> 12) & 0x3F));
    out[2] = (char)(0x80 | ((code_point >> 6) & 0x3F));
    out[3] = (char)(0x80 | (code_point & 0x3F));
    return 4;
}
