/* serve.c - 'personakit serve': from settings to a server that accepts, and back.
 *
 * The parts are made in 'start' from first to last and taken down in 'stop' in
 * reverse; a half-made server is taken down by the same code.
 *
 *     settings ─▶ data folder and its lock ─▶ log ─▶ store ─▶ reaper ─▶ net
 *
 * "ready http://ADDRESS:PORT" is the only line on standard output, and is
 * printed when requests are accepted. The first SIGTERM or SIGINT drains; the
 * second ends the process at once, which loses nothing that was acknowledged. */
/* SPDX-License-Identifier: MIT */
#include "base/alloc.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "cli/cli.h"
#include "cli/signals.h"
#include "net/net.h"
#include "ops/health.h"
#include "ops/move.h"
#include "ops/reaper.h"
#include "store/store.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { REAP_EVERY_MS = 10 * 1000 };

/* All routes there are. If you add one, its row says who may call it. */
static const struct pk_route route_table[] = {
    { .method = PK_METHOD_GET,
      .path = "/healthz",
      .capability = "public",
      .lane = PK_LANE_HOT,
      .handler = pk_health_live,
      .help = "200 while the process answers." },
    { .method = PK_METHOD_GET,
      .path = "/readyz",
      .capability = "public",
      .lane = PK_LANE_STORE,
      .handler = pk_health_ready,
      .help = "200 while the server can serve; else 503 and the reason." },
};

struct server {
    struct pk_config *config;
    int lock_fd; /* Of the data folder; -1: not held. */
    struct pk_log *log;
    struct pk_open_store open;
    struct pk_reaper *reaper;
    struct pk_health health;
    struct pk_net *net;
    struct pk_signals signals;
};

static struct pk_log *open_log(const struct pk_config *config, const struct pk_clock *clock)
{
    struct pk_log_options options = { .clock = clock, .fd = STDERR_FILENO };
    (void)pk_log_level_parse(pk_config_text(config, "log.level"), &options.level);
    (void)pk_log_format_parse(pk_config_text(config, "log.format"), &options.format);
    return pk_log_new(&options);
}

static bool open_store(struct server *server, const struct pk_app *app, const char *data,
                       struct pk_error *err)
{
    PK_CLEANUP(pk_freep) char *url = pk_cli_store_url(server->config);
    PK_CLEANUP(pk_freep) char *shown = pk_cli_store_shown(url);
    if (!pk_cli_store_open(app, url, data, PK_OPEN_USE, &server->open, err)) {
        return pk_wrap(err, "open the store '%s'", shown);
    }
    if (!pk_move_check_finished(server->open.store, app->clock, err)) {
        return false;
    }
    pk_log_info(server->log, "store opened", PK_STR("store", shown),
                PK_STR("engine", pk_store_engine(server->open.store)));
    return true;
}

static bool open_net(struct server *server, const struct pk_app *app, struct pk_error *err)
{
    const struct pk_config *config = server->config;
    const struct pk_net_options options = {
        .listen = pk_config_text(config, "listen"),
        .route = route_table,
        .route_count = PK_COUNT(route_table),
        .context = &server->health,
    };
    server->health.store = server->open.store;
    server->health.clock = app->clock;
    return pk_net_open(&server->net, &options, err);
}

static bool start(struct server *server, struct pk_call *call, struct pk_error *err)
{
    const struct pk_app *app = call->app;
    const char *data = pk_config_text(server->config, "data");

    if (!pk_folder_make(data, 0700, err) || !pk_folder_lock(data, &server->lock_fd, err)) {
        return pk_wrap(err, "use the data folder '%s'", data);
    }
    server->log = open_log(server->config, app->clock);
    return open_store(server, app, data, err) &&
           pk_reaper_start(&server->reaper, server->open.store, server->log, REAP_EVERY_MS, err) &&
           open_net(server, app, err);
}

static void stop(struct server *server)
{
    pk_net_close(server->net);
    pk_reaper_stop(server->reaper);
    pk_cli_store_close(&server->open);
    pk_log_free(server->log);
    if (server->lock_fd >= 0) {
        (void)close(server->lock_fd);
    }
    pk_config_free(server->config);
}

/* Waits until 'fd' (or a signal) is readable, at most 'timeout_ms' (-1: for ever). Returns the
 * signal, or 0. */
static int wait_for(struct server *server, int fd, int timeout_ms)
{
    struct pollfd waiting[2] = { { .fd = server->signals.fd, .events = POLLIN },
                                 { .fd = fd, .events = POLLIN } };
    while (poll(waiting, 2, timeout_ms) < 0 && errno == EINTR) {
    }
    return pk_signals_take(&server->signals);
}

/* From the first signal to the last answer. */
static void drain(struct server *server, int signal_number)
{
    int lead_ms = (int)pk_config_ms(server->config, "drain.lead_ms");
    int limit_ms = (int)pk_config_ms(server->config, "drain.limit_ms");
    pk_log_info(server->log, "stopping", PK_STR("signal", strsignal(signal_number)));
    server->health.is_draining = true; /* Not ready, and still accepting, for lead_ms. */
    int again = lead_ms > 0 ? wait_for(server, -1, lead_ms) : 0;
    if (again == 0) {
        pk_net_drain(server->net);
        again = wait_for(server, pk_net_done_fd(server->net), limit_ms);
    }
    if (again != 0) {
        pk_log_warn(server->log, "stopped at once by a second signal");
        _exit(128 + again);
    }
}

static enum pk_exit run(struct pk_call *call, struct pk_error *err)
{
    struct server server = { .lock_fd = -1, .open = { .lock_fd = -1 } };
    if (!pk_call_config(call, &server.config, err)) {
        return PK_EXIT_USAGE;
    }
    pk_signals_init(&server.signals);
    bool is_started = start(&server, call, err);
    if (is_started) {
        (void)printf("ready %s\n", pk_net_address(server.net));
        (void)fflush(stdout);
        pk_log_info(server.log, "ready", PK_STR("address", pk_net_address(server.net)),
                    PK_STR("version", PK_VERSION));
        int signal_number = wait_for(&server, -1, -1);
        drain(&server, signal_number);
    }
    stop(&server);
    return is_started ? PK_EXIT_OK : PK_EXIT_FAILED;
}

const struct pk_command pk_command_serve = {
    .noun = "serve",
    .summary = "run the server until it is told to stop",
    .text = "Prints 'ready http://ADDRESS:PORT' on standard output when it accepts requests, and\n"
            "logs to standard error. SIGTERM and SIGINT (Ctrl-C) let it answer what it has\n"
            "accepted and leave with exit code 0; a second one ends it at once.\n",
    .example = "personakit serve --data var/data --listen 127.0.0.1:8077",
    .takes_settings = true,
    .run = run,
};
