/* inventory.h - The table of collections: everything that is ever stored.
 *
 * One row per collection says what its documents look like, how they are
 * found, when they expire, whose they are, and what happens to them on export
 * and erasure. Both stores are built from this table, and validation, export,
 * erase, replay and the tests that plant a row everywhere are driven by it.
 *
 * If you add a collection, add its row in inventory.c, its schema in the
 * schema_*.c of its subject, and its names in names.c. */
/* SPDX-License-Identifier: MIT */
#ifndef PK_DOC_INVENTORY_H
#define PK_DOC_INVENTORY_H

#include "doc/schema.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { PK_INDEX_MAX_KEYS = 4 };

/* A partial index holds only some documents. */
enum pk_only {
    PK_ONLY_ALL,    /* Not partial. */
    PK_ONLY_EXISTS, /* Those where 'only_path' is there (and not null). */
    PK_ONLY_TEXT,   /* Those where 'only_path' is the string 'only_text'. */
    PK_ONLY_TRUE    /* Those where 'only_path' is true. */
};

struct pk_index_key {
    const char *path;   /* Dot path; 'tags[]' or 'metadata.*' (path.h) in the first key only. */
    bool is_descending; /* Order in which a query without is_descending returns them. */
};

struct pk_index {
    const char *name; /* "by_user_created": unique within the collection. */
    struct pk_index_key key[PK_INDEX_MAX_KEYS];
    size_t key_count;
    bool is_unique;
    enum pk_only only;
    const char *only_path;
    const char *only_text;
    const char *seed; /* The specification's names of it, ", " between them; NULL: it is ours. */
};

/* What becomes of a document when its person is erased. */
enum pk_erase {
    PK_ERASE_NOT_PERSONAL, /* It says nothing about a person. */
    PK_ERASE_DELETE,       /* It is deleted. */
    PK_ERASE_KEEP_HASHED   /* It stays and names people by keyed hash or bare id only. */
};

/* What becomes of a document when its person is merged into another one. */
enum pk_merge {
    PK_MERGE_STAYS, /* It stays under the old id: found when both are exported or erased. */
    PK_MERGE_MOVES, /* It is the other's from then on; 'mergedFrom' says whose it was. */
    PK_MERGE_GOES   /* It is deleted: made of what moves, and made anew. */
};

struct pk_collection {
    const char *name;
    const struct pk_schema *schema;
    const struct pk_index *index;
    size_t index_count;
    const char *ttl_path;    /* Date at which a document expires; NULL: never. The index on it
                              * alone, "by_expiry", is the engine's TTL index. */
    const char *person_path; /* Indexed field that names its people; NULL: none. */
    bool is_person_id;       /* The '_id' is the person. */
    bool is_guarded;         /* pk_writes_expect_absent may be used on it. */
    bool is_feed;            /* The 'events' collection: writes announce. */
    bool is_exported;        /* Part of a person's export. */
    enum pk_erase erase;
    enum pk_merge merge;
    const char *retention; /* The setting that says how long it is kept, or NULL. */
    const char *help;
};

struct pk_inventory {
    const struct pk_collection *collection;
    size_t count;
    int64_t schema_version; /* Raised when stored documents change shape; see store.h. */
};

/* The server's own. */
const struct pk_inventory *pk_inventory_builtin(void);

const struct pk_collection *pk_inventory_find(const struct pk_inventory *inventory,
                                              const char *name);
const struct pk_index *pk_collection_index(const struct pk_collection *collection,
                                           const char *name);

/* Schemas that are not collections: bodies of requests and answers, spelt as over HTTP. */
const struct pk_schema *const *pk_schemas(size_t *out_count);

#endif
