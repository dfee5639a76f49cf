/* line.h - One JSON object on one line, built on the stack.
 *
 *     struct pk_line line;
 *     pk_line_begin(&line, wall_ms, "info", "request");
 *     pk_line_text(&line, "path", path, 512);
 *     pk_line_int(&line, "status", 200);
 *     pk_line_end(&line);                    line.text, line.size
 *
 * The same rules as base/log.h, without its memory: values are data and cannot
 * forge a line or a field, secrets in them are masked, and what is too long is
 * cut. A field that finds no room is left out. Keys are literals. */
/* SPDX-License-Identifier: MIT */
#ifndef PK_OPS_LINE_H
#define PK_OPS_LINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct pk_line {
    size_t size; /* Bytes of 'text' in use. */
    char text[4096];
};

void pk_line_begin(struct pk_line *line, int64_t wall_ms, const char *level, const char *event);
/* 'max': bytes of the value as it is written, without quotes. NULL: no such field. */
void pk_line_text(struct pk_line *line, const char *key, const char *text, size_t max);
void pk_line_int(struct pk_line *line, const char *key, int64_t number);
void pk_line_bool(struct pk_line *line, const char *key, bool is_true);
void pk_line_end(struct pk_line *line); /* With a newline. */

#endif
