/* peek.c - See peek.h. */
/* SPDX-License-Identifier: MIT */
#include "doc/peek.h"

const char *pk_peek_text(const bson_t *in, const char *name, const char *fallback)
{
    bson_iter_t iter;
    return bson_iter_init_find(&iter, in, name) && BSON_ITER_HOLDS_UTF8(&iter)
               ? bson_iter_utf8(&iter, NULL)
               : fallback;
}

bool pk_peek_object(const bson_iter_t *at, bson_t *out)
{
    return BSON_ITER_HOLDS_DOCUMENT(at) && pk_peek_view(at, out);
}

bool pk_peek_view(const bson_iter_t *at, bson_t *out)
{
    const uint8_t *data = NULL;
    uint32_t size = 0;
    if (BSON_ITER_HOLDS_DOCUMENT(at)) {
        bson_iter_document(at, &size, &data);
    } else if (BSON_ITER_HOLDS_ARRAY(at)) {
        bson_iter_array(at, &size, &data);
    }
    return data && bson_init_static(out, data, size);
}

const char *pk_array_key(size_t at, char room[PK_ARRAY_KEY])
{
    const char *key = NULL;
    (void)bson_uint32_to_string((uint32_t)at, &key, room, PK_ARRAY_KEY);
    return key;
}
