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

/* ---- Policies ---- */

enum pk_conflict {
    PK_CONFLICT_LATEST,
    PK_CONFLICT_STRONGEST,
    PK_CONFLICT_KEEP_ALL,
    PK_CONFLICT_REVIEW
};

/* Declared by settings: "work.*=review" ... The first pattern that fits wins; else 'strongest'. */
struct pk_policies;
/* 'conflict' is a list of "PATTERN=POLICY", NULL-terminated, or NULL. A pattern is a path, a path
 * with ".*" behind it (what lies below), or "*". NULL, with 'err', for one that is none. */
struct pk_policies *pk_policies_new(const char *const *conflict, struct pk_error *err);
void pk_policies_free(struct pk_policies *policies);
/* Half-lives that differ from trait.c's: "high=7d", "medium=12h"; and factors of sources:
 * "chat_log=0.25", 0 for what does not decay. NULL-terminated, or NULL. False, with 'err', for one
 * that is none. */
bool pk_policies_decay(struct pk_policies *policies, const char *const *half_life,
                       struct pk_error *err);
/* What a persona that read confidence keeps of these: a text, the same for the same half-lives;
 * NULL for trait.c's. */
const char *pk_policies_decay_key(const struct pk_policies *policies);
/* 'policies' NULL: those of nothing declared. */
enum pk_conflict pk_policies_of(const struct pk_policies *policies, const char *path);

/* ---- Decay ---- */

/* Milliseconds after which half of the confidence is left; 0: never decays (pinned, or said by a
 * person). */
int64_t pk_trait_half_life(const struct pk_policies *policies, const bson_t *trait);
/* What the stored confidence is worth at 'now_ms'; elapsed time is never below 0. */
double pk_trait_confidence(const struct pk_policies *policies, const bson_t *trait, int64_t now_ms);

/* ---- The formulas, for the table ---- */

enum { PK_TRAIT_SOURCES = 32, PK_TRAIT_ALTERNATIVES = 8 };
/* Nothing that scripts say makes us surer than this, unless they name a greater confidence. */
#define PK_TRAIT_SURE 0.99

/* 'volatility' low, medium or high; 'source_type' may be NULL. */
int64_t pk_decay_half_life(const struct pk_policies *policies, const char *volatility,
                           const char *source_type);
double pk_decay(double confidence, int64_t half_life_ms, int64_t elapsed_ms);
double pk_agree(double confidence, double weight, double ceiling);
double pk_object(double confidence, double weight);       /* Evidence against it that lost. */
double pk_weaken(double confidence, double weight);       /* Evidence that it holds less. */
double pk_move_share(double weight, double held_weights); /* How far a number moves: 0 to 1. */
double pk_nearness(double a, double b);                   /* 1: equal; 0: as far as it counts. */

/* ---- Verbs ---- */

enum pk_verb {
    PK_VERB_SET,
    PK_VERB_REINFORCE,
    PK_VERB_WEAKEN,
    PK_VERB_CONTRADICT,
    PK_VERB_RETRACT,
    PK_VERB_PIN,
    PK_VERB_UNPIN
};

/* What an operation says of a trait, checked. */
struct pk_said {
    enum pk_verb verb;
    const char *path;
    const bson_t *value;     /* { "v": value }, keys in their stored form; NULL: none. */
    double weight;           /* Below 0: the verb's own. */
    double confidence;       /* Below 0: not said. */
    const char *volatility;  /* NULL: not said. */
    const char *category;    /* NULL: not said. */
    const bson_t *metadata;  /* Keys in their stored form; NULL: none. */
    bool has_valid_from;     /* 'valid_from_ms' was said. */
    int64_t valid_from_ms;   /* Wall. */
    const char *source_type; /* Of the observation. */
    bool is_person;          /* A curation: it outranks what processors say. */
    int64_t at_ms;           /* effectiveAt */
    const char *const *obs;  /* The observations that it rests on; at least one. */
    size_t obs_count;
    bool is_more; /* The trait has been changed by this observation already: it counts once. */
};
enum pk_outcome {
    PK_OUTCOME_NONE,    /* It changes nothing. */
    PK_OUTCOME_TRAIT,   /* 'out' is the trait now. */
    PK_OUTCOME_REMOVED, /* The trait is no longer held. */
    PK_OUTCOME_PROPOSED /* 'out' is what it would become: a person decides. */
};
/* 'held' is the trait, or NULL. 'out' is initialised, and ended by the caller, for TRAIT and
 * PROPOSED only. */
enum pk_outcome pk_trait_weigh(const struct pk_policies *policies, const bson_t *held,
                               const struct pk_said *said, bson_t *out);
/* A narrative speaks of the trait: it is linked, once, the 32 latest. False: it was already. */
bool pk_trait_link(const bson_t *held, const char *narrative, const char *link_type, bson_t *out);
/* Equal words, equal numbers (however stored), equal things. */
bool pk_trait_same_value(const bson_iter_t *a, const bson_iter_t *b);
/* "numeric", "categorical" or "complex". */
const char *pk_trait_data_type(const bson_iter_t *value);

#endif
