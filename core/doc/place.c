/* place.c - Where in a document one is, as text. */
/* SPDX-License-Identifier: MIT */
#include "doc/place.h"

#include "base/buf.h"

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
    pk_buf_add_text(path, place->key);
}
