/* http_server.c - Our server for the HTTP bench: the real gate in front of two routes.
 *
 *     /hot       a cached answer, sent from the loop
 *     /executor  the same bytes by way of an executor and back
 *
 * Everything before the handlers is what 'personakit serve' has: the parser,
 * the key's look-up, rate limits (with their defaults' size, but no end), the
 * observer of requests. '--prepare' makes the store and its first key. */
/* SPDX-License-Identifier: MIT */
#include "access/admin.h"
#include "access/audit.h"
#include "access/keyring.h"
#include "access/pepper.h"
#include "access/rate.h"
#include "api/hot_lane.h"
#include "api/row.h"
#include "base/alloc.h"
#include "base/clock.h"
#include "base/crypto.h"
#include "base/file.h"
#include "base/metrics.h"
#include "doc/inventory.h"
#include "feed/watch.h"
#include "net/hot.h"
#include "ops/traffic.h"
#include "store/store.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BODY_MAX = 1 << 20, UNLIMITED = 1000000 };

static struct pk_buf body; /* The bench's one; filled before anybody asks. */

static void die(const struct pk_error *err)
{
    (void)fprintf(stderr, "http_bench_server: %s%s%s\n", err->message, err->hint ? "; " : "",
                  err->hint ? err->hint : "");
    exit(1);
}

static void answer_hot(void *context, struct pk_request *request, struct pk_answer *answer)
{
    pk_hot_lane(context, request, answer, NULL);
}

static bool answer_body(struct pk_api_call *call, struct pk_error *err)
{
    (void)err;
    pk_buf_add(&call->answer->body, body.data, body.size);
    call->answer->etag = "\"1\"";
    pk_answer_json(call->answer, 200);
    return true;
}

static bool fill_hot(struct pk_api_call *call, struct pk_error *err)
{
    const uint64_t stamp = pk_hot_stamp(call->parts->hot, "bench");
    if (!answer_body(call, err)) {
        return false;
    }
    pk_hot_lane_keep(call, "bench", stamp);
    return true;
}

static const struct pk_api_row bench_row[] = {
    { PK_ROW(GET, "/hot", ACTOR_SELF), .lane = PK_LANE_STORE, .hot = answer_hot, .run = fill_hot,
      .id = "hot", .tag = "bench", .help = "From memory." },
    { PK_ROW(GET, "/executor", ACTOR_SELF), .lane = PK_LANE_STORE, .run = answer_body,
      .id = "executor", .tag = "bench", .help = "From an executor." },
};
static const struct pk_api_table bench_table = { bench_row, PK_COUNT(bench_row) };

static void hear_keys(void *context, const struct pk_feed_item *item)
{
    pk_keyring_hear(context, item);
}

static struct pk_keyring *open_keyring(const struct pk_books *books, struct pk_error *err)
{
    struct pk_keyring *keyring = pk_keyring_new(&(struct pk_keyring_options){
        .store = books->store, .clock = books->clock, .peppers = books->peppers });
    struct pk_watch *watch =
        pk_watch_new(&(struct pk_watch_options){ .store = books->store, .clock = books->clock });
    pk_watch_tell(watch, hear_keys, keyring);
    if (!pk_watch_start(watch, err)) {
        die(err);
    }
    return keyring;
}

static void serve(const struct pk_books *books, const char *port, size_t connections_max)
{
    struct pk_error err = { 0 };
    struct pk_net *net = NULL;
    PK_CLEANUP(pk_freep) char *address = pk_strdupf("127.0.0.1:%s", port);
    const struct pk_rate_rule rule = { UNLIMITED, 1 };
    const struct pk_api_table *const table[] = { &bench_table };
    const struct pk_api_parts parts = {
        .clock = books->clock,
        .books = books,
        .keyring = open_keyring(books, &err),
        .rate = pk_rate_new(
            &(struct pk_rate_options){ .clock = books->clock, .rule = { rule, rule, rule } }),
        .hot = pk_hot_new(&(struct pk_hot_options){ .clock = books->clock }),
    };
    struct pk_api *api = pk_api_new_of(&parts, table, 1);
    struct pk_traffic_options traffic = { .clock = books->clock, .metrics = pk_metrics_new() };
    const struct pk_net_listener listener = { .address = address, .tag = PK_DOOR_MAIN };
    struct pk_net_options options = {
        .listener = &listener,
        .listener_count = 1,
        .gate = pk_api_gate(),
        .context = api,
        .done = pk_traffic_done,
        .loops = 1,
        .limits = { .connections_max = connections_max,
                    .connections_address_max = connections_max,
                    .idle_ms = INT64_C(3600) * 1000 },
    };
    options.route = pk_api_routes(api, &options.route_count);
    traffic.route = options.route;
    traffic.route_count = options.route_count;
    options.done_context = pk_traffic_new(&traffic);
    if (!pk_net_open(&net, &options, &err)) {
        die(&err);
    }
    int signal_number;
    sigset_t stop;
    (void)sigemptyset(&stop);
    (void)sigaddset(&stop, SIGTERM);
    (void)sigwait(&stop, &signal_number);
    _Exit(0); /* What a bench leaves behind, the kernel takes. */
}

int main(int argc, char **argv)
{
    struct pk_error err = { 0 };
    struct pk_store *store = NULL;
    struct pk_peppers *peppers = NULL;
    bool is_new = false;
    if (argc != 5 && !(argc == 3 && strcmp(argv[2], "--prepare") == 0)) {
        (void)fprintf(stderr, "use: http_bench_server FOLDER --prepare\n"
                              "     http_bench_server FOLDER PORT FILE CONNECTIONS\n");
        return 2;
    }
    sigset_t stop; /* Before any thread. */
    (void)sigemptyset(&stop);
    (void)sigaddset(&stop, SIGTERM);
    (void)sigprocmask(SIG_BLOCK, &stop, NULL);
    PK_CLEANUP(pk_freep) char *url = pk_strdupf("sqlite:%s", argv[1]);
    const struct pk_store_options options = { .url = url,
                                              .inventory = pk_inventory_builtin(),
                                              .clock = pk_clock_system() };
    if (!pk_crypto_init(&err) || !pk_folder_make(argv[1], 0700, &err) ||
        !pk_store_open(&store, &options, &err) ||
        !pk_peppers_open(&peppers, argv[1], store, false, &err)) {
        die(&err);
    }
    const struct pk_books books = { .store = store,
                                    .clock = options.clock,
                                    .peppers = peppers,
                                    .node = "bench",
                                    .event_keep_ms = 3600000 };
    if (!pk_admin_ensure(&books, argv[1], &is_new, &err)) {
        die(&err);
    }
    if (argc == 5) {
        if (!pk_file_read(&body, argv[3], BODY_MAX, &err)) {
            die(&err);
        }
        serve(&books, argv[2], strtoul(argv[4], NULL, 10));
    }
    pk_peppers_free(peppers);
    pk_store_close(store);
    return 0;
}
