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
};
_Static_assert(sizeof(code_table) / sizeof(code_table[0]) == PK_CODE_COUNT,
               "every code has its row");

static void fill(struct pk_error *err, enum pk_code code, const char *field, const char *hint,
                 const char *format, va_list args)
{
    if (!err) {
        return;
    }
    err->code = code;
    err->field = field;
    err->hint = hint;
    (void)vsnprintf(err->message, sizeof(err->message), format, args);
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
    char context[sizeof(err->message)];
    char inner[sizeof(err->message)];
    va_list args;

    if (!err) {
        return false;
    }
    va_start(args, format);
    (void)vsnprintf(context, sizeof(context), format, args);
    va_end(args);
    memcpy(inner, err->message, sizeof(inner));
    /* A message that no longer fits loses its tail, never its beginning. */
    int n = snprintf(err->message, sizeof(err->message), "%s: ", context);
    if (n > 0 && (size_t)n < sizeof(err->message)) {
        (void)snprintf(err->message + n, sizeof(err->message) - (size_t)n, "%s", inner);
    }
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
