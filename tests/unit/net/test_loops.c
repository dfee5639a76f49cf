/* test_loops.c - Many loops on one address, and lanes that leave each other alone. */
/* SPDX-License-Identifier: MIT */
#include "client.h"
#include "test.h"

#include "base/alloc.h"
#include "net/net.h"

#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define ASK(path) "GET " path " HTTP/1.1\r\nHost: a\r\n\r\n"

struct fixture {
    struct pk_net *net;
    sem_t entered, leave;
};

static void plain(void *context, struct pk_request *request, struct pk_answer *answer)
{
    (void)context;
    pk_buf_printf(&answer->body, "on %s", pk_lane_text(request->lane));
    pk_answer_json(answer, 200);
}

static void hang(void *context, struct pk_request *request, struct pk_answer *answer)
{
    struct fixture *fixture = context;
    (void)sem_post(&fixture->entered);
    (void)sem_wait(&fixture->leave);
    plain(context, request, answer);
}

static void pass_on(void *context, struct pk_request *request, struct pk_answer *answer)
{
    (void)context;
    (void)request;
    pk_answer_move(answer, PK_LANE_STORE, plain);
}

static const struct pk_route route_table[] = {
    { .method = PK_METHOD_GET, .path = "/hot", .lane = PK_LANE_HOT, .handler = plain },
    { .method = PK_METHOD_GET, .path = "/store", .lane = PK_LANE_STORE, .handler = plain },
    { .method = PK_METHOD_GET, .path = "/script", .lane = PK_LANE_SCRIPT, .handler = hang },
    { .method = PK_METHOD_GET, .path = "/slow", .lane = PK_LANE_SLOW, .handler = plain },
    { .method = PK_METHOD_GET, .path = "/pass", .lane = PK_LANE_HOT, .handler = pass_on },
};

/* Not on the stack: a case that fails leaves threads behind that wait in it, and a later case must
 * not wake them in place of its own. */
static struct fixture *start(size_t loops, struct pk_net_limits limits)
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

static void stop(struct fixture *fixture)
{
    pk_net_close(fixture->net);
    (void)sem_destroy(&fixture->entered);
    (void)sem_destroy(&fixture->leave);
    pk_free(fixture);
}

TEST(connections_spread_over_the_loops)
{
    struct pk_net_stats one;
    struct pk_net_stats all;
    int fd[64];
    struct fixture *fixture = start(4, (struct pk_net_limits){ 0 });
    assert_int_equal(pk_net_loops(fixture->net), 4);
    for (size_t i = 0; i < PK_COUNT(fd); i++) {
        fd[i] = client_dial(fixture->net);
        client_say(fd[i], ASK("/hot"), strlen(ASK("/hot")));
        assert_says(client_hear(fd[i], "on hot"), "HTTP/1.1 200 ");
    }
    size_t busy = 0;
    for (size_t i = 0; i < 4; i++) {
        pk_net_loop_stats(fixture->net, i, &one);
        busy += one.connections > 0;
        assert_int_equal(one.connections, one.requests);
    }
    pk_net_stats(fixture->net, &all);
    assert_int_equal(all.connections, PK_COUNT(fd));
    assert_int_equal(all.requests, PK_COUNT(fd));
    assert_true(busy >= 2); /* The kernel hashes; all 64 on one would be 4 in 4^64. */
    for (size_t i = 0; i < PK_COUNT(fd); i++) {
        (void)close(fd[i]);
    }
    stop(fixture);
}

TEST(an_address_has_its_cap_and_others_are_not_disturbed)
{
    struct pk_net_stats stats;
    int fd[3];
    struct fixture *fixture = start(2, (struct pk_net_limits){ .connections_address_max = 2 });
    for (size_t i = 0; i < 2; i++) {
        fd[i] = client_dial(fixture->net);
        client_say(fd[i], ASK("/hot"), strlen(ASK("/hot")));
        assert_says(client_hear(fd[i], "on hot"), "200");
    }
    fd[2] = client_dial(fixture->net);
    assert_says(client_hear(fd[2], NULL), "HTTP/1.1 503 ");
    (void)close(fd[2]);
    fd[2] = client_dial_from(fixture->net, INADDR_LOOPBACK + 1);
    client_say(fd[2], ASK("/hot"), strlen(ASK("/hot")));
    assert_says(client_hear(fd[2], "on hot"), "200");
    (void)close(fd[2]);
    (void)close(fd[0]); /* Room again, once the server has seen it. */
    wait_until((pk_net_stats(fixture->net, &stats), stats.connections == 1));
    assert_says(client_ask(fixture->net, ASK("/hot")), "200");
    (void)close(fd[1]);
    stop(fixture);
}

TEST(a_hung_lane_disturbs_no_other_and_starts_no_thread_too_many)
{
    struct pk_lane_stats stats;
    int fd[3];
    struct fixture *fixture = start(
        1, (struct pk_net_limits){ .lane[PK_LANE_SCRIPT] = { .threads = 2, .queue_max = 1 } });
    pk_net_lane_stats(fixture->net, PK_LANE_SCRIPT, &stats);
    assert_int_equal(stats.threads, 0);
    for (size_t i = 0; i < 3; i++) {
        fd[i] = client_dial(fixture->net);
        client_say(fd[i], ASK("/script"), strlen(ASK("/script")));
    }
    (void)sem_wait(&fixture->entered);
    (void)sem_wait(&fixture->entered);
    wait_until((pk_net_lane_stats(fixture->net, PK_LANE_SCRIPT, &stats), stats.waiting == 1));
    const char *refused = client_ask(fixture->net, ASK("/script"));
    assert_says(refused, "HTTP/1.1 503 ");
    assert_says(refused, "Retry-After: 1\r\n");
    assert_says(client_ask(fixture->net, ASK("/hot")), "on hot");
    assert_says(client_ask(fixture->net, ASK("/store")), "on store");
    assert_says(client_ask(fixture->net, ASK("/slow")), "on slow");
    pk_net_lane_stats(fixture->net, PK_LANE_SCRIPT, &stats);
    assert_int_equal(stats.threads, 2);
    assert_int_equal(stats.running, 2);
    assert_int_equal(stats.busy, 1);
    for (size_t i = 0; i < 3; i++) {
        (void)sem_post(&fixture->leave);
    }
    for (size_t i = 0; i < 3; i++) {
        assert_says(client_hear(fd[i], "on script"), "200");
        (void)close(fd[i]);
    }
    stop(fixture);
}

TEST(a_hot_handler_may_pass_a_request_on_to_a_lane)
{
    struct fixture *fixture = start(1, (struct pk_net_limits){ 0 });
    assert_says(client_ask(fixture->net, ASK("/pass") ASK("/hot") ASK("/pass")), "on store");
    stop(fixture);
}

TEST(answers_that_come_together_wake_the_loop_fewer_times)
{
    struct pk_net_stats stats;
    enum { MANY = 32 };
    int fd[MANY];
    struct fixture *fixture = start(
        1,
        (struct pk_net_limits){ .lane[PK_LANE_SCRIPT] = { .threads = MANY, .queue_max = MANY } });
    for (size_t i = 0; i < MANY; i++) {
        fd[i] = client_dial(fixture->net);
        client_say(fd[i], ASK("/script"), strlen(ASK("/script")));
    }
    for (size_t i = 0; i < MANY; i++) {
        (void)sem_wait(&fixture->entered);
    }
    for (size_t i = 0; i < MANY; i++) {
        (void)sem_post(&fixture->leave);
    }
    for (size_t i = 0; i < MANY; i++) {
        assert_says(client_hear(fd[i], "on script"), "200");
        (void)close(fd[i]);
    }
    pk_net_stats(fixture->net, &stats);
    assert_true(stats.wakes <= MANY);
    stop(fixture);
}

/* ---- A drain under load ---- */

struct load {
    const struct pk_net *net;
    pthread_t thread;
    atomic_size_t whole; /* Answers so far. */
    size_t truncated, unanswered;
};

/* Asks on one connection after the other until the server is gone. */
static void *ask_on(void *argument)
{
    struct load *load = argument;
    static const char ask[] = ASK("/store");
    struct sockaddr_in address = { .sin_family = AF_INET };
    const char *colon = strrchr(pk_net_address(load->net, 0), ':');
    address.sin_port = htons((uint16_t)strtoul(colon + 1, NULL, 10));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    for (;;) {
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (connect(fd, (struct sockaddr *)&address, sizeof(address)) != 0) {
            (void)close(fd);
            return NULL;
        }
        for (int i = 0; i < 20; i++) {
            char text[1024];
            size_t size = 0;
            ssize_t got = 0;
            bool is_sent = send(fd, ask, sizeof(ask) - 1, MSG_NOSIGNAL) > 0;
            while (is_sent && size + 1 < sizeof(text) &&
                   (got = recv(fd, text + size, sizeof(text) - 1 - size, 0)) > 0) {
                size += (size_t)got;
                text[size] = '\0';
                if (strstr(text, "on store")) {
                    break;
                }
            }
            if (size > 0 && strstr(text, "on store")) {
                load->whole++;
            } else {
                load->truncated += size > 0;
                load->unanswered += size == 0 && i == 0; /* A kept connection may be closed. */
                break;
            }
            if (strstr(text, "Connection: close")) {
                break;
            }
        }
        (void)close(fd);
    }
}

static bool has_each_an_answer(const struct load *load, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (load[i].whole == 0) {
            return false;
        }
    }
    return true;
}

TEST(a_drain_under_load_truncates_nothing_and_leaves_nobody_unanswered)
{
    for (int round = 0; round < 5; round++) {
        struct load load[8] = { 0 };
        struct fixture *fixture = start(2, (struct pk_net_limits){ 0 });
        for (size_t i = 0; i < PK_COUNT(load); i++) {
            load[i].net = fixture->net;
            (void)pthread_create(&load[i].thread, NULL, ask_on, &load[i]);
        }
        wait_until(has_each_an_answer(load, PK_COUNT(load)));
        pk_net_drain(fixture->net);
        struct pollfd done = { .fd = pk_net_done_fd(fixture->net), .events = POLLIN };
        assert_int_equal(poll(&done, 1, CLIENT_PATIENCE_MS), 1);
        for (size_t i = 0; i < PK_COUNT(load); i++) {
            (void)pthread_join(load[i].thread, NULL);
            assert_int_equal(load[i].truncated, 0);
            assert_int_equal(load[i].unanswered, 0);
        }
        stop(fixture);
    }
}
