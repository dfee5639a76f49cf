/* place.c - Where in a document one is, as text. */
/* SPDX-License-Identifier: MIT */
#include "doc/place.h"

#include "base/buf.h"
#include "base/text.h"
#include "base/utf8.h"

#include <string.h>

enum { KEY_SHOWN = 200 }; /* Bytes: a free-form key may have megabytes. */

/* Fit for a person's eyes: a key comes from outside. */
static void add_key(struct pk_buf *path, const char *key)
{
    size_t length = strlen(key);
    size_t shown = pk_utf8_cut((const uint8_t *)key, length, KEY_SHOWN);
    pk_text_escape(path, key, shown, false);
    if (shown < length) {
        pk_buf_add_text(path, "...");
    }
}

void pk_place_add(struct pk_buf *path, const struct pk_place *place)
{
    if (!place->parent) {
        return; /* The document itself. */
    }
    pk_place_add(path, place->parent);
    if (!place->key) {
        pk_buf_printf(path, "[%zu]", place->index);
        return;
    }
    if (path->size) {
        pk_buf_add_char(path, '.');
    }
    add_key(path, place->key);
}
