/* path.h - Dot paths into documents.
 *
 * "sourceMetadata.timestamp" names a field of a field. Two further forms exist
 * for indexes, which may have many values per document:
 *
 *     tags[]            each element of the array 'tags'
 *     apiKeys[].keyId   that field of each element
 *     metadata.*        each scalar anywhere under 'metadata'
 *
 * Any thread. */
/* SPDX-License-Identifier: MIT */
#ifndef PK_DOC_PATH_H
#define PK_DOC_PATH_H

#include <bson/bson.h>
#include <stdbool.h>

/* Finds a plain dot path (array elements by number are found, too). */
bool pk_path_find(const bson_t *doc, const char *path, bson_iter_t *out);

/* True when the path has '[]' or '*': its index has many rows per document. */
bool pk_path_is_multi(const char *path);

/* Calls 'each' for every scalar value that the path reaches; 'below' is the stored path under the
 * '*' ("" for the other forms). Stops when 'each' returns false, and then returns false. */
typedef bool pk_path_each_fn(void *context, const char *below, const bson_iter_t *value);
bool pk_path_each(const bson_t *doc, const char *path, pk_path_each_fn *each, void *context);

#endif
