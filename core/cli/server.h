/* server.h - The parts of a running server, made from first to last and taken down in reverse.
 *
 *     struct pk_server server;
 *     pk_server_start(&server, app, config, &err)     accepts requests when it returns
 *     pk_server_reload(&server, fresh)                SIGHUP: what can change while it runs
 *     pk_server_stop(&server)                         also of one that was half made
 *
 * Thread: the one that started it. */
/* SPDX-License-Identifier: MIT */
#ifndef PK_CLI_SERVER_H
#define PK_CLI_SERVER_H

#include "access/audit.h"
#include "access/rate.h"
#include "cli/cli.h"
#include "cli/living.h"
#include "cli/scripting.h"
#include "ops/metrics_page.h"

struct pk_api;
struct pk_events;
struct pk_health;
struct pk_hot;
struct pk_idempotency;
struct pk_keyring;
struct pk_net;
struct pk_peppers;
struct pk_rate;
struct pk_reaper;
struct pk_spool;
struct pk_traffic;
struct pk_watch;

enum { PK_SERVER_NODE = 96 };

struct pk_server {
    const struct pk_app *app;
    struct pk_config *config;  /* That it was started with; owned, as the next. */
    struct pk_config *fresh;   /* Of the last reload; NULL: there was none. */
    int lock_fd;               /* Of the data folder; -1: not held. */
    char node[PK_SERVER_NODE]; /* Its name in events. */
    struct pk_log *log;
    struct pk_open_store open;
    struct pk_metrics *metrics;
    struct pk_spool *spool; /* Lines of the access log on their way. */
    struct pk_peppers *peppers;
    struct pk_books books;
    bool has_new_admin; /* DATA/admin.key was written just now. */
    struct pk_keyring *keyring;
    struct pk_rate *rate;
    struct pk_idempotency *idempotency;
    struct pk_hot *hot;
    struct pk_watch *watch;
    struct pk_events *events;
    struct pk_scripting scripting;
    struct pk_living living;
    struct pk_health *health;
    struct pk_traffic *traffic;
    struct pk_metrics_sources sources;
    struct pk_api *api;
    struct pk_reaper *reaper;
    struct pk_net *net;
    char *address_file; /* DATA/server: where it listens, for commands; NULL: not written. */
};

/* Takes 'config' over, also when it fails; 'server' is ended with pk_server_stop either way. */
bool pk_server_start(struct pk_server *server, const struct pk_app *app, struct pk_config *config,
                     struct pk_error *err);
void pk_server_stop(struct pk_server *server);

/* Takes 'fresh' over: applies what may change, logs and audits each change, and names in the log
 * what wants a restart. */
void pk_server_reload(struct pk_server *server, struct pk_config *fresh);

/* The rules that the settings rates.* make. */
void pk_server_rates(const struct pk_config *config, struct pk_rate_rule out[PK_RATE_KINDS]);

#endif
