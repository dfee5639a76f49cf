/* doc.h - A document: immutable BSON, shared by counting references.
 *
 * What the store hands out and takes in. It is never changed once made, so any
 * thread may read it; whoever keeps it holds a reference. To make one, build a
 * bson_t with libbson and turn it into a document with pk_doc_take. Ids
 * ('_id') are strings. */
/* SPDX-License-Identifier: MIT */
#ifndef PK_DOC_DOC_H
#define PK_DOC_DOC_H

#include <bson/bson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct pk_error;
struct pk_doc; /* Opaque. Header and bytes lie in one allocation. */

enum {
    PK_DOC_MAX_BYTES = 15 * 1024 * 1024, /* Above it the store refuses. */
    PK_DOC_ID_MAX = 512,                 /* Bytes of an '_id'. */
    PK_DOC_MAX_DEPTH = 64                /* Nesting of objects and arrays. */
};

/* Copies 'bson'. It must be well-formed: libbson or a room's own writer built it. */
struct pk_doc *pk_doc_new(const bson_t *bson) __attribute__((returns_nonnull, warn_unused_result));
/* The same, and ends 'bson' (bson_destroy): the usual last step of building one. */
struct pk_doc *pk_doc_take(bson_t *bson) __attribute__((returns_nonnull, warn_unused_result));
/* Copies raw BSON from outside; false when it is not well-formed, has invalid UTF-8 or is nested
 * too deep. */
bool pk_doc_parse(struct pk_doc **out, const void *data, size_t size, struct pk_error *err);
/* For stores: a copy that carries the version under which it is stored. */
struct pk_doc *pk_doc_new_versioned(const bson_t *bson, int64_t version)
    __attribute__((returns_nonnull, warn_unused_result));

struct pk_doc *pk_doc_ref(struct pk_doc *doc);
void pk_doc_unref(struct pk_doc *doc); /* NULL is fine. */
void pk_doc_unrefp(struct pk_doc **doc);

/* A read-only view; valid while a reference is held. Nothing to destroy. */
void pk_doc_view(const struct pk_doc *doc, bson_t *out_view);
const uint8_t *pk_doc_data(const struct pk_doc *doc);
size_t pk_doc_size(const struct pk_doc *doc);
/* The '_id', or NULL when there is none or it is not a string. */
const char *pk_doc_id(const struct pk_doc *doc);
/* The store's version of it: opaque, above 0, new with every replace and never used twice for one
 * id; 0 for a document that was not read from a store. Not the 'version' field of the domain. */
int64_t pk_doc_version(const struct pk_doc *doc);

/* Equal bytes, or equal but for the order of fields within objects. */
bool pk_doc_same(const struct pk_doc *a, const struct pk_doc *b);

/* Convenience for reading: the value at a dot path (see path.h). False, NULL or the fallback when
 * it is absent or of another type. Texts are owned by the document. A text may contain U+0000 (JSON
 * allows it): pk_doc_text shows what is before it; fields with a format or an enumeration have
 * none, and who must see all bytes uses pk_path_find and bson_iter_utf8. */
const char *pk_doc_text(const struct pk_doc *doc, const char *path);
int64_t pk_doc_int(const struct pk_doc *doc, const char *path, int64_t fallback);
double pk_doc_number(const struct pk_doc *doc, const char *path, double fallback);
bool pk_doc_bool(const struct pk_doc *doc, const char *path, bool fallback);
int64_t pk_doc_date(const struct pk_doc *doc, const char *path, int64_t fallback_ms);

#endif
