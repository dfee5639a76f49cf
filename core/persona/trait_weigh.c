/* trait_weigh.c - What one operation makes of one trait.
 *
 *     new            held as it was said
 *     agrees         surer: c' = 1 - (1 - c)(1 - w), up to a ceiling
 *     a number       moves to what was said by its weight among those held, and is as much surer
 *                    as the two are near
 *     disagrees      the path's policy: latest, strongest, keep_all, review
 *
 * What a person has set or pinned is held fast: processors may agree, and
 * make it surer; where they disagree they are kept as an alternative, or wait
 * for a person where the policy says 'review'; they can neither weaken nor
 * retract it. People are never late, and always prevail.
 *
 * Late evidence (older than what the trait says already) never takes the
 * trait's place: where it agrees or moves a number it counts with its weight
 * decayed by how late it is; where it disagrees it is the one that loses. No
 * date of a trait ever goes back. */
/* SPDX-License-Identifier: MIT */
#include "persona/trait_internal.h"

#include "base/alloc.h"

#include <string.h>

/* Weights of those operations that name none. */
static const double weight_of[] = {
    [PK_VERB_SET] = 0.8,        [PK_VERB_REINFORCE] = 0.5, [PK_VERB_WEAKEN] = 0.3,
    [PK_VERB_CONTRADICT] = 0.5, [PK_VERB_RETRACT] = 0.0,   [PK_VERB_PIN] = 0.0,
    [PK_VERB_UNPIN] = 0.0,
};

/* One operation on one trait. */
struct weighing {
    const struct pk_policies *policies;
    const struct pk_said *said;
    struct trait *trait;
    int64_t now_ms;               /* Of the trait: never before it last changed. */
    bool is_late;                 /* It knows better already. */
    bool is_fast;                 /* A person holds it, and a processor speaks. */
    bool is_counted;              /* The observation has been counted among its sources. */
    double confidence;            /* Of the trait, decayed to 'now_ms'. */
    double weight;                /* Of what is said, decayed by how late it is. */
    double strength;              /* How sure what is said is by itself; likewise. */
    bson_iter_t value;            /* What is said; only where there is one. */
    char category[PK_TRAIT_PATH]; /* Of a new trait. */
};

static int64_t half_life_of(const struct weighing *weighing)
{
    const struct trait *trait = weighing->trait;
    return trait->is_pinned
               ? 0
               : pk_decay_half_life(weighing->policies, trait->volatility, trait->source_type);
}

static bool is_by_person(const struct trait *trait)
{
    return trait->source_type && strcmp(trait->source_type, "curation") == 0;
}

static double rounded(double x)
{
    return pk_agree(x, 0, 1); /* Within [0, 1], as it is stored. */
}

static void begin(struct weighing *weighing)
{
    const struct pk_said *said = weighing->said;
    const struct trait *trait = weighing->trait;
    const double weight = said->weight >= 0 ? said->weight : weight_of[said->verb];
    const double strength = said->confidence >= 0 ? said->confidence : weight;

    weighing->is_counted = said->is_more;
    weighing->is_late = !said->is_person && said->at_ms < trait->updated_ms;
    weighing->is_fast = !said->is_person && (trait->is_pinned || is_by_person(trait));
    weighing->now_ms = said->at_ms > trait->updated_ms ? said->at_ms : trait->updated_ms;
    weighing->confidence =
        pk_decay(trait->confidence, half_life_of(weighing), weighing->now_ms - trait->updated_ms);
    const int64_t late_ms = weighing->now_ms - said->at_ms;
    const int64_t half_life_ms =
        pk_decay_half_life(weighing->policies, trait->volatility, said->source_type);
    weighing->weight = rounded(pk_decay(weight, half_life_ms, late_ms));
    weighing->strength = rounded(pk_decay(strength, half_life_ms, late_ms));
}

/* ---- Parts of an effect ---- */

/* How long the word of a source stands; what does not decay stands longest. */
static int64_t standing(const struct pk_policies *policies, const char *source_type)
{
    const int64_t half_life_ms = pk_decay_half_life(policies, "low", source_type);
    return half_life_ms == 0 ? INT64_MAX : half_life_ms;
}

static void add_sources(struct weighing *weighing)
{
    const struct pk_said *said = weighing->said;
    struct trait *trait = weighing->trait;
    for (size_t i = 0; i < said->obs_count; i++) {
        trait_add_source(trait, said->obs[i], weighing->weight, weighing->is_counted);
    }
    if (said->source_type &&
        (!trait->source_type || standing(weighing->policies, said->source_type) >
                                    standing(weighing->policies, trait->source_type))) {
        trait->source_type = said->source_type;
    }
}

static const char alternatives_key[] = "alternatives"; /* Ours: nobody says them. */

/* Keys of 'doc' that 'other' (NULL: none) has not. */
static size_t count_without(const bson_t *doc, const bson_t *other)
{
    bson_iter_t field, found;
    size_t count = 0;
    for (bool is_ok = bson_iter_init(&field, doc); is_ok && bson_iter_next(&field);) {
        const char *key = bson_iter_key(&field);
        count += strcmp(key, alternatives_key) != 0 &&
                 (!other || !bson_iter_init_find(&found, other, key));
    }
    return count;
}

/* Given keys over those that are there; of too many the oldest go. */
static void merge_metadata(struct trait *trait, const bson_t *given)
{
    enum { KEYS_MAX = 200 };
    bson_t merged = BSON_INITIALIZER;
    bson_iter_t field, found;
    const size_t all = count_without(&trait->metadata, given) + count_without(given, NULL);
    size_t surplus = all > KEYS_MAX ? all - KEYS_MAX : 0;

    for (bool is_ok = bson_iter_init(&field, &trait->metadata); is_ok && bson_iter_next(&field);) {
        if (bson_iter_init_find(&found, given, bson_iter_key(&field))) {
            continue;
        }
        if (surplus > 0) {
            surplus--;
        } else {
            (void)bson_append_iter(&merged, NULL, 0, &field);
        }
    }
    for (bool is_ok = bson_iter_init(&field, given); is_ok && bson_iter_next(&field);) {
        if (strcmp(bson_iter_key(&field), alternatives_key) != 0) {
            (void)bson_append_iter(&merged, NULL, 0, &field);
        }
    }
    bson_destroy(&trait->metadata);
    bson_init(&trait->metadata);
    (void)bson_concat(&trait->metadata, &merged);
    bson_destroy(&merged);
}

/* What is said beside the value; not by the late, and not of what a person holds. */
static void add_details(struct weighing *weighing)
{
    const struct pk_said *said = weighing->said;
    struct trait *trait = weighing->trait;
    if (weighing->is_late || weighing->is_fast) {
        return;
    }
    trait->volatility = said->volatility ? said->volatility : trait->volatility;
    trait->category = said->category ? said->category : trait->category;
    if (said->has_valid_from) {
        trait->has_valid_from = true;
        trait->valid_from_ms = said->valid_from_ms;
    }
    if (said->metadata) {
        merge_metadata(trait, said->metadata);
    }
}

static void drop_alternative(struct trait *trait, const bson_iter_t *value)
{
    size_t kept = 0;
    for (size_t i = 0; i < trait->alternative_count; i++) {
        if (!pk_trait_same_value(&trait->alternative[i].value, value)) {
            trait->alternative[kept++] = trait->alternative[i];
        }
    }
    trait->alternative_count = kept;
}

/* The trait says what was said, and rests on it alone. */
static void replace(struct weighing *weighing)
{
    struct trait *trait = weighing->trait;
    trait->value = weighing->value;
    trait->confidence = weighing->strength;
    trait->updated_ms = weighing->now_ms;
    trait->has_valid_from = false;
    trait->source_count = 0;
    trait->counted = 0;
    trait->source_type = NULL;
    weighing->is_counted = false; /* It starts anew. */
    add_sources(weighing);
    add_details(weighing);
    drop_alternative(trait, &trait->value);
}

static void agree(struct weighing *weighing, double nearness)
{
    const double said = weighing->said->confidence;
    const double ceiling = said >= 0 ? said : PK_TRAIT_SURE;
    struct trait *trait = weighing->trait;
    trait->confidence = pk_agree(weighing->confidence, weighing->weight * nearness, ceiling);
    trait->updated_ms = weighing->now_ms;
    add_sources(weighing);
    add_details(weighing);
}

/* ---- Numbers ---- */

static double moved(double held, double said, double share)
{
    return held * (1 - share) + said * share; /* In this form nothing can overflow. */
}

static double held_weights(const struct weighing *weighing)
{
    const struct trait *trait = weighing->trait;
    double sum = 0;
    for (size_t i = 0; i < trait->source_count; i++) {
        sum += trait->source[i].weight;
    }
    return pk_decay(sum, half_life_of(weighing), weighing->now_ms - trait->updated_ms);
}

static void move_number(struct weighing *weighing, double held, double said)
{
    struct trait *trait = weighing->trait;
    const double share = pk_move_share(weighing->weight, held_weights(weighing));
    trait_move(trait, &trait->value, moved(held, said, share));
    agree(weighing, pk_nearness(held, said));
}

/* ---- Those who disagree ---- */

static struct trait_alternative *alternative_of(struct weighing *weighing)
{
    struct trait *trait = weighing->trait;
    double number = 0;
    const bool moves =
        weighing->said->verb == PK_VERB_REINFORCE && trait_number(&weighing->value, &number);
    for (size_t i = 0; i < trait->alternative_count; i++) {
        struct trait_alternative *each = &trait->alternative[i];
        double held = 0;
        if (pk_trait_same_value(&each->value, &weighing->value)) {
            return each;
        }
        if (moves && trait_number(&each->value, &held)) {
            const double share = pk_move_share(weighing->weight, each->confidence);
            trait_move(trait, &each->value, moved(held, number, share));
            return each;
        }
    }
    return NULL;
}

static void add_alternative(struct weighing *weighing)
{
    struct trait *trait = weighing->trait;
    struct trait_alternative *each = alternative_of(weighing);
    if (each) {
        const int64_t age_ms = weighing->said->at_ms - each->updated_ms;
        const double before = pk_decay(
            each->confidence,
            pk_decay_half_life(weighing->policies, trait->volatility, weighing->said->source_type),
            age_ms);
        each->confidence = pk_agree(before, weighing->weight, PK_TRAIT_SURE);
        each->updated_ms = age_ms > 0 ? weighing->said->at_ms : each->updated_ms;
    } else {
        each = &trait->alternative[trait->alternative_count++]; /* One more than are kept. */
        each->value = weighing->value;
        each->confidence = weighing->strength;
        each->updated_ms = weighing->said->at_ms;
    }
    const char *obs = weighing->said->obs[0];
    memcpy(each->obs, obs, PK_UUID_TEXT);
    trait_sort_alternatives(trait);
}

/* The surest alternative and the trait's value change places, when it is surer. */
static void swap_if_surer(struct weighing *weighing)
{
    struct trait *trait = weighing->trait;
    struct trait_alternative *first = &trait->alternative[0];
    if (weighing->is_late || trait->alternative_count == 0 ||
        first->confidence <= weighing->confidence) {
        return;
    }
    const struct trait_alternative down = {
        .value = trait->value,
        .confidence = rounded(weighing->confidence),
        .updated_ms = weighing->now_ms,
    };
    const char *last = trait->source_count > 0 ? trait->source[0].obs : weighing->said->obs[0];
    char obs[PK_UUID_TEXT];
    memcpy(obs, last, sizeof(obs));
    weighing->value = first->value;
    weighing->strength = first->confidence;
    *first = down;
    memcpy(first->obs, obs, sizeof(obs));
    replace(weighing);
    trait_sort_alternatives(trait);
}

static enum pk_outcome disagree(struct weighing *weighing, enum pk_conflict conflict)
{
    struct trait *trait = weighing->trait;
    if (weighing->is_fast && weighing->is_late) {
        return PK_OUTCOME_NONE; /* A person has decided since. */
    }
    switch (conflict) {
    case PK_CONFLICT_LATEST:
        if (weighing->is_late) {
            return PK_OUTCOME_NONE;
        }
        replace(weighing);
        return PK_OUTCOME_TRAIT;
    case PK_CONFLICT_STRONGEST:
        if (!weighing->is_late && weighing->strength >= weighing->confidence) {
            replace(weighing);
        } else {
            trait->confidence = pk_object(weighing->confidence, weighing->strength);
            trait->updated_ms = weighing->now_ms;
        }
        return PK_OUTCOME_TRAIT;
    case PK_CONFLICT_KEEP_ALL:
        add_alternative(weighing);
        if (!weighing->is_fast) {
            swap_if_surer(weighing);
        }
        return PK_OUTCOME_TRAIT;
    case PK_CONFLICT_REVIEW:
        replace(weighing);
        return PK_OUTCOME_PROPOSED;
    }
    return PK_OUTCOME_NONE;
}

/* A source that sets again what it has set is not in conflict with itself. */
static enum pk_conflict conflict_of(const struct weighing *weighing)
{
    const struct pk_said *said = weighing->said;
    const struct trait *trait = weighing->trait;
    const enum pk_conflict declared = pk_policies_of(weighing->policies, said->path);
    if (weighing->is_fast) {
        return declared == PK_CONFLICT_REVIEW ? PK_CONFLICT_REVIEW : PK_CONFLICT_KEEP_ALL;
    }
    const bool is_same_source = said->source_type && trait->source_type &&
                                strcmp(said->source_type, trait->source_type) == 0;
    return said->verb == PK_VERB_SET && is_same_source ? PK_CONFLICT_LATEST : declared;
}

/* ---- Verbs ---- */

static enum pk_outcome say_by_person(struct weighing *weighing, bool is_same)
{
    struct trait *trait = weighing->trait;
    const double said = weighing->said->confidence;
    weighing->strength = said >= 0 ? said : 1;
    weighing->weight = weighing->said->weight >= 0 ? weighing->said->weight : 1;
    if (is_same) {
        trait->confidence = rounded(weighing->strength);
        trait->updated_ms = weighing->now_ms;
        add_sources(weighing);
        add_details(weighing);
    } else {
        replace(weighing);
    }
    trait->source_type = weighing->said->source_type;
    trait->alternative_count = 0; /* It is decided. */
    return PK_OUTCOME_TRAIT;
}

static enum pk_outcome say_value(struct weighing *weighing)
{
    double held = 0, said = 0;
    const bool is_same = pk_trait_same_value(&weighing->trait->value, &weighing->value);
    if (weighing->said->is_person) {
        return say_by_person(weighing, is_same);
    }
    if (is_same) {
        agree(weighing, 1);
        return PK_OUTCOME_TRAIT;
    }
    if (weighing->said->verb == PK_VERB_REINFORCE && !weighing->is_fast &&
        trait_number(&weighing->trait->value, &held) && trait_number(&weighing->value, &said)) {
        move_number(weighing, held, said);
        return PK_OUTCOME_TRAIT;
    }
    return disagree(weighing, conflict_of(weighing));
}

static enum pk_outcome say_nothing_new(struct weighing *weighing)
{
    struct trait *trait = weighing->trait;
    switch (weighing->said->verb) {
    case PK_VERB_WEAKEN:
        if (weighing->is_fast) {
            return PK_OUTCOME_NONE;
        }
        trait->confidence = pk_weaken(weighing->confidence, weighing->weight);
        trait->updated_ms = weighing->now_ms;
        return PK_OUTCOME_TRAIT;
    case PK_VERB_RETRACT:
        return weighing->is_fast || weighing->is_late ? PK_OUTCOME_NONE : PK_OUTCOME_REMOVED;
    case PK_VERB_PIN:
        trait->is_pinned = true;
        return PK_OUTCOME_TRAIT;
    case PK_VERB_UNPIN:
        if (trait->is_pinned) { /* It decays from here on, not from long ago. */
            trait->is_pinned = false;
            trait->updated_ms = weighing->now_ms;
        }
        return PK_OUTCOME_TRAIT;
    case PK_VERB_SET:
    case PK_VERB_REINFORCE:
    case PK_VERB_CONTRADICT:
        break;
    }
    return PK_OUTCOME_NONE;
}

/* The first segment, until somebody says another. */
static void name_category(struct weighing *weighing)
{
    const char *path = weighing->said->path;
    const size_t length = strcspn(path, ".");
    const size_t size =
        length < sizeof(weighing->category) ? length : sizeof(weighing->category) - 1;
    memcpy(weighing->category, path, size);
    weighing->category[size] = '\0';
    weighing->trait->category = weighing->category;
}

static enum pk_outcome make(struct weighing *weighing)
{
    const struct pk_said *said = weighing->said;
    struct trait *trait = weighing->trait;

    trait->path = said->path;
    trait->updated_ms = said->at_ms;
    trait->volatility = said->volatility ? said->volatility : trait->volatility;
    name_category(weighing);
    begin(weighing);
    if (said->is_person) {
        weighing->strength = said->confidence >= 0 ? said->confidence : 1;
        weighing->weight = said->weight >= 0 ? said->weight : 1;
    }
    replace(weighing);
    if (!trait->source_type) {
        trait->source_type = said->source_type;
    }
    return PK_OUTCOME_TRAIT;
}

static bool is_same_bytes(const bson_t *a, const bson_t *b)
{
    return a->len == b->len && memcmp(bson_get_data(a), bson_get_data(b), a->len) == 0;
}

static enum pk_outcome weigh_held(struct weighing *weighing)
{
    begin(weighing);
    return weighing->said->value ? say_value(weighing) : say_nothing_new(weighing);
}

enum pk_outcome pk_trait_weigh(const struct pk_policies *policies, const bson_t *held,
                               const struct pk_said *said, bson_t *out)
{
    PK_CLEANUP(trait_done) struct trait trait;
    struct weighing weighing = { .policies = policies, .said = said, .trait = &trait };
    enum pk_outcome outcome = PK_OUTCOME_NONE;

    if (said->value && !bson_iter_init_find(&weighing.value, said->value, "v")) {
        trait_init(&trait);
        return PK_OUTCOME_NONE;
    }
    if (held) {
        trait_read(held, &trait);
        outcome = weigh_held(&weighing);
    } else {
        trait_init(&trait);
        outcome = said->value ? make(&weighing) : PK_OUTCOME_NONE;
    }
    if (outcome != PK_OUTCOME_TRAIT && outcome != PK_OUTCOME_PROPOSED) {
        return outcome;
    }
    trait_write(&trait, out);
    if (held && is_same_bytes(held, out)) {
        bson_destroy(out);
        return PK_OUTCOME_NONE;
    }
    return outcome;
}
