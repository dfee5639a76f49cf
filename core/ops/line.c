/* line.c - Escape into fixed memory, and stop before it is full.
 *
 * A field is written behind what is there, and counts only when all of it fits
 * with room for the end of the line. Masking needs memory (text.h), so a value
 * is only masked when it has what all secrets have: "pk_" or "://". */
/* SPDX-License-Identifier: MIT */
#include "ops/line.h"

#include "base/alloc.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/text.h"
#include "base/utf8.h"

#include <stdio.h>
#include <string.h>

enum {
    END = 2,        /* "}\n" */
    ESCAPE_MAX = 6, /* \u001f */
    CUT = 3         /* "..." */
};

static bool has_room(const struct pk_line *line, size_t size)
{
    return line->size + size + END <= sizeof(line->text);
}

/* Adds bytes that fit by the caller's account. */
static void put(struct pk_line *line, const char *data, size_t size)
{
    memcpy(line->text + line->size, data, size);
    line->size += size;
}

/* ,"key": */
static bool put_key(struct pk_line *line, const char *key, size_t value_max)
{
    const size_t size = strlen(key);
    if (!has_room(line, size + 4 + value_max)) {
        return false;
    }
    put(line, ",\"", 2);
    put(line, key, size);
    put(line, "\":", 2);
    return true;
}

/* The next character of 'text' as JSON; returns its bytes there. */
static size_t escape(const char *text, size_t size, char out[ESCAPE_MAX + 1], size_t *out_size)
{
    static const char from[] = "\"\\\n\r\t";
    static const char to[] = "\"\\nrt";
    const size_t step = pk_utf8_step((const uint8_t *)text, size);
    const char *special = *text ? strchr(from, *text) : NULL;

    if (step == 0) {
        memcpy(out, "\xef\xbf\xbd", 3); /* U+FFFD */
        *out_size = 3;
        return 1;
    }
    if (special) {
        out[0] = '\\';
        out[1] = to[special - from];
        *out_size = 2;
    } else if ((unsigned char)*text < ' ') {
        *out_size = (size_t)snprintf(out, ESCAPE_MAX + 1, "\\u%04x", (unsigned char)*text);
    } else {
        memcpy(out, text, step);
        *out_size = step;
    }
    return step;
}

/* How many of the first bytes stand for themselves. */
static size_t plain_run(const char *text, size_t size)
{
    size_t run = 0;
    while (run < size && text[run] >= ' ' && text[run] < 0x7f && text[run] != '"' &&
           text[run] != '\\') {
        run++;
    }
    return run;
}

/* Only what does not fit whole is cut, where there is still room for the dots. */
static void put_escaped(struct pk_line *line, const char *text, size_t size, size_t max)
{
    const size_t start = line->size;
    size_t cut = start;
    for (size_t i = 0; i < size;) {
        char one[ESCAPE_MAX + 1];
        const char *piece = text + i;
        size_t piece_size = plain_run(piece, size - i);
        const bool is_plain = piece_size > 0;
        const size_t used = line->size - start;
        i += is_plain ? piece_size : escape(text + i, size - i, one, &piece_size);
        if (is_plain && used + CUT <= max) { /* It may be cut anywhere. */
            const size_t most = max - CUT - used;
            cut = line->size + (piece_size < most ? piece_size : most);
        }
        if (used + piece_size > max) {
            put(line, piece, is_plain ? max - used : 0);
            line->size = cut;
            put(line, "...", CUT);
            return;
        }
        put(line, is_plain ? piece : one, piece_size);
        cut = used + piece_size + CUT <= max ? line->size : cut;
    }
}

void pk_line_text(struct pk_line *line, const char *key, const char *text, size_t max)
{
    PK_CLEANUP(pk_buf_done) struct pk_buf masked = { 0 };
    if (!text || !put_key(line, key, max + 2)) {
        return;
    }
    size_t size = strlen(text);
    if (strstr(text, "pk_") || strstr(text, "://")) {
        pk_text_mask(&masked, text, size);
        text = pk_buf_text(&masked);
        size = masked.size;
    }
    put(line, "\"", 1);
    put_escaped(line, text, size, max);
    put(line, "\"", 1);
}

void pk_line_int(struct pk_line *line, const char *key, int64_t number)
{
    char digits[24];
    size_t at = sizeof(digits);
    uint64_t rest = number < 0 ? 0 - (uint64_t)number : (uint64_t)number;
    do {
        digits[--at] = (char)('0' + rest % 10);
        rest /= 10;
    } while (rest > 0);
    if (number < 0) {
        digits[--at] = '-';
    }
    if (put_key(line, key, sizeof(digits) - at)) {
        put(line, digits + at, sizeof(digits) - at);
    }
}

void pk_line_bool(struct pk_line *line, const char *key, bool is_true)
{
    const char *word = is_true ? "true" : "false";
    if (put_key(line, key, strlen(word))) {
        put(line, word, strlen(word));
    }
}

void pk_line_begin(struct pk_line *line, int64_t wall_ms, const char *level, const char *event)
{
    char time[PK_TIME_TEXT];
    pk_time_format(wall_ms, time);
    line->size =
        (size_t)snprintf(line->text, sizeof(line->text),
                         "{\"time\":\"%s\",\"level\":\"%s\",\"msg\":\"%s\"", time, level, event);
}

void pk_line_end(struct pk_line *line)
{
    put(line, "}\n", END);
}
