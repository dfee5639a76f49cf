/* log.h - What happened, as an event with typed fields.
 *
 *     pk_log_info(log, "store opened", PK_STR("engine", name), PK_NUM("ms", took_ms));
 *
 * writes, on a terminal or with PK_LOG_TEXT,
 *
 *     2026-11-21T07:32:00.123Z INFO  store opened  engine=sqlite ms=12
 *
 * and otherwise one JSON object a line: time, level, msg, then the fields.
 *
 * The event and the keys are literals (the macros insist): nothing from outside
 * is ever a format. Values are data: no value can forge a line, a field or a
 * terminal sequence. Secrets are masked in every value (text.h says which); a
 * PK_SECRET value is not even looked at. Values are cut at 4 KiB.
 *
 * A NULL log logs nothing. Any thread; a line is one write(2). What is below
 * the level costs one load: its fields are not evaluated. */
/* SPDX-License-Identifier: MIT */
#ifndef PK_BASE_LOG_H
#define PK_BASE_LOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct pk_clock;
struct pk_error;
struct pk_log; /* Opaque. */

enum pk_log_level { PK_LOG_DEBUG, PK_LOG_INFO, PK_LOG_WARN, PK_LOG_ERROR };

enum pk_log_format {
    PK_LOG_AUTO, /* Text when 'fd' is a terminal (in colour, unless NO_COLOR is set), else JSON. */
    PK_LOG_TEXT, /* Colour only on a terminal. */
    PK_LOG_JSON
};

struct pk_log_options {
    const struct pk_clock *clock; /* NULL: the system's. */
    int fd;                       /* Where lines go; stays the caller's. */
    enum pk_log_level level;      /* The least that is written. */
    enum pk_log_format format;
};

struct pk_log *pk_log_new(const struct pk_log_options *options);
void pk_log_free(struct pk_log *log);

bool pk_log_is_on(const struct pk_log *log, enum pk_log_level level);
void pk_log_set_level(struct pk_log *log, enum pk_log_level level);
/* Lines lost because 'fd' took none: a full disk, a reader that stopped reading. */
uint64_t pk_log_dropped(const struct pk_log *log);

/* The names that the settings log.level and log.format use. False: no such name. */
bool pk_log_level_parse(const char *name, enum pk_log_level *out);
bool pk_log_format_parse(const char *name, enum pk_log_format *out);

enum pk_log_type {
    PK_LOG_END, /* Behind the last field. */
    PK_LOG_FIELD_TEXT,
    PK_LOG_FIELD_INT,
    PK_LOG_FIELD_REAL,
    PK_LOG_FIELD_BOOL,
    PK_LOG_FIELD_TIME,
    PK_LOG_FIELD_ERROR,
    PK_LOG_FIELD_SECRET
};

/* Made by the macros below; lives as long as the call. */
struct pk_log_field {
    const char *key;
    enum pk_log_type type;
    size_t size; /* TEXT: bytes; SIZE_MAX: up to the NUL. */
    union {
        const char *text; /* NULL is shown as null. */
        int64_t number;   /* INT, BOOL; TIME: milliseconds since 1970. */
        double real;
        const struct pk_error *error;
    };
};

#define PK_LOG_FIELD(k, t, ...) \
    ((struct pk_log_field){ .key = "" k "", .type = PK_LOG_FIELD_##t, __VA_ARGS__ })

#define PK_STR(key, value)     PK_LOG_FIELD(key, TEXT, .text = (value), .size = SIZE_MAX)
#define PK_STRN(key, value, n) PK_LOG_FIELD(key, TEXT, .text = (value), .size = (n))
#define PK_NUM(key, value)     PK_LOG_FIELD(key, INT, .number = (int64_t)(value))
#define PK_REAL(key, value)    PK_LOG_FIELD(key, REAL, .real = (value))
#define PK_FLAG(key, value)    PK_LOG_FIELD(key, BOOL, .number = (value) ? 1 : 0)
#define PK_TIME(key, wall_ms)  PK_LOG_FIELD(key, TIME, .number = (wall_ms))
#define PK_SECRET(key)         PK_LOG_FIELD(key, SECRET, .size = 0)
/* The request that it belongs to, always under one key. */
#define PK_REQUEST(id) PK_STR("request", id)
/* The trace that it belongs to (base/trace.h), or NULL. */
#define PK_TRACE(id) PK_STR("trace", id)
/* A struct pk_error as code, error, field and hint. */
#define PK_ERR(err) PK_LOG_FIELD("error", ERROR, .error = (err))

#define PK_LOG_AT(log, level, event, ...)                                         \
    do {                                                                          \
        struct pk_log *pk_log_to = (log);                                         \
        if (pk_log_is_on(pk_log_to, level)) {                                     \
            pk_log_write(pk_log_to, level, "" event "",                           \
                         (const struct pk_log_field[]){                           \
                             __VA_ARGS__ __VA_OPT__(, ){ .type = PK_LOG_END } }); \
        }                                                                         \
    } while (0)

#define pk_log_debug(log, ...) PK_LOG_AT(log, PK_LOG_DEBUG, __VA_ARGS__)
#define pk_log_info(log, ...)  PK_LOG_AT(log, PK_LOG_INFO, __VA_ARGS__)
#define pk_log_warn(log, ...)  PK_LOG_AT(log, PK_LOG_WARN, __VA_ARGS__)
#define pk_log_error(log, ...) PK_LOG_AT(log, PK_LOG_ERROR, __VA_ARGS__)

/* What the macros call, for who has made the fields himself: they end with PK_LOG_END. */
void pk_log_write(struct pk_log *log, enum pk_log_level level, const char *event,
                  const struct pk_log_field *field);

#endif
