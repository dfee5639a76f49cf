/* reload.c - SIGHUP: new settings in a server that runs.
 *
 * A fresh configuration has been read and checked; here it is compared with
 * the one in effect, row by row. What differs and may change is applied and
 * leaves a row in the audit record; what differs and may not is named in the
 * log and stays as it is. Certificates are read anew in any case: their files
 * change under an unchanged name. */
/* SPDX-License-Identifier: MIT */
#include "access/rate.h"
#include "base/alloc.h"
#include "base/clock.h"
#include "base/log.h"
#include "cli/server.h"
#include "net/net.h"
#include "ops/traffic.h"
#include "store/store.h"

#include <string.h>

enum { AUDIT_MS = 5000 };

static struct pk_rate_rule rule_of(const struct pk_config *config, const char *kind)
{
    PK_CLEANUP(pk_freep) char *limit = pk_strdupf("rates.%s.limit", kind);
    PK_CLEANUP(pk_freep) char *window = pk_strdupf("rates.%s.window_ms", kind);
    return (struct pk_rate_rule){ .limit = (uint32_t)pk_config_int(config, limit),
                                  .window_ms = pk_config_ms(config, window) };
}

void pk_server_rates(const struct pk_config *config, struct pk_rate_rule out[PK_RATE_KINDS])
{
    out[PK_RATE_KEY] = rule_of(config, "key");
    out[PK_RATE_ADDRESS] = rule_of(config, "address");
    out[PK_RATE_PERSON] = rule_of(config, "person");
}

/* Everything that may change; applying what has not changed does no harm. */
static void apply(struct pk_server *server, const struct pk_config *config)
{
    struct pk_rate_rule rule[PK_RATE_KINDS];
    enum pk_log_level level = PK_LOG_INFO;

    (void)pk_log_level_parse(pk_config_text(config, "log.level"), &level);
    pk_log_set_level(server->log, level);
    pk_traffic_set(server->traffic, pk_config_bool(config, "log.access"),
                   pk_config_ms(config, "log.slow_ms"));
    pk_server_rates(config, rule);
    for (size_t i = 0; i < PK_RATE_KINDS; i++) {
        pk_rate_set(server->rate, (enum pk_rate_kind)i, &rule[i]);
    }
}

static void reload_certificate(struct pk_server *server)
{
    struct pk_error err = { 0 };
    size_t count = 0;
    (void)pk_config_list(server->config, "tls.listen", &count);
    if (count == 0) {
        return;
    }
    if (pk_net_reload_tls(server->net, &err)) {
        pk_log_info(server->log, "certificate read anew");
    } else {
        pk_log_error(server->log, "certificate not read: the old one stays", PK_ERR(&err));
    }
}

/* Names the setting, never its value: one may be a secret. */
static void note(struct pk_server *server, const struct pk_setting *setting, struct pk_writes *list)
{
    const struct pk_by by = { .actor_id = "personakit" };
    const struct pk_audit row = { .action = "setting.changed",
                                  .target_type = "setting",
                                  .target_id = setting->name };
    pk_audit_add(list, &server->books, &by, &row);
}

/* One list for all: a store that does not answer is waited for once, for signals wait, too. */
static void audit(struct pk_server *server, struct pk_writes *list)
{
    struct pk_error err = { 0 };
    const int64_t deadline_ns = pk_deadline_in_ms(server->app->clock, AUDIT_MS);
    if (list->count > 0 && !pk_store_commit(server->open.store, list, deadline_ns, NULL, &err)) {
        pk_log_error(server->log, "settings changed, and not audited", PK_ERR(&err));
    }
}

/* Says what differs, and audits it; returns how many settings did. */
static size_t compare(struct pk_server *server, const struct pk_config *fresh)
{
    PK_CLEANUP(pk_writes_done) struct pk_writes list = { 0 };
    const struct pk_config *last = server->fresh ? server->fresh : server->config;
    size_t changed = 0;

    for (size_t i = 0; i < pk_setting_count; i++) {
        const struct pk_setting *setting = &pk_setting_table[i];
        const struct pk_config *before = setting->is_reloadable ? last : server->config;
        if (pk_config_is_same(before, fresh, setting->name)) {
            continue;
        }
        if (!setting->is_reloadable) {
            pk_log_warn(server->log, "setting wants a restart", PK_STR("setting", setting->name));
            continue;
        }
        changed++;
        pk_log_info(server->log, "setting changed", PK_STR("setting", setting->name),
                    PK_STR("origin", pk_config_origin(fresh, setting->name)));
        note(server, setting, &list);
    }
    audit(server, &list);
    return changed;
}

void pk_server_reload(struct pk_server *server, struct pk_config *fresh)
{
    apply(server, fresh);
    const size_t changed = compare(server, fresh);
    reload_certificate(server);
    pk_config_free(server->fresh);
    server->fresh = fresh;
    pk_log_info(server->log, "settings read anew", PK_NUM("changed", changed));
}
