/* test_mappers.c - Mappers, processors and generations, as a client sees them. */
/* SPDX-License-Identifier: MIT */
#include "house.h"

#include "access/actor.h"
#include "base/alloc.h"
#include "base/log.h"
#include "doc/doc.h"
#include "doc/json.h"
#include "doc/schema_scripts.h"
#include "persona/registry.h"

#include <stdio.h>
#include <string.h>

/* Asks as the admin; 'body' with ' for ". */
static struct reply ask(struct house *house, const char *method, const char *target,
                        const char *body)
{
    return house_ask(house, method, target, house->admin, body);
}

static void expect_ask(struct house *house, const char *method, const char *target,
                       const char *body, int status, const char *code)
{
    struct reply reply = ask(house, method, target, body);
    expect(&reply, status, code);
    reply_done(&reply);
}

/* A body that uploads a mapper; static memory. */
static const char *mapper_body(const char *id, const char *version, int number)
{
    static char text[8][512];
    static unsigned turn;
    char *out = text[turn++ % 8];
    (void)snprintf(out, sizeof(text[0]),
                   "{'source':'local pk = require [[personakit]]\\nreturn pk.mapper {"
                   " limits = { soft_ms = 1000, hard_ms = 5000 },\\n"
                   "  id = [[%s]], version = [[%s]],\\n"
                   "  core = function() return { number = { is = %d } } end }\\n'}",
                   id, version, number);
    return out;
}

static void expect_schema(const struct reply *reply, const struct pk_schema *schema)
{
    struct pk_faults faults = { 0 };
    bson_t accepted;
    if (!pk_schema_accept(schema, reply->json, &accepted, &faults)) {
        fail_msg("'%s' must be %s, not %s", faults.fault[0].path, faults.fault[0].expected,
                 faults.fault[0].got);
    }
    bson_destroy(&accepted);
}

TEST(a_mapper_is_uploaded_activated_replaced_and_taken_back)
{
    PK_CLEANUP(house_close) struct house house = { 0 };
    house_open(&house, NULL);
    struct reply reply = ask(&house, "PUT", "/v1/mappers/daily", mapper_body("daily", "1.0.0", 1));
    expect(&reply, 200, NULL);
    expect_schema(&reply, &pk_schema_mapper_view);
    assert_string_equal(reply_text(&reply, "mapperId"), "daily");
    assert_string_equal(reply_text(&reply, "status"), "draft");
    assert_non_null(reply_header(&reply, "ETag"));
    assert_non_null(reply_header(&reply, "PersonaKit-Cursor"));
    assert_null(strstr(reply.body, "\"_id\""));
    assert_null(strstr(reply.body, "\"activation\""));
    reply_done(&reply);

    reply = ask(&house, "POST", "/v1/mappers/daily/versions/1.0.0/activate", NULL);
    expect(&reply, 200, NULL);
    expect_schema(&reply, &pk_schema_mapper_view);
    assert_string_equal(reply_text(&reply, "status"), "active");
    assert_int_equal(reply_number(&reply, "activation.generation"), 1);
    assert_int_equal(reply_number(&reply, "activation.oldCalls"), 0);
    reply_done(&reply);

    reply = ask(&house, "PUT", "/v1/mappers/daily?activate=true", mapper_body("daily", "1.1.0", 2));
    expect(&reply, 200, NULL);
    assert_string_equal(reply_text(&reply, "status"), "active");
    assert_string_equal(reply_text(&reply, "previousVersion"), "1.0.0");
    assert_int_equal(reply_number(&reply, "activation.generation"), 2);
    reply_done(&reply);

    reply = ask(&house, "GET", "/v1/mappers/daily/versions", NULL);
    expect(&reply, 200, NULL);
    assert_int_equal(reply_count(&reply, "items"), 2);
    assert_string_equal(reply_text(&reply, "items.0.version"), "1.1.0");
    assert_null(strstr(reply.body, "\"files\""));
    reply_done(&reply);

    reply = ask(&house, "POST", "/v1/mappers/daily/rollback", "{'reason':'it was odd'}");
    expect(&reply, 200, NULL);
    assert_string_equal(reply_text(&reply, "version"), "1.0.0");
    assert_int_equal(reply_number(&reply, "activation.generation"), 3);
    reply_done(&reply);
    reply = ask(&house, "POST", "/v1/mappers/daily/versions/1.1.0/activate", NULL);
    expect(&reply, 409, "conflict");
    assert_non_null(strstr(reply_text(&reply, "detail"), "it was odd"));
    reply_done(&reply);
    expect_ask(&house, "POST", "/v1/mappers/daily/rollback", "{'reason':'again'}", 409, "conflict");
    expect_ask(&house, "POST", "/v1/mappers/daily/versions/1.0.0/deprecate", NULL, 200, NULL);
    expect_ask(&house, "POST", "/v1/mappers/daily/versions/1.0.0/activate", NULL, 409, "conflict");
}

TEST(other_content_under_a_used_version_is_refused)
{
    PK_CLEANUP(house_close) struct house house = { 0 };
    house_open(&house, NULL);
    expect_ask(&house, "PUT", "/v1/mappers/daily", mapper_body("daily", "1.0.0", 1), 200, NULL);
    expect_ask(&house, "PUT", "/v1/mappers/daily", mapper_body("daily", "1.0.0", 1), 200, NULL);
    struct reply reply = ask(&house, "PUT", "/v1/mappers/daily", mapper_body("daily", "1.0.0", 2));
    expect(&reply, 409, "conflict");
    assert_non_null(strstr(reply_text(&reply, "hint"), "raise the version"));
    reply_done(&reply);
    assert_int_equal(house_count(&house, "mappers"), 1);
    expect_ask(&house, "PUT", "/v1/mappers/other", mapper_body("daily", "2.0.0", 1), 400,
               "invalid");
}

TEST(a_script_that_does_not_pass_is_answered_with_file_line_and_the_authors_words)
{
    PK_CLEANUP(house_close) struct house house = { 0 };
    house_open(&house, NULL);
    struct reply reply = ask(&house, "PUT", "/v1/mappers/bad",
                             "{'source':'local pk = require [[personakit]]\\n"
                             "return pk.mapper { id = [[bad]], version = [[1.0.0]], tll = 1,\\n"
                             "  core = function() return {} end }'}");
    expect(&reply, 422, "script_refused");
    assert_int_equal(reply_count(&reply, "findings"), 1);
    assert_string_equal(reply_text(&reply, "findings.0.severity"), "error");
    assert_string_equal(reply_text(&reply, "findings.0.file"), "bad.lua");
    assert_int_equal(reply_number(&reply, "findings.0.line"), 2);
    assert_non_null(strstr(reply_text(&reply, "findings.0.message"), "tll"));
    assert_non_null(strstr(reply_text(&reply, "findings.0.sourceLine"), "return pk.mapper"));
    reply_done(&reply);
    assert_int_equal(house_count(&house, "mappers"), 0);
}

TEST(a_body_is_one_of_source_files_and_rules)
{
    PK_CLEANUP(house_close) struct house house = { 0 };
    house_open(&house, NULL);
    static const char *const bad[] = {
        "{}",
        "{'source':'return 1','files':{'x.lua':'return 1'}}",
        "{'source':'return 1','signature':{'key':'AA==','sig':'AA=='}}",
        "{'configuration':{'id':'m'},'signature':{'key':'AA==','sig':'AA=='}}",
        "{'files':{'../x.lua':'return 1'}}",
        "{'files':{}}",
    };
    for (size_t i = 0; i < PK_COUNT(bad); i++) {
        expect_ask(&house, "PUT", "/v1/mappers/m", bad[i], 400, "invalid");
    }
    expect_ask(&house, "PUT", "/v1/mappers/NO", mapper_body("no", "1.0.0", 1), 400, "invalid");
    struct reply reply =
        ask(&house, "PUT", "/v1/mappers/rules",
            "{'configuration':{'id':'rules','version':'1.0.0','rules':[{'id':'r','conditions':"
            "{'type':'trait_check','trait':'a.b','operator':'equals','value':1},"
            "'actions':[{'type':'suggestion','template':'Do it.'}]}]}}");
    expect(&reply, 200, NULL);
    expect_schema(&reply, &pk_schema_mapper_view);
    assert_string_equal(reply_text(&reply, "format"), "rules");
    assert_string_equal(reply_text(&reply, "configuration.rules.0.id"), "r");
    reply_done(&reply);
    reply = ask(&house, "PUT", "/v1/mappers/folder",
                "{'files':{'init.lua':'local pk = require [[personakit]]\\nlocal n = require "
                "[[number]]\\nreturn pk.mapper { id = [[folder]], version = [[1.0.0]], core = "
                "function() return { n = { is = n } } end }','number.lua':'return 7'}}");
    expect(&reply, 200, NULL);
    bson_iter_t iter;
    assert_true(bson_iter_init_find(&iter, reply.json, "files"));
    assert_non_null(strstr(reply.body, "\"number.lua\":\"return 7\""));
    reply_done(&reply);
}

static struct reply put_text(struct house *house, const char *target, const char *type,
                             const char *text)
{
    PK_CLEANUP(pk_freep) char *header = pk_strdupf("Content-Type: %s\r\n", type);
    return house_ask_with(house, "PUT", target, house->admin, header, text);
}

TEST(a_file_is_taken_as_it_is)
{
    static const char lua[] = "local pk = require 'personakit'\n"
                              "return pk.%s { id = 'one', version = '1.0.0',\n"
                              "  %s }\n";
    static const struct {
        const char *path, *kind, *rest;
    } row[] = {
        { "/v1/mappers/one", "mapper", "core = function() return { n = { is = 7 } } end" },
        { "/v1/processors/one", "processor", "accepts = { 'x' }, process = function() end" },
        { "/v1/conditions/one", "condition", "test = function() return true end" },
    };
    PK_CLEANUP(house_close) struct house house = { 0 };
    house_open(&house, NULL);
    for (size_t i = 0; i < PK_COUNT(row); i++) {
        PK_CLEANUP(pk_freep) char *text = pk_strdupf(lua, row[i].kind, row[i].rest);
        PK_CLEANUP(pk_freep) char *target = pk_strdupf("%s?activate=true", row[i].path);
        struct reply reply = put_text(&house, target, "text/x-lua; charset=utf-8", text);
        if (i == 2) { /* Processors and conditions share their ids. */
            expect(&reply, 409, "conflict");
            reply_done(&reply);
            break;
        }
        expect(&reply, 200, NULL);
        assert_string_equal(reply_text(&reply, "status"), "active");
        assert_non_null(strstr(reply.body, "\"one.lua\":\"local pk = require \\\"personakit"));
        reply_done(&reply);
    }
    PK_CLEANUP(pk_freep) char *text = pk_strdupf(lua, row[0].kind, row[0].rest);
    PK_CLEANUP(pk_freep)
    char *json = pk_strdup("{'files':{'two.lua':'local pk = require "
                           "\\'personakit\\'\\nreturn pk.mapper { id = "
                           "\\'one\\', version = \\'1.0.0\\',\\n  core = "
                           "function() return { n = { is = 7 } } end }\\n'}}");
    expect_ask(&house, "PUT", "/v1/mappers/one", json, 200, NULL); /* The same content. */
    assert_int_equal(house_count(&house, "mappers"), 1);
    struct reply reply = put_text(&house, "/v1/mappers/one", "text/x-lua", "return pk.mapper {");
    expect(&reply, 422, "script_refused");
    assert_string_equal(reply_text(&reply, "findings.0.file"), "one.lua");
    reply_done(&reply);
    reply = put_text(&house, "/v1/mappers/one", "text/x-lua", "");
    expect(&reply, 400, "invalid");
    reply_done(&reply);
    reply = put_text(&house, "/v1/mappers/one", "text/x-lua", "return '\xff\xfe'");
    expect(&reply, 400, "invalid");
    reply_done(&reply);
    reply = put_text(&house, "/v1/mappers/one", "text/plain", text);
    expect(&reply, 415, "unsupported_media_type");
    assert_string_equal(reply_header(&reply, "Accept"), "application/json, text/x-lua");
    reply_done(&reply);
    reply = house_ask_with(&house, "POST", "/v1/mappers/one/rollback", house.admin,
                           "Content-Type: text/x-lua\r\n", text);
    expect(&reply, 415, "unsupported_media_type");
    assert_string_equal(reply_header(&reply, "Accept"), "application/json");
    reply_done(&reply);
}

TEST(an_author_sees_and_writes_his_own_mappers_only)
{
    PK_CLEANUP(house_close) struct house house = { 0 };
    char key[PK_KEY_TEXT];
    house_open(&house, NULL);
    pk_doc_unref(house_actor(&house, "author",
                             "{'grants':['author_mappers'],'allowedMappers':['mine']}", key));
    house_settle(&house);
    expect_ask(&house, "PUT", "/v1/mappers/theirs", mapper_body("theirs", "1.0.0", 1), 200, NULL);
    struct reply reply =
        house_ask(&house, "PUT", "/v1/mappers/mine", key, mapper_body("mine", "1.0.0", 1));
    expect(&reply, 200, NULL);
    reply_done(&reply);
    reply = house_ask(&house, "PUT", "/v1/mappers/theirs", key, mapper_body("theirs", "1.0.0", 1));
    expect(&reply, 404, "not_found");
    reply_done(&reply);
    reply = house_ask(&house, "GET", "/v1/mappers", key, NULL);
    expect(&reply, 200, NULL);
    assert_int_equal(reply_count(&reply, "items"), 1);
    reply_done(&reply);
    reply = house_ask(&house, "GET", "/v1/processors", key, NULL);
    expect(&reply, 403, "forbidden");
    reply_done(&reply);
}

TEST(a_repeated_rollback_under_one_key_goes_back_once)
{
    PK_CLEANUP(house_close) struct house house = { 0 };
    static const char once[] = "Idempotency-Key: k1\r\n";
    house_open(&house, NULL);
    for (int i = 0; i < 3; i++) {
        char version[16];
        (void)snprintf(version, sizeof(version), "1.%d.0", i);
        expect_ask(&house, "PUT", "/v1/mappers/daily?activate=true",
                   mapper_body("daily", version, i), 200, NULL);
    }
    for (int i = 0; i < 2; i++) {
        struct reply reply = house_ask_with(&house, "POST", "/v1/mappers/daily/rollback",
                                            house.admin, once, "{'reason':'odd'}");
        expect(&reply, 200, NULL);
        assert_string_equal(reply_text(&reply, "version"), "1.1.0");
        reply_done(&reply);
    }
    struct reply reply = ask(&house, "GET", "/v1/mappers/daily", NULL);
    assert_string_equal(reply_text(&reply, "version"), "1.1.0");
    reply_done(&reply);
}

TEST(the_page_of_generations_says_what_serves_what_is_old_and_what_is_barred)
{
    PK_CLEANUP(house_close) struct house house = { 0 };
    char path[256];
    house_open(&house, NULL);
    expect_ask(&house, "PUT", "/v1/mappers/daily?activate=true", mapper_body("daily", "1.0.0", 1),
               200, NULL);
    struct pk_generation *pinned = pk_scripts_pin(house.scripts);
    expect_ask(&house, "PUT", "/v1/mappers/daily?activate=true", mapper_body("daily", "1.1.0", 2),
               200, NULL);
    expect_ask(&house, "POST", "/v1/mappers/daily/rollback", "{'reason':'odd'}", 200, NULL);
    struct reply reply = ask(&house, "GET", "/v1/admin/generations", NULL);
    expect(&reply, 200, NULL);
    expect_schema(&reply, &pk_schema_generations);
    assert_string_equal(reply_text(&reply, "node"), "node-1");
    assert_int_equal(reply_number(&reply, "generation"), 3);
    assert_int_equal(reply_count(&reply, "scripts"), 1);
    assert_string_equal(reply_text(&reply, "scripts.0.version"), "1.0.0");
    assert_int_equal(reply_count(&reply, "alive"), 2);
    assert_int_equal(reply_number(&reply, "alive.1.calls"), 1);
    assert_int_equal(reply_count(&reply, "refused"), 0);
    assert_int_equal(reply_count(&reply, "barred"), 1);
    assert_string_equal(reply_text(&reply, "barred.0.version"), "1.1.0");
    (void)snprintf(path, sizeof(path), "/v1/admin/scripts/%s/lift",
                   reply_text(&reply, "barred.0.contentHash"));
    reply_done(&reply);
    pk_generation_unpin(pinned);
    expect_ask(&house, "POST", path, NULL, 204, NULL);
    expect_ask(&house, "POST", path, NULL, 404, "not_found");
    expect_ask(&house, "POST", "/v1/mappers/daily/versions/1.1.0/activate", NULL, 200, NULL);
}

TEST(a_saved_file_that_is_refused_stands_on_the_page_of_generations)
{
    PK_CLEANUP(house_close) struct house house = { 0 };
    house_open(&house, NULL);
    pk_registry_refuse_file(house.registry, "mappers/daily.lua", "daily.lua:3: error: no");
    struct reply reply = ask(&house, "GET", "/v1/admin/generations", NULL);
    expect(&reply, 200, NULL);
    expect_schema(&reply, &pk_schema_generations);
    assert_int_equal(reply_count(&reply, "refused"), 1);
    assert_string_equal(reply_text(&reply, "refused.0.file"), "mappers/daily.lua");
    assert_string_equal(reply_text(&reply, "refused.0.reason"), "daily.lua:3: error: no");
    reply_done(&reply);
}

TEST(a_version_that_is_missing_is_told_apart_from_a_mapper_that_is)
{
    PK_CLEANUP(house_close) struct house house = { 0 };
    house_open(&house, NULL);
    expect_ask(&house, "PUT", "/v1/mappers/daily", mapper_body("daily", "1.0.0", 1), 200, NULL);
    struct reply reply = ask(&house, "POST", "/v1/mappers/daily/versions/2.0.0/activate", NULL);
    expect(&reply, 404, "not_found");
    assert_non_null(strstr(reply_text(&reply, "detail"), "'daily' has no version '2.0.0'"));
    reply_done(&reply);
    reply = ask(&house, "POST", "/v1/mappers/nobody/versions/2.0.0/activate", NULL);
    expect(&reply, 404, "not_found");
    assert_non_null(strstr(reply_text(&reply, "detail"), "there is no such mapper"));
    reply_done(&reply);
}

TEST(processors_and_conditions_have_the_same_routes)
{
    PK_CLEANUP(house_close) struct house house = { 0 };
    house_open(&house, NULL);
    static const char processor[] =
        "{'source':'return require([[personakit]]).processor { id = [[p]], version = [[1.0.0]], "
        "accepts = { [[work_session]] }, process = function() end }'}";
    static const char condition[] =
        "{'source':'return require([[personakit]]).condition { id = [[c]], version = [[1.0.0]], "
        "test = function() return true end }'}";
    struct reply reply = ask(&house, "PUT", "/v1/processors/p?activate=true", processor);
    expect(&reply, 200, NULL);
    expect_schema(&reply, &pk_schema_script_view);
    assert_string_equal(reply_text(&reply, "kind"), "processor");
    reply_done(&reply);
    expect_ask(&house, "PUT", "/v1/conditions/c?activate=true", condition, 200, NULL);
    expect_ask(&house, "PUT", "/v1/conditions/p", processor, 422, "script_refused");
    expect_ask(&house, "GET", "/v1/conditions/p", NULL, 404, "not_found");
    reply = ask(&house, "GET", "/v1/conditions", NULL);
    expect(&reply, 200, NULL);
    assert_int_equal(reply_count(&reply, "items"), 1);
    assert_string_equal(reply_text(&reply, "items.0.scriptId"), "c");
    reply_done(&reply);
}
