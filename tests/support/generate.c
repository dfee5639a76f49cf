/* generate.c - Documents from schema rows.
 *
 * Every value is a function of a number, and every field's number is mixed
 * from its parent's and its name. So a value can be told without making the
 * document: '_id's that are joined from other fields are made that way. The
 * few things that rows do not say stand in the tables below. */
/* SPDX-License-Identifier: MIT */
#include "generate.h"

#include "base/alloc.h"
#include "doc/doc.h"
#include "doc/inventory.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

enum { DIMENSIONS = 8, TEXT_MADE = 400 /* Bytes of a long text. */ };
static const int64_t year_2025_ms = 1735689600000;
static const int64_t year_2100_ms = 4102444800000;
static const int64_t year_length_ms = 31536000000;

/* '_id's that are other fields joined by ':'; an absent field is left out. */
static const struct {
    const char *collection;
    const char *part[4];
} joined_table[] = {
    { "personas", { "mapperId", "userId", "detailLevel", "variant" } },
    { "knowledge", { "userId", "key" } },
    { "consents", { "userId", "purpose" } },
    { "processing", { "obsId", "processorId", "processorVersion" } },
    { "persona_behavioral_models", { "model_version_id" } },
};
/* Fields that a rule asks for, though their row does not. */
static const struct {
    const char *schema;
    const char *field;
} asked_table[] = {
    { "ApprovalMetadata", "approvedBy" }, { "Narrative", "traitPath" },
    { "VectorDocument", "content" },      { "VectorDocument", "contentType" },
    { "VectorDocument", "metadata" },     { "RuleCondition", "type" },
    { "RuleCondition", "trait" },         { "RuleCondition", "operator" },
};
/* Fields that go with others, which stand there instead. */
static const struct {
    const char *schema;
    const char *field;
} skipped_table[] = { { "RuleCondition", "all" },
                      { "RuleCondition", "any" },
                      { "RuleCondition", "not" } };

static const char *const word[] = {
    "work",    "focus",  "morning", "meeting", "review",  "quiet",  "project", "deadline",
    "team",    "coffee", "writing", "design",  "garden",  "travel", "music",   "family",
    "reading", "code",   "plan",    "call",    "evening", "health", "budget",  "idea",
};

/* splitmix64: one step mixes well enough for tests. */
static uint64_t mix(uint64_t value)
{
    value += 0x9E3779B97F4A7C15ULL;
    value = (value ^ (value >> 30)) * 0xBF58476D1CE4E5B9ULL;
    value = (value ^ (value >> 27)) * 0x94D049BB133111EBULL;
    return value ^ (value >> 31);
}

static uint64_t mix_name(uint64_t parent, const char *name)
{
    for (; *name; name++) {
        parent = mix(parent ^ (unsigned char)*name);
    }
    return mix(parent);
}

void pk_generate_uuid(uint64_t seed, char out[37])
{
    uint64_t a = mix(seed), b = mix(a);
    (void)snprintf(out, 37, "%08x-%04x-4%03x-%c%03x-%012llx", (unsigned)(a >> 32),
                   (unsigned)(a >> 16 & 0xFFFF), (unsigned)(a & 0xFFF), "89ab"[b >> 62],
                   (unsigned)(b >> 48 & 0xFFF), (unsigned long long)(b & 0xFFFFFFFFFFFF));
}

/* ---- Texts ---- */

static const char *word_of(uint64_t number)
{
    return word[number % PK_COUNT(word)];
}

/* A few words; a long one when there is room. */
static char *make_words(uint64_t number, double max)
{
    char text[TEXT_MADE + 32] = "";
    size_t room = max > 0 && max < TEXT_MADE ? (size_t)max : TEXT_MADE;
    size_t count = max > 2000 ? 40 : max > 500 ? 6 : 1;
    size_t used = 0;
    for (size_t i = 0; i < count && used + 12 < room; i++, number = mix(number)) {
        int length =
            snprintf(text + used, sizeof(text) - used, "%s%s", i ? " " : "", word_of(number));
        used += (size_t)length;
    }
    return pk_strdup(text);
}

/* Fields by which a document is found alone: never the same twice. */
static bool is_unique_name(const char *name)
{
    size_t length = name ? strlen(name) : 0;
    return length >= 2 && (strcmp(name + length - 2, "id") == 0 ||
                           strcmp(name + length - 2, "Id") == 0 || strstr(name, "key") != NULL);
}

static char *make_text(const struct pk_field *field, uint64_t number)
{
    char uuid[37];
    unsigned tag = (unsigned)(number >> 32);
    switch (field->format) {
    case PK_FORMAT_NONE:
    case PK_FORMAT_TITLE:
        return is_unique_name(field->name)
                   ? pk_strdupf("%s-%016llx", word_of(number), (unsigned long long)mix(number))
                   : make_words(number, field->max);
    case PK_FORMAT_UUID:
    case PK_FORMAT_MODEL_VERSION:
        pk_generate_uuid(number, uuid);
        return pk_strdup(uuid);
    case PK_FORMAT_SCRIPT_ID:
        return pk_strdupf("%s-%s-%08x", word_of(number), word_of(mix(number)), tag);
    case PK_FORMAT_SEMVER:
        return pk_strdupf("%u.%u.%u", tag % 5, tag / 5 % 10, tag / 50 % 10);
    case PK_FORMAT_TRAIT_PATH:
        return pk_strdupf("%s.%s_%04x", word_of(number), word_of(mix(number)), tag & 0xFFFF);
    case PK_FORMAT_EMAIL:
        return pk_strdupf("%s.%08x@example.org", word_of(number), tag);
    case PK_FORMAT_HASH:
        return pk_strdupf("%016llx%016llx%016llx%016llx", (unsigned long long)number,
                          (unsigned long long)mix(number), (unsigned long long)mix(number + 1),
                          (unsigned long long)mix(number + 2));
    case PK_FORMAT_NAME:
        return pk_strdupf("%s_%08x", word_of(number), tag);
    }
    return pk_strdup("");
}

static char *make_string(const struct pk_field *field, uint64_t number)
{
    size_t count = 0;
    while (field->allowed && field->allowed[count]) {
        count++;
    }
    return count ? pk_strdup(field->allowed[number % count]) : make_text(field, number);
}

/* ---- Values ---- */

struct maker {
    const struct pk_generate *how;
    const struct pk_collection *collection; /* NULL for other schemas. */
    uint64_t root;                          /* The document's number. */
};

static void add_fields(const struct maker *maker, const struct pk_schema *schema, uint64_t number,
                       bool is_root, bson_t *out);

static double number_within(const struct pk_field *field, uint64_t number)
{
    double part = (double)(number >> 11) / 9007199254740992.0;
    if (field->min == 0 && field->max == 0) {
        return part * 2 - 1;
    }
    double max = field->max > field->min + 1000 || field->max == 0 ? field->min + 1000 : field->max;
    return field->min + part * (max - field->min);
}

static int64_t make_int(const struct pk_field *field, uint64_t number)
{
    if (field->name && strcmp(field->name, "embeddingDimensions") == 0) {
        return DIMENSIONS;
    }
    int64_t least = (int64_t)field->min;
    int64_t value = (int64_t)number_within(field, number);
    return value < least ? least : value;
}

static int64_t make_date(const struct pk_field *field, uint64_t number)
{
    bool is_end = field->name && (strcmp(field->name, "expiresAt") == 0 ||
                                  strcmp(field->name, "personaExpiresAt") == 0);
    return (is_end ? year_2100_ms : year_2025_ms) + (int64_t)(number % (uint64_t)year_length_ms);
}

static void add_free(const char *key, uint64_t number, bson_t *out)
{
    bson_t object, list;
    bson_append_document_begin(out, key, -1, &object);
    bson_append_utf8(&object, "kind", -1, word_of(number), -1);
    bson_append_int64(&object, "minutes", -1, (int64_t)(number % 240));
    bson_append_double(&object, "share", -1, (double)(number % 1000) / 1000);
    bson_append_array_begin(&object, "tools", -1, &list);
    bson_append_utf8(&list, "0", -1, word_of(mix(number)), -1);
    bson_append_bool(&list, "1", -1, true);
    bson_append_array_end(&object, &list);
    bson_append_document_end(out, &object);
}

static void add_value(const struct maker *maker, const struct pk_field *field, const char *key,
                      uint64_t number, bson_t *out);

static size_t list_length(const struct maker *maker, const struct pk_field *field)
{
    size_t length = maker->how->is_full ? 2 : 0;
    if (field->length_from) {
        return DIMENSIONS;
    }
    if (field->min > (double)length) {
        length = (size_t)field->min;
    }
    return field->max > 0 && (double)length > field->max ? (size_t)field->max : length;
}

static void add_list(const struct maker *maker, const struct pk_field *field, const char *key,
                     uint64_t number, bson_t *out)
{
    bson_t list;
    bson_append_array_begin(out, key, -1, &list);
    size_t length = list_length(maker, field);
    for (uint32_t i = 0; i < length; i++) {
        char digits[16];
        const char *index;
        (void)bson_uint32_to_string(i, &index, digits, sizeof(digits));
        add_value(maker, field->item, index, mix(number + i), &list);
    }
    bson_append_array_end(out, &list);
}

static void add_map(const struct maker *maker, const struct pk_field *field, const char *key,
                    uint64_t number, bson_t *out)
{
    bson_t map;
    bson_append_document_begin(out, key, -1, &map);
    size_t length = list_length(maker, field);
    for (size_t i = 0; i < length; i++) {
        PK_CLEANUP(pk_freep) char *name = pk_strdupf("%s_%zu", word_of(number + i), i);
        add_value(maker, field->item, name, mix(number + i), &map);
    }
    bson_append_document_end(out, &map);
}

/* As short as it may be, and a number at least where that is allowed. */
static void add_binary(const struct pk_field *field, const char *key, uint64_t number, bson_t *out)
{
    uint8_t data[64] = { 0 };
    const size_t size = field->min > sizeof(number) ? (size_t)field->min : sizeof(number);
    assert(size <= sizeof(data));
    memcpy(data, &number, sizeof(number));
    bson_append_binary(out, key, -1, BSON_SUBTYPE_BINARY, data, (uint32_t)size);
}

static void add_value(const struct maker *maker, const struct pk_field *field, const char *key,
                      uint64_t number, bson_t *out)
{
    PK_CLEANUP(pk_freep) char *text = NULL;
    bson_t object;
    switch (field->type) {
    case PK_TYPE_STRING:
        text = make_string(field, number);
        bson_append_utf8(out, key, -1, text, -1);
        break;
    case PK_TYPE_BOOL:
        /* At most one model of a person is active: here none is. */
        bson_append_bool(out, key, -1, number % 2 && strcmp(key, "is_active_model") != 0);
        break;
    case PK_TYPE_INT:
        bson_append_int64(out, key, -1, make_int(field, number));
        break;
    case PK_TYPE_NUMBER:
        bson_append_double(out, key, -1, number_within(field, number));
        break;
    case PK_TYPE_DATE:
        bson_append_date_time(out, key, -1, make_date(field, number));
        break;
    case PK_TYPE_OBJECT:
        bson_append_document_begin(out, key, -1, &object);
        add_fields(maker, field->of, number, false, &object);
        bson_append_document_end(out, &object);
        break;
    case PK_TYPE_ARRAY:
        add_list(maker, field, key, number, out);
        break;
    case PK_TYPE_MAP:
        add_map(maker, field, key, number, out);
        break;
    case PK_TYPE_FREE:
        add_free(key, number, out);
        break;
    case PK_TYPE_BINARY:
        add_binary(field, key, number, out);
        break;
    }
}

/* ---- Fields ---- */

static bool is_wanted(const struct maker *maker, const struct pk_schema *schema,
                      const struct pk_field *field)
{
    for (size_t i = 0; i < PK_COUNT(skipped_table); i++) {
        if (strcmp(skipped_table[i].schema, schema->name) == 0 &&
            strcmp(skipped_table[i].field, field->name) == 0) {
            return false;
        }
    }
    for (size_t i = 0; i < PK_COUNT(asked_table); i++) {
        if (strcmp(asked_table[i].schema, schema->name) == 0 &&
            strcmp(asked_table[i].field, field->name) == 0) {
            return true;
        }
    }
    return maker->how->is_full || (field->flags & PK_FIELD_REQUIRED);
}

/* True for the field that names the person, when the caller says who that is. */
static bool is_person(const struct maker *maker, const struct pk_field *field)
{
    const char *path = maker->collection ? maker->collection->person_path : NULL;
    size_t length = path ? strcspn(path, "[") : 0;
    const struct pk_field *row = field->item ? field->item : field;
    return maker->how->person && path && row->format == PK_FORMAT_UUID &&
           strlen(field->name) == length && strncmp(field->name, path, length) == 0;
}

/* The text that a field of the document has; NULL when it is absent. */
static char *text_at(const struct maker *maker, const char *name)
{
    const struct pk_field *field = pk_schema_field(maker->collection->schema, name);
    if (!field || !is_wanted(maker, maker->collection->schema, field)) {
        return NULL;
    }
    return is_person(maker, field) ? pk_strdup(maker->how->person)
                                   : make_string(field, mix_name(maker->root, name));
}

/* An '_id' that is joined from other fields; NULL when this one is not. */
static char *make_joined_id(const struct maker *maker)
{
    char *id = NULL;
    for (size_t i = 0; maker->collection && i < PK_COUNT(joined_table); i++) {
        if (strcmp(joined_table[i].collection, maker->collection->name) != 0) {
            continue;
        }
        for (size_t part = 0; part < 4 && joined_table[i].part[part]; part++) {
            PK_CLEANUP(pk_freep) char *text = text_at(maker, joined_table[i].part[part]);
            PK_CLEANUP(pk_freep) char *before = id;
            id = text ? pk_strdupf("%s%s%s", before ? before : "", before ? ":" : "", text)
                      : pk_strdup(before ? before : "");
        }
    }
    return id;
}

static void add_person(const struct maker *maker, const struct pk_field *field, bson_t *out)
{
    bson_t list;
    if (field->type != PK_TYPE_ARRAY) {
        bson_append_utf8(out, field->name, -1, maker->how->person, -1);
        return;
    }
    bson_append_array_begin(out, field->name, -1, &list);
    bson_append_utf8(&list, "0", -1, maker->how->person, -1);
    bson_append_array_end(out, &list);
}

static void add_fields(const struct maker *maker, const struct pk_schema *schema, uint64_t number,
                       bool is_root, bson_t *out)
{
    for (size_t i = 0; i < schema->count; i++) {
        const struct pk_field *field = &schema->field[i];
        PK_CLEANUP(pk_freep)
        char *id = is_root && strcmp(field->name, "_id") == 0 ? make_joined_id(maker) : NULL;
        if (id) {
            bson_append_utf8(out, field->name, -1, id, -1);
        } else if (is_root && is_person(maker, field)) {
            add_person(maker, field, out);
        } else if (is_wanted(maker, schema, field)) {
            add_value(maker, field, field->name, mix_name(number, field->name), out);
        }
    }
}

/* ---- From outside ---- */

static void generate(const struct pk_schema *schema, const struct pk_collection *collection,
                     const struct pk_generate *how, bson_t *out)
{
    struct maker maker = { how, collection, mix_name(mix(how->seed), schema->name) };
    bson_init(out);
    add_fields(&maker, schema, maker.root, true, out);
}

void pk_generate_bson(const struct pk_collection *collection, const struct pk_generate *how,
                      bson_t *out)
{
    generate(collection->schema, collection, how, out);
}

struct pk_doc *pk_generate_doc(const struct pk_collection *collection,
                               const struct pk_generate *how)
{
    bson_t bson;
    pk_generate_bson(collection, how, &bson);
    return pk_doc_take(&bson);
}

void pk_generate_schema(const struct pk_schema *schema, const struct pk_generate *how, bson_t *out)
{
    generate(schema, NULL, how, out);
}
