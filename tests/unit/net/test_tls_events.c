/* test_tls_events.c - Streams of events over TLS: what holds for plain ones holds for these. */
/* SPDX-License-Identifier: MIT */
#include "certificate.h"
#include "client.h"
#include "secure.h"
#include "test.h"

#include "net/net.h"
#include "net/sse.h"

#include <poll.h>
#include <semaphore.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { BEAT_MS = 20, STREAM_BYTES = 64 * 1024, WRITE_MS = 20000 };

#define ASK "GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n"

struct fixture {
    struct pk_net *net;
    struct pk_sse *sse;
    sem_t entered;
    char certificate[128], key[128];
};

static void events(void *context, struct pk_request *request, struct pk_answer *answer)
{
    struct fixture *fixture = context;
    fixture->sse = pk_answer_events(request, answer);
    (void)sem_post(&fixture->entered);
}

static const struct pk_route route[] = {
    { .method = PK_METHOD_GET, .path = "/events", .lane = PK_LANE_HOT, .handler = events },
};

static void start(struct fixture *fixture)
{
    struct pk_error err;
    const struct pk_net_listener listener = { .address = "127.0.0.1:0", .is_secure = true };
    *fixture = (struct fixture){ 0 };
    (void)sem_init(&fixture->entered, 0, 0);
    (void)snprintf(fixture->certificate, sizeof(fixture->certificate), "%s/events.pem",
                   pk_test_folder());
    (void)snprintf(fixture->key, sizeof(fixture->key), "%s/events.key", pk_test_folder());
    certificate_make(fixture->certificate, fixture->key, "events", 30, NULL);
    const struct pk_net_options options = {
        .listener = &listener,
        .listener_count = 1,
        .tls_certificate = fixture->certificate,
        .tls_key = fixture->key,
        .route = route,
        .route_count = 1,
        .context = fixture,
        .loops = 1,
        .limits = { .beat_ms = BEAT_MS, .stream_bytes = STREAM_BYTES, .write_ms = WRITE_MS },
    };
    assert_ok(pk_net_open(&fixture->net, &options, &err), &err);
}

static void stop(struct fixture *fixture)
{
    pk_net_close(fixture->net);
    pk_sse_unref(fixture->sse);
    (void)sem_destroy(&fixture->entered);
}

static void follow(struct fixture *fixture, struct secure *client)
{
    secure_open(client, fixture->net, fixture->certificate);
    secure_say(client, ASK);
    (void)sem_wait(&fixture->entered);
}

static bool send_event(struct fixture *fixture, const char *id, const char *data, size_t size,
                       struct pk_error *err)
{
    const struct pk_sse_event event = { .id = id, .data = data, .data_size = size };
    return pk_sse_send(fixture->sse, &event, err);
}

TEST(events_over_tls_arrive_as_they_are_sent_and_a_drain_says_so)
{
    struct fixture fixture;
    struct secure client;
    struct pk_error err = { 0 };
    start(&fixture);
    follow(&fixture, &client);
    const char *heard = secure_hear(&client, ": \n\n"); /* A heartbeat. */
    assert_says(heard, "Content-Type: text/event-stream\r\n");
    assert_ok(send_event(&fixture, "7", "{}", 2, &err), &err);
    assert_says(secure_hear(&client, "{}\n\n"), "id: 7\ndata: {}\n\n");
    secure_say(&client, "what is said in between"); /* Is thrown away. */
    assert_ok(send_event(&fixture, "8", "{}", 2, &err), &err);
    assert_says(secure_hear(&client, "id: 8\ndata: {}\n\n"), "id: 8");
    pk_net_drain(fixture.net);
    assert_says(secure_hear(&client, NULL), "event: end\ndata: {\"reason\":\"stopping\"}\n\n");
    assert_true(secure_is_ended(&client)); /* Nothing was cut off. */
    secure_close(&client);
    struct pollfd done = { .fd = pk_net_done_fd(fixture.net), .events = POLLIN };
    assert_int_equal(poll(&done, 1, CLIENT_PATIENCE_MS), 1);
    stop(&fixture);
}

/* The last bytes of what is there up to the server's end. */
static void drink(struct secure *client, char *last, size_t size)
{
    static char bytes[64 * 1024];
    size_t got = 0;
    while (SSL_read_ex(client->ssl, bytes, sizeof(bytes), &got) == 1) {
        const size_t fresh = got < size ? got : size;
        memmove(last, last + fresh, size - fresh);
        memcpy(last + size - fresh, bytes + got - fresh, fresh);
    }
}

TEST(a_slow_client_of_events_over_tls_is_cut_with_an_end)
{
    static char data[4000];
    static char last[256];
    struct fixture fixture;
    struct secure client;
    struct pk_error err = { 0 };
    size_t sent = 0;
    const int small = 4096;
    const int large = 1024 * 1024;
    start(&fixture);
    const int fd = secure_dial(fixture.net, 0);
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
    assert_true(secure_start(&client, fd, fixture.certificate));
    secure_say(&client, ASK);
    (void)sem_wait(&fixture.entered);
    memset(data, 'x', sizeof(data));
    while (send_event(&fixture, NULL, data, sizeof(data), &err)) {
        sent += sizeof(data);
        assert_true(sent < 64 * 1024 * 1024); /* It is bounded. */
        client_pause();
    }
    assert_int_equal(err.code, PK_TOO_LARGE);
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &large, sizeof(large));
    drink(&client, last, sizeof(last) - 1);
    assert_says(last + sizeof(last) - 1 - strlen("event: end\ndata: {\"reason\":\"slow\"}\n\n"),
                "event: end\ndata: {\"reason\":\"slow\"}\n\n");
    secure_close(&client);
    stop(&fixture);
}

TEST(a_client_that_leaves_its_stream_over_tls_is_noticed_with_and_without_a_word)
{
    struct pk_net_stats stats;
    for (int with = 0; with < 2; with++) {
        struct fixture fixture;
        struct secure client;
        start(&fixture);
        follow(&fixture, &client);
        (void)secure_hear(&client, ": \n\n");
        if (with) {
            assert_int_equal(SSL_shutdown(client.ssl), 0); /* "I say no more": that is all. */
        } else {
            (void)shutdown(client.fd, SHUT_RDWR);
        }
        wait_until((pk_net_stats(fixture.net, &stats), stats.connections == 0));
        assert_false(send_event(&fixture, NULL, "x", 1, NULL));
        secure_close(&client);
        stop(&fixture);
    }
}
