/* test_traffic.c - Every request is counted once, under names of ours, at no cost in memory. */
/* SPDX-License-Identifier: MIT */
#include "test.h"

#include "allocations.h"
#include "base/alloc.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/metrics.h"
#include "doc/doc.h"
#include "doc/json.h"
#include "ops/spool.h"
#include "ops/traffic.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const struct pk_route route[] = {
    { .method = PK_METHOD_GET, .path = "/healthz", .lane = PK_LANE_HOT },
    { .method = PK_METHOD_GET, .path = "/v1/actors/{actor}", .lane = PK_LANE_STORE },
    { .method = PK_METHOD_POST, .path = "/v1/actors", .lane = PK_LANE_STORE },
};

struct desk {
    struct pk_clock_fake clock;
    struct pk_metrics *metrics;
    struct pk_spool *spool;
    struct pk_traffic *traffic;
    int fd; /* Of the log. */
};

static void name_caller(const struct pk_request *request, const char **out_actor,
                        const char **out_key)
{
    *out_actor = request->caller;
    *out_key = "k1";
}

static void desk_init(struct desk *desk, bool is_logged, int64_t slow_ms)
{
    struct pk_error err = { 0 };
    char path[4096];
    (void)snprintf(path, sizeof(path), "%s/traffic-XXXXXX", pk_test_folder());
    *desk = (struct desk){ .fd = mkostemp(path, O_CLOEXEC), .metrics = pk_metrics_new() };
    assert_true(desk->fd >= 0);
    const struct pk_spool_options spool = { .fd = desk->fd };
    pk_clock_fake_init(&desk->clock, 1795246320123);
    assert_ok(pk_spool_open(&desk->spool, &spool, &err), &err);
    const struct pk_traffic_options options = {
        .clock = &desk->clock.clock,
        .metrics = desk->metrics,
        .route = route,
        .route_count = PK_COUNT(route),
        .spool = desk->spool,
        .who = name_caller,
        .is_logged = is_logged,
        .slow_ms = slow_ms,
    };
    desk->traffic = pk_traffic_new(&options);
}

/* Closes all but the log, and reads its lines. */
static size_t desk_done(struct desk *desk, struct pk_doc **out, size_t max)
{
    PK_CLEANUP(pk_buf_done) struct pk_buf text = { 0 };
    struct pk_error err = { 0 };
    size_t count = 0;
    pk_traffic_free(desk->traffic);
    pk_spool_close(desk->spool);
    pk_metrics_free(desk->metrics);
    const off_t size = lseek(desk->fd, 0, SEEK_END);
    assert_int_equal(pread(desk->fd, pk_buf_reserve(&text, (size_t)size + 1), (size_t)size, 0),
                     size);
    (void)close(desk->fd);
    for (char *at = text.data, *end = at + size; at < end; count++) {
        char *stop = memchr(at, '\n', (size_t)(end - at));
        bson_t bson;
        assert_non_null(stop);
        assert_true(count < max);
        assert_ok(pk_json_read(&bson, at, (size_t)(stop - at), NULL, &err), &err);
        out[count] = pk_doc_new(&bson);
        bson_destroy(&bson);
        at = stop + 1;
    }
    return count;
}

static bool has_line(struct desk *desk, const char *line)
{
    PK_CLEANUP(pk_buf_done) struct pk_buf page = { 0 };
    pk_metrics_print(desk->metrics, &page);
    const char *found = strstr(pk_buf_text(&page), line);
    return found && (found == page.data || found[-1] == '\n') && found[strlen(line)] == '\n';
}

static void tell(struct desk *desk, struct pk_request *request, int status, const char *refusal,
                 uint64_t bytes)
{
    const struct pk_done done = {
        .request = request, .status = status, .refusal = refusal, .answer_bytes = bytes
    };
    pk_traffic_done(desk->traffic, &done);
}

static const uint8_t address_v4[16] = { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 192, 0, 2, 7 };

TEST(requests_are_counted_by_route_method_and_status)
{
    struct desk desk;
    struct pk_doc *line[1];
    desk_init(&desk, false, 0);
    struct pk_request get = { .method = PK_METHOD_GET,
                              .route = &route[1],
                              .path = "/v1/actors/1",
                              .times = { .first_ns = 1000, .sent_ns = 31000 } };
    struct pk_request head = get;
    struct pk_request lost = get;
    struct pk_request odd = { .method = PK_METHOD_GET };
    head.method = PK_METHOD_HEAD;
    lost.route = NULL;
    tell(&desk, &get, 200, NULL, 100);
    tell(&desk, &get, 200, NULL, 23);
    tell(&desk, &get, 404, NULL, 0);
    tell(&desk, &get, 418, NULL, 0); /* Not in the table of usual ones. */
    tell(&desk, &get, 418, NULL, 0);
    tell(&desk, &head, 200, NULL, 0);
    tell(&desk, &lost, 404, NULL, 0);
    tell(&desk, &odd, 400, "malformed_host", 0);
    tell(&desk, &odd, 400, "malformed_host", 0);
    tell(&desk, &odd, 431, "headers_too_large", 0);
#define REQUESTS "personakit_http_requests_total{route="
    assert_true(
        has_line(&desk, REQUESTS "\"/v1/actors/{actor}\",method=\"GET\",status=\"200\"} 2"));
    assert_true(
        has_line(&desk, REQUESTS "\"/v1/actors/{actor}\",method=\"GET\",status=\"404\"} 1"));
    assert_true(
        has_line(&desk, REQUESTS "\"/v1/actors/{actor}\",method=\"GET\",status=\"418\"} 2"));
    assert_true(
        has_line(&desk, REQUESTS "\"/v1/actors/{actor}\",method=\"HEAD\",status=\"200\"} 1"));
    assert_true(has_line(&desk, REQUESTS "\"\",method=\"GET\",status=\"404\"} 1"));
    assert_true(has_line(&desk, REQUESTS "\"\",method=\"\",status=\"400\"} 2"));
    assert_true(has_line(&desk, "personakit_http_malformed_total{code=\"malformed_host\"} 2"));
    assert_true(has_line(&desk, "personakit_http_malformed_total{code=\"headers_too_large\"} 1"));
    assert_true(has_line(&desk, "personakit_http_answer_bytes_total{route=\"/v1/actors/{actor}\","
                                "method=\"GET\"} 123"));
#define SECONDS "personakit_http_request_duration_seconds_"
#define GET_ONE "{route=\"/v1/actors/{actor}\",method=\"GET\""
    assert_true(has_line(&desk, SECONDS "count" GET_ONE "} 5"));
    assert_true(has_line(&desk, SECONDS "bucket" GET_ONE ",le=\"0.000025\"} 0"));
    assert_true(has_line(&desk, SECONDS "bucket" GET_ONE ",le=\"0.00005\"} 5"));
    assert_int_equal(desk_done(&desk, line, 1), 0); /* Nothing is logged when it is off. */
}

TEST(no_request_costs_an_allocation_once_its_kind_is_known)
{
    struct desk desk;
    struct pk_doc **line = pk_calloc(400, sizeof(struct pk_doc *));
    static const struct pk_header header[] = {
        { "user-agent", "curl/8.0" },
        { "traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01" },
    };
    if (!allocations_are_counted()) {
        pk_free(line);
        return; /* A sanitizer has the allocator; the other builds count. */
    }
    desk_init(&desk, true, 1);
    struct pk_request request = { .method = PK_METHOD_GET,
                                  .route = &route[0],
                                  .path = "/healthz",
                                  .header = header,
                                  .header_count = PK_COUNT(header),
                                  .caller = (char[]){ "a1" },
                                  .times = { .first_ns = 1, .sent_ns = 20000000 } };
    struct pk_request odd = { .method = PK_METHOD_GET };
    tell(&desk, &request, 200, NULL, 20);
    tell(&desk, &odd, 400, "malformed_host", 10);
    const uint64_t before = allocations();
    for (size_t i = 0; i < 100; i++) {
        tell(&desk, &request, 200, NULL, 20);
        tell(&desk, &odd, 400, "malformed_host", 10);
    }
    assert_int_equal(allocations() - before, 0);
    const size_t count = desk_done(&desk, line, 400);
    assert_int_equal(count, 101 * 3); /* One of the two is slow. */
    for (size_t i = 0; i < count; i++) {
        pk_doc_unref(line[i]);
    }
    pk_free(line);
}

TEST(access_log_says_who_asked_what_and_what_came_of_it)
{
    struct desk desk;
    struct pk_doc *line[4];
    static const struct pk_header header[] = {
        { "traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01" },
        { "user-agent", "evil\"\x01 agent" },
    };
    desk_init(&desk, true, 0);
    struct pk_request request = { .method = PK_METHOD_POST,
                                  .route = &route[2],
                                  .path = "/v1/actors",
                                  .query = "secret=1",
                                  .id = "req-1",
                                  .header = header,
                                  .header_count = PK_COUNT(header),
                                  .lane = PK_LANE_STORE,
                                  .caller = (char[]){ "actor-1" },
                                  .is_secure = true,
                                  .times = { .first_ns = 1000, .sent_ns = 5001000 } };
    struct pk_request odd = { .id = "req-2" };
    memcpy(request.address, address_v4, sizeof(address_v4));
    tell(&desk, &request, 201, NULL, 321);
    tell(&desk, &odd, 400, "malformed_request", 99);
    pk_traffic_set(desk.traffic, false, 0); /* Off, while it runs. */
    tell(&desk, &request, 201, NULL, 321);
    assert_int_equal(desk_done(&desk, line, 4), 2);

    static const struct {
        const char *path, *text;
    } expected[] = {
        { "msg", "request" },      { "time", "2026-11-21T07:32:00.123Z" },
        { "method", "POST" },      { "path", "/v1/actors" },
        { "route", "/v1/actors" }, { "address", "192.0.2.7" },
        { "request", "req-1" },    { "trace", "4bf92f3577b34da6a3ce929d0e0e4736" },
        { "actor", "actor-1" },    { "key", "k1" },
        { "lane", "store" },       { "agent", "evil\"\x01 agent" },
    };
    for (size_t i = 0; i < PK_COUNT(expected); i++) {
        const char *text = pk_doc_text(line[0], expected[i].path);
        assert_non_null(text);
        assert_string_equal(text, expected[i].text);
    }
    assert_int_equal(pk_doc_int(line[0], "status", 0), 201);
    assert_int_equal(pk_doc_int(line[0], "bytes", 0), 321);
    assert_int_equal(pk_doc_int(line[0], "duration_us", 0), 5000);
    assert_true(pk_doc_bool(line[0], "secure", false));
    assert_null(pk_doc_text(line[0], "refusal"));

    assert_string_equal(pk_doc_text(line[1], "refusal"), "malformed_request");
    assert_string_equal(pk_doc_text(line[1], "address"), "unix");
    assert_null(pk_doc_text(line[1], "method"));
    assert_null(pk_doc_text(line[1], "path"));
    assert_null(pk_doc_text(line[1], "lane"));
    pk_doc_unref(line[0]);
    pk_doc_unref(line[1]);
}

TEST(slow_request_tells_where_its_time_went)
{
    enum { MS = 1000000 };
    struct desk desk;
    struct pk_doc *line[4];
    desk_init(&desk, false, 100);
    struct pk_request request = { .method = PK_METHOD_POST,
                                  .route = &route[2],
                                  .path = "/v1/actors",
                                  .times = { .first_ns = 1 * MS,
                                             .head_ns = 11 * MS,
                                             .whole_ns = 31 * MS,
                                             .queue_ns = 40 * MS,
                                             .run_ns = 50 * MS,
                                             .store_ns = 45 * MS,
                                             .park_ns = 1000 * MS,
                                             .sent_ns = 1126 * MS } };
    tell(&desk, &request, 201, NULL, 0);
    request.times.sent_ns = 1090 * MS; /* 89 ms without the parking: not slow. */
    tell(&desk, &request, 201, NULL, 0);
    assert_int_equal(desk_done(&desk, line, 4), 1);
    static const struct {
        const char *key;
        int64_t us;
    } part[] = {
        { "head_us", 10000 }, { "body_us", 20000 },       { "queue_us", 40000 },
        { "run_us", 50000 },  { "store_us", 45000 },      { "park_us", 1000000 },
        { "send_us", 5000 },  { "duration_us", 1125000 },
    };
    assert_string_equal(pk_doc_text(line[0], "msg"), "slow request");
    assert_string_equal(pk_doc_text(line[0], "level"), "warn");
    for (size_t i = 0; i < PK_COUNT(part); i++) {
        assert_int_equal(pk_doc_int(line[0], part[i].key, -1), part[i].us);
    }
    pk_doc_unref(line[0]);
}

TEST(request_whose_client_went_is_timed_to_now)
{
    struct desk desk;
    struct pk_doc *line[1];
    desk_init(&desk, true, 0);
    struct pk_request request = { .route = &route[0], .path = "/healthz" };
    request.times.first_ns = pk_clock_mono_ns(&desk.clock.clock);
    pk_clock_fake_advance(&desk.clock, 250);
    tell(&desk, &request, 499, NULL, 0);
    assert_int_equal(desk_done(&desk, line, 1), 1);
    assert_int_equal(pk_doc_int(line[0], "duration_us", 0), 250000);
    pk_doc_unref(line[0]);
}

TEST(two_traceparents_are_none)
{
    static const struct pk_header header[] = {
        { "traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01" },
        { "traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01" },
    };
    struct pk_request request = { .header = header, .header_count = 1 };
    char trace[PK_TRACE_TEXT];
    assert_string_equal(pk_trace_of(&request, trace), "4bf92f3577b34da6a3ce929d0e0e4736");
    request.header_count = 2;
    assert_null(pk_trace_of(&request, trace));
    request.header_count = 0;
    assert_null(pk_trace_of(&request, trace));
}

enum { TELLERS = 4, EACH = 20000 };

static void *tell_many(void *argument)
{
    struct desk *desk = argument;
    for (size_t i = 0; i < EACH; i++) {
        struct pk_request request = { .method = PK_METHOD_GET, .route = &route[i % 2] };
        tell(desk, &request, i % 2 ? 200 : 204, NULL, 1);
    }
    return NULL;
}

TEST(loops_that_count_at_the_same_time_lose_nothing)
{
    struct desk desk;
    struct pk_doc *line[1];
    pthread_t thread[TELLERS];
    char expected[200];
    desk_init(&desk, false, 0);
    for (size_t i = 0; i < TELLERS; i++) {
        assert_int_equal(pthread_create(&thread[i], NULL, tell_many, &desk), 0);
    }
    for (size_t i = 0; i < TELLERS; i++) {
        (void)pthread_join(thread[i], NULL);
    }
    (void)snprintf(expected, sizeof(expected),
                   REQUESTS "\"/healthz\",method=\"GET\",status=\"204\"} %d", TELLERS * EACH / 2);
    assert_true(has_line(&desk, expected));
    (void)desk_done(&desk, line, 1);
}

/* What the observer costs; shown, so that a change for the worse is seen. */
TEST(observer_is_cheap)
{
    enum { ROUNDS = 200000 };
    struct desk desk;
    struct pk_doc *line[1];
    desk_init(&desk, false, 1000);
    struct pk_request request = { .method = PK_METHOD_GET,
                                  .route = &route[0],
                                  .path = "/healthz",
                                  .times = { .first_ns = 1, .sent_ns = 20000 } };
    const int64_t before_ns = pk_clock_mono_ns(pk_clock_system());
    for (size_t i = 0; i < ROUNDS; i++) {
        tell(&desk, &request, 200, NULL, 2048);
    }
    const int64_t ns = (pk_clock_mono_ns(pk_clock_system()) - before_ns) / ROUNDS;
    print_message("# %lld ns a request\n", (long long)ns);
    (void)desk_done(&desk, line, 1);
}
