/* test_metrics_page.c - The page is what Prometheus reads, and has what it should have. */
/* SPDX-License-Identifier: MIT */
#include "test.h"

#include "access/keyring.h"
#include "access/pepper.h"
#include "access/rate.h"
#include "base/alloc.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "base/metrics.h"
#include "doc/inventory.h"
#include "feed/outbox.h"
#include "feed/watch.h"
#include "net/hot.h"
#include "net/net.h"
#include "ops/health.h"
#include "ops/metrics_page.h"
#include "ops/spool.h"
#include "ops/traffic.h"
#include "store/store.h"

#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static void answer_live(void *context, struct pk_request *request, struct pk_answer *answer)
{
    (void)context;
    (void)request;
    pk_health_answer_live(answer);
}

static const struct pk_route route[] = {
    { .method = PK_METHOD_GET,
      .path = "/healthz",
      .action = 1,
      .lane = PK_LANE_HOT,
      .handler = answer_live,
      .help = "200." },
};

/* Everything a server is made of. */
struct server {
    struct pk_store *store;
    struct pk_peppers *peppers;
    struct pk_log *log;
    int fd;
    struct pk_traffic *traffic;
    struct pk_net *net;
    struct pk_metrics_sources sources;
    struct pk_keyring *ring;
    struct pk_rate *rate;
    struct pk_spool *spool;
    struct pk_books books;
    struct pk_task_type no_type; /* Ends a table. */
};

static void open_store(struct server *server)
{
    struct pk_error err = { 0 };
    const struct pk_clock *clock = pk_clock_system();
    const char *folder = pk_test_folder();
    char *url = pk_strdupf("sqlite:%s", folder);
    const struct pk_store_options options = { .url = url,
                                              .inventory = pk_inventory_builtin(),
                                              .clock = clock };
    assert_ok(pk_store_open(&server->store, &options, &err), &err);
    pk_free(url);
    assert_ok(pk_peppers_open(&server->peppers, folder, server->store, false, &err), &err);
    server->ring = pk_keyring_new(&(struct pk_keyring_options){
        .store = server->store, .clock = clock, .peppers = server->peppers });
    server->rate = pk_rate_new(&(struct pk_rate_options){
        .clock = clock, .rule[PK_RATE_KEY] = { .limit = 1, .window_ms = 3600000 } });
}

static void server_open(struct server *server)
{
    struct pk_error err = { 0 };
    const struct pk_clock *clock = pk_clock_system();
    *server = (struct server){ .fd = open("/dev/null", O_WRONLY | O_CLOEXEC) };
    open_store(server);
    struct pk_metrics_sources *sources = &server->sources;
    *sources = (struct pk_metrics_sources){ .metrics = pk_metrics_new(),
                                            .keyring = server->ring,
                                            .rate = server->rate,
                                            .version = "0.1.0",
                                            .engine = pk_store_engine(server->store),
                                            .started_at_ms = INT64_C(1795246320123) };
    server->log = pk_log_new(&(struct pk_log_options){ .fd = server->fd });
    sources->log = server->log;
    assert_ok(pk_spool_open(&server->spool, &(struct pk_spool_options){ .fd = server->fd }, &err),
              &err);
    sources->spool = server->spool;
    sources->hot = pk_hot_new(&(struct pk_hot_options){ .clock = clock });
    sources->watch = pk_watch_new(
        &(struct pk_watch_options){ .store = server->store, .clock = clock, .log = server->log });
    server->books = (struct pk_books){ .store = server->store, .clock = clock, .node = "here" };
    sources->outbox = pk_outbox_new(
        &(struct pk_outbox_options){ .books = &server->books, .type = &server->no_type });
    assert_ok(pk_health_start(&sources->health,
                              &(struct pk_health_options){
                                  .store = server->store, .clock = clock, .every_ms = 5 },
                              &err),
              &err);
    server->traffic = pk_traffic_new(&(struct pk_traffic_options){
        .clock = clock, .metrics = sources->metrics, .route = route, .route_count = 1 });
    const struct pk_net_listener listener = { .address = "127.0.0.1:0" };
    assert_ok(pk_net_open(&server->net,
                          &(struct pk_net_options){ .listener = &listener,
                                                    .listener_count = 1,
                                                    .route = route,
                                                    .route_count = 1,
                                                    .loops = 2,
                                                    .done = pk_traffic_done,
                                                    .done_context = server->traffic },
                          &err),
              &err);
    sources->net = server->net;
}

static void server_close(struct server *server)
{
    (void)pk_net_close(server->net);
    pk_traffic_free(server->traffic);
    pk_health_stop(server->sources.health);
    pk_outbox_free(server->sources.outbox);
    pk_watch_free(server->sources.watch);
    pk_hot_free(server->sources.hot);
    pk_spool_close(server->spool);
    pk_log_free(server->log);
    pk_metrics_free(server->sources.metrics);
    pk_rate_free(server->rate);
    pk_keyring_free(server->ring);
    pk_peppers_free(server->peppers);
    pk_store_close(server->store);
    (void)close(server->fd);
}

/* ---- What is allowed in the format, version 0.0.4 ---- */

struct family {
    char name[200];
    bool is_summary, is_histogram, is_counter;
};

static size_t name_size(const char *text)
{
    return strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_");
}

/* {a="...",b="..."}; returns what is behind it. */
static const char *check_labels(const char *at)
{
    while (*at != '}') {
        at++; /* '{' or ',' */
        const size_t size = name_size(at);
        assert_true(size > 0 && at[size] == '=' && at[size + 1] == '"');
        for (at += size + 2; *at != '"'; at++) {
            assert_true(*at != '\0');
            if (*at == '\\') {
                at++;
                assert_true(*at == '\\' || *at == '"' || *at == 'n');
            }
        }
        at++;
        assert_true(*at == ',' || *at == '}');
    }
    return at + 1;
}

static void check_sample(const char *line, const struct family *family)
{
    static const char *const summary_end[] = { "_sum", "_count", NULL };
    static const char *const histogram_end[] = { "_sum", "_count", "_bucket", NULL };
    static const char *const plain_end[] = { "", NULL };
    const char *const *end = family->is_summary     ? summary_end
                             : family->is_histogram ? histogram_end
                                                    : plain_end;
    const size_t size = name_size(line);
    const size_t base = strlen(family->name);
    if (size < base || strncmp(line, family->name, base) != 0) {
        fail_msg("'%s' stands under '%s'", line, family->name);
    }
    while (*end && (strlen(*end) != size - base || strncmp(line + base, *end, size - base) != 0)) {
        end++;
    }
    assert_non_null(*end);
    const char *at = line[size] == '{' ? check_labels(line + size) : line + size;
    assert_int_equal(*at, ' ');
    char *stop;
    const double value = strtod(at + 1, &stop);
    assert_true(stop > at + 1 && *stop == '\0' && !isnan(value));
    assert_true(!family->is_counter || value >= 0);
}

static void check_type(const char *line, struct family *family)
{
    char type[32];
    char name[200];
    assert_int_equal(sscanf(line, "# TYPE %199s %31s", name, type), 2);
    assert_string_equal(name, family->name);
    family->is_counter = strcmp(type, "counter") == 0;
    family->is_summary = strcmp(type, "summary") == 0;
    family->is_histogram = strcmp(type, "histogram") == 0;
    const size_t size = strlen(name);
    const bool is_total = size > 6 && strcmp(name + size - 6, "_total") == 0;
    assert_int_equal(is_total, family->is_counter);
    assert_int_equal(strncmp(name, "personakit_", 11), 0);
}

/* Copies the page, because it is cut into lines. Returns how many families it has. */
static size_t check_page(const char *page)
{
    struct family *family = pk_calloc(300, sizeof(*family));
    char *text = pk_strdup(page);
    char *rest = NULL;
    size_t count = 0;
    bool is_typed = true;
    assert_int_equal(page[strlen(page) - 1], '\n');
    for (char *line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
        if (strncmp(line, "# HELP ", 7) == 0) {
            assert_true(is_typed && count < 300);
            const size_t size = name_size(line + 7);
            (void)snprintf(family[count].name, sizeof(family[count].name), "%.*s", (int)size,
                           line + 7);
            for (size_t i = 0; i < count; i++) {
                assert_string_not_equal(family[i].name, family[count].name);
            }
            assert_true(line[7 + size] == ' ' && line[8 + size] != '\0');
            count++;
            is_typed = false;
        } else if (strncmp(line, "# TYPE ", 7) == 0) {
            assert_true(count > 0);
            check_type(line, &family[count - 1]);
            is_typed = true;
        } else {
            assert_true(is_typed && count > 0);
            check_sample(line, &family[count - 1]);
        }
    }
    pk_free(text);
    pk_free(family);
    return count;
}

/* Prometheus' own opinion, where it is installed. */
static void ask_promtool(const char *page)
{
    if (system("command -v promtool >/dev/null 2>&1") != 0) {
        print_message("# promtool is not here: our own parser has to do\n");
        return;
    }
    char *path = pk_strdupf("%s/page", pk_test_folder());
    char *command = pk_strdupf("promtool check metrics <'%s' >&2", path);
    FILE *file = fopen(path, "we");
    assert_non_null(file);
    assert_true(fputs(page, file) >= 0);
    assert_int_equal(fclose(file), 0);
    const int status = system(command);
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
        fail_msg("promtool is not content: %d", WEXITSTATUS(status));
    }
    pk_free(command);
    pk_free(path);
}

TEST(metrics_page_is_what_prometheus_reads)
{
    PK_CLEANUP(pk_buf_done) struct pk_buf page = { 0 };
    struct server server;
    static const char *const expected[] = {
        "personakit_build_info{version=\"0.1.0\",engine=\"sqlite\"} 1\n",
        "personakit_process_start_time_seconds 1795246320.123\n",
        "personakit_process_resident_memory_bytes ",
        "personakit_process_cpu_seconds_total ",
        "personakit_process_open_files ",
        "personakit_ops_ready 1\n",
        "personakit_ops_check_state{check=\"store\"} 0\n",
        "personakit_http_requests_total{route=\"/healthz\",method=\"GET\",status=\"200\"} 1\n",
        "personakit_net_connections{loop=\"0\"} 0\n",
        "personakit_net_loop_lag_seconds{loop=\"1\"} ",
        "personakit_net_lane_threads{lane=\"store\"} ",
        "personakit_net_lane_lost_threads{lane=\"slow\"} 0\n",
        "personakit_store_group_lists_count ",
        "personakit_store_read_seconds_sum ",
        "personakit_store_stopped 0\n",
        "personakit_net_hot_entries 0\n",
        "personakit_access_key_hits_total 0\n",
        "personakit_access_feed_silence_seconds +Inf\n",
        "personakit_access_rate_refusals_total{kind=\"key\"} 1\n",
        "personakit_feed_gaps_total 0\n",
        "personakit_outbox_waiting 0\n",
        "personakit_outbox_failed_total 0\n",
        "personakit_outbox_oldest_seconds 0\n",
        "personakit_ops_dropped_log_lines_total{log=\"access\"} 0\n",
    };
    server_open(&server);
    struct pk_request request = { .method = PK_METHOD_GET, .route = &route[0] };
    pk_traffic_done(server.traffic, &(struct pk_done){ .request = &request, .status = 200 });
    (void)pk_rate_take(server.rate, PK_RATE_KEY, "k", 1, 1, NULL, NULL);
    assert_false(pk_rate_take(server.rate, PK_RATE_KEY, "k", 1, 1, NULL, NULL));

    pk_metrics_page(&server.sources, &page);
    assert_in_range(check_page(pk_buf_text(&page)), 40, 300);
    for (size_t i = 0; i < PK_COUNT(expected); i++) {
        if (!strstr(pk_buf_text(&page), expected[i])) {
            fail_msg("the page has no '%s'", expected[i]);
        }
    }
    ask_promtool(pk_buf_text(&page));
    server_close(&server);
}

TEST(metrics_page_leaves_out_what_is_not_there)
{
    PK_CLEANUP(pk_buf_done) struct pk_buf page = { 0 };
    const struct pk_metrics_sources none = { 0 };
    pk_metrics_page(&none, &page);
    assert_in_range(check_page(pk_buf_text(&page)), 3, 20);
    assert_null(strstr(pk_buf_text(&page), "personakit_store_"));
}
