/* test_feedback.c - Feedback and explanations over HTTP. */
/* SPDX-License-Identifier: MIT */
#include "house.h"

#include "base/alloc.h"
#include "doc/schema.h"
#include "doc/schema_explain.h"

#include <stdio.h>
#include <string.h>

#define PERSON  "11111111-1111-4111-8111-111111111111"
#define NAME    "planner:" PERSON ":instant"
#define EXPLAIN "/v1/personas/" NAME "/explain"
#define TEXT    "Accept: text/plain\r\n"
#define SAID                                                                                 \
    "'ratings':{'overall':4},'impact':{'taskSuccessImpact':'positive','wouldUseAgain':true," \
    "'recommendationScore':10}"
#define WORDS "'specificFeedback':{'whatWorkedWell':['a'],'whatDidntWork':[],'suggestions':'more'}"

static struct reply ask(struct house *house, const char *method, const char *target,
                        const char *body)
{
    return house_ask(house, method, target, house->admin, body);
}

static void do_it(struct house *house, const char *method, const char *target, const char *body)
{
    struct reply reply = ask(house, method, target, body);
    if (reply.status != 200 && reply.status != 201) {
        fail_msg("%s: %s", target, reply.body);
    }
    reply_done(&reply);
}

static void observe(struct house *house, const char *rhythm)
{
    char body[512];
    (void)snprintf(body, sizeof(body),
                   "{'personId':'" PERSON "','sourceType':'chat_log','sourceMetadata':"
                   "{'source':'test'},'content':{'raw':'x','structured':{'rhythm':'%s'}}}",
                   rhythm);
    do_it(house, "POST", "/v1/observations?wait=processed", body);
}

static void map(struct house *house)
{
    do_it(house, "POST", "/v1/personas/map",
          "{'mapperId':'planner','personaId':'" PERSON "','detailLevel':'instant'}");
}

static void furnish(struct house *house)
{
    house_open(house, NULL);
    do_it(house, "PUT", "/v1/mappers/planner?activate=true",
          "{'source':'local pk = require [[personakit]]\\nreturn pk.mapper {"
          " limits = { soft_ms = 1000, hard_ms = 5000 },\\n"
          "  id = [[planner]], version = [[1.0.0]], rules = {\\n"
          "  pk.rule { id = \\u0022early\\u0022, when = pk.trait([[rhythm]]):is([[morning]]),\\n"
          "    suggest = [[Rise]] } } }\\n'}");
    do_it(house, "PUT", "/v1/processors/hear?activate=true",
          "{'source':'local pk = require [[personakit]]\\nreturn pk.processor {"
          " limits = { soft_ms = 1000, hard_ms = 5000 },\\n"
          "  id = [[hear]], version = [[1.0.0]], accepts = { [[chat_log]] },\\n"
          "  process = function(obs, m, t)\\n"
          "    t:set([[rhythm]], obs.content.structured.rhythm) end }\\n'}");
    observe(house, "morning");
    map(house);
}

static struct reply submit(struct house *house, const char *key, const char *id, const char *said)
{
    char body[2048];
    (void)snprintf(body, sizeof(body), "{'personaInstanceId':'%s','feedback':{%s}}", id, said);
    return house_ask(house, "POST", "/v1/feedback", key, body);
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

/* ---- Feedback ---- */

TEST(feedback_is_sent_shown_and_added_up)
{
    PK_CLEANUP(house_close) struct house house = { 0 };
    char id[PK_UUID_TEXT];
    furnish(&house);
    struct reply reply = submit(&house, house.admin, NAME, SAID "," WORDS ",'ruleId':'early'");
    expect(&reply, 201, NULL);
    expect_schema(reply.json, &pk_schema_feedback_response);
    assert_string_equal(reply_text(&reply, "status"), "accepted");
    assert_non_null(reply_header(&reply, "PersonaKit-Cursor"));
    (void)snprintf(id, sizeof(id), "%s", reply_text(&reply, "feedbackId"));
    char place[64];
    (void)snprintf(place, sizeof(place), "/v1/feedback/%s", id);
    assert_string_equal(reply_header(&reply, "Location"), place);
    reply_done(&reply);

    reply = ask(&house, "GET", place, NULL);
    expect(&reply, 200, NULL);
    expect_schema(reply.json, &pk_schema_feedback_view);
    assert_string_equal(reply_text(&reply, "feedbackId"), id);
    assert_string_equal(reply_text(&reply, "personId"), PERSON);
    assert_string_equal(reply_text(&reply, "mapperVersion"), "1.0.0");
    assert_string_equal(reply_text(&reply, "processingStatus"), "pending");
    reply_done(&reply);

    reply = ask(&house, "GET", "/v1/mappers/planner/feedback", NULL);
    expect(&reply, 200, NULL);
    expect_schema(reply.json, &pk_schema_feedback_summary);
    assert_int_equal(reply_number(&reply, "count"), 1);
    assert_string_equal(reply_text(&reply, "versions.0.rules.0.ruleId"), "early");
    reply_done(&reply);
    reply = ask(&house, "GET", "/v1/mappers/planner/feedback?version=9.9.9", NULL);
    assert_int_equal(reply_number(&reply, "count"), 0);
    reply_done(&reply);
    reply = ask(&house, "GET", "/v1/mappers/none/feedback", NULL);
    expect(&reply, 404, "not_found");
    reply_done(&reply);

    reply = ask(&house, "GET", "/v1/actors/self", NULL);
    assert_int_equal(reply_number(&reply, "usageMetadata.totalFeedbackProvided"), 1);
    assert_non_null(strstr(reply.body, "\"averageFeedbackQuality\":0.4"));
    assert_null(strstr(reply.body, "feedbackWords"));
    reply_done(&reply);
    reply = ask(&house, "GET", "/v1/personas/" NAME, NULL);
    assert_non_null(strstr(reply.body, "\"feedbackReceived\":true"));
    reply_done(&reply);
}

TEST(feedback_that_breaks_a_rule_is_refused)
{
    static const struct {
        const char *id, *said, *field;
        int status;
    } way[] = {
        { "planner:" PERSON ":balanced", SAID, "", 404 },
        { "nonsense", SAID, "", 404 },
        { "33333333-3333-4333-8333-333333333333", SAID, "", 404 },
        { NAME, "'ratings':{'overall':6}", "feedback.ratings.overall", 400 },
        { NAME, "'ratings':{'overall':0}", "feedback.ratings.overall", 400 },
        { NAME, "'helpful':true", "feedback.ratings", 400 },
        { NAME, "'ratings':{'overall':4,'beauty':4}", "feedback.ratings.beauty", 400 },
        { NAME,
          "'ratings':{'overall':4},'impact':{'taskSuccessImpact':'positive','wouldUseAgain':true,"
          "'recommendationScore':11}",
          "feedback.impact.recommendationScore", 400 },
        { NAME, SAID ",'ruleId':'late'", "feedback.ruleId", 400 },
        { NAME, SAID ",'mapperVersion':'2.0.0'", "feedback.mapperVersion", 400 },
        { NAME, SAID ",'processingStatus':'processed'", "feedback.processingStatus", 400 },
    };
    PK_CLEANUP(house_close) struct house house = { 0 };
    furnish(&house);
    for (size_t i = 0; i < PK_COUNT(way); i++) {
        struct reply reply = submit(&house, house.admin, way[i].id, way[i].said);
        if (reply.status != way[i].status ||
            strcmp(reply_text(&reply, "field"), way[i].field) != 0) {
            fail_msg("%zu: %s", i, reply.body);
        }
        reply_done(&reply);
    }
    assert_int_equal(house_count(&house, "feedback"), 0);
}

TEST(feedback_is_for_those_who_may_see_the_person_and_use_the_mapper)
{
    static const char *const nobody[] = {
        "{'canProvideFeedback':true,'people':[],'allowedMappers':['*']}",
        "{'canProvideFeedback':true,'people':['*'],'allowedMappers':['other']}",
    };
    PK_CLEANUP(house_close) struct house house = { 0 };
    char key[PK_KEY_TEXT], author[PK_KEY_TEXT], place[64];
    furnish(&house);
    struct reply none = submit(&house, house.admin, "planner:" PERSON ":balanced", SAID);
    for (size_t i = 0; i < PK_COUNT(nobody); i++) {
        pk_doc_unref(house_actor(&house, "nobody", nobody[i], key));
        struct reply reply = submit(&house, key, NAME, SAID);
        expect(&reply, 404, "not_found");
        assert_string_equal(reply_text(&reply, "detail"), reply_text(&none, "detail"));
        reply_done(&reply);
    }
    reply_done(&none);
    pk_doc_unref(house_actor(
        &house, "agent", "{'canProvideFeedback':true,'people':['*'],'allowedMappers':['planner']}",
        key));
    struct reply reply = submit(&house, key, NAME, SAID);
    expect(&reply, 201, NULL);
    (void)snprintf(place, sizeof(place), "/v1/feedback/%s", reply_text(&reply, "feedbackId"));
    reply_done(&reply);
    /* His own, though he is no author; an author who may not see the person reads the sums. */
    reply = house_ask(&house, "GET", place, key, NULL);
    expect(&reply, 200, NULL);
    reply_done(&reply);
    pk_doc_unref(house_actor(&house, "author",
                             "{'people':[],'allowedMappers':['*'],'grants':['author_mappers']}",
                             author));
    reply = house_ask(&house, "GET", place, author, NULL);
    expect(&reply, 404, "not_found");
    reply_done(&reply);
    reply = house_ask(&house, "GET", "/v1/mappers/planner/feedback", author, NULL);
    expect(&reply, 200, NULL);
    assert_int_equal(reply_number(&reply, "count"), 1);
    reply_done(&reply);
    reply = house_ask(&house, "GET", "/v1/mappers/planner/feedback", key, NULL);
    expect(&reply, 404, "not_found"); /* Not his own, and he is no author. */
    reply_done(&reply);
    /* Only a system speaks for others. */
    reply = submit(&house, key, NAME, SAID ",'submittedBy':'somebody'");
    expect(&reply, 403, "forbidden");
    assert_string_equal(reply_text(&reply, "field"), "feedback.submittedBy");
    reply_done(&reply);
}

TEST(feedback_that_is_repeated_is_taken_once)
{
    PK_CLEANUP(house_close) struct house house = { 0 };
    char id[PK_UUID_TEXT];
    furnish(&house);
    for (int i = 0; i < 2; i++) {
        struct reply reply =
            house_ask_with(&house, "POST", "/v1/feedback", house.admin, "Idempotency-Key: once\r\n",
                           "{'personaInstanceId':'" NAME "','feedback':{" SAID "}}");
        expect(&reply, 201, NULL);
        if (i == 0) {
            (void)snprintf(id, sizeof(id), "%s", reply_text(&reply, "feedbackId"));
        }
        assert_string_equal(reply_text(&reply, "feedbackId"), id);
        assert_string_equal(reply_text(&reply, "status"), "accepted");
        reply_done(&reply);
    }
    assert_int_equal(house_count(&house, "feedback"), 1);
}

TEST(feedback_is_queued_where_a_processor_accepts_it)
{
    PK_CLEANUP(house_close) struct house house = { 0 };
    char place[64];
    furnish(&house);
    do_it(&house, "PUT", "/v1/processors/lessons?activate=true",
          "{'source':'local pk = require [[personakit]]\\nreturn pk.processor {"
          " limits = { soft_ms = 1000, hard_ms = 5000 },\\n"
          "  id = [[lessons]], version = [[1.0.0]], accepts = { [[feedback]] },\\n"
          "  process = function(obs, m, t)\\n"
          "    t:set([[rating]], obs.content.structured.ratings.overall) end }\\n'}");
    struct reply reply = house_ask(&house, "POST", "/v1/feedback?wait=processed", house.admin,
                                   "{'personaInstanceId':'" NAME "','feedback':{" SAID "}}");
    expect(&reply, 201, NULL);
    expect_schema(reply.json, &pk_schema_feedback_response);
    assert_string_equal(reply_text(&reply, "status"), "queued");
    assert_non_null(strstr(reply.body, "estimatedProcessingTime"));
    assert_string_equal(reply_header(&reply, "PersonaKit-Processed"), "true");
    (void)snprintf(place, sizeof(place), "/v1/feedback/%s", reply_text(&reply, "feedbackId"));
    reply_done(&reply);
    reply = ask(&house, "GET", place, NULL);
    assert_string_equal(reply_text(&reply, "processingStatus"), "processed");
    assert_string_equal(reply_text(&reply, "lessons.0.operations.0.path"), "rating");
    reply_done(&reply);
}

/* ---- Explanations ---- */

TEST(a_persona_is_explained_to_programs_and_to_people)
{
    PK_CLEANUP(house_close) struct house house = { 0 };
    char instance[128];
    furnish(&house);
    struct reply reply = ask(&house, "GET", EXPLAIN, NULL);
    expect(&reply, 200, NULL);
    expect_schema(reply.json, &pk_schema_explanation_view);
    assert_string_equal(reply_text(&reply, "lines.0.says"), "Rise");
    assert_string_equal(reply_text(&reply, "lines.0.ruleId"), "early");
    assert_int_equal(reply_number(&reply, "lines.0.source.line"), 4);
    assert_string_equal(reply_text(&reply, "traits.0.value"), "morning");
    (void)snprintf(instance, sizeof(instance), "/v1/personas/%s/explain",
                   reply_text(&reply, "personaInstanceId"));
    reply_done(&reply);
    reply = house_ask_with(&house, "GET", instance, house.admin, TEXT, NULL);
    expect(&reply, 200, NULL);
    assert_string_equal(reply_header(&reply, "Content-Type"), "text/plain; charset=utf-8");
    assert_non_null(strstr(reply.body, "'Rise' because rule early (planner 1.0.0, line 4) saw "
                                       "rhythm = morning ("));
    reply_done(&reply);
    static const struct {
        const char *accept;
        int status;
        bool is_text;
    } way[] = {
        { "Accept: */*\r\n", 200, false },
        { "Accept: text/*\r\n", 200, true },
        { "Accept: application/json, text/plain\r\n", 200, false },
        { "Accept: text/plain, */*;q=0.1\r\n", 200, true },
        { "Accept: text/html\r\n", 406, false },
    };
    for (size_t i = 0; i < PK_COUNT(way); i++) {
        reply = house_ask_with(&house, "GET", EXPLAIN, house.admin, way[i].accept, NULL);
        assert_int_equal(reply.status, way[i].status);
        if (reply.status == 200) {
            assert_int_equal(reply.json == NULL, way[i].is_text);
        }
        reply_done(&reply);
    }
}

TEST(a_stale_persona_says_what_would_change)
{
    PK_CLEANUP(house_close) struct house house = { 0 };
    furnish(&house);
    observe(&house, "evening");
    struct reply reply = ask(&house, "GET", EXPLAIN, NULL);
    expect(&reply, 200, NULL);
    expect_schema(reply.json, &pk_schema_explanation_view);
    assert_string_equal(reply_text(&reply, "traits.0.value"), "morning");
    assert_string_equal(reply_text(&reply, "traits.0.valueNow"), "evening");
    assert_string_equal(reply_text(&reply, "staleness.overlay"), "read");
    assert_string_equal(reply_text(&reply, "staleness.effect.0.path"),
                        "contextualOverlay.suggestions");
    reply_done(&reply);
    reply = ask(&house, "GET", EXPLAIN "?mapper_version=1.0.0", NULL);
    expect(&reply, 200, NULL);
    expect_schema(reply.json, &pk_schema_explanation_view);
    assert_string_equal(reply_text(&reply, "rules.0.reason"),
                        "rhythm is 'evening'; wanted: is 'morning'");
    reply_done(&reply);
}

TEST(what_cannot_be_explained_says_why)
{
    static const struct {
        const char *target, *field, *words;
        int status;
    } way[] = {
        { "/v1/personas/planner:" PERSON ":balanced/explain", "", "there is no such persona", 404 },
        { "/v1/personas/nonsense/explain", "", "there is no such persona", 404 },
        { "/v1/personas/33333333-3333-4333-8333-333333333333/explain", "",
          "there is no such persona", 404 },
        { "/v1/personas/planner:33333333-3333-4333-8333-333333333333:instant/explain"
          "?mapper_version=1.0.0",
          "", "there is no such persona", 404 },
        { EXPLAIN "?mapper_version=7.0.0", "mapper_version", "has no version '7.0.0'", 404 },
        { EXPLAIN "?as_of=2020-01-01T00:00:00Z", "as_of", "was active then", 404 },
        { EXPLAIN "?as_of=1970-01-01T00:00:00Z", "as_of", "was active then", 404 },
        { EXPLAIN "?as_of=2220-01-01T00:00:00Z", "as_of", "lies in the future", 400 },
        { EXPLAIN "?as_of=yesterday", "as_of", "", 400 },
        { EXPLAIN "?at=1", "at", "", 400 },
    };
    PK_CLEANUP(house_close) struct house house = { 0 };
    char key[PK_KEY_TEXT];
    furnish(&house);
    for (size_t i = 0; i < PK_COUNT(way); i++) {
        struct reply reply = ask(&house, "GET", way[i].target, NULL);
        if (reply.status != way[i].status || strcmp(reply_text(&reply, "field"), way[i].field) ||
            !strstr(reply_text(&reply, "detail"), way[i].words)) {
            fail_msg("%s: %s", way[i].target, reply.body);
        }
        reply_done(&reply);
    }
    pk_doc_unref(house_actor(&house, "agent",
                             "{'canRequestPersonas':true,'people':['*'],'allowedMappers':['*'],"
                             "'hiddenPaths':['rhythm']}",
                             key));
    struct reply reply = house_ask(&house, "GET", EXPLAIN, key, NULL);
    expect(&reply, 404, "not_found");
    reply_done(&reply);
    reply = house_ask(&house, "GET", EXPLAIN "?mapper_version=1.0.0", key, NULL);
    expect(&reply, 200, NULL);
    assert_null(strstr(reply.body, "morning\""));
    reply_done(&reply);
}
