/* text.c - One loop over characters for each use; the bytes are never trusted. */
/* SPDX-License-Identifier: MIT */
#include "base/text.h"

#include "base/buf.h"
#include "base/utf8.h"

#include <stdint.h>
#include <string.h>

enum {
    KEY_SECRET_SEEN = 8, /* Letters of a secret from which on it is hidden: fewer tell nothing. */
    DISTANCE_MAX = 64    /* Longest text that is compared. */
};

/* The bytes of the UTF-8 character at 'at' and its code point; 0 when it is not one. */
static size_t decode(const char *at, size_t left, uint32_t *out_point)
{
    size_t size = pk_utf8_step((const uint8_t *)at, left);
    *out_point = size ? pk_utf8_point((const uint8_t *)at, size) : 0;
    return size;
}

/* Characters that a terminal or an editor obeys instead of showing them. */
static bool is_obeyed(uint32_t point)
{
    return point < 0x20 || (point >= 0x7f && point <= 0x9f) || point == 0x061c ||
           (point >= 0x200e && point <= 0x200f) || (point >= 0x2028 && point <= 0x202e) ||
           (point >= 0x2066 && point <= 0x2069) || point == 0xfeff;
}

/* The letter behind the backslash, or 0. */
static char short_escape(uint32_t point)
{
    return point == '\n' ? 'n' : point == '\r' ? 'r' : point == '\t' ? 't' : 0;
}

void pk_text_json(struct pk_buf *buf, const char *text, size_t size)
{
    uint32_t point = 0;

    pk_buf_add_char(buf, '"');
    for (size_t at = 0; at < size;) {
        size_t n = decode(text + at, size - at, &point);
        if (n == 0) {
            pk_buf_add_text(buf, "\xef\xbf\xbd");
            n = 1;
        } else if (point == '"' || point == '\\') {
            pk_buf_add_char(buf, '\\');
            pk_buf_add_char(buf, (char)point);
        } else if (short_escape(point)) {
            pk_buf_add_char(buf, '\\');
            pk_buf_add_char(buf, short_escape(point));
        } else if (is_obeyed(point)) {
            pk_buf_printf(buf, "\\u%04x", (unsigned)point);
        } else {
            pk_buf_add(buf, text + at, n);
        }
        at += n;
    }
    pk_buf_add_char(buf, '"');
}

void pk_text_escape(struct pk_buf *buf, const char *text, size_t size, bool quotes)
{
    uint32_t point = 0;

    for (size_t at = 0; at < size;) {
        size_t n = decode(text + at, size - at, &point);
        if (n == 0) {
            pk_buf_printf(buf, "\\x%02x", (unsigned)(uint8_t)text[at]);
            n = 1;
        } else if (point == '\\' || (quotes && point == '"')) {
            pk_buf_add_char(buf, '\\');
            pk_buf_add_char(buf, (char)point);
        } else if (short_escape(point)) {
            pk_buf_add_char(buf, '\\');
            pk_buf_add_char(buf, short_escape(point));
        } else if (is_obeyed(point)) {
            pk_buf_printf(buf, point < 0x80 ? "\\x%02x" : "\\u%04x", (unsigned)point);
        } else {
            pk_buf_add(buf, text + at, n);
        }
        at += n;
    }
}

void pk_text_clean(struct pk_buf *buf, const char *text, size_t size)
{
    uint32_t point = 0;

    for (size_t at = 0; at < size;) {
        size_t n = decode(text + at, size - at, &point);
        if (n == 0 || (is_obeyed(point) && point != '\n')) {
            pk_buf_add_text(buf, "\xef\xbf\xbd");
        } else {
            pk_buf_add(buf, text + at, n);
        }
        at += n ? n : 1;
    }
}

static bool is_key_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

static size_t count_letters(const char *text, size_t size)
{
    size_t n = 0;
    while (n < size && is_key_letter(text[n])) {
        n++;
    }
    return n;
}

/* At "pk_<id>_<secret>": how long "pk_<id>_" and the whole are; false when it is none. */
static bool find_key(const char *text, size_t size, size_t *out_shown, size_t *out_whole)
{
    if (size < 4 || memcmp(text, "pk_", 3) != 0) {
        return false;
    }
    size_t id = count_letters(text + 3, size - 3);
    size_t shown = 3 + id + 1;
    if (id == 0 || shown > size || text[shown - 1] != '_') {
        return false;
    }
    size_t secret = count_letters(text + shown, size - shown);
    *out_shown = shown;
    *out_whole = shown + secret;
    return secret >= KEY_SECRET_SEEN;
}

/* At "://me:secret@host": how long "://me:" is, and with the secret. A password that should have
 * been percent-encoded may hold '/', ':' or '@': so the last '@' before a space counts. */
static bool find_password(const char *text, size_t size, size_t *out_shown, size_t *out_whole)
{
    const char *colon = NULL;
    const char *at = NULL;

    if (size < 3 || memcmp(text, "://", 3) != 0) {
        return false;
    }
    for (const char *c = text + 3; c < text + size && (uint8_t)*c > ' '; c++) {
        if (*c == ':' && !colon) {
            colon = c;
        }
        if (*c == '@') {
            at = c;
        }
    }
    if (!colon || !at || colon > at) {
        return false;
    }
    *out_shown = (size_t)(colon - text) + 1;
    *out_whole = (size_t)(at - text);
    return true;
}

void pk_text_mask(struct pk_buf *buf, const char *text, size_t size)
{
    size_t shown = 0;
    size_t whole = 0;
    size_t copied = 0;

    for (size_t at = 0; at < size;) {
        const char *rest = text + at;
        bool is_secret = (*rest == 'p' && find_key(rest, size - at, &shown, &whole)) ||
                         (*rest == ':' && find_password(rest, size - at, &shown, &whole));
        if (!is_secret) {
            at++;
            continue;
        }
        pk_buf_add(buf, text + copied, at - copied + shown);
        pk_buf_add_text(buf, "***");
        at += whole;
        copied = at;
    }
    pk_buf_add(buf, text + copied, size - copied);
}

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* Case and the kind of dash make no difference. */
static char fold(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c == '-' ? '_' : c;
}

size_t pk_text_distance(const char *a, const char *b, size_t limit)
{
    /* Optimal string alignment: three rows of the table of all prefixes against all prefixes.
     * row[i % 3][j] is the distance from the first i letters of 'a' to the first j of 'b'. */
    size_t row[3][DISTANCE_MAX + 1];
    size_t a_size = strnlen(a, DISTANCE_MAX + 1);
    size_t b_size = strnlen(b, DISTANCE_MAX + 1);

    if (a_size > DISTANCE_MAX || b_size > DISTANCE_MAX) {
        return limit;
    }
    for (size_t j = 0; j <= b_size; j++) {
        row[0][j] = j;
    }
    for (size_t i = 1; i <= a_size; i++) {
        size_t *now = row[i % 3];
        const size_t *before = row[(i - 1) % 3];
        now[0] = i;
        for (size_t j = 1; j <= b_size; j++) {
            size_t changed = before[j - 1] + (fold(a[i - 1]) != fold(b[j - 1]));
            now[j] = least(changed, least(before[j], now[j - 1]) + 1);
            if (i > 1 && j > 1 && fold(a[i - 1]) == fold(b[j - 2]) &&
                fold(a[i - 2]) == fold(b[j - 1])) {
                now[j] = least(now[j], row[(i - 2) % 3][j - 2] + 1);
            }
        }
    }
    return least(row[a_size % 3][b_size], limit);
}
