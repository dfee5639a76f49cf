/* test_once.c - Idempotency-Key: one effect and one answer, whoever repeats it, and wherever. */
/* SPDX-License-Identifier: MIT */
#include "stage.h"

#include "access/actor.h"
#include "access/admin.h"
#include "access/idempotency.h"
#include "base/clock.h"
#include "doc/doc.h"

#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

TEST(a_repeated_request_has_one_effect_and_one_answer)
{
    PK_CLEANUP(house_close) struct house house = { 0 };
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

    stage_ask(&house, "POST", "/v1/actors", KEY, "{'actorType':'human','name':'Bob'}", 422,
              "idempotency_mismatch");
    stage_ask(&house, "POST", "/v1/actors", "Idempotency-Key: a b\r\n", body, 400, "invalid");
    stage_ask(&house, "POST", "/v1/actors", KEY KEY, body, 400, "invalid");
    stage_ask(&house, "GET", "/v1/actors", KEY, NULL, 200, NULL); /* Ignored there. */
    assert_int_equal(house_count(&house, "actors"), 2);
}

TEST(what_changed_nothing_is_kept_too)
{
    PK_CLEANUP(house_close) struct house house = { 0 };
    char key[PK_KEY_TEXT];
    char suspend[128], resume[128];
    house_open(&house, NULL);
    struct pk_doc *actor = house_actor(&house, "a", "{}", key);
    (void)snprintf(suspend, sizeof(suspend), "/v1/actors/%s/suspend", pk_doc_id(actor));
    (void)snprintf(resume, sizeof(resume), "/v1/actors/%s/resume", pk_doc_id(actor));
    stage_ask(&house, "POST", suspend, NULL, NULL, 200, NULL);
    stage_ask(&house, "POST", suspend, KEY, NULL, 200, NULL); /* It is suspended already. */
    stage_ask(&house, "POST", resume, NULL, NULL, 200, NULL);
    stage_ask(&house, "POST", suspend, KEY, NULL, 200, NULL); /* Said before: not done again. */
    struct pk_doc *now = NULL;
    assert_ok(pk_actor_get(&house.books, pk_doc_id(actor), &now, &house.err), &house.err);
    assert_string_equal(pk_doc_text(now, "status"), "active");
    pk_doc_unref(now);
    pk_doc_unref(actor);
}

TEST(a_secret_is_not_kept_and_not_shown_twice)
{
    PK_CLEANUP(house_close) struct house house = { 0 };
    house_open(&house, NULL);
    struct reply reply = house_ask_with(&house, "POST", "/v1/actors/" PK_ADMIN_ID "/keys",
                                        house.admin, KEY, "{'name':'k'}");
    expect(&reply, 201, NULL);
    reply_done(&reply);
    stage_ask(&house, "POST", "/v1/actors/" PK_ADMIN_ID "/keys", KEY, "{'name':'k'}", 409,
              "secret_already_shown");
    reply = house_ask(&house, "GET", "/v1/actors/" PK_ADMIN_ID "/keys", house.admin, NULL);
    assert_int_equal(reply_count(&reply, "items"), 2);
    reply_done(&reply);
}

TEST(keys_of_repetition_belong_to_one_actor_and_one_route)
{
    PK_CLEANUP(house_close) struct house house = { 0 };
    char other[PK_KEY_TEXT];
    house_open(&house, NULL);
    pk_doc_unref(house_actor(&house, "op", "{'grants':['operate']}", other));
    house_settle(&house);
    static const char *const body = "{'actorType':'human','name':'Ada'}";
    stage_ask(&house, "POST", "/v1/actors", KEY, body, 201, NULL);
    struct reply reply = house_ask_with(&house, "POST", "/v1/actors", other, KEY, body);
    expect(&reply, 201, NULL);
    assert_null(reply_header(&reply, "Idempotency-Replayed"));
    reply_done(&reply);
    stage_ask(&house, "POST", "/v1/actors/" PK_ADMIN_ID "/resume", KEY, NULL, 200, NULL);
    assert_int_equal(house_count(&house, "actors"), 4);
}

TEST(a_failure_is_not_kept)
{
    PK_CLEANUP(house_close) struct house house = { 0 };
    house_open(&house, NULL);
    static const char *const body = "{'actorType':'human','name':'b','email':'a@b.org'}";
    struct reply reply = house_ask(&house, "POST", "/v1/actors", house.admin, body);
    expect(&reply, 201, NULL);
    char place[128];
    (void)snprintf(place, sizeof(place), "%s", reply_header(&reply, "Location"));
    reply_done(&reply);
    stage_ask(&house, "POST", "/v1/actors", KEY, body, 409, "conflict");
    stage_ask(&house, "PATCH", place, NULL, "{'email':null}", 200, NULL);
    stage_ask(&house, "POST", "/v1/actors", KEY, body, 201, NULL);
}

static void *ask_to_hold(void *context)
{
    stage_ask(context, "POST", "/v1/hold", KEY, NULL, 201, NULL);
    return NULL;
}

TEST(a_request_in_flight_is_409_and_then_its_answer_is_there)
{
    PK_CLEANUP(house_close) struct house house = { 0 };
    pthread_t thread;
    stage_open(&house, 0);
    assert_int_equal(pthread_create(&thread, NULL, ask_to_hold, &house), 0);
    for (int i = 0; stage.held == 0; i++) {
        assert_true(i < PK_TEST_PATIENCE_MS);
        (void)poll(NULL, 0, 1);
    }
    stage_ask(&house, "POST", "/v1/hold", KEY, NULL, 409, "conflict");
    (void)sem_post(&stage.go);
    (void)pthread_join(thread, NULL);
    struct reply reply = house_ask_with(&house, "POST", "/v1/hold", house.admin, KEY, NULL);
    expect(&reply, 201, NULL);
    assert_string_equal(reply_header(&reply, "Idempotency-Replayed"), "true");
    reply_done(&reply);
    assert_int_equal(stage.runs, 1);
    assert_int_equal(house_count(&house, "settings"), 1);
    stage_close(&house);
}

/* A second node on the same store: its own memory of what is in flight. */
TEST(of_two_nodes_with_one_key_the_loser_gives_the_winners_answer)
{
    PK_CLEANUP(house_close) struct house house = { 0 };
    pthread_t thread;
    stage_open(&house, 0);
    assert_int_equal(pthread_create(&thread, NULL, ask_to_hold, &house), 0);
    for (int i = 0; stage.held == 0; i++) {
        assert_true(i < PK_TEST_PATIENCE_MS);
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
    assert_true(stage.runs <=
                2); /* The second decision sees it, and not when their time is over. */
    assert_int_equal(house_count(&house, "settings"), 0);
    struct reply reply = house_ask_with(&house, "POST", "/v1/hold", house.admin, KEY, NULL);
    expect(&reply, 201, NULL);
    assert_string_equal(reply.body, "{\"theirs\":true}\n");
    assert_string_equal(reply_header(&reply, "Location"), "/v1/settings/theirs");
    reply_done(&reply);
    stage_close(&house);
}
