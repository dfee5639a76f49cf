/* train_decide.c - From what is proposed to what is changed.
 *
 * Of one thing the value that most speaks for wins, when its weight comes to 1
 * after that of all other values, and of all who say that the rule is good as
 * it is, has been taken off. What the mapper does not have, what is so already,
 * and what has not enough behind it is listed as open, with the reason.
 *
 * "lower" and "higher" mean a step from the priority that the rule has. A rule
 * that is switched off is not changed otherwise. */
/* SPDX-License-Identifier: MIT */
#include "persona/train_internal.h"

#include "base/alloc.h"
#include "doc/keys.h"

#include <string.h>

enum { PRIORITIES = 3 };
static const char *const priority_name[PRIORITIES] = { "low", "medium", "high" };

/* One thing about to be decided. */
struct ruling {
    const struct train_place *place;
    const struct train_vote *best;
    int64_t weight; /* Of it, less what speaks against it. */
    bool has_before;
    bson_iter_t before;
    bson_t value;    /* { "value": ... }: what it becomes. */
    const char *why; /* It is not made; NULL: it is. */
};

/* ---- The mapper as it is ---- */

static bool find_rule(const struct train *train, const char *name, bson_t *out)
{
    bson_iter_t item, id;
    const uint8_t *data;
    uint32_t size;
    for (bool more = bson_iter_init(&item, &train->script->rules); more && bson_iter_next(&item);) {
        if (!BSON_ITER_HOLDS_DOCUMENT(&item)) {
            continue;
        }
        bson_iter_document(&item, &size, &data);
        if (bson_init_static(out, data, size) && bson_iter_init_find(&id, out, "id") &&
            BSON_ITER_HOLDS_UTF8(&id) && strcmp(bson_iter_utf8(&id, NULL), name) == 0) {
            return true;
        }
    }
    return false;
}

static int64_t number_in(const bson_t *rule, const char *name)
{
    bson_iter_t iter;
    return bson_iter_init_find(&iter, rule, name) ? bson_iter_as_int64(&iter) : 0;
}

/* The declaration of a setting, in the manifest. */
static bool find_setting(const struct train *train, const char *name, bson_iter_t *out_default)
{
    bson_iter_t config, each;
    bson_t plain;
    bool is_found = false;
    if (!bson_iter_init_find(&config, &train->script->manifest, "config") ||
        !bson_iter_recurse(&config, &each)) {
        return false;
    }
    while (!is_found && bson_iter_next(&each)) {
        bson_init(&plain);
        pk_keys_append_unescaped(&plain, bson_iter_key(&each), &each);
        bson_iter_t key;
        is_found = bson_iter_init(&key, &plain) && bson_iter_next(&key) &&
                   strcmp(bson_iter_key(&key), name) == 0;
        bson_destroy(&plain);
    }
    return is_found && bson_iter_recurse(&each, out_default) &&
           bson_iter_find(out_default, "default");
}

/* ---- What becomes of one thing ---- */

static void become_text(struct ruling *ruling, const char *text)
{
    bson_reinit(&ruling->value);
    BSON_APPEND_UTF8(&ruling->value, "value", text);
}

static int place_of(const char *priority)
{
    int at = PRIORITIES - 1;
    while (at >= 0 && strcmp(priority_name[at], priority) != 0) {
        at--;
    }
    return at;
}

static void rule_priority(struct ruling *ruling, const bson_t *rule)
{
    bson_iter_t wanted;
    if (!bson_iter_init_find(&ruling->before, rule, "priority") ||
        !bson_iter_init_find(&wanted, &ruling->value, "value")) {
        ruling->why = "the rule says nothing";
        return;
    }
    ruling->has_before = true;
    const char *before = bson_iter_utf8(&ruling->before, NULL);
    const char *word = bson_iter_utf8(&wanted, NULL);
    int to = place_of(word);
    if (strcmp(word, "lower") == 0) {
        to = place_of(before) - 1;
    } else if (strcmp(word, "higher") == 0) {
        to = place_of(before) + 1;
    } else if (to < 0) {
        ruling->why = "it is no priority";
        return;
    }
    if (to < 0 || to >= PRIORITIES || strcmp(priority_name[to], before) == 0) {
        ruling->why = "it is so already";
        return;
    }
    become_text(ruling, priority_name[to]);
}

static bool is_same_value(const bson_iter_t *before, const bson_t *value)
{
    bson_t was = BSON_INITIALIZER;
    (void)bson_append_iter(&was, "value", -1, before);
    const bool is_same = bson_equal(&was, value);
    bson_destroy(&was);
    return is_same;
}

static void rule_rule(const struct train *train, const bson_t *tuning, struct ruling *ruling)
{
    const enum train_field field = ruling->place->field;
    bson_iter_t off, wanted;
    bson_t rule;
    const bool is_there = find_rule(train, ruling->place->name, &rule);
    const bool was_off = !is_there && train_tuned(tuning, ruling->place->name, TRAIN_OFF, &off) &&
                         bson_iter_as_bool(&off);
    if (!is_there && !was_off) {
        ruling->why = "there is no such rule";
    } else if (field == TRAIN_OFF) {
        const bool is_off =
            bson_iter_init_find(&wanted, &ruling->value, "value") && bson_iter_as_bool(&wanted);
        ruling->why = is_off == was_off ? "it is so already" : NULL;
    } else if (was_off) {
        ruling->why = "the rule is off";
    } else if (field == TRAIN_PRIORITY) {
        rule_priority(ruling, &rule);
    } else if (field == TRAIN_TEXT && number_in(&rule, "texts") != 1) {
        ruling->why = "the rule has not one text";
    } else {
        ruling->has_before = train_tuned(tuning, ruling->place->name, field, &ruling->before);
        ruling->why = ruling->has_before && is_same_value(&ruling->before, &ruling->value)
                          ? "it is so already"
                          : NULL;
    }
}

static void rule_setting(const struct train *train, struct ruling *ruling)
{
    bson_iter_t wanted;
    ruling->has_before = find_setting(train, ruling->place->name, &ruling->before);
    if (!ruling->has_before || !bson_iter_init_find(&wanted, &ruling->value, "value")) {
        ruling->why = "there is no such setting with a default";
    } else if (is_same_value(&ruling->before, &ruling->value)) {
        ruling->why = "it is so already";
    }
}

/* The value that most speaks for, and how much is left of that. */
static void weigh(const struct train *train, struct ruling *ruling)
{
    const struct train_place *place = ruling->place;
    const struct train_place *keep = train_tally_find(&train->tally, place->name, TRAIN_KEEP);
    int64_t all = 0;
    for (size_t i = 0; i < place->count; i++) {
        all += place->vote[i].weight;
        if (!ruling->best || place->vote[i].weight > ruling->best->weight ||
            (place->vote[i].weight == ruling->best->weight &&
             bson_compare(place->vote[i].value, ruling->best->value) < 0)) {
            ruling->best = &place->vote[i];
        }
    }
    ruling->weight = 2 * ruling->best->weight - all;
    if (keep && place->field != TRAIN_SETTING) {
        ruling->weight -= keep->vote[0].weight;
    }
}

/* ---- All of them ---- */

static void put_ruling(const struct ruling *ruling, bson_t *list)
{
    const bool is_setting = ruling->place->field == TRAIN_SETTING;
    const uint32_t at = bson_count_keys(list);
    bson_iter_t value;
    bson_t one;
    char number[16];
    const char *key;
    if (at >= TRAIN_SHOWN_MAX) {
        return;
    }
    (void)bson_uint32_to_string(at, &key, number, sizeof(number));
    BSON_APPEND_DOCUMENT_BEGIN(list, key, &one);
    BSON_APPEND_UTF8(&one, is_setting ? "setting" : "ruleId", ruling->place->name);
    BSON_APPEND_UTF8(&one, "field", train_field_name[ruling->place->field]);
    if (bson_iter_init_find(&value, &ruling->value, "value")) {
        (void)bson_append_iter(&one, "value", -1, &value);
    }
    if (ruling->has_before) {
        (void)bson_append_iter(&one, "before", -1, &ruling->before);
    }
    BSON_APPEND_DOUBLE(&one, "weight", (double)ruling->weight / 1e6);
    BSON_APPEND_INT64(&one, "feedback", ruling->best->count);
    if (ruling->why) {
        BSON_APPEND_UTF8(&one, "why", ruling->why);
    }
    bson_append_document_end(list, &one);
}

static void decide_place(struct train *train, const bson_t *tuning, const struct train_place *place,
                         bool is_off)
{
    struct ruling ruling = { .place = place };
    weigh(train, &ruling);
    bson_copy_to(ruling.best->value, &ruling.value);
    if (ruling.weight < TRAIN_ENOUGH) {
        ruling.why = "too little speaks for it";
    } else if (place->field == TRAIN_SETTING) {
        rule_setting(train, &ruling);
    } else {
        rule_rule(train, tuning, &ruling);
    }
    if (!ruling.why && is_off && place->field != TRAIN_OFF) {
        ruling.why = "the rule is switched off";
    }
    if (!ruling.why && bson_count_keys(&train->changes) >= TRAIN_SHOWN_MAX) {
        ruling.why = "the next training makes it";
    }
    put_ruling(&ruling, ruling.why ? &train->open : &train->changes);
    bson_destroy(&ruling.value);
}

static bool has_change(const bson_t *changes, const char *name, enum train_field field)
{
    bson_iter_t item;
    bson_t one;
    const uint8_t *data;
    uint32_t size;
    for (bool more = bson_iter_init(&item, changes); more && bson_iter_next(&item);) {
        bson_iter_t of, what;
        bson_iter_document(&item, &size, &data);
        if (!bson_init_static(&one, data, size) || !bson_iter_init_find(&what, &one, "field")) {
            continue;
        }
        const enum train_field found = train_field_find(bson_iter_utf8(&what, NULL));
        const bool is_setting = found == TRAIN_SETTING;
        if (bson_iter_init_find(&of, &one, is_setting ? "setting" : "ruleId") &&
            strcmp(bson_iter_utf8(&of, NULL), name) == 0 &&
            (field == found || (field == TRAIN_KEEP && !is_setting))) {
            return true;
        }
    }
    return false;
}

bool train_is_weighed(const bson_t *changes, const struct train_said *said)
{
    return has_change(changes, said->name, said->field);
}

bool train_has_changes(const struct train *train)
{
    return bson_count_keys(&train->changes) > 0;
}

bool train_decide(struct train *train)
{
    PK_CLEANUP(bson_destroy) bson_t tuning;
    train_tuning(train, &tuning);
    bson_reinit(&train->changes);
    bson_reinit(&train->open);
    for (size_t i = 0; i < train->tally.count; i++) { /* 'off' comes first of each rule. */
        const struct train_place *place = &train->tally.place[i];
        if (place->field != TRAIN_KEEP) {
            decide_place(train, &tuning, place,
                         has_change(&train->changes, place->name, TRAIN_OFF));
        }
    }
    return train_has_changes(train);
}
