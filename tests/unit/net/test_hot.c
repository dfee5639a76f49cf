/* test_hot.c - The cache of ready answers, by itself and behind a route. */
/* SPDX-License-Identifier: MIT */
#include "allocations.h"
#include "client.h"
#include "test.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "net/hot.h"
#include "net/net.h"

#include <errno.h>
#include <poll.h>
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

TEST(an_entry_is_not_good_before_the_time_that_it_was_made_for)
{
    struct fixture fixture;
    init(&fixture, 0);
    const int64_t now = pk_clock_wall_ms(&fixture.fake.clock);
    struct pk_hot_fill fill = { .key = "k",
                                .key_size = 1,
                                .person = "anna",
                                .stamp = pk_hot_stamp(fixture.hot, "anna"),
                                .content_type = "application/json",
                                .etag = "\"e\"",
                                .data = "{}",
                                .size = 2,
                                .from_wall_ms = now };
    assert_true(pk_hot_put(fixture.hot, &fill));
    assert_true(has(fixture.hot, "k"));
    pk_clock_fake_set_wall(&fixture.fake, now - 1);
    assert_false(has(fixture.hot, "k"));
    assert_false(pk_hot_put(fixture.hot, &fill));
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

/* A text of 'size' times 'c'. */
static char *text_of(char c, size_t size)
{
    char *text = pk_alloc(size + 1);
    memset(text, c, size);
    text[size] = '\0';
    return text;
}

/* Sends what goes of 'said', and only then hears what there is. */
static void say_and_hear(int fd, const struct pk_buf *said, size_t *said_size, struct pk_buf *heard)
{
    struct pollfd both = { .fd = fd, .events = POLLIN };
    while (*said_size < said->size) {
        const ssize_t sent =
            send(fd, said->data + *said_size, said->size - *said_size, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (sent <= 0) {
            both.events |= POLLOUT;
            break;
        }
        *said_size += (size_t)sent;
    }
    assert_true(poll(&both, 1, CLIENT_PATIENCE_MS) > 0);
    const ssize_t got = recv(fd, pk_buf_reserve(heard, 65536), 65536, MSG_DONTWAIT);
    assert_true(got > 0 || (got < 0 && errno == EAGAIN));
    heard->size += got > 0 ? (size_t)got : 0;
    heard->data[heard->size] = '\0';
}

/* Small answers are copied and large ones are not; the kernel takes neither at once here. */
TEST(answers_to_who_is_slow_to_take_them_come_whole_and_in_order)
{
    enum { ASKED = 5000, SMALL = 2048, LARGE = 6000, WINDOW = 16 * 1024 };
    static const int window = WINDOW;
    PK_CLEANUP(pk_freep) char *small = text_of('s', SMALL);
    PK_CLEANUP(pk_freep) char *large = text_of('l', LARGE);
    PK_CLEANUP(pk_buf_done) struct pk_buf said = { 0 };
    PK_CLEANUP(pk_buf_done) struct pk_buf heard = { 0 };
    struct fixture fixture;
    size_t said_size = 0;
    start(&fixture);
    assert_true(put(fixture.hot, "small", "anna", small));
    assert_true(put(fixture.hot, "large", "anna", large));
    for (int i = 0; i < ASKED; i++) {
        pk_buf_printf(&said, "GET /hot/%s HTTP/1.1\r\nHost: a\r\nX-Request-Id: %d\r\n\r\n",
                      i % 50 ? "small" : "large", i);
    }
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &window, sizeof(window)), 0);
    client_connect(fd, fixture.net);
    size_t at = 0;
    for (int i = 0; i < ASKED; i++) {
        const char *body = i % 50 ? small : large;
        const size_t size = i % 50 ? SMALL : LARGE;
        const char *end = strstr(pk_buf_text(&heard) + at, "\r\n\r\n");
        char id[64];
        while (!end || heard.size - at < (size_t)(end + 4 - (heard.data + at)) + size) {
            say_and_hear(fd, &said, &said_size, &heard);
            end = strstr(heard.data + at, "\r\n\r\n");
        }
        end += 4;
        (void)snprintf(id, sizeof(id), "\r\nX-Request-Id: %d\r\n", i);
        assert_memory_equal(heard.data + at, "HTTP/1.1 200 OK\r\n", 17);
        const char *named = strstr(heard.data + at, id);
        assert_true(named && named < end);
        assert_memory_equal(end, body, size);
        at = (size_t)(end - heard.data) + size;
    }
    assert_int_equal(at, heard.size);
    (void)close(fd);
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

TEST(a_hot_request_allocates_nothing)
{
    enum { ROUND = 100000, OTHERS = 8 }; /* Others: what a loop does by the clock. */
    struct fixture fixture;
    if (!allocations_are_counted()) {
        return; /* A sanitizer has the allocator; the other builds count. */
    }
    start(&fixture);
    int fd = client_dial(fixture.net);
    (void)ask_often(fd, 100); /* Fills the cache and the spare exchanges. */
    assert_in_range(ask_often(fd, ROUND), 0, OTHERS);
    (void)close(fd);
    stop(&fixture);
}
