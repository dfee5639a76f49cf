/* test_gate.c - Keys, rates and doors, over sockets. */
/* SPDX-License-Identifier: MIT */
#include "house.h"

#include "access/actor.h"
#include "access/admin.h"
#include "base/alloc.h"
#include "feed/watch.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void ask_expect(struct house *house, const char *headers, int status, const char *code)
{
    struct reply reply = house_ask_with(house, "GET", "/v1/actors/self", NULL, headers, NULL);
    expect(&reply, status, code);
    reply_done(&reply);
}

TEST(a_key_lets_in_and_its_scheme_is_spelt_in_any_case)
{
    static const char *const scheme[] = { "Bearer ", "bearer ", "BEARER ", "BeArEr   " };
    PK_CLEANUP(house_close) struct house house = { 0 };
    house_open(&house, NULL);
    for (size_t i = 0; i < PK_COUNT(scheme); i++) {
        char line[256];
        (void)snprintf(line, sizeof(line), "Authorization: %s%s\r\n", scheme[i], house.admin);
        ask_expect(&house, line, 200, NULL);
    }
}

TEST(who_sends_no_key_or_a_bad_one_is_challenged)
{
    PK_CLEANUP(house_close) struct house house = { 0 };
    house_open(&house, NULL);
    struct reply reply = house_ask(&house, "GET", "/v1/actors/self", NULL, NULL);
    expect(&reply, 401, "unauthorized");
    assert_string_equal(reply_header(&reply, "WWW-Authenticate"), "Bearer realm=\"personakit\"");
    reply_done(&reply);
    static const char *const bad[] = { "Bearer", "Bearer x", "Basic YTpi", "Bearerx", "" };
    for (size_t i = 0; i < PK_COUNT(bad); i++) {
        char line[256];
        (void)snprintf(line, sizeof(line), "Authorization: %s\r\n", bad[i]);
        reply = house_ask_with(&house, "GET", "/v1/actors/self", NULL, line, NULL);
        expect(&reply, 401, "unauthorized");
        assert_string_equal(reply_header(&reply, "WWW-Authenticate"),
                            "Bearer realm=\"personakit\", error=\"invalid_token\"");
        reply_done(&reply);
    }
}

TEST(two_authorization_headers_are_refused_even_if_one_is_right)
{
    PK_CLEANUP(house_close) struct house house = { 0 };
    char lines[512];
    house_open(&house, NULL);
    (void)snprintf(lines, sizeof(lines), "Authorization: Bearer %s\r\nAuthorization: Bearer %s\r\n",
                   house.admin, house.admin);
    ask_expect(&house, lines, 400, "invalid");
}

TEST(refusals_of_keys_are_the_same_in_every_byte_but_the_request_id)
{
    PK_CLEANUP(house_close) struct house house = { 0 };
    char expired[PK_KEY_TEXT], revoked[PK_KEY_TEXT], suspended[PK_KEY_TEXT];
    house_open(&house, NULL);
    struct pk_doc *actor = house_actor(&house, "a", "{}", revoked);
    house_expired_key(&house, pk_doc_id(actor), expired);
    struct pk_key gone = house_key(&house, pk_doc_id(actor), 0, revoked);
    assert_ok(pk_actor_revoke_key(&house.books, &house.by, pk_doc_id(actor), 0, gone.id, NULL,
                                  &house.err),
              &house.err);
    struct pk_doc *other = house_actor(&house, "b", "{}", suspended);
    assert_ok(pk_actor_move(&house.books, &house.by, pk_doc_id(other), 0, PK_ACTOR_SUSPEND, NULL,
                            &house.err),
              &house.err);
    house_settle(&house);
    struct pk_key unknown;
    char unknown_text[PK_KEY_TEXT];
    pk_key_new(&unknown);
    pk_key_print(&unknown, unknown_text);
    const char *const key[] = { unknown_text, expired, revoked, suspended };
    for (size_t i = 0; i < PK_COUNT(key); i++) {
        struct reply reply = house_ask_with(&house, "GET", "/v1/actors/self", key[i],
                                            "X-Request-Id: same\r\n", NULL);
        expect(&reply, 401, "unauthorized");
        static char first[4096];
        if (i == 0) {
            (void)snprintf(first, sizeof(first), "%s", reply.body);
        }
        assert_string_equal(first, reply.body);
        reply_done(&reply);
    }
    pk_doc_unref(actor);
    pk_doc_unref(other);
}

/* From the revocation to the last request that is still let in, counted from when it is asked. */
#define TWO_SECONDS_NS INT64_C(2000000000)

TEST(a_revoked_key_and_a_suspended_actor_are_out_within_two_seconds)
{
    PK_CLEANUP(house_close) struct house house = { 0 };
    char key[PK_KEY_TEXT];
    house_open(&house, NULL);
    struct pk_doc *actor = house_actor(&house, "a", "{}", key);
    struct reply reply = house_ask(&house, "GET", "/v1/actors/self", key, NULL);
    expect(&reply, 200, NULL);
    reply_done(&reply);
    const int64_t start_ns = pk_clock_mono_ns(pk_clock_system());
    assert_ok(pk_actor_move(&house.books, &house.by, pk_doc_id(actor), 0, PK_ACTOR_SUSPEND, NULL,
                            &house.err),
              &house.err);
    int status = 0;
    while (status != 401) { /* 503: the feed is late, and so nobody is let in. */
        const int64_t asked_ns = pk_clock_mono_ns(pk_clock_system());
        reply = house_ask(&house, "GET", "/v1/actors/self", key, NULL);
        status = reply.status;
        reply_done(&reply);
        assert_true(status != 200 || asked_ns - start_ns < TWO_SECONDS_NS);
    }
    pk_doc_unref(actor);
}

struct flood {
    struct house *house;
    _Atomic uint64_t written; /* Events. */
    atomic_bool is_over;
};

static void *write_flood(void *argument)
{
    struct flood *flood = argument;
    struct house *house = flood->house;
    enum { EVENTS = 400 };
    while (!flood->is_over) {
        PK_CLEANUP(pk_writes_done) struct pk_writes list = { 0 };
        for (size_t i = 0; i < EVENTS; i++) {
            const struct pk_news news = { .type = "mindscape.updated",
                                          .entity_type = "mindscape",
                                          .entity_id = "m" };
            pk_news_add(&list, &house->books, &news);
        }
        if (!pk_store_commit(house->store, &list, 0, NULL, NULL)) {
            break;
        }
        flood->written += EVENTS;
    }
    return NULL;
}

TEST(a_revocation_counts_within_two_seconds_behind_a_flood_of_events)
{
    enum { FLOOD = 30000 };
    PK_CLEANUP(house_close) struct house house = { 0 };
    struct flood flood = { .house = &house };
    pthread_t writer;
    char key[PK_KEY_TEXT];
    house_open(&house, NULL);
    struct pk_doc *actor = house_actor(&house, "a", "{}", key);
    const struct pk_key made = house_key(&house, pk_doc_id(actor), 0, key);
    struct reply reply = house_ask(&house, "GET", "/v1/actors/self", key, NULL);
    expect(&reply, 200, NULL);
    reply_done(&reply);
    assert_int_equal(pthread_create(&writer, NULL, write_flood, &flood), 0);
    while (flood.written < FLOOD) {
        (void)sched_yield();
    }
    assert_ok(pk_actor_revoke_key(&house.books, &house.by, pk_doc_id(actor), 0, made.id, NULL,
                                  &house.err),
              &house.err);
    const int64_t revoked_ns = pk_clock_mono_ns(pk_clock_system());
    int64_t last_ns = revoked_ns; /* When the last request was asked that was let in. */
    for (int status = 200; status == 200;) {
        const int64_t asked_ns = pk_clock_mono_ns(pk_clock_system());
        reply = house_ask(&house, "GET", "/v1/actors/self", key, NULL);
        status = reply.status;
        last_ns = status == 200 ? asked_ns : last_ns;
        reply_done(&reply);
    }
    const int64_t took_ms = (pk_clock_mono_ns(pk_clock_system()) - revoked_ns) / 1000000;
    printf("# refused %lld ms after the revocation, behind %llu events\n", (long long)took_ms,
           (unsigned long long)flood.written);
    flood.is_over = true;
    (void)pthread_join(writer, NULL);
    assert_true(last_ns - revoked_ns < TWO_SECONDS_NS);
    pk_doc_unref(actor);
}

TEST(a_store_that_falls_silent_is_503_and_not_401)
{
    PK_CLEANUP(house_close) struct house house = { 0 };
    house_open(&house, NULL);
    struct reply reply = house_ask(&house, "GET", "/v1/actors/self", house.admin, NULL);
    expect(&reply, 200, NULL);
    reply_done(&reply);
    pk_watch_stop(house.watch); /* The feed is not heard any more. */
    int status = 200;
    for (int i = 0; status == 200; i++) {
        reply = house_ask(&house, "GET", "/v1/actors/self", house.admin, NULL);
        status = reply.status;
        if (status != 200) {
            expect(&reply, 503, "store_unavailable");
            assert_non_null(reply_header(&reply, "Retry-After"));
        }
        reply_done(&reply);
        assert_true(i < 1000000);
    }
    reply = house_ask(&house, "GET", "/healthz", NULL, NULL);
    expect(&reply, 200, NULL);
    reply_done(&reply);
}

TEST(public_pages_need_no_key_and_look_at_none)
{
    static const char *const page[] = { "/healthz", "/readyz", "/openapi.json" };
    PK_CLEANUP(house_close) struct house house = { 0 };
    house_open(&house, NULL);
    for (size_t i = 0; i < PK_COUNT(page); i++) {
        struct reply reply = house_ask(&house, "GET", page[i], NULL, NULL);
        expect(&reply, 200, NULL);
        reply_done(&reply);
        reply = house_ask(&house, "GET", page[i], "rubbish", NULL);
        expect(&reply, 200, NULL);
        reply_done(&reply);
    }
}

TEST(readiness_shows_its_reasons_to_operators_only)
{
    PK_CLEANUP(house_close) struct house house = { 0 };
    char key[PK_KEY_TEXT];
    house_open(&house, NULL);
    pk_doc_unref(house_actor(&house, "a", "{'grants':['curate']}", key));
    struct pk_key unknown;
    char unknown_text[PK_KEY_TEXT];
    pk_key_new(&unknown);
    pk_key_print(&unknown, unknown_text);
    const struct {
        const char *key;
        bool has_detail;
    } who[] = { { NULL, false },
                { "rubbish", false },
                { key, false },
                { unknown_text, false },
                { house.admin, true } };
    for (size_t i = 0; i < PK_COUNT(who); i++) {
        struct reply reply = house_ask(&house, "GET", "/readyz", who[i].key, NULL);
        expect(&reply, 200, NULL);
        assert_int_equal(reply_count(&reply, "checks") > 0, who[i].has_detail);
        reply_done(&reply);
    }
    struct reply reply = house_ask_door(&house, "/readyz");
    expect(&reply, 200, NULL);
    assert_true(reply_count(&reply, "checks") > 0);
    reply_done(&reply);
}

/* Whether /readyz, which must say 503, tells the one with 'key' why. */
static bool is_told_why(struct house *house, const char *key)
{
    struct reply reply = house_ask(house, "GET", "/readyz", key, NULL);
    assert_int_equal(reply.status, 503);
    const bool is_told = reply_count(&reply, "checks") > 0;
    reply_done(&reply);
    return is_told;
}

TEST(readiness_shows_why_nobody_can_be_confirmed_to_operators_who_were)
{
    PK_CLEANUP(house_close) struct house house = { 0 };
    char curator[PK_KEY_TEXT];
    char revoked[PK_KEY_TEXT];
    char unused[PK_KEY_TEXT];
    house_open(&house, NULL);
    pk_doc_unref(house_actor(&house, "a", "{'grants':['curate']}", curator));
    struct pk_doc *runner = house_actor(&house, "b", "{'grants':['operate']}", unused);
    const struct pk_key ended = house_key(&house, pk_doc_id(runner), 0, revoked);
    const char *const seen[] = { house.admin, curator, revoked };
    for (size_t i = 0; i < PK_COUNT(seen); i++) {
        struct reply reply = house_ask(&house, "GET", "/v1/actors/self", seen[i], NULL);
        expect(&reply, 200, NULL);
        reply_done(&reply);
    }
    assert_ok(pk_actor_revoke_key(&house.books, &house.by, pk_doc_id(runner), 0, ended.id, NULL,
                                  &house.err),
              &house.err);
    house_settle(&house);
    pk_watch_stop(house.watch);
    for (int status = 200, i = 0; status == 200; i++) {
        struct reply reply = house_ask(&house, "GET", "/readyz", NULL, NULL);
        status = reply.status;
        reply_done(&reply);
        assert_true(i < 1000000);
    }
    assert_true(is_told_why(&house, house.admin));
    assert_false(is_told_why(&house, NULL));
    assert_false(is_told_why(&house, curator));
    assert_false(is_told_why(&house, revoked)); /* That was heard in time. */
    assert_false(is_told_why(&house, unused));  /* Nobody has asked whose it is. */
    char wrong[PK_KEY_TEXT];
    memcpy(wrong, house.admin, sizeof(wrong));
    wrong[PK_KEY_SIZE - 2] = wrong[PK_KEY_SIZE - 2] == 'a' ? 'b' : 'a';
    assert_false(is_told_why(&house, wrong));
    pk_doc_unref(runner);
}

TEST(the_operations_listener_has_four_pages_and_nothing_else)
{
    PK_CLEANUP(house_close) struct house house = { 0 };
    size_t open = 0;
    house_open(&house, NULL);
    for (size_t i = 0; i < pk_api_row_count(); i++) {
        const struct pk_api_row *row = pk_api_row_at(i);
        if (row->method != PK_METHOD_GET) {
            continue;
        }
        struct reply reply = house_ask_door(&house, row->path);
        if (row->flags & PK_ROW_DOOR) {
            open++;
            assert_true(reply.status == 200 || strcmp(row->path, "/metrics") == 0);
            assert_true(reply.status != 401 && reply.status != 403);
        } else {
            expect(&reply, 404, "not_found");
        }
        reply_done(&reply);
    }
    assert_int_equal(open, 4);
}

TEST(an_address_is_limited_before_its_key_is_looked_at)
{
    PK_CLEANUP(house_close) struct house house = { 0 };
    const struct house_options options = { .rate = { [PK_RATE_ADDRESS] = { 3, 60000 } } };
    house_open(&house, &options);
    for (int i = 0; i < 3; i++) {
        ask_expect(&house, "Authorization: Bearer x\r\n", 401, "unauthorized");
    }
    char line[256];
    (void)snprintf(line, sizeof(line), "Authorization: Bearer %s\r\n", house.admin);
    struct reply reply = house_ask_with(&house, "GET", "/v1/actors/self", NULL, line, NULL);
    expect(&reply, 429, "rate_limited");
    assert_string_equal(reply_header(&reply, "RateLimit-Limit"), "3");
    assert_string_equal(reply_header(&reply, "RateLimit-Remaining"), "0");
    assert_int_equal(atoi(reply_header(&reply, "Retry-After")), 20);
    assert_true(atoi(reply_header(&reply, "RateLimit-Reset")) > 50);
    reply_done(&reply);
    reply = house_ask(&house, "GET", "/healthz", NULL, NULL); /* Never counted. */
    expect(&reply, 200, NULL);
    reply_done(&reply);
}

TEST(a_key_is_limited_and_told_how_it_stands)
{
    PK_CLEANUP(house_close) struct house house = { 0 };
    char other[PK_KEY_TEXT];
    const struct house_options options = {
        .rate = { [PK_RATE_KEY] = { 2, 60000 }, [PK_RATE_ADDRESS] = { 100, 60000 } }
    };
    house_open(&house, &options);
    for (int i = 0; i < 4; i++) { /* The first comes by way of the store. */
        struct reply reply = house_ask(&house, "GET", "/v1/actors/self", house.admin, NULL);
        expect(&reply, i < 2 ? 200 : 429, i < 2 ? NULL : "rate_limited");
        assert_string_equal(reply_header(&reply, "RateLimit-Limit"), "2");
        assert_int_equal(atoi(reply_header(&reply, "RateLimit-Remaining")), i < 2 ? 1 - i : 0);
        assert_int_equal(reply_header(&reply, "Retry-After") != NULL, i >= 2);
        reply_done(&reply);
    }
    pk_doc_unref(house_actor(&house, "a", "{}", other));
    house_settle(&house);
    struct reply reply = house_ask(&house, "GET", "/v1/actors/self", other, NULL);
    expect(&reply, 200, NULL);
    reply_done(&reply);
}

TEST(without_limits_nothing_is_said_of_them)
{
    PK_CLEANUP(house_close) struct house house = { 0 };
    house_open(&house, NULL);
    struct reply reply = house_ask(&house, "GET", "/v1/actors/self", house.admin, NULL);
    assert_null(reply_header(&reply, "RateLimit-Limit"));
    reply_done(&reply);
}

TEST(who_lacks_the_capability_is_refused_before_the_body_is_read)
{
    PK_CLEANUP(house_close) struct house house = { 0 };
    char key[PK_KEY_TEXT];
    char bytes[1024];
    house_open(&house, NULL);
    pk_doc_unref(house_actor(&house, "a", "{'grants':['curate']}", key));
    (void)snprintf(bytes, sizeof(bytes),
                   "POST /v1/actors HTTP/1.1\r\nHost: here\r\nAuthorization: Bearer %s\r\n"
                   "Content-Type: application/json\r\nContent-Length: 100\r\n"
                   "Expect: 100-continue\r\n\r\n",
                   key);
    struct reply reply = house_say(&house, bytes); /* No byte of the body comes. */
    expect(&reply, 403, "forbidden");
    reply_done(&reply);
}
