/* log.c - Lines are built aside, then written whole.
 *
 *     fields --mask--> --escape--> line --write(2)--> fd
 *
 * Masking comes first, on the raw value, so that no escape can split a secret.
 * A value is cut before it is masked: a cut key is still known for one, and of
 * a cut URL, whose password may have lost the '@' that betrays it, only the
 * scheme is kept.
 *
 * A line is built in a buffer of the caller's stack frame, without a lock. The
 * lock is held for the write alone: a write to a pipe above PIPE_BUF may be
 * split, and then a second part follows. When 'fd' takes nothing for a
 * moment, the line is dropped and counted: a log that nobody reads must not
 * stop a server. */
/* SPDX-License-Identifier: MIT */
#include "base/log.h"

#include "base/alloc.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/text.h"

#include <assert.h>
#include <errno.h>
#include <math.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    VALUE_MAX = 4096,  /* Bytes of a value that are shown. */
    WRITE_WAIT_MS = 50 /* How long a full pipe may hold up the thread that logs. */
};

struct pk_log {
    const struct pk_clock *clock;
    int fd;
    bool is_text;
    bool has_colour;
    _Atomic int level;
    _Atomic uint64_t dropped; /* Lines. */
    pthread_mutex_t lock;     /* Held while writing; guards 'is_torn'. */
    bool is_torn;             /* The last line was written in part: begin with a newline. */
};

static const struct {
    const char *name;   /* In settings and JSON. */
    const char *text;   /* In text, padded to one width. */
    const char *colour; /* Of the text on a terminal. */
} level_table[] = {
    [PK_LOG_DEBUG] = { "debug", "DEBUG", "\x1b[2m" },
    [PK_LOG_INFO] = { "info", "INFO ", "\x1b[32m" },
    [PK_LOG_WARN] = { "warn", "WARN ", "\x1b[33m" },
    [PK_LOG_ERROR] = { "error", "ERROR", "\x1b[31m" },
};

static const char *const format_table[] = {
    [PK_LOG_AUTO] = "auto",
    [PK_LOG_TEXT] = "text",
    [PK_LOG_JSON] = "json",
};

bool pk_log_level_parse(const char *name, enum pk_log_level *out)
{
    for (size_t i = 0; i < PK_COUNT(level_table); i++) {
        if (strcmp(level_table[i].name, name) == 0) {
            *out = (enum pk_log_level)i;
            return true;
        }
    }
    return false;
}

bool pk_log_format_parse(const char *name, enum pk_log_format *out)
{
    for (size_t i = 0; i < PK_COUNT(format_table); i++) {
        if (strcmp(format_table[i], name) == 0) {
            *out = (enum pk_log_format)i;
            return true;
        }
    }
    return false;
}

struct pk_log *pk_log_new(const struct pk_log_options *options)
{
    struct pk_log *log = pk_calloc(1, sizeof(*log));
    bool is_terminal = isatty(options->fd) == 1;
    const char *no_colour = getenv("NO_COLOR");

    log->clock = options->clock ? options->clock : pk_clock_system();
    log->fd = options->fd;
    log->is_text =
        options->format == PK_LOG_TEXT || (options->format == PK_LOG_AUTO && is_terminal);
    log->has_colour = log->is_text && is_terminal && !(no_colour && *no_colour);
    log->level = (int)options->level;
    (void)pthread_mutex_init(&log->lock, NULL);
    return log;
}

void pk_log_free(struct pk_log *log)
{
    if (log) {
        (void)pthread_mutex_destroy(&log->lock);
        pk_free(log);
    }
}

bool pk_log_is_on(const struct pk_log *log, enum pk_log_level level)
{
    return log && (int)level >= atomic_load_explicit(&log->level, memory_order_relaxed);
}

void pk_log_set_level(struct pk_log *log, enum pk_log_level level)
{
    if (log) {
        log->level = (int)level;
    }
}

uint64_t pk_log_dropped(const struct pk_log *log)
{
    return log ? log->dropped : 0;
}

/* A field's value, as words: what both formats then dress up. */
struct value {
    const char *key;
    const char *text; /* NULL: null. */
    size_t size;
    bool is_bare; /* A number, true or false: JSON shows it without quotes. */
};

/* The line under construction. */
struct line {
    const struct pk_log *log;
    struct pk_buf buf;
    struct pk_buf scratch; /* The masked value. */
};

static void line_done(struct line *line)
{
    pk_buf_done(&line->buf);
    pk_buf_done(&line->scratch);
}

static void dim(struct line *line, const char *on_or_off)
{
    if (line->log->has_colour) {
        pk_buf_add_text(&line->buf, on_or_off);
    }
}

/* Words without spaces and quotes stand bare; others in quotes. */
static bool needs_quotes(const char *text, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        if (text[i] == ' ' || text[i] == '"' || text[i] == '=') {
            return true;
        }
    }
    return size == 0;
}

static void add_text_value(struct line *line, const char *text, size_t size)
{
    bool quotes = needs_quotes(text, size);
    if (quotes) {
        pk_buf_add_char(&line->buf, '"');
    }
    pk_text_escape(&line->buf, text, size, quotes);
    if (quotes) {
        pk_buf_add_char(&line->buf, '"');
    }
}

/* How much of a value is shown: all, or what is before the cut and its last, cut URL. */
static size_t shown_size(const struct value *value)
{
    size_t word = VALUE_MAX;

    if (value->size <= VALUE_MAX) {
        return value->size;
    }
    while (word > 0 && (unsigned char)value->text[word - 1] > ' ') {
        word--;
    }
    const char *url = memmem(value->text + word, VALUE_MAX - word, "://", 3);
    return url ? (size_t)(url - value->text) + 3 : VALUE_MAX;
}

static void add_value(struct line *line, const struct value *value)
{
    bool is_text = line->log->is_text;

    if (is_text) {
        pk_buf_add_char(&line->buf, ' ');
        dim(line, "\x1b[2m");
        pk_text_escape(&line->buf, value->key, strlen(value->key), true);
        pk_buf_add_char(&line->buf, '=');
        dim(line, "\x1b[0m");
    } else {
        pk_buf_add_char(&line->buf, ',');
        pk_text_json(&line->buf, value->key, strlen(value->key));
        pk_buf_add_char(&line->buf, ':');
    }
    if (!value->text) {
        pk_buf_add_text(&line->buf, "null");
        return;
    }
    if (value->is_bare) {
        pk_buf_add(&line->buf, value->text, value->size);
        return;
    }
    size_t size = shown_size(value);
    pk_buf_clear(&line->scratch);
    pk_text_mask(&line->scratch, value->text, size);
    if (size < value->size) {
        pk_buf_add_text(&line->scratch, "...");
    }
    if (is_text) {
        add_text_value(line, pk_buf_text(&line->scratch), line->scratch.size);
    } else {
        pk_text_json(&line->buf, pk_buf_text(&line->scratch), line->scratch.size);
    }
}

static void add_text(struct line *line, const char *key, const char *text, size_t size)
{
    size = !text ? 0 : size == SIZE_MAX ? strlen(text) : size;
    add_value(line, &(struct value){ .key = key, .text = text, .size = size });
}

static void add_bare(struct line *line, const char *key, const char *text)
{
    add_value(line,
              &(struct value){ .key = key, .text = text, .size = strlen(text), .is_bare = true });
}

static void add_int(struct line *line, const char *key, int64_t number)
{
    char text[32];
    (void)snprintf(text, sizeof(text), "%lld", (long long)number);
    add_bare(line, key, text);
}

/* The fewest digits that read back as the same number. JSON has no NaN and no infinity. */
static void add_real(struct line *line, const char *key, double real)
{
    char text[40];

    if (!isfinite(real)) {
        add_text(line, key, isnan(real) ? "nan" : real > 0 ? "inf" : "-inf", SIZE_MAX);
        return;
    }
    for (int digits = 6; digits <= 17; digits += digits < 15 ? 9 : 1) {
        (void)snprintf(text, sizeof(text), "%.*g", digits, real);
        if (strtod(text, NULL) == real) {
            break;
        }
    }
    add_bare(line, key, text);
}

static void add_time(struct line *line, const char *key, int64_t wall_ms)
{
    char text[PK_TIME_TEXT];
    pk_time_format(wall_ms, text);
    add_text(line, key, text, SIZE_MAX);
}

static void add_error(struct line *line, const char *key, const struct pk_error *error)
{
    if (!error) {
        add_text(line, key, NULL, 0);
        return;
    }
    add_text(line, "code", pk_code_name(error->code), SIZE_MAX);
    add_text(line, key, error->message, strnlen(error->message, sizeof(error->message)));
    if (error->field) {
        add_text(line, "field", error->field, SIZE_MAX);
    }
    if (error->hint) {
        add_text(line, "hint", error->hint, SIZE_MAX);
    }
}

static void add_field(struct line *line, const struct pk_log_field *field)
{
    switch (field->type) {
    case PK_LOG_FIELD_TEXT:
        add_text(line, field->key, field->text, field->size);
        return;
    case PK_LOG_FIELD_INT:
        add_int(line, field->key, field->number);
        return;
    case PK_LOG_FIELD_REAL:
        add_real(line, field->key, field->real);
        return;
    case PK_LOG_FIELD_BOOL:
        add_bare(line, field->key, field->number ? "true" : "false");
        return;
    case PK_LOG_FIELD_TIME:
        add_time(line, field->key, field->number);
        return;
    case PK_LOG_FIELD_ERROR:
        add_error(line, field->key, field->error);
        return;
    case PK_LOG_FIELD_SECRET:
        add_text(line, field->key, "***", 3);
        return;
    case PK_LOG_END:
        return;
    }
}

static void add_head(struct line *line, enum pk_log_level level, const char *event)
{
    struct pk_buf *buf = &line->buf;
    char time[PK_TIME_TEXT];

    pk_time_format(pk_clock_wall_ms(line->log->clock), time);
    pk_text_mask(&line->scratch, event, strlen(event));
    const char *words = pk_buf_text(&line->scratch);
    if (!line->log->is_text) {
        pk_buf_printf(buf, "{\"time\":\"%s\",\"level\":\"%s\",\"msg\":", time,
                      level_table[level].name);
        pk_text_json(buf, words, line->scratch.size);
        return;
    }
    dim(line, "\x1b[2m");
    pk_buf_add_text(buf, time);
    dim(line, "\x1b[0m");
    pk_buf_add_char(buf, ' ');
    dim(line, level_table[level].colour);
    pk_buf_add_text(buf, level_table[level].text);
    dim(line, "\x1b[0m");
    pk_buf_add_char(buf, ' ');
    pk_text_escape(buf, words, line->scratch.size, false);
    pk_buf_add_char(buf, ' '); /* With the one before each field: two. */
}

/* The bytes that 'fd' took. A line in one piece is the rule; see the story for the exception. */
static size_t write_out(int fd, const char *data, size_t size)
{
    size_t done = 0;

    while (done < size) {
        ssize_t n = write(fd, data + done, size - done);
        if (n >= 0) {
            done += (size_t)n;
            continue;
        }
        struct pollfd poll_fd = { .fd = fd, .events = POLLOUT };
        bool is_full = errno == EAGAIN && poll(&poll_fd, 1, WRITE_WAIT_MS) == 1;
        if (errno != EINTR && !is_full) {
            break;
        }
    }
    return done;
}

static void write_line(struct pk_log *log, const struct pk_buf *buf)
{
    (void)pthread_mutex_lock(&log->lock);
    if (log->is_torn && write_out(log->fd, "\n", 1) == 1) {
        log->is_torn = false;
    }
    size_t done = log->is_torn ? 0 : write_out(log->fd, buf->data, buf->size);
    if (done < buf->size) {
        log->dropped++;
        log->is_torn = log->is_torn || done > 0;
    }
    (void)pthread_mutex_unlock(&log->lock);
}

void pk_log_write(struct pk_log *log, enum pk_log_level level, const char *event,
                  const struct pk_log_field *field)
{
    PK_CLEANUP(line_done) struct line line = { .log = log };
    int saved_errno = errno; /* Who logs a failure may still want to read it. */

    if (!pk_log_is_on(log, level)) {
        return;
    }
    add_head(&line, level, event);
    for (; field->type != PK_LOG_END; field++) {
        add_field(&line, field);
    }
    while (log->is_text && line.buf.data[line.buf.size - 1] == ' ') {
        line.buf.size--; /* No fields: the line ends with the event. */
    }
    pk_buf_add_text(&line.buf, log->is_text ? "\n" : "}\n");
    write_line(log, &line.buf);
    errno = saved_errno;
}
