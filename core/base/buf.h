/* buf.h - Bytes that grow. Adding where there is room is inline: that is nearly always.
 *
 * '{ 0 }' is an empty buffer; pk_buf_done makes it empty again. The bytes are
 * always followed by a NUL that is not counted, so 'data' can be printed once
 * something was appended. One thread at a time. */
/* SPDX-License-Identifier: MIT */
#ifndef PK_BASE_BUF_H
#define PK_BASE_BUF_H

#include <stdarg.h>
#include <stddef.h>
#include <string.h>

struct pk_buf {
    char *data;      /* NULL until something was appended. */
    size_t size;     /* Bytes in use. */
    size_t capacity; /* Bytes allocated. */
};

void pk_buf_done(struct pk_buf *buf);
/* Empties it and keeps the memory. */
void pk_buf_clear(struct pk_buf *buf);
void pk_buf_printf(struct pk_buf *buf, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* The text, never NULL: "" for an empty buffer. Valid until the next append. */
const char *pk_buf_text(const struct pk_buf *buf);
/* Gives the text away: the caller frees it with pk_free; the buffer is empty again. */
char *pk_buf_take(struct pk_buf *buf);

/* pk_buf_reserve, where there is no room. */
char *pk_buf_grow(struct pk_buf *buf, size_t size);

/* Makes room for 'size' more bytes and returns where they go; the caller writes there and adds
 * what it wrote to buf->size. */
static inline char *pk_buf_reserve(struct pk_buf *buf, size_t size)
{
    const size_t room = buf->capacity - buf->size; /* One byte of it is for the NUL. */
    return room > size ? buf->data + buf->size : pk_buf_grow(buf, size);
}

static inline void pk_buf_add(struct pk_buf *buf, const void *data, size_t size)
{
    char *to = pk_buf_reserve(buf, size);
    if (size) {
        memcpy(to, data, size);
    }
    to[size] = '\0';
    buf->size += size;
}

static inline void pk_buf_add_char(struct pk_buf *buf, char c)
{
    pk_buf_add(buf, &c, 1);
}

static inline void pk_buf_add_text(struct pk_buf *buf, const char *text)
{
    pk_buf_add(buf, text, strlen(text));
}

#endif
