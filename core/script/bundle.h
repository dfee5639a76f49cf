/* bundle.h - A script as it was handed in: files with names, one hash over all, and perhaps a
 * signature.
 *
 * A bundle is one Lua file, one JSON file (declared rules), or a folder whose
 * 'init.lua' is the script and whose other '*.lua' files it can require by name.
 * Beside any of these there may be PK_BUNDLE_TUNING: what training has changed
 * of a mapper (lua/personakit/tuning.lua); it is no part of what was written.
 * It is read whole, checked to be what it seems, and never changes: a
 * reference is taken with pk_bundle_ref. Its identity is the hash over names
 * and texts of its files; of a single file, over its text alone.
 *
 *     struct pk_bundle *bundle = NULL;
 *     if (!pk_bundle_read("mappers/daily.lua", &options, &bundle, err)) { ... }
 *
 * What is refused, each with a sentence: symbolic links, files that others may
 * write, that are no plain files, empty ones, those that changed while they
 * were read, and too many or too much. Any thread. */
/* SPDX-License-Identifier: MIT */
#ifndef PK_SCRIPT_BUNDLE_H
#define PK_SCRIPT_BUNDLE_H

#include "base/crypto.h"

#include <bson/bson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct pk_error;

enum {
    PK_BUNDLE_FILES_MAX = 64,
    PK_BUNDLE_FILE_MAX_BYTES = 1 << 20,
    PK_BUNDLE_MAX_BYTES = 4 << 20,
    PK_BUNDLE_NAME_MAX = 64 /* Bytes of a file's name: [a-z0-9][a-z0-9_-]* and .lua or .json. */
};

#define PK_BUNDLE_TUNING "tuning.json"

enum pk_bundle_format { PK_BUNDLE_LUA, PK_BUNDLE_RULES };

struct pk_bundle_file {
    char *name; /* "init.lua"; of a single file its own name: "daily.lua". */
    char *text; /* Ended by a NUL that does not count. */
    size_t size;
};
struct pk_bundle_signature {
    bool is_there;
    uint8_t key[32]; /* Ed25519: the public key ... */
    uint8_t sig[64]; /* ... and the signature of the hash. */
};
struct pk_bundle {
    enum pk_bundle_format format;
    struct pk_bundle_file *file; /* By name; ... */
    size_t count;
    size_t main;                         /* ... this one is the script. */
    const struct pk_bundle_file *tuning; /* PK_BUNDLE_TUNING; NULL: there is none. */
    uint8_t hash[PK_HASH_BYTES];
    char hash_text[PK_HASH_TEXT];
    struct pk_bundle_signature signature; /* Not yet verified. */
    unsigned refs;                        /* pk_bundle_ref's own. */
};

/* From a file or folder of the file system. */
bool pk_bundle_read(const char *path, struct pk_bundle **out, struct pk_error *err);
/* From one text, as it comes in a request: 'name' ends in .lua or .json. */
bool pk_bundle_of_text(const char *name, const char *text, size_t size, struct pk_bundle **out,
                       struct pk_error *err);
/* The same files with this tuning, and without the signature, which was of other content. */
bool pk_bundle_tune(const struct pk_bundle *bundle, const char *tuning, size_t size,
                    struct pk_bundle **out, struct pk_error *err);
/* To and from what the store keeps: { files: { <name>: <text> ... }, signature: { key, sig }? },
 * where names are escaped as keys of maps are (doc/names.h). */
bool pk_bundle_of_doc(const bson_t *doc, struct pk_bundle **out, struct pk_error *err);
void pk_bundle_put(const struct pk_bundle *bundle, bson_t *out);

struct pk_bundle *pk_bundle_ref(struct pk_bundle *bundle);
void pk_bundle_unref(struct pk_bundle *bundle); /* NULL is fine. */

/* Line 'number' (from 1) of a file, without its end; false when there is none. */
bool pk_bundle_line(const struct pk_bundle *bundle, const char *file, unsigned number,
                    const char **out, size_t *out_size);

#endif
