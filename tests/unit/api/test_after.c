/* test_after.c - ?after=: who waits for a write holds no thread, and is answered in time. */
/* SPDX-License-Identifier: MIT */
#include "api/after.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/error.h"
#include "doc/doc.h"
#include "doc/inventory.h"
#include "feed/watch.h"
#include "store/store.h"
#include "test.h"

#include <arpa/inet.h>
#include <bson/bson.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

/* A server with one route that waits, and one that does not; two executors for both. */
struct bed {
    struct pk_store *store;
    struct pk_watch *watch;
    struct pk_net *net;
};

static void answer_done(struct pk_answer *answer)
{
    pk_buf_add_text(&answer->body, "{}");
    pk_answer_json(answer, 200);
}

static void again(void *context, struct pk_request *request, struct pk_answer *answer)
{
    struct bed *bed = context;
    struct pk_error err = { 0 };
    if (pk_after_end(bed->watch, request, request->query, &err)) {
        answer_done(answer);
    } else {
        pk_answer_error(request, answer, &err);
    }
}

static void begin(void *context, struct pk_request *request, struct pk_answer *answer)
{
    struct bed *bed = context;
    struct pk_error err = { 0 };
    bool is_parked = false;
    if (!pk_after_begin(bed->watch, request, answer, request->query, PK_LANE_STORE, again,
                        &is_parked, &err)) {
        pk_answer_error(request, answer, &err);
    } else if (!is_parked) {
        answer_done(answer);
    }
}

static void plain(void *context, struct pk_request *request, struct pk_answer *answer)
{
    (void)context;
    (void)request;
    answer_done(answer);
}

static const struct pk_route route[] = {
    { .method = PK_METHOD_GET,
      .path = "/after",
      .action = 1,
      .lane = PK_LANE_STORE,
      .handler = begin,
      .help = "Waits." },
    { .method = PK_METHOD_GET,
      .path = "/plain",
      .action = 1,
      .lane = PK_LANE_STORE,
      .handler = plain,
      .help = "Does not." },
};

static const struct pk_collection collections[] = { { .name = "events", .is_feed = true } };
static const struct pk_inventory inventory = { collections, PK_COUNT(collections), 1 };

static void bed_open(struct bed *bed, size_t waiters_max)
{
    static const struct pk_net_listener listener[] = { { .address = "127.0.0.1:0" } };
    struct pk_error err = { 0 };
    PK_CLEANUP(pk_freep) char *url = pk_strdupf("sqlite:%s", pk_test_folder());
    const struct pk_store_options options = { .url = url,
                                              .inventory = &inventory,
                                              .clock = pk_clock_system() };
    assert_ok(pk_store_open(&bed->store, &options, &err), &err);
    bed->watch = pk_watch_new(&(struct pk_watch_options){
        .store = bed->store, .clock = pk_clock_system(), .waiters_max = waiters_max });
    assert_ok(pk_watch_start(bed->watch, &err), &err);
    assert_ok(pk_net_open(&bed->net,
                          &(struct pk_net_options){
                              .listener = listener,
                              .listener_count = 1,
                              .route = route,
                              .route_count = PK_COUNT(route),
                              .context = bed,
                              .loops = 1,
                              .limits.lane[PK_LANE_STORE] = { .threads = 2, .queue_max = 256 } },
                          &err),
              &err);
}

static void bed_done(struct bed *bed)
{
    (void)pk_net_close(bed->net);
    pk_watch_free(bed->watch);
    pk_store_close(bed->store);
}
#define BED(name, waiters_max)                    \
    PK_CLEANUP(bed_done) struct bed name = { 0 }; \
    bed_open(&name, waiters_max)

static void announce(struct bed *bed, const char *id, struct pk_commit *out)
{
    PK_CLEANUP(pk_writes_done) struct pk_writes list = { 0 };
    struct pk_error err = { 0 };
    bson_t *bson = BCON_NEW("_id", BCON_UTF8(id));
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *doc = pk_doc_take(bson);
    pk_writes_announce(&list, doc);
    assert_ok(pk_store_commit(bed->store, &list, 0, out, &err), &err);
}

static int ask(const struct bed *bed, const char *path, const char *query)
{
    struct sockaddr_in address = { .sin_family = AF_INET };
    char request[512];
    const char *colon = strrchr(pk_net_address(bed->net, 0), ':');
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    address.sin_port = htons((uint16_t)strtoul(colon + 1, NULL, 10));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    (void)snprintf(request, sizeof(request), "GET %s?%s HTTP/1.1\r\nHost: a\r\n\r\n", path, query);
    assert_true(send(fd, request, strlen(request), MSG_NOSIGNAL) > 0);
    return fd;
}

/* Its answer has this status and this part; closes it. */
static void expect(int fd, int status, const char *part, int64_t patience_ms)
{
    char text[4096] = "";
    size_t size = 0;
    do {
        struct pollfd waiting = { .fd = fd, .events = POLLIN };
        if (poll(&waiting, 1, (int)patience_ms) != 1) {
            fail_msg("no answer within %lld ms: '%s'", (long long)patience_ms, text);
        }
        const ssize_t got = recv(fd, text + size, sizeof(text) - 1 - size, 0);
        assert_true(got > 0);
        size += (size_t)got;
        text[size] = '\0';
    } while (!strstr(text, "\r\n\r\n") || !strchr(strstr(text, "\r\n\r\n"), '}'));
    if (strtol(text + strlen("HTTP/1.1 "), NULL, 10) != status || !strstr(text, part)) {
        fail_msg("%d with '%s' was expected: %s", status, part, text);
    }
    (void)close(fd);
}

/* The cursor of the commit that comes so many after the last. */
static void cursor_behind(const struct bed *bed, const struct pk_commit *last, int further,
                          char out[PK_POSITION_TEXT])
{
    const long row = strtol(strrchr(last->cursor, '.') + 1, NULL, 10);
    (void)snprintf(out, PK_POSITION_TEXT, "%s.%ld", pk_store_epoch(bed->store), row + further);
}

static void await_waiters(struct bed *bed, size_t count)
{
    struct pk_watch_stats stats;
    const int64_t until_ns = pk_deadline_in_ms(pk_clock_system(), PK_TEST_PATIENCE_MS);
    do {
        assert_false(pk_deadline_passed(pk_clock_system(), until_ns));
        pk_watch_stats(bed->watch, &stats);
        (void)nanosleep(&(struct timespec){ .tv_nsec = 1000000 }, NULL);
    } while (stats.waiters < count);
}

TEST(a_read_after_ones_own_write_is_answered_at_once)
{
    struct pk_commit out;
    char id[32];
    BED(bed, 0);
    for (int i = 0; i < 50; i++) {
        (void)snprintf(id, sizeof(id), "e%d", i);
        announce(&bed, id, &out);
        expect(ask(&bed, "/after", out.cursor), 200, "{}", 2000);
    }
}

TEST(a_hundred_parked_requests_hold_no_executor)
{
    struct pk_commit out;
    char next[PK_POSITION_TEXT];
    int fd[100];
    BED(bed, 0);
    announce(&bed, "first", &out);
    cursor_behind(&bed, &out, 1, next);
    for (size_t i = 0; i < PK_COUNT(fd); i++) {
        fd[i] = ask(&bed, "/after", next);
    }
    await_waiters(&bed, PK_COUNT(fd));
    for (int i = 0; i < 20; i++) { /* There are two executors. */
        expect(ask(&bed, "/plain", ""), 200, "{}", 2000);
    }
    announce(&bed, "second", &out);
    assert_string_equal(out.cursor, next);
    for (size_t i = 0; i < PK_COUNT(fd); i++) {
        expect(fd[i], 200, "{}", 5000);
    }
}

TEST(a_write_that_never_comes_is_a_timeout_with_a_hint)
{
    struct pk_commit out;
    char next[PK_POSITION_TEXT];
    BED(bed, 0);
    announce(&bed, "first", &out);
    cursor_behind(&bed, &out, 1000, next);
    const int64_t begun_ns = pk_clock_mono_ns(pk_clock_system());
    expect(ask(&bed, "/after", next), 504, "\"hint\":\"send it again", 2 * PK_AFTER_MAX_MS);
    const int64_t took_ms = (pk_clock_mono_ns(pk_clock_system()) - begun_ns) / 1000000;
    assert_true(took_ms >= PK_AFTER_MAX_MS && took_ms < PK_TEST_PATIENCE_MS);
}

TEST(a_cursor_of_another_store_is_refused)
{
    BED(bed, 0);
    expect(ask(&bed, "/after", "99999999-9999-4999-8999-999999999999.1"), 400,
           "\"code\":\"invalid\"", 2000);
    expect(ask(&bed, "/after", "nonsense"), 400, "not a cursor of this store", 2000);
}

TEST(too_many_who_wait_are_told_so_at_once)
{
    struct pk_commit out;
    char next[PK_POSITION_TEXT];
    BED(bed, 2);
    announce(&bed, "first", &out);
    cursor_behind(&bed, &out, 1, next);
    const int fd[] = { ask(&bed, "/after", next), ask(&bed, "/after", next) };
    await_waiters(&bed, 2);
    expect(ask(&bed, "/after", next), 503, "\"code\":\"busy\"", 2000);
    announce(&bed, "second", &out);
    expect(fd[0], 200, "{}", 5000);
    expect(fd[1], 200, "{}", 5000);
}

TEST(a_stop_of_the_watcher_answers_who_waits)
{
    struct pk_commit out;
    char next[PK_POSITION_TEXT];
    BED(bed, 0);
    announce(&bed, "first", &out);
    cursor_behind(&bed, &out, 1, next);
    const int fd = ask(&bed, "/after", next);
    await_waiters(&bed, 1);
    pk_watch_stop(bed.watch);
    expect(fd, 503, "\"code\":\"busy\"", 2000);
}
