/* test_observations.c - Observations over HTTP: one, a list, lines; decided about; never changed.
 */
/* SPDX-License-Identifier: MIT */
#include "house.h"

#include "access/admin.h"
#include "base/alloc.h"
#include "base/buf.h"
#include "doc/doc.h"

#include <stdio.h>
#include <string.h>

#define PERSON "11111111-1111-4111-8111-111111111111"
#define OTHER  "22222222-2222-4222-8222-222222222222"
#define OBS    "33333333-3333-4333-8333-333333333333"
#define LINES  "Content-Type: application/x-ndjson\r\n"
#define ONE                                                                \
    "'personId':'" PERSON "','sourceType':'work_session','sourceMetadata'" \
    ":{'source':'slack'},'content':{'raw':'he said so'}"
#define SHORT "{'person_id':'" PERSON "','type':'chat_log','content':{'a':1}}"

__attribute__((format(printf, 1, 2))) static const char *path_of(const char *format, ...)
{
    static char path[8][512];
    static unsigned turn;
    char *out = path[turn++ % 8];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(out, sizeof(path[0]), format, args);
    va_end(args);
    return out;
}

static struct reply post(struct house *house, const char *body)
{
    return house_ask(house, "POST", "/v1/observations", house->admin, body);
}

static size_t count_all(struct house *house)
{
    static const char *const collection[] = { "observations", "outbox", "people", "mindscapes" };
    size_t count = 0;
    for (size_t i = 0; i < PK_COUNT(collection); i++) {
        count += house_count(house, collection[i]);
    }
    return count;
}

TEST(an_observation_is_sent_and_shown)
{
    PK_CLEANUP(house_close) struct house house = { 0 };
    char id[PK_UUID_TEXT], etag[64];
    house_open(&house, NULL);
    struct reply reply = post(&house, "{" ONE "}");
    expect(&reply, 201, NULL);
    (void)snprintf(id, sizeof(id), "%s", reply_text(&reply, "observationId"));
    (void)snprintf(etag, sizeof(etag), "%s", reply_header(&reply, "ETag"));
    assert_string_equal(reply_header(&reply, "Location"), path_of("/v1/observations/%s", id));
    assert_non_null(reply_header(&reply, "PersonaKit-Cursor"));
    assert_string_equal(reply_text(&reply, "personId"), PERSON);
    assert_string_equal(reply_text(&reply, "processingStatus"), "approved");
    assert_string_equal(reply_text(&reply, "content.raw"), "he said so");
    assert_int_equal(strlen(reply_text(&reply, "taskId")), 36);
    assert_null(strstr(reply.body, "userId"));
    reply_done(&reply);
    reply = house_ask(&house, "GET", path_of("/v1/observations/%s", id), house.admin, NULL);
    expect(&reply, 200, NULL);
    assert_string_equal(reply_text(&reply, "observationId"), id);
    assert_string_equal(reply_text(&reply, "taskId"), "");
    reply_done(&reply);
    reply = house_ask(&house, "GET", "/v1/observations/" OBS, house.admin, NULL);
    expect(&reply, 404, "not_found");
    reply_done(&reply);
    reply = house_ask(&house, "GET", "/v1/observations/nonsense", house.admin, NULL);
    expect(&reply, 400, "invalid");
    reply_done(&reply);
}

TEST(what_is_wrong_is_told_with_its_field_and_every_fault)
{
    static const struct {
        const char *body, *code, *field;
        int status;
        size_t faults;
    } way[] = {
        { "", "invalid", "", 400, 0 },
        { "{", "invalid", "", 400, 0 },
        { "[]", "invalid", "", 400, 0 },
        { "{}", "invalid", "sourceType", 400, 4 },
        { "{'personId':'x','sourceType':'chat_log','sourceMetadata':{},'content':{'raw':1}}",
          "invalid", "personId", 400, 3 },
        { "{'person_id':'" PERSON "','type':'gossip','content':{'a':1}}", "invalid", "type", 400,
          1 },
        { "{'observations':[]}", "invalid", "observations", 400, 1 },
        { "{'observations':7}", "invalid", "observations", 400, 1 },
        { "{'observations':[" SHORT "],'mode':'fast'}", "invalid", "mode", 400, 1 },
    };
    PK_CLEANUP(house_close) struct house house = { 0 };
    house_open(&house, NULL);
    const size_t before = count_all(&house);
    for (size_t i = 0; i < PK_COUNT(way); i++) {
        struct reply reply = post(&house, way[i].body);
        expect(&reply, way[i].status, way[i].code);
        if (strcmp(reply_text(&reply, "field"), way[i].field) != 0 ||
            reply_count(&reply, "errors") != way[i].faults) {
            fail_msg("%s: %s", way[i].body, reply.body);
        }
        reply_done(&reply);
    }
    assert_int_equal(count_all(&house), before);
    struct reply reply = house_ask_with(&house, "POST", "/v1/observations", house.admin,
                                        "Content-Type: text/plain\r\n", "{}");
    expect(&reply, 415, "unsupported_media_type");
    assert_string_equal(reply_header(&reply, "Accept"), "application/json, application/x-ndjson");
    reply_done(&reply);
}

TEST(a_list_is_answered_one_by_one)
{
    PK_CLEANUP(house_close) struct house house = { 0 };
    house_open(&house, NULL);
    struct reply reply =
        post(&house, "{'observations':[{'observationId':'" OBS "'," ONE "},{'personId':7},17," SHORT
                     ",{'observationId':'" OBS "'," ONE "}]}");
    expect(&reply, 207, NULL);
    assert_int_equal(reply_number(&reply, "accepted"), 3);
    assert_int_equal(reply_number(&reply, "refused"), 2);
    static const int status[] = { 201, 400, 400, 201, 201 };
    for (size_t i = 0; i < PK_COUNT(status); i++) {
        assert_int_equal(reply_number(&reply, path_of("results.%zu.index", i)), (int64_t)i);
        assert_int_equal(reply_number(&reply, path_of("results.%zu.status", i)), status[i]);
    }
    assert_string_equal(reply_text(&reply, "results.0.observationId"), OBS);
    assert_string_equal(reply_text(&reply, "results.1.code"), "invalid");
    assert_string_equal(reply_text(&reply, "results.1.field"), "personId");
    assert_true(reply_count(&reply, "results.1.errors") >= 1);
    assert_non_null(strstr(reply_text(&reply, "results.2.detail"), "not an object"));
    assert_string_equal(reply_text(&reply, "results.4.observationId"), OBS);
    assert_non_null(strstr(reply.body, "\"repeated\":true"));
    assert_non_null(reply_header(&reply, "PersonaKit-Cursor"));
    reply_done(&reply);
    assert_int_equal(house_count(&house, "observations"), 2);
}

TEST(a_list_of_more_than_a_thousand_is_refused_whole)
{
    PK_CLEANUP(house_close) struct house house = { 0 };
    PK_CLEANUP(pk_buf_done) struct pk_buf body = { 0 };
    house_open(&house, NULL);
    pk_buf_add_text(&body, "{'observations':[");
    for (int i = 0; i <= 1000; i++) {
        pk_buf_printf(&body, "%s" SHORT, i ? "," : "");
    }
    pk_buf_add_text(&body, "]}");
    struct reply reply = post(&house, pk_buf_text(&body));
    expect(&reply, 413, "too_large");
    assert_string_equal(reply_text(&reply, "field"), "observations");
    reply_done(&reply);
    assert_int_equal(house_count(&house, "observations"), 0);
}

TEST(lines_are_answered_by_their_numbers)
{
    PK_CLEANUP(house_close) struct house house = { 0 };
    PK_CLEANUP(pk_buf_done) struct pk_buf body = { 0 };
    house_open(&house, NULL);
    pk_buf_add_text(&body, SHORT "\r\n\n  \n{nonsense\n{'personId':'x'}\n");
    for (int i = 0; i < 500; i++) { /* More than are committed together. */
        pk_buf_add_text(&body, SHORT "\n");
    }
    pk_buf_add_text(&body, "{" ONE "}"); /* No newline at the end. */
    struct reply reply =
        house_ask_with(&house, "POST", "/v1/observations", house.admin, LINES, pk_buf_text(&body));
    expect(&reply, 207, NULL);
    assert_int_equal(reply_number(&reply, "accepted"), 502);
    assert_int_equal(reply_number(&reply, "refused"), 2);
    assert_int_equal(reply_number(&reply, "results.0.line"), 1);
    assert_int_equal(reply_number(&reply, "results.0.status"), 201);
    assert_int_equal(reply_number(&reply, "results.1.line"), 4);
    assert_int_equal(reply_number(&reply, "results.1.status"), 400);
    assert_non_null(strstr(reply_text(&reply, "results.1.detail"), "byte"));
    assert_int_equal(reply_number(&reply, "results.2.line"), 5);
    assert_int_equal(reply_number(&reply, "results.503.line"), 506);
    reply_done(&reply);
    assert_int_equal(house_count(&house, "observations"), 502);
    reply = house_ask_with(&house, "POST", "/v1/observations", house.admin, LINES, "\n \r\n");
    expect(&reply, 400, "invalid");
    reply_done(&reply);
    pk_buf_clear(&body);
    for (int i = 0; i <= 20000; i++) {
        pk_buf_add_text(&body, "{}\n");
    }
    reply =
        house_ask_with(&house, "POST", "/v1/observations", house.admin, LINES, pk_buf_text(&body));
    expect(&reply, 413, "too_large");
    reply_done(&reply);
}

TEST(an_observation_sent_twice_is_there_once)
{
    PK_CLEANUP(house_close) struct house house = { 0 };
    house_open(&house, NULL);
    struct reply first = post(&house, "{'observationId':'" OBS "'," ONE "}");
    expect(&first, 201, NULL);
    assert_null(reply_header(&first, "Idempotency-Replayed"));
    struct reply again = post(&house, "{'observationId':'" OBS "'," ONE "}");
    expect(&again, 201, NULL);
    assert_string_equal(reply_header(&again, "Idempotency-Replayed"), "true");
    assert_string_equal(reply_text(&again, "createdAt"), reply_text(&first, "createdAt"));
    reply_done(&first);
    reply_done(&again);
    again = post(&house, "{'observationId':'" OBS "','person_id':'" PERSON "','type':'chat_log',"
                         "'content':{'a':1}}");
    expect(&again, 409, "conflict");
    assert_string_equal(reply_text(&again, "field"), "observationId");
    reply_done(&again);
    assert_int_equal(house_count(&house, "observations"), 1);
}

TEST(an_idempotency_key_is_for_one)
{
    static const char key[] = "Idempotency-Key: 7f3a\r\n";
    PK_CLEANUP(house_close) struct house house = { 0 };
    char task[PK_UUID_TEXT];
    house_open(&house, NULL);
    struct reply reply =
        house_ask_with(&house, "POST", "/v1/observations", house.admin, key, "{" ONE "}");
    expect(&reply, 201, NULL);
    (void)snprintf(task, sizeof(task), "%s", reply_text(&reply, "taskId"));
    reply_done(&reply);
    reply = house_ask_with(&house, "POST", "/v1/observations", house.admin, key, "{" ONE "}");
    expect(&reply, 201, NULL);
    assert_string_equal(reply_text(&reply, "taskId"), task);
    assert_string_equal(reply_header(&reply, "Idempotency-Replayed"), "true");
    reply_done(&reply);
    assert_int_equal(house_count(&house, "observations"), 1);
    PK_CLEANUP(pk_page_done) struct pk_page page = { 0 };
    const struct pk_query query = { .collection = "idempotency",
                                    .index = "by_user",
                                    .equal = { PK_TEXT(PERSON) },
                                    .equal_count = 1 };
    assert_ok(pk_store_find(house.store, &query, 0, &page, &house.err), &house.err);
    assert_int_equal(page.count, 1); /* So that erasing finds it. */
    reply = house_ask_with(&house, "POST", "/v1/observations", house.admin,
                           "Idempotency-Key: other\r\n", "{'observations':[" SHORT "]}");
    expect(&reply, 400, "invalid");
    assert_string_equal(reply_text(&reply, "field"), "Idempotency-Key");
    assert_non_null(strstr(reply_text(&reply, "hint"), "observationId"));
    reply_done(&reply);
    assert_int_equal(house_count(&house, "observations"), 1);
}

TEST(an_observation_never_changes)
{
    static const char *const method[] = { "PATCH", "PUT" };
    PK_CLEANUP(house_close) struct house house = { 0 };
    house_open(&house, NULL);
    struct reply reply = post(&house, "{'observationId':'" OBS "'," ONE "}");
    expect(&reply, 201, NULL);
    reply_done(&reply);
    for (size_t i = 0; i < PK_COUNT(method); i++) {
        reply = house_ask(&house, method[i], "/v1/observations/" OBS, house.admin,
                          "{'content':{'raw':'other'}}");
        expect(&reply, 405, "method_not_allowed");
        assert_non_null(strstr(reply_header(&reply, "Allow"), "GET"));
        assert_non_null(strstr(reply_text(&reply, "hint"), "never change"));
        reply_done(&reply);
    }
    reply = house_ask(&house, "GET", "/v1/observations/" OBS, house.admin, NULL);
    assert_string_equal(reply_text(&reply, "content.raw"), "he said so");
    reply_done(&reply);
}

TEST(what_waits_is_approved_or_rejected_at_the_version_that_was_read)
{
    static const char *const all[] = { "*", NULL };
    PK_CLEANUP(house_close) struct house house = { 0 };
    char id[2][PK_UUID_TEXT], match[128] = "";
    house_open(&house, &(struct house_options){ .approve = all });
    for (int i = 0; i < 2; i++) {
        struct reply reply = post(&house, SHORT);
        expect(&reply, 201, NULL);
        assert_string_equal(reply_text(&reply, "processingStatus"), "pending");
        assert_string_equal(reply_text(&reply, "taskId"), "");
        (void)snprintf(id[i], sizeof(id[i]), "%s", reply_text(&reply, "observationId"));
        (void)snprintf(match, sizeof(match), "If-Match: %s\r\n", reply_header(&reply, "ETag"));
        reply_done(&reply);
    }
    const char *approve = path_of("/v1/observations/%s/approve", id[0]);
    struct reply reply = house_ask_with(&house, "POST", approve, house.admin, match, NULL);
    expect(&reply, 412, "precondition_failed"); /* The other one's. */
    reply_done(&reply);
    reply = house_ask(&house, "POST", path_of("%s?wait=processed", approve), house.admin, NULL);
    expect(&reply, 200, NULL);
    assert_string_equal(reply_text(&reply, "processingStatus"), "processed");
    assert_string_equal(reply_text(&reply, "approvalMetadata.approvedBy"), PK_ADMIN_ID);
    reply_done(&reply);
    const char *reject = path_of("/v1/observations/%s/reject", id[1]);
    reply = house_ask(&house, "POST", reject, house.admin, "{}");
    expect(&reply, 400, "invalid");
    assert_string_equal(reply_text(&reply, "field"), "reason");
    reply_done(&reply);
    reply = house_ask_with(&house, "POST", reject, house.admin, match, "{'reason':'hearsay'}");
    expect(&reply, 200, NULL);
    assert_string_equal(reply_text(&reply, "processingStatus"), "rejected");
    reply_done(&reply);
    reply =
        house_ask(&house, "POST", path_of("/v1/observations/%s/approve", id[1]), house.admin, NULL);
    expect(&reply, 409, "conflict");
    reply_done(&reply);
    reply = house_ask(&house, "GET", "/v1/people/" PERSON "/observations?status=rejected",
                      house.admin, NULL);
    expect(&reply, 200, NULL);
    assert_int_equal(reply_count(&reply, "items"), 1);
    assert_string_equal(reply_text(&reply, "items.0.observationId"), id[1]);
    reply_done(&reply);
}

TEST(a_key_writes_and_reads_only_of_people_it_may_see)
{
    PK_CLEANUP(house_close) struct house house = { 0 };
    char key[PK_KEY_TEXT], own[PK_UUID_TEXT], foreign[PK_UUID_TEXT];
    house_open(&house, NULL);
    struct pk_doc *actor = house_actor(
        &house, "app", "{'grants':['write_observations'],'people':['" PERSON "']}", key);
    house_settle(&house);
    struct reply reply = house_ask(&house, "POST", "/v1/observations", key, SHORT);
    expect(&reply, 201, NULL);
    (void)snprintf(own, sizeof(own), "%s", reply_text(&reply, "observationId"));
    reply_done(&reply);
    reply = post(&house, SHORT);
    (void)snprintf(foreign, sizeof(foreign), "%s", reply_text(&reply, "observationId"));
    reply_done(&reply);
    static const char *const other[] = {
        "{'person_id':'" OTHER "','type':'chat_log','content':{'a':1}}",
        "{'externalId':{'source':'slack','id':'U1'},'sourceType':'chat_log','sourceMetadata':"
        "{'source':'s'},'content':{'raw':'r'}}",
    };
    const size_t before = count_all(&house);
    for (size_t i = 0; i < PK_COUNT(other); i++) {
        reply = house_ask(&house, "POST", "/v1/observations", key, other[i]);
        expect(&reply, 404, "not_found");
        reply_done(&reply);
    }
    reply = house_ask(&house, "POST", "/v1/observations", key,
                      "{'observations':[{'person_id':'" OTHER "','type':'chat_log','content':"
                      "{'a':1}}]}");
    expect(&reply, 207, NULL);
    assert_int_equal(reply_number(&reply, "results.0.status"), 404);
    reply_done(&reply);
    assert_int_equal(count_all(&house), before);
    reply = house_ask(&house, "GET", path_of("/v1/observations/%s", own), key, NULL);
    expect(&reply, 200, NULL); /* What one sent oneself. */
    reply_done(&reply);
    reply = house_ask(&house, "GET", path_of("/v1/observations/%s", foreign), key, NULL);
    expect(&reply, 404, "not_found");
    reply_done(&reply);
    reply = house_ask(&house, "GET", "/v1/people/" PERSON "/observations", key, NULL);
    expect(&reply, 404, "not_found"); /* The list is for who may read them all. */
    reply_done(&reply);
    pk_doc_unref(actor);
}

TEST(the_rate_of_a_person_is_counted_for_each_observation)
{
    PK_CLEANUP(house_close) struct house house = { 0 };
    struct house_options options = { .approve = NULL };
    options.rate[PK_RATE_PERSON] = (struct pk_rate_rule){ .limit = 3, .window_ms = 3600000 };
    house_open(&house, &options);
    struct reply reply =
        post(&house, "{'observations':[" SHORT "," SHORT "," SHORT "," SHORT ",{'person_id':'" OTHER
                     "','type':'chat_log','content':{'a':1}}]}");
    expect(&reply, 207, NULL);
    assert_int_equal(reply_number(&reply, "accepted"), 4);
    assert_int_equal(reply_number(&reply, "results.3.status"), 429);
    assert_int_equal(reply_number(&reply, "results.4.status"), 201);
    reply_done(&reply);
    reply = post(&house, SHORT);
    expect(&reply, 429, "rate_limited");
    assert_non_null(reply_header(&reply, "Retry-After"));
    reply_done(&reply);
}

TEST(people_are_listed_and_found_by_other_names)
{
    PK_CLEANUP(house_close) struct house house = { 0 };
    char id[PK_UUID_TEXT], key[PK_KEY_TEXT];
    house_open(&house, NULL);
    struct reply reply = post(&house, SHORT);
    reply_done(&reply);
    reply = post(&house, "{'externalId':{'source':'slack','id':'a:b c'},'sourceType':'chat_log',"
                         "'sourceMetadata':{'source':'s'},'content':{'raw':'r'}}");
    expect(&reply, 201, NULL);
    (void)snprintf(id, sizeof(id), "%s", reply_text(&reply, "personId"));
    reply_done(&reply);
    reply = house_ask(&house, "GET", "/v1/people?external=slack:a:b%20c", house.admin, NULL);
    expect(&reply, 200, NULL);
    assert_int_equal(reply_count(&reply, "items"), 1);
    assert_string_equal(reply_text(&reply, "items.0.personId"), id);
    assert_string_equal(reply_text(&reply, "items.0.externalIds.0.id"), "a:b c");
    reply_done(&reply);
    static const struct {
        const char *target;
        int status;
        size_t count;
    } ask[] = {
        { "/v1/people", 200, 2 },
        { "/v1/people?limit=1", 200, 1 },
        { "/v1/people?external=slack:nobody", 200, 0 },
        { "/v1/people?external=slack", 400, 0 },
        { "/v1/people?external=slack:", 400, 0 },
    };
    for (size_t i = 0; i < PK_COUNT(ask); i++) {
        reply = house_ask(&house, "GET", ask[i].target, house.admin, NULL);
        assert_int_equal(reply.status, ask[i].status);
        assert_int_equal(reply_count(&reply, "items"), ask[i].count);
        reply_done(&reply);
    }
    struct pk_doc *actor = house_actor(
        &house, "curator", "{'grants':['curate'],'people':['" PERSON "','" OTHER "']}", key);
    house_settle(&house);
    reply = house_ask(&house, "GET", "/v1/people", key, NULL);
    expect(&reply, 200, NULL);
    assert_int_equal(reply_count(&reply, "items"), 1);
    assert_string_equal(reply_text(&reply, "items.0.personId"), PERSON);
    reply_done(&reply);
    reply = house_ask(&house, "GET", "/v1/people?external=slack:a:b%20c", key, NULL);
    expect(&reply, 200, NULL);
    assert_int_equal(reply_count(&reply, "items"), 0); /* Out of sight. */
    reply_done(&reply);
    reply = house_ask(&house, "GET", "/v1/people/" OTHER "/observations", house.admin, NULL);
    expect(&reply, 404, "not_found");
    reply_done(&reply);
    reply = house_ask(&house, "GET", "/v1/people/" PERSON "/observations?type=chat_log",
                      house.admin, NULL);
    expect(&reply, 200, NULL);
    assert_int_equal(reply_count(&reply, "items"), 1);
    reply_done(&reply);
    pk_doc_unref(actor);
}

TEST(who_asks_for_it_is_answered_when_it_is_processed)
{
    PK_CLEANUP(house_close) struct house house = { 0 };
    house_open(&house, NULL);
    struct reply reply =
        house_ask(&house, "POST", "/v1/observations?wait=processed", house.admin, SHORT);
    expect(&reply, 201, NULL);
    assert_string_equal(reply_text(&reply, "processingStatus"), "processed");
    assert_int_equal(reply_number(&reply, "seq"), 1);
    assert_string_equal(reply_header(&reply, "PersonaKit-Processed"), "true");
    reply_done(&reply);
    reply = house_ask(&house, "POST", "/v1/observations?wait=processed", house.admin,
                      "{'observations':[" SHORT "]}");
    expect(&reply, 400, "invalid");
    assert_string_equal(reply_text(&reply, "field"), "wait");
    reply_done(&reply);
    assert_int_equal(house_count(&house, "observations"), 1);
}
