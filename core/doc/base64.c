/* base64.c - Three bytes become four characters of six bits each. */
/* SPDX-License-Identifier: MIT */
#include "doc/base64.h"

#include "base/buf.h"

#include <string.h>

static const char digit_table[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

void pk_base64_add(struct pk_buf *buf, const uint8_t *data, size_t size)
{
    for (size_t i = 0; i < size; i += 3) {
        size_t left = size - i;
        uint32_t bits = (uint32_t)data[i] << 16;
        bits |= left > 1 ? (uint32_t)data[i + 1] << 8 : 0;
        bits |= left > 2 ? data[i + 2] : 0;
        char out[4] = {
            digit_table[bits >> 18],
            digit_table[(bits >> 12) & 63],
            left > 1 ? digit_table[(bits >> 6) & 63] : '=',
            left > 2 ? digit_table[bits & 63] : '=',
        };
        pk_buf_add(buf, out, sizeof(out));
    }
}

/* 0 to 63, or -1. */
static int value_of(char c)
{
    if (c >= 'A' && c <= 'Z') {
        return c - 'A';
    }
    if (c >= 'a' && c <= 'z') {
        return c - 'a' + 26;
    }
    if (c >= '0' && c <= '9') {
        return c - '0' + 52;
    }
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

/* One group of four, of which 'count' are not padding. */
static bool read_group(struct pk_buf *buf, const char *text, size_t count)
{
    uint32_t bits = 0;
    for (size_t i = 0; i < 4; i++) {
        int value = i < count ? value_of(text[i]) : 0;
        if (value < 0) {
            return false;
        }
        bits = bits << 6 | (uint32_t)value;
    }
    char out[3] = { (char)(bits >> 16), (char)(bits >> 8), (char)bits };
    size_t size = count - 1;
    uint32_t behind = size == 3 ? 0 : bits & ((1U << (24 - 8 * size)) - 1);
    if (behind) {
        return false;
    }
    pk_buf_add(buf, out, size);
    return true;
}

bool pk_base64_read(struct pk_buf *buf, const char *text, size_t length)
{
    size_t start = buf->size;
    bool is_ok = length % 4 == 0;
    for (size_t i = 0; is_ok && i < length; i += 4) {
        size_t count = 4;
        if (i + 4 == length && text[i + 3] == '=') {
            count = text[i + 2] == '=' ? 2 : 3;
        }
        is_ok = read_group(buf, text + i, count);
    }
    if (!is_ok) {
        buf->size = start;
    }
    return is_ok;
}
