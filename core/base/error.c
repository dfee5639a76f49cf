/* error.c - The one table from error code to name, HTTP status and retry.
 *
 * Everything that shows an error to somebody (HTTP answers, exit codes, logs,
 * Lua) reads this table, so that the three can never disagree. */
/* SPDX-License-Identifier: MIT */
#include "base/error.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

static const struct {
    const char *name; /* Stable; documented; never reused for another meaning. */
    int http;         /* Status of an answer that carries it. */
    bool retry;       /* The same request may succeed later. */
} code_table[] = {
    [PK_OK] = { "ok", 200, false },
    [PK_INVALID] = { "invalid", 400, false },
    [PK_UNAUTHORIZED] = { "unauthorized", 401, false },
    [PK_FORBIDDEN] = { "forbidden", 403, false },
    [PK_NOT_FOUND] = { "not_found", 404, false },
    [PK_CONFLICT] = { "conflict", 409, true },
    [PK_PRECONDITION] = { "precondition_failed", 412, false },
    [PK_TOO_LARGE] = { "too_large", 413, false },
    [PK_LIMITED] = { "rate_limited", 429, true },
    [PK_INTERNAL] = { "internal", 500, false },
    [PK_UNSUPPORTED] = { "unsupported", 501, false },
    [PK_BUSY] = { "busy", 503, true },
    [PK_UNAVAILABLE] = { "store_unavailable", 503, true },
    [PK_UNKNOWN] = { "outcome_unknown", 503, true },
    [PK_TIMEOUT] = { "timeout", 504, true },
    [PK_FULL] = { "no_space", 507, true },
    [PK_MISMATCH] = { "idempotency_mismatch", 422, false },
    [PK_SHOWN] = { "secret_already_shown", 409, false },
    [PK_MEDIA_TYPE] = { "unsupported_media_type", 415, false },
    [PK_REFUSED] = { "script_refused", 422, false },
    [PK_NOT_ACCEPTABLE] = { "not_acceptable", 406, false },
};
_Static_assert(sizeof(code_table) / sizeof(code_table[0]) == PK_CODE_COUNT,
               "every code has its row");

/* Ends 'text' at 'size' bytes, or up to 3 before, where a character of UTF-8 begins. */
static size_t cut(char *text, size_t size)
{
    for (int i = 0; i < 3 && size > 0 && ((unsigned char)text[size] & 0xc0) == 0x80; i++) {
        size--;
    }
    text[size] = '\0';
    return size;
}

enum {
    MESSAGE_MAX = sizeof(((struct pk_error *)0)->message) - 1, /* Bytes before the NUL. */
    MESSAGE_ROOM = MESSAGE_MAX + 2 /* One byte beyond is printed, so that 'cut' can see it. */
};

/* A message is one line: what came from outside cannot forge a second one, or move a cursor. */
static void tame(char *text, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        if ((unsigned char)text[i] < 0x20 || text[i] == 0x7f) {
            text[i] = '?';
        }
    }
}

/* Prints what fits and returns its bytes. A character that no longer fits whole is left out, so
 * that the message stays valid UTF-8. */
__attribute__((format(printf, 2, 0))) static size_t print(char out[MESSAGE_ROOM],
                                                          const char *format, va_list args)
{
    int n = vsnprintf(out, MESSAGE_ROOM, format, args);
    if (n < 0) {
        out[0] = '\0';
        return 0;
    }
    size_t size = n <= MESSAGE_MAX ? (size_t)n : cut(out, MESSAGE_MAX);
    tame(out, size);
    return size;
}

/* By way of a local, because an argument may be the old message itself. */
__attribute__((format(printf, 5, 0))) static void fill(struct pk_error *err, enum pk_code code,
                                                       const char *field, const char *hint,
                                                       const char *format, va_list args)
{
    char message[MESSAGE_ROOM];

    if (!err) {
        return;
    }
    size_t size = print(message, format, args);
    memcpy(err->message, message, size + 1);
    err->code = code;
    err->field = field;
    err->hint = hint;
}

bool pk_fail(struct pk_error *err, enum pk_code code, const char *hint, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fill(err, code, NULL, hint, format, args);
    va_end(args);
    return false;
}

bool pk_fail_field(struct pk_error *err, enum pk_code code, const char *field, const char *hint,
                   const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fill(err, code, field, hint, format, args);
    va_end(args);
    return false;
}

bool pk_wrap(struct pk_error *err, const char *format, ...)
{
    char message[MESSAGE_ROOM + 2 + MESSAGE_ROOM]; /* Context, ": ", what was there. */
    va_list args;

    if (!err) {
        return false;
    }
    va_start(args, format);
    size_t size = print(message, format, args);
    va_end(args);
    message[size++] = ':';
    message[size++] = ' ';
    size_t inner = strnlen(err->message, MESSAGE_MAX);
    memcpy(message + size, err->message, inner);
    size += inner;
    message[size] = '\0';
    /* A message that no longer fits loses its tail, never its beginning. */
    if (size > MESSAGE_MAX) {
        size = cut(message, MESSAGE_MAX);
    }
    memcpy(err->message, message, size + 1);
    return false;
}

const char *pk_code_name(enum pk_code code)
{
    assert(code < PK_CODE_COUNT);
    return code_table[code].name;
}

int pk_code_http(enum pk_code code)
{
    assert(code < PK_CODE_COUNT);
    return code_table[code].http;
}

bool pk_code_retry(enum pk_code code)
{
    assert(code < PK_CODE_COUNT);
    return code_table[code].retry;
}
