/* test_merges.c - Over HTTP: two people made one, served as one by every route, and two again. */
/* SPDX-License-Identifier: MIT */
#include "house.h"

#include "base/alloc.h"
#include "doc/schema.h"
#include "doc/schema_privacy.h"
#include "persona/access_log.h"
#include "persona/merge.h"

#include <stdio.h>
#include <string.h>

#define FROM "11111111-1111-4111-8111-111111111111"
#define INTO "22222222-2222-4222-8222-222222222222"
#define ELSE "33333333-3333-4333-8333-333333333333"
#define BODY "{'from':'" FROM "','into':'" INTO "'}"

static struct reply post(struct house *house, const char *target, const char *body)
{
    return house_ask(house, "POST", target, house->admin, body);
}

static struct reply get(struct house *house, const char *target)
{
    return house_ask(house, "GET", target, house->admin, NULL);
}

static void send_of(struct house *house, const char *person)
{
    char body[256];
    (void)snprintf(body, sizeof(body), "{'person_id':'%s','type':'chat_log','content':{'a':1}}",
                   person);
    struct reply reply = post(house, "/v1/observations?wait=processed", body);
    expect(&reply, 201, NULL);
    reply_done(&reply);
}

static void expect_schema(const struct reply *reply, const struct pk_schema *schema)
{
    struct pk_error err = { 0 };
    PK_CLEANUP(pk_faults_done) struct pk_faults faults = { 0 };
    bson_t out;
    if (!pk_schema_accept(schema, reply->json, &out, &faults)) {
        (void)pk_faults_fail(&faults, &err);
        fail_msg("%s: %s", schema->name, err.message);
    }
    bson_destroy(&out);
}

/* Merged, and the merge's id. */
static void merge(struct house *house, char out[PK_UUID_TEXT])
{
    struct reply reply = post(house, "/v1/people/merge?wait=processed", BODY);
    expect(&reply, 200, NULL);
    expect_schema(&reply, &pk_schema_merge_view);
    assert_string_equal(reply_header(&reply, "PersonaKit-Processed"), "true");
    (void)snprintf(out, PK_UUID_TEXT, "%s", reply_text(&reply, "mergeId"));
    reply_done(&reply);
}

TEST(every_route_serves_the_old_id_as_the_new_one)
{
    PK_CLEANUP(house_close) struct house house = { 0 };
    char id[PK_UUID_TEXT], target[300];
    house_open(&house, NULL);
    send_of(&house, FROM);
    send_of(&house, INTO);
    merge(&house, id);
    struct reply reply = get(&house, "/v1/people/" FROM "/mindscape");
    expect(&reply, 200, NULL);
    assert_string_equal(reply_text(&reply, "personId"), INTO);
    assert_non_null(reply_header(&reply, "ETag"));
    reply_done(&reply);
    reply = get(&house, "/v1/people/" FROM "/observations");
    assert_int_equal(reply_count(&reply, "items"), 2);
    assert_non_null(strstr(reply.body, "\"mergedFrom\":\"" FROM "\""));
    reply_done(&reply);
    static const char *const there[] = { "/traits", "/consents", "/reviews", "/personas",
                                         "/access-log" };
    for (size_t i = 0; i < PK_COUNT(there); i++) {
        (void)snprintf(target, sizeof(target), "/v1/people/" FROM "%s", there[i]);
        reply = get(&house, target);
        expect(&reply, 200, NULL);
        reply_done(&reply);
    }
    reply = house_ask(&house, "PATCH", "/v1/people/" FROM "/mindscape?wait=processed", house.admin,
                      "{'now':[{'key':'mood','value':'calm'}]}");
    assert_true(reply.status == 200 || reply.status == 201 || reply.status == 202);
    reply_done(&reply);
    reply = get(&house, "/v1/people/" INTO "/mindscape");
    assert_non_null(strstr(reply.body, "calm"));
    reply_done(&reply);
    reply = house_ask(&house, "PUT", "/v1/people/" FROM "/consents/research", house.admin,
                      "{'status':'granted'}");
    assert_string_equal(reply_text(&reply, "personId"), INTO);
    reply_done(&reply);
    reply = get(&house, "/v1/people");
    assert_non_null(strstr(reply.body, "\"mergedInto\":\"" INTO "\""));
    assert_non_null(strstr(reply.body, id));
    reply_done(&reply);
    reply = get(&house, "/v1/people/" FROM "/export");
    assert_non_null(strstr(reply.body, "\"people\":2"));
    reply_done(&reply);

    (void)snprintf(target, sizeof(target), "/v1/people/" FROM "/merges/%s/undo?wait=processed", id);
    reply = post(&house, target, NULL);
    expect(&reply, 200, NULL);
    expect_schema(&reply, &pk_schema_merge_view);
    reply_done(&reply);
    reply = get(&house, "/v1/people/" FROM "/observations");
    assert_int_equal(reply_count(&reply, "items"), 1);
    assert_null(strstr(reply.body, "mergedFrom"));
    reply_done(&reply);
    (void)snprintf(target, sizeof(target), "/v1/people/" INTO "/merges/%s/undo", id);
    reply = post(&house, target, NULL);
    expect(&reply, 409, "conflict");
    reply_done(&reply);
}

TEST(what_cannot_be_merged_is_answered_with_why)
{
    static const struct {
        const char *body, *code, *words;
        int status;
    } wrong[] = {
        { "{'from':'" FROM "','into':'" FROM "'}", "invalid", "himself", 400 },
        { "{'from':'" FROM "','into':'" ELSE "'}", "not_found", "no such person", 404 },
        { "{'from':'" ELSE "','into':'" INTO "'}", "not_found", "no such person", 404 },
        { "{'from':'" FROM "'}", "invalid", "into", 400 },
        { "{'from':'x','into':'" INTO "'}", "invalid", "from", 400 },
        { "{'from':'" FROM "','into':'" INTO "','why':'x'}", "invalid", "why", 400 },
    };
    PK_CLEANUP(house_close) struct house house = { 0 };
    char id[PK_UUID_TEXT];
    house_open(&house, NULL);
    send_of(&house, FROM);
    send_of(&house, INTO);
    const size_t before = house_count(&house, "audit");
    for (size_t i = 0; i < PK_COUNT(wrong); i++) {
        struct reply reply = post(&house, "/v1/people/merge", wrong[i].body);
        expect(&reply, wrong[i].status, wrong[i].code);
        assert_non_null(strstr(reply.body, wrong[i].words));
        reply_done(&reply);
    }
    assert_int_equal(house_count(&house, "audit"), before);
    merge(&house, id);
    struct reply reply = post(&house, "/v1/people/merge", BODY);
    expect(&reply, 409, "conflict");
    assert_non_null(strstr(reply.body, INTO));
    assert_string_equal(reply_text(&reply, "field"), "from");
    reply_done(&reply);
    reply = house_ask(&house, "DELETE", "/v1/people/" FROM "?wait=processed", house.admin, NULL);
    expect(&reply, 200, NULL);
    assert_int_equal(reply_number(&reply, "counts.people"), 2);
    reply_done(&reply);
    char target[200];
    (void)snprintf(target, sizeof(target), "/v1/people/" INTO "/merges/%s/undo", id);
    reply = post(&house, target, NULL);
    expect(&reply, 409, "conflict");
    assert_non_null(strstr(reply.body, "erased"));
    reply_done(&reply);
}

TEST(the_same_key_merges_once_and_a_dry_run_writes_nothing)
{
    PK_CLEANUP(house_close) struct house house = { 0 };
    char id[PK_UUID_TEXT];
    house_open(&house, NULL);
    send_of(&house, FROM);
    send_of(&house, INTO);
    const size_t events = house_count(&house, "events");
    struct reply reply =
        post(&house, "/v1/people/merge", "{'from':'" FROM "','into':'" INTO "','dryRun':true}");
    expect(&reply, 200, NULL);
    expect_schema(&reply, &pk_schema_merge_view);
    assert_int_equal(reply_number(&reply, "moves.observations"), 1);
    assert_null(reply_header(&reply, "PersonaKit-Cursor"));
    reply_done(&reply);
    assert_int_equal(house_count(&house, "events"), events);
    reply = house_ask_with(&house, "POST", "/v1/people/merge", house.admin,
                           "Idempotency-Key: once\r\n", BODY);
    expect(&reply, 202, NULL);
    (void)snprintf(id, sizeof(id), "%s", reply_text(&reply, "mergeId"));
    reply_done(&reply);
    reply = house_ask_with(&house, "POST", "/v1/people/merge", house.admin,
                           "Idempotency-Key: once\r\n", BODY);
    expect(&reply, 202, NULL);
    assert_string_equal(reply_text(&reply, "mergeId"), id);
    reply_done(&reply);
}

/* A key that may see FROM, and not INTO, is not told who that is. */
TEST(whom_somebody_was_merged_into_is_told_to_who_may_see_him)
{
    PK_CLEANUP(house_close) struct house house = { 0 };
    char id[PK_UUID_TEXT], key[PK_KEY_TEXT];
    house_open(&house, NULL);
    send_of(&house, FROM);
    send_of(&house, INTO);
    send_of(&house, ELSE);
    PK_CLEANUP(pk_doc_unrefp)
    struct pk_doc *actor = house_actor(
        &house, "narrow", "{'grants':['operate'],'people':['" FROM "','" ELSE "']}", key);
    assert_non_null(actor);
    merge(&house, id);
    static const char *const body[] = { "{'from':'" FROM "','into':'" ELSE "'}",
                                        "{'from':'" ELSE "','into':'" FROM "'}",
                                        "{'from':'" FROM "','into':'" ELSE "','dryRun':true}" };
    for (size_t i = 0; i < PK_COUNT(body); i++) {
        struct reply reply = house_ask(&house, "POST", "/v1/people/merge", key, body[i]);
        expect(&reply, 404, "not_found");
        assert_null(strstr(reply.body, INTO));
        reply_done(&reply);
    }
}

/* Read before, unchanged since: that is never said of another one's mindscape. */
TEST(an_etag_of_before_is_not_good_behind_a_merge)
{
    PK_CLEANUP(house_close) struct house house = { 0 };
    char id[PK_UUID_TEXT], tag[64], header[128];
    house_open(&house, NULL);
    send_of(&house, FROM);
    send_of(&house, FROM);
    send_of(&house, INTO);
    struct reply reply = get(&house, "/v1/people/" FROM "/mindscape");
    expect(&reply, 200, NULL);
    (void)snprintf(tag, sizeof(tag), "%s", reply_header(&reply, "ETag"));
    (void)snprintf(header, sizeof(header), "If-None-Match: %s\r\n", tag);
    reply_done(&reply);
    merge(&house, id);
    for (int i = 0; i < 2; i++) {
        reply = house_ask_with(&house, "GET", "/v1/people/" FROM "/mindscape", house.admin, header,
                               NULL);
        expect(&reply, 200, NULL);
        (void)snprintf(header, sizeof(header), "If-None-Match: %s\r\n",
                       reply_header(&reply, "ETag"));
        reply_done(&reply);
        if (i == 0) {
            char target[200];
            (void)snprintf(target, sizeof(target),
                           "/v1/people/" INTO "/merges/%s/undo?wait=processed", id);
            reply = post(&house, target, NULL);
            expect(&reply, 200, NULL);
            reply_done(&reply);
        }
    }
}
