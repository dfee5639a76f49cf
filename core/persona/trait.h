/* trait.h - The arithmetic of evidence, in one place.
 *
 * What each verb does to a trait's value, confidence and sources; how
 * confidence decays when it is read; what a policy decides when sources
 * disagree. README.md of this room writes the formulas down, and
 * tests/unit/persona/test_trait.c holds them to a table. Pure; any thread. */
/* SPDX-License-Identifier: MIT */
#ifndef PK_PERSONA_TRAIT_H
#define PK_PERSONA_TRAIT_H

#include <bson/bson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct pk_error;

enum pk_conflict {
    PK_CONFLICT_LATEST,
    PK_CONFLICT_STRONGEST,
    PK_CONFLICT_KEEP_ALL,
    PK_CONFLICT_REVIEW
};

/* Declared by settings: "work.*=review" ... The first pattern that fits wins; else 'strongest'. */
struct pk_policies;
/* 'conflict' is a list of "PATTERN=POLICY", NULL-terminated, or NULL. */
struct pk_policies *pk_policies_new(const char *const *conflict, struct pk_error *err);
void pk_policies_free(struct pk_policies *policies);
enum pk_conflict pk_policies_of(const struct pk_policies *policies, const char *path);

/* Milliseconds after which half of the confidence is left; 0: never decays (pinned). */
int64_t pk_trait_half_life(const struct pk_policies *policies, const bson_t *trait);
/* What the stored confidence is worth at 'now_ms'; elapsed time is never below 0. */
double pk_trait_confidence(const struct pk_policies *policies, const bson_t *trait, int64_t now_ms);

#endif
