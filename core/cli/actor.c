/* actor.c - 'personakit actor ...': who may ask, and for what.
 *
 * Each command is a request or two to the server (client.h) and a page for a
 * person, or the server's JSON. */
/* SPDX-License-Identifier: MIT */
#include "access/principal.h"
#include "base/alloc.h"
#include "base/buf.h"
#include "base/text.h"
#include "cli/client.h"
#include "cli/table.h"
#include "doc/doc.h"
#include "doc/path.h"

#include <stdio.h>
#include <string.h>

/* ---- Showing ---- */

static bool add_row(void *context, const struct pk_doc *item, struct pk_error *err)
{
    char time[PK_TABLE_TIME];
    struct pk_table *table = context;
    (void)err;
    pk_table_add(table, pk_doc_text(item, "actorId"));
    pk_table_add(table, pk_doc_text(item, "name"));
    pk_table_add(table, pk_doc_text(item, "actorType"));
    pk_table_add(table, pk_doc_text(item, "status"));
    pk_table_add(table, pk_table_time(pk_doc_text(item, "usageMetadata.lastActiveAt"), time));
    return true;
}

static bool list(struct pk_client *client, struct pk_error *err)
{
    static const char *const heading[] = { "ID", "NAME", "TYPE", "STATUS", "LAST ACTIVE (UTC)" };
    const char *status = pk_call_option(client->call, "--status");
    const char *path =
        status ? pk_client_path(client, "/v1/actors?status=%s", status, NULL) : "/v1/actors";
    PK_CLEANUP(pk_table_done) struct pk_table table = { 0 };
    if (client->call->is_json) {
        return pk_client_print_list(client, path, err);
    }
    pk_table_init(&table, heading, PK_COUNT(heading));
    if (!pk_client_list(client, path, add_row, &table, err)) {
        return false;
    }
    if (table.cell_count == table.columns) {
        (void)printf("no actors%s%s\n", status ? " are " : "", status ? status : "");
        return true;
    }
    pk_table_print(&table);
    return true;
}

static void print_line(const char *name, const char *text)
{
    PK_CLEANUP(pk_buf_done) struct pk_buf shown = { 0 };
    if (text && text[0]) {
        pk_text_escape(&shown, text, strlen(text), false);
        (void)printf("%-12s %s\n", name, pk_buf_text(&shown));
    }
}

static void print_time(const char *name, const char *text)
{
    char time[PK_TABLE_TIME];
    print_line(name, pk_table_time(text, time));
}

/* The texts of an array, with commas; 'none' for an empty one, 'all' for "*". */
static void print_list(const struct pk_doc *actor, const char *name, const char *path,
                       const char *none, const char *all)
{
    PK_CLEANUP(pk_buf_done) struct pk_buf out = { 0 };
    bson_t view;
    bson_iter_t at;
    bson_iter_t item;
    pk_doc_view(actor, &view);
    if (pk_path_find(&view, path, &at) && BSON_ITER_HOLDS_ARRAY(&at) &&
        bson_iter_recurse(&at, &item)) {
        while (bson_iter_next(&item)) {
            const char *text = BSON_ITER_HOLDS_UTF8(&item) ? bson_iter_utf8(&item, NULL) : "?";
            pk_buf_add_text(&out, out.size ? ", " : "");
            pk_buf_add_text(&out, strcmp(text, "*") == 0 ? all : text);
        }
    }
    print_line(name, out.size ? pk_buf_text(&out) : none);
}

static bool has_grant(const struct pk_doc *actor, const char *name)
{
    bson_t view;
    bson_iter_t at;
    bson_iter_t item;
    pk_doc_view(actor, &view);
    if (pk_path_find(&view, "capabilities.grants", &at) && BSON_ITER_HOLDS_ARRAY(&at) &&
        bson_iter_recurse(&at, &item)) {
        while (bson_iter_next(&item)) {
            if (BSON_ITER_HOLDS_UTF8(&item) && strcmp(bson_iter_utf8(&item, NULL), name) == 0) {
                return true;
            }
        }
    }
    return false;
}

/* The stored flag of a capability, if it has one, or its place among the grants. */
static bool has_capability(const struct pk_doc *actor, enum pk_capability capability)
{
    const char *field = pk_capability_field(capability);
    if (!field) {
        return has_grant(actor, pk_capability_name(capability));
    }
    const char *dot = strrchr(field, '.');
    PK_CLEANUP(pk_freep) char *path = pk_strdupf("capabilities.%s", dot ? dot + 1 : field);
    return pk_doc_bool(actor, path, false);
}

static void print_capabilities(const struct pk_doc *actor)
{
    PK_CLEANUP(pk_buf_done) struct pk_buf out = { 0 };
    for (unsigned bit = 1; bit & PK_CAN_ALL; bit <<= 1) {
        if (has_capability(actor, (enum pk_capability)bit)) {
            pk_buf_add_text(&out, out.size ? ", " : "");
            pk_buf_add_text(&out, pk_capability_name((enum pk_capability)bit));
        }
    }
    print_line("can", out.size ? pk_buf_text(&out) : "nothing");
}

static void print_actor(const struct pk_doc *actor)
{
    print_line("actor", pk_doc_text(actor, "actorId"));
    print_line("name", pk_doc_text(actor, "name"));
    print_line("type", pk_doc_text(actor, "actorType"));
    print_line("status", pk_doc_text(actor, "status"));
    print_line("description", pk_doc_text(actor, "description"));
    print_line("email", pk_doc_text(actor, "email"));
    print_capabilities(actor);
    print_line("detail", pk_doc_text(actor, "capabilities.maxDetailLevel"));
    print_list(actor, "mappers", "capabilities.allowedMappers", "none", "all");
    print_list(actor, "people", "capabilities.people", "none", "all");
    print_list(actor, "hidden", "capabilities.hiddenPaths", "nothing", "all");
    print_time("created", pk_doc_text(actor, "createdAt"));
    print_time("changed", pk_doc_text(actor, "updatedAt"));
    print_time("last active", pk_doc_text(actor, "usageMetadata.lastActiveAt"));
}

static bool show_answer(struct pk_client *client, const struct pk_doc *actor, struct pk_error *err)
{
    if (client->call->is_json) {
        return pk_client_print(actor, err);
    }
    print_actor(actor);
    return true;
}

/* "/v1/actors/{actor}" and what is behind it, for the actor that the command names. */
static bool find_path(struct pk_client *client, const char *format, const char **out,
                      struct pk_error *err)
{
    const char *id = NULL;
    if (!pk_client_actor(client, client->call->argument[0], &id, err)) {
        return false;
    }
    *out = pk_client_path(client, format, id, NULL);
    return true;
}

static bool show(struct pk_client *client, struct pk_error *err)
{
    const char *path = NULL;
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *actor = NULL;
    return find_path(client, "/v1/actors/%s", &path, err) &&
           pk_client_ask(client, "GET", path, NULL, &actor, err) && show_answer(client, actor, err);
}

/* ---- What --can, --people and their like say ---- */

/* Calls 'each' for every word of "a, b,c". */
static bool each_word(const char *words, bool (*each)(void *, const char *, struct pk_error *),
                      void *context, struct pk_error *err)
{
    while (*words) {
        words += strspn(words, ", ");
        const size_t size = strcspn(words, ",");
        size_t used = size;
        while (used > 0 && words[used - 1] == ' ') {
            used--;
        }
        PK_CLEANUP(pk_freep) char *word = pk_strndup(words, used);
        if (used > 0 && !each(context, word, err)) {
            return false;
        }
        words += size;
    }
    return true;
}

struct array {
    bson_t *bson;
    uint32_t count;
};

static bool append_word(void *context, const char *word, struct pk_error *err)
{
    struct array *array = context;
    const char *key = NULL;
    char buffer[16];
    (void)err;
    const size_t size = bson_uint32_to_string(array->count++, &key, buffer, sizeof(buffer));
    bson_append_utf8(array->bson, key, (int)size, word, -1);
    return true;
}

/* 'none' is the empty list, which could not be written otherwise; 'all' is "*". */
static void append_list(bson_t *out, const char *field, const char *words)
{
    bson_t list_bson;
    struct array array = { .bson = &list_bson };
    BSON_APPEND_ARRAY_BEGIN(out, field, &list_bson);
    if (strcmp(words, "all") == 0) {
        (void)append_word(&array, "*", NULL);
    } else if (strcmp(words, "none") != 0) {
        (void)each_word(words, append_word, &array, NULL);
    }
    bson_append_array_end(out, &list_bson);
}

static bool collect_capability(void *context, const char *word, struct pk_error *err)
{
    unsigned *bits = context;
    const enum pk_capability found = pk_capability_find(word);
    if (!found) {
        return pk_fail(err, PK_INVALID,
                       "request_personas, provide_feedback, write_observations, approve, curate, "
                       "author_mappers, operate; or all, or none",
                       "there is no capability '%.60s'", word);
    }
    *bits |= (unsigned)found;
    return true;
}

/* Exactly these: flags that are not named become false. */
static bool append_can(bson_t *out, const char *words, struct pk_error *err)
{
    unsigned bits = strcmp(words, "all") == 0 ? (unsigned)PK_CAN_ALL : 0;
    bson_t grants;
    struct array array = { .bson = &grants };
    if (bits == 0 && strcmp(words, "none") != 0 &&
        !each_word(words, collect_capability, &bits, err)) {
        return false;
    }
    for (unsigned bit = 1; bit & PK_CAN_ALL; bit <<= 1) {
        const char *field = pk_capability_field((enum pk_capability)bit);
        const char *dot = field ? strrchr(field, '.') : NULL;
        if (field) {
            BSON_APPEND_BOOL(out, dot ? dot + 1 : field, (bits & bit) != 0);
        }
    }
    BSON_APPEND_ARRAY_BEGIN(out, "grants", &grants);
    for (unsigned bit = 1; bit & PK_CAN_ALL; bit <<= 1) {
        if ((bits & bit) && !pk_capability_field((enum pk_capability)bit)) {
            (void)append_word(&array, pk_capability_name((enum pk_capability)bit), NULL);
        }
    }
    bson_append_array_end(out, &grants);
    return true;
}

static const struct {
    const char *option;
    const char *field;
} text_table[] = {
    { "--name", "name" },
    { "--type", "actorType" },
    { "--description", "description" },
    { "--email", "email" },
};
static const struct {
    const char *option;
    const char *field; /* Of 'capabilities'. */
} list_table[] = {
    { "--mappers", "allowedMappers" },
    { "--people", "people" },
    { "--hide", "hiddenPaths" },
};

/* The body for POST and PATCH: what the options say. 'out' is initialised by the caller. */
static bool read_options(const struct pk_call *call, bson_t *out, struct pk_error *err)
{
    bson_t capabilities;
    bool is_ok = true;
    for (size_t i = 0; i < PK_COUNT(text_table); i++) {
        const char *value = pk_call_option(call, text_table[i].option);
        if (value) {
            BSON_APPEND_UTF8(out, text_table[i].field, value);
        }
    }
    if (pk_call_option(call, "--no-email")) {
        BSON_APPEND_NULL(out, "email");
    }
    bson_init(&capabilities);
    const char *can = pk_call_option(call, "--can");
    const char *detail = pk_call_option(call, "--detail");
    is_ok = !can || append_can(&capabilities, can, err);
    if (detail) {
        BSON_APPEND_UTF8(&capabilities, "maxDetailLevel", detail);
    }
    for (size_t i = 0; i < PK_COUNT(list_table); i++) {
        const char *words = pk_call_option(call, list_table[i].option);
        if (words) {
            append_list(&capabilities, list_table[i].field, words);
        }
    }
    if (!bson_empty(&capabilities)) {
        BSON_APPEND_DOCUMENT(out, "capabilities", &capabilities);
    }
    bson_destroy(&capabilities);
    return is_ok;
}

/* ---- Changing ---- */

static bool create(struct pk_client *client, struct pk_error *err)
{
    PK_CLEANUP(bson_destroy) bson_t body = BSON_INITIALIZER;
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *actor = NULL;
    if (!read_options(client->call, &body, err) ||
        !pk_client_ask(client, "POST", "/v1/actors", &body, &actor, err) ||
        !show_answer(client, actor, err)) {
        return false;
    }
    if (!client->call->is_json) {
        const char *id = pk_doc_text(actor, "actorId");
        (void)fprintf(stderr, "\nIt has no key yet: personakit key add %s --name NAME\n",
                      id ? id : "ACTOR");
    }
    return true;
}

static bool change(struct pk_client *client, struct pk_error *err)
{
    PK_CLEANUP(bson_destroy) bson_t body = BSON_INITIALIZER;
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *actor = NULL;
    const char *path = NULL;
    return read_options(client->call, &body, err) &&
           find_path(client, "/v1/actors/%s", &path, err) &&
           pk_client_ask(client, "PATCH", path, &body, &actor, err) &&
           show_answer(client, actor, err);
}

static bool move(struct pk_client *client, const char *format, struct pk_error *err)
{
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *actor = NULL;
    const char *path = NULL;
    if (!find_path(client, format, &path, err) ||
        !pk_client_ask(client, "POST", path, NULL, &actor, err)) {
        return false;
    }
    if (client->call->is_json) {
        return pk_client_print(actor, err);
    }
    PK_CLEANUP(pk_buf_done) struct pk_buf shown = { 0 };
    const char *name = pk_doc_text(actor, "name");
    const char *status = pk_doc_text(actor, "status");
    pk_text_escape(&shown, name ? name : "", name ? strlen(name) : 0, false);
    (void)printf("'%s' is %s\n", pk_buf_text(&shown), status ? status : "changed");
    return true;
}

static bool suspend(struct pk_client *client, struct pk_error *err)
{
    return move(client, "/v1/actors/%s/suspend", err);
}

static bool resume(struct pk_client *client, struct pk_error *err)
{
    return move(client, "/v1/actors/%s/resume", err);
}

static bool archive(struct pk_client *client, struct pk_error *err)
{
    PK_CLEANUP(pk_freep)
    char *question =
        pk_strdupf("Archive '%s' for ever? Its keys stop working.", client->call->argument[0]);
    return pk_call_confirm(client->call, question, err) &&
           move(client, "/v1/actors/%s/archive", err);
}

/* ---- The commands ---- */

#define RUN(WORK)                                                              \
    static enum pk_exit run_##WORK(struct pk_call *call, struct pk_error *err) \
    {                                                                          \
        return pk_client_run(call, WORK, err);                                 \
    }
RUN(list)
RUN(show)
RUN(suspend)
RUN(resume)
RUN(archive)

/* What the command line says, looked at before a server is asked. */
static bool check_options(const struct pk_call *call, bool is_new, struct pk_error *err)
{
    PK_CLEANUP(bson_destroy) bson_t body = BSON_INITIALIZER;
    if (is_new && (!pk_call_option(call, "--name") || !pk_call_option(call, "--type"))) {
        return pk_fail(err, PK_INVALID, "the types are ai_agent, human and system",
                       "'actor create' needs --name and --type");
    }
    if (!read_options(call, &body, err)) {
        return false;
    }
    return !bson_empty(&body) ||
           pk_fail(err, PK_INVALID, "'--help' behind the command lists what can be changed",
                   "nothing to change was named");
}

static enum pk_exit run_create(struct pk_call *call, struct pk_error *err)
{
    return check_options(call, true, err) ? pk_client_run(call, create, err) : PK_EXIT_USAGE;
}

static enum pk_exit run_change(struct pk_call *call, struct pk_error *err)
{
    return check_options(call, false, err) ? pk_client_run(call, change, err) : PK_EXIT_USAGE;
}

static const struct pk_cli_option list_option[] = {
    { "--status", "STATUS", "Only these: active, suspended or archived." },
    PK_CLIENT_OPTIONS,
};
static const struct pk_cli_option plain_option[] = { PK_CLIENT_OPTIONS };
static const struct pk_cli_option archive_option[] = {
    { "--yes", NULL, "Do not ask whether it is meant." },
    PK_CLIENT_OPTIONS,
};

#define WHAT_OPTIONS                                                                         \
    { "--name", "NAME", "What it is called." },                                              \
        { "--type", "TYPE", "ai_agent, human or system." },                                  \
        { "--description", "TEXT", "What it is for." },                                      \
        { "--email", "EMAIL", "Where a person behind it can be reached." },                  \
        { "--can", "LIST",                                                                   \
          "What it may do, with commas: request_personas, provide_feedback, "                \
          "write_observations, approve, curate, author_mappers, operate; all; "              \
          "none." },                                                                         \
        { "--detail", "LEVEL", "The most it may ask for: instant, balanced or deep_dive." }, \
        { "--mappers", "LIST", "Mappers it may use; all; none." },                           \
        { "--people", "LIST", "Ids of the people it may see; all; none." },                  \
    {                                                                                        \
        "--hide", "LIST", "Paths of traits that it never gets to see; none."                 \
    }

static const struct pk_cli_option create_option[] = { WHAT_OPTIONS, PK_CLIENT_OPTIONS };
static const struct pk_cli_option change_option[] = {
    WHAT_OPTIONS,
    { "--no-email", NULL, "Take its email away." },
    PK_CLIENT_OPTIONS,
};

#define ACTOR_TEXT "ACTOR is its id, its name when no other has it, or 'self'.\n"

const struct pk_command pk_command_actor_list = {
    .noun = "actor",
    .verb = "list",
    .summary = "list who may ask",
    .text = "Lists agents, people and systems that have been given access, in the order of their\n"
            "ids.\n",
    .example = "personakit actor list --status active",
    .option = list_option,
    .option_count = PK_COUNT(list_option),
    .run = run_list,
};
const struct pk_command pk_command_actor_show = {
    .noun = "actor",
    .verb = "show",
    .summary = "show one, and what it may do",
    .text = ACTOR_TEXT,
    .example = "personakit actor show self",
    .argument = { "ACTOR" },
    .option = plain_option,
    .option_count = PK_COUNT(plain_option),
    .run = run_show,
};
const struct pk_command pk_command_actor_create = {
    .noun = "actor",
    .verb = "create",
    .summary = "let somebody new ask",
    .text = "What is not said is not allowed: without --can, --mappers and --people it may do\n"
            "nothing and see nobody. It can ask once it has a key ('personakit key add').\n",
    .example = "personakit actor create --name assistant --type ai_agent --can request_personas "
               "--mappers all --people all",
    .option = create_option,
    .option_count = PK_COUNT(create_option),
    .run = run_create,
};
const struct pk_command pk_command_actor_change = {
    .noun = "actor",
    .verb = "change",
    .summary = "change what one is or may do",
    .text = "Changes what is named and leaves the rest. A list replaces the one before. It takes\n"
            "effect on every node within two seconds.\n" ACTOR_TEXT,
    .example = "personakit actor change assistant --detail balanced --hide health",
    .argument = { "ACTOR" },
    .option = change_option,
    .option_count = PK_COUNT(change_option),
    .run = run_change,
};
const struct pk_command pk_command_actor_suspend = {
    .noun = "actor",
    .verb = "suspend",
    .summary = "refuse one until it is resumed",
    .text = "Its keys are refused on every node within two seconds, open streams included.\n"
            "'actor resume' takes it back.\n" ACTOR_TEXT,
    .example = "personakit actor suspend assistant",
    .argument = { "ACTOR" },
    .option = plain_option,
    .option_count = PK_COUNT(plain_option),
    .run = run_suspend,
};
const struct pk_command pk_command_actor_resume = {
    .noun = "actor",
    .verb = "resume",
    .summary = "serve a suspended one again",
    .text = "Its keys work again, but for those that were revoked or have expired.\n" ACTOR_TEXT,
    .example = "personakit actor resume assistant",
    .argument = { "ACTOR" },
    .option = plain_option,
    .option_count = PK_COUNT(plain_option),
    .run = run_resume,
};
const struct pk_command pk_command_actor_archive = {
    .noun = "actor",
    .verb = "archive",
    .summary = "refuse one for ever",
    .text = "It stays in the records and never changes again. This cannot be undone; 'suspend'\n"
            "can. Away from a terminal, --yes says that it is meant.\n" ACTOR_TEXT,
    .example = "personakit actor archive assistant --yes",
    .argument = { "ACTOR" },
    .option = archive_option,
    .option_count = PK_COUNT(archive_option),
    .run = run_archive,
};
