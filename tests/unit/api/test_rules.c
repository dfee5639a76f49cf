/* test_rules.c - Every rule of the specification's sections 6.1 and 6.2, broken over HTTP.
 *
 * 6.1 is about fields: each field of each body that a route takes is made wrong
 * in each way in which its row can be (see spoil.h), sent, and must be refused
 * with its code and by its path, in the field and in the words; and nothing may
 * have been written. 6.2 has a case for each of its rules that no other file
 * has (feedback: test_feedback.c; observations: test_observations.c). */
/* SPDX-License-Identifier: MIT */
#include "house.h"

#include "base/alloc.h"
#include "doc/inventory.h"
#include "doc/json.h"
#include "doc/schema_intake.h"
#include "generate.h"
#include "spoil.h"

#include <stdio.h>
#include <string.h>

#define PERSON "11111111-1111-4111-8111-111111111111"

enum { COLLECTIONS_MAX = 64 };

/* ---- What is stored ---- */

struct stock {
    size_t count[COLLECTIONS_MAX];
};

static void take_stock(struct house *house, struct stock *out)
{
    const struct pk_inventory *inventory = pk_inventory_builtin();
    assert_true(inventory->count <= COLLECTIONS_MAX);
    for (size_t i = 0; i < inventory->count; i++) {
        out->count[i] = house_count(house, inventory->collection[i].name);
    }
}

static void expect_stock(struct house *house, const struct stock *before)
{
    const struct pk_inventory *inventory = pk_inventory_builtin();
    struct stock now;
    take_stock(house, &now);
    for (size_t i = 0; i < inventory->count; i++) {
        if (now.count[i] != before->count[i]) {
            fail_msg("'%s' had %zu documents, and has %zu", inventory->collection[i].name,
                     before->count[i], now.count[i]);
        }
    }
}

/* ---- 6.1: fields ---- */

/* A target of the row, with something in each parameter of its path; in 'bad', what it cannot be.
 */
static void fill_path(const struct pk_api_row *row, const struct pk_param *bad, const char *value,
                      struct pk_buf *out)
{
    for (const char *at = row->path; *at;) {
        if (*at != '{') {
            pk_buf_add_char(out, *at++);
            continue;
        }
        const size_t size = strcspn(at + 1, "}");
        const struct pk_param *param = row->param;
        while (param->name && (strncmp(param->name, at + 1, size) || param->name[size])) {
            param++;
        }
        assert_non_null(param->name);
        pk_buf_add_text(out, param == bad                          ? value
                             : param->type == PK_PARAM_UUID        ? PERSON
                             : strcmp(param->name, "version") == 0 ? "1.0.0"
                                                                   : "first");
        at += size + 2;
    }
}

struct sending {
    struct house *house;
    const struct pk_api_row *row;
    const char *target;
};

static struct reply send(const struct sending *sending, const bson_t *doc, size_t *out_size)
{
    static const char *const method[] = {
        [PK_METHOD_POST] = "POST", [PK_METHOD_PUT] = "PUT", [PK_METHOD_PATCH] = "PATCH"
    };
    PK_CLEANUP(pk_buf_done) struct pk_buf text = { 0 };
    PK_CLEANUP(pk_buf_done) struct pk_buf json = { 0 };
    struct pk_error err;
    assert_ok(pk_json_write(&json, doc, PK_JSON_COMPACT, &err), &err);
    *out_size = json.size;
    pk_buf_printf(
        &text,
        "%s %s HTTP/1.1\r\nHost: here\r\nConnection: close\r\nAuthorization: Bearer %s\r\n"
        "Content-Type: application/json\r\nContent-Length: %zu\r\n\r\n",
        method[sending->row->method], sending->target, sending->house->admin, json.size);
    pk_buf_add(&text, json.data, json.size);
    return house_say(sending->house, pk_buf_text(&text));
}

/* The fault at this path, among all that are named. */
static bool has_error(const struct reply *reply, const char *path)
{
    char at[64];
    for (size_t i = 0; i < reply_count(reply, "errors"); i++) {
        (void)snprintf(at, sizeof(at), "errors.%zu.field", i);
        if (strcmp(reply_text(reply, at), path) == 0) {
            return true;
        }
    }
    return false;
}

/* A message has room for the beginning of a long path. */
static bool is_said(const struct reply *reply, const char *field)
{
    char words[64];
    (void)snprintf(words, sizeof(words), "'%.40s", field);
    return strstr(reply_text(reply, "detail"), words) != NULL;
}

static void expect_named(void *context, const char *path, const char *way, const bson_t *doc)
{
    const struct sending *sending = context;
    const size_t max = sending->row->body_max_bytes ? sending->row->body_max_bytes : 64 * 1024;
    size_t size = 0;
    struct reply reply = send(sending, doc, &size);
    const char *field = reply_text(&reply, "field");
    if (size > max) {
        expect(&reply, 413, "body_too_large");
    } else if (reply.status != 400 || strcmp(reply_text(&reply, "code"), "invalid") != 0 ||
               !*field || !is_said(&reply, field) || !*reply_text(&reply, "hint") ||
               !has_error(&reply, path)) {
        fail_msg("%s, '%s' %s: %d %s", sending->target, path, way, reply.status, reply.body);
    }
    reply_done(&reply);
}

/* How many wrong bodies of this form were refused. */
static size_t try_body(struct house *house, const struct pk_api_row *row,
                       const struct pk_schema *schema)
{
    PK_CLEANUP(pk_buf_done) struct pk_buf target = { 0 };
    const struct pk_generate how = { .seed = 3, .is_full = true, .person = PERSON };
    bson_t doc;
    size_t count;
    fill_path(row, NULL, NULL, &target);
    struct sending sending = { .house = house, .row = row, .target = pk_buf_text(&target) };
    pk_generate_schema(schema, &how, &doc);
    count = pk_spoil_each(schema, &doc, expect_named, &sending);
    bson_destroy(&doc);
    return count;
}

TEST(each_field_of_each_body_that_is_wrong_is_named_and_nothing_is_written)
{
    PK_CLEANUP(house_close) struct house house = { 0 };
    struct stock before;
    size_t bodies = 0, tried = 0;
    house_open(&house, NULL);
    take_stock(&house, &before);
    for (size_t i = 0; i < pk_api_row_count(); i++) {
        const struct pk_api_row *row = pk_api_row_at(i);
        if (row->body) {
            tried += try_body(&house, row, row->body);
            bodies++;
        }
        for (const struct pk_body_form *form = row->form; form && form->type; form++) {
            if (form->schema == &pk_schema_observation_new) {
                tried += try_body(&house, row, form->schema);
                bodies++;
            }
        }
    }
    print_message("# %zu wrong fields of %zu bodies refused\n", tried, bodies);
    assert_true(bodies > 15 && tried > 500);
    expect_stock(&house, &before);
}

/* ---- Parameters ---- */

static bool is_in_path(const struct pk_api_row *row, const char *name)
{
    PK_CLEANUP(pk_freep) char *hole = pk_strdupf("{%s}", name);
    return strstr(row->path, hole) != NULL;
}

/* What the parameter cannot be; NULL: it may be any text. */
static char *bad_value(const struct pk_param *param)
{
    static const char *const wrong[] = {
        [PK_PARAM_INT] = "x",         [PK_PARAM_BOOL] = "maybe",  [PK_PARAM_TIME] = "yesterday",
        [PK_PARAM_UUID] = "somebody", [PK_PARAM_WORD] = "nosuch",
    };
    if (param->type != PK_PARAM_TEXT) {
        return pk_strdup(wrong[param->type]);
    }
    if (param->max == 0 || param->max > 4000) {
        return NULL;
    }
    char *text = pk_alloc((size_t)param->max + 2);
    memset(text, 'a', (size_t)param->max + 1);
    text[param->max + 1] = '\0';
    return text;
}

static size_t try_param(struct house *house, const struct pk_api_row *row,
                        const struct pk_param *param)
{
    static const char *const method[] = {
        [PK_METHOD_GET] = "GET",     [PK_METHOD_POST] = "POST",     [PK_METHOD_PUT] = "PUT",
        [PK_METHOD_PATCH] = "PATCH", [PK_METHOD_DELETE] = "DELETE",
    };
    PK_CLEANUP(pk_buf_done) struct pk_buf target = { 0 };
    PK_CLEANUP(pk_freep) char *value = bad_value(param);
    if (!value) {
        return 0;
    }
    const bool is_in = is_in_path(row, param->name);
    fill_path(row, is_in ? param : NULL, value, &target);
    if (!is_in) {
        pk_buf_printf(&target, "?%s=%s", param->name, value);
    }
    struct reply reply =
        house_ask(house, method[row->method], pk_buf_text(&target), house->admin, NULL);
    if (reply.status != 400 || strcmp(reply_text(&reply, "code"), "invalid") != 0 ||
        strcmp(reply_text(&reply, "field"), param->name) != 0 || !*reply_text(&reply, "detail") ||
        !*reply_text(&reply, "hint")) {
        fail_msg("%s %s: %d %s", method[row->method], pk_buf_text(&target), reply.status,
                 reply.body);
    }
    reply_done(&reply);
    return 1;
}

TEST(each_parameter_of_each_route_that_is_wrong_is_named_and_nothing_is_written)
{
    PK_CLEANUP(house_close) struct house house = { 0 };
    struct stock before;
    size_t tried = 0;
    house_open(&house, NULL);
    take_stock(&house, &before);
    for (size_t i = 0; i < pk_api_row_count(); i++) {
        const struct pk_api_row *row = pk_api_row_at(i);
        for (const struct pk_param *param = row->param; param && param->name; param++) {
            tried += try_param(&house, row, param);
        }
    }
    print_message("# %zu wrong parameters refused\n", tried);
    assert_true(tried > 100);
    expect_stock(&house, &before);
}

/* ---- 6.2: what holds between documents ---- */

static void do_it(struct house *house, const char *method, const char *target, const char *body)
{
    struct reply reply = house_ask(house, method, target, house->admin, body);
    if (reply.status != 200 && reply.status != 201) {
        fail_msg("%s: %s", target, reply.body);
    }
    reply_done(&reply);
}

static void furnish(struct house *house)
{
    house_open(house, NULL);
    do_it(house, "PUT", "/v1/mappers/plain?activate=true",
          "{'source':'return require([[personakit]]).mapper {"
          " limits = { soft_ms = 1000, hard_ms = 5000 },"
          " id = [[plain]], version = "
          "[[1.0.0]],\\n core = function() return { said = 1 } end }\\n'}");
    do_it(house, "POST", "/v1/observations?wait=processed",
          "{'personId':'" PERSON "','sourceType':'chat_log','sourceMetadata':{'source':'test'},"
          "'content':{'raw':'x'}}");
}

TEST(a_person_has_one_mindscape)
{
    PK_CLEANUP(house_close) struct house house = { 0 };
    bson_t doc;
    furnish(&house);
    const struct pk_collection *mindscapes =
        pk_inventory_find(pk_inventory_builtin(), "mindscapes");
    const struct pk_generate how = { .seed = 5, .person = PERSON };
    pk_generate_bson(mindscapes, &how, &doc);
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *second = pk_doc_take(&doc);
    PK_CLEANUP(pk_writes_done) struct pk_writes list = { 0 };
    struct pk_commit commit;
    assert_string_equal(pk_doc_id(second), PERSON);
    pk_writes_insert(&list, "mindscapes", second);
    assert_false(pk_store_commit(house.store, &list, 0, &commit, &house.err));
    assert_int_equal(house.err.code, PK_CONFLICT);
    assert_int_equal(house_count(&house, "mindscapes"), 1);
}

TEST(mappers_are_never_deleted)
{
    static const char *const place[] = { "/v1/mappers/plain", "/v1/mappers/plain/versions/1.0.0",
                                         "/v1/mappers/plain/versions", "/v1/mappers" };
    PK_CLEANUP(house_close) struct house house = { 0 };
    furnish(&house);
    for (size_t i = 0; i < PK_COUNT(place); i++) {
        struct reply reply = house_ask(&house, "DELETE", place[i], house.admin, NULL);
        expect(&reply, 405, "method_not_allowed");
        assert_null(strstr(reply_header(&reply, "Allow"), "DELETE"));
        reply_done(&reply);
    }
    do_it(&house, "POST", "/v1/mappers/plain/versions/1.0.0/deprecate", NULL);
    struct reply reply =
        house_ask(&house, "GET", "/v1/mappers/plain/versions/1.0.0", house.admin, NULL);
    expect(&reply, 200, NULL);
    assert_string_equal(reply_text(&reply, "status"), "deprecated");
    reply_done(&reply);
    assert_int_equal(house_count(&house, "mappers"), 1);
}

static void read_time(const char *text, int64_t *out_ms)
{
    struct pk_error err;
    assert_ok(pk_time_parse(text, strlen(text), out_ms, &err), &err);
}

TEST(a_persona_expires_after_24_hours_unless_its_mapper_says_otherwise)
{
    static const int64_t day_ms = INT64_C(24) * 3600 * 1000;
    static const char *const body =
        "{'mapperId':'plain','personaId':'" PERSON "','detailLevel':'instant'}";
    PK_CLEANUP(house_close) struct house house = { 0 };
    furnish(&house);
    struct reply reply = house_ask(&house, "POST", "/v1/personas/map", house.admin, body);
    int64_t made_ms = 0, ends_ms = 0;
    expect(&reply, 200, NULL);
    assert_int_equal(reply_number(&reply, "persona.ttlHours"), 24);
    read_time(reply_text(&reply, "persona.generationMetadata.generatedAt"), &made_ms);
    read_time(reply_text(&reply, "persona.expiresAt"), &ends_ms);
    assert_int_equal(ends_ms - made_ms, day_ms);
    reply_done(&reply);
}
