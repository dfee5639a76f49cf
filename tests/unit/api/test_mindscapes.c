/* test_mindscapes.c - Mindscapes and traits over HTTP: what is shown, to whom, and as of when. */
/* SPDX-License-Identifier: MIT */
#include "house.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "doc/json.h"
#include "doc/schema.h"
#include "doc/schema_known.h"
#include "persona/mind.h"
#include "persona/mindscape.h"

#include <stdio.h>
#include <string.h>

#define PERSON "11111111-1111-4111-8111-111111111111"
#define OTHER  "22222222-2222-4222-8222-222222222222"
#define OBS    "33333333-3333-4333-8333-33333333333"
#define BASE   "/v1/people/" PERSON
#define DAY_MS INT64_C(86400000)

/* ---- What there is ---- */

static void json_of(bson_t *out, const char *text)
{
    struct pk_error err = { 0 };
    struct pk_buf quoted = { 0 };
    pk_buf_add_text(&quoted, text);
    for (size_t i = 0; i < quoted.size; i++) {
        quoted.data[i] = (char)(quoted.data[i] == '\'' ? '"' : quoted.data[i]);
    }
    assert_ok(pk_json_read(out, quoted.data, quoted.size, NULL, &err), &err);
    pk_buf_done(&quoted);
}

/* Observation OBS<number>, taken in by a processor 'p' at that time. */
static void take(struct house *house, unsigned number, int64_t at_ms, const char *operations)
{
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *stored = NULL;
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *empty = NULL;
    PK_CLEANUP(pk_writes_done) struct pk_writes list = { 0 };
    const struct pk_ran ran = { .processor_id = "p", .processor_version = "1.0.0" };
    char obs[PK_UUID_TEXT];
    bson_t view, array;

    (void)snprintf(obs, sizeof(obs), OBS "%u", number);
    assert_ok(pk_mindscape_read(&house->domain, PERSON, 0, &stored, &house->err), &house->err);
    empty = pk_mindscape_empty(PERSON, at_ms);
    pk_doc_view(stored ? stored : empty, &view);
    struct pk_mind *mind = pk_mind_open(&view, house->domain.policies);
    (void)pk_mind_begin(mind, &(struct pk_evidence){ .obs_id = obs,
                                                     .source_type = "work_session",
                                                     .effective_at_ms = at_ms });
    json_of(&array, operations);
    assert_ok(pk_mind_apply(mind, &ran, &array, &house->err), &house->err);
    pk_mind_end(mind);
    assert_ok(pk_mindscape_apply(&house->domain, mind, stored, 1, &list, &house->err), &house->err);
    assert_ok(pk_store_commit(house->store, &list, 0, NULL, &house->err), &house->err);
    bson_destroy(&array);
    pk_mind_free(mind);
    house_settle(house);
}

static int64_t now_ms(void)
{
    return pk_clock_wall_ms(pk_clock_system());
}

static void plant(struct house *house)
{
    take(house, 1, now_ms() - 90 * DAY_MS,
         "{'0':{'op':'set','path':'work.focus','value':'light','confidence':0.8},"
         "'1':{'op':'set','path':'work.focus.hours','value':3,'confidence':0.1},"
         "'2':{'op':'set','path':'health.weight','value':80,'confidence':0.9},"
         "'3':{'op':'goal','description':'learn'}}");
    take(house, 2, now_ms() - 45 * DAY_MS,
         "{'0':{'op':'set','path':'work.focus','value':'deep','confidence':0.8}}");
}

static struct reply get(struct house *house, const char *target)
{
    return house_ask(house, "GET", target, house->admin, NULL);
}

/* That an answer is what its schema says. */
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

static double number_at(const struct reply *reply, const char *path)
{
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *doc = pk_doc_new(reply->json);
    return pk_doc_number(doc, path, -1);
}

/* ---- The mindscape ---- */

TEST(a_mindscape_is_shown_with_confidence_as_it_is_now)
{
    PK_CLEANUP(house_close) struct house house = { 0 };
    house_open(&house, NULL);
    plant(&house);
    struct reply reply = get(&house, BASE "/mindscape");
    expect(&reply, 200, NULL);
    expect_schema(&reply, &pk_schema_mindscape_view);
    assert_string_equal(reply_header(&reply, "ETag"), "\"2\"");
    assert_string_equal(reply_text(&reply, "personId"), PERSON);
    assert_string_equal(reply_text(&reply, "traitMatrix.1.traitName"), "work.focus");
    assert_string_equal(reply_text(&reply, "traitMatrix.1.value"), "deep");
    const double now = number_at(&reply, "traitMatrix.1.confidence");
    assert_true(now > 0.56 && now < 0.57); /* 0.8 * 2^(-45/90) */
    assert_string_equal(reply_text(&reply, "goals.0.description"), "learn");
    assert_null(strstr(reply.body, "versions"));
    reply_done(&reply);
    reply = get(&house, BASE "/mindscape?shape=tree&min_confidence=0.2");
    expect(&reply, 200, NULL);
    expect_schema(&reply, &pk_schema_mindscape_view);
    assert_string_equal(reply_text(&reply, "traits.work.focus"), "deep");
    assert_int_equal(reply_count(&reply, "traitMatrix"), 0);
    reply_done(&reply);
    reply = get(&house, BASE "/mindscape?include=embedding,knowledge");
    expect(&reply, 200, NULL);
    expect_schema(&reply, &pk_schema_mindscape_view);
    assert_non_null(strstr(reply.body, "\"hotLayer\":[]"));
    reply_done(&reply);
}

TEST(a_mindscape_as_of_a_past_time_has_no_etag)
{
    PK_CLEANUP(house_close) struct house house = { 0 };
    char target[200], text[PK_TIME_TEXT];
    house_open(&house, NULL);
    plant(&house);
    pk_time_format(now_ms() - 60 * DAY_MS, text);
    (void)snprintf(target, sizeof(target), BASE "/mindscape?at=%s", text);
    struct reply reply = get(&house, target);
    expect(&reply, 200, NULL);
    expect_schema(&reply, &pk_schema_mindscape_view);
    assert_string_equal(reply_text(&reply, "traitMatrix.1.value"), "light");
    assert_string_equal(reply_text(&reply, "asOf"), text);
    assert_null(reply_header(&reply, "ETag"));
    assert_null(strstr(reply.body, "\"version\""));
    reply_done(&reply);
    pk_time_format(now_ms() - 100 * DAY_MS, text);
    (void)snprintf(target, sizeof(target), BASE "/mindscape?include=knowledge&at=%s", text);
    reply = get(&house, target);
    expect(&reply, 200, NULL);
    expect_schema(&reply, &pk_schema_mindscape_view);
    assert_non_null(strstr(reply.body, "\"hotLayer\":[]"));
    assert_int_equal(reply_count(&reply, "traitMatrix"), 0);
    assert_int_equal(reply_count(&reply, "goals"), 0);
    reply_done(&reply);
}

TEST(what_is_asked_for_wrongly_is_named)
{
    static const struct {
        const char *target, *code;
        int status;
    } row[] = {
        { BASE "/mindscape?min_confidence=much", "invalid", 400 },
        { BASE "/mindscape?min_confidence=1.5", "invalid", 400 },
        { BASE "/mindscape?min_confidence=nan", "invalid", 400 },
        { BASE "/mindscape?include=everything", "invalid", 400 },
        { BASE "/mindscape?shape=round", "invalid", 400 },
        { BASE "/mindscape?at=yesterday", "invalid", 400 },
        { BASE "/mindscape?at=2020-01-01T00:00:00Z&include=knowledge", NULL, 200 },
        { BASE "/mindscape?at=2020-01-01T00:00:00Z&include=embedding", NULL, 200 },
        { BASE "/mindscape?at=2020-01-01T00:00:00Z&include=embedding,knowledge", NULL, 200 },
        { BASE "/mindscape?at=2220-01-01T00:00:00Z&include=knowledge", NULL, 200 },
        { BASE "/mindscape?deep=1", "invalid", 400 },
        { "/v1/people/nobody/mindscape", "invalid", 400 },
        { "/v1/people/" OTHER "/mindscape", "not_found", 404 },
        { "/v1/people/" OTHER "/traits", "not_found", 404 },
        { "/v1/people/" OTHER "/traits/work.focus", "not_found", 404 },
        { BASE "/traits/work", "not_found", 404 },
        { BASE "/traits/work%20focus", "not_found", 404 },
        { BASE "/traits/work.focus?history_limit=0", "invalid", 400 },
        { BASE "/traits/work.focus?history_cursor=abc", "invalid", 400 },
    };
    PK_CLEANUP(house_close) struct house house = { 0 };
    house_open(&house, NULL);
    plant(&house);
    for (size_t i = 0; i < PK_COUNT(row); i++) {
        struct reply reply = get(&house, row[i].target);
        expect(&reply, row[i].status, row[i].code);
        reply_done(&reply);
    }
}

TEST(what_is_hidden_is_answered_as_what_is_not_there)
{
    PK_CLEANUP(house_close) struct house house = { 0 };
    char key[PK_KEY_TEXT];
    house_open(&house, NULL);
    plant(&house);
    struct pk_doc *actor = house_actor(&house, "half blind",
                                       "{'grants':['curate'],'people':['*'],"
                                       "'hiddenPaths':['health']}",
                                       key);
    pk_doc_unref(actor);
    struct reply hidden = house_ask(&house, "GET", BASE "/traits/health.weight", key, NULL);
    struct reply absent = house_ask(&house, "GET", BASE "/traits/health.height", key, NULL);
    expect(&hidden, 404, "not_found");
    expect(&absent, 404, "not_found");
    assert_string_equal(reply_text(&hidden, "detail"), reply_text(&absent, "detail"));
    reply_done(&hidden);
    reply_done(&absent);
    struct reply reply = house_ask(&house, "GET", BASE "/mindscape", key, NULL);
    expect(&reply, 200, NULL);
    assert_null(strstr(reply.body, "health"));
    reply_done(&reply);
    reply = house_ask(&house, "GET", BASE "/traits", key, NULL);
    expect(&reply, 200, NULL);
    assert_int_equal(reply_count(&reply, "items"), 2);
    reply_done(&reply);
}

/* ---- Traits ---- */

TEST(traits_are_listed_by_path_in_pages)
{
    PK_CLEANUP(house_close) struct house house = { 0 };
    house_open(&house, NULL);
    plant(&house);
    struct reply reply = get(&house, BASE "/traits?prefix=work.focus&limit=1");
    expect(&reply, 200, NULL);
    assert_int_equal(reply_count(&reply, "items"), 1);
    assert_string_equal(reply_text(&reply, "items.0.traitName"), "work.focus");
    char next[600];
    (void)snprintf(next, sizeof(next), BASE "/traits?prefix=work.focus&limit=1&cursor=%s",
                   reply_text(&reply, "next"));
    assert_int_equal(strspn(reply_text(&reply, "next"), "0123456789abcdef"),
                     2 * strlen("work.focus"));
    reply_done(&reply);
    static const char *const wrong[] = { "work.focus", "77", "776f726b2e", "7g", "20", "776f7" };
    for (size_t i = 0; i < PK_COUNT(wrong); i++) {
        char target[200];
        (void)snprintf(target, sizeof(target), BASE "/traits?cursor=%s", wrong[i]);
        reply = get(&house, target);
        if (i != 1) { /* "w" is the path of a trait. */
            expect(&reply, 400, NULL);
            assert_string_equal(reply_text(&reply, "field"), "cursor");
        } else {
            expect(&reply, 200, NULL);
        }
        reply_done(&reply);
    }
    reply = get(&house, next);
    expect(&reply, 200, NULL);
    assert_string_equal(reply_text(&reply, "items.0.traitName"), "work.focus.hours");
    assert_string_equal(reply_text(&reply, "next"), "");
    reply_done(&reply);
}

TEST(a_trait_is_shown_with_its_sources_and_history)
{
    PK_CLEANUP(house_close) struct house house = { 0 };
    char target[1200];
    house_open(&house, NULL);
    plant(&house);
    struct reply reply = get(&house, BASE "/traits/work.focus?history_limit=1");
    expect(&reply, 200, NULL);
    expect_schema(&reply, &pk_schema_trait_detail);
    assert_string_equal(reply_text(&reply, "value"), "deep");
    assert_true(number_at(&reply, "storedConfidence") == 0.8);
    assert_true(number_at(&reply, "confidence") < 0.57);
    assert_int_equal(reply_number(&reply, "halfLifeMs"), 90 * DAY_MS);
    assert_int_equal(reply_number(&reply, "version"), 2);
    assert_string_equal(reply_text(&reply, "sources.0.obsId"), OBS "2");
    assert_int_equal(reply_count(&reply, "history.items"), 1);
    assert_string_equal(reply_text(&reply, "history.items.0.before.value"), "light");
    assert_string_equal(reply_text(&reply, "history.items.0.after.value"), "deep");
    assert_string_equal(reply_text(&reply, "history.items.0.observationId"), OBS "2");
    assert_string_equal(reply_text(&reply, "history.items.0.processorVersion"), "1.0.0");
    (void)snprintf(target, sizeof(target),
                   BASE "/traits/work.focus?history_limit=1&history_cursor=%s",
                   reply_text(&reply, "history.next"));
    reply_done(&reply);
    reply = get(&house, target);
    expect(&reply, 200, NULL);
    assert_string_equal(reply_text(&reply, "history.items.0.after.value"), "light");
    assert_string_equal(reply_text(&reply, "history.next"), "");
    reply_done(&reply);
    take(&house, 3, now_ms(), "{'0':{'op':'retract','path':'work.focus'}}");
    reply = get(&house, BASE "/traits/work.focus");
    expect(&reply, 200, NULL);
    expect_schema(&reply, &pk_schema_trait_detail);
    assert_non_null(strstr(reply.body, "\"isHeld\":false"));
    assert_int_equal(reply_count(&reply, "history.items"), 3);
    reply_done(&reply);
}
