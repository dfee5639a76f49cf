/* tap.c - Counts and prints results. */
/* SPDX-License-Identifier: MIT */
#include "tap.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

/* A test program has one list of results. */
static unsigned result_count;
static unsigned failure_count;

__attribute__((format(printf, 2, 0))) static void print_result(bool ok, const char *format,
                                                               va_list args)
{
    result_count++;
    failure_count += ok ? 0 : 1;
    printf("%sok %u - ", ok ? "" : "not ", result_count);
    (void)vprintf(format, args);
}

bool tap_is(bool ok, const char *sentence, ...)
{
    va_list args;
    va_start(args, sentence);
    print_result(ok, sentence, args);
    va_end(args);
    printf("\n");
    (void)fflush(stdout);
    return ok;
}

void tap_skip(const char *sentence, const char *why)
{
    result_count++;
    if (getenv("CI")) {
        failure_count++;
        printf("not ok %u - %s # may not be skipped in CI: %s\n", result_count, sentence, why);
    } else {
        printf("ok %u - %s # SKIP %s\n", result_count, sentence, why);
    }
    (void)fflush(stdout);
}

void tap_note(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    printf("# ");
    (void)vprintf(format, args);
    va_end(args);
    printf("\n");
    (void)fflush(stdout);
}

int tap_end(void)
{
    printf("1..%u\n", result_count);
    (void)fflush(stdout);
    return failure_count == 0 && result_count > 0 ? 0 : 1;
}

void tap_bail(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    print_result(false, format, args);
    va_end(args);
    printf("\n1..%u\n", result_count);
    (void)fflush(stdout);
    exit(1);
}
