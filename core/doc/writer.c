/* writer.c - BSON written straight into a buffer.
 *
 * A document is its length (4 bytes, little-endian, itself included), its
 * elements (type, key, NUL, value), and a NUL. The length is patched when the
 * document ends. */
/* SPDX-License-Identifier: MIT */
#include "doc/writer.h"

#include "base/buf.h"

#include <assert.h>
#include <string.h>

size_t pk_writer_begin(struct pk_buf *buf)
{
    size_t start = buf->size;
    pk_buf_add(buf, "\0\0\0\0", 4);
    return start;
}

void pk_writer_end(struct pk_buf *buf, size_t start)
{
    pk_buf_add(buf, "", 1);
    uint32_t length = BSON_UINT32_TO_LE((uint32_t)(buf->size - start));
    memcpy(buf->data + start, &length, sizeof(length));
}

size_t pk_writer_key(struct pk_buf *buf, bson_type_t type, const char *key, size_t length)
{
    size_t start = buf->size;
    char *to = pk_buf_reserve(buf, length + 2);
    *to++ = (char)type;
    if (length) {
        memcpy(to, key, length);
    }
    to[length] = '\0';
    buf->size += length + 2;
    return start;
}

void pk_writer_int64(struct pk_buf *buf, int64_t value)
{
    uint64_t bytes = BSON_UINT64_TO_LE((uint64_t)value);
    pk_buf_add(buf, &bytes, sizeof(bytes));
}

void pk_writer_double(struct pk_buf *buf, double value)
{
    uint64_t bytes;
    memcpy(&bytes, &value, sizeof(bytes));
    pk_writer_int64(buf, (int64_t)bytes);
}

void pk_writer_text(struct pk_buf *buf, const char *text, size_t length)
{
    uint32_t size = BSON_UINT32_TO_LE((uint32_t)length + 1); /* With its NUL. */
    pk_buf_add(buf, &size, sizeof(size));
    pk_buf_add(buf, text, length);
    pk_buf_add(buf, "", 1);
}

void pk_writer_copy(struct pk_buf *buf, const char *key, size_t length, const bson_iter_t *iter)
{
    /* A value lies from d1 (first byte behind the key) to next_off. */
    pk_writer_key(buf, bson_iter_type(iter), key, length);
    pk_buf_add(buf, iter->raw + iter->d1, iter->next_off - iter->d1);
}

size_t pk_writer_array_key(char out[PK_ARRAY_KEY], uint32_t index)
{
    char digit[PK_ARRAY_KEY];
    size_t count = 0;
    do {
        digit[count++] = (char)('0' + index % 10);
        index /= 10;
    } while (index);
    for (size_t i = 0; i < count; i++) {
        out[i] = digit[count - 1 - i];
    }
    out[count] = '\0';
    return count;
}

void pk_writer_take(const struct pk_buf *buf, bson_t *out)
{
    assert(buf->size >= 5 && buf->size <= INT32_MAX);
    bson_init(out);
    uint8_t *bytes = bson_reserve_buffer(out, (uint32_t)buf->size);
    assert(bytes);
    memcpy(bytes, buf->data, buf->size);
}
