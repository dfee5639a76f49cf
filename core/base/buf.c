/* buf.c - Bytes that grow: doubles, so that n appends cost n. */
/* SPDX-License-Identifier: MIT */
#include "base/buf.h"

#include "base/alloc.h"

#include <assert.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

enum { FIRST_CAPACITY = 64 };

char *pk_buf_grow(struct pk_buf *buf, size_t size)
{
    assert(size < SIZE_MAX / 4);
    size_t need = buf->size + size + 1; /* + 1: the NUL behind the bytes. */
    if (need > buf->capacity) {
        size_t capacity = buf->capacity ? buf->capacity : FIRST_CAPACITY;
        while (capacity < need) {
            capacity *= 2;
        }
        buf->data = pk_realloc(buf->data, capacity);
        buf->data[buf->size] = '\0'; /* The first time there was none. */
        buf->capacity = capacity;
    }
    return buf->data + buf->size;
}

void pk_buf_done(struct pk_buf *buf)
{
    pk_free(buf->data);
    *buf = (struct pk_buf){ 0 };
}

void pk_buf_clear(struct pk_buf *buf)
{
    buf->size = 0;
    if (buf->data) {
        buf->data[0] = '\0';
    }
}

void pk_buf_printf(struct pk_buf *buf, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    int n = vsnprintf(NULL, 0, format, args);
    va_end(args);
    assert(n >= 0);
    char *to = pk_buf_reserve(buf, (size_t)n);
    va_start(args, format);
    (void)vsnprintf(to, (size_t)n + 1, format, args);
    va_end(args);
    buf->size += (size_t)n;
}

const char *pk_buf_text(const struct pk_buf *buf)
{
    return buf->data ? buf->data : "";
}

char *pk_buf_take(struct pk_buf *buf)
{
    char *text = buf->data ? buf->data : pk_strdup("");
    *buf = (struct pk_buf){ 0 };
    return text;
}
