/* keys.h - All keys of a document in their stored form, or as their author wrote them.
 *
 * JSON comes in with its keys escaped (json.h). What scripts hand over, and
 * what they are handed, has plain keys: these two stand between. Any thread. */
/* SPDX-License-Identifier: MIT */
#ifndef PK_DOC_KEYS_H
#define PK_DOC_KEYS_H

#include <bson/bson.h>

/* 'out' is initialised here and ended by the caller. */
void pk_keys_escape(const bson_t *doc, bson_t *out);
void pk_keys_unescape(const bson_t *doc, bson_t *out);
/* Appends the element that 'value' stands on under 'key', all keys in it unescaped. */
void pk_keys_append_unescaped(bson_t *out, const char *key, const bson_iter_t *value);

#endif
