/* test_park.c - Many who were parked go on at once: all are answered, and nobody else is refused
 * for it. */
/* SPDX-License-Identifier: MIT */
#include "client.h"
#include "test.h"

#include "base/alloc.h"
#include "net/net.h"
#include "net/stream.h"

#include <pthread.h>
#include <semaphore.h>
#include <string.h>
#include <unistd.h>

enum { CROWD = 60, QUEUE = 4 };

#define ASK(path) "GET " path " HTTP/1.1\r\nHost: a\r\n\r\n"

struct fixture {
    struct pk_net *net;
    sem_t go_on;
    pthread_mutex_t lock; /* Of what follows. */
    struct pk_parked *parked[CROWD];
    size_t count;
};

static void after_park(void *context, struct pk_request *request, struct pk_answer *answer)
{
    struct fixture *fixture = context;
    (void)request;
    (void)sem_wait(&fixture->go_on);
    pk_buf_add_text(&answer->body, "gone on.");
    pk_answer_json(answer, 200);
}

static void park(void *context, struct pk_request *request, struct pk_answer *answer)
{
    struct fixture *fixture = context;
    struct pk_parked *parked =
        pk_answer_park(request, answer, CLIENT_PATIENCE_MS, PK_LANE_STORE, after_park);
    (void)pthread_mutex_lock(&fixture->lock);
    fixture->parked[fixture->count++] = parked;
    (void)pthread_mutex_unlock(&fixture->lock);
}

static void plain(void *context, struct pk_request *request, struct pk_answer *answer)
{
    (void)context;
    (void)request;
    pk_buf_add_text(&answer->body, "plain.");
    pk_answer_json(answer, 200);
}

static const struct pk_route route[] = {
    { .method = PK_METHOD_GET, .path = "/park", .lane = PK_LANE_HOT, .handler = park },
    { .method = PK_METHOD_GET, .path = "/plain", .lane = PK_LANE_STORE, .handler = plain },
};

static size_t parked_count(struct fixture *fixture)
{
    (void)pthread_mutex_lock(&fixture->lock);
    const size_t count = fixture->count;
    (void)pthread_mutex_unlock(&fixture->lock);
    return count;
}

static void start(struct fixture *fixture)
{
    struct pk_error err;
    const struct pk_net_options options = {
        .listener = client_listener,
        .listener_count = 1,
        .route = route,
        .route_count = PK_COUNT(route),
        .context = fixture,
        .loops = 1,
        .limits.lane[PK_LANE_STORE] = { .threads = 1, .queue_max = QUEUE },
    };
    *fixture = (struct fixture){ 0 };
    (void)sem_init(&fixture->go_on, 0, 0);
    (void)pthread_mutex_init(&fixture->lock, NULL);
    assert_ok(pk_net_open(&fixture->net, &options, &err), &err);
}

static void stop(struct fixture *fixture)
{
    pk_net_close(fixture->net);
    for (size_t i = 0; i < fixture->count; i++) {
        pk_parked_unref(fixture->parked[i]);
    }
    (void)sem_destroy(&fixture->go_on);
    (void)pthread_mutex_destroy(&fixture->lock);
}

TEST(a_crowd_that_is_woken_at_once_is_answered_whole_and_takes_nobodys_place)
{
    struct fixture fixture;
    struct pk_lane_stats stats;
    int fd[CROWD];
    int other[QUEUE];

    start(&fixture);
    for (size_t i = 0; i < CROWD; i++) {
        fd[i] = client_dial(fixture.net);
        client_say(fd[i], ASK("/park"), strlen(ASK("/park")));
    }
    wait_until(parked_count(&fixture) == CROWD);
    for (size_t i = 0; i < CROWD; i++) {
        assert_true(pk_parked_wake(fixture.parked[i]));
    }
    wait_until((pk_net_lane_stats(fixture.net, PK_LANE_STORE, &stats),
                stats.running == 1 && 1 + stats.waiting + stats.busy >= CROWD));
    assert_int_equal(stats.busy, 0); /* All were let in before. */

    for (size_t i = 0; i < QUEUE; i++) { /* The queue is for those who come. */
        other[i] = client_dial(fixture.net);
        client_say(other[i], ASK("/plain"), strlen(ASK("/plain")));
    }
    wait_until((pk_net_lane_stats(fixture.net, PK_LANE_STORE, &stats),
                stats.waiting + stats.busy >= CROWD - 1 + QUEUE));
    assert_int_equal(stats.busy, 0);
    assert_says(client_ask(fixture.net, ASK("/plain")), "HTTP/1.1 503 "); /* It has its end. */

    for (size_t i = 0; i < CROWD; i++) {
        (void)sem_post(&fixture.go_on);
    }
    for (size_t i = 0; i < CROWD; i++) {
        assert_says(client_hear(fd[i], "gone on."), "HTTP/1.1 200 ");
        (void)close(fd[i]);
    }
    for (size_t i = 0; i < QUEUE; i++) {
        assert_says(client_hear(other[i], "plain."), "HTTP/1.1 200 ");
        (void)close(other[i]);
    }
    pk_net_lane_stats(fixture.net, PK_LANE_STORE, &stats);
    assert_int_equal(stats.busy, 1);
    stop(&fixture);
}
