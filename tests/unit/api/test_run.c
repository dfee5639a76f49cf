/* test_run.c - What every request goes through, with rows made for it and with the real ones. */
/* SPDX-License-Identifier: MIT */
#include "allocations.h"
#include "stage.h"

#include "access/actor.h"
#include "access/admin.h"
#include "base/alloc.h"
#include "doc/doc.h"
#include "net/hot.h"

#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* ---- Headers ---- */

TEST(accept_is_met_or_refused)
{
    PK_CLEANUP(house_close) struct house house = { 0 };
    stage_open(&house, 0);
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
        stage_ask(&house, "GET", "/v1/thing", line, NULL, said[i].json,
                  said[i].json == 406 ? "not_acceptable" : NULL);
        stage_ask(&house, "GET", "/v1/text", line, NULL, said[i].text,
                  said[i].text == 406 ? "not_acceptable" : NULL);
    }
    stage_ask(&house, "GET", "/v1/thing", "Accept: text/html\r\nAccept: application/json\r\n", NULL,
              200, NULL);
    stage_close(&house);
}

TEST(a_body_is_json_and_says_so)
{
    PK_CLEANUP(house_close) struct house house = { 0 };
    stage_open(&house, 0);
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
    stage_ask(&house, "POST", "/v1/thing", "Content-Type: application/json\r\n", "", 400,
              "invalid");
    static const char *const bad[] = { "{",
                                       "[]",
                                       "'x'",
                                       "{'say':'a'} {}",
                                       "{'say':'a','say':'b'}",
                                       "{'say':1}",
                                       "{}",
                                       "{'say':'0123456789'}" };
    for (size_t i = 0; i < PK_COUNT(bad); i++) {
        stage_ask(&house, "POST", "/v1/thing", NULL, bad[i], 400, "invalid");
    }
    assert_int_equal(stage.runs, 3);
    stage_close(&house);
}

TEST(versions_are_matched_strongly)
{
    PK_CLEANUP(house_close) struct house house = { 0 };
    stage_open(&house, 0);
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
    stage_ask(&house, "PUT", "/v1/thing", "If-Match: \"1\"\r\nIf-Match: \"1\"\r\n", NULL, 400,
              "invalid");
    stage_ask(&house, "DELETE", "/v1/thing", "If-Match: \"1\"\r\n", NULL, 400, "invalid");
    stage_ask(&house, "GET", "/v1/thing", "If-Match: \"1\"\r\n", NULL, 200, NULL);
    stage_close(&house);
}

TEST(a_list_of_versions_holds_the_stored_one)
{
    PK_CLEANUP(house_close) struct house house = { 0 };
    char line[128];
    house_open(&house, NULL);
    struct reply reply = house_ask(&house, "GET", "/v1/actors/self", house.admin, NULL);
    (void)snprintf(line, sizeof(line), "If-Match: \"5\", %s , W/\"6\"\r\n",
                   reply_header(&reply, "ETag"));
    reply_done(&reply);
    stage_ask(&house, "PATCH", "/v1/actors/" PK_ADMIN_ID, line, "{'name':'a'}", 200, NULL);
    stage_ask(&house, "PATCH", "/v1/actors/" PK_ADMIN_ID, line, "{'name':'b'}", 412,
              "precondition_failed");
}

TEST(head_is_get_without_its_body)
{
    PK_CLEANUP(house_close) struct house house = { 0 };
    stage_open(&house, 0);
    struct reply reply = house_ask(&house, "HEAD", "/v1/thing", house.admin, NULL);
    assert_int_equal(reply.status, 200);
    assert_int_equal(reply.body_size, 0);
    assert_string_equal(reply_header(&reply, "ETag"), "\"7\"");
    reply_done(&reply);
    stage_ask(&house, "GET", "/v1/thing", NULL, NULL, 200, NULL);
    reply =
        house_ask_with(&house, "GET", "/v1/thing", house.admin, "If-None-Match: \"7\"\r\n", NULL);
    assert_int_equal(reply.status, 304);
    reply_done(&reply);
    stage_close(&house);
}

TEST(parameters_that_no_row_declares_are_refused_by_name)
{
    PK_CLEANUP(house_close) struct house house = { 0 };
    stage_open(&house, 0);
    stage_ask(&house, "GET", "/v1/thing?number=3", NULL, NULL, 200, NULL);
    struct reply reply = house_ask(&house, "GET", "/v1/thing?numbr=3", house.admin, NULL);
    expect(&reply, 400, "invalid");
    assert_string_equal(reply_text(&reply, "field"), "numbr");
    assert_non_null(strstr(reply_text(&reply, "hint"), "'number'"));
    reply_done(&reply);
    stage_ask(&house, "GET", "/v1/thing?limit=3", NULL, NULL, 400, "invalid");
    stage_ask(&house, "GET", "/v1/people/" SEEN "/view?person=" SEEN, NULL, NULL, 400, "invalid");
    stage_ask(&house, "GET", "/v1/thing?after=rubbish", NULL, NULL, 400, "invalid");
    stage_ask(&house, "POST", "/v1/people/nobody/notes", NULL, NULL, 400, "invalid");
    stage_close(&house);
}

TEST(our_own_mistakes_are_told_to_the_log_alone)
{
    PK_CLEANUP(house_close) struct house house = { 0 };
    stage_open(&house, 0);
    struct reply reply = house_ask(&house, "GET", "/v1/broken", house.admin, NULL);
    expect(&reply, 500, "internal");
    assert_null(strstr(reply.body, "damaged"));
    assert_null(strstr(reply.body, "secret"));
    reply_done(&reply);
    stage_close(&house);
}

TEST(the_stores_own_words_are_not_for_clients)
{
    static const char *const method[] = { "GET", "POST" };
    static const char *const code[] = { "store_unavailable", "outcome_unknown" };
    PK_CLEANUP(house_close) struct house house = { 0 };
    stage_open(&house, 0);
    for (size_t i = 0; i < PK_COUNT(method); i++) {
        struct reply reply = house_ask(&house, method[i], "/v1/away", house.admin, NULL);
        expect(&reply, 503, code[i]);
        assert_non_null(reply_header(&reply, "Retry-After"));
        assert_true(*reply_text(&reply, "hint") != '\0');
        assert_null(strstr(reply.body, "secret"));
        reply_done(&reply);
    }
    stage_close(&house);
}

TEST(writes_about_one_person_are_limited_and_those_about_others_are_not)
{
    PK_CLEANUP(house_close) struct house house = { 0 };
    stage_open(&house, 2);
    for (int i = 0; i < 3; i++) {
        struct reply reply =
            house_ask(&house, "POST", "/v1/people/" SEEN "/notes", house.admin, NULL);
        expect(&reply, i < 2 ? 200 : 429, i < 2 ? NULL : "rate_limited");
        if (i == 2) {
            assert_int_equal(atoi(reply_header(&reply, "Retry-After")), 30);
        }
        reply_done(&reply);
    }
    stage_ask(&house, "POST", "/v1/people/" UNSEEN "/notes", NULL, NULL, 200, NULL);
    stage_close(&house);
}

TEST(who_is_out_of_sight_is_missing_and_costs_nobodys_rate)
{
    PK_CLEANUP(house_close) struct house house = { 0 };
    char key[PK_KEY_TEXT];
    stage_open(&house, 1);
    pk_doc_unref(
        house_actor(&house, "a", "{'grants':['write_observations'],'people':['" SEEN "']}", key));
    house_settle(&house);
    for (int i = 0; i < 3; i++) {
        struct reply reply = house_ask(&house, "POST", "/v1/people/" UNSEEN "/notes", key, NULL);
        expect(&reply, 404, "not_found");
        reply_done(&reply);
    }
    stage_ask(&house, "POST", "/v1/people/" UNSEEN "/notes", NULL, NULL, 200, NULL);
    assert_int_equal(stage.runs, 1);
    stage_close(&house);
}

/* ---- The hot lane ---- */

TEST(a_ready_answer_is_sent_without_its_handler_to_who_may_have_it)
{
    PK_CLEANUP(house_close) struct house house = { 0 };
    char one[PK_KEY_TEXT], hides[PK_KEY_TEXT], blind[PK_KEY_TEXT];
    stage_open(&house, 0);
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
    stage_close(&house);
}

/* Asks 'count' times on one connection; returns what was allocated meanwhile. */
static uint64_t ask_on(int fd, const char *request, size_t count)
{
    const uint64_t before = allocations();
    for (size_t i = 0; i < count; i++) {
        char text[4096];
        ssize_t size = 0;
        house_send(fd, request);
        do {
            const ssize_t got = recv(fd, text + size, sizeof(text) - 1 - (size_t)size, 0);
            assert_true(got > 0);
            size += got;
            text[size] = '\0';
        } while (!strstr(text, "}\n"));
        assert_memory_equal(text, "HTTP/1.1 200", 12);
    }
    return allocations() - before;
}

TEST(a_ready_answer_allocates_nothing_with_key_and_rates)
{
    enum { ROUND = 20000, OTHERS = 800 }; /* Others: the feed, health. */
    PK_CLEANUP(house_close) struct house house = { 0 };
    char request[512];
    const struct house_options options = {
        .table = stage_tables,
        .table_count = 1,
        .rate = { [PK_RATE_KEY] = { 1000000, 1000 }, [PK_RATE_ADDRESS] = { 1000000, 1000 } }
    };
    if (!allocations_are_counted()) {
        return; /* A sanitizer has the allocator; the other builds count. */
    }
    stage.runs = 0;
    house_open(&house, &options);
    (void)snprintf(request, sizeof(request),
                   "GET /v1/people/" SEEN "/view HTTP/1.1\r\nHost: here\r\n"
                   "Authorization: Bearer %s\r\n\r\n",
                   house.admin);
    const int fd = house_dial(&house);
    (void)ask_on(fd, request, 100);
    assert_int_equal(stage.runs, 1);
    assert_in_range(ask_on(fd, request, ROUND), 0, OTHERS);
    (void)close(fd);
}

/* ---- Read your writes, and who was let in too early ---- */

TEST(a_cursor_of_a_write_brings_that_write)
{
    PK_CLEANUP(house_close) struct house house = { 0 };
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
        stage_ask(&house, "GET", target, NULL, NULL, 200, NULL);
    }
}

static void *hold_a_thread(void *context)
{
    stage_ask(context, "POST", "/v1/hold", NULL, NULL, 201, NULL);
    return NULL;
}

/* A request of 'key' passes the gate and waits for a thread; 'meanwhile' something happens to its
 * actor; then it goes on. */
static struct reply ask_and_wait(struct house *house, const char *target, const char *key,
                                 void (*meanwhile)(struct house *house, const char *actor),
                                 const char *actor)
{
    pthread_t thread[16];
    char bytes[512];
    struct pk_lane_stats lane;

    for (size_t i = 0; i < PK_COUNT(thread); i++) { /* All threads of the lane. */
        assert_int_equal(pthread_create(&thread[i], NULL, hold_a_thread, house), 0);
    }
    for (int i = 0; stage.held < (int)PK_COUNT(thread); i++) {
        assert_true(i < PK_TEST_PATIENCE_MS);
        (void)poll(NULL, 0, 1);
    }
    (void)snprintf(bytes, sizeof(bytes),
                   "GET %s HTTP/1.1\r\nHost: here\r\nConnection: close\r\n"
                   "Authorization: Bearer %s\r\n\r\n",
                   target, key);
    const int fd = house_dial(house);
    house_send(fd, bytes);
    do {
        pk_net_lane_stats(house->net, PK_LANE_STORE, &lane);
        (void)poll(NULL, 0, 1);
    } while (lane.waiting == 0);
    meanwhile(house, actor);
    house_settle(house);
    for (size_t i = 0; i < PK_COUNT(thread); i++) {
        (void)sem_post(&stage.go);
    }
    const struct reply reply = house_hear(fd);
    for (size_t i = 0; i < PK_COUNT(thread); i++) {
        (void)pthread_join(thread[i], NULL);
    }
    return reply;
}

static void be_suspended(struct house *house, const char *actor)
{
    assert_ok(
        pk_actor_move(&house->books, &house->by, actor, 0, PK_ACTOR_SUSPEND, NULL, &house->err),
        &house->err);
}

/* Of two people he could see he may see one no more. */
static void see_less(struct house *house, const char *actor)
{
    bson_t wanted = BSON_INITIALIZER;
    bson_t capabilities;
    bson_t people;
    BSON_APPEND_DOCUMENT_BEGIN(&wanted, "capabilities", &capabilities);
    BSON_APPEND_ARRAY_BEGIN(&capabilities, "people", &people);
    BSON_APPEND_UTF8(&people, "0", UNSEEN);
    bson_append_array_end(&capabilities, &people);
    bson_append_document_end(&wanted, &capabilities);
    assert_ok(pk_actor_change(&house->books, &house->by, actor, 0, &wanted, NULL, &house->err),
              &house->err);
    bson_destroy(&wanted);
}

TEST(who_is_suspended_while_his_request_waits_is_refused)
{
    PK_CLEANUP(house_close) struct house house = { 0 };
    char key[PK_KEY_TEXT];
    stage_open(&house, 0);
    struct pk_doc *actor = house_actor(&house, "a", "{}", key);
    stage_ask(&house, "GET", "/v1/thing", NULL, NULL, 200, NULL);
    struct reply reply = house_ask(&house, "GET", "/v1/thing", key, NULL);
    expect(&reply, 200, NULL);
    reply_done(&reply);
    reply = ask_and_wait(&house, "/v1/thing", key, be_suspended, pk_doc_id(actor));
    expect(&reply, 401, "unauthorized");
    assert_non_null(reply_header(&reply, "WWW-Authenticate"));
    reply_done(&reply);
    pk_doc_unref(actor);
    stage_close(&house);
}

TEST(who_loses_sight_of_a_person_while_his_request_waits_does_not_see_it)
{
    PK_CLEANUP(house_close) struct house house = { 0 };
    char key[PK_KEY_TEXT];
    stage_open(&house, 0);
    struct pk_doc *actor =
        house_actor(&house, "a", "{'grants':['curate'],'people':['" SEEN "']}", key);
    struct reply reply = house_ask(&house, "GET", "/v1/thing", key, NULL);
    expect(&reply, 200, NULL);
    reply_done(&reply);
    reply = ask_and_wait(&house, "/v1/people/" SEEN "/view", key, see_less, pk_doc_id(actor));
    expect(&reply, 404, "not_found");
    reply_done(&reply);
    pk_doc_unref(actor);
    stage_close(&house);
}
