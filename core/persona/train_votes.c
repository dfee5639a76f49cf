/* train_votes.c - What feedback proposes, thing by thing, and how much speaks for each value.
 *
 * A thing is a rule's field or a setting. Weights are whole millionths, so the
 * sum is the same in whatever order feedback is read. One feedback counts once
 * for one value of one thing, however often its lessons say it. */
/* SPDX-License-Identifier: MIT */
#include "persona/train_internal.h"

#include "base/alloc.h"
#include "doc/doc.h"

#include <math.h>
#include <string.h>

const char *const train_field_name[TRAIN_FIELDS] = {
    [TRAIN_OFF] = "off",   [TRAIN_PRIORITY] = "priority", [TRAIN_CONFIDENCE] = "minConfidence",
    [TRAIN_TEXT] = "text", [TRAIN_SETTING] = "value",     [TRAIN_KEEP] = "keep",
};

enum train_field train_field_find(const char *name)
{
    enum train_field field = TRAIN_OFF;
    while (field < TRAIN_FIELDS && strcmp(train_field_name[field], name) != 0) {
        field++;
    }
    return field;
}

/* ---- What lessons say ---- */

static bool open_document(const bson_iter_t *iter, bson_t *out)
{
    const uint8_t *data = NULL;
    uint32_t size = 0;
    if (!BSON_ITER_HOLDS_DOCUMENT(iter)) {
        return false;
    }
    bson_iter_document(iter, &size, &data);
    return bson_init_static(out, data, size);
}

static const char *text_in(const bson_t *operation, const char *name)
{
    bson_iter_t iter;
    uint32_t size = 0;
    const char *text = bson_iter_init_find(&iter, operation, name) && BSON_ITER_HOLDS_UTF8(&iter)
                           ? bson_iter_utf8(&iter, &size)
                           : NULL;
    return size <= TRAIN_NAME_BYTES ? text : NULL;
}

static int64_t weight_of(const bson_t *operation)
{
    bson_iter_t iter;
    double weight = TRAIN_WEIGHT;
    if (bson_iter_init_find(&iter, operation, "weight") && BSON_ITER_HOLDS_NUMBER(&iter)) {
        weight = bson_iter_as_double(&iter);
    }
    return weight > 0 && weight <= 1 ? llround(weight * 1e6) : 0;
}

/* A value of the type that the library checks: whoever stored it may be another version. */
static bool is_fit(enum train_field field, const bson_iter_t *value)
{
    switch (field) {
    case TRAIN_OFF:
        return BSON_ITER_HOLDS_BOOL(value);
    case TRAIN_CONFIDENCE:
        return BSON_ITER_HOLDS_NUMBER(value);
    case TRAIN_PRIORITY:
    case TRAIN_TEXT:
        return BSON_ITER_HOLDS_UTF8(value) && value->next_off - value->off <= TRAIN_VALUE_BYTES;
    case TRAIN_SETTING:
        return value->next_off - value->off <= TRAIN_VALUE_BYTES;
    case TRAIN_KEEP:
    case TRAIN_FIELDS:
        break;
    }
    return false;
}

static void say_rule(const bson_t *operation, struct train_said *said, train_said_fn *each,
                     void *context)
{
    bson_iter_t value;
    for (enum train_field field = TRAIN_OFF; field < TRAIN_RULE_FIELDS; field++) {
        if (bson_iter_init_find(&value, operation, train_field_name[field]) &&
            is_fit(field, &value)) {
            said->field = field;
            said->value = &value;
            each(context, said);
        }
    }
}

static void say_operation(const bson_t *operation, train_said_fn *each, void *context)
{
    const char *op = text_in(operation, "op");
    const char *rule = text_in(operation, "ruleId");
    const char *setting = text_in(operation, "setting");
    struct train_said said = { .name = rule, .weight = weight_of(operation) };
    bson_iter_t value;

    if (!op || said.weight == 0) {
        return;
    }
    if (rule && strcmp(op, "tune") == 0) {
        say_rule(operation, &said, each, context);
    } else if (rule && strcmp(op, "keep") == 0) {
        said.field = TRAIN_KEEP;
        each(context, &said);
    } else if (setting && strcmp(op, "configure") == 0 &&
               bson_iter_init_find(&value, operation, "value") && is_fit(TRAIN_SETTING, &value)) {
        said.field = TRAIN_SETTING;
        said.name = setting;
        said.value = &value;
        each(context, &said);
    }
}

void train_each_said(const struct pk_doc *feedback, train_said_fn *each, void *context)
{
    bson_t view, lesson, operation;
    bson_iter_t iter, lessons, list, item;

    pk_doc_view(feedback, &view);
    if (!bson_iter_init_find(&iter, &view, "lessons") || !bson_iter_recurse(&iter, &lessons)) {
        return;
    }
    while (bson_iter_next(&lessons)) {
        if (!open_document(&lessons, &lesson) ||
            !bson_iter_init_find(&list, &lesson, "operations") ||
            !bson_iter_recurse(&list, &item)) {
            continue;
        }
        while (bson_iter_next(&item)) {
            if (open_document(&item, &operation)) {
                say_operation(&operation, each, context);
            }
        }
    }
}

/* ---- Adding up ---- */

static int compare(const struct train_place *place, const char *name, enum train_field field)
{
    const int order = strcmp(place->name, name);
    return order ? order : (int)place->field - (int)field;
}

/* Where it is, or would be. */
static size_t place_of(const struct train_tally *tally, const char *name, enum train_field field,
                       bool *out_is_there)
{
    size_t low = 0, high = tally->count;
    *out_is_there = false;
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        const int order = compare(&tally->place[middle], name, field);
        if (order == 0) {
            *out_is_there = true;
            return middle;
        }
        if (order < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

static struct train_place *find_or_make(struct train_tally *tally, const char *name,
                                        enum train_field field)
{
    bool is_there = false;
    const size_t at = place_of(tally, name, field, &is_there);
    if (is_there) {
        return &tally->place[at];
    }
    if (tally->count == TRAIN_PLACES_MAX) {
        return NULL;
    }
    if (tally->count == tally->room) {
        tally->room = tally->room ? tally->room * 2 : 16;
        tally->place = pk_realloc(tally->place, tally->room * sizeof(*tally->place));
    }
    memmove(&tally->place[at + 1], &tally->place[at], (tally->count - at) * sizeof(*tally->place));
    tally->place[at] = (struct train_place){ .name = pk_strdup(name), .field = field };
    tally->count++;
    return &tally->place[at];
}

static bool is_same(const bson_t *a, const bson_t *b)
{
    return a && b ? bson_equal(a, b) : a == b;
}

static void add_said(void *context, const struct train_said *said)
{
    struct train_tally *tally = context;
    struct train_place *place = find_or_make(tally, said->name, said->field);
    bson_t *value = NULL;
    size_t i = 0;

    if (!place) {
        return;
    }
    if (said->value) {
        value = bson_new();
        (void)bson_append_iter(value, "value", -1, said->value);
    }
    while (i < place->count && !is_same(place->vote[i].value, value)) {
        i++;
    }
    if (i == place->count && place->count < TRAIN_VALUES_MAX) {
        place->vote = pk_realloc(place->vote, (place->count + 1) * sizeof(*place->vote));
        place->vote[place->count++] = (struct train_vote){ .value = value };
        value = NULL;
    }
    if (value) {
        bson_destroy(value);
    }
    if (i < place->count && place->vote[i].last != tally->feedback) {
        place->vote[i].last = tally->feedback;
        place->vote[i].weight += said->weight;
        place->vote[i].count++;
    }
}

void train_tally_add(struct train_tally *tally, const struct pk_doc *feedback)
{
    tally->feedback++;
    train_each_said(feedback, add_said, tally);
}

void train_tally_done(struct train_tally *tally)
{
    for (size_t i = 0; i < tally->count; i++) {
        struct train_place *place = &tally->place[i];
        for (size_t k = 0; k < place->count; k++) {
            if (place->vote[k].value) {
                bson_destroy(place->vote[k].value);
            }
        }
        pk_free(place->vote);
        pk_free(place->name);
    }
    pk_free(tally->place);
    *tally = (struct train_tally){ .count = 0 };
}

const struct train_place *train_tally_find(const struct train_tally *tally, const char *name,
                                           enum train_field field)
{
    bool is_there = false;
    const size_t at = place_of(tally, name, field, &is_there);
    return is_there ? &tally->place[at] : NULL;
}
