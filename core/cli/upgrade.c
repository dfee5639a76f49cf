/* upgrade.c - 'personakit upgrade': what stands in the store, and what this program needs.
 *
 * A store carries the version of its schema. An older one is raised here, on
 * demand and never by 'serve'; a newer one is left alone, with the way back. */
/* SPDX-License-Identifier: MIT */
#include "base/alloc.h"
#include "base/buf.h"
#include "base/text.h"
#include "cli/cli.h"
#include "doc/inventory.h"
#include "store/store.h"

#include <stdio.h>
#include <string.h>

static const struct pk_cli_option option_table[] = {
    { "--check", NULL, "Only say what would be done." },
};

/* How a store can stand to this program. */
enum standing { NOTHING_THERE, UP_TO_DATE, OLDER, NEWER };

static const struct {
    const char *name;
    enum pk_exit check; /* Exit code of --check. */
    const char *text;
} standing_table[] = {
    [NOTHING_THERE] = { "empty", PK_EXIT_OK,
                        "nothing is there yet: 'personakit serve' makes the store" },
    [UP_TO_DATE] = { "up_to_date", PK_EXIT_OK, "up to date: there is nothing to do" },
    [OLDER] = { "upgrade_needed", PK_EXIT_UPGRADE_NEEDED,
                "older: 'personakit upgrade' raises it; make a backup first" },
    [NEWER] = { "store_is_newer", PK_EXIT_STORE_NEWER,
                "newer: run the personakit that wrote it, or restore the backup made before its "
                "upgrade" },
};

static enum standing stand(const struct pk_store_state *state, int64_t needed)
{
    if (state->is_empty) {
        return NOTHING_THERE;
    }
    if (state->schema_version == needed) {
        return UP_TO_DATE;
    }
    return state->schema_version < needed ? OLDER : NEWER;
}

static void print(const struct pk_call *call, const char *url, const struct pk_store_state *state,
                  enum standing standing, const char *text)
{
    PK_CLEANUP(pk_freep) char *shown = pk_cli_store_shown(url);
    PK_CLEANUP(pk_buf_done) struct pk_buf out = { 0 };
    long long has = (long long)state->schema_version;
    long long needs = (long long)call->app->inventory->schema_version;
    if (call->is_json) {
        pk_buf_add_text(&out, "{\"store\":");
        pk_text_json(&out, shown, strlen(shown));
        pk_buf_printf(&out, ",\"state\":\"%s\",\"storeSchema\":%lld,\"programSchema\":%lld",
                      standing_table[standing].name, has, needs);
        pk_buf_add_text(&out, ",\"writtenBy\":");
        pk_text_json(&out, state->program, strlen(state->program));
        pk_buf_add_text(&out, "}\n");
    } else {
        pk_buf_printf(&out, "store     %s\n", shown);
        if (standing != NOTHING_THERE) {
            pk_buf_printf(&out, "has       schema version %lld, written by personakit %s\n", has,
                          state->program);
        }
        pk_buf_printf(&out, "needed    schema version %lld, by personakit %s\n%s\n", needs,
                      PK_VERSION, text);
    }
    (void)fputs(out.data, stdout);
}

static enum pk_exit upgrade(const struct pk_call *call, const char *url,
                            const struct pk_store_state *before, struct pk_error *err)
{
    struct pk_open_store open = { .lock_fd = -1 };
    struct pk_store_state after = *before;
    if (!pk_cli_store_open(call->app, url, NULL, PK_OPEN_UPGRADE, &open, err)) {
        return PK_EXIT_FAILED;
    }
    pk_cli_store_close(&open);
    after.schema_version = call->app->inventory->schema_version;
    (void)snprintf(after.program, sizeof(after.program), "%s", PK_VERSION);
    print(call, url, &after, UP_TO_DATE, "upgraded");
    return PK_EXIT_OK;
}

static enum pk_exit run(struct pk_call *call, struct pk_error *err)
{
    PK_CLEANUP(pk_config_freep) struct pk_config *config = NULL;
    PK_CLEANUP(pk_freep) char *url = NULL;
    struct pk_store_state state = { 0 };

    if (!pk_call_config(call, &config, err)) {
        return PK_EXIT_USAGE;
    }
    url = pk_cli_store_url(config);
    const struct pk_store_options options = { .url = url,
                                              .inventory = call->app->inventory,
                                              .clock = call->app->clock,
                                              .is_read_only = true };
    if (!pk_store_inspect(&options, &state, err)) {
        return PK_EXIT_FAILED;
    }
    enum standing standing = stand(&state, call->app->inventory->schema_version);
    if (standing == OLDER && !pk_call_option(call, "--check")) {
        return upgrade(call, url, &state, err);
    }
    print(call, url, &state, standing, standing_table[standing].text);
    return standing_table[standing].check;
}

const struct pk_command pk_command_upgrade = {
    .noun = "upgrade",
    .summary = "raise an older store to what this program needs",
    .text = "Says what stands in the store and what this program needs, and raises the store if\n"
            "it is older. With --check nothing is changed, and the exit code says it all: 0 up\n"
            "to date (or nothing there yet), 3 an upgrade is needed, 4 the store is newer.\n",
    .example = "personakit upgrade --check --data var/data",
    .option = option_table,
    .option_count = PK_COUNT(option_table),
    .takes_settings = true,
    .settings = "data, store.url",
    .run = run,
};
