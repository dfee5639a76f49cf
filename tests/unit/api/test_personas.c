/* test_personas.c - Personas over HTTP: mapped, read hot, listed. */
/* SPDX-License-Identifier: MIT */
#include "house.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "doc/schema.h"
#include "doc/schema_persona.h"
#include "net/hot.h"
#include "persona/persona.h"

#include <sched.h>
#include <stdio.h>
#include <string.h>

#define PERSON   "11111111-1111-4111-8111-111111111111"
#define OTHER    "22222222-2222-4222-8222-222222222222"
#define NAME     "greeter:" PERSON ":instant"
#define MAP      "'mapperId':'greeter','personaId':'" PERSON "','detailLevel':'instant'"
#define GREETER  "/v1/mappers/greeter?activate=true"
#define OBSERVED "/v1/observations?wait=processed"

static struct reply ask(struct house *house, const char *method, const char *target,
                        const char *body)
{
    return house_ask(house, method, target, house->admin, body);
}

static void do_it(struct house *house, const char *method, const char *target, const char *body,
                  int status)
{
    struct reply reply = ask(house, method, target, body);
    expect(&reply, status, NULL);
    reply_done(&reply);
}

static void put_greeter(struct house *house, const char *version)
{
    char body[512];
    (void)snprintf(
        body, sizeof(body),
        "{'source':'local pk = require [[personakit]]\\nreturn pk.mapper {"
        " limits = { soft_ms = 1000, hard_ms = 5000 },\\n"
        "  id = [[greeter]], version = [[%s]],\\n"
        "  core = function(m) return { tone = { m[ [[tone]] ] or [[none]] } } end }\\n'}",
        version);
    struct reply reply = ask(house, "PUT", GREETER, body);
    assert_in_range(reply.status, 200, 201);
    reply_done(&reply);
}

static void observe(struct house *house, const char *tone)
{
    char body[512];
    (void)snprintf(body, sizeof(body),
                   "{'personId':'" PERSON "','sourceType':'chat_log','sourceMetadata':"
                   "{'source':'test'},'content':{'raw':'x','structured':{'tone':'%s'}}}",
                   tone);
    do_it(house, "POST", OBSERVED, body, 201);
}

/* A person whose 'tone' follows the observations, and a mapper that says it. */
static void furnish(struct house *house)
{
    house_open(house, NULL);
    put_greeter(house, "1.0.0");
    struct reply reply = ask(house, "PUT", "/v1/processors/hear?activate=true",
                             "{'source':'local pk = require [[personakit]]\\nreturn pk.processor {"
                             " limits = { soft_ms = 1000, hard_ms = 5000 },\\n"
                             "  id = [[hear]], version = [[1.0.0]], accepts = { [[chat_log]] },\\n"
                             "  process = function(obs, m, t)\\n"
                             "    t:set([[tone]], obs.content.structured.tone) end }\\n'}");
    assert_in_range(reply.status, 200, 201);
    reply_done(&reply);
    observe(house, "direct");
}

static struct reply map(struct house *house, const char *more)
{
    char body[512];
    (void)snprintf(body, sizeof(body), "{" MAP "%s%s}", more ? "," : "", more ? more : "");
    return ask(house, "POST", "/v1/personas/map", body);
}

static void expect_schema(const bson_t *json, const struct pk_schema *schema)
{
    struct pk_faults faults = { 0 };
    bson_t accepted;
    if (!pk_schema_accept(schema, json, &accepted, &faults)) {
        fail_msg("'%s' must be %s, not %s", faults.fault[0].path, faults.fault[0].expected,
                 faults.fault[0].got);
    }
    bson_destroy(&accepted);
}

TEST(a_persona_is_mapped_then_fresh_then_regenerated)
{
    PK_CLEANUP(house_close) struct house house = { 0 };
    furnish(&house);
    struct reply reply = map(&house, NULL);
    expect(&reply, 200, NULL);
    expect_schema(reply.json, &pk_schema_map_response);
    assert_string_equal(reply_text(&reply, "metadata.cacheStatus"), "regenerated");
    assert_string_equal(reply_text(&reply, "persona.personaCore.tone.0"), "direct");
    assert_string_equal(reply_text(&reply, "persona.personId"), PERSON);
    assert_string_equal(reply_text(&reply, "persona.sourceMindscapeId"), PERSON);
    assert_string_equal(reply_text(&reply, "persona.sourceMapperId"), "greeter");
    assert_string_equal(reply_text(&reply, "persona.compositeKey"), NAME);
    assert_string_equal(reply_text(&reply, "persona.generationMetadata.detailLevel"), "instant");
    assert_null(strstr(reply.body, "Basis"));
    reply_done(&reply);
    reply = map(&house, NULL);
    assert_string_equal(reply_text(&reply, "metadata.cacheStatus"), "fresh");
    reply_done(&reply);
    observe(&house, "warm");
    reply = map(&house, "'includeStale':true");
    assert_string_equal(reply_text(&reply, "metadata.cacheStatus"), "stale");
    assert_string_equal(reply_text(&reply, "persona.personaCore.tone.0"), "direct");
    assert_int_equal(reply_count(&reply, "metadata.warnings"), 1);
    reply_done(&reply);
    reply = map(&house, NULL);
    assert_string_equal(reply_text(&reply, "metadata.cacheStatus"), "regenerated");
    assert_string_equal(reply_text(&reply, "persona.personaCore.tone.0"), "warm");
    reply_done(&reply);
}

TEST(what_cannot_be_mapped_says_why)
{
    static const struct {
        const char *body, *code;
        int status;
        const char *words;
    } way[] = {
        { "{}", "invalid", 400, "mapperId" },
        { "{'mapperId':'greeter','personaId':'" PERSON "','detailLevel':'vague'}", "invalid", 400,
          "detailLevel" },
        { "{'mapperId':'greeter','personaId':'me','detailLevel':'instant'}", "invalid", 400,
          "personaId" },
        { "{'mapperId':'greter','personaId':'" PERSON "','detailLevel':'instant'}", "not_found",
          404, "did you mean 'greeter'?" },
        { "{'mapperId':'greeter','personaId':'" OTHER "','detailLevel':'instant'}", "not_found",
          404, "there is no person '" OTHER "'" },
        { "{" MAP ",'context':{'requiredSections':['plan']},'strict':true}", "conflict", 409,
          "'plan'" },
        { "{" MAP ",'purpose':'advertising'}", "forbidden", 403, "advertising" },
    };
    PK_CLEANUP(house_close) struct house house = { 0 };
    furnish(&house);
    for (size_t i = 0; i < PK_COUNT(way); i++) {
        struct reply reply = ask(&house, "POST", "/v1/personas/map", way[i].body);
        expect(&reply, way[i].status, way[i].code);
        assert_non_null(strstr(reply.body, way[i].words));
        reply_done(&reply);
    }
}

static uint64_t hits(struct house *house)
{
    struct pk_hot_stats stats;
    pk_hot_stats(house->hot, &stats);
    return stats.hits;
}

TEST(a_fresh_persona_is_read_from_the_loop_and_a_changed_one_is_not)
{
    PK_CLEANUP(house_close) struct house house = { 0 };
    char etag[80];
    furnish(&house);
    do_it(&house, "GET", "/v1/personas/" NAME, NULL, 404);
    struct reply reply = map(&house, NULL);
    reply_done(&reply);
    house_settle(&house);
    reply = ask(&house, "GET", "/v1/personas/" NAME, NULL);
    expect(&reply, 200, NULL);
    expect_schema(reply.json, &pk_schema_persona_view);
    (void)snprintf(etag, sizeof(etag), "%s", reply_header(&reply, "ETag"));
    reply_done(&reply);
    const uint64_t before = hits(&house);
    reply = ask(&house, "GET", "/v1/personas/" NAME, NULL);
    expect(&reply, 200, NULL);
    assert_string_equal(reply_header(&reply, "ETag"), etag);
    reply_done(&reply);
    assert_int_equal(hits(&house), before + 1);

    observe(&house, "warm");
    house_settle(&house);
    reply = ask(&house, "GET", "/v1/personas/" NAME, NULL);
    expect(&reply, 200, NULL);
    assert_non_null(strstr(reply.body, "\"isStale\":true"));
    assert_string_not_equal(reply_header(&reply, "ETag"), etag);
    reply_done(&reply);
}

TEST(another_version_of_the_mapper_ends_ready_answers)
{
    PK_CLEANUP(house_close) struct house house = { 0 };
    furnish(&house);
    struct reply reply = map(&house, NULL);
    reply_done(&reply);
    house_settle(&house);
    for (int i = 0; i < 2; i++) {
        reply = ask(&house, "GET", "/v1/personas/" NAME, NULL);
        assert_non_null(strstr(reply.body, "\"isStale\":false"));
        reply_done(&reply);
    }
    put_greeter(&house, "1.0.1");
    reply = ask(&house, "GET", "/v1/personas/" NAME, NULL);
    assert_non_null(strstr(reply.body, "\"isStale\":true"));
    reply_done(&reply);
}

TEST(personas_are_listed_and_their_uses_counted)
{
    PK_CLEANUP(house_close) struct house house = { 0 };
    char instance[PK_UUID_TEXT], target[128];
    furnish(&house);
    struct reply reply = map(&house, NULL);
    (void)snprintf(instance, sizeof(instance), "%s",
                   reply_text(&reply, "persona.personaInstanceId"));
    reply_done(&reply);
    (void)snprintf(target, sizeof(target), "/v1/personas/%s", instance);
    do_it(&house, "GET", target, NULL, 200);
    reply = ask(&house, "GET", "/v1/people/" PERSON "/personas", NULL);
    expect(&reply, 200, NULL);
    assert_int_equal(reply_count(&reply, "items"), 1);
    assert_string_equal(reply_text(&reply, "items.0.personaInstanceId"), instance);
    reply_done(&reply);
    assert_ok(pk_personas_flush(house.domain.personas, &house.err), &house.err);
    reply = ask(&house, "GET", target, NULL);
    assert_int_equal(reply_number(&reply, "usageMetadata.accessCount"), 2);
    reply_done(&reply);
    reply = ask(&house, "GET", "/v1/actors/self", NULL);
    assert_int_equal(reply_number(&reply, "usageMetadata.totalPersonasRequested"), 2);
    reply_done(&reply);
    do_it(&house, "GET", "/v1/people/" OTHER "/personas", NULL, 404);
    do_it(&house, "GET", "/v1/personas/nonsense", NULL, 404);
}

TEST(who_may_not_have_it_hears_the_same_as_for_what_is_not_there)
{
    PK_CLEANUP(house_close) struct house house = { 0 };
    char key[PK_KEY_TEXT];
    furnish(&house);
    struct reply reply = map(&house, NULL);
    reply_done(&reply);
    pk_doc_unref(house_actor(&house, "narrow",
                             "{'canRequestPersonas':true,'maxDetailLevel':'instant',"
                             "'allowedMappers':['other'],'people':['*']}",
                             key));
    reply = house_ask(&house, "GET", "/v1/personas/" NAME, key, NULL);
    expect(&reply, 404, "not_found");
    reply_done(&reply);
    reply = house_ask(&house, "POST", "/v1/personas/map", key, "{" MAP "}");
    expect(&reply, 404, "not_found");
    reply_done(&reply);
}

/* ---- By a generation's id ---- */

TEST(by_a_generations_id_access_is_asked_before_consent)
{
    PK_CLEANUP(house_close) struct house house = { 0 };
    char key[PK_KEY_TEXT], instance[PK_UUID_TEXT], target[2][128];
    furnish(&house);
    do_it(&house, "PUT", "/v1/people/" PERSON "/consents/coaching", "{'status':'granted'}", 200);
    struct reply reply = map(&house, "'purpose':'coaching'");
    expect(&reply, 200, NULL);
    (void)snprintf(instance, sizeof(instance), "%s",
                   reply_text(&reply, "persona.personaInstanceId"));
    reply_done(&reply);
    do_it(&house, "DELETE", "/v1/people/" PERSON "/consents/coaching", NULL, 200);
    pk_doc_unref(house_actor(&house, "elsewhere",
                             "{'canRequestPersonas':true,'maxDetailLevel':'deep_dive',"
                             "'allowedMappers':['*'],'people':['" OTHER "']}",
                             key));
    (void)snprintf(target[0], sizeof(target[0]), "/v1/personas/%s", instance);
    (void)snprintf(target[1], sizeof(target[1]), "/v1/personas/%s/explain", instance);
    for (size_t i = 0; i < PK_COUNT(target); i++) {
        reply = house_ask(&house, "GET", target[i], key, NULL);
        expect(&reply, 404, "not_found");
        assert_null(strstr(reply.body, "coaching"));
        reply_done(&reply);
        reply = ask(&house, "GET", target[i], NULL);
        expect(&reply, 403, "forbidden");
        assert_non_null(strstr(reply.body, "coaching"));
        reply_done(&reply);
    }
}

/* ---- A crowd ---- */

static void send_map(struct house *house, int fd, const char *mapper)
{
    char body[256], text[1024];
    (void)snprintf(body, sizeof(body),
                   "{\"mapperId\":\"%s\",\"personaId\":\"" PERSON "\",\"detailLevel\":\"instant\"}",
                   mapper);
    (void)snprintf(text, sizeof(text),
                   "POST /v1/personas/map HTTP/1.1\r\nHost: here\r\nConnection: close\r\n"
                   "Authorization: Bearer %s\r\nContent-Type: application/json\r\n"
                   "Content-Length: %zu\r\n\r\n%s",
                   house->admin, strlen(body), body);
    house_send(fd, text);
}

static void put_endless(struct house *house)
{
    struct reply reply = ask(house, "PUT", "/v1/mappers/endless?activate=true",
                             "{'source':'local pk = require [[personakit]]\\nreturn pk.mapper {\\n"
                             "  id = [[endless]], version = [[1.0.0]],\\n"
                             "  limits = { soft_ms = 500, hard_ms = 2000 },\\n"
                             "  core = function(m) while true do end end }\\n'}");
    assert_in_range(reply.status, 200, 201);
    reply_done(&reply);
}

static struct pk_personas_stats stats_of(struct house *house)
{
    struct pk_personas_stats stats;
    pk_personas_stats(house->domain.personas, &stats);
    return stats;
}

/* Until more are parked than the lane of scripts has threads. */
static void await_parked(struct house *house)
{
    enum { THREADS = 16, DEADLINE_MS = PK_TEST_PATIENCE_MS };
    const int64_t deadline_ns = pk_deadline_in_ms(pk_clock_system(), DEADLINE_MS);
    while (stats_of(house).parked < THREADS) {
        assert_false(pk_deadline_passed(pk_clock_system(), deadline_ns));
        (void)sched_yield();
    }
}

TEST(a_crowd_that_wants_what_fails_makes_one_mapping_and_holds_up_nobody)
{
    enum { CROWD = 48 };
    PK_CLEANUP(house_close) struct house house = { 0 };
    int fd[CROWD];
    furnish(&house);
    put_endless(&house);
    struct reply reply = map(&house, NULL);
    expect(&reply, 200, NULL);
    reply_done(&reply);
    const struct pk_personas_stats before = stats_of(&house);
    for (size_t i = 0; i < CROWD; i++) {
        fd[i] = house_dial(&house);
        send_map(&house, fd[i], "endless");
    }
    await_parked(&house);
    reply = map(&house, NULL);
    expect(&reply, 200, NULL);
    assert_string_equal(reply_text(&reply, "metadata.cacheStatus"), "fresh");
    reply_done(&reply);
    for (size_t i = 0; i < CROWD; i++) {
        reply = house_hear(fd[i]);
        expect(&reply, 422, NULL);
        reply_done(&reply);
    }
    assert_int_equal(stats_of(&house).mapped, before.mapped + 1);
}
