/* peek.h - A look into a bson_t that may hold anything.
 *
 * For documents that were read from the store or made by a script: what is
 * absent and what is of another type are the same, nothing. Whoever wants to
 * tell them apart asks libbson; whoever has a document or a dot path has
 * pk_doc_text (doc.h) and pk_path_find (path.h).
 *
 *     while (bson_iter_next(&each)) {
 *         if (pk_peek_object(&each, &item) && pk_peek_text(&item, "id", NULL)) ... */
/* SPDX-License-Identifier: MIT */
#ifndef PK_DOC_PEEK_H
#define PK_DOC_PEEK_H

#include <bson/bson.h>
#include <stdbool.h>
#include <stddef.h>

enum { PK_ARRAY_KEY = 16 }; /* Room for the key of an array's element. */

/* The text of a field, owned by the document; 'fallback' (may be NULL) when there is none. */
const char *pk_peek_text(const bson_t *in, const char *name, const char *fallback);

/* A view of the object at 'at', and of the object or array; false and 'out' untouched when there is
 * none. Valid as long as what 'at' reads; nothing to destroy. */
bool pk_peek_object(const bson_iter_t *at, bson_t *out);
bool pk_peek_view(const bson_iter_t *at, bson_t *out);

/* The key of an array's element: "0", "1"... */
const char *pk_array_key(size_t at, char room[PK_ARRAY_KEY]);

#endif
