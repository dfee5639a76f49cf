/* key.c - 'personakit key ...': the keys that actors ask with.
 *
 * A key is shown once, by the command that makes it. 'list', 'add' and
 * 'revoke' ask the server (client.h); 'reset' is for when there is no key left
 * to ask with: it opens the store itself, which no server may have open. */
/* SPDX-License-Identifier: MIT */
#include "access/admin.h"
#include "access/audit.h"
#include "access/pepper.h"
#include "base/alloc.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/file.h"
#include "cli/client.h"
#include "cli/table.h"
#include "doc/doc.h"
#include "doc/json.h"
#include "store/store.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- list ---- */

struct view {
    struct pk_table table;
    int64_t now_ms;
};

/* The status, as it is now: the store knows of no expiry before it is asked. */
static const char *status_of(const struct pk_doc *key, int64_t now_ms)
{
    int64_t expires_ms = 0;
    const char *status = pk_doc_text(key, "status");
    const char *expires = pk_doc_text(key, "expiresAt");
    if (status && strcmp(status, "active") == 0 && expires &&
        pk_time_parse(expires, strlen(expires), &expires_ms, NULL) && expires_ms <= now_ms) {
        return "expired";
    }
    return status;
}

static bool add_row(void *context, const struct pk_doc *item, struct pk_error *err)
{
    static const char *const time_field[] = { "createdAt", "expiresAt", "lastUsedAt" };
    char time[PK_TABLE_TIME];
    struct view *view = context;
    (void)err;
    pk_table_add(&view->table, pk_doc_text(item, "keyId"));
    pk_table_add(&view->table, pk_doc_text(item, "name"));
    pk_table_add(&view->table, status_of(item, view->now_ms));
    for (size_t i = 0; i < PK_COUNT(time_field); i++) {
        pk_table_add(&view->table, pk_table_time(pk_doc_text(item, time_field[i]), time));
    }
    return true;
}

static bool list(struct pk_client *client, struct pk_error *err)
{
    static const char *const heading[] = { "KEY",     "NAME",    "STATUS",
                                           "CREATED", "EXPIRES", "LAST USED (UTC)" };
    const char *id = NULL;
    if (!pk_client_actor(client, client->call->argument[0], &id, err)) {
        return false;
    }
    const char *path = pk_client_path(client, "/v1/actors/%s/keys", id, NULL);
    if (client->call->is_json) {
        return pk_client_print_list(client, path, err);
    }
    struct view view = { .now_ms = pk_clock_wall_ms(client->call->app->clock) };
    pk_table_init(&view.table, heading, PK_COUNT(heading));
    const bool is_ok = pk_client_list(client, path, add_row, &view, err);
    if (is_ok && view.table.cell_count == view.table.columns) {
        (void)printf("no keys: 'personakit key add' makes one\n");
    } else if (is_ok) {
        pk_table_print(&view.table);
    }
    pk_table_done(&view.table);
    return is_ok;
}

/* ---- add ---- */

/* "30d", "12h", "8w" from now, or a date; into ISO 8601. */
static bool read_expiry(const struct pk_clock *clock, const char *text, char out[PK_TIME_TEXT],
                        struct pk_error *err)
{
    static const struct {
        char unit;
        int64_t ms;
    } unit_table[] = { { 'h', INT64_C(3600000) },
                       { 'd', INT64_C(86400000) },
                       { 'w', INT64_C(604800000) } };
    const size_t digits = strspn(text, "0123456789");
    int64_t ms = 0;
    if (pk_time_parse(text, strlen(text), &ms, NULL)) {
        pk_time_format(ms, out);
        return true;
    }
    for (size_t i = 0; i < PK_COUNT(unit_table) && digits > 0 && digits < 6; i++) {
        if (text[digits] == unit_table[i].unit && text[digits + 1] == '\0') {
            ms = strtoll(text, NULL, 10) * unit_table[i].ms;
            pk_time_format(pk_clock_wall_ms(clock) + ms, out);
            return true;
        }
    }
    return pk_fail(err, PK_INVALID, "12h, 30d, 8w, or a date like 2027-01-31T00:00:00Z",
                   "'%.60s' says not when the key expires", text);
}

static void print_key(const struct pk_client *client, const char *key, const char *name)
{
    if (pk_call_option(client->call, "--quiet")) {
        (void)printf("%s\n", key);
        return;
    }
    (void)printf("key %s\n", key);
    (void)fprintf(stderr,
                  "\nThis is the only time that the key '%s' is shown: keep it now.\n"
                  "A request brings it as 'Authorization: Bearer KEY'.\n",
                  name);
}

static bool add(struct pk_client *client, struct pk_error *err)
{
    PK_CLEANUP(bson_destroy) bson_t body = BSON_INITIALIZER;
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *answer = NULL;
    char expires_at[PK_TIME_TEXT];
    const char *id = NULL;
    const char *name = pk_call_option(client->call, "--name");
    const char *expires = pk_call_option(client->call, "--expires");
    BSON_APPEND_UTF8(&body, "name", name);
    if (expires) {
        if (!read_expiry(client->call->app->clock, expires, expires_at, err)) {
            return false;
        }
        BSON_APPEND_UTF8(&body, "expiresAt", expires_at);
    }
    if (!pk_client_actor(client, client->call->argument[0], &id, err) ||
        !pk_client_ask(client, "POST", pk_client_path(client, "/v1/actors/%s/keys", id, NULL),
                       &body, &answer, err)) {
        return false;
    }
    const char *key = pk_doc_text(answer, "key");
    if (client->call->is_json) {
        return pk_client_print(answer, err);
    }
    if (!key) {
        return pk_fail(err, PK_INTERNAL, "revoke it, and make another",
                       "the server made a key and did not show it");
    }
    print_key(client, key, name);
    return true;
}

/* ---- revoke ---- */

static bool revoke_key(struct pk_client *client, struct pk_error *err)
{
    const char *id = NULL;
    const char *key = client->call->argument[1];
    PK_CLEANUP(pk_freep)
    char *question = pk_strdupf("Revoke the key '%.40s'? Who uses it is refused at once.", key);
    if (!pk_call_confirm(client->call, question, err) ||
        !pk_client_actor(client, client->call->argument[0], &id, err) ||
        !pk_client_ask(client, "DELETE", pk_client_path(client, "/v1/actors/%s/keys/%s", id, key),
                       NULL, NULL, err)) {
        return false;
    }
    (void)printf(client->call->is_json ? "{\"revoked\":true}\n"
                                       : "revoked: every node refuses it within two seconds\n");
    return true;
}

/* ---- reset ---- */

/* What 'reset' holds while it works; ended in reverse. */
struct reset {
    struct pk_config *config;
    const char *data;
    int lock_fd;
    struct pk_open_store open;
    struct pk_peppers *peppers;
};

static bool check_store(const struct pk_call *call, const char *url, struct pk_error *err)
{
    struct pk_store_state state = { 0 };
    const struct pk_store_options options = { .url = url,
                                              .inventory = call->app->inventory,
                                              .clock = call->app->clock,
                                              .is_read_only = true };
    if (!pk_store_inspect(&options, &state, err)) {
        return false;
    }
    return !state.is_empty || pk_fail(err, PK_NOT_FOUND,
                                      "check --data and --store; 'personakit serve' makes both "
                                      "store and key",
                                      "there is no store to reset the key of");
}

static bool open_all(struct pk_call *call, struct reset *reset, struct pk_error *err)
{
    PK_CLEANUP(pk_freep) char *url = pk_cli_store_url(reset->config);
    const bool is_lost = pk_call_option(call, "--lost-pepper") != NULL;
    reset->data = pk_config_text(reset->config, "data");
    if (access(reset->data, F_OK) != 0) {
        return pk_fail(err, PK_NOT_FOUND, "name the server's folder with --data",
                       "there is no folder '%.200s'", reset->data);
    }
    if (!check_store(call, url, err)) { /* First: nothing is left in a folder of another kind. */
        return false;
    }
    if (!pk_folder_lock(reset->data, &reset->lock_fd, err)) {
        if (err->code == PK_CONFLICT) {
            err->hint = "stop the server first; while it runs, whoever has a key that may operate "
                        "makes others with 'personakit key add'";
        }
        return false;
    }
    if (!pk_cli_store_open(call->app, url, reset->data, PK_OPEN_USE, &reset->open, err)) {
        return false;
    }
    if (!pk_peppers_open(&reset->peppers, reset->data, reset->open.store, is_lost, err)) {
        if (err->code == PK_PRECONDITION) {
            err->hint = "copy the pepper file from a backup or another node; if it is lost, add "
                        "--lost-pepper: all keys that there are become void";
        }
        return false;
    }
    return true;
}

static bool reset_key(struct pk_call *call, struct reset *reset, struct pk_error *err)
{
    const struct pk_config *config = reset->config;
    if (!pk_call_confirm(call, "Make a new key for 'admin'? Its old ones stop working.", err) ||
        !open_all(call, reset, err)) {
        return false;
    }
    const struct pk_books books = {
        .store = reset->open.store,
        .clock = call->app->clock,
        .peppers = reset->peppers,
        .node = "key reset",
        .event_keep_ms = pk_config_ms(config, "store.retention.events"),
        .audit_keep_ms = pk_config_ms(config, "store.retention.audit"),
    };
    return pk_admin_reset(&books, reset->data, err);
}

static void print_reset(const struct pk_call *call, const char *data)
{
    PK_CLEANUP(pk_buf_done) struct pk_buf line = { 0 };
    if (call->is_json) {
        pk_buf_add_text(&line, "{\"actorId\":\"" PK_ADMIN_ID "\",\"file\":");
        PK_CLEANUP(pk_freep) char *path = pk_strdupf("%s/admin.key", data);
        pk_json_add_string(&line, path, strlen(path));
        pk_buf_add_text(&line, "}\n");
    } else {
        pk_buf_printf(&line, "the new key of 'admin' is in %s/admin.key; the old ones are void\n",
                      data);
    }
    (void)fputs(line.data, stdout);
}

static enum pk_exit run_reset(struct pk_call *call, struct pk_error *err)
{
    struct reset reset = { .lock_fd = -1, .open = { .lock_fd = -1 } };
    if (!pk_call_config(call, &reset.config, err)) {
        return PK_EXIT_USAGE;
    }
    const bool is_ok = reset_key(call, &reset, err);
    if (is_ok) {
        print_reset(call, reset.data);
    }
    pk_peppers_free(reset.peppers);
    pk_cli_store_close(&reset.open);
    if (reset.lock_fd >= 0) {
        (void)close(reset.lock_fd);
    }
    pk_config_free(reset.config);
    return is_ok ? PK_EXIT_OK : PK_EXIT_FAILED;
}

/* ---- The commands ---- */

static enum pk_exit run_list(struct pk_call *call, struct pk_error *err)
{
    return pk_client_run(call, list, err);
}

static enum pk_exit run_add(struct pk_call *call, struct pk_error *err)
{
    char unused[PK_TIME_TEXT];
    const char *expires = pk_call_option(call, "--expires");
    if (!pk_call_option(call, "--name")) {
        (void)pk_fail(err, PK_INVALID, "it says what the key is for, so that it can be found again",
                      "'key add' needs --name");
        return PK_EXIT_USAGE;
    }
    if (expires && !read_expiry(call->app->clock, expires, unused, err)) {
        return PK_EXIT_USAGE;
    }
    return pk_client_run(call, add, err);
}

static enum pk_exit run_revoke(struct pk_call *call, struct pk_error *err)
{
    return pk_client_run(call, revoke_key, err);
}

static const struct pk_cli_option list_option[] = { PK_CLIENT_OPTIONS };
static const struct pk_cli_option add_option[] = {
    { "--name", "NAME", "What it is for." },
    { "--expires", "WHEN", "12h, 30d or 8w from now, or a date; without it, never." },
    { "--quiet", NULL, "Print the key and nothing else." },
    PK_CLIENT_OPTIONS,
};
static const struct pk_cli_option revoke_option[] = {
    { "--yes", NULL, "Do not ask whether it is meant." },
    PK_CLIENT_OPTIONS,
};
static const struct pk_cli_option reset_option[] = {
    { "--yes", NULL, "Do not ask whether it is meant." },
    { "--lost-pepper", NULL, "The pepper file is lost: make a new one; all other keys are void." },
};

#define ACTOR_TEXT "ACTOR is its id, its name when no other has it, or 'self'.\n"

const struct pk_command pk_command_key_list = {
    .noun = "key",
    .verb = "list",
    .summary = "list the keys of an actor",
    .text = "Lists what is known of them; a key itself is shown when it is made, and never\n"
            "again.\n" ACTOR_TEXT,
    .example = "personakit key list self",
    .argument = { "ACTOR" },
    .option = list_option,
    .option_count = PK_COUNT(list_option),
    .run = run_list,
};
const struct pk_command pk_command_key_add = {
    .noun = "key",
    .verb = "add",
    .summary = "make a key for an actor, and show it once",
    .text = "To rotate a key, add another, hand it out, and revoke the old one: both work until\n"
            "then.\n" ACTOR_TEXT,
    .example = "personakit key add assistant --name laptop --expires 90d",
    .argument = { "ACTOR" },
    .option = add_option,
    .option_count = PK_COUNT(add_option),
    .run = run_add,
};
const struct pk_command pk_command_key_revoke = {
    .noun = "key",
    .verb = "revoke",
    .summary = "refuse a key for ever",
    .text = "KEY is its public id, the part between pk_ and the next '_', as 'key list' shows it.\n"
            "Every node refuses it within two seconds, open streams included. Away from a\n"
            "terminal, --yes says that it is meant.\n" ACTOR_TEXT,
    .example = "personakit key revoke assistant 4fzq2mz5dyi7hwte --yes",
    .argument = { "ACTOR", "KEY" },
    .option = revoke_option,
    .option_count = PK_COUNT(revoke_option),
    .run = run_revoke,
};
const struct pk_command pk_command_key_reset = {
    .noun = "key",
    .verb = "reset",
    .summary = "make a new key for 'admin' when its own is lost",
    .text = "Works on the store while no server uses the folder: writes a new key to\n"
            "DATA/admin.key, voids the old ones of 'admin', gives it back all its capabilities,\n"
            "and leaves a record in the audit. Away from a terminal, --yes says that it is\n"
            "meant.\n",
    .example = "personakit key reset --data var --yes",
    .option = reset_option,
    .option_count = PK_COUNT(reset_option),
    .takes_settings = true,
    .settings = "data, store.url",
    .run = run_reset,
};
