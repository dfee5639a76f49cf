/* id.h - Names of things: UUIDs, mapper ids, semantic versions.
 *
 * Parsers take a length and never read past it; none of them allocates. Any
 * thread. */
/* SPDX-License-Identifier: MIT */
#ifndef PK_BASE_ID_H
#define PK_BASE_ID_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { PK_UUID_TEXT = 37 }; /* 36 characters and a NUL. */

/* A fresh random UUID v4, lower case. */
void pk_uuid_new(char out[PK_UUID_TEXT]);
/* The same, but of two the one of the later 'wall_ms' sorts behind, and of two with one 'wall_ms'
 * the one that this process drew later: 62 bits are random. For what is written often, so that an
 * index on it grows at its end instead of everywhere, and for what must keep its order. It says
 * when it was made, so never for people, nor for what must not be guessed. */
void pk_uuid_ordered(int64_t wall_ms, char out[PK_UUID_TEXT]);
/* True for a UUID of version 4 and RFC 4122's variant, either case. */
bool pk_uuid_is_v4(const char *text, size_t length);

/* [a-z0-9][a-z0-9_-]{0,63}: mappers, processors, plugins. A lower-case UUID is one, too. */
bool pk_script_id_is_valid(const char *text, size_t length);

/* Dot path of a trait: segments of [A-Za-z0-9_-]+ joined by '.', at most 200 bytes in all. */
bool pk_trait_path_is_valid(const char *text, size_t length);

/* A model version of seeds/004: a UUID v4, or v_<14 digits>_<short>. */
bool pk_model_version_is_valid(const char *text, size_t length);

/* Semantic Versioning 2.0.0. Numbers to 2^53 - 1; pre-release and build to 64 bytes each. */
struct pk_semver {
    uint64_t major, minor, patch;
    char pre[65];   /* "" or what stands behind '-'. */
    char build[65]; /* "" or what stands behind '+'. */
};
bool pk_semver_parse(const char *text, size_t length, struct pk_semver *out);
/* Below 0, 0, above 0 by precedence (section 11 of the standard); build is ignored. */
int pk_semver_compare(const struct pk_semver *a, const struct pk_semver *b);

#endif
