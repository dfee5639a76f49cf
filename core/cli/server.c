/* server.c - From settings to a server that accepts, and back.
 *
 * The parts are made in 'pk_server_start' from first to last, each from those
 * before it, and taken down in 'pk_server_stop' in reverse; a half-made server
 * is taken down by the same code.
 *
 *     settings ─▶ data folder and its lock ─▶ log ─▶ store ─▶ peppers, admin ─▶ access
 *              ─▶ scripts ─▶ people ─▶ watcher of the feed ─▶ health, traffic ─▶ api ─▶ reaper
 *              ─▶ net
 *
 * The net comes last: nothing is accepted before everything behind it stands,
 * and nothing behind it goes while a request is under way. */
/* SPDX-License-Identifier: MIT */
#include "cli/server.h"

#include "access/admin.h"
#include "access/idempotency.h"
#include "access/keyring.h"
#include "access/pepper.h"
#include "access/principal.h"
#include "api/api.h"
#include "api/events.h"
#include "base/alloc.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/id.h"
#include "base/log.h"
#include "base/metrics.h"
#include "feed/watch.h"
#include "net/hot.h"
#include "net/net.h"
#include "ops/health.h"
#include "ops/move.h"
#include "ops/reaper.h"
#include "ops/spool.h"
#include "ops/traffic.h"
#include "persona/registry.h"
#include "store/store.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

enum { REAP_EVERY_MS = 10 * 1000, FEED_FIRST_MS = 2000, LISTENERS_MAX = 17, FILES_KEPT = 512 };

static void open_log(struct pk_server *server)
{
    struct pk_log_options options = { .clock = server->app->clock, .fd = STDERR_FILENO };
    (void)pk_log_level_parse(pk_config_text(server->config, "log.level"), &options.level);
    (void)pk_log_format_parse(pk_config_text(server->config, "log.format"), &options.format);
    server->log = pk_log_new(&options);
}

/* "host-1a2b3c4d": another one at every start, so that no two nodes are ever taken for one. */
static void name_node(struct pk_server *server)
{
    char host[64] = "node";
    char id[PK_UUID_TEXT];
    (void)gethostname(host, sizeof(host) - 1);
    pk_uuid_new(id);
    (void)snprintf(server->node, sizeof(server->node), "%s-%.8s", host, id);
}

static bool open_store(struct pk_server *server, const char *data, struct pk_error *err)
{
    PK_CLEANUP(pk_freep) char *url = pk_cli_store_url(server->config);
    PK_CLEANUP(pk_freep) char *shown = pk_cli_store_shown(url);
    if (!pk_cli_store_open(server->app, url, data, PK_OPEN_USE, &server->open, err)) {
        return pk_wrap(err, "open the store '%s'", shown);
    }
    if (!pk_move_check_finished(server->open.store, server->app->clock, err)) {
        return false;
    }
    pk_log_info(server->log, "store opened", PK_STR("store", shown),
                PK_STR("engine", pk_store_engine(server->open.store)));
    return true;
}

/* Who may ask: peppers, the first actor, keys, rates, repeated requests. */
static bool open_access(struct pk_server *server, const char *data, struct pk_error *err)
{
    const struct pk_config *config = server->config;
    struct pk_rate_options rates = { .clock = server->app->clock };

    if (!pk_peppers_open(&server->peppers, data, server->open.store, false, err)) {
        return false;
    }
    server->books = (struct pk_books){
        .store = server->open.store,
        .clock = server->app->clock,
        .peppers = server->peppers,
        .node = server->node,
        .event_keep_ms = pk_config_ms(config, "store.retention.events"),
        .audit_keep_ms = pk_config_ms(config, "store.retention.audit"),
    };
    if (!pk_admin_ensure(&server->books, data, &server->has_new_admin, err)) {
        return pk_wrap(err, "make the first actor");
    }
    if (server->has_new_admin) {
        pk_log_info(server->log, "first key written", PK_STR("folder", data),
                    PK_STR("file", "admin.key"));
    }
    server->keyring = pk_keyring_new(&(struct pk_keyring_options){
        .store = server->open.store,
        .clock = server->app->clock,
        .peppers = server->peppers,
        .stale_read_ms = pk_config_ms(config, "access.stale_keys_ms"),
    });
    pk_server_rates(config, rates.rule);
    server->rate = pk_rate_new(&rates);
    server->idempotency =
        pk_idempotency_new(&server->books, pk_config_ms(config, "store.retention.idempotency"));
    return true;
}

static void hear_keys(void *context, const struct pk_feed_item *item)
{
    pk_keyring_hear(context, item);
}

static void hear_scripts(void *context, const struct pk_feed_item *item)
{
    pk_registry_hear(context, item);
}

static bool open_living(struct pk_server *server, struct pk_error *err)
{
    return pk_living_open(&server->living,
                          &(struct pk_living_parts){ .config = server->config,
                                                     .books = &server->books,
                                                     .scripting = &server->scripting,
                                                     .hot = server->hot,
                                                     .log = server->log },
                          err);
}

/* The one thread that follows the feed; the keyring hears everything first. */
static bool open_feed(struct pk_server *server, struct pk_error *err)
{
    server->watch = pk_watch_new(&(struct pk_watch_options){
        .store = server->open.store, .clock = server->app->clock, .log = server->log });
    server->events = pk_events_new(&(struct pk_events_options){ .store = server->open.store,
                                                                .keyring = server->keyring,
                                                                .watch = server->watch,
                                                                .domain = &server->living.domain,
                                                                .clock = server->app->clock,
                                                                .log = server->log });
    pk_watch_tell(server->watch, hear_keys, server->keyring);
    pk_watch_tell(server->watch, pk_living_hear, &server->living);
    pk_watch_tell(server->watch, pk_events_hear, server->events);
    pk_watch_tell(server->watch, hear_scripts, server->scripting.registry);
    return pk_events_start(server->events, err) && pk_watch_start(server->watch, err) &&
           pk_living_start(&server->living, err);
}

/* Until the feed has answered once every key would be refused; a store that does not answer is
 * waited for no longer, and /readyz says so. */
static void await_feed(const struct pk_server *server)
{
    static const struct timespec moment = { .tv_nsec = 200 * 1000 };
    const int64_t end_ns = pk_deadline_in_ms(server->app->clock, FEED_FIRST_MS);
    while (pk_keyring_silence_ms(server->keyring) == INT64_MAX &&
           !pk_deadline_passed(server->app->clock, end_ns)) {
        (void)nanosleep(&moment, NULL);
    }
}

static bool open_health(struct pk_server *server, struct pk_error *err)
{
    const bool is_embedded = strcmp(pk_store_engine(server->open.store), "sqlite") == 0;
    const struct pk_health_options options = {
        .store = server->open.store,
        .clock = server->app->clock,
        .log = server->log,
        .keyring = server->keyring,
        .stale_read_ms = pk_config_ms(server->config, "access.stale_keys_ms"),
        .jail = server->scripting.jail,
        .data = is_embedded ? pk_config_text(server->config, "data") : NULL,
    };
    return pk_health_start(&server->health, &options, err);
}

/* ---- What answers, and what is said of it ---- */

static void who_asked(const struct pk_request *request, const char **out_actor,
                      const char **out_key)
{
    const struct pk_principal *who = request->caller;
    if (who) {
        *out_actor = who->actor_id;
        *out_key = who->key_id;
    }
}

static void open_api(struct pk_server *server)
{
    server->sources = (struct pk_metrics_sources){
        .metrics = server->metrics,
        .health = server->health,
        .hot = server->hot,
        .keyring = server->keyring,
        .rate = server->rate,
        .watch = server->watch,
        .outbox = server->living.domain.outbox,
        .jail = server->scripting.jail,
        .scripts = server->scripting.scripts,
        .registry = server->scripting.registry,
        .personas = server->living.domain.personas,
        .spool = server->spool,
        .log = server->log,
        .version = PK_VERSION,
        .engine = pk_store_engine(server->open.store),
        .started_at_ms = pk_clock_wall_ms(server->app->clock),
    };
    server->api = pk_api_new(&(struct pk_api_parts){ .clock = server->app->clock,
                                                     .books = &server->books,
                                                     .keyring = server->keyring,
                                                     .rate = server->rate,
                                                     .idempotency = server->idempotency,
                                                     .watch = server->watch,
                                                     .events = server->events,
                                                     .hot = server->hot,
                                                     .registry = server->scripting.registry,
                                                     .scripts = server->scripting.scripts,
                                                     .domain = &server->living.domain,
                                                     .health = server->health,
                                                     .sources = &server->sources,
                                                     .log = server->log });
}

/* The access log is lines like those of the log, on the same descriptor. */
static void open_traffic(struct pk_server *server)
{
    struct pk_traffic_options options = {
        .clock = server->app->clock,
        .metrics = server->metrics,
        .spool = server->spool,
        .who = who_asked,
        .is_logged = pk_config_bool(server->config, "log.access"),
        .slow_ms = pk_config_ms(server->config, "log.slow_ms"),
    };
    options.route = pk_api_routes(server->api, &options.route_count);
    server->traffic = pk_traffic_new(&options);
}

/* The listeners that the settings name: plain ones, then TLS, then the operations' own. */
static size_t list_listeners(const struct pk_config *config,
                             struct pk_net_listener out[LISTENERS_MAX])
{
    const bool is_proxied = pk_config_bool(config, "proxy.protocol");
    const char *operations = pk_config_text(config, "operations.listen");
    size_t plain_count, tls_count, count = 0;
    const char *const *plain = pk_config_list(config, "listen", &plain_count);
    const char *const *tls = pk_config_list(config, "tls.listen", &tls_count);

    for (size_t i = 0; i < plain_count; i++) {
        out[count++] = (struct pk_net_listener){ .address = plain[i],
                                                 .tag = PK_DOOR_MAIN,
                                                 .is_proxied = is_proxied };
    }
    for (size_t i = 0; i < tls_count; i++) {
        out[count++] = (struct pk_net_listener){
            .address = tls[i], .tag = PK_DOOR_MAIN, .is_secure = true, .is_proxied = is_proxied
        };
    }
    if (operations[0]) {
        out[count++] = (struct pk_net_listener){ .address = operations, .tag = PK_DOOR_OPERATIONS };
    }
    return count;
}

static struct pk_lane_limits lane_limits(const struct pk_config *config, const char *lane)
{
    PK_CLEANUP(pk_freep) char *threads = pk_strdupf("lanes.%s.threads", lane);
    PK_CLEANUP(pk_freep) char *queue = pk_strdupf("lanes.%s.queue", lane);
    return (struct pk_lane_limits){ .threads = (size_t)pk_config_int(config, threads),
                                    .queue_max = (size_t)pk_config_int(config, queue) };
}

/* As many connections as are wanted and there are descriptors for: what runs needs some, too, and
 * must not lose them to whoever connects. */
static size_t connections_max(struct pk_server *server)
{
    const size_t wanted = (size_t)pk_config_int(server->config, "net.connections");
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files) != 0) {
        return wanted;
    }
    if (files.rlim_cur < files.rlim_max) {
        files.rlim_cur = files.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &files);
        (void)getrlimit(RLIMIT_NOFILE, &files);
    }
    const rlim_t kept = files.rlim_cur / 2 < FILES_KEPT ? files.rlim_cur / 2 : FILES_KEPT;
    if (files.rlim_cur == RLIM_INFINITY || files.rlim_cur - kept >= wanted) {
        return wanted;
    }
    pk_log_warn(server->log,
                "fewer connections than net.connections: raise the limit of open files",
                PK_NUM("connections", files.rlim_cur - kept), PK_NUM("wanted", wanted),
                PK_NUM("files", files.rlim_cur));
    return (size_t)(files.rlim_cur - kept);
}

static struct pk_net_limits net_limits(struct pk_server *server)
{
    const struct pk_config *config = server->config;
    struct pk_net_limits limits = {
        .head_ms = pk_config_ms(config, "net.head_ms"),
        .body_ms = pk_config_ms(config, "net.body_ms"),
        .rate_min = (size_t)pk_config_int(config, "net.rate_min"),
        .idle_ms = pk_config_ms(config, "net.idle_ms"),
        .write_ms = pk_config_ms(config, "net.write_ms"),
        .connections_max = connections_max(server),
        .connections_address_max = (size_t)pk_config_int(config, "net.connections_per_address"),
        .bodies_bytes = (size_t)pk_config_bytes(config, "net.bodies_bytes"),
    };
    limits.lane[PK_LANE_STORE] = lane_limits(config, "store");
    limits.lane[PK_LANE_SCRIPT] = lane_limits(config, "script");
    limits.lane[PK_LANE_SLOW] = lane_limits(config, "slow");
    return limits;
}

static const char *or_null(const char *text)
{
    return text[0] ? text : NULL;
}

static bool open_net(struct pk_server *server, struct pk_error *err)
{
    const struct pk_config *config = server->config;
    struct pk_net_listener listener[LISTENERS_MAX];
    struct pk_net_options options = {
        .listener = listener,
        .listener_count = list_listeners(config, listener),
        .tls_certificate = or_null(pk_config_text(config, "tls.certificate")),
        .tls_key = or_null(pk_config_text(config, "tls.key")),
        .gate = pk_api_gate(),
        .context = server->api,
        .done = pk_traffic_done,
        .done_context = server->traffic,
        .loops = (size_t)pk_config_int(config, "net.loops"),
        .limits = net_limits(server),
    };
    options.route = pk_api_routes(server->api, &options.route_count);
    options.trusted = pk_config_list(config, "proxy.trusted", &options.trusted_count);
    options.origin = pk_config_list(config, "cors.origins", &options.origin_count);
    if (!pk_net_open(&server->net, &options, err)) {
        return false;
    }
    for (size_t i = 0; i < options.listener_count; i++) {
        pk_log_info(server->log, "listening", PK_STR("address", pk_net_address(server->net, i)),
                    PK_STR("for", listener[i].tag == PK_DOOR_OPERATIONS ? "operations" : "all"));
    }
    return true;
}

/* DATA/server: commands on this machine find the server by it. */
static bool write_address(struct pk_server *server, const char *data, struct pk_error *err)
{
    PK_CLEANUP(pk_freep)
    char *text = pk_strdupf("%s\n", pk_net_address(server->net, 0));
    server->address_file = pk_strdupf("%s/server", data);
    return pk_file_write(server->address_file, text, strlen(text), 0644, err);
}

/* Before anything is made. */
static bool check_listeners(const struct pk_config *config, struct pk_error *err)
{
    struct pk_net_listener listener[LISTENERS_MAX];
    const size_t count = list_listeners(config, listener);
    return (count > 0 && listener[0].tag == PK_DOOR_MAIN) ||
           pk_fail(err, PK_INVALID, "set 'listen' or 'tls.listen'",
                   "there is no address to listen on");
}

bool pk_server_start(struct pk_server *server, const struct pk_app *app, struct pk_config *config,
                     struct pk_error *err)
{
    const char *data = pk_config_text(config, "data");

    *server = (struct pk_server){
        .app = app, .config = config, .lock_fd = -1, .open = { .lock_fd = -1 }
    };
    if (!check_listeners(config, err)) {
        return false;
    }
    if (!pk_folder_make(data, 0700, err) || !pk_folder_lock(data, &server->lock_fd, err)) {
        return pk_wrap(err, "use the data folder '%s'", data);
    }
    open_log(server);
    name_node(server);
    server->metrics = pk_metrics_new();
    server->hot = pk_hot_new(&(struct pk_hot_options){ .clock = app->clock });
    if (!pk_spool_open(&server->spool, &(struct pk_spool_options){ .fd = STDERR_FILENO }, err) ||
        !open_store(server, data, err) || !open_access(server, data, err) ||
        !pk_scripting_start(&server->scripting, config, &server->books, server->log, err) ||
        !open_living(server, err) || !open_feed(server, err)) {
        return false;
    }
    await_feed(server);
    if (!open_health(server, err)) {
        return false;
    }
    open_api(server);
    open_traffic(server);
    if (!pk_reaper_start(&server->reaper, server->open.store, server->log, REAP_EVERY_MS, err) ||
        !open_net(server, err)) {
        return false;
    }
    server->sources.net = server->net;
    pk_health_set_net(server->health, server->net);
    return pk_scripting_watch(&server->scripting, err) && write_address(server, data, err);
}

/* Says what was cut off. A call that hangs still may touch anything that it was given, so nothing
 * is freed under it: the process ends here. All that was acknowledged is durable. */
static void close_net(struct pk_server *server)
{
    const struct pk_net_rest rest = pk_net_close(server->net);
    server->net = NULL;
    if (rest.cut > 0) {
        pk_log_warn(server->log, "requests cut off: drain.limit_ms is over",
                    PK_NUM("requests", rest.cut));
    }
    if (rest.hung > 0) {
        pk_log_warn(server->log, "calls hang still and are left behind",
                    PK_NUM("calls", rest.hung));
        pk_spool_close(server->spool);
        _exit(PK_EXIT_OK);
    }
}

void pk_server_stop(struct pk_server *server)
{
    const bool has_served = server->net != NULL;
    if (server->address_file) {
        (void)unlink(server->address_file);
    }
    pk_scripting_quiet(&server->scripting);
    pk_living_quiet(&server->living);
    pk_watch_stop(server->watch); /* Nobody is told anything any more ... */
    pk_events_stop(server->events);
    if (server->health) {
        pk_health_set_net(server->health, NULL);
    }
    close_net(server); /* ... and nobody asks any more. */
    pk_reaper_stop(server->reaper);
    pk_traffic_free(server->traffic);
    pk_api_free(server->api);
    pk_health_stop(server->health);
    pk_events_free(server->events);
    pk_watch_free(server->watch);
    pk_living_stop(&server->living);
    pk_scripting_stop(&server->scripting);
    pk_idempotency_free(server->idempotency);
    pk_rate_free(server->rate);
    pk_keyring_free(server->keyring);
    pk_peppers_free(server->peppers);
    pk_cli_store_close(&server->open);
    pk_hot_free(server->hot);
    pk_spool_close(server->spool);
    pk_metrics_free(server->metrics);
    if (has_served) { /* Else the line that begins with "personakit:" says why. */
        pk_log_info(server->log, "stopped");
    }
    pk_log_free(server->log);
    if (server->lock_fd >= 0) {
        (void)close(server->lock_fd);
    }
    pk_free(server->address_file);
    pk_config_free(server->fresh);
    pk_config_free(server->config);
}
