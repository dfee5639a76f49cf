/* names.h - One thing, three spellings: stored, over HTTP, and in version 0.2.0.
 *
 * Stored documents have Option A's names, HTTP speaks those of the data schema
 * design, imports come with those of v0.2.0. The table in names.c is the only
 * place that knows; a path without a row is spelt alike everywhere. */
/* SPDX-License-Identifier: MIT */
#ifndef PK_DOC_NAMES_H
#define PK_DOC_NAMES_H

#include <bson/bson.h>
#include <stdbool.h>
#include <stddef.h>

struct pk_error;

struct pk_name {
    const char *collection;
    const char *stored; /* Path in the stored document. */
    const char *http;   /* Path in HTTP bodies; NULL: not shown there. */
    const char *v020;   /* Column, or path in a JSONB column, of v0.2.0; NULL: has none. */
    const char *others; /* Further spellings of the specification, comma-separated; or NULL. */
};

/* All rows; '*out_count' of them. */
const struct pk_name *pk_names(size_t *out_count);

enum pk_spelling { PK_SPELLING_STORED, PK_SPELLING_HTTP, PK_SPELLING_V020 };

/* Rewrites a document's field paths from one spelling to another; values stay as they are. 'out'
 * is initialised here and ended by the caller, on success only. Fails when two fields would land
 * on one path, when a field is given to the store under its stored name though it has another one
 * in 'from', or over HTTP though it has none there, and above 128 fields in an object whose fields
 * have rows. */
bool pk_names_translate(const char *collection, enum pk_spelling from, enum pk_spelling to,
                        const bson_t *doc, bson_t *out, struct pk_error *err);

#endif
