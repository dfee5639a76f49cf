/* test_http.c - Requests over a real socket: what is taken, what is refused, what comes back. */
/* SPDX-License-Identifier: MIT */
#include "client.h"
#include "test.h"

#include "base/alloc.h"
#include "base/buf.h"
#include "base/error.h"
#include "net/net.h"

#include <poll.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { FILES_MAX = 64 };

struct fixture {
    struct pk_net *net;
    sem_t entered, leave; /* Of the slow route. */
};

static void echo(void *context, struct pk_request *request, struct pk_answer *answer)
{
    (void)context;
    pk_buf_printf(&answer->body, "%s %s q=%s", pk_method_name(request->method),
                  request->segment_count > 1 ? request->segment[1] : "-", request->query);
    if (pk_request_header(request, "x-echo")) {
        pk_buf_printf(&answer->body, " h=%s", pk_request_header(request, "x-echo"));
    }
    pk_buf_add_text(&answer->body, " b=");
    pk_buf_add(&answer->body, request->body.data, request->body.size);
    pk_answer_json(answer, 200);
}

static void slow(void *context, struct pk_request *request, struct pk_answer *answer)
{
    struct fixture *fixture = context;
    (void)request;
    (void)sem_post(&fixture->entered);
    (void)sem_wait(&fixture->leave);
    pk_buf_add_text(&answer->body, "slow");
    pk_answer_json(answer, 200);
}

static const struct pk_route route_table[] = {
    { .method = PK_METHOD_GET, .path = "/echo", .lane = PK_LANE_HOT, .handler = echo },
    { .method = PK_METHOD_GET, .path = "/echo/{what}", .lane = PK_LANE_HOT, .handler = echo },
    { .method = PK_METHOD_POST,
      .path = "/echo/{what}",
      .lane = PK_LANE_STORE,
      .body_max_bytes = 1000,
      .handler = echo },
    { .method = PK_METHOD_GET, .path = "/slow", .lane = PK_LANE_STORE, .handler = slow },
    { .method = PK_METHOD_GET, .path = "/script", .lane = PK_LANE_SCRIPT, .handler = slow },
};

/* Not on the stack: a case that fails leaves threads behind that wait in it, and a later case must
 * not wake them in place of its own. */
/* 'loops' 0: one for each core. */
static struct fixture *start_with(size_t loops, struct pk_net_limits limits)
{
    struct fixture *fixture = pk_calloc(1, sizeof(*fixture));
    struct pk_error err = { 0 };
    const struct pk_net_options options = { .listener = client_listener,
                                            .listener_count = 1,
                                            .route = route_table,
                                            .route_count = PK_COUNT(route_table),
                                            .context = fixture,
                                            .loops = loops,
                                            .limits = limits };
    (void)sem_init(&fixture->entered, 0, 0);
    (void)sem_init(&fixture->leave, 0, 0);
    assert_ok(pk_net_open(&fixture->net, &options, &err), &err);
    return fixture;
}

static struct fixture *start(struct pk_net_limits limits)
{
    return start_with(0, limits);
}

static void stop(struct fixture *fixture)
{
    pk_net_close(fixture->net);
    (void)sem_destroy(&fixture->entered);
    (void)sem_destroy(&fixture->leave);
    pk_free(fixture);
}

static int dial(const struct fixture *fixture)
{
    return client_dial(fixture->net);
}

static void say(int fd, const char *text)
{
    client_say(fd, text, strlen(text));
}

static const char *ask(const struct fixture *fixture, const char *request)
{
    return client_ask(fixture->net, request);
}

TEST(a_request_is_answered_with_its_length_and_id)
{
    struct fixture *fixture = start((struct pk_net_limits){ 0 });
    const char *answer = ask(fixture, "GET /echo/a%20b?x=1 HTTP/1.1\r\nHost: a\r\n"
                                      "X-Request-Id: mine-1\r\n\r\n");
    assert_says(answer, "HTTP/1.1 200 OK\r\n");
    assert_says(answer, "Content-Length: 16\r\n");
    assert_says(answer, "X-Request-Id: mine-1\r\n");
    assert_says(answer, "\r\n\r\nGET a b q=x=1 b=");
    stop(fixture);
}

TEST(what_all_bodies_together_hold_is_bounded)
{
    static const char head[] = "POST /echo/a HTTP/1.1\r\nHost: a\r\nConnection: close\r\n"
                               "Content-Length: 10\r\n\r\n";
    static const char whole[] = "POST /echo/a HTTP/1.1\r\nHost: a\r\nConnection: close\r\n"
                                "Content-Length: 10\r\n\r\n0123456789";
    struct fixture *fixture = start_with(1, (struct pk_net_limits){ .bodies_bytes = 15 });
    assert_says(ask(fixture, whole), "b=0123456789");
    int fd = dial(fixture);
    say(fd, head);
    say(fd, "012345678"); /* All but the last byte: it is held. */
    const char *answer = NULL;
    wait_until(strstr(answer = ask(fixture, whole), "HTTP/1.1 503 "));
    assert_says(answer, "Retry-After: 1\r\n");
    assert_says(answer, "\"code\":\"busy\"");
    say(fd, "9");
    assert_says(client_hear(fd, NULL), "b=0123456789");
    (void)close(fd);
    wait_until(strstr(ask(fixture, whole), "b=0123456789")); /* What was held is given back. */
    stop(fixture);
}

TEST(pipelined_requests_are_answered_in_order_across_lanes)
{
    struct fixture *fixture = start((struct pk_net_limits){ 0 });
    const char *answer =
        ask(fixture, "POST /echo/one HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc"
                     "GET /echo/two HTTP/1.1\r\nHost: a\r\n\r\n"
                     "POST /echo/three HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
                     "3\r\nxyz\r\n0\r\nX-T: 1\r\n\r\n"
                     "GET /echo/four HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    const char *one = strstr(answer, "POST one q= b=abc");
    const char *two = strstr(answer, "GET two q= b=");
    const char *three = strstr(answer, "POST three q= b=xyz");
    const char *four = strstr(answer, "GET four q= b=");
    assert_true(one && two && three && four);
    assert_true(one < two && two < three && three < four);
    stop(fixture);
}

TEST(long_trailers_do_not_move_the_headers_away)
{
    PK_CLEANUP(pk_buf_done) struct pk_buf request = { 0 };
    struct fixture *fixture = start((struct pk_net_limits){ 0 });
    pk_buf_add_text(&request, "POST /echo/a HTTP/1.1\r\nHost: a\r\nX-Echo: stays\r\n"
                              "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX-T: ");
    for (int i = 0; i < 20000; i++) {
        pk_buf_add_char(&request, 'x');
    }
    pk_buf_add_text(&request, "\r\n\r\n");
    assert_says(ask(fixture, request.data), " h=stays b=abc");
    stop(fixture);
}

TEST(head_is_get_without_the_body)
{
    struct fixture *fixture = start((struct pk_net_limits){ 0 });
    const char *answer = ask(fixture, "HEAD /echo/a HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_says(answer, "Content-Length: 12\r\n");
    assert_true(strcmp(strstr(answer, "\r\n\r\n"), "\r\n\r\n") == 0);
    stop(fixture);
}

TEST(no_such_path_is_404_and_no_such_method_405_with_allow)
{
    struct fixture *fixture = start((struct pk_net_limits){ 0 });
    const char *answer = ask(fixture, "GET /nothing HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_says(answer, "HTTP/1.1 404 ");
    assert_says(answer, "application/problem+json");
    assert_says(answer, "\"code\":\"not_found\"");
    answer = ask(fixture, "DELETE /echo/a HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_says(answer, "HTTP/1.1 405 ");
    assert_says(answer, "Allow: GET, HEAD, POST\r\n");
    assert_says(ask(fixture, "GET /echo/ HTTP/1.1\r\nHost: a\r\n\r\n"), "HTTP/1.1 404 ");
    stop(fixture);
}

TEST(targets_that_mean_two_things_are_refused)
{
    static const char *const bad[] = { "/a/../echo",   "/a/%2e%2E/echo", "/./echo", "/a%00b",
                                       "/a%2",         "/a%zz",          "echo",    "/a#b",
                                       "/a\xc3\xa4",   "/x%2f..%2fy",    "/x%5c..", "*",
                                       "http://b/echo" };
    static const char *const good[] = { "/echo/%252e%252e", "/echo/..x", "/echo/%2F",
                                        "http://a/echo/x", "/echo?../%zz" };
    char request[512];
    struct fixture *fixture = start((struct pk_net_limits){ 0 });
    for (size_t i = 0; i < PK_COUNT(bad); i++) {
        (void)snprintf(request, sizeof(request), "GET %s HTTP/1.1\r\nHost: a\r\n\r\n", bad[i]);
        assert_says(ask(fixture, request), "HTTP/1.1 400 ");
    }
    for (size_t i = 0; i < PK_COUNT(good); i++) {
        (void)snprintf(request, sizeof(request), "GET %s HTTP/1.1\r\nHost: a\r\n\r\n", good[i]);
        assert_says(ask(fixture, request), "HTTP/1.1 200 ");
    }
    stop(fixture);
}

TEST(hosts_are_checked)
{
    static const char *const good[] = { "a", "a.b-c:80", "127.0.0.1:8077", "[::1]:1", "[::1]" };
    static const char *const bad[] = { "",    "a:b",   "a:123456", "a/b",  "a@b", "[::1",
                                       "[x]", "a,b c", "a:",       "a%zz", ":80", "[::1]x" };
    char request[512];
    struct fixture *fixture = start((struct pk_net_limits){ 0 });
    for (size_t i = 0; i < PK_COUNT(good); i++) {
        (void)snprintf(request, sizeof(request), "GET /echo HTTP/1.1\r\nHost: %s\r\n\r\n", good[i]);
        assert_says(ask(fixture, request), "HTTP/1.1 200 ");
    }
    for (size_t i = 0; i < PK_COUNT(bad); i++) {
        (void)snprintf(request, sizeof(request), "GET /echo HTTP/1.1\r\nHost: %s\r\n\r\n", bad[i]);
        assert_says(ask(fixture, request), "HTTP/1.1 400 ");
    }
    assert_says(ask(fixture, "GET /echo HTTP/1.0\r\n\r\n"), "HTTP/1.1 200 ");
    stop(fixture);
}

TEST(nothing_behind_a_refused_request_is_interpreted)
{
    struct fixture *fixture = start((struct pk_net_limits){ 0 });
    const char *answer = ask(fixture, "GET /echo HTTP/1.1\r\nHost: a b\r\n\r\n"
                                      "GET /echo/second HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_says(answer, "HTTP/1.1 400 ");
    assert_says(answer, "Connection: close\r\n");
    assert_null(strstr(answer, "second"));
    assert_null(strstr(answer + 1, "HTTP/1.1"));
    stop(fixture);
}

TEST(what_is_too_large_is_refused_by_name)
{
    PK_CLEANUP(pk_buf_done) struct pk_buf request = { 0 };
    struct fixture *fixture = start((struct pk_net_limits){ 0 });

    pk_buf_add_text(&request, "GET /");
    for (int i = 0; i < 9000; i++) {
        pk_buf_add_char(&request, 'a');
    }
    pk_buf_add_text(&request, " HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_says(ask(fixture, request.data), "HTTP/1.1 414 ");

    pk_buf_clear(&request);
    pk_buf_add_text(&request, "GET /echo HTTP/1.1\r\nHost: a\r\n");
    for (int i = 0; i < 100; i++) {
        pk_buf_printf(&request, "X-%d: 1\r\n", i);
    }
    pk_buf_add_text(&request, "\r\n");
    assert_says(ask(fixture, request.data), "HTTP/1.1 431 ");

    pk_buf_clear(&request);
    pk_buf_add_text(&request, "GET /echo HTTP/1.1\r\nHost: a\r\nX: ");
    for (int i = 0; i < 33000; i++) {
        pk_buf_add_char(&request, 'a');
    }
    pk_buf_add_text(&request, "\r\n\r\n");
    assert_says(ask(fixture, request.data), "HTTP/1.1 431 ");

    assert_says(ask(fixture, "POST /echo/a HTTP/1.1\r\nHost: a\r\nContent-Length: 1001\r\n\r\n"),
                "HTTP/1.1 413 ");
    pk_buf_clear(&request);
    pk_buf_add_text(&request, "POST /echo/a HTTP/1.1\r\nHost: a\r\n"
                              "Transfer-Encoding: chunked\r\n\r\n");
    for (int i = 0; i < 101; i++) {
        pk_buf_add_text(&request, "a\r\n0123456789\r\n");
    }
    assert_says(ask(fixture, request.data), "HTTP/1.1 413 ");

    pk_buf_clear(&request);
    for (int i = 0; i < 50000; i++) {
        pk_buf_add_text(&request, "\r\n");
    }
    assert_says(ask(fixture, request.data), "HTTP/1.1 431 ");
    stop(fixture);
}

/* Everything that comes back up to the close. Who is cut before he has said a word says it again.
 */
static const char *say_in_time(const struct fixture *fixture, const char *text)
{
    const char *heard = "";
    for (int tries = 0; !heard[0] && tries < 100; tries++) {
        int fd = dial(fixture);
        (void)send(fd, text, strlen(text), MSG_NOSIGNAL);
        heard = client_hear(fd, NULL);
        (void)close(fd);
    }
    return heard;
}

TEST(a_slow_head_and_a_slow_body_are_cut_and_an_idle_connection_is_closed)
{
    struct fixture *fixture =
        start((struct pk_net_limits){ .head_ms = 100, .body_ms = 100, .idle_ms = 100 });
    assert_says(say_in_time(fixture, "GET /echo HT"), "HTTP/1.1 408 ");
    assert_says(say_in_time(fixture, "POST /echo/a HTTP/1.1\r\nHost: a\r\n"
                                     "Content-Length: 10\r\n\r\nabc"),
                "HTTP/1.1 408 ");
    assert_says(say_in_time(fixture, "GET /echo HTTP/1.1\r\nHost: a\r\n\r\n"), "HTTP/1.1 200 ");
    stop(fixture);
}

TEST(drips_do_not_extend_the_deadline_of_the_head)
{
    struct timespec pause = { .tv_nsec = 20 * 1000000L };
    struct fixture *fixture = start((struct pk_net_limits){ .head_ms = 1000 });
    int fd = dial(fixture);
    const char *drip = "GET /echo HTTP/1.1\r\nHost: a\r\nX: a";
    const size_t size = strlen(drip);
    bool is_cut = false;
    for (size_t i = 0; !is_cut && i < PK_TEST_PATIENCE_MS / 20; i++) {
        struct pollfd waiting = { .fd = fd, .events = POLLIN };
        (void)send(fd, drip + (i < size ? i : size - 1), 1, MSG_NOSIGNAL);
        (void)nanosleep(&pause, NULL);
        is_cut = poll(&waiting, 1, 0) == 1;
    }
    assert_true(is_cut);
    assert_says(client_hear(fd, NULL), "HTTP/1.1 408 ");
    (void)close(fd);
    stop(fixture);
}

TEST(a_full_lane_answers_503_and_what_runs_goes_on)
{
    struct pk_lane_stats stats;
    int fd[3];
    struct fixture *fixture =
        start((struct pk_net_limits){ .lane[PK_LANE_STORE] = { .threads = 1, .queue_max = 1 } });
    fd[0] = dial(fixture);
    say(fd[0], "GET /slow HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    (void)sem_wait(&fixture->entered);
    fd[1] = dial(fixture);
    say(fd[1], "GET /slow HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    /* On another loop the third could be quicker, and wait in place of the second. */
    wait_until((pk_net_lane_stats(fixture->net, PK_LANE_STORE, &stats), stats.waiting == 1));
    fd[2] = dial(fixture);
    say(fd[2], "GET /slow HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    const char *answer = client_hear(fd[2], "requestId");
    assert_says(answer, "HTTP/1.1 503 ");
    assert_says(answer, "Retry-After: 1\r\n");
    (void)close(fd[2]);
    assert_says(ask(fixture, "GET /echo HTTP/1.1\r\nHost: a\r\n\r\n"), "HTTP/1.1 200 ");
    (void)sem_post(&fixture->leave);
    (void)sem_post(&fixture->leave);
    assert_says(client_hear(fd[0], NULL), "\r\n\r\nslow");
    assert_says(client_hear(fd[1], NULL), "\r\n\r\nslow");
    (void)close(fd[0]);
    (void)close(fd[1]);
    stop(fixture);
}

TEST(over_the_cap_a_connection_is_turned_away)
{
    struct fixture *fixture = start((struct pk_net_limits){ .connections_max = 1 });
    int first = dial(fixture);
    say(first, "GET /echo HTTP/1.1\r\nHost: a\r\n\r\n");
    (void)client_hear(first, "b=");
    int second = dial(fixture);
    assert_says(client_hear(second, NULL), "HTTP/1.1 503 ");
    (void)close(second);
    say(first, "GET /echo HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_says(client_hear(first, "b="), "HTTP/1.1 200 ");
    (void)close(first);
    stop(fixture);
}

TEST(a_drain_answers_what_was_accepted_and_then_is_done)
{
    struct fixture *fixture = start((struct pk_net_limits){ 0 });
    int idle = dial(fixture);
    say(idle, "GET /echo HTTP/1.1\r\nHost: a\r\n\r\n");
    (void)client_hear(idle, "b=");
    int fd = dial(fixture);
    say(fd, "GET /slow HTTP/1.1\r\nHost: a\r\n\r\n");
    (void)sem_wait(&fixture->entered);

    pk_net_drain(fixture->net);
    assert_string_equal(client_hear(idle, NULL), ""); /* Closed. */
    (void)close(idle);
    struct pollfd done = { .fd = pk_net_done_fd(fixture->net), .events = POLLIN };
    assert_int_equal(poll(&done, 1, 0), 0);
    (void)sem_post(&fixture->leave);
    const char *answer = client_hear(fd, NULL);
    assert_says(answer, "Connection: close\r\n");
    assert_says(answer, "\r\n\r\nslow");
    (void)close(fd);
    assert_int_equal(poll(&done, 1, CLIENT_PATIENCE_MS), 1);
    stop(fixture);
}

TEST(a_client_that_leaves_while_its_request_runs_harms_nobody)
{
    struct fixture *fixture = start((struct pk_net_limits){ 0 });
    int fd = dial(fixture);
    say(fd, "GET /slow HTTP/1.1\r\nHost: a\r\n\r\n");
    (void)sem_wait(&fixture->entered);
    struct linger hard = { .l_onoff = 1 };
    (void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &hard, sizeof(hard));
    (void)close(fd);
    (void)sem_post(&fixture->leave);
    assert_says(ask(fixture, "GET /echo HTTP/1.1\r\nHost: a\r\n\r\n"), "HTTP/1.1 200 ");
    stop(fixture);
}

TEST(a_taken_address_is_refused_with_what_to_do)
{
    struct pk_net *second = NULL;
    struct pk_error err = { 0 };
    struct fixture *fixture = start((struct pk_net_limits){ 0 });
    const struct pk_net_listener taken = { .address = pk_net_address(fixture->net, 0) + 7 };
    const struct pk_net_options options = { .listener = &taken, .listener_count = 1 };
    assert_false(pk_net_open(&second, &options, &err));
    assert_int_equal(err.code, PK_CONFLICT);
    assert_non_null(strstr(err.hint, "--listen"));
    stop(fixture);
}

/* Takes every descriptor that is left below a new limit; the one limit there was. */
static struct rlimit use_up_files(int spare, int *taken, size_t *count)
{
    struct rlimit before;
    (void)getrlimit(RLIMIT_NOFILE, &before);
    const struct rlimit low = { .rlim_cur = (rlim_t)spare + 1, .rlim_max = before.rlim_max };
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
    for (*count = 0; *count < FILES_MAX; (*count)++) {
        taken[*count] = dup(spare);
        if (taken[*count] < 0) {
            break;
        }
    }
    return before;
}

TEST(without_a_descriptor_left_a_client_is_told_and_what_is_connected_goes_on)
{
    /* One loop: another could take the descriptor that this one gives back for a moment. */
    struct fixture *fixture = start_with(1, (struct pk_net_limits){ 0 });
    static const char request[] = "GET /echo HTTP/1.1\r\nHost: a\r\n\r\n";
    int taken[FILES_MAX];
    size_t count = 0;
    struct pk_net_stats stats;
    int first = dial(fixture);
    say(first, request);
    assert_says(client_hear(first, "b="), "HTTP/1.1 200 ");
    int second = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int third = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const struct rlimit before = use_up_files(third, taken, &count);
    client_connect(second, fixture->net);
    say(second, request);
    assert_says(client_hear(second, NULL), "HTTP/1.1 503 ");
    client_connect(third, fixture->net);
    assert_says(client_hear(third, NULL), "Retry-After: ");
    say(first, request);
    assert_says(client_hear(first, "b="), "HTTP/1.1 200 ");
    pk_net_stats(fixture->net, &stats);
    assert_int_equal(stats.refused, 2);
    (void)setrlimit(RLIMIT_NOFILE, &before);
    while (count > 0) {
        (void)close(taken[--count]);
    }
    assert_says(ask(fixture, request), "HTTP/1.1 200 ");
    (void)close(first);
    (void)close(second);
    (void)close(third);
    stop(fixture);
}

TEST(http_1_0_is_not_told_to_go_on)
{
    struct fixture *fixture = start((struct pk_net_limits){ 0 });
    const char *answer = ask(fixture, "POST /echo/a HTTP/1.0\r\nContent-Length: 3\r\n"
                                      "Expect: 100-continue\r\n\r\nabc");
    assert_memory_equal(answer, "HTTP/1.1 200 ", 13); /* RFC 9110, 10.1.1. */
    stop(fixture);
}

TEST(expect_100_continue_is_answered_before_the_body)
{
    struct fixture *fixture = start((struct pk_net_limits){ 0 });
    int fd = dial(fixture);
    say(fd,
        "POST /echo/a HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n");
    assert_says(client_hear(fd, "\r\n\r\n"), "HTTP/1.1 100 Continue\r\n");
    say(fd, "abc");
    assert_says(client_hear(fd, "b=abc"), "HTTP/1.1 200 ");
    (void)close(fd);
    stop(fixture);
}
