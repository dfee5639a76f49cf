/* cursor.c - Where the next page starts, as text that may travel.
 *
 * A cursor says all of it: which query it belongs to (a fingerprint, so that
 * it is not taken for another's), and the key values and id of the last
 * document of the page. The page before may be gone from the store: the next
 * one starts behind where it stood.
 *
 *     1 byte    form (1)
 *     8 bytes   fingerprint of the query
 *     per key   type, then 8 bytes, or 4 bytes of length and the text
 *     the id    4 bytes of length and the text
 *     8 bytes   checksum of all before
 *
 * written as base64url. Numbers are little-endian. The checksum finds damage;
 * a cursor is no secret and grants nothing. */
/* SPDX-License-Identifier: MIT */
#include "base/alloc.h"
#include "base/buf.h"
#include "base/crypto.h"
#include "store/store_internal.h"

#include <string.h>

/* A cursor may carry the longest keys that a document may have. */
enum { CURSOR_FORM = 1, CURSOR_MAX_TEXT = PK_DOC_MAX_BYTES / 3 * 4 + 4096, SUM_BYTES = 8 };

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/* ---- base64url ---- */

static char *encode(const struct pk_buf *buf)
{
    const uint8_t *data = (const uint8_t *)buf->data;
    char *text = pk_alloc(buf->size * 4 / 3 + 4);
    size_t n = 0;
    for (size_t i = 0; i < buf->size; i += 3) {
        const size_t left = buf->size - i;
        const uint32_t bits = (uint32_t)data[i] << 16 |
                              (left > 1 ? (uint32_t)data[i + 1] << 8 : 0) |
                              (left > 2 ? (uint32_t)data[i + 2] : 0);
        for (size_t k = 0; k < (left > 2 ? 4 : left + 1); k++) {
            text[n++] = alphabet[bits >> (18 - 6 * k) & 63];
        }
    }
    text[n] = 0;
    return text;
}

static bool decode(const char *text, struct pk_buf *out)
{
    uint32_t bits = 0;
    unsigned have = 0;
    if (strlen(text) > CURSOR_MAX_TEXT) {
        return false;
    }
    for (; *text; text++) {
        const char *found = strchr(alphabet, *text);
        if (!found) {
            return false;
        }
        bits = bits << 6 | (uint32_t)(found - alphabet);
        have += 6;
        if (have >= 8) {
            have -= 8;
            pk_buf_add_char(out, (char)(bits >> have & 0xff));
        }
    }
    return have < 6 && (bits & ((1u << have) - 1)) == 0;
}

/* ---- Pieces ---- */

static void add_number(struct pk_buf *buf, uint64_t number, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++) {
        pk_buf_add_char(buf, (char)(number >> (8 * i) & 0xff));
    }
}

static void add_text(struct pk_buf *buf, const char *text)
{
    const size_t length = strlen(text);
    add_number(buf, length, 4);
    pk_buf_add(buf, text, length);
}

static void add_value(struct pk_buf *buf, const struct pk_value *value)
{
    pk_buf_add_char(buf, (char)value->type);
    if (value->type == PK_VALUE_TEXT) {
        add_text(buf, value->text);
    } else if (value->type == PK_VALUE_DOUBLE) {
        uint64_t bits;
        memcpy(&bits, &value->real, sizeof(bits));
        add_number(buf, bits, 8);
    } else if (value->type != PK_VALUE_NULL) {
        add_number(buf, (uint64_t)value->number, 8);
    }
}

struct reader {
    const uint8_t *data;
    size_t left;
    bool is_bad; /* Sticky: once short, everything read is 0. */
};

static uint64_t take_number(struct reader *reader, size_t bytes)
{
    uint64_t number = 0;
    if (reader->left < bytes) {
        reader->is_bad = true;
        return 0;
    }
    for (size_t i = 0; i < bytes; i++) {
        number |= (uint64_t)reader->data[i] << (8 * i);
    }
    reader->data += bytes;
    reader->left -= bytes;
    return number;
}

static char *take_text(struct reader *reader)
{
    const uint64_t length = take_number(reader, 4);
    if (reader->is_bad || length > reader->left ||
        !bson_utf8_validate((const char *)reader->data, length, false)) {
        reader->is_bad = true;
        return NULL;
    }
    char *text = pk_strndup((const char *)reader->data, length);
    reader->data += length;
    reader->left -= length;
    return text;
}

static struct pk_value take_value(struct reader *reader)
{
    struct pk_value value = { .type = (enum pk_value_type)take_number(reader, 1) };
    if (value.type > PK_VALUE_DATE) {
        reader->is_bad = true;
        value.type = PK_VALUE_NULL;
    } else if (value.type == PK_VALUE_TEXT) {
        value.text = take_text(reader);
        if (!value.text) {
            value.type = PK_VALUE_NULL;
        }
    } else if (value.type == PK_VALUE_DOUBLE) {
        const uint64_t bits = take_number(reader, 8);
        memcpy(&value.real, &bits, sizeof(bits));
    } else if (value.type != PK_VALUE_NULL) {
        value.number = (int64_t)take_number(reader, 8);
    }
    return value;
}

/* ---- Whole cursors ---- */

static void add_bound(struct pk_buf *buf, const struct pk_bound *bound)
{
    pk_buf_add_char(buf, bound->is_set ? (bound->is_exclusive ? 2 : 1) : 0);
    if (bound->is_set) {
        add_value(buf, &bound->value);
    }
}

/* Everything that decides which documents come in which order; not how many per page. */
static uint64_t fingerprint(const struct pk_collection *collection, const struct pk_index *index,
                            const struct pk_query *query)
{
    PK_CLEANUP(pk_buf_done) struct pk_buf buf = { 0 };
    uint8_t hash[PK_HASH_BYTES];
    uint64_t print;

    add_text(&buf, collection->name);
    add_text(&buf, index ? index->name : "_id");
    for (size_t i = 0; i < query->equal_count; i++) {
        add_value(&buf, &query->equal[i]);
    }
    add_bound(&buf, &query->min);
    add_bound(&buf, &query->max);
    add_text(&buf, query->below ? query->below : "");
    pk_buf_add_char(&buf, query->is_reversed ? 1 : 0);
    pk_hash(hash, buf.data, buf.size, NULL, 0);
    memcpy(&print, hash, sizeof(print));
    return print;
}

char *pk_cursor_write(const struct pk_collection *collection, const struct pk_index *index,
                      const struct pk_query *query, const struct pk_doc *last)
{
    PK_CLEANUP(pk_buf_done) struct pk_buf buf = { 0 };
    uint8_t hash[PK_HASH_BYTES];
    bson_t view;

    pk_doc_view(last, &view);
    pk_buf_add_char(&buf, CURSOR_FORM);
    add_number(&buf, fingerprint(collection, index, query), 8);
    for (size_t k = query->equal_count; index && k < index->key_count; k++) {
        const struct pk_value value = pk_value_of(&view, index->key[k].path);
        add_value(&buf, &value);
    }
    add_text(&buf, pk_doc_id(last));
    pk_hash(hash, buf.data, buf.size, NULL, 0);
    pk_buf_add(&buf, hash, SUM_BYTES);
    return encode(&buf);
}

static bool has_sum(const struct pk_buf *buf)
{
    uint8_t hash[PK_HASH_BYTES];
    if (buf->size <= SUM_BYTES) {
        return false;
    }
    pk_hash(hash, buf->data, buf->size - SUM_BYTES, NULL, 0);
    return memcmp(hash, buf->data + buf->size - SUM_BYTES, SUM_BYTES) == 0;
}

bool pk_cursor_read(const struct pk_collection *collection, const struct pk_index *index,
                    const struct pk_query *query, struct pk_after *out, struct pk_error *err)
{
    PK_CLEANUP(pk_buf_done) struct pk_buf buf = { 0 };
    static const char hint[] = "use the cursor as it was handed out, or start without one";

    *out = (struct pk_after){ 0 };
    if (!query->cursor || !*query->cursor) {
        return true;
    }
    if (!decode(query->cursor, &buf) || !has_sum(&buf)) {
        return pk_fail_field(err, PK_INVALID, "cursor", hint, "the cursor is damaged");
    }
    struct reader reader = { .data = (const uint8_t *)buf.data, .left = buf.size - SUM_BYTES };
    if (take_number(&reader, 1) != CURSOR_FORM) {
        return pk_fail_field(err, PK_INVALID, "cursor", hint,
                             "the cursor was made by another version");
    }
    if (take_number(&reader, 8) != fingerprint(collection, index, query)) {
        return pk_fail_field(err, PK_INVALID, "cursor", hint,
                             "the cursor belongs to another query");
    }
    out->is_set = true;
    for (size_t k = query->equal_count; index && k < index->key_count; k++) {
        out->key[out->key_count++] = take_value(&reader);
    }
    out->id = take_text(&reader);
    if (reader.is_bad || reader.left != 0) {
        pk_after_done(out);
        return pk_fail_field(err, PK_INVALID, "cursor", hint, "the cursor is damaged");
    }
    return true;
}

void pk_after_done(struct pk_after *after)
{
    for (size_t i = 0; i < after->key_count; i++) {
        if (after->key[i].type == PK_VALUE_TEXT) {
            pk_free((char *)(uintptr_t)after->key[i].text);
        }
    }
    pk_free(after->id);
    *after = (struct pk_after){ 0 };
}
