/* alloc.c - malloc that aborts instead of failing.
 *
 * A server that limps on after malloc said no runs code that nobody has ever
 * tested. Limits on what comes from outside keep us away from that point; if
 * we get there all the same, the process ends and the store's durability
 * (nothing acknowledged is lost) does the rest. */
/* SPDX-License-Identifier: MIT */
#include "base/alloc.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void *must(void *memory)
{
    if (!memory) {
        (void)fputs("personakit: out of memory\n", stderr);
        abort();
    }
    return memory;
}

void *pk_alloc(size_t size)
{
    return must(malloc(size ? size : 1));
}

void *pk_calloc(size_t count, size_t size)
{
    return must(calloc(count ? count : 1, size ? size : 1));
}

void *pk_realloc(void *memory, size_t size)
{
    return must(realloc(memory, size ? size : 1));
}

char *pk_strndup(const char *text, size_t length)
{
    size_t size = strnlen(text, length);
    char *copy = pk_alloc(size + 1);
    memcpy(copy, text, size);
    copy[size] = '\0';
    return copy;
}

char *pk_strdup(const char *text)
{
    return must(strdup(text));
}

char *pk_strdupf(const char *format, ...)
{
    char *text = NULL;
    va_list args;

    va_start(args, format);
    int n = vasprintf(&text, format, args);
    va_end(args);
    return must(n < 0 ? NULL : text);
}

void pk_free(void *memory)
{
    free(memory);
}

void pk_freep(void *pointer_to_pointer)
{
    void **pointer = pointer_to_pointer;
    free(*pointer);
    *pointer = NULL;
}
