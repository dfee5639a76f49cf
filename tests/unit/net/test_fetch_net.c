/* test_fetch_net.c - Our own client against our own server: gzip, bodies, reuse, Unix sockets. */
/* SPDX-License-Identifier: MIT */
#include "test.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "net/fetch.h"
#include "net/net.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

enum { LONG = 100000 };

static void long_text(void *context, struct pk_request *request, struct pk_answer *answer)
{
    (void)context;
    (void)request;
    for (int i = 0; i < LONG / 10; i++) {
        pk_buf_add(&answer->body, "0123456789", 10);
    }
    pk_answer_json(answer, 200);
}

static void echo(void *context, struct pk_request *request, struct pk_answer *answer)
{
    (void)context;
    pk_buf_add(&answer->body, request->body.data, request->body.size);
    pk_answer_json(answer, 201);
}

static const struct pk_route route_table[] = {
    { .method = PK_METHOD_GET,
      .path = "/long",
      .action = 1,
      .lane = PK_LANE_STORE,
      .handler = long_text,
      .help = "Much." },
    { .method = PK_METHOD_POST,
      .path = "/echo",
      .action = 1,
      .lane = PK_LANE_STORE,
      .body_max_bytes = 4 << 20,
      .handler = echo,
      .help = "The same." },
};

struct scene {
    struct pk_net *net;
    struct pk_fetcher *fetcher;
    struct pk_fetcher *by_socket;
    char socket[300];
};

static void begin(struct scene *scene)
{
    struct pk_error err = { 0 };
    char socket_address[320];
    (void)snprintf(scene->socket, sizeof(scene->socket), "%s/own.sock", pk_test_folder());
    (void)snprintf(socket_address, sizeof(socket_address), "unix:%s", scene->socket);
    const struct pk_net_listener listener[] = { { .address = "127.0.0.1:0" },
                                                { .address = socket_address } };
    const struct pk_net_options options = { .listener = listener,
                                            .listener_count = PK_COUNT(listener),
                                            .route = route_table,
                                            .route_count = PK_COUNT(route_table) };
    assert_ok(pk_net_open(&scene->net, &options, &err), &err);
    const char *host = pk_net_address(scene->net, 0) + strlen("http://");
    assert_ok(pk_fetcher_new(&scene->fetcher,
                             &(struct pk_fetch_options){ .clock = pk_clock_system(),
                                                         .host = &host,
                                                         .host_count = 1,
                                                         .is_private_allowed = true },
                             &err),
              &err);
    host = "personakit";
    assert_ok(pk_fetcher_new(&scene->by_socket,
                             &(struct pk_fetch_options){ .clock = pk_clock_system(),
                                                         .host = &host,
                                                         .host_count = 1,
                                                         .unix_path = scene->socket },
                             &err),
              &err);
}

static void end(struct scene *scene)
{
    pk_fetcher_free(scene->fetcher);
    pk_fetcher_free(scene->by_socket);
    (void)pk_net_close(scene->net);
}

static void fetch(struct pk_fetcher *fetcher, const char *base, const char *path, const void *body,
                  size_t size, struct pk_fetch_answer *answer)
{
    struct pk_error err = { 0 };
    char url[256];
    const struct pk_fetch_header header = { "Content-Type", "application/json", 16 };
    (void)snprintf(url, sizeof(url), "%s%s", base, path);
    const struct pk_fetch_request request = { .method = body ? "POST" : "GET",
                                              .url = url,
                                              .header = &header,
                                              .header_count = body ? 1 : 0,
                                              .body = body,
                                              .body_size = size,
                                              .answer_max_bytes = 4 << 20 };
    *answer = (struct pk_fetch_answer){ 0 };
    assert_ok(pk_fetch(fetcher, &request, answer, &err), &err);
}

static uint64_t accepted(const struct pk_net *net)
{
    struct pk_net_stats stats;
    pk_net_stats(net, &stats);
    return stats.accepted;
}

TEST(our_own_gzip_is_unpacked)
{
    struct scene scene;
    struct pk_fetch_answer answer;
    begin(&scene);
    fetch(scene.fetcher, pk_net_address(scene.net, 0), "/long", NULL, 0, &answer);
    assert_int_equal(answer.status, 200);
    assert_int_equal(answer.body.size, LONG);
    assert_string_equal(pk_fetch_header(&answer, "content-encoding"), "gzip");
    pk_fetch_answer_done(&answer);
    end(&scene);
}

TEST(a_long_body_goes_both_ways_unchanged)
{
    enum { SIZE = 3 << 20 };
    struct scene scene;
    struct pk_fetch_answer answer;
    char *body = pk_alloc(SIZE);
    for (size_t i = 0; i < SIZE; i++) {
        body[i] = (char)(' ' + (i * 7 + i / 251) % 90);
    }
    begin(&scene);
    fetch(scene.fetcher, pk_net_address(scene.net, 0), "/echo", body, SIZE, &answer);
    assert_int_equal(answer.status, 201);
    assert_int_equal(answer.body.size, SIZE);
    assert_memory_equal(answer.body.data, body, SIZE);
    pk_fetch_answer_done(&answer);
    end(&scene);
    pk_free(body);
}

TEST(our_own_socket_is_reached_by_its_path)
{
    struct scene scene;
    struct pk_fetch_answer answer;
    begin(&scene);
    fetch(scene.by_socket, "http://personakit", "/long", NULL, 0, &answer);
    assert_int_equal(answer.body.size, LONG);
    pk_fetch_answer_done(&answer);
    end(&scene);
}

struct crowd {
    struct scene scene;
    atomic_int good;
};

static void *ask_often(void *context)
{
    struct crowd *crowd = context;
    for (int i = 0; i < 50; i++) {
        struct pk_fetch_answer answer;
        fetch(crowd->scene.fetcher, pk_net_address(crowd->scene.net, 0), "/echo", "{}", 2, &answer);
        crowd->good += answer.status == 201 && answer.body.size == 2;
        pk_fetch_answer_done(&answer);
    }
    return NULL;
}

TEST(threads_ask_our_own_server_over_a_connection_each)
{
    enum { THREADS = 6 };
    struct crowd crowd = { .good = 0 };
    pthread_t thread[THREADS];
    begin(&crowd.scene);
    for (size_t i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_create(&thread[i], NULL, ask_often, &crowd), 0);
    }
    for (size_t i = 0; i < THREADS; i++) {
        (void)pthread_join(thread[i], NULL);
    }
    assert_int_equal(crowd.good, THREADS * 50);
    assert_true(accepted(crowd.scene.net) <= THREADS);
    end(&crowd.scene);
}
