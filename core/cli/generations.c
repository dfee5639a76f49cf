/* generations.c - 'personakit generations', 'script lift': what serves on a server, and what may
 * not.
 *
 * One page: the scripts that serve with their calls, older generations that
 * requests still run on, versions that were refused with the reason, and what
 * is barred. */
/* SPDX-License-Identifier: MIT */
#include "base/alloc.h"
#include "base/buf.h"
#include "base/text.h"
#include "cli/client.h"
#include "cli/table.h"
#include "doc/doc.h"

#include <stdio.h>
#include <string.h>

typedef void add_fn(struct pk_table *table, const struct pk_doc *item);

static void add_number(struct pk_table *table, const struct pk_doc *item, const char *path,
                       const char *format)
{
    char text[48];
    (void)snprintf(text, sizeof(text), "%lld%s", (long long)pk_doc_int(item, path, 0), format);
    pk_table_add(table, text);
}

static void add_ms(struct pk_table *table, const struct pk_doc *item, const char *path)
{
    char text[48];
    (void)snprintf(text, sizeof(text), "%.2f", pk_doc_number(item, path, 0));
    pk_table_add(table, text);
}

static void add_script(struct pk_table *table, const struct pk_doc *item)
{
    pk_table_add(table, pk_doc_text(item, "kind"));
    pk_table_add(table, pk_doc_text(item, "id"));
    pk_table_add(table, pk_doc_text(item, "version"));
    add_number(table, item, "calls", "");
    add_number(table, item, "failures", "");
    add_ms(table, item, "meanMs");
    add_ms(table, item, "p99Ms");
    pk_table_add(table, pk_doc_bool(item, "quarantined", false) ? "quarantined" : "serves");
}

static void add_alive(struct pk_table *table, const struct pk_doc *item)
{
    char time[PK_TABLE_TIME];
    add_number(table, item, "generation", pk_doc_bool(item, "serving", false) ? " (serves)" : "");
    add_number(table, item, "scripts", "");
    add_number(table, item, "calls", "");
    pk_table_add(table, pk_table_time(pk_doc_text(item, "publishedAt"), time));
}

static void add_refused(struct pk_table *table, const struct pk_doc *item)
{
    const char *reason = pk_doc_text(item, "reason");
    PK_CLEANUP(pk_freep)
    char *line = reason ? pk_strndup(reason, strcspn(reason, "\n")) : NULL;
    const char *file = pk_doc_text(item, "file");
    pk_table_add(table, file ? "file" : pk_doc_text(item, "kind"));
    pk_table_add(table, file ? file : pk_doc_text(item, "id"));
    pk_table_add(table, pk_doc_text(item, "version"));
    pk_table_add(table, line);
}

static void add_barred(struct pk_table *table, const struct pk_doc *item)
{
    char time[PK_TABLE_TIME];
    pk_table_add(table, pk_doc_text(item, "id"));
    pk_table_add(table, pk_doc_text(item, "version"));
    pk_table_add(table, pk_table_time(pk_doc_text(item, "since"), time));
    pk_table_add(table, pk_doc_text(item, "reason"));
    pk_table_add(table, pk_doc_text(item, "contentHash"));
}

static const struct {
    const char *list;  /* Of the answer. */
    const char *title; /* Printed above it; a list without items is left out. */
    const char *heading[PK_TABLE_COLUMNS];
    add_fn *add;
} section_table[] = {
    { "scripts",
      "Scripts",
      { "KIND", "ID", "VERSION", "CALLS", "FAILED", "MEAN MS", "P99 MS", "STATE" },
      add_script },
    { "alive", "Generations in use", { "NUMBER", "SCRIPTS", "CALLS", "SINCE (UTC)" }, add_alive },
    { "refused", "Refused here", { "KIND", "ID", "VERSION", "WHY" }, add_refused },
    { "barred", "Barred", { "ID", "VERSION", "SINCE (UTC)", "WHY", "CONTENT HASH" }, add_barred },
};

static void print_section(const struct pk_doc *doc, size_t number)
{
    PK_CLEANUP(pk_table_done) struct pk_table table = { 0 };
    bson_t view;
    bson_iter_t at, item;
    size_t columns = 0;

    pk_doc_view(doc, &view);
    while (columns < PK_TABLE_COLUMNS && section_table[number].heading[columns]) {
        columns++;
    }
    pk_table_init(&table, section_table[number].heading, columns);
    if (!bson_iter_init_find(&at, &view, section_table[number].list) ||
        !BSON_ITER_HOLDS_ARRAY(&at) || !bson_iter_recurse(&at, &item)) {
        return;
    }
    while (bson_iter_next(&item)) {
        uint32_t size = 0;
        const uint8_t *data = NULL;
        PK_CLEANUP(pk_doc_unrefp) struct pk_doc *each = NULL;
        if (BSON_ITER_HOLDS_DOCUMENT(&item)) {
            bson_iter_document(&item, &size, &data);
            if (pk_doc_parse(&each, data, size, NULL)) {
                section_table[number].add(&table, each);
            }
        }
    }
    if (table.cell_count > table.columns) {
        (void)printf("\n%s\n", section_table[number].title);
        pk_table_print(&table);
    }
}

static bool show(struct pk_client *client, struct pk_error *err)
{
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *doc = NULL;
    PK_CLEANUP(pk_buf_done) struct pk_buf node = { 0 };
    if (!pk_client_ask(client, "GET", "/v1/admin/generations", NULL, &doc, err)) {
        return false;
    }
    if (client->call->is_json) {
        return pk_client_print(doc, err);
    }
    const char *name = pk_doc_text(doc, "node");
    pk_text_escape(&node, name ? name : "", name ? strlen(name) : 0, false);
    (void)printf("%s serves generation %lld\n", pk_buf_text(&node),
                 (long long)pk_doc_int(doc, "generation", 0));
    if (pk_doc_bool(doc, "unsafe", false)) {
        (void)printf("UNSAFE: its scripts run without their lockdown (scripts.jail)\n");
    }
    for (size_t i = 0; i < PK_COUNT(section_table); i++) {
        print_section(doc, i);
    }
    return true;
}

static bool lift(struct pk_client *client, struct pk_error *err)
{
    const char *hash = client->call->argument[0];
    const char *path = pk_client_path(client, "/v1/admin/scripts/%s/lift", hash, NULL);
    if (!pk_client_ask(client, "POST", path, NULL, NULL, err)) {
        return false;
    }
    if (client->call->is_json) {
        (void)printf("{\"contentHash\":\"%.64s\",\"lifted\":true}\n", hash);
    } else {
        (void)printf("%.64s may run again\n", hash);
    }
    return true;
}

static enum pk_exit run_show(struct pk_call *call, struct pk_error *err)
{
    return pk_client_run(call, show, err);
}

static enum pk_exit run_lift(struct pk_call *call, struct pk_error *err)
{
    return pk_client_run(call, lift, err);
}

static const struct pk_cli_option option[] = { PK_CLIENT_OPTIONS };

const struct pk_command pk_command_generations = {
    .noun = "generations",
    .summary = "show which scripts serve",
    .text =
        "A generation is a set of scripts that is replaced whole. Requests end on the one that\n"
        "they began with, so older ones are in use for a moment. Each server answers for\n"
        "itself; what is barred is barred on all of them.\n",
    .example = "personakit generations",
    .option = option,
    .option_count = PK_COUNT(option),
    .run = run_show,
};
const struct pk_command pk_command_script_lift = {
    .noun = "script",
    .verb = "lift",
    .summary = "let barred or quarantined content run again",
    .text = "HASH is a content hash, as 'generations' lists it.\n",
    .example = "personakit script lift HASH",
    .argument = { "HASH" },
    .option = option,
    .option_count = PK_COUNT(option),
    .run = run_lift,
};
