/* trait_internal.h - A trait taken apart, for trait_*.c only. */
/* SPDX-License-Identifier: MIT */
#ifndef PK_PERSONA_TRAIT_INTERNAL_H
#define PK_PERSONA_TRAIT_INTERNAL_H

#include "base/id.h"
#include "persona/trait.h"

enum { PK_TRAIT_PATH = 201 }; /* Bytes of a path with its NUL. */

struct trait_source {
    char obs[PK_UUID_TEXT];
    double weight;
};
/* What else is said of it, by those who did not prevail. */
struct trait_alternative {
    bson_iter_t value;
    double confidence;
    int64_t updated_ms;
    char obs[PK_UUID_TEXT]; /* That said so last. */
};

/* Texts and iterators point into the document that it was read from, or into what was said. */
struct trait {
    const char *path, *category, *volatility;
    const char *source_type; /* NULL: not known. */
    bson_iter_t value;
    bson_t moved; /* Holds the number that has moved: its own or an alternative's. */
    double confidence;
    int64_t updated_ms;
    bool has_valid_from;
    int64_t valid_from_ms;
    struct trait_source source[PK_TRAIT_SOURCES + 1]; /* Weightiest first, then by id. */
    size_t source_count;
    int64_t counted; /* Observations in all. */
    bool has_links, is_pinned;
    bson_iter_t links;
    bson_t metadata;                                                 /* Without the alternatives. */
    struct trait_alternative alternative[PK_TRAIT_ALTERNATIVES + 1]; /* Surest first. */
    size_t alternative_count;
};

/* Initialises 'out'; the caller ends it. */
void trait_read(const bson_t *doc, struct trait *out);
void trait_init(struct trait *trait); /* An empty one. */
void trait_done(struct trait *trait);
/* 'out' is initialised here. */
void trait_write(const struct trait *trait, bson_t *out);

/* Adds an observation, or makes one that is there weightier. 'is_more': it is counted already. */
void trait_add_source(struct trait *trait, const char *obs, double weight, bool is_more);
/* 'value', of the trait or of an alternative, is this number now; once for each trait read. */
void trait_move(struct trait *trait, bson_iter_t *value, double number);
bool trait_number(const bson_iter_t *value, double *out);
void trait_sort_alternatives(struct trait *trait);

#endif
