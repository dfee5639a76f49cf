/* test_curations.c - Corrections, pins, reviews, replays and forgetting, over HTTP. */
/* SPDX-License-Identifier: MIT */
#include "house.h"

#include "base/alloc.h"
#include "persona/registry.h"
#include "persona/trait.h"

#include <poll.h>
#include <stdio.h>
#include <string.h>

#define PERSON "11111111-1111-4111-8111-111111111111"
#define BASE   "/v1/people/" PERSON

static void put_processor(struct house *house, const char *version, const char *body)
{
    char text[1024];
    struct pk_bundle *bundle = NULL;
    struct pk_report report = { 0 };
    const int size = snprintf(
        text, sizeof(text),
        "return require('personakit').processor { limits = { soft_ms = 1000, hard_ms = 5000 },"
        " id = 'tone',"
        " version = '%s', accepts = { 'chat_log' },"
        " process = function(obs, m, t)"
        " local s = obs.content.structured %s end }",
        version, body);
    assert_ok(pk_bundle_of_text("x.lua", text, (size_t)size, &bundle, &house->err), &house->err);
    assert_ok(pk_registry_draft(house->registry, &house->by, bundle, PK_SCRIPT_PROCESSOR, "tone",
                                PK_DRAFT_STRICT, NULL, &report, &house->err),
              &house->err);
    assert_ok(pk_registry_activate(house->registry, &house->by, PK_SCRIPT_PROCESSOR, "tone",
                                   version, NULL, NULL, &report, &house->err),
              &house->err);
    pk_report_done(&report);
    pk_bundle_unref(bundle);
}

/* An observation, and waits until it is processed; its id into 'out'. */
static void observe(struct house *house, const char *structured, char out[PK_UUID_TEXT])
{
    char body[512];
    (void)snprintf(body, sizeof(body),
                   "{'personId':'" PERSON "','sourceType':'chat_log',"
                   "'sourceMetadata':{'source':'s'},'content':{'raw':'r','structured':%s}}",
                   structured);
    struct reply reply =
        house_ask(house, "POST", "/v1/observations?wait=processed", house->admin, body);
    expect(&reply, 201, NULL);
    (void)snprintf(out, PK_UUID_TEXT, "%s", reply_text(&reply, "observationId"));
    reply_done(&reply);
}

static void expect_tone(struct house *house, const char *value)
{
    struct reply reply =
        house_ask(house, "GET", BASE "/traits/communication.tone", house->admin, NULL);
    if (!value) {
        expect(&reply, 404, "not_found");
    } else {
        expect(&reply, 200, NULL);
        assert_string_equal(reply_text(&reply, "value"), value);
    }
    reply_done(&reply);
}

static struct reply patch(struct house *house, const char *headers, const char *body)
{
    return house_ask_with(house, "PATCH", BASE "/mindscape?wait=processed", house->admin, headers,
                          body);
}

TEST(a_mindscape_is_corrected_at_the_version_that_was_read)
{
    PK_CLEANUP(house_close) struct house house = { 0 };
    char id[PK_UUID_TEXT], header[96];
    house_open(&house, NULL);
    put_processor(&house, "1.0.0", "t:set('communication.tone', s.tone)");
    observe(&house, "{'tone':'formal'}", id);
    struct reply read = house_ask(&house, "GET", BASE "/mindscape", house.admin, NULL);
    expect(&read, 200, NULL);
    const char *etag = reply_header(&read, "etag");
    assert_non_null(etag);
    (void)snprintf(header, sizeof(header), "If-Match: %s\r\n", etag);
    reply_done(&read);

    struct reply reply = patch(
        &house, header, "{'traitMatrix':[{'traitName':'communication.tone','value':'casual'}]}");
    expect(&reply, 200, NULL);
    assert_int_equal(strlen(reply_text(&reply, "observationId")), 36);
    assert_int_equal(strlen(reply_text(&reply, "taskId")), 36);
    assert_string_equal(reply_header(&reply, "personakit-processed"), "true");
    reply_done(&reply);
    expect_tone(&house, "casual");

    /* The version of before is no longer the one there is; the answer says what has changed. */
    reply = patch(&house, header, "{'traits':[{'id':'communication.tone','value':'warm'}]}");
    expect(&reply, 412, "precondition_failed");
    assert_non_null(strstr(reply_text(&reply, "detail"), "communication.tone"));
    reply_done(&reply);
    expect_tone(&house, "casual");

    reply = patch(&house, NULL, "{'traits':[{'id':'a b','value':1}]}");
    expect(&reply, 400, "invalid");
    reply_done(&reply);
    reply = patch(&house, NULL, "{'trait':[]}");
    expect(&reply, 400, "invalid");
    reply_done(&reply);
}

TEST(a_trait_is_pinned_over_http_once_for_a_key)
{
    PK_CLEANUP(house_close) struct house house = { 0 };
    char id[PK_UUID_TEXT], first[PK_UUID_TEXT];
    house_open(&house, NULL);
    put_processor(&house, "1.0.0", "t:set('communication.tone', s.tone)");
    observe(&house, "{'tone':'formal'}", id);
    for (int i = 0; i < 2; i++) {
        struct reply reply =
            house_ask_with(&house, "POST", BASE "/traits/communication.tone/pin?wait=processed",
                           house.admin, "Idempotency-Key: once\r\n", NULL);
        assert_true(reply.status == 200 || reply.status == 202); /* Waited, or told again. */
        if (i == 0) {
            (void)snprintf(first, sizeof(first), "%s", reply_text(&reply, "observationId"));
        }
        assert_string_equal(reply_text(&reply, "observationId"), first);
        reply_done(&reply);
    }
    assert_int_equal(house_count(&house, "observations"), 2);
    struct reply trait =
        house_ask(&house, "GET", BASE "/traits/communication.tone", house.admin, NULL);
    expect(&trait, 200, NULL);
    assert_non_null(strstr(trait.body, "\"pinned\":true"));
    reply_done(&trait);
    struct reply none = house_ask(&house, "POST", BASE "/traits/no.such/unpin", house.admin, NULL);
    expect(&none, 404, "not_found");
    reply_done(&none);
}

TEST(who_may_not_see_a_trait_may_not_correct_it)
{
    PK_CLEANUP(house_close) struct house house = { 0 };
    char id[PK_UUID_TEXT], key[PK_KEY_TEXT];
    house_open(&house, NULL);
    put_processor(&house, "1.0.0", "t:set('health.weight', 80) t:set('communication.tone', 'x')");
    observe(&house, "{}", id);
    struct pk_doc *actor =
        house_actor(&house, "curator",
                    "{'canRequestPersonas':false,'canProvideFeedback':false,'people':['*'],"
                    "'allowedMappers':[],'grants':['curate'],'hiddenPaths':['health']}",
                    key);
    struct reply reply = house_ask(&house, "PATCH", BASE "/mindscape", key,
                                   "{'traits':[{'id':'health.weight','value':60}]}");
    assert_true(reply.status == 403 || reply.status == 404);
    reply_done(&reply);
    reply = house_ask(&house, "PATCH", BASE "/mindscape", key,
                      "{'traitMatrix':[{'traitName':'health.weight','value':60}]}");
    assert_true(reply.status == 403 || reply.status == 404);
    reply_done(&reply);
    reply = house_ask(&house, "POST", BASE "/traits/health.weight/pin", key, NULL);
    assert_true(reply.status == 403 || reply.status == 404);
    reply_done(&reply);
    reply = house_ask(&house, "PATCH", BASE "/mindscape?wait=processed", key,
                      "{'traits':[{'id':'communication.tone','value':'y'}]}");
    expect(&reply, 200, NULL);
    reply_done(&reply);
    reply = house_ask_with(&house, "PATCH", BASE "/mindscape", key, "If-Match: \"0\"\r\n",
                           "{'traits':[{'id':'communication.tone','value':'z'}]}");
    assert_true(reply.status == 400 || reply.status == 412);
    assert_null(strstr(reply.body, "health"));
    reply_done(&reply);
    pk_doc_unref(actor);
}

TEST(an_observation_that_tells_of_a_hidden_trait_is_not_there)
{
    PK_CLEANUP(house_close) struct house house = { 0 };
    char told[PK_UUID_TEXT], plain[PK_UUID_TEXT], path[128], key[PK_KEY_TEXT];
    house_open(&house, NULL);
    put_processor(&house, "1.0.0",
                  "if s.weight then t:set('health.weight', s.weight) end t:set('tone', 'x')");
    observe(&house, "{'weight':80}", told);
    observe(&house, "{}", plain);
    struct reply reply = patch(&house, NULL, "{'traits':[{'id':'health.height','value':180}]}");
    reply_done(&reply);
    pk_doc_unref(house_actor(&house, "half blind",
                             "{'grants':['curate','write_observations'],'people':['*'],"
                             "'hiddenPaths':['health']}",
                             key));
    reply = house_ask(&house, "GET", BASE "/observations", key, NULL);
    expect(&reply, 200, NULL);
    assert_int_equal(reply_count(&reply, "items"), 1);
    assert_string_equal(reply_text(&reply, "items.0.observationId"), plain);
    reply_done(&reply);
    (void)snprintf(path, sizeof(path), "/v1/observations/%s", told);
    reply = house_ask(&house, "GET", path, key, NULL);
    expect(&reply, 404, "not_found");
    reply_done(&reply);
    reply = house_ask(&house, "DELETE", path, key, NULL);
    expect(&reply, 404, "not_found");
    reply_done(&reply);
    reply = house_ask(&house, "GET", path, house.admin, NULL);
    expect(&reply, 200, NULL);
    reply_done(&reply);
}

TEST(an_observation_is_forgotten_with_what_rested_on_it)
{
    PK_CLEANUP(house_close) struct house house = { 0 };
    char first[PK_UUID_TEXT], second[PK_UUID_TEXT], path[128];
    house_open(&house, NULL);
    put_processor(&house, "1.0.0", "t:set('communication.tone', s.tone)");
    observe(&house, "{'tone':'formal'}", first);
    observe(&house, "{'tone':'casual'}", second);
    expect_tone(&house, "casual");
    (void)snprintf(path, sizeof(path), "/v1/observations/%s?wait=processed", second);
    struct reply reply = house_ask(&house, "DELETE", path, house.admin, NULL);
    expect(&reply, 200, NULL);
    assert_string_equal(reply_header(&reply, "personakit-processed"), "true");
    reply_done(&reply);
    expect_tone(&house, "formal");
    reply = house_ask(&house, "DELETE", path, house.admin, NULL);
    expect(&reply, 404, "not_found");
    reply_done(&reply);
}

TEST(a_replay_is_tried_before_it_is_done)
{
    PK_CLEANUP(house_close) struct house house = { 0 };
    char id[PK_UUID_TEXT];
    house_open(&house, NULL);
    put_processor(&house, "1.0.0", "t:set('communication.tone', s.tone)");
    observe(&house, "{'tone':'formal'}", id);
    put_processor(&house, "1.1.0", "t:set('communication.tone', s.tone .. '!')");
    struct reply reply = house_ask(&house, "POST", BASE "/replay", house.admin,
                                   "{'processor':'tone','dryRun':true}");
    expect(&reply, 200, NULL);
    assert_int_equal(reply_number(&reply, "observations"), 1);
    assert_int_equal(reply_count(&reply, "differences"), 1);
    assert_string_equal(reply_text(&reply, "differences.0.path"), "traits/communication.tone");
    assert_string_equal(reply_text(&reply, "differences.0.after.value"), "formal!");
    reply_done(&reply);
    expect_tone(&house, "formal");
    reply = house_ask(&house, "POST", BASE "/replay?wait=processed", house.admin,
                      "{'processor':'tone'}");
    expect(&reply, 200, NULL);
    assert_int_equal(strlen(reply_text(&reply, "taskId")), 36);
    reply_done(&reply);
    expect_tone(&house, "formal!");
    reply = house_ask(&house, "POST", BASE "/replay", house.admin, "{'version':'1.0.0'}");
    expect(&reply, 400, "invalid");
    reply_done(&reply);
    reply = house_ask(&house, "POST", BASE "/replay", house.admin, "{'processor':'nobody'}");
    expect(&reply, 404, "not_found");
    reply_done(&reply);
}

TEST(reviews_are_listed_and_decided)
{
    static const char *const conflict[] = { "*=review", NULL };
    PK_CLEANUP(house_close) struct house house = { 0 };
    char id[PK_UUID_TEXT], path[160];
    house_open(&house, NULL);
    pk_policies_free((struct pk_policies *)(uintptr_t)house.domain.policies);
    house.domain.policies = pk_policies_new(conflict, &house.err);
    put_processor(&house, "1.0.0",
                  "if s.first then t:set('communication.tone', s.tone, { confidence = 0.8 })"
                  " else t:contradict('communication.tone', s.tone, { weight = 0.9 }) end");
    observe(&house, "{'tone':'formal','first':true}", id);
    observe(&house, "{'tone':'casual'}", id);
    struct reply reply =
        house_ask(&house, "GET", BASE "/reviews?status=pending", house.admin, NULL);
    expect(&reply, 200, NULL);
    assert_int_equal(reply_count(&reply, "items"), 1);
    assert_string_equal(reply_text(&reply, "items.0.traitPath"), "communication.tone");
    (void)snprintf(path, sizeof(path), BASE "/reviews/%s/approve?wait=processed",
                   reply_text(&reply, "items.0.reviewId"));
    reply_done(&reply);
    reply = house_ask(&house, "POST", path, house.admin, NULL);
    expect(&reply, 200, NULL);
    assert_string_equal(reply_text(&reply, "status"), "approved");
    reply_done(&reply);
    expect_tone(&house, "casual");
    reply = house_ask(&house, "POST", path, house.admin, NULL);
    expect(&reply, 409, "conflict");
    reply_done(&reply);
}

TEST(a_version_is_applied_to_all_people_and_can_rest)
{
    PK_CLEANUP(house_close) struct house house = { 0 };
    char id[PK_UUID_TEXT];
    house_open(&house, NULL);
    put_processor(&house, "1.0.0", "t:set('communication.tone', s.tone)");
    observe(&house, "{'tone':'formal'}", id);
    struct reply reply = house_ask(&house, "GET", "/v1/admin/replays", house.admin, NULL);
    expect(&reply, 200, NULL);
    assert_string_equal(reply_text(&reply, "status"), "none");
    reply_done(&reply);
    reply = house_ask(&house, "POST", "/v1/admin/replays/pause", house.admin, NULL);
    expect(&reply, 409, "conflict");
    reply_done(&reply);
    put_processor(&house, "1.1.0", "t:set('communication.tone', s.tone .. '!')");
    reply = house_ask(&house, "POST", "/v1/admin/replays", house.admin,
                      "{'processor':'tone','perSecond':50}");
    expect(&reply, 202, NULL);
    reply_done(&reply);
    for (int i = 0;; i++) {
        assert_true(i < PK_TEST_PATIENCE_MS);
        reply = house_ask(&house, "GET", "/v1/admin/replays", house.admin, NULL);
        const bool is_done = strcmp(reply_text(&reply, "status"), "done") == 0;
        assert_true(!is_done || reply_number(&reply, "replayed") == 1);
        reply_done(&reply);
        if (is_done) {
            break;
        }
        (void)poll(NULL, 0, 1);
    }
    reply = house_ask(&house, "GET", BASE "/traits/communication.tone?wait=processed", house.admin,
                      NULL);
    expect(&reply, 200, NULL);
    assert_string_equal(reply_text(&reply, "value"), "formal!");
    reply_done(&reply);
    reply = house_ask(&house, "POST", "/v1/admin/replays", house.admin, "{'processor':'nobody'}");
    expect(&reply, 404, "not_found");
    reply_done(&reply);
}
