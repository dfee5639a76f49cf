/* test_wired.c - The room's parts in a server that really answers. */
/* SPDX-License-Identifier: MIT */
#include "test.h"

#include "base/alloc.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/metrics.h"
#include "certificate.h"
#include "doc/doc.h"
#include "doc/inventory.h"
#include "doc/json.h"
#include "net/net.h"
#include "ops/health.h"
#include "ops/spool.h"
#include "ops/traffic.h"
#include "store/store.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <poll.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { HUNG_MS = 400, WAIT_MS = PK_TEST_PATIENCE_MS };

struct server {
    struct pk_clock_fake clock; /* The health's: the case moves it. */
    struct pk_store *store;
    struct pk_health *health;
    struct pk_metrics *metrics;
    struct pk_spool *spool;
    struct pk_traffic *traffic;
    struct pk_net *net;
    int fd; /* Of the log. */
    sem_t release;
};

static void hang(void *context, struct pk_request *request, struct pk_answer *answer)
{
    struct server *server = context;
    (void)request;
    (void)sem_wait(&server->release);
    pk_health_answer_live(answer);
}

static void live(void *context, struct pk_request *request, struct pk_answer *answer)
{
    (void)context;
    (void)request;
    pk_health_answer_live(answer);
}

static void ready(void *context, struct pk_request *request, struct pk_answer *answer)
{
    struct server *server = context;
    (void)request;
    pk_health_answer_ready(server->health, true, answer);
}

static const struct pk_route route[] = {
    { PK_METHOD_GET, "/healthz", 1, PK_LANE_HOT, 0, live, "200.", NULL, false },
    { PK_METHOD_GET, "/readyz", 1, PK_LANE_HOT, 0, ready, "Ready?", NULL, false },
    { PK_METHOD_POST, "/v1/{thing}", 1, PK_LANE_STORE, 1000, live, "200.", NULL, false },
    { PK_METHOD_GET, "/hang", 1, PK_LANE_SCRIPT, 0, hang, "Waits.", NULL, false },
};

static void server_open(struct server *server, const char *certificate, const char *key)
{
    struct pk_error err = { 0 };
    char text[4096];
    *server = (struct server){ 0 };
    (void)sem_init(&server->release, 0, 0);
    pk_clock_fake_init(&server->clock, pk_clock_wall_ms(pk_clock_system()));
    (void)snprintf(text, sizeof(text), "sqlite:%s", pk_test_folder());
    const struct pk_store_options store = { .url = text,
                                            .inventory = pk_inventory_builtin(),
                                            .clock = pk_clock_system() };
    assert_ok(pk_store_open(&server->store, &store, &err), &err);
    const struct pk_health_options health = { .store = server->store,
                                              .clock = &server->clock.clock };
    assert_ok(pk_health_start(&server->health, &health, &err), &err);

    (void)snprintf(text, sizeof(text), "%s/log", pk_test_folder());
    server->fd = open(text, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    assert_true(server->fd >= 0);
    assert_ok(pk_spool_open(&server->spool, &(struct pk_spool_options){ .fd = server->fd }, &err),
              &err);
    server->metrics = pk_metrics_new();
    server->traffic = pk_traffic_new(&(struct pk_traffic_options){ .clock = pk_clock_system(),
                                                                   .metrics = server->metrics,
                                                                   .route = route,
                                                                   .route_count = PK_COUNT(route),
                                                                   .spool = server->spool,
                                                                   .is_logged = true });
    const struct pk_net_listener listener = { .address = "127.0.0.1:0",
                                              .is_secure = certificate != NULL };
    const struct pk_net_options net = { .listener = &listener,
                                        .listener_count = 1,
                                        .tls_certificate = certificate,
                                        .tls_key = key,
                                        .done = pk_traffic_done,
                                        .done_context = server->traffic,
                                        .route = route,
                                        .route_count = PK_COUNT(route),
                                        .context = server,
                                        .loops = 1,
                                        .limits.lane[PK_LANE_SCRIPT] = { .threads = 8,
                                                                         .hung_ms = HUNG_MS } };
    assert_ok(pk_net_open(&server->net, &net, &err), &err);
    pk_health_set_net(server->health, server->net);
}

static void server_close(struct server *server)
{
    pk_health_set_net(server->health, NULL);
    const struct pk_net_rest rest = pk_net_close(server->net);
    assert_int_equal(rest.hung, 0);
    pk_traffic_free(server->traffic);
    pk_spool_close(server->spool);
    pk_metrics_free(server->metrics);
    pk_health_stop(server->health);
    pk_store_close(server->store);
    (void)close(server->fd);
    (void)sem_destroy(&server->release);
}

static int dial(const struct server *server)
{
    const char *port = strrchr(pk_net_address(server->net, 0), ':') + 1;
    const struct sockaddr_in to = { .sin_family = AF_INET,
                                    .sin_port = htons((uint16_t)atoi(port)),
                                    .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(fd, (const struct sockaddr *)&to, sizeof(to)), 0);
    return fd;
}

static void say(int fd, const char *text)
{
    assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
}

/* Until the server closes. */
static void read_all(int fd, struct pk_buf *out)
{
    for (;;) {
        struct pollfd waiting = { .fd = fd, .events = POLLIN };
        assert_int_equal(poll(&waiting, 1, WAIT_MS), 1);
        const ssize_t n = recv(fd, pk_buf_reserve(out, 4096), 4096, 0);
        if (n <= 0) {
            (void)close(fd);
            return;
        }
        out->size += (size_t)n;
        out->data[out->size] = '\0';
    }
}

static bool has_metric(struct server *server, const char *line)
{
    PK_CLEANUP(pk_buf_done) struct pk_buf page = { 0 };
    pk_metrics_print(server->metrics, &page);
    return strstr(pk_buf_text(&page), line) != NULL;
}

static void wait_executors(struct server *server, enum pk_health_state state)
{
    struct pk_health_report report;
    const int64_t deadline_ns = pk_deadline_in_ms(pk_clock_system(), WAIT_MS);
    do {
        assert_false(pk_deadline_passed(pk_clock_system(), deadline_ns));
        (void)poll(NULL, 0, 1);
        pk_health_look(server->health, &report);
    } while (report.check[PK_HEALTH_EXECUTORS].state != state);
}

/* The log's lines, once it has so many. */
static struct pk_doc **read_log(struct server *server, size_t count)
{
    struct pk_doc **doc = pk_calloc(count, sizeof(struct pk_doc *));
    struct pk_error err = { 0 };
    struct pk_spool_stats stats;
    char text[16384];
    const int64_t deadline_ns = pk_deadline_in_ms(pk_clock_system(), WAIT_MS);
    do {
        assert_false(pk_deadline_passed(pk_clock_system(), deadline_ns));
        (void)poll(NULL, 0, 1);
        pk_spool_stats(server->spool, &stats);
    } while (stats.written < count);
    const ssize_t size = pread(server->fd, text, sizeof(text), 0);
    assert_true(size > 0);
    char *at = text;
    for (size_t i = 0; i < count; i++) {
        char *end = memchr(at, '\n', (size_t)(text + size - at));
        bson_t bson;
        assert_non_null(end);
        assert_ok(pk_json_read(&bson, at, (size_t)(end - at), NULL, &err), &err);
        doc[i] = pk_doc_new(&bson);
        bson_destroy(&bson);
        at = end + 1;
    }
    return doc;
}

TEST(answered_and_refused_requests_are_counted_and_logged)
{
    PK_CLEANUP(pk_buf_done) struct pk_buf heard = { 0 };
    struct server server;
    server_open(&server, NULL, NULL);
    int fd = dial(&server);
    say(fd, "POST /v1/x?secret=1 HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nX-Request-Id: r-77\r\n"
            "User-Agent: me\r\nConnection: close\r\n"
            "traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\r\n\r\n{}");
    read_all(fd, &heard);
    assert_non_null(strstr(pk_buf_text(&heard), "200 OK"));
    assert_non_null(strstr(pk_buf_text(&heard), "r-77"));
    fd = dial(&server);
    say(fd, "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n");
    read_all(fd, &heard);

    struct pk_doc **line = read_log(&server, 2);
    assert_string_equal(pk_doc_text(line[0], "path"), "/v1/x");
    assert_string_equal(pk_doc_text(line[0], "route"), "/v1/{thing}");
    assert_string_equal(pk_doc_text(line[0], "request"), "r-77");
    assert_string_equal(pk_doc_text(line[0], "trace"), "4bf92f3577b34da6a3ce929d0e0e4736");
    assert_string_equal(pk_doc_text(line[0], "address"), "127.0.0.1");
    assert_string_equal(pk_doc_text(line[0], "lane"), "store");
    assert_string_equal(pk_doc_text(line[0], "agent"), "me");
    assert_int_equal(pk_doc_int(line[0], "status", 0), 200);
    assert_int_equal(pk_doc_int(line[0], "bytes", 0), 19);
    assert_in_range(pk_doc_int(line[0], "duration_us", -1), 1, 60 * 1000 * 1000);
    assert_int_equal(pk_doc_int(line[1], "status", 0), 400);
    assert_string_equal(pk_doc_text(line[1], "refusal"), "malformed_host");
    pk_doc_unref(line[0]);
    pk_doc_unref(line[1]);
    pk_free(line);

    assert_true(has_metric(&server, "personakit_http_requests_total{route=\"/v1/{thing}\","
                                    "method=\"POST\",status=\"200\"} 1\n"));
    assert_true(
        has_metric(&server, "personakit_http_malformed_total{code=\"malformed_host\"} 1\n"));
    server_close(&server);
}

TEST(fourth_executor_that_hangs_makes_it_unready_until_one_is_back)
{
    PK_CLEANUP(pk_buf_done) struct pk_buf heard = { 0 };
    struct server server;
    int fd[4];
    server_open(&server, NULL, NULL);
    for (size_t i = 0; i < 3; i++) {
        fd[i] = dial(&server);
        say(fd[i], "GET /hang HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        read_all(fd[i], &heard); /* 504 */
    }
    wait_executors(&server, PK_HEALTH_WARNS);
    fd[3] = dial(&server);
    say(fd[3], "GET /hang HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    read_all(fd[3], &heard);
    wait_executors(&server, PK_HEALTH_FAILS);

    pk_buf_clear(&heard);
    const int asker = dial(&server);
    say(asker, "GET /readyz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    read_all(asker, &heard);
    assert_non_null(strstr(pk_buf_text(&heard), "503 "));
    assert_non_null(strstr(pk_buf_text(&heard), "Retry-After: 1"));
    assert_non_null(strstr(pk_buf_text(&heard), "4 executors hang"));

    (void)sem_post(&server.release);
    wait_executors(&server, PK_HEALTH_WARNS);
    for (size_t i = 0; i < 3; i++) {
        (void)sem_post(&server.release);
    }
    wait_executors(&server, PK_HEALTH_OK);
    server_close(&server);
}

TEST(certificate_warns_a_week_before_it_expires_and_after)
{
    enum { DAY_MS = 24 * 3600 * 1000, DAYS = 30 };
    struct pk_health_report report;
    struct server server;
    char certificate[4096];
    char key[4096];
    (void)snprintf(certificate, sizeof(certificate), "%s/c.pem", pk_test_folder());
    (void)snprintf(key, sizeof(key), "%s/k.pem", pk_test_folder());
    certificate_make(certificate, key, "localhost", DAYS, NULL);
    server_open(&server, certificate, key);
    static const struct {
        int64_t days;
        enum pk_health_state state;
        const char *part;
    } row[] = {
        { 0, PK_HEALTH_OK, "expires 2" },
        { DAYS - 8, PK_HEALTH_OK, "expires 2" },
        { DAYS - 6, PK_HEALTH_WARNS, "expires 2" },
        { DAYS + 1, PK_HEALTH_WARNS, "expired 2" },
    };
    const int64_t now_ms = pk_clock_wall_ms(pk_clock_system());
    for (size_t i = 0; i < PK_COUNT(row); i++) {
        pk_clock_fake_set_wall(&server.clock, now_ms + row[i].days * DAY_MS);
        pk_health_look(server.health, &report);
        assert_int_equal(report.check[PK_HEALTH_CERTIFICATE].state, row[i].state);
        assert_non_null(strstr(report.check[PK_HEALTH_CERTIFICATE].detail, row[i].part));
        assert_true(report.check[PK_HEALTH_EXECUTORS].state == PK_HEALTH_OK);
    }
    server_close(&server);
}
