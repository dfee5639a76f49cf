/* keys.c - Walks a document and respells its keys; one without any to respell is copied whole.
 *
 * Whether there is anything to do is found by one pass over the bytes: an
 * escape begins with '%', and only '.', '$' and '%' are escaped. Texts may hold
 * these, too; then the walk is made for nothing, and gives the same. */
/* SPDX-License-Identifier: MIT */
#include "doc/keys.h"

#include "base/alloc.h"
#include "base/buf.h"
#include "doc/json.h"

#include <string.h>

typedef void key_fn(struct pk_buf *out, const char *key, size_t length);

static void respell(const bson_iter_t *fields, key_fn *spell, bson_t *out);

static void append(bson_t *out, const char *key, size_t length, const bson_iter_t *value,
                   key_fn *spell)
{
    bson_iter_t inner;
    bson_t made;
    if (BSON_ITER_HOLDS_DOCUMENT(value) && bson_iter_recurse(value, &inner)) {
        (void)bson_append_document_begin(out, key, (int)length, &made);
        respell(&inner, spell, &made);
        (void)bson_append_document_end(out, &made);
    } else if (BSON_ITER_HOLDS_ARRAY(value) && bson_iter_recurse(value, &inner)) {
        (void)bson_append_array_begin(out, key, (int)length, &made);
        respell(&inner, spell, &made);
        (void)bson_append_array_end(out, &made);
    } else {
        (void)bson_append_iter(out, key, (int)length, value);
    }
}

static void respell(const bson_iter_t *fields, key_fn *spell, bson_t *out)
{
    PK_CLEANUP(pk_buf_done) struct pk_buf key = { 0 };
    bson_iter_t iter = *fields;
    while (bson_iter_next(&iter)) {
        pk_buf_clear(&key);
        spell(&key, bson_iter_key(&iter), bson_iter_key_len(&iter));
        append(out, pk_buf_text(&key), key.size, &iter, spell);
    }
}

static bool has_any(const uint8_t *data, size_t size, const char *chars)
{
    for (; *chars; chars++) {
        if (memchr(data, *chars, size)) {
            return true;
        }
    }
    return false;
}

static void respell_all(const bson_t *doc, key_fn *spell, const char *chars, bson_t *out)
{
    bson_iter_t iter;
    if (!has_any(bson_get_data(doc), doc->len, chars)) {
        bson_copy_to(doc, out);
        return;
    }
    bson_init(out);
    if (bson_iter_init(&iter, doc)) {
        respell(&iter, spell, out);
    }
}

void pk_keys_escape(const bson_t *doc, bson_t *out)
{
    respell_all(doc, pk_key_escape, ".$%", out);
}

void pk_keys_unescape(const bson_t *doc, bson_t *out)
{
    respell_all(doc, pk_key_unescape, "%", out);
}

void pk_keys_append_unescaped(bson_t *out, const char *key, const bson_iter_t *value)
{
    const bool is_plain = !has_any(value->raw + value->off, value->next_off - value->off, "%");
    if (is_plain) {
        (void)bson_append_iter(out, key, -1, value);
    } else {
        append(out, key, strlen(key), value, pk_key_unescape);
    }
}
