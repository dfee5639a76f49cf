/* test_gate.c - Who stands before the handlers, what is told of each request, and hung calls. */
/* SPDX-License-Identifier: MIT */
#include "client.h"
#include "test.h"

#include "base/alloc.h"
#include "net/net.h"
#include "net/sse.h"
#include "net/stream.h"

#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define GET(path)  "GET " path " HTTP/1.1\r\nHost: a\r\n"
#define POST(path) "POST " path " HTTP/1.1\r\nHost: a\r\n"

enum { TOLD_MAX = 64, HUNG_MS = 60 };

struct told {
    int status;
    char path[32], refusal[32];
    bool has_route;
    uint64_t bytes;
    struct pk_times times;
};
/* On the heap: a case that fails leaves threads behind. */
struct fixture {
    struct pk_net *net;
    sem_t entered, leave; /* Of handlers and of gate.fetch. */
    atomic_size_t looks, fetches, callers, left, handled;
    pthread_mutex_t lock; /* Of the next two. */
    struct told told[TOLD_MAX];
    size_t told_count;
    struct pk_sse *sse;
};

static size_t told_count(struct fixture *fixture)
{
    (void)pthread_mutex_lock(&fixture->lock);
    size_t count = fixture->told_count;
    (void)pthread_mutex_unlock(&fixture->lock);
    return count;
}

static void done(void *context, const struct pk_done *done)
{
    struct fixture *fixture = context;
    (void)pthread_mutex_lock(&fixture->lock);
    struct told *told = &fixture->told[fixture->told_count++ % TOLD_MAX];
    *told = (struct told){ .status = done->status,
                           .has_route = done->request->route != NULL,
                           .bytes = done->answer_bytes,
                           .times = done->request->times };
    (void)snprintf(told->path, sizeof(told->path), "%s", done->request->path);
    (void)snprintf(told->refusal, sizeof(told->refusal), "%s", done->refusal ? done->refusal : "-");
    (void)pthread_mutex_unlock(&fixture->lock);
}

/* ---- The gate: says what the header "x-gate" says ---- */

static bool is_gate(const struct pk_request *request, const char *what)
{
    const char *said = pk_request_header(request, "x-gate");
    return said && strcmp(said, what) == 0;
}

static void meet(struct fixture *fixture, struct pk_request *request)
{
    request->caller = fixture;
    fixture->callers++;
}

static enum pk_gate_says look(void *context, struct pk_request *request, struct pk_answer *answer)
{
    struct fixture *fixture = context;
    fixture->looks++;
    (void)pk_answer_header(request, answer, "X-Gate-Was", "here", NULL);
    if (is_gate(request, "shut")) {
        pk_answer_problem(request, answer, 401, "unauthorized", "no key", NULL);
        return PK_GATE_SHUT;
    }
    if (pk_request_header(request, "x-gate")) {
        return PK_GATE_AWAY;
    }
    meet(fixture, request);
    return PK_GATE_OPEN;
}

static bool fetch(void *context, struct pk_request *request, struct pk_answer *answer)
{
    struct fixture *fixture = context;
    fixture->fetches++;
    meet(fixture, request);
    if (is_gate(request, "away-wait") || is_gate(request, "away-no-wait")) {
        (void)sem_post(&fixture->entered);
        (void)sem_wait(&fixture->leave);
    }
    if (is_gate(request, "away-no") || is_gate(request, "away-no-wait")) {
        pk_answer_problem(request, answer, 403, "forbidden", "not you", NULL);
        return false;
    }
    return true;
}

static void leave(void *context, void *caller)
{
    struct fixture *fixture = context;
    assert_ptr_equal(caller, fixture);
    fixture->left++;
}

static const struct pk_gate gate = { .look = look, .fetch = fetch, .leave = leave };

/* ---- Handlers ---- */

static void echo(void *context, struct pk_request *request, struct pk_answer *answer)
{
    struct fixture *fixture = context;
    char piece[256];
    size_t got;
    fixture->handled++;
    pk_buf_add_text(&answer->body, "b=");
    while (pk_request_read(request, piece, sizeof(piece), &got, NULL) && got > 0) {
        pk_buf_add(&answer->body, piece, got);
    }
    pk_buf_add_text(&answer->body, ".");
    pk_answer_json(answer, 200);
}

static void problem(void *context, struct pk_request *request, struct pk_answer *answer)
{
    (void)context;
    pk_answer_problem(request, answer, 409, "conflict", "not now", NULL);
}

static void hang(void *context, struct pk_request *request, struct pk_answer *answer)
{
    struct fixture *fixture = context;
    (void)request;
    (void)sem_post(&fixture->entered);
    (void)sem_wait(&fixture->leave);
    if (strcmp(request->query, "headers") == 0) {
        (void)pk_answer_header(request, answer, "X-Late", "yes", NULL);
    }
    pk_buf_add_text(&answer->body, "back.");
    pk_answer_json(answer, 200);
    fixture->handled++;
}

static void pour(void *context, struct pk_request *request, struct pk_answer *answer)
{
    static const char piece[16 * 1024] = { 'x' };
    bool is_ok = true;
    (void)context;
    answer->content_type = "application/octet-stream";
    for (int i = 0; i < 1024 && is_ok; i++) {
        is_ok = pk_answer_write(request, answer, piece, sizeof(piece), NULL);
    }
}

static void events(void *context, struct pk_request *request, struct pk_answer *answer)
{
    struct fixture *fixture = context;
    fixture->sse = pk_answer_events(request, answer);
    (void)sem_post(&fixture->entered);
}

static const struct pk_route route_table[] = {
    { .method = PK_METHOD_GET, .path = "/hot", .lane = PK_LANE_HOT, .handler = echo },
    { .method = PK_METHOD_GET, .path = "/store", .lane = PK_LANE_STORE, .handler = echo },
    { .method = PK_METHOD_POST,
      .path = "/hot",
      .lane = PK_LANE_HOT,
      .body_max_bytes = 1000,
      .handler = echo },
    { .method = PK_METHOD_POST,
      .path = "/stream",
      .lane = PK_LANE_SLOW,
      .is_streamed = true,
      .handler = echo },
    { .method = PK_METHOD_GET, .path = "/problem", .lane = PK_LANE_STORE, .handler = problem },
    { .method = PK_METHOD_GET, .path = "/hang", .lane = PK_LANE_SCRIPT, .handler = hang },
    { .method = PK_METHOD_GET, .path = "/hang/loop", .lane = PK_LANE_HOT, .handler = hang },
    { .method = PK_METHOD_GET, .path = "/pour", .lane = PK_LANE_SCRIPT, .handler = pour },
    { .method = PK_METHOD_POST,
      .path = "/stream/script",
      .lane = PK_LANE_SCRIPT,
      .is_streamed = true,
      .handler = echo },
    { .method = PK_METHOD_GET, .path = "/events", .lane = PK_LANE_HOT, .handler = events },
};

static struct fixture *start(struct pk_net_limits limits)
{
    struct fixture *fixture = pk_calloc(1, sizeof(*fixture));
    struct pk_error err = { 0 };
    limits.lane[PK_LANE_SCRIPT].hung_ms = HUNG_MS;
    const struct pk_net_options options = { .listener = client_listener,
                                            .listener_count = 1,
                                            .gate = &gate,
                                            .done = done,
                                            .done_context = fixture,
                                            .route = route_table,
                                            .route_count = PK_COUNT(route_table),
                                            .context = fixture,
                                            .loops = 2,
                                            .limits = limits };
    (void)sem_init(&fixture->entered, 0, 0);
    (void)sem_init(&fixture->leave, 0, 0);
    (void)pthread_mutex_init(&fixture->lock, NULL);
    assert_ok(pk_net_open(&fixture->net, &options, &err), &err);
    return fixture;
}

static void stop(struct fixture *fixture)
{
    assert_int_equal(pk_net_close(fixture->net).hung, 0);
    assert_int_equal(fixture->callers, fixture->left); /* Everybody was left, once. */
    pk_sse_unref(fixture->sse);
    (void)pthread_mutex_destroy(&fixture->lock);
    (void)sem_destroy(&fixture->entered);
    (void)sem_destroy(&fixture->leave);
    pk_free(fixture);
}

static const char *ask(struct fixture *fixture, const char *request)
{
    return client_ask(fixture->net, request);
}

static int open_with(struct fixture *fixture, const char *request)
{
    int fd = client_dial(fixture->net);
    client_say(fd, request, strlen(request));
    return fd;
}

static void reset(int fd)
{
    const struct linger hard = { .l_onoff = 1 };
    (void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &hard, sizeof(hard));
    (void)close(fd);
}

/* The last one that was told, once there are 'count'. */
static struct told told(struct fixture *fixture, size_t count)
{
    wait_until(told_count(fixture) >= count);
    assert_int_equal(told_count(fixture), count);
    (void)pthread_mutex_lock(&fixture->lock);
    struct told last = fixture->told[count - 1];
    (void)pthread_mutex_unlock(&fixture->lock);
    return last;
}

/* ---- The gate ---- */

TEST(what_the_gate_adds_goes_out_with_every_answer)
{
    static const char *const request[] = {
        GET("/hot") "\r\n",
        GET("/store") "\r\n",
        GET("/problem") "\r\n",
        GET("/hot") "X-Gate: shut\r\n\r\n",
        GET("/hot") "X-Gate: away\r\n\r\n",
        GET("/hot") "X-Gate: away-no\r\n\r\n",
        POST("/hot") "Content-Length: 3\r\n\r\nabc",
    };
    struct fixture *fixture = start((struct pk_net_limits){ 0 });
    for (size_t i = 0; i < PK_COUNT(request); i++) {
        assert_says(ask(fixture, request[i]), "X-Gate-Was: here\r\n");
    }
    assert_int_equal(fixture->looks, PK_COUNT(request));
    assert_null(strstr(ask(fixture, GET("/none") "\r\n"), "X-Gate-Was")); /* No route, no gate. */
    stop(fixture);
}

TEST(who_is_refused_without_a_body_may_ask_again)
{
    struct fixture *fixture = start((struct pk_net_limits){ 0 });
    const char *answer = ask(fixture, GET("/hot") "X-Gate: shut\r\n\r\n" GET(
                                          "/hot") "X-Gate: away-no\r\n\r\n" GET("/hot") "\r\n");
    const char *first = strstr(answer, "HTTP/1.1 401 ");
    const char *second = strstr(answer, "HTTP/1.1 403 ");
    const char *third = strstr(answer, "HTTP/1.1 200 ");
    assert_true(first && second && third && first < second && second < third);
    stop(fixture);
}

TEST(a_body_that_is_refused_is_neither_wanted_nor_read)
{
    static const char *const says[] = { "shut", "away-no" };
    static const char *const path[] = { "/hot", "/stream" };
    struct fixture *fixture = start((struct pk_net_limits){ 0 });
    for (size_t i = 0; i < 4; i++) {
        char request[256];
        (void)snprintf(request, sizeof(request),
                       "POST %s HTTP/1.1\r\nHost: a\r\nX-Gate: %s\r\nExpect: 100-continue\r\n"
                       "Content-Length: 30\r\n\r\nGET /hot HTTP/1.1\r\nHost: a\r\n\r\n",
                       path[i / 2], says[i % 2]);
        const char *answer = ask(fixture, request);
        assert_null(strstr(answer, "100 Continue"));
        assert_says(answer, i % 2 ? "HTTP/1.1 403 " : "HTTP/1.1 401 ");
        assert_says(answer, "Connection: close\r\n");
        assert_null(strstr(answer + 1, "HTTP/1.1"));
    }
    assert_int_equal(fixture->handled, 0);
    stop(fixture);
}

TEST(who_is_let_in_from_elsewhere_sends_the_body_then)
{
    static const char *const path[] = { "/hot", "/stream" };
    struct fixture *fixture = start((struct pk_net_limits){ 0 });
    for (size_t i = 0; i < PK_COUNT(path); i++) {
        char request[256];
        (void)snprintf(request, sizeof(request),
                       "POST %s HTTP/1.1\r\nHost: a\r\nX-Gate: away-wait\r\n"
                       "Expect: 100-continue\r\nTransfer-Encoding: chunked\r\n\r\n",
                       path[i]);
        int fd = open_with(fixture, request);
        struct pollfd waiting = { .fd = fd, .events = POLLIN };
        (void)sem_wait(&fixture->entered);
        assert_int_equal(poll(&waiting, 1, 0), 0); /* No "100 Continue" yet. */
        (void)sem_post(&fixture->leave);
        assert_says(client_hear(fd, "\r\n\r\n"), "100 Continue");
        client_say(fd, "3\r\nabc\r\n0\r\n\r\n", 13);
        assert_says(client_hear(fd, "b=abc."), "HTTP/1.1 200 ");
        client_say(fd, GET("/hot") "\r\n", strlen(GET("/hot") "\r\n")); /* It goes on. */
        assert_says(client_hear(fd, "b=."), "HTTP/1.1 200 ");
        (void)close(fd);
    }
    /* All at once, body and next request included. */
    assert_says(ask(fixture, POST("/hot") "X-Gate: away\r\nContent-Length: 3\r\n\r\nxyz" GET(
                                 "/store") "\r\n"),
                "b=xyz.");
    stop(fixture);
}

TEST(who_goes_away_while_the_gate_asks_harms_nobody)
{
    static const char *const request[] = {
        GET("/hot") "X-Gate: away-wait\r\n\r\n",
        POST("/hot") "X-Gate: away-wait\r\nContent-Length: 3\r\n\r\n",
        POST("/stream") "X-Gate: away-no-wait\r\nContent-Length: 3\r\n\r\nabc",
    };
    struct pk_net_stats stats;
    struct fixture *fixture = start((struct pk_net_limits){ 0 });
    for (size_t i = 0; i < PK_COUNT(request); i++) {
        int fd = open_with(fixture, request[i]);
        (void)sem_wait(&fixture->entered);
        reset(fd);
        (void)sem_post(&fixture->leave);
        wait_until((pk_net_stats(fixture->net, &stats), stats.connections == 0));
        wait_until(fixture->left == i + 1);
    }
    stop(fixture);
}

TEST(a_full_lane_keeps_the_gate_from_asking_and_says_so)
{
    struct fixture *fixture =
        start((struct pk_net_limits){ .lane[PK_LANE_STORE] = { .threads = 1, .queue_max = 1 } });
    struct pk_lane_stats stats;
    int fd[2];
    fd[0] = open_with(fixture, GET("/hot") "X-Gate: away-wait\r\n\r\n");
    (void)sem_wait(&fixture->entered);
    fd[1] = open_with(fixture, GET("/hot") "X-Gate: away\r\n\r\n");
    wait_until((pk_net_lane_stats(fixture->net, PK_LANE_STORE, &stats), stats.waiting == 1));
    assert_says(ask(fixture, GET("/hot") "X-Gate: away\r\n\r\n"), "\"code\":\"busy\"");
    assert_int_equal(told(fixture, 1).status, 503);
    (void)sem_post(&fixture->leave);
    for (size_t i = 0; i < 2; i++) {
        assert_says(client_hear(fd[i], "b=."), "HTTP/1.1 200 ");
        (void)close(fd[i]);
    }
    stop(fixture);
}

/* ---- What is told ---- */

TEST(every_request_is_told_once_with_its_times)
{
    struct fixture *fixture = start((struct pk_net_limits){ 0 });
    (void)ask(fixture, GET("/hot") "\r\n");
    struct told one = told(fixture, 1);
    assert_int_equal(one.status, 200);
    assert_string_equal(one.path, "/hot");
    assert_string_equal(one.refusal, "-");
    assert_int_equal(one.bytes, 3);
    assert_true(one.has_route && one.times.first_ns > 0 && one.times.head_ns > 0);
    assert_true(one.times.whole_ns > 0 && one.times.sent_ns >= one.times.whole_ns);
    assert_true(one.times.run_ns > 0 && one.times.queue_ns == 0);
    (void)ask(fixture, GET("/store") "\r\n");
    one = told(fixture, 2);
    assert_true(one.times.queue_ns > 0 && one.times.run_ns > 0);
    assert_true(one.times.sent_ns - one.times.first_ns >= one.times.queue_ns + one.times.run_ns);
    (void)ask(fixture, GET("/none") "\r\n");
    one = told(fixture, 3);
    assert_int_equal(one.status, 404);
    assert_true(!one.has_route && strcmp(one.refusal, "-") == 0);
    (void)ask(fixture, "DELETE /hot HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_int_equal(told(fixture, 4).status, 405);
    (void)ask(fixture, "GET /hot HTTP/1.1\r\n\r\n"); /* No Host. */
    one = told(fixture, 5);
    assert_int_equal(one.status, 400);
    assert_string_equal(one.refusal, "malformed_host");
    (void)ask(fixture, POST("/hot") "Content-Length: 1001\r\n\r\n");
    assert_int_equal(told(fixture, 6).status, 413);
    (void)ask(fixture, POST("/stream") "Content-Length: 3\r\n\r\nabc");
    one = told(fixture, 7);
    assert_int_equal(one.status, 200);
    assert_int_equal(one.bytes, 6);
    (void)ask(fixture, GET("/hot") "X-Gate: shut\r\n\r\n");
    assert_int_equal(told(fixture, 8).status, 401);
    stop(fixture);
}

TEST(who_had_gone_is_told_as_499)
{
    struct fixture *fixture = start((struct pk_net_limits){ 0 });
    int fd = open_with(fixture, GET("/store") "X-Gate: away-wait\r\n\r\n");
    struct pk_net_stats stats;
    (void)sem_wait(&fixture->entered);
    client_say(fd, "more", 4);
    reset(fd);
    (void)sem_post(&fixture->leave);
    /* Its answer may be made before the loop has seen that it has gone. */
    (void)told(fixture, 1);
    fd = open_with(fixture, POST("/hot") "Content-Length: 3\r\n\r\na");
    wait_until(fixture->looks == 2);
    reset(fd); /* A body that breaks off. */
    assert_int_equal(told(fixture, 2).status, 499);
    fd = open_with(fixture, GET("/pour") "\r\n");
    assert_says(client_hear(fd, "\r\n\r\n"), "200");
    reset(fd); /* An answer that breaks off. */
    assert_int_equal(told(fixture, 3).status, 499);
    wait_until((pk_net_stats(fixture->net, &stats), stats.connections == 0));
    stop(fixture);
}

TEST(a_stream_of_events_is_told_at_its_end)
{
    struct fixture *fixture = start((struct pk_net_limits){ 0 });
    int fd = open_with(fixture, GET("/events") "\r\n");
    assert_says(client_hear(fd, "\r\n\r\n"), "200");
    (void)sem_wait(&fixture->entered);
    assert_int_equal(told_count(fixture), 0);
    assert_true(
        pk_sse_send(fixture->sse, &(struct pk_sse_event){ .data = "x", .data_size = 1 }, NULL));
    assert_says(client_hear(fd, "data: x\n\n"), "x");
    (void)close(fd);
    struct told one = told(fixture, 1);
    assert_int_equal(one.status, 200);
    assert_int_equal(one.bytes, 9);
    stop(fixture);
}

/* ---- Hung calls ---- */

TEST(a_call_that_does_not_come_back_is_answered_504_and_its_thread_replaced)
{
    struct fixture *fixture =
        start((struct pk_net_limits){ .lane[PK_LANE_SCRIPT] = { .threads = 1, .queue_max = 8 } });
    struct pk_lane_stats stats;
    int first = open_with(fixture, GET("/hang?headers") "\r\n");
    (void)sem_wait(&fixture->entered);
    int second = open_with(fixture, GET("/hang") "\r\n"); /* Waits for the only thread. */
    const char *answer = client_hear(first, "requestId");
    assert_says(answer, "HTTP/1.1 504 ");
    assert_says(answer, "\"code\":\"hung\"");
    assert_says(answer, "X-Gate-Was: here\r\n");
    assert_int_equal(told(fixture, 1).status, 504);
    (void)sem_wait(&fixture->entered); /* The second has a thread. */
    assert_says(client_hear(second, "requestId"), "HTTP/1.1 504 ");
    pk_net_lane_stats(fixture->net, PK_LANE_SCRIPT, &stats);
    assert_int_equal(stats.hung, 2);
    assert_int_equal(stats.lost, 2);
    assert_int_equal(stats.running, 0);
    /* The first connection lives on, while its call still hangs. */
    client_say(first, GET("/hot") "\r\n", strlen(GET("/hot") "\r\n"));
    assert_says(client_hear(first, "b=."), "HTTP/1.1 200 ");
    (void)sem_post(&fixture->leave);
    (void)sem_post(&fixture->leave);
    wait_until((pk_net_lane_stats(fixture->net, PK_LANE_SCRIPT, &stats), stats.lost == 0));
    assert_int_equal(told(fixture, 3).status, 200); /* What came back late is told nobody. */
    (void)close(first);
    (void)close(second);
    stop(fixture);
}

TEST(a_lane_with_too_many_hung_calls_is_busy_until_some_come_back)
{
    struct fixture *fixture = start((struct pk_net_limits){
        .lane[PK_LANE_SCRIPT] = { .threads = PK_NET_HUNG_MAX + 4, .queue_max = 64 } });
    struct pk_lane_stats stats;
    int fd[PK_NET_HUNG_MAX];
    for (size_t i = 0; i < PK_NET_HUNG_MAX; i++) {
        fd[i] = open_with(fixture, GET("/hang") "\r\n");
    }
    for (size_t i = 0; i < PK_NET_HUNG_MAX; i++) {
        assert_says(client_hear(fd[i], "requestId"), "HTTP/1.1 504 ");
        (void)close(fd[i]);
    }
    assert_says(ask(fixture, GET("/hang") "\r\n"), "\"code\":\"busy\"");
    assert_says(ask(fixture, GET("/store") "\r\n"), "HTTP/1.1 200 ");
    for (size_t i = 0; i < PK_NET_HUNG_MAX; i++) {
        (void)sem_post(&fixture->leave);
    }
    wait_until((pk_net_lane_stats(fixture->net, PK_LANE_SCRIPT, &stats), stats.lost == 0));
    (void)sem_post(&fixture->leave);
    assert_says(ask(fixture, GET("/hang") "\r\n"), "back.");
    stop(fixture);
}

TEST(who_waits_for_a_slow_client_does_not_hang)
{
    struct fixture *fixture = start((struct pk_net_limits){ 0 });
    struct pk_lane_stats stats;
    int up = open_with(fixture, POST("/stream/script") "Content-Length: 6\r\n\r\nabc");
    int down = open_with(fixture, GET("/pour") "\r\n");
    wait_until((pk_net_lane_stats(fixture->net, PK_LANE_SCRIPT, &stats), stats.running == 2));
    /* Another call that does hang shows that time has passed. */
    assert_says(ask(fixture, GET("/hang") "\r\n"), "HTTP/1.1 504 ");
    client_say(up, "def", 3);
    assert_says(client_hear(up, "."), "HTTP/1.1 200 ");
    pk_net_lane_stats(fixture->net, PK_LANE_SCRIPT, &stats);
    assert_int_equal(stats.hung, 1);
    (void)sem_post(&fixture->leave);
    (void)close(up);
    (void)close(down);
    stop(fixture);
}

TEST(a_client_that_has_gone_does_not_keep_its_hung_call)
{
    struct fixture *fixture = start((struct pk_net_limits){ 0 });
    struct pk_lane_stats stats;
    int fd = open_with(fixture, GET("/hang") "\r\n");
    (void)sem_wait(&fixture->entered);
    reset(fd);
    wait_until((pk_net_lane_stats(fixture->net, PK_LANE_SCRIPT, &stats), stats.lost == 1));
    (void)sem_post(&fixture->leave);
    wait_until((pk_net_lane_stats(fixture->net, PK_LANE_SCRIPT, &stats), stats.lost == 0));
    stop(fixture);
}

/* ---- The end ---- */

TEST(an_end_says_what_it_cut_off_and_what_hangs)
{
    struct fixture *fixture =
        start((struct pk_net_limits){ .lane[PK_LANE_SCRIPT] = { .threads = 4, .queue_max = 8 } });
    struct pk_lane_stats stats;
    int idle = open_with(fixture, GET("/hot") "\r\n");
    assert_says(client_hear(idle, "b=."), "200");
    int body = open_with(fixture, POST("/hot") "Content-Length: 3\r\n\r\na");
    wait_until(fixture->looks == 2);
    int hung = open_with(fixture, GET("/hang") "\r\n");
    assert_says(client_hear(hung, "requestId"), "HTTP/1.1 504 ");
    int runs = open_with(fixture, GET("/hang") "\r\n");
    (void)sem_wait(&fixture->entered);
    (void)sem_wait(&fixture->entered);
    pk_net_lane_stats(fixture->net, PK_LANE_SCRIPT, &stats);
    assert_int_equal(stats.hung, 1);
    struct pk_net_rest rest = pk_net_close(fixture->net);
    assert_int_equal(rest.hung, 2);
    assert_int_equal(rest.cut, 2); /* The body that is not whole, and the call that runs. */
    (void)sem_post(&fixture->leave);
    (void)sem_post(&fixture->leave);
    wait_until(fixture->handled == 3); /* They come back to what is still there. */
    pk_free(fixture);
    (void)close(idle);
    (void)close(body);
    (void)close(hung);
    (void)close(runs);
}

TEST(a_loop_that_is_stuck_is_late_and_later)
{
    struct fixture *fixture = start((struct pk_net_limits){ 0 });
    struct pk_net_stats stats;
    int fd = open_with(fixture, GET("/hang/loop") "\r\n");
    (void)sem_wait(&fixture->entered);
    wait_until((pk_net_stats(fixture->net, &stats), stats.lag_ns > 20 * 1000000));
    int64_t before_ns = stats.lag_ns;
    wait_until((pk_net_stats(fixture->net, &stats), stats.lag_ns > before_ns));
    (void)sem_post(&fixture->leave);
    assert_says(client_hear(fd, "back."), "200");
    (void)close(fd);
    stop(fixture);
}

TEST(a_drain_answers_what_lay_in_the_kernel_unseen)
{
    enum { MANY = 32 };
    struct fixture *fixture = start((struct pk_net_limits){ 0 });
    int stuck[2];
    int fd[MANY];
    for (size_t i = 0; i < PK_COUNT(stuck); i++) { /* Both loops, or one of them twice. */
        stuck[i] = open_with(fixture, GET("/hang/loop") "\r\n");
    }
    (void)sem_wait(&fixture->entered);
    for (size_t i = 0; i < MANY; i++) {
        fd[i] = open_with(fixture, GET("/hot") "\r\n");
    }
    pk_net_drain(fixture->net);
    (void)sem_post(&fixture->leave);
    (void)sem_post(&fixture->leave);
    for (size_t i = 0; i < PK_COUNT(stuck); i++) {
        assert_says(client_hear(stuck[i], NULL), "back.");
        (void)close(stuck[i]);
    }
    for (size_t i = 0; i < MANY; i++) {
        assert_says(client_hear(fd[i], NULL), "b=.");
        (void)close(fd[i]);
    }
    struct pollfd done_fd = { .fd = pk_net_done_fd(fixture->net), .events = POLLIN };
    assert_int_equal(poll(&done_fd, 1, CLIENT_PATIENCE_MS), 1);
    assert_int_equal(pk_net_close(fixture->net).cut, 0);
    fixture->net = NULL;
    stop(fixture);
}
