/* serve.c - 'personakit serve': a server that runs until it is told to stop.
 *
 *     start ─▶ ready ─▶ wait for a signal ─▶ SIGHUP: read the settings anew, wait on
 *                                        └─▶ SIGTERM, SIGINT: drain, stop
 *
 * "ready http://ADDRESS:PORT" is the only line on standard output, and is
 * printed when requests are accepted. The first SIGTERM or SIGINT drains; the
 * second ends the process at once, which loses nothing that was acknowledged.
 * What the server is made of is in server.c. */
/* SPDX-License-Identifier: MIT */
#include "base/alloc.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/log.h"
#include "cli/cli.h"
#include "cli/server.h"
#include "cli/signals.h"
#include "net/net.h"
#include "ops/health.h"
#include "ops/notify.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct serve {
    struct pk_call *call;
    struct pk_server server;
    struct pk_signals signals;
    struct pk_notify *notify;
};

/* Waits until 'fd' (or a signal) is readable, at most 'timeout_ms' (-1: for ever). Returns the
 * signal, or 0. */
static int wait_for(struct serve *serve, int fd, int64_t timeout_ms)
{
    const struct pk_clock *clock = serve->call->app->clock;
    const int64_t end_ms = pk_clock_mono_ns(clock) / 1000000 + timeout_ms;
    struct pollfd waiting[2] = { { .fd = serve->signals.fd, .events = POLLIN },
                                 { .fd = fd, .events = POLLIN } };
    for (;;) {
        const int64_t left_ms = end_ms - pk_clock_mono_ns(clock) / 1000000;
        const int wait_ms = timeout_ms < 0 ? -1 : left_ms > 0 ? (int)left_ms : 0;
        const int ready = poll(waiting, 2, wait_ms);
        const int signal_number = ready > 0 ? pk_signals_take(&serve->signals) : 0;
        if (signal_number != 0 || ready == 0 || waiting[1].revents != 0) {
            return signal_number;
        }
    }
}

/* While it stops a hang-up changes nothing any more. */
static int wait_for_stop(struct serve *serve, int fd, int64_t timeout_ms)
{
    int signal_number = SIGHUP;
    while (signal_number == SIGHUP) {
        signal_number = wait_for(serve, fd, timeout_ms);
    }
    return signal_number;
}

/* For the watchdog: no loop is later than half of its period. */
static bool is_alive(void *context)
{
    const struct serve *serve = context;
    struct pk_net_stats stats;
    pk_net_stats(serve->server.net, &stats);
    return stats.lag_ns < pk_notify_watchdog_ms(serve->notify) * 1000000 / 2;
}

static void say_ready(struct serve *serve)
{
    PK_CLEANUP(pk_freep)
    char *status = pk_strdupf("serving %s", pk_net_address(serve->server.net, 0));
    pk_notify_ready(serve->notify, status);
}

/* ---- SIGHUP ---- */

static void reload(struct serve *serve)
{
    struct pk_config *fresh = NULL;
    struct pk_error err = { 0 };
    pk_notify_reloading(serve->notify);
    if (pk_call_config(serve->call, &fresh, &err)) {
        pk_server_reload(&serve->server, fresh);
    } else {
        pk_log_error(serve->server.log, "settings not read: the old ones stay", PK_ERR(&err));
    }
    say_ready(serve);
}

/* ---- From the first signal to the last answer ---- */

static void drain(struct serve *serve, int signal_number)
{
    const struct pk_config *config = serve->server.config;
    const int64_t lead_ms = pk_config_ms(config, "drain.lead_ms");
    const int64_t limit_ms = pk_config_ms(config, "drain.limit_ms");
    int again = 0;

    pk_log_info(serve->server.log, "stopping", PK_STR("signal", strsignal(signal_number)));
    pk_notify_stopping(serve->notify, "answering what was accepted");
    pk_health_drain(serve->server.health); /* Not ready, and still accepting, for lead_ms. */
    if (lead_ms > 0) {
        again = wait_for_stop(serve, -1, lead_ms);
    }
    if (again == 0) {
        pk_net_drain(serve->server.net);
        again = wait_for_stop(serve, pk_net_done_fd(serve->server.net), limit_ms);
    }
    if (again != 0) {
        pk_log_warn(serve->server.log, "stopped at once by a second signal");
        _exit(128 + again);
    }
}

static void serve_until_told(struct serve *serve)
{
    struct pk_server *server = &serve->server;
    (void)printf("ready %s\n", pk_net_address(server->net, 0));
    (void)fflush(stdout);
    pk_log_info(server->log, "ready", PK_STR("address", pk_net_address(server->net, 0)),
                PK_STR("version", PK_VERSION));
    say_ready(serve);
    int signal_number = SIGHUP;
    while ((signal_number = wait_for(serve, -1, -1)) == SIGHUP) {
        reload(serve);
    }
    drain(serve, signal_number);
}

static bool start(struct serve *serve, struct pk_config *config, struct pk_error *err)
{
    return pk_server_start(&serve->server, serve->call->app, config, err) &&
           pk_notify_open(&serve->notify, getenv("NOTIFY_SOCKET"), getenv("WATCHDOG_USEC"),
                          getenv("WATCHDOG_PID"), err) &&
           pk_notify_watch(serve->notify, is_alive, serve, err);
}

static enum pk_exit run(struct pk_call *call, struct pk_error *err)
{
    struct serve serve = { .call = call };
    struct pk_config *config = NULL;
    if (!pk_call_config(call, &config, err)) {
        return PK_EXIT_USAGE;
    }
    pk_signals_init(&serve.signals, true); /* Before any thread. */
    const bool is_started = start(&serve, config, err);
    if (is_started) {
        serve_until_told(&serve);
    }
    pk_notify_close(serve.notify); /* It asks the net. */
    pk_server_stop(&serve.server);
    return is_started ? PK_EXIT_OK : PK_EXIT_FAILED;
}

const struct pk_command pk_command_serve = {
    .noun = "serve",
    .summary = "run the server until it is told to stop",
    .text = "Prints 'ready http://ADDRESS:PORT' on standard output when it accepts requests, and\n"
            "logs to standard error. SIGTERM and SIGINT (Ctrl-C) let it answer what it has\n"
            "accepted and leave with exit code 0; a second one ends it at once. SIGHUP reads\n"
            "settings and certificates anew.\n",
    .example = "personakit serve --data var/data --listen 127.0.0.1:8077",
    .takes_settings = true,
    .run = run,
};
