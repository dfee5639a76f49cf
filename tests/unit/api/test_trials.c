/* test_trials.c - Versions of mappers tried out over HTTP: dry runs, comparisons, who may. */
/* SPDX-License-Identifier: MIT */
#include "house.h"

#include "base/alloc.h"
#include "doc/schema.h"
#include "doc/schema_trial.h"
#include "persona/access_log.h"

#include <stdio.h>
#include <string.h>

#define PERSON  "11111111-1111-4111-8111-111111111111"
#define VERSION "/v1/mappers/daily/versions/"
#define DRY     "'detailLevel':'instant','personId':'" PERSON "'"

static struct reply ask(struct house *house, const char *key, const char *target, const char *body)
{
    return house_ask(house, "POST", target, key, body);
}

static void put_draft(struct house *house, const char *version, const char *says)
{
    char body[512];
    (void)snprintf(body, sizeof(body),
                   "{'source':'local pk = require [[personakit]]\\nreturn pk.mapper {"
                   " limits = { soft_ms = 1000, hard_ms = 5000 },\\n"
                   "  id = [[daily]], version = [[%s]], context = { [[audience]] },\\n"
                   "  core = function(m, ctx) return { tone = { m[ [[tone]] ] or [[%s]],\\n"
                   "    ctx.context and ctx.context.audience or [[all]] } } end }\\n'}",
                   version, says);
    struct reply reply = house_ask(house, "PUT", "/v1/mappers/daily", house->admin, body);
    assert_in_range(reply.status, 200, 201);
    reply_done(&reply);
}

/* One person, and two drafts that differ for him. */
static void furnish(struct house *house)
{
    house_open(house, NULL);
    put_draft(house, "1.0.0", "none");
    put_draft(house, "1.1.0", "unknown");
    struct reply reply = ask(house, house->admin, "/v1/observations",
                             "{'personId':'" PERSON "','sourceType':'chat_log','sourceMetadata':"
                             "{'source':'test'},'content':{'raw':'x'}}");
    expect(&reply, 201, NULL);
    reply_done(&reply);
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

TEST(a_draft_is_run_over_http)
{
    PK_CLEANUP(house_close) struct house house = { 0 };
    furnish(&house);
    struct reply reply = ask(&house, house.admin, VERSION "1.1.0/dry-run",
                             "{" DRY ",'context':{'audience':'kids'}}");
    expect(&reply, 200, NULL);
    expect_schema(reply.json, &pk_schema_dry_run_view);
    assert_string_equal(reply_text(&reply, "personaCore.tone.0"), "unknown");
    assert_string_equal(reply_text(&reply, "personaCore.tone.1"), "kids");
    reply_done(&reply);

    reply = ask(&house, house.admin, VERSION "1.0.0/dry-run",
                "{'detailLevel':'instant','now':'2026-01-02T00:00:00Z','mindscape':{'traitMatrix':"
                "[{'traitName':'tone','value':'dry'}]}}");
    expect(&reply, 200, NULL);
    expect_schema(reply.json, &pk_schema_dry_run_view);
    assert_string_equal(reply_text(&reply, "personaCore.tone.0"), "dry");
    assert_string_equal(reply_text(&reply, "mappedAt"), "2026-01-02T00:00:00.000Z");
    reply_done(&reply);

    reply = ask(&house, house.admin, VERSION "9.0.0/dry-run", "{" DRY "}");
    expect(&reply, 404, NULL);
    reply_done(&reply);
    reply = ask(&house, house.admin, VERSION "1.0.0/dry-run", "{'detailLevel':'instant'}");
    expect(&reply, 400, NULL);
    reply_done(&reply);
}

TEST(two_drafts_are_compared_over_http)
{
    PK_CLEANUP(house_close) struct house house = { 0 };
    furnish(&house);
    struct reply reply = ask(&house, house.admin, VERSION "1.1.0/diff",
                             "{'against':'1.0.0','detailLevel':'instant','sample':5}");
    expect(&reply, 200, NULL);
    expect_schema(reply.json, &pk_schema_mapper_diff_view);
    assert_string_equal(reply_text(&reply, "differences.0.personId"), PERSON);
    assert_string_equal(reply_text(&reply, "differences.0.lines.0"), "personaCore.tone.0");
    reply_done(&reply);
    reply = ask(&house, house.admin, VERSION "1.1.0/diff",
                "{'against':'7.0.0','detailLevel':'instant'}");
    expect(&reply, 404, NULL);
    assert_string_equal(reply_text(&reply, "field"), "against");
    reply_done(&reply);
    reply = ask(&house, house.admin, VERSION "1.1.0/diff",
                "{'against':'1.0.0','detailLevel':'instant','sample':1001}");
    expect(&reply, 400, NULL);
    reply_done(&reply);
}

static void hire(struct house *house, const char *more, char key[PK_KEY_TEXT])
{
    char text[256];
    (void)snprintf(text, sizeof(text),
                   "{'canRequestPersonas':false,'canProvideFeedback':false,"
                   "'grants':['author_mappers'],'allowedMappers':['daily'],%s}",
                   more);
    pk_doc_unref(house_actor(house, "author", text, key));
}

static void expect_status(struct house *house, const char *key, const char *target,
                          const char *body, int status)
{
    struct reply reply = ask(house, key, target, body);
    expect(&reply, status, NULL);
    reply_done(&reply);
}

TEST(who_may_not_see_a_person_tries_it_on_a_mindscape_of_his_own)
{
    static const char given[] = "{'detailLevel':'instant','mindscape':{}}";
    static const char pair[] = "{'against':'1.0.0','detailLevel':'instant'}";
    PK_CLEANUP(house_close) struct house house = { 0 };
    char blind[PK_KEY_TEXT], hidden[PK_KEY_TEXT], all[PK_KEY_TEXT];
    furnish(&house);
    hire(&house, "'people':[]", blind);
    hire(&house, "'people':['*'],'hiddenPaths':['tone']", hidden);
    hire(&house, "'people':['*']", all);

    expect_status(&house, blind, VERSION "1.0.0/dry-run", "{" DRY "}", 404);
    expect_status(&house, blind, VERSION "1.0.0/dry-run", given, 200);
    expect_status(&house, blind, "/v1/mappers/other/versions/1.0.0/dry-run", given, 404);
    expect_status(&house, blind, VERSION "1.1.0/diff", pair, 403);
    expect_status(&house, hidden, VERSION "1.0.0/dry-run", "{" DRY "}", 200);
    expect_status(&house, hidden, VERSION "1.1.0/diff", pair, 403);
    expect_status(&house, all, VERSION "1.1.0/diff", pair, 200);
}

TEST(a_dry_run_on_a_person_is_in_his_access_log)
{
    PK_CLEANUP(house_close) struct house house = { 0 };
    furnish(&house);
    expect_status(&house, house.admin, VERSION "1.0.0/dry-run",
                  "{'detailLevel':'instant','mindscape':{}}", 200);
    for (int i = 0; i < 2; i++) {
        assert_ok(pk_access_log_flush(house.domain.access_log, &house.err), &house.err);
        struct reply reply =
            house_ask(&house, "GET", "/v1/people/" PERSON "/access-log", house.admin, NULL);
        expect(&reply, 200, NULL);
        assert_int_equal(reply_count(&reply, "items"), i);
        assert_string_equal(reply_text(&reply, "items.0.action"), i ? "mapper.try" : "");
        reply_done(&reply);
        expect_status(&house, house.admin, VERSION "1.0.0/dry-run", "{" DRY "}", 200);
    }
}
