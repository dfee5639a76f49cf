/* mapper_trial.c - 'personakit mapper dry-run' and 'diff': a version before it goes live.
 *
 * The server runs it; nothing of it is kept. */
/* SPDX-License-Identifier: MIT */
#include "base/alloc.h"
#include "base/buf.h"
#include "base/file.h"
#include "base/text.h"
#include "cli/client.h"
#include "doc/doc.h"
#include "doc/json.h"
#include "doc/path.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FILE_MAX = 4 << 20 };

/* ---- Bodies ---- */

static void add_text(bson_t *body, const char *name, const char *value)
{
    if (value) {
        BSON_APPEND_UTF8(body, name, value);
    }
}

static void add_detail(bson_t *body, const struct pk_call *call)
{
    const char *detail = pk_call_option(call, "--detail");
    add_text(body, "detailLevel", detail ? detail : "balanced");
}

/* What a file of JSON says, under 'name'; nothing without the option. */
static bool add_file(bson_t *body, const struct pk_call *call, const char *option, const char *name,
                     struct pk_error *err)
{
    PK_CLEANUP(pk_buf_done) struct pk_buf text = { 0 };
    const char *path = pk_call_option(call, option);
    bson_t json;
    if (!path) {
        return true;
    }
    if (!pk_file_read(&text, path, FILE_MAX, err)) {
        return false;
    }
    if (!pk_json_read(&json, pk_buf_text(&text), text.size, NULL, err)) {
        return pk_wrap(err, "'%s'", path);
    }
    BSON_APPEND_DOCUMENT(body, name, &json);
    bson_destroy(&json);
    return true;
}

/* ---- Showing ---- */

static void print_text(const char *before, const char *text, const char *behind)
{
    PK_CLEANUP(pk_buf_done) struct pk_buf shown = { 0 };
    pk_text_escape(&shown, text, strlen(text), false);
    (void)printf("%s%s%s", before, pk_buf_text(&shown), behind);
}

/* "  warning: ..." for each text of a list. */
static void print_each(const char *label, const bson_t *doc, const char *path)
{
    bson_iter_t list, item;
    if (!pk_path_find(doc, path, &list) || !BSON_ITER_HOLDS_ARRAY(&list) ||
        !bson_iter_recurse(&list, &item)) {
        return;
    }
    while (bson_iter_next(&item)) {
        if (BSON_ITER_HOLDS_UTF8(&item)) {
            print_text(label, bson_iter_utf8(&item, NULL), "\n");
        }
    }
}

/* "core  {...}" */
static bool print_half(const char *label, const bson_t *answer, const char *name,
                       struct pk_error *err)
{
    PK_CLEANUP(pk_buf_done) struct pk_buf text = { 0 };
    bson_iter_t iter;
    bson_t view;
    const uint8_t *data;
    uint32_t size;
    if (!bson_iter_init_find(&iter, answer, name) || !BSON_ITER_HOLDS_DOCUMENT(&iter)) {
        return true;
    }
    bson_iter_document(&iter, &size, &data);
    if (bson_init_static(&view, data, size) && !pk_json_write(&text, &view, PK_JSON_PRETTY, err)) {
        return false;
    }
    (void)printf("%s\n%s\n", label, pk_buf_text(&text));
    return true;
}

static bool print_made(const struct pk_doc *answer, struct pk_error *err)
{
    const char *problem = pk_doc_text(answer, "problem");
    bson_t view;
    pk_doc_view(answer, &view);
    if (!print_half("core", &view, "personaCore", err) ||
        !print_half("overlay", &view, "contextualOverlay", err)) {
        return false;
    }
    print_each("rule fired: ", &view, "ruleIds");
    print_each("warning: ", &view, "warnings");
    print_each("missing: ", &view, "missing");
    if (problem) {
        print_text("it would be refused: ", problem, "\n");
    }
    (void)printf("made in %.1f ms; nothing was kept\n", pk_doc_number(answer, "generationTime", 0));
    return true;
}

static bool print_change(const bson_iter_t *at, struct pk_error *err)
{
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *change = NULL;
    bson_t view;
    uint32_t size = 0;
    const uint8_t *data = NULL;
    bson_iter_document(at, &size, &data);
    if (!pk_doc_parse(&change, data, size, err)) {
        return false;
    }
    const char *fails = pk_doc_text(change, "fails");
    pk_doc_view(change, &view);
    print_text("", pk_doc_text(change, "personId"), "\n");
    print_each("  line       ", &view, "lines");
    print_each("  rule added ", &view, "rulesAdded");
    print_each("  rule gone  ", &view, "rulesRemoved");
    if (pk_doc_bool(change, "warningsDiffer", false)) {
        (void)printf("  other warnings\n");
    }
    if (fails) {
        print_text(strcmp(fails, "version") == 0 ? "  the new one fails: "
                                                 : "  the old one fails: ",
                   pk_doc_text(change, "problem"), "\n");
    }
    return true;
}

static bool print_changes(const struct pk_doc *answer, struct pk_error *err)
{
    bson_t view;
    bson_iter_t list, item;
    pk_doc_view(answer, &view);
    if (pk_path_find(&view, "differences", &list) && bson_iter_recurse(&list, &item)) {
        while (bson_iter_next(&item)) {
            if (!print_change(&item, err)) {
                return false;
            }
        }
    }
    (void)printf("%" PRId64 " of %" PRId64 " people would have another persona%s\n",
                 pk_doc_int(answer, "differ", 0), pk_doc_int(answer, "looked", 0),
                 pk_doc_bool(answer, "isCut", false) ? "; time ran out before the sample was done"
                                                     : "");
    return true;
}

/* ---- The commands ---- */

static bool dry_run(struct pk_client *client, struct pk_error *err)
{
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *answer = NULL;
    PK_CLEANUP(bson_destroy) bson_t body = BSON_INITIALIZER;
    const struct pk_call *call = client->call;
    if (!pk_call_option(call, "--person") == !pk_call_option(call, "--mindscape")) {
        return pk_fail(err, PK_INVALID, "name one of them: whose mindscape it is to see",
                       "'mapper dry-run' needs either --person or --mindscape");
    }
    add_text(&body, "personId", pk_call_option(call, "--person"));
    add_detail(&body, call);
    add_text(&body, "now", pk_call_option(call, "--now"));
    return add_file(&body, call, "--mindscape", "mindscape", err) &&
           add_file(&body, call, "--context", "context", err) &&
           pk_client_ask(client, "POST",
                         pk_client_path(client, "/v1/mappers/%s/versions/%s/dry-run",
                                        call->argument[0], call->argument[1]),
                         &body, &answer, err) &&
           (call->is_json ? pk_client_print(answer, err) : print_made(answer, err));
}

static bool differ(struct pk_client *client, struct pk_error *err)
{
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *answer = NULL;
    PK_CLEANUP(bson_destroy) bson_t body = BSON_INITIALIZER;
    const struct pk_call *call = client->call;
    const char *sample = pk_call_option(call, "--sample");
    char *end = NULL;
    add_text(&body, "against", call->argument[1]);
    add_detail(&body, call);
    if (sample) {
        const long number = strtol(sample, &end, 10);
        if (end == sample || *end != '\0') {
            return pk_fail(err, PK_INVALID, "say how many people: 'personakit mapper diff --help'",
                           "'%s' is no number of people", sample);
        }
        BSON_APPEND_INT64(&body, "sample", number);
    }
    return add_file(&body, call, "--context", "context", err) &&
           pk_client_ask(client, "POST",
                         pk_client_path(client, "/v1/mappers/%s/versions/%s/diff",
                                        call->argument[0], call->argument[2]),
                         &body, &answer, err) &&
           (call->is_json ? pk_client_print(answer, err) : print_changes(answer, err));
}

static enum pk_exit run_dry_run(struct pk_call *call, struct pk_error *err)
{
    return pk_client_run(call, dry_run, err);
}

static enum pk_exit run_diff(struct pk_call *call, struct pk_error *err)
{
    return pk_client_run(call, differ, err);
}

#define DETAIL_OPTION  "--detail", "LEVEL", "instant, balanced (the default) or deep_dive."
#define CONTEXT_OPTION "--context", "FILE", "JSON: values of the request for the mapper."

static const struct pk_cli_option dry_option[] = {
    { "--person", "PERSON", "On this person's mindscape; or --mindscape." },
    { "--mindscape", "FILE", "JSON: a mindscape as the server shows one, or a part of it." },
    { DETAIL_OPTION },
    { CONTEXT_OPTION },
    { "--now", "TIME", "For this instant, as 2026-11-21T09:00:00Z; default: now." },
    PK_CLIENT_OPTIONS,
};
const struct pk_command pk_command_mapper_dry_run = {
    .noun = "mapper",
    .verb = "dry-run",
    .summary = "run a version on one person, to no effect",
    .text = "The version may be a draft. Shows the persona that it would make, the rules that\n"
            "fired, warnings, and what it requires and is not known. Nothing is written.\n",
    .example = "personakit mapper dry-run daily 1.2.0 --person "
               "0b4f6ad8-6c1f-4a57-9d6e-3b1c2f6f7a10",
    .argument = { "ID", "VERSION" },
    .option = dry_option,
    .option_count = PK_COUNT(dry_option),
    .run = run_dry_run,
};

static const struct pk_cli_option diff_option[] = {
    { "--sample", "COUNT", "How many people are looked at, up to 1000; default: 100." },
    { DETAIL_OPTION },
    { CONTEXT_OPTION },
    PK_CLIENT_OPTIONS,
};
const struct pk_command pk_command_mapper_diff = {
    .noun = "mapper",
    .verb = "diff",
    .summary = "see for whom two versions differ",
    .text = "Runs both versions on a sample of people, the same ones each time, and shows by id\n"
            "for whom and where NEW would say something else than OLD. Nothing is written.\n",
    .example = "personakit mapper diff daily 1.1.0 1.2.0 --sample 500",
    .argument = { "ID", "OLD", "NEW" },
    .option = diff_option,
    .option_count = PK_COUNT(diff_option),
    .run = run_diff,
};
