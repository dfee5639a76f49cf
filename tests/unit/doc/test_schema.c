/* test_schema.c - Documents against schemas: every fault at once, by path; and the stored form. */
/* SPDX-License-Identifier: MIT */
#include "test.h"

#include "base/alloc.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/utf8.h"
#include "doc/doc.h"
#include "doc/json.h"
#include "doc/path.h"
#include "doc/schema.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* ---- A schema with one of everything ---- */

static const char *const color[] = { "red", "green", "blue", NULL };
static const struct pk_field source_field[] = {
    { .name = "obsId",
      .type = PK_TYPE_STRING,
      .format = PK_FORMAT_UUID,
      .flags = PK_FIELD_REQUIRED },
    { .name = "weight", .type = PK_TYPE_NUMBER, .max = 1, .flags = PK_FIELD_REQUIRED },
};
static const struct pk_schema source_schema = { .name = "Source",
                                                .field = source_field,
                                                .count = PK_COUNT(source_field) };
static const struct pk_field source_item = { .type = PK_TYPE_OBJECT, .of = &source_schema };
static const struct pk_field number_item = { .type = PK_TYPE_NUMBER };
static const struct pk_field text_item = { .type = PK_TYPE_STRING, .min = 1, .max = 5 };
static const struct pk_field nullable_item = { .type = PK_TYPE_INT, .flags = PK_FIELD_NULLABLE };
static const struct pk_field free_item = { .type = PK_TYPE_FREE };

static const struct pk_schema tree_schema;
static const struct pk_field tree_item = { .type = PK_TYPE_OBJECT, .of = &tree_schema };
static const struct pk_field tree_field[] = {
    { .name = "leaf", .type = PK_TYPE_INT },
    { .name = "branches", .type = PK_TYPE_ARRAY, .item = &tree_item },
};
static const struct pk_schema tree_schema = { .name = "Tree", .field = tree_field, .count = 2 };

static const struct pk_field open_field[] = { { .name = "known", .type = PK_TYPE_INT } };
static const struct pk_schema open_schema = {
    .name = "Open", .field = open_field, .count = 1, .is_open = true
};
static const struct pk_field key_field[] = {
    { .name = "hash", .type = PK_TYPE_STRING, .format = PK_FORMAT_HASH },
    { .name = "size", .type = PK_TYPE_INT, .max = 10 },
};
static const struct pk_schema key_schema = { .name = "Key", .field = key_field, .count = 2 };

static void thing_rule(const bson_t *doc, const char *path, struct pk_faults *faults)
{
    bson_iter_t from, to;
    if (pk_path_find(doc, "from", &from) && pk_path_find(doc, "until", &to) &&
        BSON_ITER_HOLDS_DATE_TIME(&from) && BSON_ITER_HOLDS_DATE_TIME(&to) &&
        bson_iter_date_time(&from) > bson_iter_date_time(&to)) {
        assert_string_equal(path, "");
        pk_faults_add(faults, "until", "a date behind 'from'", "an earlier one");
    }
}

static const struct pk_field thing_field[] = {
    { .name = "_id", .type = PK_TYPE_STRING, .flags = PK_FIELD_REQUIRED, .min = 1, .max = 10 },
    { .name = "userId", .type = PK_TYPE_STRING, .format = PK_FORMAT_UUID },
    { .name = "color", .type = PK_TYPE_STRING, .allowed = color },
    { .name = "count", .type = PK_TYPE_INT, .min = -5, .max = 100 },
    { .name = "confidence", .type = PK_TYPE_NUMBER, .max = 1 },
    { .name = "big", .type = PK_TYPE_INT, .min = 1 },
    { .name = "isOn", .type = PK_TYPE_BOOL },
    { .name = "from", .type = PK_TYPE_DATE },
    { .name = "until", .type = PK_TYPE_DATE },
    { .name = "tags", .type = PK_TYPE_ARRAY, .item = &text_item, .max = 3 },
    { .name = "sources", .type = PK_TYPE_ARRAY, .item = &source_item },
    { .name = "vector", .type = PK_TYPE_ARRAY, .item = &number_item, .length_from = "dimension" },
    { .name = "dimension", .type = PK_TYPE_INT },
    { .name = "scores", .type = PK_TYPE_MAP, .item = &number_item, .max = 2 },
    { .name = "maybe", .type = PK_TYPE_STRING, .flags = PK_FIELD_NULLABLE },
    { .name = "maybes", .type = PK_TYPE_ARRAY, .item = &nullable_item },
    { .name = "data", .type = PK_TYPE_FREE },
    { .name = "freeMap", .type = PK_TYPE_MAP, .item = &free_item },
    { .name = "blob", .type = PK_TYPE_BINARY, .max = 4 },
    { .name = "open", .type = PK_TYPE_OBJECT, .of = &open_schema },
    { .name = "key", .type = PK_TYPE_OBJECT, .of = &key_schema, .flags = PK_FIELD_SECRET },
    { .name = "tree", .type = PK_TYPE_OBJECT, .of = &tree_schema },
    { .name = "email", .type = PK_TYPE_STRING, .format = PK_FORMAT_EMAIL },
    { .name = "version", .type = PK_TYPE_STRING, .format = PK_FORMAT_SEMVER },
    { .name = "path", .type = PK_TYPE_STRING, .format = PK_FORMAT_TRAIT_PATH },
    { .name = "level", .type = PK_TYPE_STRING, .allowed = color, .flags = PK_FIELD_ANY_CASE },
    { .name = "mapperId", .type = PK_TYPE_STRING, .format = PK_FORMAT_SCRIPT_ID },
    { .name = "modelVersion", .type = PK_TYPE_STRING, .format = PK_FORMAT_MODEL_VERSION },
    { .name = "name", .type = PK_TYPE_STRING, .format = PK_FORMAT_NAME },
    { .name = "title", .type = PK_TYPE_STRING, .format = PK_FORMAT_TITLE, .min = 1, .max = 20 },
    { .name = "kind",
      .type = PK_TYPE_STRING,
      .format = PK_FORMAT_NAME,
      .allowed = color,
      .flags = PK_FIELD_OPEN_ENUM },
};
static const struct pk_schema thing_schema = {
    .name = "Thing", .field = thing_field, .count = PK_COUNT(thing_field), .rule = thing_rule
};

/* ---- Help ---- */

/* Accepts JSON and gives the faults as text ("" when there was none) and the stored form. */
static void accept_json(const char *text, struct pk_buf *out_faults, bson_t *out)
{
    bson_t doc;
    struct pk_faults faults = { 0 };
    struct pk_error err = { 0 };
    assert_ok(pk_json_read(&doc, text, strlen(text), NULL, &err), &err);
    bool is_ok = pk_schema_accept(&thing_schema, &doc, out, &faults);
    assert_int_equal(is_ok, faults.count == 0);
    pk_faults_print(&faults, out_faults);
    pk_faults_done(&faults);
    bson_destroy(&doc);
    if (is_ok) { /* What was accepted stands the check of what is stored. */
        assert_true(bson_validate(out, BSON_VALIDATE_UTF8 | BSON_VALIDATE_UTF8_ALLOW_NULL, NULL));
        if (!pk_schema_check(&thing_schema, out, &faults)) {
            fail_msg("%s: %s %s", text, faults.fault[0].path, faults.fault[0].expected);
        }
    }
}

static void assert_faults(const char *text, const char *expected)
{
    PK_CLEANUP(pk_buf_done) struct pk_buf faults = { 0 };
    bson_t doc;
    accept_json(text, &faults, &doc);
    assert_string_equal(pk_buf_text(&faults), expected);
}

#define UUID "11111111-2222-4333-8444-555555555555"

TEST(controls_and_turns_of_direction_are_in_no_title_and_no_email)
{
    static const uint32_t hiding[] = { 0x00,   0x1F,   0x7F,   0x80,   0x9F,  0x2028,
                                       0x2029, 0x202A, 0x202E, 0x2066, 0x2069 };
    static const uint32_t shown[] = { 0x21, 0x7E, 0xA0, 0xAD, 0x2027, 0x202F, 0x2065, 0x206A };
    for (size_t i = 0; i < PK_COUNT(hiding) + PK_COUNT(shown); i++) {
        const bool is_hiding = i < PK_COUNT(hiding);
        const uint32_t point = is_hiding ? hiding[i] : shown[i - PK_COUNT(hiding)];
        struct pk_faults faults = { 0 };
        bson_t doc = BSON_INITIALIZER;
        bson_t out;
        char text[32] = "a";
        const int size = 1 + (int)pk_utf8_put(text + 1, point);
        BSON_APPEND_UTF8(&doc, "_id", "a");
        bson_append_utf8(&doc, "title", -1, text, size);
        memcpy(text + size, "@b.de", 5);
        bson_append_utf8(&doc, "email", -1, text, size + 5);
        if (pk_schema_accept(&thing_schema, &doc, &out, &faults)) {
            bson_destroy(&out);
        }
        assert_int_equal(faults.count, is_hiding ? 2 : 0);
        pk_faults_done(&faults);
        bson_destroy(&doc);
    }
}

TEST(what_may_be_written_in_several_ways_is_stored_in_one)
{
    static const char text[] =
        "{\"_id\":\"A/b\",\"userId\":\"AAAAAAAA-2222-4333-8444-55555555555F\","
        "\"path\":\"Work/focus.peak\",\"level\":\"Green\"}";
    PK_CLEANUP(pk_buf_done) struct pk_buf faults = { 0 };
    bson_t stored;
    accept_json(text, &faults, &stored);
    assert_string_equal(pk_buf_text(&faults), "");
    struct pk_doc *doc = pk_doc_take(&stored);
    assert_string_equal(pk_doc_id(doc), "A/b");
    assert_string_equal(pk_doc_text(doc, "userId"), "aaaaaaaa-2222-4333-8444-55555555555f");
    assert_string_equal(pk_doc_text(doc, "path"), "Work.focus.peak");
    assert_string_equal(pk_doc_text(doc, "level"), "green");
    pk_doc_unref(doc);
}

TEST(another_way_of_writing_is_refused_in_the_stored_form)
{
    PK_CLEANUP(pk_buf_done) struct pk_buf text = { 0 };
    struct pk_faults faults = { 0 };
    bson_t doc;
    bson_init(&doc);
    BSON_APPEND_UTF8(&doc, "_id", "a");
    BSON_APPEND_UTF8(&doc, "userId", "AAAAAAAA-2222-4333-8444-555555555555");
    BSON_APPEND_UTF8(&doc, "path", "work/focus");
    BSON_APPEND_UTF8(&doc, "level", "Red");
    assert_false(pk_schema_check(&thing_schema, &doc, &faults));
    pk_faults_print(&faults, &text);
    assert_string_equal(pk_buf_text(&text),
                        "userId: expected a UUID of version 4 in lower case, got "
                        "'AAAAAAAA-2222-4333-8444-55555555'... of 36 bytes\n"
                        "path: expected a dot path like 'work.focus', got 'work/focus'\n"
                        "level: expected 'red', 'green' or 'blue', got 'Red'\n");
    pk_faults_done(&faults);
    bson_destroy(&doc);
}

TEST(what_fits_is_accepted_and_written_back_alike)
{
    static const struct {
        const char *text;
        const char *stored; /* As JSON; NULL: like 'text'. */
    } row[] = {
        { "{\"_id\":\"a\"}", NULL },
        { "{\"_id\":\"a\",\"userId\":\"" UUID "\",\"color\":\"blue\",\"count\":-5,\"big\":"
          "9223372036854775807,\"isOn\":false}",
          NULL },
        { "{\"confidence\":1,\"_id\":\"0123456789\"}", NULL },
        { "{\"_id\":\"a\",\"confidence\":0.0}", NULL },
        { "{\"_id\":\"a\",\"count\":5.0}", "{\"_id\":\"a\",\"count\":5}" },
        { "{\"_id\":\"a\",\"count\":1e2}", "{\"_id\":\"a\",\"count\":100}" },
        { "{\"_id\":\"a\",\"from\":\"2026-01-31T10:30:00+01:00\"}",
          "{\"_id\":\"a\",\"from\":\"2026-01-31T09:30:00.000Z\"}" },
        { "{\"_id\":\"a\",\"count\":null,\"from\":null,\"data\":null}", "{\"_id\":\"a\"}" },
        { "{\"_id\":\"a\",\"maybe\":null,\"maybes\":[null,1]}", NULL },
        { "{\"_id\":\"a\",\"tags\":[\"a\",\"12345\",\"c\"],\"sources\":[]}", NULL },
        { "{\"_id\":\"a\",\"sources\":[{\"obsId\":\"" UUID "\",\"weight\":0.5}]}", NULL },
        { "{\"_id\":\"a\",\"vector\":[1,2.5],\"dimension\":2}", NULL },
        { "{\"_id\":\"a\",\"vector\":[1,2.5]}", NULL },
        { "{\"_id\":\"a\",\"scores\":{\"x.y\":1,\"$z\":2.5}}", NULL },
        { "{\"_id\":\"a\",\"scores\":{\"x\":1,\"y\":null,\"z\":null}}",
          "{\"_id\":\"a\",\"scores\":{\"x\":1}}" },
        { "{\"_id\":\"a\",\"data\":{\"a.b\":[null,{\"$c\":null}],\"d\":1.5}}", NULL },
        { "{\"_id\":\"a\",\"freeMap\":{\"x\":null,\"y\":[null]}}", NULL },
        { "{\"_id\":\"a\",\"blob\":\"AP8QgA==\"}", NULL },
        { "{\"_id\":\"a\",\"open\":{\"known\":1,\"other\":{\"x\":null},\"null\":null}}", NULL },
        { "{\"_id\":\"a\",\"tree\":{\"branches\":[{\"leaf\":1},{\"branches\":[{\"leaf\":2}]}]}}",
          NULL },
        { "{\"_id\":\"a\",\"email\":\"a.b+c@ex-ample.org\",\"version\":\"1.2.3-rc.1+build\","
          "\"path\":\"work.focus\",\"mapperId\":\"daily-work\",\"name\":\"persona.updated:v1\"}",
          NULL },
        { "{\"_id\":\"a\",\"kind\":\"pink\"}", NULL },
        { "{\"_id\":\"a\",\"modelVersion\":\"v_20261121073200_ab12\"}", NULL },
        { "{\"_id\":\"\xC3\xA9\\u0000\"}", NULL },
        { "{\"_id\":\"a\",\"title\":\" Zo\xC3\xAB, \xF0\x9F\x98\x80\"}", NULL },
    };
    for (size_t i = 0; i < PK_COUNT(row); i++) {
        struct pk_buf faults = { 0 };
        struct pk_buf stored = { 0 };
        bson_t doc;
        struct pk_error err = { 0 };
        accept_json(row[i].text, &faults, &doc);
        if (faults.size) {
            fail_msg("%s\n%s", row[i].text, faults.data);
        }
        assert_ok(pk_json_write(&stored, &doc, PK_JSON_COMPACT, &err), &err);
        assert_string_equal(pk_buf_text(&stored), row[i].stored ? row[i].stored : row[i].text);
        bson_destroy(&doc);
        pk_buf_done(&faults);
        pk_buf_done(&stored);
    }
}

TEST(what_does_not_fit_is_named_by_path_with_what_was_expected_and_got)
{
    static const struct {
        const char *text;
        const char *faults;
    } row[] = {
        { "{}", "_id: expected a text of 1 to 10 bytes, got nothing\n" },
        { "{\"_id\":null}", "_id: expected a text of 1 to 10 bytes, got nothing\n" },
        { "{\"_id\":\"\"}", "_id: expected a text of 1 to 10 bytes, got ''\n" },
        { "{\"_id\":\"12345678901\"}",
          "_id: expected a text of 1 to 10 bytes, got '12345678901'\n" },
        { "{\"_id\":7}", "_id: expected a text of 1 to 10 bytes, got 7\n" },
        { "{\"_id\":\"a\",\"usrId\":1}",
          "usrId: expected a field of Thing, perhaps 'userId', got an unknown field\n" },
        { "{\"_id\":\"a\",\"User-ID\":1}",
          "User-ID: expected a field of Thing, perhaps 'userId', got an unknown field\n" },
        { "{\"_id\":\"a\",\"quite different\":1}",
          "quite different: expected a field of Thing, got an unknown field\n" },
        { "{\"_id\":\"a\",\"color\":\"pink\"}",
          "color: expected 'red', 'green' or 'blue', got 'pink'\n" },
        { "{\"_id\":\"a\",\"color\":\"re\"}",
          "color: expected 'red', 'green' or 'blue', got 're'\n" },
        { "{\"_id\":\"a\",\"color\":\"red\\u0000\"}",
          "color: expected 'red', 'green' or 'blue', got 'red\\x00'\n" },
        { "{\"_id\":\"a\",\"count\":101}", "count: expected an integer from -5 to 100, got 101\n" },
        { "{\"_id\":\"a\",\"count\":-6.0}", "count: expected an integer from -5 to 100, got -6\n" },
        { "{\"_id\":\"a\",\"count\":5.5}", "count: expected an integer from -5 to 100, got 5.5\n" },
        { "{\"_id\":\"a\",\"big\":1e19}", "big: expected an integer of at least 1, got 1e+19\n" },
        { "{\"_id\":\"a\",\"big\":0}", "big: expected an integer of at least 1, got 0\n" },
        { "{\"_id\":\"a\",\"count\":\"5\"}",
          "count: expected an integer from -5 to 100, got '5'\n" },
        { "{\"_id\":\"a\",\"confidence\":1.5}",
          "confidence: expected a number from 0 to 1, got 1.5\n" },
        { "{\"_id\":\"a\",\"confidence\":-0.1}",
          "confidence: expected a number from 0 to 1, got -0.1\n" },
        { "{\"_id\":\"a\",\"isOn\":1}", "isOn: expected true or false, got 1\n" },
        { "{\"_id\":\"a\",\"from\":\"2026-01-31\"}",
          "from: expected a date with time and zone like 2026-01-31T09:30:00Z, got "
          "'2026-01-31'\n" },
        { "{\"_id\":\"a\",\"from\":1763710320123}",
          "from: expected a date with time and zone like 2026-01-31T09:30:00Z, got "
          "1763710320123\n" },
        { "{\"_id\":\"a\",\"from\":\"2026-01-02T00:00:00Z\",\"until\":\"2026-01-01T00:00:00Z\"}",
          "until: expected a date behind 'from', got an earlier one\n" },
        { "{\"_id\":\"a\",\"tags\":\"x\"}",
          "tags: expected a list of at most 3 elements, got 'x'\n" },
        { "{\"_id\":\"a\",\"tags\":[\"a\",\"b\",\"c\",\"d\"]}",
          "tags: expected a list of at most 3 elements, got a list of 4 elements\n" },
        { "{\"_id\":\"a\",\"tags\":[\"a\",\"\",null]}",
          "tags[1]: expected a text of 1 to 5 bytes, got ''\n"
          "tags[2]: expected a text of 1 to 5 bytes, got null\n" },
        { "{\"_id\":\"a\",\"sources\":[{\"obsId\":\"" UUID "\",\"weight\":0},{\"weight\":2,"
          "\"obsID\":1}]}",
          "sources[1].weight: expected a number from 0 to 1, got 2\n"
          "sources[1].obsID: expected a field of Source, perhaps 'obsId', got an unknown field\n"
          "sources[1].obsId: expected a UUID of version 4, got nothing\n" },
        { "{\"_id\":\"a\",\"sources\":[[]]}",
          "sources[0]: expected an object, got a list of 0 elements\n" },
        { "{\"_id\":\"a\",\"vector\":[1,2],\"dimension\":3}",
          "vector: expected as many elements as 'dimension' says (3), got a list of 2 "
          "elements\n" },
        { "{\"_id\":\"a\",\"scores\":{\"x\":1,\"y\":2,\"z\":3}}",
          "scores: expected an object of at most 2 entries, got an object of 3 fields\n" },
        { "{\"_id\":\"a\",\"scores\":{\"x\":\"1\"}}", "scores.x: expected a number, got '1'\n" },
        { "{\"_id\":\"a\",\"scores\":[]}",
          "scores: expected an object of at most 2 entries, got a list of 0 elements\n" },
        { "{\"_id\":\"a\",\"maybe\":1}", "maybe: expected a text or null, got 1\n" },
        { "{\"_id\":\"a\",\"blob\":\"AP8QgA=\"}",
          "blob: expected base64 of at most 4 bytes, got 'AP8QgA='\n" },
        { "{\"_id\":\"a\",\"blob\":\"AP8QgB==\"}",
          "blob: expected base64 of at most 4 bytes, got 'AP8QgB=='\n" },
        { "{\"_id\":\"a\",\"blob\":\"AAAAAAA=\"}",
          "blob: expected base64 of at most 4 bytes, got 'AAAAAAA='\n" },
        { "{\"_id\":\"a\",\"open\":{\"known\":\"1\"}}",
          "open.known: expected an integer, got '1'\n" },
        { "{\"_id\":\"a\",\"key\":{\"hash\":\"hush\",\"size\":11}}",
          "key.hash: expected 64 lower-case hexadecimal digits, got a text that is not shown\n"
          "key.size: expected an integer from 0 to 10, got a number that is not shown\n" },
        { "{\"_id\":\"a\",\"key\":\"hush\"}",
          "key: expected an object, got a text that is not shown\n" },
        { "{\"_id\":\"a\",\"tree\":{\"branches\":[{\"branches\":[{\"leaf\":\"x\"}]}]}}",
          "tree.branches[0].branches[0].leaf: expected an integer, got 'x'\n" },
        { "{\"_id\":\"a\",\"userId\":\"11111111-2222-1333-8444-555555555555\"}",
          "userId: expected a UUID of version 4, got '11111111-2222-1333-8444-55555555'... of 36 "
          "bytes\n" },
        { "{\"_id\":\"a\",\"email\":\"a@b\"}", "email: expected an e-mail address, got 'a@b'\n" },
        { "{\"_id\":\"a\",\"email\":\"a@@b.c\"}",
          "email: expected an e-mail address, got 'a@@b.c'\n" },
        { "{\"_id\":\"a\",\"email\":\"a b@c.de\"}",
          "email: expected an e-mail address, got 'a b@c.de'\n" },
        { "{\"_id\":\"a\",\"email\":\"a@.de\"}",
          "email: expected an e-mail address, got 'a@.de'\n" },
        { "{\"_id\":\"a\",\"title\":\"a\\u0000b\"}",
          "title: expected a line of visible text of 1 to 20 bytes, got 'a\\x00b'\n" },
        { "{\"_id\":\"a\",\"title\":\"\\u001b[2J\"}",
          "title: expected a line of visible text of 1 to 20 bytes, got '\\x1b[2J'\n" },
        { "{\"_id\":\"a\",\"title\":\"a\\nb\"}",
          "title: expected a line of visible text of 1 to 20 bytes, got 'a\\nb'\n" },
        { "{\"_id\":\"a\",\"title\":\"   \"}",
          "title: expected a line of visible text of 1 to 20 bytes, got '   '\n" },
        { "{\"_id\":\"a\",\"version\":\"1.2\"}",
          "version: expected a semantic version like 1.2.3, got '1.2'\n" },
        { "{\"_id\":\"a\",\"path\":\"a..b\"}",
          "path: expected a dot path like 'work.focus', got 'a..b'\n" },
        { "{\"_id\":\"a\",\"mapperId\":\"-x\"}",
          "mapperId: expected an id of 1 to 64 characters a-z, 0-9, '_' and '-', got '-x'\n" },
        { "{\"_id\":\"a\",\"name\":\"a b\"}",
          "name: expected a name of A-Z, a-z, 0-9, '_', '.', ':' and '-', got 'a b'\n" },
        { "{\"_id\":\"a\",\"kind\":\"a b\"}",
          "kind: expected a name of A-Z, a-z, 0-9, '_', '.', ':' and '-', got 'a b'\n" },
        { "{\"_id\":1,\"count\":\"x\",\"nope\":1,\"isOn\":0,\"tags\":[5]}",
          "_id: expected a text of 1 to 10 bytes, got 1\n"
          "count: expected an integer from -5 to 100, got 'x'\n"
          "nope: expected a field of Thing, got an unknown field\n"
          "isOn: expected true or false, got 0\n"
          "tags[0]: expected a text of 1 to 5 bytes, got 5\n" },
    };
    for (size_t i = 0; i < PK_COUNT(row); i++) {
        assert_faults(row[i].text, row[i].faults);
    }
}

TEST(faults_of_texts_that_may_be_written_in_several_ways_show_what_was_given)
{
    static const struct {
        const char *text;
        const char *faults;
    } row[] = {
        { "{\"_id\":\"a\",\"x\\ny\\u202e\":1}",
          "x\\ny\\u202e: expected a field of Thing, got an unknown field\n" },
        { "{\"_id\":\"a\",\"level\":\"PINK\"}",
          "level: expected 'red', 'green' or 'blue', got 'PINK'\n" },
        { "{\"_id\":\"a\",\"color\":\"Red\"}",
          "color: expected 'red', 'green' or 'blue', got 'Red'\n" },
        { "{\"_id\":\"a\",\"path\":\"a/./b\"}",
          "path: expected a dot path like 'work.focus', got 'a/./b'\n" },
    };
    for (size_t i = 0; i < PK_COUNT(row); i++) {
        assert_faults(row[i].text, row[i].faults);
    }
}

/* ---- What is stored already ---- */

static void assert_stored(const bson_t *doc, const char *expected)
{
    struct pk_faults faults = { 0 };
    struct pk_buf text = { 0 };
    assert_int_equal(pk_schema_check(&thing_schema, doc, &faults), *expected == '\0');
    pk_faults_print(&faults, &text);
    assert_string_equal(pk_buf_text(&text), expected);
    pk_faults_done(&faults);
    pk_buf_done(&text);
}

TEST(the_stored_form_has_dates_and_binary_and_no_doubles_for_integers)
{
    bson_t doc = BSON_INITIALIZER;
    BSON_APPEND_UTF8(&doc, "_id", "a");
    BSON_APPEND_DATE_TIME(&doc, "from", 0);
    BSON_APPEND_BINARY(&doc, "blob", BSON_SUBTYPE_BINARY, (const uint8_t *)"abcd", 4);
    BSON_APPEND_INT32(&doc, "count", 3);
    assert_stored(&doc, "");
    bson_reinit(&doc);
    BSON_APPEND_UTF8(&doc, "_id", "a");
    BSON_APPEND_UTF8(&doc, "from", "2026-01-31T09:30:00Z");
    BSON_APPEND_UTF8(&doc, "blob", "AA==");
    BSON_APPEND_DOUBLE(&doc, "count", 3.0);
    BSON_APPEND_DATE_TIME(&doc, "until", INT64_MAX);
    assert_stored(&doc,
                  "from: expected a date of the years 0 to 9999, got '2026-01-31T09:30:00Z'\n"
                  "blob: expected binary data of at most 4 bytes, got 'AA=='\n"
                  "count: expected an integer from -5 to 100, got 3\n"
                  "until: expected a date of the years 0 to 9999, got a date (9223372036854775807 "
                  "ms since 1970)\n");
    bson_destroy(&doc);
}

TEST(stored_nulls_repeated_fields_and_foreign_types_are_seen)
{
    bson_t doc = BSON_INITIALIZER;
    bson_t child;
    BSON_APPEND_UTF8(&doc, "_id", "a");
    BSON_APPEND_NULL(&doc, "count"); /* An absence. */
    BSON_APPEND_BOOL(&doc, "isOn", true);
    BSON_APPEND_BOOL(&doc, "isOn", false);
    bson_append_document_begin(&doc, "data", -1, &child);
    BSON_APPEND_TIMESTAMP(&child, "t", 1, 2);
    BSON_APPEND_DOUBLE(&child, "n", NAN);
    BSON_APPEND_INT32(&child, "a.b", 1);
    BSON_APPEND_INT32(&child, "a%2Eb", 1);
    BSON_APPEND_INT32(&child, "a%2eb", 1);
    bson_append_document_end(&doc, &child);
    BSON_APPEND_DOUBLE(&doc, "confidence", INFINITY);
    assert_stored(&doc,
                  "isOn: expected this field once, got a repeated field\n"
                  "data.t: expected what JSON can say, got a value of BSON's type 0x11\n"
                  "data.n: expected what JSON can say, got nan\n"
                  "data.a.b: expected a key with '.', '$' and '%' escaped, got one that is not\n"
                  "data.a%2eb: expected a key with '.', '$' and '%' escaped, got one that is not\n"
                  "confidence: expected a number from 0 to 1, got inf\n");
    bson_destroy(&doc);
}

/* A document of 'depth' objects and lists within each other. */
static void make_nested(bson_t *doc, size_t depth, bool is_tree)
{
    bson_t open[PK_DOC_MAX_DEPTH + 1];
    bson_init(&open[0]);
    BSON_APPEND_UTF8(&open[0], "_id", "a");
    for (size_t i = 1; i < depth; i++) {
        const char *key = i == 1 ? (is_tree ? "tree" : "data") : i % 2 ? "0" : "branches";
        if (i % 2) {
            bson_append_document_begin(&open[i - 1], key, -1, &open[i]);
        } else {
            bson_append_array_begin(&open[i - 1], key, -1, &open[i]);
        }
    }
    for (size_t i = depth - 1; i > 0; i--) {
        bson_append_document_end(&open[i - 1], &open[i]);
    }
    bson_copy_to(&open[0], doc);
    bson_destroy(&open[0]);
}

TEST(nesting_deeper_than_64_is_a_fault_in_free_form_and_in_recursive_schemas)
{
    for (int is_tree = 0; is_tree < 2; is_tree++) {
        struct pk_faults faults = { 0 };
        bson_t doc;
        make_nested(&doc, PK_DOC_MAX_DEPTH, is_tree != 0);
        assert_true(pk_schema_check(&thing_schema, &doc, &faults));
        bson_destroy(&doc);
        make_nested(&doc, PK_DOC_MAX_DEPTH + 1, is_tree != 0);
        assert_false(pk_schema_check(&thing_schema, &doc, &faults));
        assert_int_equal(faults.count, 1);
        assert_string_equal(faults.fault[0].expected, "nesting of at most 64");
        pk_faults_done(&faults);
        bson_destroy(&doc);
    }
}

/* ---- Faults ---- */

TEST(at_most_a_hundred_faults_are_collected)
{
    bson_t doc = BSON_INITIALIZER;
    struct pk_faults faults = { 0 };
    struct pk_error err = { 0 };
    for (int i = 0; i < 100000; i++) {
        char key[24];
        (void)snprintf(key, sizeof(key), "unknown%d", i);
        BSON_APPEND_INT32(&doc, key, i);
    }
    assert_false(pk_schema_check(&thing_schema, &doc, &faults));
    assert_int_equal(faults.count, 100);
    assert_true(faults.is_cut);
    assert_false(pk_faults_fail(&faults, &err));
    assert_string_equal(err.message,
                        "invalid 'unknown0': expected a field of Thing, got an unknown field, and "
                        "99 more faults or above");
    pk_faults_done(&faults);
    assert_int_equal(faults.count, 0);
    bson_destroy(&doc);
}

TEST(faults_become_one_error_that_names_the_first)
{
    struct pk_faults faults = { 0 };
    struct pk_error err = { 0 };
    pk_faults_add(&faults, "a.b", "a number from 0 to 1", "%.1f", 1.5);
    assert_false(pk_faults_fail(&faults, &err));
    assert_int_equal(err.code, PK_INVALID);
    assert_string_equal(err.message, "invalid 'a.b': expected a number from 0 to 1, got 1.5");
    assert_true(err.field == faults.fault[0].path);
    assert_non_null(err.hint);
    pk_faults_add(&faults, "", "an object", "nothing");
    assert_false(pk_faults_fail(&faults, &err));
    assert_string_equal(err.message,
                        "invalid 'a.b': expected a number from 0 to 1, got 1.5, and 1 more fault");
    pk_faults_done(&faults);
    pk_faults_done(&faults); /* Twice is fine. */
}

TEST(faults_of_before_do_not_refuse_the_next_document)
{
    struct pk_faults faults = { 0 };
    bson_t doc = BSON_INITIALIZER;
    BSON_APPEND_UTF8(&doc, "_id", "a");
    pk_faults_add(&faults, "x", "y", "z");
    assert_true(pk_schema_check(&thing_schema, &doc, &faults));
    pk_faults_done(&faults);
    bson_destroy(&doc);
}

/* ---- Rows ---- */

TEST(rows_are_found_by_path)
{
    static const struct {
        const char *path;
        const struct pk_field *field;
    } row[] = {
        { "_id", &thing_field[0] },
        { "tags", &thing_field[9] },
        { "tags[]", &text_item },
        { "tags[2]", &text_item },
        { "tags.2", &text_item },
        { "tags.x", NULL },
        { "tags[].x", NULL },
        { "sources[].weight", &source_field[1] },
        { "sources[3].obsId", &source_field[0] },
        { "sources.weight", NULL },
        { "scores.any", &number_item },
        { "scores.*", &number_item },
        { "scores.any.more", NULL },
        { "data", &thing_field[16] },
        { "data.x.y[].z", &thing_field[16] },
        { "open.known", &open_field[0] },
        { "tree.branches[].branches[].leaf", &tree_field[0] },
        { "nothing", NULL },
        { "_id.x", NULL },
        { "", NULL },
        { "sources[", NULL },
        { "scores[]", NULL },
    };
    for (size_t i = 0; i < PK_COUNT(row); i++) {
        if (pk_schema_field(&thing_schema, row[i].path) != row[i].field) {
            fail_msg("'%s'", row[i].path);
        }
    }
    const struct pk_field *unknown = pk_schema_field(&thing_schema, "open.unknown.x");
    assert_non_null(unknown);
    assert_int_equal(unknown->type, PK_TYPE_FREE);
}

static void list_row(void *context, const char *path, const struct pk_field *field)
{
    struct pk_buf *list = context;
    pk_buf_printf(list, "%s ", path);
    if (strcmp(path, "sources[].weight") == 0) {
        assert_true(field == &source_field[1]);
    }
    /* What is listed is found. */
    assert_true(pk_schema_field(&thing_schema, path) == field);
}

TEST(rows_are_listed_depth_first_and_recursive_schemas_once)
{
    struct pk_buf list = { 0 };
    pk_schema_each(&thing_schema, list_row, &list);
    assert_string_equal(
        pk_buf_text(&list),
        "_id userId color count confidence big isOn from until tags tags[] sources sources[] "
        "sources[].obsId sources[].weight vector vector[] dimension scores scores.* maybe maybes "
        "maybes[] data freeMap freeMap.* blob open open.known key key.hash key.size tree tree.leaf "
        "tree.branches tree.branches[] email version path level mapperId modelVersion name title kind ");
    pk_buf_done(&list);
}

/* ---- Speed ---- */

TEST(a_document_is_checked_in_microseconds)
{
    static const char text[] =
        "{\"_id\":\"a\",\"userId\":\"" UUID "\",\"color\":\"blue\",\"count\":5,\"confidence\":0.5,"
        "\"isOn\":true,\"from\":\"2026-01-31T09:30:00Z\",\"until\":\"2026-02-28T09:30:00Z\","
        "\"tags\":[\"a\",\"b\",\"c\"],\"sources\":[{\"obsId\":\"" UUID "\",\"weight\":0.5},"
        "{\"obsId\":\"" UUID "\",\"weight\":0.25}],\"data\":{\"focus_level\":\"deep\","
        "\"duration_minutes\":90,\"note\":\"a sentence of the usual length, as people write it in "
        "a log of what they did\",\"apps\":[\"editor\",\"terminal\"]},\"version\":\"1.2.3\"}";
    enum { ROUNDS = 20000 };
    const struct pk_clock *clock = pk_clock_system();
    struct pk_faults faults = { 0 };
    struct pk_buf none = { 0 };
    bson_t json, stored;
    accept_json(text, &none, &stored);
    int64_t start = pk_clock_mono_ns(clock);
    for (int i = 0; i < ROUNDS; i++) {
        assert_true(pk_schema_check(&thing_schema, &stored, &faults));
    }
    double check_us = (double)(pk_clock_mono_ns(clock) - start) / 1e3 / ROUNDS;
    start = pk_clock_mono_ns(clock);
    for (int i = 0; i < ROUNDS; i++) {
        assert_true(pk_json_read(&json, text, sizeof(text) - 1, NULL, NULL));
        bson_destroy(&json);
    }
    double read_us = (double)(pk_clock_mono_ns(clock) - start) / 1e3 / ROUNDS;
    struct pk_buf out = { 0 };
    start = pk_clock_mono_ns(clock);
    for (int i = 0; i < ROUNDS; i++) {
        pk_buf_clear(&out);
        assert_true(pk_json_write(&out, &stored, PK_JSON_COMPACT, NULL));
    }
    double write_us = (double)(pk_clock_mono_ns(clock) - start) / 1e3 / ROUNDS;
    print_message("# %u bytes: check %.2f us, read %.2f us, write %.2f us\n", stored.len, check_us,
                  read_us, write_us);
    pk_buf_done(&out);
    bson_destroy(&stored);
}
