/* mapper_canary.c - 'personakit mapper canary': a version tried on a share of people.
 *
 *     --share S    begins it, or changes the share
 *     --end        ends it
 *     neither      how it does beside the active version: feedback and calls
 *
 * The server does it all; 'mapper activate' is how such a version wins. */
/* SPDX-License-Identifier: MIT */
#include "base/alloc.h"
#include "base/text.h"
#include "cli/client.h"
#include "cli/table.h"
#include "doc/doc.h"
#include "doc/path.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CELL = 48 };

/* ---- Beginning and ending ---- */

/* "0.1" and "10%" alike. */
static bool read_share(const char *text, double *out, struct pk_error *err)
{
    char *end = NULL;
    *out = strtod(text, &end);
    const bool is_percent = strcmp(end, "%") == 0;
    *out = is_percent ? *out / 100 : *out;
    if (end == text || (*end && !is_percent) || !isfinite(*out)) {
        return pk_fail(err, PK_INVALID, "as in --share 0.1, or --share 10%", "'%s' is no share",
                       text);
    }
    if (*out <= 0 || *out > 1) {
        return pk_fail(err, PK_INVALID,
                       *out > 0 ? "1 is everybody: say 10% or 0.1 for a tenth"
                                : "--end is how nobody has it any more",
                       "'%s' is no share above 0 and at most 1", text);
    }
    return true;
}

static bool print_active(const struct pk_client *client, const struct pk_doc *active,
                         struct pk_error *err)
{
    const double share = pk_doc_number(active, "canary.share", 0);
    if (client->call->is_json) {
        return pk_client_print(active, err);
    }
    if (share > 0) {
        (void)printf("mapper '%s' %s is tried on %g %% of people; %s serves the others\n",
                     pk_doc_text(active, "mapperId"), pk_doc_text(active, "canary.version"),
                     share * 100, pk_doc_text(active, "version"));
    } else {
        (void)printf("mapper '%s' %s serves everybody\n", pk_doc_text(active, "mapperId"),
                     pk_doc_text(active, "version"));
    }
    return true;
}

static const char *path_of(struct pk_client *client)
{
    return pk_client_path(client, "/v1/mappers/%s/versions/%s/canary", client->call->argument[0],
                          client->call->argument[1]);
}

static bool begin(struct pk_client *client, const char *text, struct pk_error *err)
{
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *active = NULL;
    PK_CLEANUP(bson_destroy) bson_t body = BSON_INITIALIZER;
    double share;
    if (!read_share(text, &share, err)) {
        return false;
    }
    BSON_APPEND_DOUBLE(&body, "share", share);
    return pk_client_ask(client, "POST", path_of(client), &body, &active, err) &&
           print_active(client, active, err);
}

static bool end(struct pk_client *client, struct pk_error *err)
{
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *active = NULL;
    return pk_client_ask(client, "DELETE", path_of(client), NULL, &active, err) &&
           print_active(client, active, err);
}

/* ---- Side by side ---- */

static void add_number(struct pk_table *table, const bson_t *version, const char *path,
                       int decimals, const char *unit)
{
    char cell[CELL] = "";
    bson_iter_t iter;
    if (pk_path_find(version, path, &iter) && BSON_ITER_HOLDS_NUMBER(&iter)) {
        const double factor = strcmp(unit, " %") == 0 ? 100 : 1;
        (void)snprintf(cell, sizeof(cell), "%.*f%s", decimals, bson_iter_as_double(&iter) * factor,
                       unit);
    }
    pk_table_add(table, cell);
}

static void add_version(struct pk_table *table, const bson_t *version)
{
    bson_iter_t iter;
    pk_table_add(table, bson_iter_init_find(&iter, version, "mapperVersion")
                            ? bson_iter_utf8(&iter, NULL)
                            : NULL);
    add_number(table, version, "peopleShare", 1, " %");
    add_number(table, version, "count", 0, "");
    add_number(table, version, "ratings.overall", 2, "");
    add_number(table, version, "helpful.share", 0, " %");
    add_number(table, version, "recommendation.nps", 0, "");
    add_number(table, version, "calls.failures", 0, "");
    add_number(table, version, "calls.p99Ms", 1, " ms");
}

static void print_both(const struct pk_doc *summary)
{
    static const char *const heading[] = { "VERSION", "PEOPLE", "FEEDBACK", "OVERALL",
                                           "HELPFUL", "NPS",    "FAILED",   "P99" };
    PK_CLEANUP(pk_table_done) struct pk_table table = { 0 };
    bson_t view;
    bson_iter_t list, item;
    pk_table_init(&table, heading, PK_COUNT(heading));
    pk_doc_view(summary, &view);
    for (bool more = pk_path_find(&view, "versions", &list) && bson_iter_recurse(&list, &item);
         more && bson_iter_next(&item);) {
        const uint8_t *data;
        uint32_t size;
        bson_t version;
        bson_iter_document(&item, &size, &data);
        if (bson_init_static(&version, data, size) && bson_has_field(&version, "role")) {
            add_version(&table, &version);
        }
    }
    pk_table_print(&table);
}

/* Only while it runs: else there is one version, and nothing beside it. */
static bool show(struct pk_client *client, struct pk_error *err)
{
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *tried = NULL;
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *summary = NULL;
    const char *id = client->call->argument[0], *version = client->call->argument[1];
    if (!pk_client_ask(client, "GET",
                       pk_client_path(client, "/v1/mappers/%s/versions/%s", id, version), NULL,
                       &tried, err)) {
        return false;
    }
    const char *canary = pk_doc_text(tried, "canary.version");
    if (!canary || strcmp(canary, version) != 0) {
        return pk_fail(err, PK_NOT_FOUND, "begin it with --share",
                       "version %s of '%s' is not being tried on anybody", version, id);
    }
    if (!pk_client_ask(client, "GET", pk_client_path(client, "/v1/mappers/%s/feedback", id, NULL),
                       NULL, &summary, err)) {
        return false;
    }
    if (client->call->is_json) {
        return pk_client_print(summary, err);
    }
    print_both(summary);
    return true;
}

static bool canary(struct pk_client *client, struct pk_error *err)
{
    const char *share = pk_call_option(client->call, "--share");
    const bool is_end = pk_call_option(client->call, "--end") != NULL;
    if (share && is_end) {
        return pk_fail(err, PK_INVALID, "say one of them", "--share and --end exclude each other");
    }
    return share ? begin(client, share, err) : is_end ? end(client, err) : show(client, err);
}

static enum pk_exit run_canary(struct pk_call *call, struct pk_error *err)
{
    return pk_client_run(call, canary, err);
}

static const struct pk_cli_option canary_option[] = {
    { "--share", "SHARE", "Of people: 0.1 or 10%; above 0, at most 1." },
    { "--end", NULL, "End it: everybody gets the active version again." },
    PK_CLIENT_OPTIONS,
};
const struct pk_command pk_command_mapper_canary = {
    .noun = "mapper",
    .verb = "canary",
    .summary = "try a version on a share of people",
    .text = "The same people get it each time, and on every server; when the share grows, they\n"
            "keep it. The active version serves all others, and steps in where this one fails;\n"
            "one that fails too often ends by itself. Without --share or --end, both versions\n"
            "are shown side by side: feedback, and how their calls do on this server. It ends\n"
            "too when any version is activated: 'mapper activate' is how this one wins.\n",
    .example = "personakit mapper canary daily-work-optimizer 1.2.0 --share 0.1",
    .argument = { "ID", "VERSION" },
    .option = canary_option,
    .option_count = PK_COUNT(canary_option),
    .run = run_canary,
};
