/* test_stream.c - Bodies and answers in pieces, parked requests, streams of events. */
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
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define ASK(path) "GET " path " HTTP/1.1\r\nHost: a\r\n\r\n"

enum { STREAM_BYTES = 64 * 1024, PIECE = 16 * 1024, WAKES_MAX = 5000 };

struct fixture {
    struct pk_net *net;
    sem_t entered, leave;
    struct pk_parked *parked;
    struct pk_sse *sse;
    size_t written; /* By the handler that streams its answer. */
    bool has_failed;
    pthread_mutex_t lock; /* Of 'written' and 'has_failed'. */
};

/* Counts bytes and lines, a small buffer at a time. */
static void count_lines(void *context, struct pk_request *request, struct pk_answer *answer)
{
    struct fixture *fixture = context;
    struct pk_error err = { 0 };
    char piece[1000];
    size_t got;
    size_t bytes = 0;
    size_t lines = 0;
    bool is_ok;
    (void)sem_post(&fixture->entered);
    if (strcmp(request->query, "wait") == 0) {
        (void)sem_wait(&fixture->leave);
    }
    while ((is_ok = pk_request_read(request, piece, sizeof(piece), &got, &err)) && got > 0) {
        bytes += got;
        for (size_t i = 0; i < got; i++) {
            lines += piece[i] == '\n';
        }
    }
    (void)pthread_mutex_lock(&fixture->lock);
    fixture->has_failed = !is_ok;
    (void)pthread_mutex_unlock(&fixture->lock);
    (void)sem_post(&fixture->entered);
    pk_buf_printf(&answer->body, "%zu bytes, %zu lines.", bytes, lines);
    pk_answer_json(answer, 200);
}

/* Answers before it has read. */
static void refuse_early(void *context, struct pk_request *request, struct pk_answer *answer)
{
    (void)context;
    pk_answer_problem(request, answer, 409, "conflict", "not wanted", NULL);
}

/* Writes up to 64 MiB. */
static void pour(void *context, struct pk_request *request, struct pk_answer *answer)
{
    struct fixture *fixture = context;
    struct pk_error err = { 0 };
    static const char piece[PIECE] = { 'x' };
    size_t pieces = strcmp(request->query, "few") == 0 ? 20 : 4096;
    bool is_ok = true;
    answer->content_type = "application/octet-stream";
    for (size_t i = 0; i < pieces && is_ok; i++) {
        is_ok = pk_answer_write(request, answer, piece, sizeof(piece), &err);
        (void)pthread_mutex_lock(&fixture->lock);
        fixture->written += is_ok ? sizeof(piece) : 0;
        fixture->has_failed = !is_ok;
        (void)pthread_mutex_unlock(&fixture->lock);
    }
    (void)sem_post(&fixture->entered);
}

/* Says what it hears, at once. */
static void mirror(void *context, struct pk_request *request, struct pk_answer *answer)
{
    char piece[1000];
    size_t got;
    (void)context;
    answer->content_type = "application/octet-stream";
    while (pk_request_read(request, piece, sizeof(piece), &got, NULL) && got > 0 &&
           pk_answer_write(request, answer, piece, got, NULL)) {
    }
}

static void after_park(void *context, struct pk_request *request, struct pk_answer *answer)
{
    (void)context;
    pk_buf_printf(&answer->body, "%s on %s.", request->is_timed_out ? "late" : "woken",
                  pk_lane_text(request->lane));
    pk_answer_json(answer, 200);
}

static void park(void *context, struct pk_request *request, struct pk_answer *answer)
{
    struct fixture *fixture = context;
    bool is_short = strcmp(request->query, "short") == 0;
    bool is_early = strcmp(request->query, "early") == 0;
    struct pk_parked *parked =
        pk_answer_park(request, answer, is_short ? 30 : 60000, PK_LANE_STORE, after_park);
    if (is_early) {
        (void)pk_parked_wake(parked); /* Before it even waits. */
    }
    if (is_short || is_early) {
        pk_parked_unref(parked);
        return;
    }
    fixture->parked = parked;
    (void)sem_post(&fixture->entered);
}

static void events(void *context, struct pk_request *request, struct pk_answer *answer)
{
    struct fixture *fixture = context;
    fixture->sse = pk_answer_events(request, answer);
    (void)pk_sse_send(fixture->sse, &(struct pk_sse_event){ .data = "first", .data_size = 5 },
                      NULL);
    (void)sem_post(&fixture->entered);
}

static const struct pk_route route_table[] = {
    { .method = PK_METHOD_POST,
      .path = "/lines",
      .lane = PK_LANE_SLOW,
      .is_streamed = true,
      .handler = count_lines },
    { .method = PK_METHOD_POST,
      .path = "/early",
      .lane = PK_LANE_SLOW,
      .is_streamed = true,
      .handler = refuse_early },
    { .method = PK_METHOD_POST,
      .path = "/mirror",
      .lane = PK_LANE_SLOW,
      .is_streamed = true,
      .handler = mirror },
    { .method = PK_METHOD_GET, .path = "/pour", .lane = PK_LANE_SLOW, .handler = pour },
    { .method = PK_METHOD_GET, .path = "/park", .lane = PK_LANE_STORE, .handler = park },
    { .method = PK_METHOD_GET, .path = "/park/hot", .lane = PK_LANE_HOT, .handler = park },
    { .method = PK_METHOD_GET, .path = "/events", .lane = PK_LANE_HOT, .handler = events },
};

static void start(struct fixture *fixture, struct pk_net_limits limits)
{
    struct pk_error err = { 0 };
    limits.stream_bytes = STREAM_BYTES;
    const struct pk_net_options options = { .listener = client_listener,
                                            .listener_count = 1,
                                            .route = route_table,
                                            .route_count = PK_COUNT(route_table),
                                            .context = fixture,
                                            .loops = 1,
                                            .limits = limits };
    *fixture = (struct fixture){ 0 };
    (void)sem_init(&fixture->entered, 0, 0);
    (void)sem_init(&fixture->leave, 0, 0);
    (void)pthread_mutex_init(&fixture->lock, NULL);
    assert_ok(pk_net_open(&fixture->net, &options, &err), &err);
}

static void stop(struct fixture *fixture)
{
    pk_net_close(fixture->net);
    if (fixture->parked) {
        (void)pk_parked_wake(fixture->parked); /* The server has gone: nothing happens. */
    }
    pk_parked_unref(fixture->parked);
    pk_sse_unref(fixture->sse);
    (void)sem_destroy(&fixture->entered);
    (void)sem_destroy(&fixture->leave);
    (void)pthread_mutex_destroy(&fixture->lock);
}

static int ask_open(const struct fixture *fixture, const char *request)
{
    int fd = client_dial(fixture->net);
    client_say(fd, request, strlen(request));
    return fd;
}

/* Sends all of it, as long as the server takes it within a moment. */
static size_t pump(int fd, const char *data, size_t size)
{
    size_t sent = 0;
    struct pollfd waiting = { .fd = fd, .events = POLLOUT };
    while (sent < size && poll(&waiting, 1, 300) == 1) {
        ssize_t done = send(fd, data + sent, size - sent, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (done <= 0) {
            break;
        }
        sent += (size_t)done;
    }
    return sent;
}

/* ---- Bodies ---- */

TEST(a_body_of_any_length_is_read_in_pieces_and_the_connection_goes_on)
{
    struct fixture fixture;
    char chunk[8 + 4000 + 2];
    start(&fixture, (struct pk_net_limits){ 0 });
    int fd = ask_open(&fixture, "POST /lines HTTP/1.1\r\nHost: a\r\n"
                                "Transfer-Encoding: chunked\r\n\r\n");
    memcpy(chunk, "fa0\r\n", 5);
    for (size_t i = 0; i < 4000; i++) {
        chunk[5 + i] = i % 100 == 99 ? '\n' : 'x';
    }
    memcpy(chunk + 5 + 4000, "\r\n", 2);
    for (int i = 0; i < 2000; i++) {
        client_say(fd, chunk, 5 + 4000 + 2);
    }
    client_say(fd, "0\r\n\r\n", 5);
    assert_says(client_hear(fd, "lines."), "8000000 bytes, 80000 lines.");
    const char *small = "POST /lines HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\na\n";
    client_say(fd, small, strlen(small));
    assert_says(client_hear(fd, "lines."), "2 bytes, 1 lines.");
    (void)close(fd);
    stop(&fixture);
}

TEST(a_reader_that_is_behind_stops_the_sender_and_memory_is_bounded)
{
    enum { SIZE = 32 * 1024 * 1024 };
    struct fixture fixture;
    char head[128];
    char *body = pk_calloc(1, SIZE);
    start(&fixture, (struct pk_net_limits){ 0 });
    (void)snprintf(head, sizeof(head),
                   "POST /lines?wait HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n", SIZE);
    int fd = ask_open(&fixture, head);
    (void)sem_wait(&fixture.entered);
    size_t sent = pump(fd, body, SIZE);
    assert_true(sent < SIZE); /* The rest has no room: the handler does not read. */
    (void)sem_post(&fixture.leave);
    while (sent < SIZE) {
        size_t more = pump(fd, body + sent, SIZE - sent);
        assert_true(more > 0);
        sent += more;
    }
    assert_says(client_hear(fd, "lines."), "33554432 bytes");
    (void)close(fd);
    pk_free(body);
    stop(&fixture);
}

TEST(a_client_that_leaves_in_the_middle_of_its_body_fails_the_reader)
{
    struct fixture fixture;
    start(&fixture, (struct pk_net_limits){ 0 });
    int fd = ask_open(&fixture, "POST /lines HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nabc");
    (void)sem_wait(&fixture.entered);
    (void)close(fd);
    (void)sem_wait(&fixture.entered);
    assert_true(fixture.has_failed);
    stop(&fixture);
}

TEST(a_body_below_the_minimum_rate_is_cut_and_fails_the_reader)
{
    struct fixture fixture;
    start(&fixture, (struct pk_net_limits){ .body_ms = 50 });
    int fd =
        ask_open(&fixture, "POST /lines HTTP/1.1\r\nHost: a\r\nContent-Length: 900\r\n\r\nabc");
    assert_says(client_hear(fd, NULL), "HTTP/1.1 408 ");
    (void)sem_wait(&fixture.entered);
    (void)sem_wait(&fixture.entered);
    assert_true(fixture.has_failed);
    (void)close(fd);
    stop(&fixture);
}

TEST(a_broken_chunk_behind_a_running_handler_is_refused_and_fails_the_reader)
{
    struct fixture fixture;
    start(&fixture, (struct pk_net_limits){ 0 });
    int fd = ask_open(&fixture, "POST /lines HTTP/1.1\r\nHost: a\r\n"
                                "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n");
    (void)sem_wait(&fixture.entered);
    client_say(fd, "zz\r\n", 4);
    assert_says(client_hear(fd, NULL), "HTTP/1.1 400 ");
    (void)sem_wait(&fixture.entered);
    assert_true(fixture.has_failed);
    (void)close(fd);
    stop(&fixture);
}

TEST(what_was_answered_before_a_broken_request_is_not_lost)
{
    enum { TIMES = 50, LONG = 2000 };
    struct fixture fixture;
    PK_CLEANUP(pk_buf_done) struct pk_buf request = { 0 };
    start(&fixture, (struct pk_net_limits){ 0 });
    pk_buf_add_text(&request, ASK("/first"));
    pk_buf_add_text(&request,
                    "POST /mirror HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
                    "5\r\nabcde\r\n1;");
    for (int i = 0; i < LONG; i++) {
        pk_buf_add_char(&request, 'x'); /* The mirror's answer begins meanwhile. */
    }
    pk_buf_add_text(&request, "\r\naXX");
    for (int i = 0; i < TIMES; i++) {
        assert_says(client_ask(fixture.net, pk_buf_text(&request)), "there is nothing at '/first'");
    }
    stop(&fixture);
}

TEST(an_answer_before_the_end_of_the_body_closes_the_connection)
{
    struct fixture fixture;
    start(&fixture, (struct pk_net_limits){ 0 });
    int fd = ask_open(&fixture, "POST /early HTTP/1.1\r\nHost: a\r\nContent-Length: 99\r\n\r\nabc");
    const char *answer = client_hear(fd, NULL);
    assert_says(answer, "HTTP/1.1 409 ");
    assert_says(answer, "Connection: close\r\n");
    (void)close(fd);
    stop(&fixture);
}

/* ---- Answers ---- */

/* Everything up to the close. */
static size_t drink(int fd, char *last, size_t last_size)
{
    static char piece[65536];
    size_t size = 0;
    ssize_t got;
    while ((got = recv(fd, piece, sizeof(piece), 0)) > 0) {
        size += (size_t)got;
        size_t keep = (size_t)got < last_size ? (size_t)got : last_size;
        memcpy(last, piece + (size_t)got - keep, keep);
    }
    return size;
}

TEST(an_answer_in_pieces_comes_in_chunks_and_whole)
{
    struct fixture fixture;
    char last[5] = "";
    start(&fixture, (struct pk_net_limits){ 0 });
    int fd = ask_open(&fixture, "GET /pour?few HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    assert_true(drink(fd, last, sizeof(last)) > 20 * PIECE);
    assert_memory_equal(last, "0\r\n\r\n", 5);
    (void)close(fd);
    fd = ask_open(&fixture, "GET /pour?few HTTP/1.0\r\n\r\n"); /* No chunks: to the end. */
    size_t size = drink(fd, last, sizeof(last));
    assert_in_range(size, 20 * PIECE + 100, 20 * PIECE + 400);
    (void)close(fd);
    stop(&fixture);
}

TEST(a_client_that_is_behind_stops_the_writer_and_one_that_takes_nothing_is_cut)
{
    struct fixture fixture;
    struct pk_net_stats stats;
    start(&fixture, (struct pk_net_limits){ .write_ms = 300 });
    int fd = client_dial(fixture.net);
    int small = 4096;
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
    client_say(fd, ASK("/pour"), strlen(ASK("/pour")));
    (void)sem_wait(&fixture.entered); /* The writer has been told. */
    assert_true(fixture.has_failed);
    assert_true(fixture.written < 32 * 1024 * 1024);
    pk_net_stats(fixture.net, &stats);
    assert_true(stats.wakes < WAKES_MAX); /* Who waits for the client does not ask all the time. */
    (void)close(fd);
    stop(&fixture);
}

TEST(who_sends_and_takes_nothing_of_what_comes_back_is_cut)
{
    struct fixture fixture;
    struct pk_net_stats stats;
    static char bytes[64 * 1024];
    start(&fixture, (struct pk_net_limits){ .write_ms = 200, .body_ms = 200 });
    int fd = client_dial(fixture.net);
    int small = 4096;
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
    static const char head[] =
        "POST /mirror HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999\r\n\r\n";
    client_say(fd, head, sizeof(head) - 1);
    size_t sent = 0;
    do {
        sent += pump(fd, bytes, sizeof(bytes));
        pk_net_stats(fixture.net, &stats);
    } while (stats.connections > 0 && sent < 99999999);
    assert_int_equal(stats.connections, 0);
    assert_true(stats.wakes < WAKES_MAX);
    (void)close(fd);
    stop(&fixture);
}

/* ---- Parking ---- */

TEST(a_parked_request_holds_no_thread_and_goes_on_when_woken)
{
    struct fixture fixture;
    struct pk_lane_stats stats;
    start(&fixture, (struct pk_net_limits){ 0 });
    int fd = ask_open(&fixture, ASK("/park"));
    (void)sem_wait(&fixture.entered);
    wait_until((pk_net_lane_stats(fixture.net, PK_LANE_STORE, &stats), stats.running == 0));
    assert_true(pk_parked_wake(fixture.parked));
    assert_says(client_hear(fd, "store."), "woken on store.");
    assert_false(pk_parked_wake(fixture.parked)); /* Nobody waits. */
    assert_says(client_ask(fixture.net, ASK("/park?short")), "late on store.");
    assert_says(client_ask(fixture.net, ASK("/park?early")), "woken on store.");
    assert_says(client_ask(fixture.net, ASK("/park/hot?early") ASK("/park/hot?short")),
                "late on store.");
    (void)close(fd);
    stop(&fixture);
}

TEST(a_client_or_a_server_that_goes_while_parked_harms_nobody)
{
    struct fixture fixture;
    struct pk_net_stats stats;
    struct linger hard = { .l_onoff = 1 };
    start(&fixture, (struct pk_net_limits){ 0 });
    int fd = ask_open(&fixture, ASK("/park"));
    (void)sem_wait(&fixture.entered);
    (void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &hard, sizeof(hard));
    (void)close(fd);
    (void)pk_parked_wake(fixture.parked);
    wait_until((pk_net_stats(fixture.net, &stats), stats.connections == 0));
    pk_parked_unref(fixture.parked);
    fd = ask_open(&fixture, ASK("/park"));
    (void)sem_wait(&fixture.entered);
    stop(&fixture); /* Wakes once more, after the server has gone. */
    (void)close(fd);
}

/* ---- Events ---- */

static bool send_event(struct fixture *fixture, const char *id, const char *type, const char *data,
                       size_t size, struct pk_error *err)
{
    const struct pk_sse_event event = { .id = id, .type = type, .data = data, .data_size = size };
    return pk_sse_send(fixture->sse, &event, err);
}

TEST(events_arrive_as_they_are_sent_and_a_drain_says_so)
{
    struct fixture fixture;
    struct pk_error err = { 0 };
    start(&fixture, (struct pk_net_limits){ .beat_ms = 20 });
    int fd = ask_open(&fixture, ASK("/events"));
    (void)sem_wait(&fixture.entered);
    const char *heard = client_hear(fd, ": \n\n"); /* A heartbeat. */
    assert_says(heard, "Content-Type: text/event-stream\r\n");
    assert_says(heard, "\r\n\r\ndata: first\n\n");
    assert_ok(send_event(&fixture, "7", "trait.changed", "{}", 2, &err), &err);
    assert_says(client_hear(fd, "{}\n\n"), "id: 7\nevent: trait.changed\ndata: {}\n\n");
    pk_net_drain(fixture.net);
    assert_says(client_hear(fd, NULL), "event: end\ndata: {\"reason\":\"stopping\"}\n\n");
    struct pollfd done = { .fd = pk_net_done_fd(fixture.net), .events = POLLIN };
    (void)close(fd);
    assert_int_equal(poll(&done, 1, CLIENT_PATIENCE_MS), 1);
    assert_false(send_event(&fixture, NULL, NULL, "x", 1, &err));
    assert_int_equal(err.code, PK_NOT_FOUND);
    stop(&fixture);
}

TEST(an_event_with_a_line_break_is_refused)
{
    static const char *const bad[] = { "a\nb", "a\rb", "\n" };
    struct fixture fixture;
    struct pk_error err = { 0 };
    start(&fixture, (struct pk_net_limits){ 0 });
    int fd = ask_open(&fixture, ASK("/events"));
    (void)sem_wait(&fixture.entered);
    for (size_t i = 0; i < PK_COUNT(bad); i++) {
        assert_false(send_event(&fixture, bad[i], NULL, "x", 1, &err));
        assert_int_equal(err.code, PK_INVALID);
        assert_false(send_event(&fixture, NULL, bad[i], "x", 1, &err));
        assert_false(send_event(&fixture, NULL, NULL, bad[i], strlen(bad[i]), &err));
    }
    assert_false(send_event(&fixture, NULL, NULL, "a\0b", 3, &err));
    pk_sse_end(fixture.sse, "revoked");
    assert_says(client_hear(fd, NULL), "data: first\n\nevent: end\ndata: {\"reason\":\"revoked\"}");
    (void)close(fd);
    stop(&fixture);
}

TEST(a_slow_client_of_events_is_cut_with_an_end_and_holds_little)
{
    static char data[4000];
    struct fixture fixture;
    struct pk_error err = { 0 };
    size_t sent = 0;
    start(&fixture, (struct pk_net_limits){ 0 });
    int small = 4096;
    int fd = client_dial(fixture.net);
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
    client_say(fd, ASK("/events"), strlen(ASK("/events")));
    (void)sem_wait(&fixture.entered);
    memset(data, 'x', sizeof(data));
    while (send_event(&fixture, NULL, NULL, data, sizeof(data), &err)) {
        sent += sizeof(data);
        assert_true(sent < 64 * 1024 * 1024);
        client_pause();
    }
    assert_int_equal(err.code, PK_TOO_LARGE);
    char last[64] = "";
    int large = 1024 * 1024; /* What the kernels hold would else trickle for a minute. */
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &large, sizeof(large));
    (void)drink(fd, last, sizeof(last) - 1);
    assert_says(last, "event: end\ndata: {\"reason\":\"slow\"}\n\n");
    (void)close(fd);
    stop(&fixture);
}

TEST(a_client_that_leaves_its_stream_is_noticed)
{
    struct fixture fixture;
    struct pk_net_stats stats;
    start(&fixture, (struct pk_net_limits){ 0 });
    int fd = ask_open(&fixture, ASK("/events"));
    (void)sem_wait(&fixture.entered);
    (void)client_hear(fd, "first");
    (void)close(fd);
    wait_until((pk_net_stats(fixture.net, &stats), stats.connections == 0));
    assert_false(send_event(&fixture, NULL, NULL, "x", 1, NULL));
    stop(&fixture);
}
