/* test_canaries.c - A version tried on some people, as a client and an operator see it. */
/* SPDX-License-Identifier: MIT */
#include "house.h"

#include "base/alloc.h"
#include "doc/schema_explain.h"
#include "doc/schema_persona.h"
#include "doc/schema_scripts.h"
#include "net/hot.h"

#include <stdio.h>
#include <string.h>

/* Their places in what is tried of daily 1.1.0 are 0.301... and 0.746...: unit/persona pins them.
 */
#define NEAR   "11111111-1111-4111-8111-111111111111"
#define FAR    "00000000-0000-4000-8000-000000000000"
#define CANARY "/v1/mappers/daily/versions/1.1.0/canary"

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

static void put(struct house *house, const char *version, bool is_active)
{
    char body[512];
    (void)snprintf(body, sizeof(body),
                   "{'source':'local pk = require [[personakit]]\\nreturn pk.mapper {\\n"
                   "  id = [[daily]], version = [[%s]],\\n"
                   "  limits = { soft_ms = 1000, hard_ms = 5000 },\\n"
                   "  core = function(m) return { v = { [[%s]] } } end }\\n'}",
                   version, version);
    expect_ask(house, "PUT", is_active ? "/v1/mappers/daily?activate=true" : "/v1/mappers/daily",
               body, 200, NULL);
}

static void observe(struct house *house, const char *person)
{
    char body[256];
    (void)snprintf(body, sizeof(body),
                   "{'personId':'%s','sourceType':'document','sourceMetadata':"
                   "{'source':'test'},'content':{'raw':'x'}}",
                   person);
    expect_ask(house, "POST", "/v1/observations", body, 201, NULL);
}

/* Version 1.0.0 serves, 1.1.0 is a draft; two people. */
static void furnish(struct house *house)
{
    house_open(house, NULL);
    put(house, "1.0.0", true);
    put(house, "1.1.0", false);
    observe(house, NEAR);
    observe(house, FAR);
}

static struct reply map(struct house *house, const char *person)
{
    char body[256];
    (void)snprintf(body, sizeof(body),
                   "{'mapperId':'daily','personaId':'%s','detailLevel':'instant'}", person);
    struct reply reply = ask(house, "POST", "/v1/personas/map", body);
    expect(&reply, 200, NULL);
    expect_schema(&reply, &pk_schema_map_response);
    return reply;
}

static void expect_version(struct house *house, const char *person, const char *version)
{
    struct reply reply = map(house, person);
    assert_string_equal(reply_text(&reply, "persona.mapperVersion"), version);
    assert_string_equal(reply_text(&reply, "persona.personaCore.v.0"), version);
    const bool is_tried = strcmp(version, "1.0.0") != 0;
    assert_true((strstr(reply.body, "\"isCanary\":true") != NULL) == is_tried);
    reply_done(&reply);
}

TEST(a_canary_is_begun_shown_and_ended)
{
    PK_CLEANUP(house_close) struct house house = { 0 };
    furnish(&house);
    struct reply reply = ask(&house, "POST", CANARY, "{'share':0.5}");
    expect(&reply, 200, NULL);
    expect_schema(&reply, &pk_schema_mapper_view);
    assert_string_equal(reply_text(&reply, "version"), "1.0.0");
    assert_string_equal(reply_text(&reply, "canary.version"), "1.1.0");
    assert_int_equal(reply_number(&reply, "activation.generation"), 2);
    reply_done(&reply);
    static const char *const seen[] = { "/v1/mappers/daily", "/v1/mappers/daily/versions/1.0.0",
                                        "/v1/mappers/daily/versions/1.1.0" };
    for (size_t i = 0; i < PK_COUNT(seen); i++) {
        reply = ask(&house, "GET", seen[i], NULL);
        assert_string_equal(reply_text(&reply, "canary.version"), "1.1.0");
        reply_done(&reply);
    }
    reply = ask(&house, "GET", "/v1/mappers/daily/versions", NULL);
    assert_string_equal(reply_text(&reply, "items.0.canary.version"), "1.1.0");
    assert_string_equal(reply_text(&reply, "items.1.canary.version"), "1.1.0");
    reply_done(&reply);
    reply = ask(&house, "GET", "/v1/admin/generations", NULL);
    expect_schema(&reply, &pk_schema_generations);
    assert_int_equal(reply_count(&reply, "scripts"), 2);
    assert_string_equal(reply_text(&reply, "scripts.1.version"), "1.1.0");
    assert_non_null(strstr(reply.body, "\"canaryShare\":0.5"));
    reply_done(&reply);
    reply = ask(&house, "DELETE", CANARY, NULL);
    expect(&reply, 200, NULL);
    assert_string_equal(reply_text(&reply, "version"), "1.0.0");
    assert_null(strstr(reply.body, "\"canary\""));
    reply_done(&reply);
    expect_ask(&house, "DELETE", CANARY, NULL, 404, "not_found");
}

TEST(what_cannot_be_tried_is_refused_in_words)
{
    static const struct {
        const char *path, *body, *code;
        int status;
        const char *words;
    } way[] = {
        { CANARY, "{}", "invalid", 400, "share" },
        { CANARY, "{'share':0}", "invalid", 400, "DELETE ends a canary" },
        { CANARY, "{'share':1.5}", "invalid", 400, "share" },
        { CANARY, "{'share':'half'}", "invalid", 400, "share" },
        { "/v1/mappers/daily/versions/9.9.9/canary", "{'share':0.1}", "not_found", 404, "9.9.9" },
        { "/v1/mappers/nobody/versions/1.1.0/canary", "{'share':0.1}", "not_found", 404, "" },
        { "/v1/mappers/daily/versions/1.0.0/canary", "{'share':0.1}", "conflict", 409,
          "is the active one" },
    };
    PK_CLEANUP(house_close) struct house house = { 0 };
    furnish(&house);
    for (size_t i = 0; i < PK_COUNT(way); i++) {
        struct reply reply = ask(&house, "POST", way[i].path, way[i].body);
        expect(&reply, way[i].status, way[i].code);
        assert_non_null(strstr(reply.body, way[i].words));
        reply_done(&reply);
    }
    expect_ask(&house, "POST", "/v1/mappers/daily/versions/1.1.0/deprecate", NULL, 200, NULL);
    expect_ask(&house, "POST", CANARY, "{'share':0.1}", 409, "conflict");
}

TEST(a_repeated_beginning_under_one_key_is_one)
{
    PK_CLEANUP(house_close) struct house house = { 0 };
    static const char once[] = "Idempotency-Key: k1\r\n";
    furnish(&house);
    for (int i = 0; i < 2; i++) {
        struct reply reply =
            house_ask_with(&house, "POST", CANARY, house.admin, once, "{'share':0.5}");
        expect(&reply, 200, NULL);
        assert_string_equal(reply_text(&reply, "canary.version"), "1.1.0");
        reply_done(&reply);
        if (i == 0) {
            expect_ask(&house, "DELETE", CANARY, NULL, 200, NULL);
        }
    }
    struct reply reply = ask(&house, "GET", "/v1/mappers/daily", NULL);
    assert_null(strstr(reply.body, "\"canary\"")); /* Repeated, not begun anew. */
    reply_done(&reply);
}

TEST(people_get_what_is_for_them_and_keep_it_as_the_share_grows)
{
    PK_CLEANUP(house_close) struct house house = { 0 };
    furnish(&house);
    expect_version(&house, NEAR, "1.0.0");
    expect_ask(&house, "POST", CANARY, "{'share':0.3}", 200, NULL);
    expect_version(&house, NEAR, "1.0.0");
    expect_ask(&house, "POST", CANARY, "{'share':0.31}", 200, NULL);
    expect_version(&house, NEAR, "1.1.0");
    expect_version(&house, FAR, "1.0.0");
    expect_ask(&house, "POST", CANARY, "{'share':1}", 200, NULL);
    expect_version(&house, NEAR, "1.1.0");
    expect_version(&house, FAR, "1.1.0");
    expect_ask(&house, "DELETE", CANARY, NULL, 200, NULL);
    expect_version(&house, NEAR, "1.0.0");
    expect_version(&house, FAR, "1.0.0");
}

static uint64_t hits(struct house *house)
{
    struct pk_hot_stats stats;
    pk_hot_stats(house->hot, &stats);
    return stats.hits;
}

/* What GET says, the first time and the second, which comes from the loop. */
static void expect_read(struct house *house, const char *person, const char *version)
{
    char path[128];
    (void)snprintf(path, sizeof(path), "/v1/personas/daily:%s:instant", person);
    house_settle(house);
    for (int i = 0; i < 2; i++) {
        const uint64_t before = hits(house);
        struct reply reply = ask(house, "GET", path, NULL);
        expect(&reply, 200, NULL);
        expect_schema(&reply, &pk_schema_persona_view);
        assert_string_equal(reply_text(&reply, "mapperVersion"), version);
        assert_non_null(strstr(reply.body, "\"isStale\":false"));
        assert_true(i == 0 || hits(house) > before);
        reply_done(&reply);
    }
}

TEST(the_loop_gives_each_person_his_own)
{
    PK_CLEANUP(house_close) struct house house = { 0 };
    furnish(&house);
    expect_version(&house, NEAR, "1.0.0");
    expect_version(&house, FAR, "1.0.0");
    expect_read(&house, NEAR, "1.0.0");
    expect_read(&house, FAR, "1.0.0");
    expect_ask(&house, "POST", CANARY, "{'share':0.5}", 200, NULL);
    expect_version(&house, NEAR, "1.1.0");
    expect_read(&house, NEAR, "1.1.0");
    expect_read(&house, FAR, "1.0.0");
    expect_ask(&house, "DELETE", CANARY, NULL, 200, NULL);
    expect_read(&house, NEAR, "1.0.0");
}

TEST(the_summary_of_feedback_has_both_versions)
{
    PK_CLEANUP(house_close) struct house house = { 0 };
    furnish(&house);
    expect_ask(&house, "POST", CANARY, "{'share':0.5}", 200, NULL);
    expect_version(&house, NEAR, "1.1.0");
    expect_ask(&house, "POST", "/v1/feedback",
               "{'personaInstanceId':'daily:" NEAR ":instant','feedback':{'ratings':{'overall':5},"
               "'impact':{'taskSuccessImpact':'positive','wouldUseAgain':true,"
               "'recommendationScore':9}}}",
               201, NULL);
    struct reply reply = ask(&house, "GET", "/v1/mappers/daily/feedback", NULL);
    expect(&reply, 200, NULL);
    expect_schema(&reply, &pk_schema_feedback_summary);
    assert_int_equal(reply_count(&reply, "versions"), 2);
    assert_string_equal(reply_text(&reply, "versions.0.role"), "canary");
    assert_int_equal(reply_number(&reply, "versions.0.count"), 1);
    assert_int_equal(reply_number(&reply, "versions.0.calls.count"), 1);
    assert_string_equal(reply_text(&reply, "versions.1.role"), "active");
    assert_int_equal(reply_number(&reply, "versions.1.count"), 0);
    reply_done(&reply);
}
