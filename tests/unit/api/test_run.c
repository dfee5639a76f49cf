/* test_run.c - What every request goes through, with rows made for it and with the real ones. */
/* SPDX-License-Identifier: MIT */
#include "house.h"

#include "access/actor.h"
#include "access/admin.h"
#include "access/idempotency.h"
#include "api/api_internal.h"
#include "api/hot_lane.h"
#include "base/alloc.h"
#include "base/arena.h"
#include "doc/doc.h"
#include "net/hot.h"

#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SEEN   "b7a1c0de-0000-4000-8000-000000000001"
#define UNSEEN "b7a1c0de-0000-4000-8000-000000000002"

/* ---- Rows made for it ---- */

static struct {
    atomic_int runs; /* Calls of handlers. */
    sem_t go;        /* 'hold' waits for it. */
    atomic_int held; /* Requests that wait. */
} stage;

static bool about_person(struct pk_api_call *call, struct pk_object *object, struct pk_error *err)
{
    (void)err;
    object->person = pk_call_value(call, "person");
    return true;
}

static bool say_done(struct pk_api_call *call, struct pk_error *err)
{
    bson_t doc = BSON_INITIALIZER;
    stage.runs++;
    BSON_APPEND_INT32(&doc, "run", stage.runs);
    BSON_APPEND_INT64(&doc, "version", call->match_version);
    const bool ok = pk_call_answer(call, &doc, 7, err);
    bson_destroy(&doc);
    return ok;
}

static bool fail_inside(struct pk_api_call *call, struct pk_error *err)
{
    (void)call;
    return pk_fail(err, PK_INTERNAL, "look at /var/secret", "table 'x' is damaged");
}

/* A write that takes as long as the test likes, and is kept under its key. */
static bool show_setting(struct pk_api_call *call, const struct pk_doc *doc, struct pk_error *err)
{
    return pk_call_made(call, err, "/v1/settings/%s", pk_doc_id(doc)) &&
           pk_call_answer_doc(call, "settings", doc, err);
}

struct hold {
    struct pk_api_call *call;
    struct pk_doc *made;
};

static bool decide_hold(void *context, struct pk_writes *list, struct pk_error *err)
{
    struct hold *hold = context;
    char id[PK_UUID_TEXT];
    bson_t *bson = bson_new();
    bson_t view;
    pk_uuid_new(id);
    BSON_APPEND_UTF8(bson, "_id", id);
    BSON_APPEND_INT32(bson, "value", stage.runs);
    BSON_APPEND_DATE_TIME(bson, "updatedAt", 0);
    BSON_APPEND_UTF8(bson, "updatedBy", "tester");
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *doc = pk_doc_take(bson);
    pk_writes_insert(list, "settings", doc);
    pk_doc_view(doc, &view);
    pk_doc_unref(hold->made);
    hold->made = pk_doc_new_versioned(&view, pk_writes_version(list, 0));
    const struct pk_by *by = &hold->call->by;
    return !by->complete || by->complete(by->context, list, hold->made, err);
}

static bool hold(struct pk_api_call *call, struct pk_error *err)
{
    struct hold hold = { .call = call };
    struct pk_commit commit;
    stage.runs++;
    stage.held++;
    while (sem_wait(&stage.go) != 0) {
    }
    const bool ok =
        pk_store_decide(call->parts->books->store, decide_hold, &hold, 0, &commit, err) &&
        pk_call_show(call, hold.made, err);
    if (ok) {
        pk_call_wrote(call, commit.cursor);
    }
    pk_doc_unref(hold.made);
    return ok;
}

static void hot_view(void *context, struct pk_request *request, struct pk_answer *answer)
{
    const struct pk_object object = { .person = request->segment[2] };
    pk_hot_lane(context, request, answer, &object);
}

static bool make_view(struct pk_api_call *call, struct pk_error *err)
{
    const char *person = pk_call_value(call, "person");
    const uint64_t stamp = pk_hot_stamp(call->parts->hot, person);
    if (!say_done(call, err)) {
        return false;
    }
    pk_hot_lane_keep(call, person, stamp);
    return true;
}

static const struct pk_field any_field[] = {
    { .name = "say", .type = PK_TYPE_STRING, .flags = PK_FIELD_REQUIRED, .max = 9, .help = "It." },
};
static const struct pk_schema any = {
    .name = "Any", .field = any_field, .count = 1, .is_open = true, .help = "Anything."
};
static const struct pk_param person_param[] = {
    { .name = "person", .type = PK_PARAM_UUID, .help = "Who." },
    { .name = NULL },
};
static const struct pk_param number_param[] = {
    { .name = "number", .type = PK_PARAM_INT, .min = 1, .max = 9, .help = "Which." },
    { .name = NULL },
};
#define ABOUT .id = "x", .tag = "x", .help = "X.", .lane = PK_LANE_STORE
static const struct pk_api_row row[] = {
    { PK_ROW(GET, "/v1/thing", ACTOR_SELF), ABOUT, .run = say_done, .answer = &any,
      .param = number_param, .flags = PK_ROW_AFTER },
    { PK_ROW(GET, "/v1/text", ACTOR_SELF), ABOUT, .run = say_done,
      .answer_type = "text/plain; charset=utf-8" },
    { PK_ROW(POST, "/v1/thing", ACTOR_SELF), ABOUT, .run = say_done, .answer = &any, .body = &any,
      .body_max_bytes = 4096 },
    { PK_ROW(PUT, "/v1/thing", ACTOR_SELF), ABOUT, .run = say_done, .answer = &any,
      .flags = PK_ROW_WRITES | PK_ROW_MATCH },
    { PK_ROW(DELETE, "/v1/thing", ACTOR_SELF), ABOUT, .run = say_done, .flags = PK_ROW_WRITES },
    { PK_ROW(GET, "/v1/broken", ACTOR_SELF), ABOUT, .run = fail_inside, .answer = &any },
    { PK_ROW(POST, "/v1/people/{person}/notes", OBSERVATION_WRITE), ABOUT, .run = say_done,
      .answer = &any, .param = person_param, .subject = about_person, .flags = PK_ROW_WRITES },
    { PK_ROW(GET, "/v1/people/{person}/view", MINDSCAPE_READ), ABOUT, .run = make_view,
      .hot = hot_view, .answer = &any, .param = person_param, .subject = about_person },
    { PK_ROW(POST, "/v1/hold", ACTOR_SELF), ABOUT, .status = 201, .run = hold, .show = show_setting,
      .answer = &any, .flags = PK_ROW_WRITES | PK_ROW_ONCE },
};
static const struct pk_api_table test_table = { row, PK_COUNT(row) };
static const struct pk_api_table *const test_tables[] = { &test_table };

static void open_stage(struct house *house, uint32_t person_limit)
{
    const struct house_options options = {
        .table = test_tables,
        .table_count = 1,
        .rate = { [PK_RATE_PERSON] = { person_limit, 60000 } },
    };
    stage.runs = 0;
    stage.held = 0;
    (void)sem_init(&stage.go, 0, 0);
    house_open(house, &options);
}

static void close_stage(struct house *house)
{
    house_close(house);
    (void)sem_destroy(&stage.go);
}

static void ask(struct house *house, const char *method, const char *target, const char *headers,
                const char *body, int status, const char *code)
{
    struct reply reply = house_ask_with(house, method, target, house->admin, headers, body);
    expect(&reply, status, code);
    reply_done(&reply);
}

/* ---- Headers ---- */

TEST(accept_is_met_or_refused)
{
    struct house house;
    open_stage(&house, 0);
    static const struct {
        const char *accept;
        int json, text;
    } said[] = {
        { "*/*", 200, 200 },
        { "application/json", 200, 406 },
        { "APPLICATION/JSON;q=0.1", 200, 406 },
        { "application/*", 200, 406 },
        { "text/*, application/*;q=0.5", 200, 200 },
        { "text/html", 406, 406 },
        { "text/html, */*;q=0.1", 200, 200 },
        { "*/*, application/json;q=0", 406, 200 },
        { "*/*, application/json; q=0.000", 406, 200 },
        { "application/json;q=0.001, */*;q=0", 200, 406 },
        { "application/jsonx", 406, 406 },
        { "application/problem+json", 406, 406 },
        { "", 200, 200 },
    };
    for (size_t i = 0; i < PK_COUNT(said); i++) {
        char line[128];
        (void)snprintf(line, sizeof(line), "Accept: %s\r\n", said[i].accept);
        ask(&house, "GET", "/v1/thing", line, NULL, said[i].json,
            said[i].json == 406 ? "not_acceptable" : NULL);
        ask(&house, "GET", "/v1/text", line, NULL, said[i].text,
            said[i].text == 406 ? "not_acceptable" : NULL);
    }
    ask(&house, "GET", "/v1/thing", "Accept: text/html\r\nAccept: application/json\r\n", NULL, 200,
        NULL);
    close_stage(&house);
}

TEST(a_body_is_json_and_says_so)
{
    struct house house;
    open_stage(&house, 0);
    static const struct {
        const char *type;
        int status;
    } said[] = {
        { "Content-Type: application/json\r\n", 200 },
        { "Content-Type: Application/JSON; charset=UTF-8\r\n", 200 },
        { "Content-Type: application/json;charset=\"utf-8\"\r\n", 200 },
        { "Content-Type: application/json; charset=latin1\r\n", 415 },
        { "Content-Type: application/jsonp\r\n", 415 },
        { "Content-Type: text/plain\r\n", 415 },
        { "Content-Type: application/json\r\nContent-Type: application/json\r\n", 415 },
        { "Content-Type:\r\n", 415 },
    };
    for (size_t i = 0; i < PK_COUNT(said); i++) {
        struct reply reply =
            house_ask_with(&house, "POST", "/v1/thing", house.admin, said[i].type, "{'say':'a'}");
        expect(&reply, said[i].status, said[i].status == 415 ? "unsupported_media_type" : NULL);
        if (said[i].status == 415) {
            assert_string_equal(reply_header(&reply, "Accept"), "application/json");
        }
        reply_done(&reply);
    }
    struct reply reply = house_ask(&house, "POST", "/v1/thing", house.admin, NULL);
    expect(&reply, 415, "unsupported_media_type");
    reply_done(&reply);
    ask(&house, "POST", "/v1/thing", "Content-Type: application/json\r\n", "", 400, "invalid");
    static const char *const bad[] = { "{",
                                       "[]",
                                       "'x'",
                                       "{'say':'a'} {}",
                                       "{'say':'a','say':'b'}",
                                       "{'say':1}",
                                       "{}",
                                       "{'say':'0123456789'}" };
    for (size_t i = 0; i < PK_COUNT(bad); i++) {
        ask(&house, "POST", "/v1/thing", NULL, bad[i], 400, "invalid");
    }
    assert_int_equal(stage.runs, 3);
    close_stage(&house);
}

TEST(versions_are_matched_strongly)
{
    struct house house;
    open_stage(&house, 0);
    static const struct {
        const char *match;
        int status;
        int64_t version;
    } said[] = {
        { "\"42\"", 200, 42 },
        { "*", 200, 0 },
        { "\"9223372036854775807\"", 200, INT64_MAX },
        { "W/\"42\"", 412, 0 },
        { "\"042\"", 412, 0 },
        { "\"\"", 412, 0 },
        { "\"9223372036854775808\"", 412, 0 },
        { "\"abc\"", 412, 0 },
        { "\"1\", \"2\"", 412, 0 }, /* Nothing is stored that could be one of them. */
        { "42", 400, 0 },
        { "\"42", 400, 0 },
        { "\"1\" \"2\"", 400, 0 },
        { ",", 400, 0 },
        { "", 400, 0 },
    };
    for (size_t i = 0; i < PK_COUNT(said); i++) {
        char line[128];
        (void)snprintf(line, sizeof(line), "If-Match: %s\r\n", said[i].match);
        struct reply reply = house_ask_with(&house, "PUT", "/v1/thing", house.admin, line, NULL);
        if (reply.status != said[i].status) {
            fail_msg("If-Match: %s is %d: %s", said[i].match, reply.status, reply.body);
        }
        if (reply.status == 200) {
            assert_int_equal(reply_number(&reply, "version"), said[i].version);
        }
        reply_done(&reply);
    }
    ask(&house, "PUT", "/v1/thing", "If-Match: \"1\"\r\nIf-Match: \"1\"\r\n", NULL, 400, "invalid");
    ask(&house, "DELETE", "/v1/thing", "If-Match: \"1\"\r\n", NULL, 400, "invalid");
    ask(&house, "GET", "/v1/thing", "If-Match: \"1\"\r\n", NULL, 200, NULL);
    close_stage(&house);
}

TEST(a_list_of_versions_holds_the_stored_one)
{
    struct house house;
    char line[128];
    house_open(&house, NULL);
    struct reply reply = house_ask(&house, "GET", "/v1/actors/self", house.admin, NULL);
    (void)snprintf(line, sizeof(line), "If-Match: \"5\", %s , W/\"6\"\r\n",
                   reply_header(&reply, "ETag"));
    reply_done(&reply);
    ask(&house, "PATCH", "/v1/actors/" PK_ADMIN_ID, line, "{'name':'a'}", 200, NULL);
    ask(&house, "PATCH", "/v1/actors/" PK_ADMIN_ID, line, "{'name':'b'}", 412,
        "precondition_failed");
    house_close(&house);
}

TEST(head_is_get_without_its_body)
{
    struct house house;
    open_stage(&house, 0);
    struct reply reply = house_ask(&house, "HEAD", "/v1/thing", house.admin, NULL);
    assert_int_equal(reply.status, 200);
    assert_int_equal(reply.body_size, 0);
    assert_string_equal(reply_header(&reply, "ETag"), "\"7\"");
    reply_done(&reply);
    ask(&house, "GET", "/v1/thing", NULL, NULL, 200, NULL);
    reply =
        house_ask_with(&house, "GET", "/v1/thing", house.admin, "If-None-Match: \"7\"\r\n", NULL);
    assert_int_equal(reply.status, 304);
    reply_done(&reply);
    close_stage(&house);
}

TEST(parameters_that_no_row_declares_are_refused_by_name)
{
    struct house house;
    open_stage(&house, 0);
    ask(&house, "GET", "/v1/thing?number=3", NULL, NULL, 200, NULL);
    struct reply reply = house_ask(&house, "GET", "/v1/thing?numbr=3", house.admin, NULL);
    expect(&reply, 400, "invalid");
    assert_string_equal(reply_text(&reply, "field"), "numbr");
    assert_non_null(strstr(reply_text(&reply, "hint"), "'number'"));
    reply_done(&reply);
    ask(&house, "GET", "/v1/thing?limit=3", NULL, NULL, 400, "invalid");
    ask(&house, "GET", "/v1/people/" SEEN "/view?person=" SEEN, NULL, NULL, 400, "invalid");
    ask(&house, "GET", "/v1/thing?after=rubbish", NULL, NULL, 400, "invalid");
    ask(&house, "POST", "/v1/people/nobody/notes", NULL, NULL, 400, "invalid");
    close_stage(&house);
}

TEST(our_own_mistakes_are_told_to_the_log_alone)
{
    struct house house;
    open_stage(&house, 0);
    struct reply reply = house_ask(&house, "GET", "/v1/broken", house.admin, NULL);
    expect(&reply, 500, "internal");
    assert_null(strstr(reply.body, "damaged"));
    assert_null(strstr(reply.body, "secret"));
    reply_done(&reply);
    close_stage(&house);
}

TEST(writes_about_one_person_are_limited_and_those_about_others_are_not)
{
    struct house house;
    open_stage(&house, 2);
    for (int i = 0; i < 3; i++) {
        struct reply reply =
            house_ask(&house, "POST", "/v1/people/" SEEN "/notes", house.admin, NULL);
        expect(&reply, i < 2 ? 200 : 429, i < 2 ? NULL : "rate_limited");
        if (i == 2) {
            assert_int_equal(atoi(reply_header(&reply, "Retry-After")), 30);
        }
        reply_done(&reply);
    }
    ask(&house, "POST", "/v1/people/" UNSEEN "/notes", NULL, NULL, 200, NULL);
    close_stage(&house);
}

TEST(who_is_out_of_sight_is_missing_and_costs_nobodys_rate)
{
    struct house house;
    char key[PK_KEY_TEXT];
    open_stage(&house, 1);
    pk_doc_unref(
        house_actor(&house, "a", "{'grants':['write_observations'],'people':['" SEEN "']}", key));
    house_settle(&house);
    for (int i = 0; i < 3; i++) {
        struct reply reply = house_ask(&house, "POST", "/v1/people/" UNSEEN "/notes", key, NULL);
        expect(&reply, 404, "not_found");
        reply_done(&reply);
    }
    ask(&house, "POST", "/v1/people/" UNSEEN "/notes", NULL, NULL, 200, NULL);
    assert_int_equal(stage.runs, 1);
    close_stage(&house);
}

/* ---- The hot lane ---- */

TEST(a_ready_answer_is_sent_without_its_handler_to_who_may_have_it)
{
    struct house house;
    char one[PK_KEY_TEXT], hides[PK_KEY_TEXT], blind[PK_KEY_TEXT];
    open_stage(&house, 0);
    pk_doc_unref(house_actor(&house, "one", "{'grants':['curate'],'people':['*']}", one));
    pk_doc_unref(house_actor(
        &house, "hides", "{'grants':['curate'],'people':['*'],'hiddenPaths':['health']}", hides));
    pk_doc_unref(house_actor(&house, "blind", "{'grants':['curate']}", blind));
    house_settle(&house);
    const char *const view = "/v1/people/" SEEN "/view";
    const struct {
        const char *key;
        int status, runs;
    } turn[] = { { one, 200, 1 },   { one, 200, 1 },   { house.admin, 200, 1 }, { hides, 200, 2 },
                 { hides, 200, 2 }, { blind, 404, 2 }, { NULL, 401, 2 },        { one, 200, 2 } };
    for (size_t i = 0; i < PK_COUNT(turn); i++) {
        struct reply reply = house_ask(&house, "GET", view, turn[i].key, NULL);
        expect(&reply, turn[i].status, NULL);
        assert_int_equal(stage.runs, turn[i].runs);
        if (turn[i].status == 200) {
            assert_string_equal(reply_header(&reply, "ETag"), "\"7\"");
            assert_string_equal(reply_header(&reply, "Content-Type"), "application/json");
        }
        reply_done(&reply);
    }
    struct reply reply = house_ask_with(&house, "GET", view, one, "If-None-Match: \"7\"\r\n", NULL);
    assert_int_equal(reply.status, 304);
    reply_done(&reply);
    pk_hot_changed(house.hot, SEEN);
    reply = house_ask(&house, "GET", view, one, NULL);
    expect(&reply, 200, NULL);
    assert_int_equal(stage.runs, 3);
    reply_done(&reply);
    reply = house_ask(&house, "GET", "/v1/people/" SEEN "/view?x=1", one, NULL);
    expect(&reply, 400, "invalid"); /* Not what is ready for the path without it. */
    reply_done(&reply);
    close_stage(&house);
}

/* ---- Idempotency-Key ---- */

#define KEY "Idempotency-Key: 7f3a\r\n"

TEST(a_repeated_request_has_one_effect_and_one_answer)
{
    struct house house;
    house_open(&house, NULL);
    static const char *const body = "{'actorType':'human','name':'Ada'}";
    struct reply first = house_ask_with(&house, "POST", "/v1/actors", house.admin, KEY, body);
    expect(&first, 201, NULL);
    assert_null(reply_header(&first, "Idempotency-Replayed"));
    char etag[64], place[128];
    (void)snprintf(etag, sizeof(etag), "%s", reply_header(&first, "ETag"));
    (void)snprintf(place, sizeof(place), "%s", reply_header(&first, "Location"));
    for (int i = 0; i < 2; i++) {
        struct reply again = house_ask_with(&house, "POST", "/v1/actors", house.admin, KEY, body);
        expect(&again, 201, NULL);
        assert_string_equal(again.body, first.body);
        assert_string_equal(reply_header(&again, "ETag"), etag);
        assert_string_equal(reply_header(&again, "Location"), place);
        assert_string_equal(reply_header(&again, "Content-Type"), "application/json");
        assert_string_equal(reply_header(&again, "Idempotency-Replayed"), "true");
        reply_done(&again);
    }
    assert_int_equal(house_count(&house, "actors"), 2);
    struct reply reply = house_ask(&house, "GET", place, house.admin, NULL);
    assert_string_equal(reply_header(&reply, "ETag"), etag); /* The one that was foretold. */
    assert_string_equal(reply.body, first.body);
    reply_done(&reply);
    reply_done(&first);

    ask(&house, "POST", "/v1/actors", KEY, "{'actorType':'human','name':'Bob'}", 422,
        "idempotency_mismatch");
    ask(&house, "POST", "/v1/actors", "Idempotency-Key: a b\r\n", body, 400, "invalid");
    ask(&house, "POST", "/v1/actors", KEY KEY, body, 400, "invalid");
    ask(&house, "GET", "/v1/actors", KEY, NULL, 200, NULL); /* Ignored there. */
    assert_int_equal(house_count(&house, "actors"), 2);
    house_close(&house);
}

TEST(what_changed_nothing_is_kept_too)
{
    struct house house;
    char key[PK_KEY_TEXT];
    char suspend[128], resume[128];
    house_open(&house, NULL);
    struct pk_doc *actor = house_actor(&house, "a", "{}", key);
    (void)snprintf(suspend, sizeof(suspend), "/v1/actors/%s/suspend", pk_doc_id(actor));
    (void)snprintf(resume, sizeof(resume), "/v1/actors/%s/resume", pk_doc_id(actor));
    ask(&house, "POST", suspend, NULL, NULL, 200, NULL);
    ask(&house, "POST", suspend, KEY, NULL, 200, NULL); /* It is suspended already. */
    ask(&house, "POST", resume, NULL, NULL, 200, NULL);
    ask(&house, "POST", suspend, KEY, NULL, 200, NULL); /* Said before: not done again. */
    struct pk_doc *now = NULL;
    assert_ok(pk_actor_get(&house.books, pk_doc_id(actor), &now, &house.err), &house.err);
    assert_string_equal(pk_doc_text(now, "status"), "active");
    pk_doc_unref(now);
    pk_doc_unref(actor);
    house_close(&house);
}

TEST(a_secret_is_not_kept_and_not_shown_twice)
{
    struct house house;
    house_open(&house, NULL);
    struct reply reply = house_ask_with(&house, "POST", "/v1/actors/" PK_ADMIN_ID "/keys",
                                        house.admin, KEY, "{'name':'k'}");
    expect(&reply, 201, NULL);
    reply_done(&reply);
    ask(&house, "POST", "/v1/actors/" PK_ADMIN_ID "/keys", KEY, "{'name':'k'}", 409,
        "secret_already_shown");
    reply = house_ask(&house, "GET", "/v1/actors/" PK_ADMIN_ID "/keys", house.admin, NULL);
    assert_int_equal(reply_count(&reply, "items"), 2);
    reply_done(&reply);
    house_close(&house);
}

TEST(keys_of_repetition_belong_to_one_actor_and_one_route)
{
    struct house house;
    char other[PK_KEY_TEXT];
    house_open(&house, NULL);
    pk_doc_unref(house_actor(&house, "op", "{'grants':['operate']}", other));
    house_settle(&house);
    static const char *const body = "{'actorType':'human','name':'Ada'}";
    ask(&house, "POST", "/v1/actors", KEY, body, 201, NULL);
    struct reply reply = house_ask_with(&house, "POST", "/v1/actors", other, KEY, body);
    expect(&reply, 201, NULL);
    assert_null(reply_header(&reply, "Idempotency-Replayed"));
    reply_done(&reply);
    ask(&house, "POST", "/v1/actors/" PK_ADMIN_ID "/resume", KEY, NULL, 200, NULL);
    assert_int_equal(house_count(&house, "actors"), 4);
    house_close(&house);
}

TEST(a_failure_is_not_kept)
{
    struct house house;
    house_open(&house, NULL);
    static const char *const body = "{'actorType':'human','name':'b','email':'a@b.org'}";
    struct reply reply = house_ask(&house, "POST", "/v1/actors", house.admin, body);
    expect(&reply, 201, NULL);
    char place[128];
    (void)snprintf(place, sizeof(place), "%s", reply_header(&reply, "Location"));
    reply_done(&reply);
    ask(&house, "POST", "/v1/actors", KEY, body, 409, "conflict");
    ask(&house, "PATCH", place, NULL, "{'email':null}", 200, NULL);
    ask(&house, "POST", "/v1/actors", KEY, body, 201, NULL);
    house_close(&house);
}

static void *ask_to_hold(void *context)
{
    ask(context, "POST", "/v1/hold", KEY, NULL, 201, NULL);
    return NULL;
}

TEST(a_request_in_flight_is_409_and_then_its_answer_is_there)
{
    struct house house;
    pthread_t thread;
    open_stage(&house, 0);
    assert_int_equal(pthread_create(&thread, NULL, ask_to_hold, &house), 0);
    for (int i = 0; stage.held == 0; i++) {
        assert_true(i < 20000);
        (void)poll(NULL, 0, 1);
    }
    ask(&house, "POST", "/v1/hold", KEY, NULL, 409, "conflict");
    (void)sem_post(&stage.go);
    (void)pthread_join(thread, NULL);
    struct reply reply = house_ask_with(&house, "POST", "/v1/hold", house.admin, KEY, NULL);
    expect(&reply, 201, NULL);
    assert_string_equal(reply_header(&reply, "Idempotency-Replayed"), "true");
    reply_done(&reply);
    assert_int_equal(stage.runs, 1);
    assert_int_equal(house_count(&house, "settings"), 1);
    close_stage(&house);
}

/* A second node on the same store: its own memory of what is in flight. */
TEST(of_two_nodes_with_one_key_the_loser_gives_the_winners_answer)
{
    struct house house;
    pthread_t thread;
    open_stage(&house, 0);
    assert_int_equal(pthread_create(&thread, NULL, ask_to_hold, &house), 0);
    for (int i = 0; stage.held == 0; i++) {
        assert_true(i < 20000);
        (void)poll(NULL, 0, 1);
    }
    /* The other node: the row goes in while ours waits. */
    struct pk_idempotency *other = pk_idempotency_new(&house.books, 0);
    const struct pk_once_request request = { .actor_id = PK_ADMIN_ID,
                                             .key = "7f3a",
                                             .key_size = 4,
                                             .route = "POST /v1/hold",
                                             .target = "/v1/hold" };
    struct pk_once once = { 0 };
    struct pk_replay replay = { 0 };
    struct pk_writes list = { 0 };
    assert_ok(pk_once_begin(&once, other, &request, 0, &replay, &house.err), &house.err);
    const struct pk_fact header[] = { { "Location", "/v1/settings/theirs" }, { NULL, NULL } };
    const struct pk_once_answer answer = {
        .status = 201, .header = header, .body = "{\"theirs\":true}\n", .body_size = 16
    };
    pk_once_add(&once, &answer, &list);
    assert_ok(pk_store_commit(house.store, &list, 0, NULL, &house.err), &house.err);
    pk_writes_done(&list);
    pk_once_done(&once);
    pk_idempotency_free(other);

    (void)sem_post(&stage.go);
    (void)pthread_join(thread, NULL);
    assert_int_equal(house_count(&house, "settings"), 0);
    struct reply reply = house_ask_with(&house, "POST", "/v1/hold", house.admin, KEY, NULL);
    expect(&reply, 201, NULL);
    assert_string_equal(reply.body, "{\"theirs\":true}\n");
    assert_string_equal(reply_header(&reply, "Location"), "/v1/settings/theirs");
    reply_done(&reply);
    close_stage(&house);
}

/* ---- Read your writes, and who was let in too early ---- */

TEST(a_cursor_of_a_write_brings_that_write)
{
    struct house house;
    char cursor[PK_POSITION_TEXT];
    char target[512];
    house_open(&house, NULL);
    for (int i = 0; i < 20; i++) {
        struct reply reply = house_ask(&house, "POST", "/v1/actors", house.admin,
                                       "{'actorType':'human','name':'Ada'}");
        (void)snprintf(cursor, sizeof(cursor), "%s", reply_header(&reply, "PersonaKit-Cursor"));
        (void)snprintf(target, sizeof(target), "%s?after=%s", reply_header(&reply, "Location"),
                       cursor);
        reply_done(&reply);
        ask(&house, "GET", target, NULL, NULL, 200, NULL);
    }
    house_close(&house);
}

static void *suspend_meanwhile(void *context)
{
    ask(context, "POST", "/v1/hold", NULL, NULL, 201, NULL);
    return NULL;
}

TEST(who_is_suspended_while_his_request_waits_is_refused)
{
    struct house house;
    char key[PK_KEY_TEXT];
    pthread_t thread[16];
    open_stage(&house, 0);
    struct pk_doc *actor = house_actor(&house, "a", "{}", key);
    struct reply reply = house_ask(&house, "GET", "/v1/thing", key, NULL);
    expect(&reply, 200, NULL);
    reply_done(&reply);
    for (size_t i = 0; i < PK_COUNT(thread); i++) { /* All threads of the lane. */
        assert_int_equal(pthread_create(&thread[i], NULL, suspend_meanwhile, &house), 0);
    }
    for (int i = 0; stage.held < (int)PK_COUNT(thread); i++) {
        assert_true(i < 20000);
        (void)poll(NULL, 0, 1);
    }
    char bytes[256];
    (void)snprintf(bytes, sizeof(bytes),
                   "GET /v1/thing HTTP/1.1\r\nHost: here\r\nConnection: close\r\n"
                   "Authorization: Bearer %s\r\n\r\n",
                   key);
    const int fd = house_dial(&house);
    house_send(fd, bytes);
    struct pk_lane_stats lane;
    do { /* It has passed the gate, and waits for a thread. */
        pk_net_lane_stats(house.net, PK_LANE_STORE, &lane);
        (void)poll(NULL, 0, 1);
    } while (lane.waiting == 0);
    assert_ok(pk_actor_move(&house.books, &house.by, pk_doc_id(actor), 0, PK_ACTOR_SUSPEND, NULL,
                            &house.err),
              &house.err);
    house_settle(&house);
    for (size_t i = 0; i < PK_COUNT(thread); i++) {
        (void)sem_post(&stage.go);
    }
    reply = house_hear(fd);
    expect(&reply, 401, "unauthorized");
    assert_non_null(reply_header(&reply, "WWW-Authenticate"));
    reply_done(&reply);
    for (size_t i = 0; i < PK_COUNT(thread); i++) {
        (void)pthread_join(thread[i], NULL);
    }
    pk_doc_unref(actor);
    close_stage(&house);
}
