/* place.h - Where in a document one is: a chain from the value at hand up to the document.
 *
 * The chain lives on the C stack of whoever walks a document; its text is put together only when
 * something is to be said about it. */
/* SPDX-License-Identifier: MIT */
#ifndef PK_DOC_PLACE_H
#define PK_DOC_PLACE_H

#include <stddef.h>

struct pk_buf;

struct pk_place {
    const struct pk_place *parent; /* NULL: this is the document itself. */
    const char *key;               /* In its object, as stored; NULL within an array. */
    size_t index;                  /* In its array. */
};

/* Appends "traits[3].confidence"; nothing for the document itself. Keys are escaped for a person's
 * eyes and cut at 200 bytes. */
void pk_place_add(struct pk_buf *path, const struct pk_place *place);

#endif
