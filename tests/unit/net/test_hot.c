/* test_hot.c - The cache of ready answers, by itself and behind a route. */
/* SPDX-License-Identifier: MIT */
#include "allocations.h"
#include "client.h"
#include "test.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "net/hot.h"
#include "net/net.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

struct fixture {
    struct pk_clock_fake fake;
    struct pk_hot *hot;
    struct pk_net *net;
    size_t fills; /* By the store's handler. */
};

static bool put(struct pk_hot *hot, const char *key, const char *person, const char *data)
{
    const struct pk_hot_fill fill = { .key = key,
                                      .key_size = strlen(key),
                                      .person = person,
                                      .stamp = pk_hot_stamp(hot, person),
                                      .content_type = "application/json",
                                      .etag = "\"e1\"",
                                      .data = data,
                                      .size = strlen(data) };
    return pk_hot_put(hot, &fill);
}

static bool has(struct pk_hot *hot, const char *key)
{
    struct pk_hot_entry *entry = pk_hot_get(hot, key, strlen(key));
    pk_hot_unref(entry);
    return entry != NULL;
}

static void init(struct fixture *fixture, size_t bytes_max)
{
    *fixture = (struct fixture){ 0 };
    pk_clock_fake_init(&fixture->fake, 1000000);
    fixture->hot = pk_hot_new(
        &(struct pk_hot_options){ .clock = &fixture->fake.clock, .bytes_max = bytes_max });
}

TEST(an_entry_is_found_until_its_person_changes)
{
    struct fixture fixture;
    init(&fixture, 0);
    assert_true(put(fixture.hot, "k", "anna", "{}"));
    assert_true(has(fixture.hot, "k"));
    assert_false(has(fixture.hot, "kk"));
    pk_hot_changed(fixture.hot, "anna");
    assert_false(has(fixture.hot, "k"));
    pk_hot_free(fixture.hot);
}

TEST(a_fill_that_a_change_overtook_is_dropped)
{
    struct fixture fixture;
    init(&fixture, 0);
    struct pk_hot_fill fill = { .key = "k",
                                .key_size = 1,
                                .person = "anna",
                                .stamp = pk_hot_stamp(fixture.hot, "anna"),
                                .etag = "\"1\"",
                                .data = "x",
                                .size = 1 };
    pk_hot_changed(fixture.hot, "anna"); /* Between the read of the store and the fill. */
    assert_false(pk_hot_put(fixture.hot, &fill));
    assert_false(has(fixture.hot, "k"));
    pk_hot_free(fixture.hot);
}

TEST(a_gap_makes_everything_old)
{
    struct fixture fixture;
    init(&fixture, 0);
    assert_true(put(fixture.hot, "a", "anna", "1"));
    assert_true(put(fixture.hot, "b", "bob", "2"));
    pk_hot_gap(fixture.hot);
    assert_false(has(fixture.hot, "a"));
    assert_false(has(fixture.hot, "b"));
    assert_true(put(fixture.hot, "a", "anna", "1"));
    assert_true(has(fixture.hot, "a"));
    pk_hot_free(fixture.hot);
}

TEST(entries_expire_by_either_clock)
{
    struct fixture fixture;
    init(&fixture, 0);
    struct pk_hot_fill fill = { .key = "m",
                                .key_size = 1,
                                .person = "p",
                                .etag = "\"1\"",
                                .data = "x",
                                .size = 1,
                                .expires_mono_ns = pk_deadline_in_ms(&fixture.fake.clock, 1000) };
    assert_true(pk_hot_put(fixture.hot, &fill));
    fill.key = "w";
    fill.expires_mono_ns = 0;
    fill.expires_wall_ms = pk_clock_wall_ms(&fixture.fake.clock) + 500;
    assert_true(pk_hot_put(fixture.hot, &fill));
    assert_true(has(fixture.hot, "m") && has(fixture.hot, "w"));
    pk_clock_fake_advance(&fixture.fake, 600);
    assert_true(has(fixture.hot, "m"));
    assert_false(has(fixture.hot, "w"));
    pk_clock_fake_advance(&fixture.fake, 600);
    assert_false(has(fixture.hot, "m"));
    pk_hot_free(fixture.hot);
}

TEST(the_cache_stays_within_its_bytes_and_keeps_what_is_used)
{
    struct fixture fixture;
    struct pk_hot_stats stats;
    char key[32];
    char large[1000];
    memset(large, 'x', sizeof(large));
    large[sizeof(large) - 1] = '\0';
    init(&fixture, 512 * 1024);
    assert_true(put(fixture.hot, "keep", "p", large));
    for (int i = 0; i < 5000; i++) {
        (void)snprintf(key, sizeof(key), "key-%d", i);
        assert_true(put(fixture.hot, key, "p", large));
        assert_true(has(fixture.hot, "keep"));
    }
    pk_hot_stats(fixture.hot, &stats);
    assert_true(stats.bytes <= 512 * 1024);
    assert_true(stats.entries > 200);
    assert_true(stats.evicted > 4000);
    pk_hot_free(fixture.hot);
}

TEST(an_entry_in_use_outlives_its_place_and_the_cache)
{
    struct fixture fixture;
    init(&fixture, 0);
    assert_true(put(fixture.hot, "k", "p", "bytes"));
    struct pk_hot_entry *entry = pk_hot_get(fixture.hot, "k", 1);
    assert_true(put(fixture.hot, "k", "p", "other"));
    pk_hot_free(fixture.hot);
    assert_memory_equal(entry->data, "bytes", 5);
    pk_hot_unref(entry);
}

/* ---- Behind a route ---- */

static void from_store(void *context, struct pk_request *request, struct pk_answer *answer)
{
    struct fixture *fixture = context;
    fixture->fills++;
    (void)put(fixture->hot, request->segment[1], "anna", "{\"from\":\"store\"}");
    pk_buf_add_text(&answer->body, "{\"from\":\"store\"}");
    answer->etag = "\"e1\"";
    pk_answer_json(answer, 200);
}

static void from_hot(void *context, struct pk_request *request, struct pk_answer *answer)
{
    struct fixture *fixture = context;
    const char *key = request->segment[1];
    struct pk_hot_entry *entry = pk_hot_get(fixture->hot, key, strlen(key));
    if (entry) {
        pk_answer_entry(answer, entry);
    } else {
        pk_answer_move(answer, PK_LANE_STORE, from_store);
    }
}

static const struct pk_route route_table[] = {
    { .method = PK_METHOD_GET, .path = "/hot/{key}", .lane = PK_LANE_HOT, .handler = from_hot },
};

static void start(struct fixture *fixture)
{
    struct pk_error err = { 0 };
    const struct pk_net_options options = { .listener = client_listener,
                                            .listener_count = 1,
                                            .route = route_table,
                                            .route_count = PK_COUNT(route_table),
                                            .context = fixture,
                                            .loops = 1 };
    init(fixture, 0);
    assert_ok(pk_net_open(&fixture->net, &options, &err), &err);
}

static void stop(struct fixture *fixture)
{
    pk_net_close(fixture->net);
    pk_hot_free(fixture->hot);
}

TEST(a_miss_goes_to_the_store_and_a_hit_never_leaves_the_loop)
{
    struct fixture fixture;
    struct pk_lane_stats stats;
    start(&fixture);
    for (int i = 0; i < 3; i++) {
        const char *answer = client_ask(fixture.net, "GET /hot/k HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_says(answer, "HTTP/1.1 200 OK\r\n");
        assert_says(answer, "ETag: \"e1\"\r\n");
        assert_says(answer, "Content-Length: 16\r\n");
        assert_says(answer, "{\"from\":\"store\"}");
    }
    assert_int_equal(fixture.fills, 1);
    pk_hot_changed(fixture.hot, "anna");
    (void)client_ask(fixture.net, "GET /hot/k HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_int_equal(fixture.fills, 2);
    pk_net_lane_stats(fixture.net, PK_LANE_STORE, &stats);
    assert_true(stats.threads <= 2); /* The first may be on its way back when the next is asked. */
    stop(&fixture);
}

TEST(a_known_etag_is_answered_304_without_a_body)
{
    static const char *const known[] = { "\"e1\"", "W/\"e1\"", "\"x\", \"e1\"", "*" };
    static const char *const other[] = { "\"e\"", "\"e11\"", "e1", "\"x\",\"y\"", "" };
    struct fixture fixture;
    char request[256];
    start(&fixture);
    for (size_t i = 0; i < PK_COUNT(known); i++) {
        (void)snprintf(request, sizeof(request),
                       "GET /hot/k HTTP/1.1\r\nHost: a\r\nIf-None-Match: %s\r\n\r\n", known[i]);
        const char *answer = client_ask(fixture.net, request);
        assert_says(answer, "HTTP/1.1 304 Not Modified\r\n");
        assert_says(answer, "ETag: \"e1\"\r\n");
        assert_true(strcmp(strstr(answer, "\r\n\r\n"), "\r\n\r\n") == 0);
    }
    for (size_t i = 0; i < PK_COUNT(other); i++) {
        (void)snprintf(request, sizeof(request),
                       "GET /hot/k HTTP/1.1\r\nHost: a\r\nIf-None-Match: %s\r\n\r\n", other[i]);
        assert_says(client_ask(fixture.net, request), "HTTP/1.1 200 OK\r\n");
    }
    stop(&fixture);
}

/* Asks 'count' times on one connection and returns the allocations this took. */
static uint64_t ask_often(int fd, size_t count)
{
    static const char ask[] = "GET /hot/k HTTP/1.1\r\nHost: a\r\nX-A: some header\r\n\r\n";
    char answer[2048];
    uint64_t before = allocations();
    for (size_t i = 0; i < count; i++) {
        size_t size = 0;
        (void)send(fd, ask, sizeof(ask) - 1, MSG_NOSIGNAL);
        do {
            ssize_t got = recv(fd, answer + size, sizeof(answer) - 1 - size, 0);
            assert_true(got > 0);
            size += (size_t)got;
            answer[size] = '\0';
        } while (!strstr(answer, "{\"from\":\"store\"}"));
    }
    return allocations() - before;
}

TEST(the_allocations_of_a_hot_request_are_few_and_stay_the_same)
{
    enum { ROUND = 25000, ROUNDS = 4, FEW = 6 };
    struct fixture fixture;
    if (!allocations_are_counted()) {
        return; /* A sanitizer has the allocator; the other builds count. */
    }
    start(&fixture);
    int fd = client_dial(fixture.net);
    (void)ask_often(fd, 100); /* Fills the cache and the spare exchanges. */
    uint64_t first = ask_often(fd, ROUND);
    print_message("# %.4f allocations per hot request\n", (double)first / ROUND);
    assert_true(first <= (uint64_t)FEW * ROUND);
    for (int i = 1; i < ROUNDS; i++) {
        assert_in_range(ask_often(fd, ROUND), first - 8, first + 8);
    }
    (void)close(fd);
    stop(&fixture);
}
