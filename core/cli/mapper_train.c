/* mapper_train.c - 'personakit mapper train': a draft of what feedback proposes.
 *
 * Asks for it, waits for the task, and shows what came of it. Who ends the
 * command ends his waiting and nothing else. */
/* SPDX-License-Identifier: MIT */
#include "base/alloc.h"
#include "base/buf.h"
#include "base/text.h"
#include "cli/client.h"
#include "cli/progress.h"
#include "doc/doc.h"
#include "doc/json.h"
#include "doc/path.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

enum { LOOK_EACH_MS = 100, PARTS = 100 };

/* ---- Showing ---- */

static void print_text(const char *before, const char *text)
{
    PK_CLEANUP(pk_buf_done) struct pk_buf shown = { 0 };
    pk_text_escape(&shown, text, strlen(text), false);
    (void)printf("%s%s", before, pk_buf_text(&shown));
}

/* A value as JSON has it. */
static bool print_value(const char *before, const bson_t *change, const char *name,
                        struct pk_error *err)
{
    PK_CLEANUP(pk_buf_done) struct pk_buf text = { 0 };
    bson_iter_t iter;
    bson_t alone = BSON_INITIALIZER;
    bool is_ok = true;
    if (bson_iter_init_find(&iter, change, name)) {
        (void)bson_append_iter(&alone, "v", -1, &iter);
        is_ok = pk_json_write(&text, &alone, PK_JSON_COMPACT, err);
        if (is_ok && text.size > 6) { /* {"v":...} */
            (void)printf("%s%.*s", before, (int)(text.size - 6), pk_buf_text(&text) + 5);
        }
    }
    bson_destroy(&alone);
    return is_ok;
}

/* "rule early: priority "high" -> "medium" (3 feedback, weight 1.02)" */
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
    const char *rule = pk_doc_text(change, "ruleId");
    const char *setting = pk_doc_text(change, "setting");
    const char *why = pk_doc_text(change, "why");
    pk_doc_view(change, &view);
    print_text(rule ? "  rule " : "  setting ", rule ? rule : setting ? setting : "?");
    print_text(": ", pk_doc_text(change, "field"));
    if (!print_value(" ", &view, "before", err) || !print_value(" -> ", &view, "value", err)) {
        return false;
    }
    (void)printf(" (%" PRId64 " feedback, weight %.2f)", pk_doc_int(change, "feedback", 0),
                 pk_doc_number(change, "weight", 0));
    if (why) {
        print_text(": ", why);
    }
    (void)printf("\n");
    return true;
}

static bool print_list(const char *heading, const bson_t *answer, const char *name,
                       struct pk_error *err)
{
    bson_iter_t list, item;
    bool is_first = true;
    if (!pk_path_find(answer, name, &list) || !bson_iter_recurse(&list, &item)) {
        return true;
    }
    while (bson_iter_next(&item)) {
        if (is_first) {
            (void)printf("%s\n", heading);
        }
        is_first = false;
        if (!print_change(&item, err)) {
            return false;
        }
    }
    return true;
}

static void print_end(const struct pk_doc *answer)
{
    const char *mapper = pk_doc_text(answer, "mapperId");
    const char *version = pk_doc_text(answer, "version");
    const char *parent = pk_doc_text(answer, "parentVersion");
    const int64_t samples = pk_doc_int(answer, "samples", 0);
    const bool is_dry = pk_doc_bool(answer, "dryRun", false);
    if (!version && samples == 0) {
        (void)printf("no feedback waits; there is no draft\n");
    } else if (!version && pk_doc_text(answer, "problem")) {
        (void)printf("so there would be no draft, and the feedback waits\n");
    } else if (!version) {
        (void)printf("nothing was to be learned of %" PRId64 " feedback; there is no draft\n",
                     samples);
    } else if (is_dry) {
        (void)printf("it would be the draft %s of %s; nothing was written\n", version, parent);
    } else {
        (void)printf("%" PRId64 " of %" PRId64 " feedback went into the draft %s of %s\n"
                     "look at it: 'personakit mapper diff %s %s %s'; it serves when you activate "
                     "it\n",
                     pk_doc_int(answer, "incorporated", 0), samples, version, parent, mapper,
                     parent, version);
    }
}

static bool print(const struct pk_doc *answer, struct pk_error *err)
{
    const char *problem = pk_doc_text(answer, "problem");
    const int64_t failures = pk_doc_int(answer, "failures", 0);
    bson_t view;
    pk_doc_view(answer, &view);
    if (!print_list("changed:", &view, "changes", err) ||
        !print_list("proposed, and not changed:", &view, "open", err)) {
        return false;
    }
    if (failures > 0) {
        (void)printf("a processor failed on %" PRId64 " feedback, which wait%s", failures,
                     failures == 1 ? "s" : "");
        print_text(": ", problem ? problem : "");
        (void)printf("\n");
    } else if (problem) {
        print_text("", problem);
        (void)printf("\n");
    }
    print_end(answer);
    return true;
}

/* ---- Waiting ---- */

static bool is_over(const struct pk_doc *task)
{
    const char *status = pk_doc_text(task, "status");
    return status && strcmp(status, "pending") != 0 && strcmp(status, "in_progress") != 0;
}

static bool wait_for(struct pk_client *client, const char *task, struct pk_error *err)
{
    const char *path = pk_client_path(client, "/v1/tasks/%s", task, NULL);
    const struct timespec pause = { .tv_nsec = LOOK_EACH_MS * 1000000L };
    struct pk_progress progress;
    bool is_done = false, is_ok = true;
    pk_progress_init(&progress, client->call->app->clock, client->call->is_json);
    progress.unit = "percent";
    while (is_ok && !is_done) {
        PK_CLEANUP(pk_doc_unrefp) struct pk_doc *now = NULL;
        is_ok = pk_client_ask(client, "GET", path, NULL, &now, err);
        is_done = is_ok && is_over(now);
        if (is_ok && !is_done) {
            pk_progress_show(&progress, "training", "",
                             (int64_t)(pk_doc_number(now, "progress", 0) * PARTS), PARTS);
            (void)nanosleep(&pause, NULL);
        }
    }
    pk_progress_done(&progress);
    return is_ok;
}

/* What came of the task; another training may have begun since. */
static bool show_outcome(struct pk_client *client, const char *task, struct pk_error *err)
{
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *answer = NULL;
    if (!wait_for(client, task, err) ||
        !pk_client_ask(
            client, "GET",
            pk_client_path(client, "/v1/mappers/%s/train", client->call->argument[0], NULL), NULL,
            &answer, err)) {
        return false;
    }
    const char *status = pk_doc_text(answer, "status");
    const char *problem = pk_doc_text(answer, "problem");
    const char *of = pk_doc_text(answer, "taskId");
    if (!of || strcmp(of, task) != 0) {
        return pk_fail(err, PK_CONFLICT, "look at the mapper's versions",
                       "another training has begun since");
    }
    if (!status || strcmp(status, "done") != 0) {
        return pk_fail(err, PK_INVALID,
                       "no draft was written, and the feedback waits; 'personakit task show' says "
                       "more",
                       "the training has failed: %s", problem ? problem : "it was given up");
    }
    return client->call->is_json ? pk_client_print(answer, err) : print(answer, err);
}

/* ---- The command ---- */

static void add_text(bson_t *body, const char *name, const char *value)
{
    if (value) {
        BSON_APPEND_UTF8(body, name, value);
    }
}

static bool train(struct pk_client *client, struct pk_error *err)
{
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *answer = NULL;
    PK_CLEANUP(bson_destroy) bson_t body = BSON_INITIALIZER;
    const struct pk_call *call = client->call;
    const bool is_dry = pk_call_option(call, "--dry-run") != NULL;
    add_text(&body, "version", pk_call_option(call, "--version"));
    add_text(&body, "since", pk_call_option(call, "--since"));
    BSON_APPEND_BOOL(&body, "dryRun", is_dry);
    if (!pk_client_ask(client, "POST",
                       pk_client_path(client, "/v1/mappers/%s/train", call->argument[0], NULL),
                       &body, &answer, err)) {
        return false;
    }
    if (is_dry) {
        return call->is_json ? pk_client_print(answer, err) : print(answer, err);
    }
    const char *task = pk_doc_text(answer, "taskId");
    if (task && !pk_call_option(call, "--no-wait")) {
        return show_outcome(client, task, err);
    }
    if (call->is_json) {
        return pk_client_print(answer, err);
    }
    (void)printf("it is being trained: 'personakit task show %s' says how far it is\n", task);
    return true;
}

static enum pk_exit run_train(struct pk_call *call, struct pk_error *err)
{
    return pk_client_run(call, train, err);
}

static const struct pk_cli_option train_option[] = {
    { "--version", "VERSION", "Train from this version; default: the active one, or the newest." },
    { "--since", "TIME", "Only feedback since then, as 2026-11-21T09:00:00Z; default: all of it." },
    { "--dry-run", NULL, "Only show what would change." },
    { "--no-wait", NULL, "Say the task, and do not wait for its end." },
    PK_CLIENT_OPTIONS,
};
const struct pk_command pk_command_mapper_train = {
    .noun = "mapper",
    .verb = "train",
    .summary = "make a draft of what feedback proposes",
    .text =
        "Processors that accept 'feedback' look at the mapper's feedback that waits; what they\n"
        "propose with enough behind it becomes a draft: rules off, lower or surer, other\n"
        "texts, other settings. The draft must pass the mapper's own examples. Nothing is\n"
        "activated; feedback that was weighed in a change is 'incorporated', all other waits.\n"
        "Ctrl-C ends the watching alone: the server goes on.\n",
    .example = "personakit mapper train daily --dry-run",
    .argument = { "ID" },
    .option = train_option,
    .option_count = PK_COUNT(train_option),
    .run = run_train,
};
