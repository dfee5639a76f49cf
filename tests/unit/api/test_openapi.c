/* test_openapi.c - What a row of the table becomes in the document; that the real one is valid, a
 * validator says in tests/e2e/api. */
/* SPDX-License-Identifier: MIT */
#include "test.h"

#include "api/openapi.h"
#include "api/row.h"
#include "base/alloc.h"
#include "base/buf.h"
#include "doc/json.h"
#include "doc/schema.h"

#include <string.h>

static const struct pk_field thing_field[] = {
    { .name = "id", .type = PK_TYPE_STRING, .format = PK_FORMAT_UUID, .flags = PK_FIELD_REQUIRED },
    { .name = "count", .type = PK_TYPE_INT, .min = 1, .max = 9, .help = "How many." },
};
static const struct pk_schema thing = {
    .name = "Thing",
    .field = thing_field,
    .count = PK_COUNT(thing_field),
    .help = "A thing.",
};
static const char *const words[] = { "big", "small", NULL };
static const struct pk_param params[] = {
    { .name = "thing", .type = PK_PARAM_UUID, .help = "Which." },
    { .name = "size", .type = PK_PARAM_WORD, .allowed = words, .fallback = "big" },
    { .name = "at", .type = PK_PARAM_TIME },
    { .name = "deep", .type = PK_PARAM_BOOL },
    { .name = "most", .type = PK_PARAM_INT, .min = 1, .max = 7 },
    { .name = "q", .type = PK_PARAM_TEXT, .max = 20 },
    { .name = NULL },
};
static const enum pk_code fails[] = { PK_UNSUPPORTED, PK_OK };
static const struct pk_api_row row_table[] = {
    { PK_ROW(GET, "/v1/things/{thing}/parts/{part}", ACTOR_READ), .id = "getPart", .tag = "things",
      .answer = &thing, .param = params, .flags = PK_ROW_AFTER, .help = "Shows a part." },
    { PK_ROW(GET, "/healthz", LOOK_PUBLIC), .id = "getHealth", .tag = "health",
      .help = "Says that it lives.", .lane = PK_LANE_HOT },
    { PK_ROW(GET, "/v1/things", ACTOR_READ), .id = "listThings", .tag = "things", .answer = &thing,
      .flags = PK_ROW_LIST, .help = "Lists things." },
    { PK_ROW(POST, "/v1/things", ACTOR_CHANGE), .id = "addThing", .tag = "things", .status = 201,
      .body = &thing, .text_type = "text/x-lua", .answer = &thing,
      .flags = PK_ROW_ONCE | PK_ROW_WRITES, .fails = fails, .help = "Adds a thing." },
    { PK_ROW(PATCH, "/v1/things/{thing}", ACTOR_CHANGE), .id = "changeThing", .tag = "things",
      .body = &thing, .answer = &thing, .flags = PK_ROW_MATCH | PK_ROW_WRITES,
      .help = "Changes a thing." },
    { PK_ROW(DELETE, "/v1/things/{thing}", ACTOR_CHANGE), .id = "removeThing", .tag = "things",
      .status = 204, .flags = PK_ROW_WRITES, .help = "Removes a thing." },
    { PK_ROW(GET, "/v1/events", EVENT_STREAM), .id = "getEvents", .tag = "events",
      .flags = PK_ROW_EVENTS, .help = "Streams." },
};

static void write_rows(struct pk_buf *out)
{
    const struct pk_api_row *row[PK_COUNT(row_table)];
    for (size_t i = 0; i < PK_COUNT(row_table); i++) {
        row[i] = &row_table[i];
    }
    pk_openapi_write(out, row, PK_COUNT(row));
}

/* The document; destroyed when the case ends. */
static void read_rows(bson_t *doc)
{
    PK_CLEANUP(pk_buf_done) struct pk_buf text = { 0 };
    struct pk_error err;
    write_rows(&text);
    assert_ok(pk_json_read(doc, text.data, text.size, NULL, &err), &err);
}

/* The value at a path of keys, ended by NULL; false when there is none. Keys as JSON has them. */
static bool find(const bson_t *doc, bson_iter_t *at, const char *const *key)
{
    bson_iter_t inside;
    if (!bson_iter_init(&inside, doc)) {
        return false;
    }
    for (;; key++) {
        PK_CLEANUP(pk_buf_done) struct pk_buf stored = { 0 };
        pk_key_escape(&stored, *key, strlen(*key));
        if (!bson_iter_find(&inside, pk_buf_text(&stored))) {
            return false;
        }
        *at = inside;
        if (!key[1]) {
            return true;
        }
        if (!bson_iter_recurse(at, &inside)) {
            return false;
        }
    }
}
#define HAS(doc_, at_, ...) find(doc_, at_, (const char *const[]){ __VA_ARGS__, NULL })

TEST(the_same_rows_give_the_same_bytes)
{
    PK_CLEANUP(pk_buf_done) struct pk_buf one = { 0 };
    PK_CLEANUP(pk_buf_done) struct pk_buf two = { 0 };
    write_rows(&one);
    write_rows(&two);
    assert_int_equal(one.size, two.size);
    assert_memory_equal(one.data, two.data, one.size);
}

TEST(each_row_is_an_operation_under_its_path)
{
    PK_CLEANUP(bson_destroy) bson_t doc;
    bson_iter_t at;
    read_rows(&doc);
    static const char *const method[] = { [PK_METHOD_GET] = "get",
                                          [PK_METHOD_POST] = "post",
                                          [PK_METHOD_PATCH] = "patch",
                                          [PK_METHOD_DELETE] = "delete" };
    for (size_t i = 0; i < PK_COUNT(row_table); i++) {
        assert_true(
            HAS(&doc, &at, "paths", row_table[i].path, method[row_table[i].method], "operationId"));
        assert_string_equal(bson_iter_utf8(&at, NULL), row_table[i].id);
    }
}

TEST(a_public_row_needs_no_key_and_others_do)
{
    PK_CLEANUP(bson_destroy) bson_t doc;
    bson_iter_t at;
    read_rows(&doc);
    assert_true(HAS(&doc, &at, "paths", "/healthz", "get", "security"));
    assert_false(HAS(&doc, &at, "paths", "/healthz", "get", "security", "0"));
    assert_false(HAS(&doc, &at, "paths", "/healthz", "get", "responses", "401"));
    assert_true(HAS(&doc, &at, "paths", "/v1/things", "get", "security", "0", "bearer"));
    assert_true(HAS(&doc, &at, "paths", "/v1/things", "get", "responses", "401"));
}

TEST(the_errors_of_a_row_follow_from_it)
{
    PK_CLEANUP(bson_destroy) bson_t doc;
    bson_iter_t at;
    read_rows(&doc);
    assert_true(HAS(&doc, &at, "paths", "/v1/things", "post", "responses", "422"));
    assert_true(HAS(&doc, &at, "paths", "/v1/things", "post", "responses", "409"));
    assert_true(HAS(&doc, &at, "paths", "/v1/things", "post", "responses", "413"));
    assert_true(HAS(&doc, &at, "paths", "/v1/things", "post", "responses", "501"));
    assert_false(HAS(&doc, &at, "paths", "/v1/things", "get", "responses", "501"));
    assert_false(HAS(&doc, &at, "paths", "/v1/things", "get", "responses", "409"));
    assert_true(HAS(&doc, &at, "paths", "/v1/things/{thing}", "patch", "responses", "412"));
    assert_true(HAS(&doc, &at, "paths", "/v1/things/{thing}", "patch", "responses", "404"));
    assert_true(HAS(&doc, &at, "components", "responses", "Problem412", "headers"));
}

TEST(success_has_its_status_its_headers_and_its_type)
{
    PK_CLEANUP(bson_destroy) bson_t doc;
    bson_iter_t at;
    read_rows(&doc);
    assert_true(
        HAS(&doc, &at, "paths", "/v1/things", "post", "responses", "201", "headers", "Location"));
    assert_true(HAS(&doc, &at, "paths", "/v1/things", "post", "responses", "201", "headers",
                    "PersonaKit-Cursor"));
    assert_true(HAS(&doc, &at, "paths", "/v1/things/{thing}", "patch", "responses", "200",
                    "headers", "ETag"));
    assert_true(HAS(&doc, &at, "paths", "/v1/things/{thing}", "delete", "responses", "204"));
    assert_false(
        HAS(&doc, &at, "paths", "/v1/things/{thing}", "delete", "responses", "204", "content"));
    assert_true(HAS(&doc, &at, "paths", "/v1/things", "post", "requestBody", "content",
                    "text/x-lua", "schema", "type"));
    assert_true(HAS(&doc, &at, "paths", "/v1/things", "post", "requestBody", "content",
                    "application/json", "schema"));
    assert_false(HAS(&doc, &at, "paths", "/v1/things/{thing}", "patch", "requestBody", "content",
                     "text/x-lua"));
    assert_true(HAS(&doc, &at, "paths", "/v1/events", "get", "responses", "200", "content",
                    "text/event-stream"));
    assert_true(HAS(&doc, &at, "paths", "/v1/things", "get", "responses", "200", "content",
                    "application/json", "schema", "properties", "next"));
}

TEST(every_parameter_is_described_where_it_stands)
{
    PK_CLEANUP(pk_buf_done) struct pk_buf text = { 0 };
    write_rows(&text);
    static const char *const part[] = {
        "{\"name\":\"part\",\"in\":\"path\",\"required\":true,\"schema\":{\"type\":\"string\"",
        "{\"name\":\"thing\",\"in\":\"path\",\"required\":true,\"description\":\"Which.\","
        "\"schema\":{\"type\":\"string\",\"format\":\"uuid\"",
        "{\"name\":\"size\",\"in\":\"query\",\"description\":\"Without it: big.\","
        "\"schema\":{\"type\":\"string\",\"enum\":[\"big\",\"small\"]}}",
        "{\"name\":\"at\",\"in\":\"query\",\"schema\":{\"type\":\"string\",\"format\":\"date-time\"",
        "{\"name\":\"deep\",\"in\":\"query\",\"schema\":{\"type\":\"boolean\"}}",
        "{\"name\":\"most\",\"in\":\"query\",\"schema\":{\"type\":\"integer\",\"format\":\"int64\","
        "\"minimum\":1,\"maximum\":7}}",
        "{\"name\":\"q\",\"in\":\"query\",\"schema\":{\"type\":\"string\",\"minLength\":1,"
        "\"maxLength\":20",
        "{\"$ref\":\"#/components/parameters/After\"}",
        "{\"$ref\":\"#/components/parameters/IdempotencyKey\"}",
        "{\"$ref\":\"#/components/parameters/IfMatch\"}",
    };
    for (size_t i = 0; i < PK_COUNT(part); i++) {
        if (!strstr(text.data, part[i])) {
            fail_msg("not in the document: %s", part[i]);
        }
    }
}

TEST(a_schema_that_is_sent_and_answered_is_two_components)
{
    PK_CLEANUP(bson_destroy) bson_t doc;
    bson_iter_t at;
    read_rows(&doc);
    assert_true(HAS(&doc, &at, "components", "schemas", "ThingInput", "properties", "count"));
    assert_true(HAS(&doc, &at, "components", "schemas", "Thing", "properties", "count", "type"));
    assert_string_equal(bson_iter_utf8(&at, NULL), "integer");
    assert_false(HAS(&doc, &at, "components", "schemas", "Thing2"));
    assert_true(HAS(&doc, &at, "components", "schemas", "Problem", "properties", "code"));
}
