/* error.h - What went wrong, said once, where it happened.
 *
 * A function that can fail returns bool and takes 'struct pk_error *err' last.
 * On failure it fills 'err' and returns false; on success 'err' is untouched.
 * 'err' may be NULL when the caller does not care why. Callers add context on
 * the way up with pk_wrap; whoever stops the propagation logs it, once.
 *
 * If you add a code, add its row to the table in error.c: the compiler insists. */
/* SPDX-License-Identifier: MIT */
#ifndef PK_BASE_ERROR_H
#define PK_BASE_ERROR_H

#include <stdarg.h>
#include <stdbool.h>

enum pk_code {
    PK_OK = 0,
    PK_INVALID,        /* The input breaks a rule; sending it again cannot help. */
    PK_UNAUTHORIZED,   /* Who asks is not known. */
    PK_FORBIDDEN,      /* Who asks is known and may not. */
    PK_NOT_FOUND,      /* There is no such thing, or it has expired. */
    PK_CONFLICT,       /* Somebody else's write came first, or a unique key is taken. */
    PK_PRECONDITION,   /* The version the caller named is no longer the current one. */
    PK_TOO_LARGE,      /* Over a named limit. */
    PK_LIMITED,        /* Too many requests from this caller. */
    PK_INTERNAL,       /* Our bug, or damage to our files. */
    PK_UNSUPPORTED,    /* Understood, and not offered here. */
    PK_BUSY,           /* Not done, because there is too much to do; try again. */
    PK_UNAVAILABLE,    /* Not done, because something we need is away; try again. */
    PK_UNKNOWN,        /* Perhaps done: nobody can say. Repeat with the same key. */
    PK_TIMEOUT,        /* Not done in the time the caller gave. */
    PK_FULL,           /* Not done: no room left on the device, or a quota is used up. */
    PK_MISMATCH,       /* The key of a request that was made already came with another one. */
    PK_SHOWN,          /* Done before; its answer held a secret, which is shown once. */
    PK_MEDIA_TYPE,     /* The body is of a type that is not taken here. */
    PK_REFUSED,        /* A script was looked at and does not pass. */
    PK_NOT_ACCEPTABLE, /* What is answered here is of no type that the caller takes. */
    PK_CODE_COUNT
};

struct pk_error {
    enum pk_code code;
    const char *field; /* Path of the value at fault, or NULL. Lives as long as the input. */
    const char *hint;  /* Static text: what a person should do. May be NULL. */
    char message[256]; /* What happened, with values: lower case, no full stop, no secret. One line:
                        * control characters in values become '?'. */
};

/* Fills 'err'; always returns false, so that 'return pk_fail(...)' reads well. */
bool pk_fail(struct pk_error *err, enum pk_code code, const char *hint, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* The same, for a value at fault: 'field' must outlive 'err'. */
bool pk_fail_field(struct pk_error *err, enum pk_code code, const char *field, const char *hint,
                   const char *format, ...) __attribute__((format(printf, 5, 6)));

/* Puts context before the message: "load mapper 'x': no such file". Always returns false. */
bool pk_wrap(struct pk_error *err, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* The stable name that programs see ("not_found"), the HTTP status, and whether the same
 * request may succeed later. One row per code holds all three. */
const char *pk_code_name(enum pk_code code);
int pk_code_http(enum pk_code code);
bool pk_code_retry(enum pk_code code);

#endif
