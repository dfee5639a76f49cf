/* test_consents.c - Consents over HTTP. */
/* SPDX-License-Identifier: MIT */
#include "house.h"

#include "base/alloc.h"

#include <stdio.h>
#include <string.h>

#define PERSON   "11111111-1111-4111-8111-111111111111"
#define CONSENTS "/v1/people/" PERSON "/consents"

TEST(consents_are_recorded_listed_and_withdrawn)
{
    PK_CLEANUP(house_close) struct house house = { 0 };
    char match[128];
    house_open(&house, NULL);
    struct reply reply =
        house_ask(&house, "PUT", CONSENTS "/research", house.admin, "{'status':'granted'}");
    expect(&reply, 404, "not_found"); /* Nobody knows the person. */
    reply_done(&reply);
    reply = house_ask(&house, "POST", "/v1/observations", house.admin,
                      "{'person_id':'" PERSON "','type':'chat_log','content':{'a':1}}");
    expect(&reply, 201, NULL);
    reply_done(&reply);
    reply = house_ask(&house, "GET", CONSENTS "/research", house.admin, NULL);
    expect(&reply, 404, "not_found");
    reply_done(&reply);
    reply = house_ask(&house, "PUT", CONSENTS "/research", house.admin,
                      "{'status':'granted','validUntil':'2999-01-01T00:00:00Z','evidence':'f'}");
    expect(&reply, 200, NULL);
    assert_string_equal(reply_text(&reply, "personId"), PERSON);
    assert_string_equal(reply_text(&reply, "validUntil"), "2999-01-01T00:00:00.000Z");
    (void)snprintf(match, sizeof(match), "If-Match: %s\r\n", reply_header(&reply, "ETag"));
    reply_done(&reply);
    reply = house_ask(&house, "PUT", CONSENTS "/research", house.admin, "{'status':'granted'}");
    expect(&reply, 200, NULL);
    assert_string_equal(reply_text(&reply, "evidence"), ""); /* What is not sent is not so. */
    reply_done(&reply);
    reply = house_ask_with(&house, "DELETE", CONSENTS "/research", house.admin, match, NULL);
    expect(&reply, 412, "precondition_failed");
    reply_done(&reply);
    reply = house_ask(&house, "DELETE", CONSENTS "/research", house.admin, NULL);
    expect(&reply, 200, NULL);
    assert_string_equal(reply_text(&reply, "status"), "withdrawn");
    reply_done(&reply);
    reply = house_ask(&house, "GET", CONSENTS, house.admin, NULL);
    expect(&reply, 200, NULL);
    assert_int_equal(reply_count(&reply, "items"), 1);
    assert_string_equal(reply_text(&reply, "items.0.purpose"), "research");
    reply_done(&reply);
}

TEST(a_consent_that_makes_no_sense_is_refused)
{
    static const struct {
        const char *target, *body, *field;
    } way[] = {
        { CONSENTS "/research", "{}", "status" },
        { CONSENTS "/research", "{'status':'perhaps'}", "status" },
        { CONSENTS "/research",
          "{'status':'granted','validFrom':'2026-01-02T00:00:00Z','validUntil':"
          "'2026-01-01T00:00:00Z'}",
          "validUntil" },
        { CONSENTS "/re%20search", "{'status':'granted'}", "purpose" },
    };
    PK_CLEANUP(house_close) struct house house = { 0 };
    house_open(&house, NULL);
    struct reply reply =
        house_ask(&house, "POST", "/v1/observations", house.admin,
                  "{'person_id':'" PERSON "','type':'chat_log','content':{'a':1}}");
    reply_done(&reply);
    for (size_t i = 0; i < PK_COUNT(way); i++) {
        reply = house_ask(&house, "PUT", way[i].target, house.admin, way[i].body);
        expect(&reply, 400, "invalid");
        assert_string_equal(reply_text(&reply, "field"), way[i].field);
        reply_done(&reply);
    }
    assert_int_equal(house_count(&house, "consents"), 0);
}
