/* mapper_server.c - 'personakit mapper list ...': versions of scripts on a running server.
 *
 * Mappers, processors and conditions have the same commands: the noun is the
 * resource. What a file says is not looked at here; the server takes it in, and
 * what it finds is shown as compilers show it. */
/* SPDX-License-Identifier: MIT */
#include "base/alloc.h"
#include "base/buf.h"
#include "base/text.h"
#include "cli/client.h"
#include "cli/table.h"
#include "doc/doc.h"
#include "doc/path.h"
#include "script/loader.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* ---- Paths ---- */

/* "/v1/mappers" and what is behind it, for the noun of the command; 'second' NULL: none. */
static const char *path_of(struct pk_client *client, const char *behind, const char *first,
                           const char *second)
{
    PK_CLEANUP(pk_freep)
    char *format = pk_strdupf("/v1/%ss%s", client->call->command->noun, behind);
    return pk_client_path(client, format, first, second);
}

static const char *id_field(const struct pk_client *client)
{
    return strcmp(client->call->command->noun, "mapper") == 0 ? "mapperId" : "scriptId";
}

/* ---- Showing ---- */

struct listing {
    struct pk_client *client;
    struct pk_table table;
};

/* "active", "draft on 10 %" of one that is tried, "active, 1.2.0 on 10 %" of the one beside it;
 * "draft, barred" of one that may not run. */
static const char *status_of(const struct pk_doc *item, char *out, size_t size)
{
    const char *status = pk_doc_text(item, "status");
    const char *tried = pk_doc_text(item, "canary.version");
    const char *version = pk_doc_text(item, "version");
    const bool is_barred = pk_doc_text(item, "bar.reason") != NULL;
    const double percent = pk_doc_number(item, "canary.share", 0) * 100;
    if (status && is_barred) {
        (void)snprintf(out, size, "%s, barred", status);
        return out;
    }
    if (!status || !tried || !version) {
        return status;
    }
    if (strcmp(tried, version) == 0) {
        (void)snprintf(out, size, "%s on %g %%", status, percent);
    } else {
        (void)snprintf(out, size, "%s, %s on %g %%", status, tried, percent);
    }
    return out;
}

static bool add_row(void *context, const struct pk_doc *item, struct pk_error *err)
{
    char activated[PK_TABLE_TIME], changed[PK_TABLE_TIME], status[128];
    struct listing *listing = context;
    struct pk_table *table = &listing->table;
    (void)err;
    pk_table_add(table, pk_doc_text(item, id_field(listing->client)));
    pk_table_add(table, pk_doc_text(item, "version"));
    pk_table_add(table, status_of(item, status, sizeof(status)));
    pk_table_add(table, pk_table_time(pk_doc_text(item, "activatedAt"), activated));
    pk_table_add(table, pk_table_time(pk_doc_text(item, "updatedAt"), changed));
    pk_table_add(table, pk_doc_text(item, "previousVersion"));
    return true;
}

static bool print_list(struct pk_client *client, const char *path, struct pk_error *err)
{
    static const char *const heading[] = { "ID",      "VERSION", "STATUS", "ACTIVATED (UTC)",
                                           "CHANGED", "BEFORE" };
    struct listing listing = { .client = client };
    if (client->call->is_json) {
        return pk_client_print_list(client, path, err);
    }
    pk_table_init(&listing.table, heading, PK_COUNT(heading));
    const bool ok = pk_client_list(client, path, add_row, &listing, err);
    if (ok && listing.table.cell_count == listing.table.columns) {
        (void)printf("no %ss\n", client->call->command->noun);
    } else if (ok) {
        pk_table_print(&listing.table);
    }
    pk_table_done(&listing.table);
    return ok;
}

static bool list(struct pk_client *client, struct pk_error *err)
{
    return print_list(client, path_of(client, "", NULL, NULL), err);
}

static bool versions(struct pk_client *client, struct pk_error *err)
{
    return print_list(client, path_of(client, "/%s/versions", client->call->argument[0], NULL),
                      err);
}

static void print_text(FILE *out, const char *before, const char *text, const char *behind)
{
    PK_CLEANUP(pk_buf_done) struct pk_buf shown = { 0 };
    if (text && *text) {
        pk_text_escape(&shown, text, strlen(text), false);
        (void)fprintf(out, "%s%s%s", before, pk_buf_text(&shown), behind);
    }
}

/* "bad.lua:2: error: ...", the line, the hint. */
static bool print_finding(void *context, const struct pk_doc *finding, struct pk_error *err)
{
    const char *file = pk_doc_text(finding, "file");
    const int64_t line = pk_doc_int(finding, "line", 0);
    char before[32];
    (void)snprintf(before, sizeof(before), line ? "%6" PRId64 " | " : "       | ", line);
    (void)context;
    (void)err;
    print_text(stderr, "", file ? file : "script", "");
    if (line) {
        (void)fprintf(stderr, ":%lld", (long long)line);
    }
    print_text(stderr, ": ", pk_doc_text(finding, "severity"), "");
    print_text(stderr, ": ", pk_doc_text(finding, "message"), "\n");
    print_text(stderr, before, pk_doc_text(finding, "sourceLine"), "\n");
    print_text(stderr, "  hint: ", pk_doc_text(finding, "hint"), "\n");
    return true;
}

/* False: there are none. */
static bool print_findings(const struct pk_doc *doc)
{
    bson_t view;
    bson_iter_t at, item;
    if (!doc) {
        return false;
    }
    pk_doc_view(doc, &view);
    if (!bson_iter_init_find(&at, &view, "findings") || !BSON_ITER_HOLDS_ARRAY(&at) ||
        !bson_iter_recurse(&at, &item)) {
        return false;
    }
    while (bson_iter_next(&item)) {
        uint32_t size = 0;
        const uint8_t *data = NULL;
        PK_CLEANUP(pk_doc_unrefp) struct pk_doc *finding = NULL;
        if (BSON_ITER_HOLDS_DOCUMENT(&item)) {
            bson_iter_document(&item, &size, &data);
            if (pk_doc_parse(&finding, data, size, NULL)) {
                (void)print_finding(NULL, finding, NULL);
            }
        }
    }
    return true;
}

/* "mapper 'daily' 1.2.0 is active; generation 7, 0 calls on older ones" */
static bool print_version(struct pk_client *client, const struct pk_doc *doc, struct pk_error *err)
{
    if (client->call->is_json) {
        return pk_client_print(doc, err);
    }
    (void)print_findings(doc);
    (void)printf("%s", client->call->command->noun);
    print_text(stdout, " '", pk_doc_text(doc, id_field(client)), "'");
    print_text(stdout, " ", pk_doc_text(doc, "version"), "");
    const char *status = pk_doc_text(doc, "status");
    print_text(stdout, status && strcmp(status, "draft") == 0 ? " is a " : " is ", status, "");
    const int64_t generation = pk_doc_int(doc, "activation.generation", -1);
    if (generation >= 0) {
        (void)printf("; generation %lld, %lld calls on older ones", (long long)generation,
                     (long long)pk_doc_int(doc, "activation.oldCalls", 0));
    }
    (void)printf("\n");
    return true;
}

/* ---- Changing ---- */

/* Asks, and shows what the server found when it refuses. */
static bool change(struct pk_client *client, const char *method, const char *path,
                   const bson_t *body, struct pk_error *err)
{
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *doc = NULL;
    if (!pk_client_ask(client, method, path, body, &doc, err)) {
        if (client->problem && !client->call->is_json && print_findings(client->problem)) {
            (void)pk_fail(err, err->code, "mend what is said above", "nothing was saved");
        }
        return false;
    }
    return print_version(client, doc, err);
}

/* "daily" of "mappers/daily.lua" and "mappers/daily/". */
static const char *name_of_path(struct pk_client *client, const char *path)
{
    size_t size = strlen(path);
    while (size > 1 && path[size - 1] == '/') {
        size--;
    }
    size_t start = size;
    while (start > 0 && path[start - 1] != '/') {
        start--;
    }
    const char *dot = memchr(path + start, '.', size - start);
    const size_t length = dot ? (size_t)(dot - path) - start : size - start;
    return pk_arena_strndup(&client->call->arena, path + start, length);
}

/* What a script calls itself: its manifest is asked, in a jail of our own. Of what cannot be loaded
 * it is the file's name, and the server says what is wrong. */
static const char *id_of(struct pk_client *client, struct pk_bundle *bundle, const char *path)
{
    struct pk_jail *jail = pk_jail_new(&(struct pk_jail_options){ .workers_max = 1 });
    struct pk_loader *loader = pk_loader_new(&(struct pk_loader_options){ .jail = jail });
    char id[PK_SCRIPT_ID];
    const char *found = pk_loader_id(loader, bundle, id, NULL)
                            ? pk_arena_strdup(&client->call->arena, id)
                            : name_of_path(client, path);
    pk_loader_free(loader);
    pk_jail_free(jail);
    return found;
}

static bool put(struct pk_client *client, struct pk_error *err)
{
    PK_CLEANUP(bson_destroy) bson_t body = BSON_INITIALIZER;
    struct pk_bundle *bundle = NULL;
    const char *id = pk_call_option(client->call, "--id");
    const char *path = client->call->argument[0];

    if (!pk_bundle_read(path, &bundle, err)) {
        return false;
    }
    pk_bundle_put(bundle, &body);
    id = id ? id : id_of(client, bundle, path);
    pk_bundle_unref(bundle);
    const char *behind = pk_call_option(client->call, "--activate") ? "/%s?activate=true" : "/%s";
    return change(client, "PUT", path_of(client, behind, id, NULL), &body, err);
}

static bool activate(struct pk_client *client, struct pk_error *err)
{
    return change(client, "POST",
                  path_of(client, "/%s/versions/%s/activate", client->call->argument[0],
                          client->call->argument[1]),
                  NULL, err);
}

static bool deprecate(struct pk_client *client, struct pk_error *err)
{
    return change(client, "POST",
                  path_of(client, "/%s/versions/%s/deprecate", client->call->argument[0],
                          client->call->argument[1]),
                  NULL, err);
}

static bool rollback(struct pk_client *client, struct pk_error *err)
{
    PK_CLEANUP(bson_destroy) bson_t body = BSON_INITIALIZER;
    const char *reason = pk_call_option(client->call, "--reason");
    BSON_APPEND_UTF8(&body, "reason", reason ? reason : "rolled back by hand");
    return change(client, "POST", path_of(client, "/%s/rollback", client->call->argument[0], NULL),
                  &body, err);
}

/* ---- The commands ---- */

#define RUN(WORK)                                                              \
    static enum pk_exit run_##WORK(struct pk_call *call, struct pk_error *err) \
    {                                                                          \
        return pk_client_run(call, WORK, err);                                 \
    }
RUN(list)
RUN(versions)
RUN(put)
RUN(activate)
RUN(rollback)
RUN(deprecate)

static const struct pk_cli_option plain_option[] = { PK_CLIENT_OPTIONS };
static const struct pk_cli_option put_option[] = {
    { "--activate", NULL, "Make it the active version at once." },
    { "--id", "ID", "The script's id; default: what its manifest says." },
    PK_CLIENT_OPTIONS,
};
static const struct pk_cli_option rollback_option[] = {
    { "--reason", "TEXT", "Why; whoever finds its content barred is told." },
    PK_CLIENT_OPTIONS,
};

/* NOUN is the kind, ID and FILE are those of the examples. */
#define COMMANDS(NOUN, ID, FILE)                                                                   \
    const struct pk_command pk_command_##NOUN##_list = {                                           \
        .noun = #NOUN,                                                                             \
        .verb = "list",                                                                            \
        .summary = "list the " #NOUN "s of the server",                                            \
        .text = "Shows each by its active version, or by its newest when none is active.\n",       \
        .example = "personakit " #NOUN " list",                                                    \
        .option = plain_option,                                                                    \
        .option_count = PK_COUNT(plain_option),                                                    \
        .run = run_list,                                                                           \
    };                                                                                             \
    const struct pk_command pk_command_##NOUN##_versions = {                                       \
        .noun = #NOUN,                                                                             \
        .verb = "versions",                                                                        \
        .summary = "list the versions of one",                                                     \
        .text = "Newest first. Versions are never deleted.\n",                                     \
        .example = "personakit " #NOUN " versions " ID,                                            \
        .argument = { "ID" },                                                                      \
        .option = plain_option,                                                                    \
        .option_count = PK_COUNT(plain_option),                                                    \
        .run = run_versions,                                                                       \
    };                                                                                             \
    const struct pk_command pk_command_##NOUN##_put = {                                            \
        .noun = #NOUN,                                                                             \
        .verb = "put",                                                                             \
        .summary = "upload a version",                                                             \
        .text = "PATH is a file or a folder. The server takes it in and runs its examples; what\n" \
                "does not pass is shown with file and line, and nothing is saved. Other content\n" \
                "under a version that is there is refused: raise the version in the script.\n",    \
        .example = "personakit " #NOUN " put " FILE " --activate",                                 \
        .argument = { "PATH" },                                                                    \
        .option = put_option,                                                                      \
        .option_count = PK_COUNT(put_option),                                                      \
        .run = run_put,                                                                            \
    };                                                                                             \
    const struct pk_command pk_command_##NOUN##_activate = {                                       \
        .noun = #NOUN,                                                                             \
        .verb = "activate",                                                                        \
        .summary = "have every new request get a version",                                         \
        .text =                                                                                    \
            "Requests under way end on the version they began with; the answer says how many\n"    \
            "there are on this server. Other servers follow at once.\n",                           \
        .example = "personakit " #NOUN " activate " ID " 1.2.0",                                   \
        .argument = { "ID", "VERSION" },                                                           \
        .option = plain_option,                                                                    \
        .option_count = PK_COUNT(plain_option),                                                    \
        .run = run_activate,                                                                       \
    };                                                                                             \
    const struct pk_command pk_command_##NOUN##_rollback = {                                       \
        .noun = #NOUN,                                                                             \
        .verb = "rollback",                                                                        \
        .summary = "bring back the version before",                                                \
        .text =                                                                                    \
            "The content of the present version is barred: it cannot be activated again until\n"   \
            "it changes, or 'script lift' lifts the bar.\n",                                       \
        .example = "personakit " #NOUN " rollback " ID " --reason \"wrong advice\"",               \
        .argument = { "ID" },                                                                      \
        .option = rollback_option,                                                                 \
        .option_count = PK_COUNT(rollback_option),                                                 \
        .run = run_rollback,                                                                       \
    };                                                                                             \
    const struct pk_command pk_command_##NOUN##_deprecate = {                                      \
        .noun = #NOUN,                                                                             \
        .verb = "deprecate",                                                                       \
        .summary = "have a version never be active again",                                         \
        .text =                                                                                    \
            "When it is the active one, the " #NOUN " serves no more until another version is\n"   \
            "activated. This cannot be undone.\n",                                                 \
        .example = "personakit " #NOUN " deprecate " ID " 1.2.0",                                  \
        .argument = { "ID", "VERSION" },                                                           \
        .option = plain_option,                                                                    \
        .option_count = PK_COUNT(plain_option),                                                    \
        .run = run_deprecate,                                                                      \
    }

COMMANDS(mapper, "daily-work-optimizer", "mappers/daily-work-optimizer.lua");
COMMANDS(processor, "work-session", "plugins/processors/work_session.lua");
COMMANDS(condition, "is-morning-person", "is-morning-person.lua");
