/* test_json_schema.c - What a row becomes in JSON Schema, on the side of who sends and who
 * receives.
 *
 * That it agrees with the check on real and on mutated documents is shown in
 * tests/e2e/api/schemas.py, with a validator that is not ours. */
/* SPDX-License-Identifier: MIT */
#include "test.h"

#include "base/alloc.h"
#include "base/buf.h"
#include "base/error.h"
#include "doc/inventory.h"
#include "doc/json.h"
#include "doc/json_put.h"
#include "doc/json_schema.h"

#include <string.h>

static const char *const colours[] = { "red", "green", NULL };
static const struct pk_field word = { .type = PK_TYPE_STRING, .max = 5 };
static const struct pk_field anything = { .type = PK_TYPE_FREE };
static const struct pk_schema knot; /* Holds itself. */
static const struct pk_field knot_field[] = {
    { .name = "text", .type = PK_TYPE_STRING, .min = 1, .max = 9, .help = "Words." },
    { .name = "must", .type = PK_TYPE_BOOL, .flags = PK_FIELD_REQUIRED },
    { .name = "void", .type = PK_TYPE_BOOL, .flags = PK_FIELD_REQUIRED | PK_FIELD_NULLABLE },
    { .name = "id", .type = PK_TYPE_STRING, .format = PK_FORMAT_UUID, .flags = PK_FIELD_REQUIRED },
    { .name = "colour", .type = PK_TYPE_STRING, .allowed = colours, .flags = PK_FIELD_ANY_CASE },
    { .name = "shade",
      .type = PK_TYPE_STRING,
      .format = PK_FORMAT_NAME,
      .allowed = colours,
      .flags = PK_FIELD_OPEN_ENUM | PK_FIELD_REQUIRED,
      .max = 7 },
    { .name = "free", .type = PK_TYPE_INT, .flags = PK_FIELD_REQUIRED },
    { .name = "least", .type = PK_TYPE_INT, .flags = PK_FIELD_REQUIRED, .min = -4 },
    { .name = "unit", .type = PK_TYPE_NUMBER, .flags = PK_FIELD_REQUIRED, .max = 0.5 },
    { .name = "when", .type = PK_TYPE_DATE, .flags = PK_FIELD_REQUIRED },
    { .name = "bytes", .type = PK_TYPE_BINARY, .flags = PK_FIELD_REQUIRED, .min = 4, .max = 4 },
    { .name = "any", .type = PK_TYPE_FREE },
    { .name = "words",
      .type = PK_TYPE_ARRAY,
      .item = &word,
      .min = 1,
      .max = 3,
      .flags = PK_FIELD_REQUIRED },
    { .name = "named", .type = PK_TYPE_MAP, .item = &word, .max = 3, .flags = PK_FIELD_REQUIRED },
    { .name = "loose", .type = PK_TYPE_MAP, .item = &anything, .flags = PK_FIELD_REQUIRED },
    { .name = "inner", .type = PK_TYPE_OBJECT, .of = &knot },
    { .name = "secret", .type = PK_TYPE_STRING, .flags = PK_FIELD_REQUIRED | PK_FIELD_SECRET },
};
static const struct pk_schema knot = {
    .name = "Knot",
    .field = knot_field,
    .count = PK_COUNT(knot_field),
    .help = "A knot.",
};

static void expect(const struct pk_schema *schema, enum pk_json_side side, const char *const *part,
                   size_t count)
{
    PK_CLEANUP(pk_buf_done) struct pk_buf text = { 0 };
    pk_json_schema_document(&text, schema, side);
    for (size_t i = 0; i < count; i++) {
        if (!strstr(text.data, part[i])) {
            fail_msg("not there: %s\nin: %s", part[i], text.data);
        }
    }
}
#define EXPECT(schema_, side_, ...)                              \
    expect(schema_, side_, (const char *const[]){ __VA_ARGS__ }, \
           sizeof((const char *const[]){ __VA_ARGS__ }) / sizeof(const char *))

TEST(each_type_says_what_its_row_wants)
{
    EXPECT(&knot, PK_JSON_OUT,
           "\"text\":{\"type\":\"string\",\"minLength\":1,\"maxLength\":9,\"x-max-bytes\":9,"
           "\"description\":\"Words.\"}",
           "\"must\":{\"type\":\"boolean\"}", "\"void\":{\"type\":[\"boolean\",\"null\"]}",
           "\"free\":{\"type\":\"integer\",\"format\":\"int64\",\"minimum\":-9223372036854775808,"
           "\"maximum\":9223372036854775807}",
           "\"least\":{\"type\":\"integer\",\"format\":\"int64\",\"minimum\":-4,"
           "\"maximum\":9223372036854775807}",
           "\"unit\":{\"type\":\"number\",\"format\":\"double\",\"minimum\":0,\"maximum\":0.5}",
           "\"when\":{\"type\":\"string\",\"format\":\"date-time\",\"pattern\":\"^",
           "\"bytes\":{\"type\":\"string\",\"contentEncoding\":\"base64\",\"pattern\":\"^",
           "\"minLength\":8,\"maxLength\":8,\"x-max-bytes\":4}",
           "\"words\":{\"type\":\"array\",\"minItems\":1,\"maxItems\":3,\"items\":{\"type\":"
           "\"string\"",
           "\"loose\":{\"type\":\"object\",\"additionalProperties\":{}}",
           "\"secret\":{\"type\":\"string\",\"format\":\"password\"}");
}

TEST(enumerations_are_closed_or_examples)
{
    EXPECT(&knot, PK_JSON_OUT, "\"colour\":{\"type\":\"string\",\"enum\":[\"red\",\"green\"]}",
           "\"shade\":{\"type\":\"string\",\"examples\":[\"red\",\"green\"],\"pattern\":"
           "\"^[A-Za-z0-9_.:-]+$\",\"maxLength\":7}");
    EXPECT(&knot, PK_JSON_IN,
           "\"colour\":{\"type\":[\"string\",\"null\"],\"enum\":[\"red\",\"green\",null],"
           "\"x-any-case\":true}");
}

TEST(null_is_an_absence_only_to_who_sends)
{
    EXPECT(&knot, PK_JSON_IN, "\"text\":{\"type\":[\"string\",\"null\"]",
           "\"must\":{\"type\":\"boolean\"}", "\"any\":{}",
           "\"named\":{\"type\":\"object\",\"maxProperties\":3,\"additionalProperties\":{\"type\":"
           "[\"string\",\"null\"]",
           "\"inner\":{\"anyOf\":[{\"$ref\":\"#/$defs/KnotInput\"},{\"type\":\"null\"}]}");
    EXPECT(&knot, PK_JSON_OUT, "\"text\":{\"type\":\"string\"",
           "\"any\":{\"type\":[\"object\",\"array\",\"string\",\"number\",\"boolean\"]}",
           "\"inner\":{\"$ref\":\"#/$defs/Knot\"}");
}

TEST(a_uuid_is_taken_in_any_case_and_answered_in_lower_case)
{
    EXPECT(&knot, PK_JSON_IN,
           "\"id\":{\"type\":\"string\",\"format\":\"uuid\",\"pattern\":"
           "\"^[0-9a-fA-F]{8}");
    EXPECT(&knot, PK_JSON_OUT,
           "\"id\":{\"type\":\"string\",\"format\":\"uuid\",\"pattern\":"
           "\"^[0-9a-f]{8}");
}

TEST(a_star_stands_for_all_where_the_row_says_so)
{
    static const struct pk_field one[] = { { .name = "who",
                                             .type = PK_TYPE_STRING,
                                             .format = PK_FORMAT_UUID,
                                             .flags = PK_FIELD_REQUIRED | PK_FIELD_OR_STAR } };
    static const struct pk_schema star = { .name = "Star", .field = one, .count = 1 };
    static const char *const text[] = { "*", "**", "9B2F4D6E-0C1A-4B7E-8F3D-2A5C6E7F8091" };
    EXPECT(&star, PK_JSON_IN, "\"who\":{\"type\":\"string\",\"pattern\":\"^(?:[*]|[0-9a-fA-F]{8}-");
    for (size_t i = 0; i < PK_COUNT(text); i++) {
        PK_CLEANUP(pk_faults_done) struct pk_faults faults = { 0 };
        bson_t *doc = BCON_NEW("who", BCON_UTF8(text[i]));
        bson_t stored;
        bool is_taken = pk_schema_accept(&star, doc, &stored, &faults);
        assert_int_equal(is_taken, i != 1);
        if (is_taken) {
            bson_destroy(&stored);
        }
        bson_destroy(doc);
    }
}

TEST(a_closed_object_takes_nothing_else_and_an_open_one_does)
{
    static const struct pk_schema open = {
        .name = "Open", .field = knot_field, .count = 1, .is_open = true
    };
    EXPECT(&knot, PK_JSON_IN, "\"required\":[\"must\",\"void\",\"id\"",
           "\"additionalProperties\":false}}}");
    EXPECT(&open, PK_JSON_IN, "\"required\":[]", "\"additionalProperties\":true}}}");
}

/* ---- Components ---- */

static size_t occurrences(const char *text, const char *part)
{
    size_t count = 0;
    for (const char *at = strstr(text, part); at; at = strstr(at + 1, part)) {
        count++;
    }
    return count;
}

TEST(a_schema_is_a_component_once_on_each_side_and_equal_names_are_told_apart)
{
    static const struct pk_schema other = { .name = "Knot", .field = knot_field, .count = 1 };
    PK_CLEANUP(pk_json_schemas_done) struct pk_json_schemas all = { .prefix = "#/c/" };
    PK_CLEANUP(pk_buf_done) struct pk_buf refs = { 0 };
    PK_CLEANUP(pk_buf_done) struct pk_buf text = { 0 };
    pk_json_schemas_ref(&all, &refs, &knot, PK_JSON_OUT);
    pk_json_schemas_ref(&all, &refs, &knot, PK_JSON_OUT);
    pk_json_schemas_ref(&all, &refs, &knot, PK_JSON_IN);
    pk_json_schemas_ref(&all, &refs, &other, PK_JSON_OUT);
    assert_string_equal(refs.data, "{\"$ref\":\"#/c/Knot\"}{\"$ref\":\"#/c/Knot\"}"
                                   "{\"$ref\":\"#/c/KnotInput\"}{\"$ref\":\"#/c/Knot2\"}");
    pk_json_open(&text, NULL, '{');
    pk_json_schemas_write(&all, &text);
    pk_json_close(&text, '}');
    assert_int_equal(occurrences(text.data, "\"Knot\":{"), 1);
    assert_int_equal(occurrences(text.data, "\"KnotInput\":{"), 1);
    assert_int_equal(occurrences(text.data, "\"Knot2\":{"), 1);
}

TEST(every_schema_is_json_with_all_it_refers_to)
{
    size_t count;
    const struct pk_schema *const *schema = pk_schemas(&count);
    const struct pk_inventory *inventory = pk_inventory_builtin();
    for (size_t i = 0; i < 2 * (count + inventory->count); i++) {
        size_t at = i / 2;
        PK_CLEANUP(pk_buf_done) struct pk_buf text = { 0 };
        struct pk_error err;
        bson_t doc;
        pk_json_schema_document(&text,
                                at < count ? schema[at] : inventory->collection[at - count].schema,
                                i % 2 ? PK_JSON_IN : PK_JSON_OUT);
        assert_ok(pk_json_read(&doc, text.data, text.size, NULL, &err), &err);
        bson_destroy(&doc);
        for (const char *at_ref = strstr(text.data, "\"#/$defs/"); at_ref;
             at_ref = strstr(at_ref + 1, "\"#/$defs/")) {
            const char *name = at_ref + strlen("\"#/$defs/");
            PK_CLEANUP(pk_freep)
            char *definition =
                pk_strdupf("\"%.*s\":{\"type\":\"object\"", (int)strcspn(name, "\""), name);
            assert_non_null(strstr(text.data, definition));
        }
    }
}
