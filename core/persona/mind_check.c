/* mind_check.c - Operations come from scripts and from people: nothing in them is believed.
 *
 * A row says what a field of an operation must be, a row of verbs which fields
 * it has. What is wrong is named with the operation's number and the field. A
 * text that is longer than its place is cut at a whole character, for the
 * observation keeps all of it; a value with what JSON cannot say is refused.
 *
 * If you add a verb: its row here, one in mind.c's table of effects, one in
 * lua/personakit/verbs.lua. */
/* SPDX-License-Identifier: MIT */
#include "persona/mind_internal.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/id.h"
#include "doc/inventory.h"

#include <math.h>
#include <string.h>

enum { VALUE_DEPTH_MAX = 32, METADATA_MAX = 200, LIST_MAX = 200 };

/* ---- Fields ---- */

enum field_type {
    TYPE_TEXT, /* Not empty. */
    TYPE_PATH,
    TYPE_UUID,
    TYPE_KEY,   /* Of a map: in its stored form, 190 bytes. */
    TYPE_VALUE, /* Anything JSON can say, but null. */
    TYPE_MAYBE, /* The same, or null. */
    TYPE_TRAIT, /* A whole trait, or null. */
    TYPE_OBJECT,
    TYPE_UNIT,
    TYPE_INSTANT,
    TYPE_SECONDS,
    TYPE_TEXTS,
    TYPE_PATHS,
    TYPE_LEVEL, /* low, medium, high */
    TYPE_TWO,   /* low, high */
    TYPE_TIMEFRAME,
    TYPE_NARRATIVE,
    TYPE_LINK,
    TYPE_CONTENT,
    TYPE_NODE
};
static const char *const level[] = { "low", "medium", "high", NULL };
static const char *const two[] = { "low", "high", NULL };
static const char *const timeframe[] = { "short_term", "medium_term", "long_term", NULL };
static const char *const narrative[] = { "self_observation", "curation", NULL };
static const char *const link_type[] = { "extracted_from", "curates", "supports", "contradicts",
                                         NULL };
static const char *const content[] = { "insight", "experience", "knowledge", "preference", NULL };
static const char *const node[] = { "concept", "entity", "event", "relationship", NULL };
static const struct {
    const char *expected; /* For people. */
    const char *const *word;
} type_table[] = {
    [TYPE_TEXT] = { "a text that is not empty", NULL },
    [TYPE_PATH] = { "a trait's path, as in 'work.focus'", NULL },
    [TYPE_UUID] = { "an id", NULL },
    [TYPE_KEY] = { "a key of at most 190 bytes", NULL },
    [TYPE_VALUE] = { "a value that JSON can say, not null", NULL },
    [TYPE_MAYBE] = { "a value that JSON can say", NULL },
    [TYPE_TRAIT] = { "a whole trait, or null", NULL },
    [TYPE_OBJECT] = { "an object of at most 200 fields", NULL },
    [TYPE_UNIT] = { "a number from 0 to 1", NULL },
    [TYPE_INSTANT] = { "an instant", NULL },
    [TYPE_SECONDS] = { "whole seconds, at least 1", NULL },
    [TYPE_TEXTS] = { "a list of at most 200 texts", NULL },
    [TYPE_PATHS] = { "a list of at most 200 trait paths", NULL },
    [TYPE_LEVEL] = { "low, medium or high", level },
    [TYPE_TWO] = { "low or high", two },
    [TYPE_TIMEFRAME] = { "short_term, medium_term or long_term", timeframe },
    [TYPE_NARRATIVE] = { "self_observation or curation", narrative },
    [TYPE_LINK] = { "extracted_from, curates, supports or contradicts", link_type },
    [TYPE_CONTENT] = { "insight, experience, knowledge or preference", content },
    [TYPE_NODE] = { "concept, entity, event or relationship", node },
};

static bool is_word(const char *const *word, const char *text)
{
    for (; *word; word++) {
        if (strcmp(*word, text) == 0) {
            return true;
        }
    }
    return false;
}

/* A text without a NUL within, or NULL. */
static const char *plain_text(const bson_iter_t *value, uint32_t *out_length)
{
    uint32_t length = 0;
    const char *text = BSON_ITER_HOLDS_UTF8(value) ? bson_iter_utf8(value, &length) : NULL;
    if (!text || memchr(text, '\0', length)) {
        return NULL;
    }
    *out_length = length;
    return text;
}

static bool is_stored_key(const char *key)
{
    for (key += strcspn(key, ".$%"); *key; key += strcspn(key, ".$%")) {
        if (strncmp(key, "%2E", 3) != 0 && strncmp(key, "%24", 3) != 0 &&
            strncmp(key, "%25", 3) != 0) {
            return false;
        }
        key += 3;
    }
    return true;
}

/* What JSON can say, keys as they are stored. */
static bool is_free(const bson_iter_t *value, unsigned depth)
{
    bson_iter_t inside;
    if (BSON_ITER_HOLDS_DOUBLE(value)) {
        return isfinite(bson_iter_double(value));
    }
    if (BSON_ITER_HOLDS_DATE_TIME(value)) {
        return pk_time_has_text(bson_iter_date_time(value));
    }
    if (!BSON_ITER_HOLDS_DOCUMENT(value) && !BSON_ITER_HOLDS_ARRAY(value)) {
        return BSON_ITER_HOLDS_UTF8(value) || BSON_ITER_HOLDS_BOOL(value) ||
               BSON_ITER_HOLDS_INT(value) || BSON_ITER_HOLDS_NULL(value) ||
               BSON_ITER_HOLDS_BINARY(value);
    }
    if (depth >= VALUE_DEPTH_MAX || !bson_iter_recurse(value, &inside)) {
        return false;
    }
    const bool has_keys = BSON_ITER_HOLDS_DOCUMENT(value);
    while (bson_iter_next(&inside)) {
        if ((has_keys && !is_stored_key(bson_iter_key(&inside))) || !is_free(&inside, depth + 1)) {
            return false;
        }
    }
    return true;
}

static bool is_path(const bson_iter_t *value)
{
    uint32_t length = 0;
    const char *text = plain_text(value, &length);
    char path[256];
    if (!text || length >= sizeof(path)) {
        return false;
    }
    for (uint32_t i = 0; i < length; i++) {
        path[i] = (char)(text[i] == '/' ? '.' : text[i]);
    }
    return pk_trait_path_is_valid(path, length);
}

static bool is_list(const bson_iter_t *value, bool of_paths)
{
    bson_iter_t item;
    uint32_t length = 0;
    size_t count = 0;
    if (!BSON_ITER_HOLDS_ARRAY(value) || !bson_iter_recurse(value, &item)) {
        return false;
    }
    while (bson_iter_next(&item)) {
        if (++count > LIST_MAX ||
            !(of_paths ? is_path(&item) : plain_text(&item, &length) != NULL)) {
            return false;
        }
    }
    return true;
}

static bool is_object(const bson_iter_t *value)
{
    bson_iter_t inside;
    size_t count = 0;
    if (!BSON_ITER_HOLDS_DOCUMENT(value) || !is_free(value, 0) ||
        !bson_iter_recurse(value, &inside)) {
        return false;
    }
    while (bson_iter_next(&inside)) {
        count++;
    }
    return count <= METADATA_MAX;
}

static bool is_number_in(const bson_iter_t *value, double min, double max, bool is_whole)
{
    if (!BSON_ITER_HOLDS_DOUBLE(value) && !BSON_ITER_HOLDS_INT(value)) {
        return false;
    }
    const double number = bson_iter_as_double(value);
    return number >= min && number <= max && (!is_whole || number == floor(number));
}

/* A date, or a text that says one: what people send comes as JSON. */
static bool read_instant(const bson_iter_t *value, int64_t *out_ms)
{
    uint32_t length = 0;
    if (BSON_ITER_HOLDS_DATE_TIME(value)) {
        *out_ms = bson_iter_date_time(value);
        return pk_time_has_text(*out_ms);
    }
    const char *text = plain_text(value, &length);
    return text && pk_time_parse(text, length, out_ms, NULL);
}

static bool is_key(const bson_iter_t *value)
{
    uint32_t length = 0;
    const char *text = plain_text(value, &length);
    return text && length > 0 && length <= MIND_KEY_MAX && is_stored_key(text);
}

/* As the schema of a mindscape has it. */
static bool is_trait(const bson_iter_t *value)
{
    const struct pk_schema *mindscape =
        pk_inventory_find(pk_inventory_builtin(), "mindscapes")->schema;
    const struct pk_field *item = pk_schema_field(mindscape, "traits[]");
    PK_CLEANUP(pk_faults_done) struct pk_faults faults = { 0 };
    const uint8_t *data = NULL;
    uint32_t size = 0;
    bson_t trait;
    if (!item || !item->of || !BSON_ITER_HOLDS_DOCUMENT(value)) {
        return false;
    }
    bson_iter_document(value, &size, &data);
    return bson_init_static(&trait, data, size) && pk_schema_check(item->of, &trait, &faults);
}

static bool is_of_type(const bson_iter_t *value, enum field_type type)
{
    static const double seconds_max = 3.2e9; /* A hundred years. */
    uint32_t length = 0;
    int64_t ms = 0;
    const char *text = plain_text(value, &length);
    switch (type) {
    case TYPE_TEXT:
        return text && length > 0;
    case TYPE_PATH:
        return is_path(value);
    case TYPE_UUID:
        return text && pk_uuid_is_v4(text, length);
    case TYPE_KEY:
        return is_key(value);
    case TYPE_VALUE:
        return !BSON_ITER_HOLDS_NULL(value) && is_free(value, 0);
    case TYPE_MAYBE:
        return is_free(value, 0);
    case TYPE_TRAIT:
        return BSON_ITER_HOLDS_NULL(value) || is_trait(value);
    case TYPE_OBJECT:
        return is_object(value);
    case TYPE_UNIT:
        return is_number_in(value, 0, 1, false);
    case TYPE_INSTANT:
        return read_instant(value, &ms);
    case TYPE_SECONDS:
        return is_number_in(value, 1, seconds_max, true);
    case TYPE_TEXTS:
    case TYPE_PATHS:
        return is_list(value, type == TYPE_PATHS);
    case TYPE_LEVEL:
    case TYPE_TWO:
    case TYPE_TIMEFRAME:
    case TYPE_NARRATIVE:
    case TYPE_LINK:
    case TYPE_CONTENT:
    case TYPE_NODE:
        return text && is_word(type_table[type].word, text);
    }
    return false;
}

/* ---- Verbs ---- */

struct row {
    const char *name;
    enum field_type type;
    bool is_needed;
};
enum { NEEDED = true, FIELDS_MAX = 12 };
static const struct verb_row {
    const char *name;
    bool is_for_people; /* Curations only. */
    const char *word;   /* The field that mind_operation.word takes. */
    struct row field[FIELDS_MAX];
} verb_table[MIND_VERBS] = {
    [MIND_SET] = { "set",
                   false,
                   NULL,
                   { { "path", TYPE_PATH, NEEDED },
                     { "value", TYPE_VALUE, NEEDED },
                     { "confidence", TYPE_UNIT, false },
                     { "weight", TYPE_UNIT, false },
                     { "volatility", TYPE_LEVEL, false },
                     { "category", TYPE_TEXT, false },
                     { "validFrom", TYPE_INSTANT, false },
                     { "metadata", TYPE_OBJECT, false } } },
    [MIND_REINFORCE] = { "reinforce",
                         false,
                         NULL,
                         { { "path", TYPE_PATH, NEEDED },
                           { "value", TYPE_VALUE, NEEDED },
                           { "confidence", TYPE_UNIT, false },
                           { "weight", TYPE_UNIT, false },
                           { "volatility", TYPE_LEVEL, false },
                           { "category", TYPE_TEXT, false },
                           { "validFrom", TYPE_INSTANT, false },
                           { "metadata", TYPE_OBJECT, false } } },
    [MIND_WEAKEN] = { "weaken",
                      false,
                      NULL,
                      { { "path", TYPE_PATH, NEEDED },
                        { "weight", TYPE_UNIT, false },
                        { "reason", TYPE_TEXT, false } } },
    [MIND_CONTRADICT] = { "contradict",
                          false,
                          NULL,
                          { { "path", TYPE_PATH, NEEDED },
                            { "value", TYPE_VALUE, NEEDED },
                            { "confidence", TYPE_UNIT, false },
                            { "weight", TYPE_UNIT, false },
                            { "reason", TYPE_TEXT, false } } },
    [MIND_RETRACT] = { "retract",
                       false,
                       NULL,
                       { { "path", TYPE_PATH, NEEDED }, { "reason", TYPE_TEXT, false } } },
    [MIND_PIN] = { "pin", true, NULL, { { "path", TYPE_PATH, NEEDED } } },
    [MIND_UNPIN] = { "unpin", true, NULL, { { "path", TYPE_PATH, NEEDED } } },
    [MIND_NARRATIVE_OP] = { "narrative",
                            false,
                            "text",
                            { { "text", TYPE_TEXT, NEEDED },
                              { "narrativeType", TYPE_NARRATIVE, false },
                              { "curatedText", TYPE_TEXT, false },
                              { "tags", TYPE_TEXTS, false },
                              { "context", TYPE_OBJECT, false },
                              { "traits", TYPE_PATHS, false },
                              { "linkType", TYPE_LINK, false },
                              { "source", TYPE_TEXT, false } } },
    [MIND_GOAL_OP] = { "goal",
                       false,
                       "description",
                       { { "description", TYPE_TEXT, NEEDED },
                         { "timeframe", TYPE_TIMEFRAME, false },
                         { "priority", TYPE_LEVEL, false },
                         { "confidence", TYPE_UNIT, false },
                         { "volatility", TYPE_TWO, false } } },
    [MIND_BELIEF_OP] = { "belief",
                         false,
                         "statement",
                         { { "statement", TYPE_TEXT, NEEDED },
                           { "category", TYPE_TEXT, false },
                           { "strength", TYPE_UNIT, false },
                           { "confidence", TYPE_UNIT, false },
                           { "volatility", TYPE_TWO, false } } },
    [MIND_SUMMARY_OP] = { "summary",
                          false,
                          "summary",
                          { { "summary", TYPE_TEXT, NEEDED },
                            { "keyThemes", TYPE_TEXTS, false } } },
    [MIND_REMEMBER] = { "remember",
                        false,
                        "key",
                        { { "key", TYPE_KEY, NEEDED },
                          { "value", TYPE_VALUE, NEEDED },
                          { "category", TYPE_TEXT, false },
                          { "confidence", TYPE_UNIT, false },
                          { "volatility", TYPE_TWO, false },
                          { "ttl", TYPE_SECONDS, false } } },
    [MIND_LEARN] = { "learn",
                     false,
                     "content",
                     { { "content", TYPE_TEXT, NEEDED },
                       { "contentType", TYPE_CONTENT, false },
                       { "category", TYPE_TEXT, false },
                       { "subcategory", TYPE_TEXT, false },
                       { "volatility", TYPE_TWO, false },
                       { "importance", TYPE_UNIT, false },
                       { "tags", TYPE_TEXTS, false },
                       { "relevantFrom", TYPE_INSTANT, false },
                       { "relevantTo", TYPE_INSTANT, false } } },
    [MIND_NODE] = { "node",
                    false,
                    "label",
                    { { "label", TYPE_TEXT, NEEDED },
                      { "nodeType", TYPE_NODE, false },
                      { "description", TYPE_TEXT, false },
                      { "importance", TYPE_UNIT, false },
                      { "volatility", TYPE_TWO, false },
                      { "attributes", TYPE_OBJECT, false } } },
    [MIND_EDGE] = { "edge",
                    false,
                    "source",
                    { { "source", TYPE_TEXT, NEEDED },
                      { "target", TYPE_TEXT, NEEDED },
                      { "edgeType", TYPE_TEXT, NEEDED },
                      { "strength", TYPE_UNIT, false },
                      { "confidence", TYPE_UNIT, false },
                      { "validFrom", TYPE_INSTANT, false },
                      { "validTo", TYPE_INSTANT, false },
                      { "attributes", TYPE_OBJECT, false } } },
    [MIND_NOW] = { "now",
                   false,
                   "key",
                   { { "key", TYPE_KEY, NEEDED },
                     { "value", TYPE_MAYBE, NEEDED },
                     { "ttl", TYPE_SECONDS, false } } },
    [MIND_REMOVE_GOAL] = { "removeGoal", true, "goalId", { { "goalId", TYPE_UUID, NEEDED } } },
    [MIND_REMOVE_BELIEF] = { "removeBelief",
                             true,
                             "beliefId",
                             { { "beliefId", TYPE_UUID, NEEDED } } },
    [MIND_RESTORE] = { "restore",
                       true,
                       NULL,
                       { { "path", TYPE_PATH, NEEDED }, { "trait", TYPE_TRAIT, NEEDED } } },
};

static const struct row *row_of(const struct verb_row *verb, const char *name)
{
    for (size_t i = 0; i < FIELDS_MAX && verb->field[i].name; i++) {
        if (strcmp(verb->field[i].name, name) == 0) {
            return &verb->field[i];
        }
    }
    return NULL;
}

static const struct verb_row *find_verb(const bson_t *doc, enum mind_verb *out)
{
    bson_iter_t iter;
    uint32_t length = 0;
    const char *name = bson_iter_init_find(&iter, doc, "op") ? plain_text(&iter, &length) : NULL;
    for (size_t i = 0; name && i < MIND_VERBS; i++) {
        if (strcmp(verb_table[i].name, name) == 0) {
            *out = (enum mind_verb)i;
            return &verb_table[i];
        }
    }
    return NULL;
}

/* ---- Reading one ---- */

const char *mind_cut(struct pk_mind *mind, const char *text, size_t max)
{
    size_t length = strlen(text);
    if (length > max) {
        length = max;
        while (length > 0 && ((unsigned char)text[length] & 0xC0) == 0x80) {
            length--; /* Not within a character. */
        }
    }
    return pk_arena_strndup(&mind->arena, text, length);
}

static const char *fold_path(struct pk_mind *mind, const char *text)
{
    char *path = pk_arena_strdup(&mind->arena, text);
    for (char *at = path; *at; at++) {
        *at = (char)(*at == '/' ? '.' : *at);
    }
    return path;
}

static bool check_fields(const struct verb_row *verb, const bson_t *doc, struct pk_error *err)
{
    bson_iter_t field;
    if (!bson_iter_init(&field, doc)) {
        return pk_fail(err, PK_INVALID, NULL, "it is damaged");
    }
    while (bson_iter_next(&field)) {
        const char *name = bson_iter_key(&field);
        if (strcmp(name, "op") == 0 || strcmp(name, "derivedFrom") == 0) {
            continue;
        }
        const struct row *row = row_of(verb, name);
        if (!row) {
            return pk_fail(err, PK_INVALID, "see the table of operations in lua/README.md",
                           "'%s' has no field '%.60s'", verb->name, name);
        }
        if (BSON_ITER_HOLDS_NULL(&field) && !row->is_needed) {
            continue;
        }
        if (!is_of_type(&field, row->type)) {
            return pk_fail(err, PK_INVALID, "see the table of operations in lua/README.md",
                           "'%s' of '%s' is not %s", name, verb->name,
                           type_table[row->type].expected);
        }
    }
    for (size_t i = 0; i < FIELDS_MAX && verb->field[i].name; i++) {
        if (verb->field[i].is_needed && !bson_iter_init_find(&field, doc, verb->field[i].name)) {
            return pk_fail(err, PK_INVALID, "see the table of operations in lua/README.md",
                           "'%s' has no '%s'", verb->name, verb->field[i].name);
        }
    }
    return true;
}

/* The observations it rests on: those it names, or the one under way. */
static bool read_sources(struct pk_mind *mind, const bson_t *doc, struct mind_operation *out,
                         struct pk_error *err)
{
    bson_iter_t list, item;
    uint32_t length = 0;
    const char **obs = pk_arena_alloc(&mind->arena, PK_TRAIT_SOURCES * sizeof(*obs));
    size_t count = 0;

    if (bson_iter_init_find(&list, doc, "derivedFrom") && !BSON_ITER_HOLDS_NULL(&list)) {
        if (!BSON_ITER_HOLDS_ARRAY(&list) || !bson_iter_recurse(&list, &item)) {
            return pk_fail(err, PK_INVALID, "give a list of observations' ids",
                           "'derivedFrom' is not a list");
        }
        while (bson_iter_next(&item)) {
            const char *id = plain_text(&item, &length);
            if (!id || !pk_uuid_is_v4(id, length)) {
                return pk_fail(err, PK_INVALID, "give observations' ids, as in obs.observationId",
                               "'derivedFrom' names what is no observation's id");
            }
            if (count < PK_TRAIT_SOURCES) {
                char *kept = pk_arena_strdup(&mind->arena, id);
                for (char *at = kept; *at; at++) {
                    *at = (char)(*at >= 'A' && *at <= 'F' ? *at - 'A' + 'a' : *at);
                }
                obs[count++] = kept;
            }
        }
    }
    if (count == 0) {
        obs[count++] = mind->evidence.obs_id;
    }
    out->obs = obs;
    out->obs_count = count;
    return true;
}

bool mind_check(struct pk_mind *mind, const struct pk_ran *ran, const bson_t *doc,
                struct mind_operation *out, struct pk_error *err)
{
    bson_iter_t field;
    *out = (struct mind_operation){ .doc = doc };
    const struct verb_row *verb = find_verb(doc, &out->verb);

    if (!verb) {
        return pk_fail(err, PK_INVALID,
                       "see the table of operations in lua/README.md; those that speak of mappers "
                       "are for processors of feedback",
                       "'op' is not the name of an operation on a mindscape");
    }
    if (verb->is_for_people && ran->processor_id) {
        return pk_fail(err, PK_INVALID, "processors propose; people pin and remove",
                       "'%s' is for people", verb->name);
    }
    if (!check_fields(verb, doc, err) || !read_sources(mind, doc, out, err)) {
        return false;
    }
    const char *path = mind_text(out, "path");
    const char *word = verb->word ? mind_text(out, verb->word) : NULL;
    out->path = path ? fold_path(mind, path) : NULL;
    out->word = word ? word : "";
    bson_init(&out->value);
    if (row_of(verb, "value") && bson_iter_init_find(&field, doc, "value")) {
        (void)bson_append_iter(&out->value, "v", 1, &field);
    }
    return true;
}

const char *mind_text(const struct mind_operation *operation, const char *name)
{
    bson_iter_t iter;
    uint32_t length = 0;
    return bson_iter_init_find(&iter, operation->doc, name) ? plain_text(&iter, &length) : NULL;
}

double mind_unit(const struct mind_operation *operation, const char *name, double fallback)
{
    bson_iter_t iter;
    return bson_iter_init_find(&iter, operation->doc, name) &&
                   (BSON_ITER_HOLDS_DOUBLE(&iter) || BSON_ITER_HOLDS_INT(&iter))
               ? bson_iter_as_double(&iter)
               : fallback;
}

bool mind_instant(const struct mind_operation *operation, const char *name, int64_t *out_ms)
{
    bson_iter_t iter;
    return bson_iter_init_find(&iter, operation->doc, name) && read_instant(&iter, out_ms);
}
