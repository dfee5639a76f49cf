/* generate.h - Documents that fit a schema, made from its rows and a seed number.
 *
 * The same seed gives the same document, another seed other ids and values.
 * Ids are unique among seeds; dates lie in 2025, and what expires does so in
 * 2100. Rules that no row can say (an '_id' of joined fields, an embedding's
 * length) are kept, too. */
/* SPDX-License-Identifier: MIT */
#ifndef PK_TEST_GENERATE_H
#define PK_TEST_GENERATE_H

#include <bson/bson.h>
#include <stdbool.h>
#include <stdint.h>

struct pk_collection;
struct pk_doc;
struct pk_schema;

struct pk_generate {
    uint64_t seed;
    bool is_full;       /* Every field, lists of two; else only what is required. */
    const char *person; /* Whose it is: a UUID v4; NULL: made from the seed. */
};

/* 'out' is initialised here and ended by the caller (bson_destroy). */
void pk_generate_bson(const struct pk_collection *collection, const struct pk_generate *how,
                      bson_t *out);
struct pk_doc *pk_generate_doc(const struct pk_collection *collection,
                               const struct pk_generate *how)
    __attribute__((returns_nonnull, warn_unused_result));
/* For schemas that are not collections. */
void pk_generate_schema(const struct pk_schema *schema, const struct pk_generate *how, bson_t *out);

/* The UUID v4 of a number: for people and ids in tests. */
void pk_generate_uuid(uint64_t seed, char out[37]);

#endif
