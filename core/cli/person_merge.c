/* person_merge.c - 'personakit person merge' and 'unmerge': two people made one, and two again.
 *
 * The server does it, whether somebody watches or not; what is printed is how
 * far it is, until it is done (--no-wait: the task's id alone). */
/* SPDX-License-Identifier: MIT */
#include "base/alloc.h"
#include "base/buf.h"
#include "base/error.h"
#include "cli/client.h"
#include "cli/progress.h"
#include "doc/doc.h"
#include "doc/json.h"
#include "doc/path.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

enum { LOOK_MS = 200 }; /* How often the task is asked for. */

/* ---- Until it is done ---- */

static bool is_status(const struct pk_doc *task, const char *status)
{
    const char *text = pk_doc_text(task, "status");
    return text && strcmp(text, status) == 0;
}

static void pause_for(int64_t ms)
{
    const struct timespec time = { .tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000 };
    (void)nanosleep(&time, NULL);
}

static bool follow(struct pk_client *client, const char *task, const char *step,
                   struct pk_error *err)
{
    struct pk_progress progress;
    const char *path = pk_client_path(client, "/v1/tasks/%s", task, NULL);
    bool is_ok = true, is_over = false;
    pk_progress_init(&progress, client->call->app->clock, client->call->is_json);
    progress.unit = "percent";
    while (is_ok && !is_over) {
        PK_CLEANUP(pk_doc_unrefp) struct pk_doc *state = NULL;
        is_ok = pk_client_ask(client, "GET", path, NULL, &state, err);
        is_over = is_ok && is_status(state, "done");
        if (is_ok && (is_status(state, "failed") || is_status(state, "discarded"))) {
            const char *why = pk_doc_text(state, "lastError");
            is_ok = pk_fail(err, PK_CONFLICT, "mend it and 'personakit task retry', or unmerge",
                            "task '%s' has failed: %s", task, why ? why : "nobody says why");
        } else if (is_ok && !is_over) {
            pk_progress_show(&progress, step, task,
                             (int64_t)(pk_doc_number(state, "progress", 0) * 100), 100);
            pause_for(LOOK_MS);
        }
    }
    pk_progress_done(&progress);
    return is_ok;
}

/* What the server has answered: shown at once, or when it is done. */
static bool finish(struct pk_client *client, const struct pk_doc *answer, const char *step,
                   struct pk_error *err)
{
    const char *task = pk_doc_text(answer, "taskId");
    const bool is_waited = pk_call_option(client->call, "--no-wait") == NULL;
    if (is_waited && !follow(client, task ? task : "", step, err)) {
        return false;
    }
    if (client->call->is_json) {
        return pk_client_print(answer, err);
    }
    (void)printf("%s: merge %s of %s into %s%s%s\n", is_waited ? step : "asked for",
                 pk_doc_text(answer, "mergeId"), pk_doc_text(answer, "from"),
                 pk_doc_text(answer, "into"), is_waited ? "" : ", task ", is_waited ? "" : task);
    return true;
}

/* ---- merge ---- */

static bool print_side(const char *label, const bson_iter_t *conflict, const char *name,
                       struct pk_error *err)
{
    PK_CLEANUP(pk_buf_done) struct pk_buf text = { 0 };
    bson_iter_t inner, side;
    bson_t value = BSON_INITIALIZER;
    double confidence = 0;
    if (bson_iter_recurse(conflict, &inner) && bson_iter_find(&inner, name) &&
        bson_iter_recurse(&inner, &side)) {
        while (bson_iter_next(&side)) {
            if (strcmp(bson_iter_key(&side), "value") == 0) {
                (void)bson_append_iter(&value, "value", -1, &side);
            } else if (strcmp(bson_iter_key(&side), "confidence") == 0) {
                confidence = bson_iter_as_double(&side);
            }
        }
    }
    const bool is_ok = pk_json_write(&text, &value, PK_JSON_COMPACT, err);
    bson_destroy(&value);
    if (is_ok) {
        (void)printf("  %s %s, confidence %.2f\n", label, pk_buf_text(&text), confidence);
    }
    return is_ok;
}

static bool print_dry(const struct pk_doc *answer, struct pk_error *err)
{
    bson_t view;
    bson_iter_t list, each, path;
    pk_doc_view(answer, &view);
    if (pk_path_find(&view, "moves", &list) && bson_iter_recurse(&list, &each)) {
        while (bson_iter_next(&each)) {
            if (bson_iter_as_int64(&each) > 0) {
                (void)printf("%-20s %" PRId64 " would move\n", bson_iter_key(&each),
                             bson_iter_as_int64(&each));
            }
        }
    }
    if (pk_path_find(&view, "conflicts", &list) && bson_iter_recurse(&list, &each)) {
        while (bson_iter_next(&each)) {
            if (!bson_iter_recurse(&each, &path) || !bson_iter_find(&path, "path")) {
                continue;
            }
            (void)printf("%s\n", bson_iter_utf8(&path, NULL));
            if (!print_side("from", &each, "from", err) ||
                !print_side("into", &each, "into", err)) {
                return false;
            }
        }
    }
    const int64_t count = pk_doc_int(answer, "conflictCount", 0);
    (void)printf("%" PRId64 " %s; nothing was changed\n", count,
                 count == 1 ? "trait differs" : "traits differ");
    return true;
}

static bool merge(struct pk_client *client, struct pk_error *err)
{
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *answer = NULL;
    const struct pk_call *call = client->call;
    const char *reason = pk_call_option(call, "--reason");
    const bool is_dry = pk_call_option(call, "--dry-run") != NULL;
    bson_t body = BSON_INITIALIZER;
    BSON_APPEND_UTF8(&body, "from", call->argument[0]);
    BSON_APPEND_UTF8(&body, "into", call->argument[1]);
    if (reason) {
        BSON_APPEND_UTF8(&body, "reason", reason);
    }
    BSON_APPEND_BOOL(&body, "dryRun", is_dry);
    const bool is_ok = pk_client_ask(client, "POST", "/v1/people/merge", &body, &answer, err);
    bson_destroy(&body);
    if (!is_ok) {
        return false;
    }
    if (is_dry) {
        return call->is_json ? pk_client_print(answer, err) : print_dry(answer, err);
    }
    return finish(client, answer, "merged", err);
}

static enum pk_exit run_merge(struct pk_call *call, struct pk_error *err)
{
    return pk_client_run(call, merge, err);
}

static const struct pk_cli_option merge_option[] = {
    { "--reason", "TEXT", "Why they are one; kept with the merge." },
    { "--dry-run", NULL, "Only show what would move, and where the two disagree." },
    { "--no-wait", NULL, "Do not stay until it is done." },
    PK_CLIENT_OPTIONS,
};

const struct pk_command pk_command_person_merge = {
    .noun = "person",
    .verb = "merge",
    .summary = "make two people one",
    .text = "FROM is served as INTO from then on, whatever name is used, and INTO's mindscape is\n"
            "made anew from the observations of both. Of two consents the stricter one holds.\n"
            "'person unmerge' undoes it, for as long as neither was erased. Ctrl-C ends the\n"
            "watching alone: the server goes on.\n",
    .example = "personakit person merge 0b4f6ad8-6c1f-4a57-9d6e-3b1c2f6f7a10 "
               "5d7c9a1e-2f30-4b6c-8f7d-91a2b3c4d5e6 --reason 'the same email'",
    .argument = { "FROM", "INTO" },
    .option = merge_option,
    .option_count = PK_COUNT(merge_option),
    .run = run_merge,
};

/* ---- unmerge ---- */

static bool unmerge(struct pk_client *client, struct pk_error *err)
{
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *answer = NULL;
    const struct pk_call *call = client->call;
    return pk_client_ask(client, "POST",
                         pk_client_path(client, "/v1/people/%s/merges/%s/undo", call->argument[0],
                                        call->argument[1]),
                         NULL, &answer, err) &&
           finish(client, answer, "undone", err);
}

static enum pk_exit run_unmerge(struct pk_call *call, struct pk_error *err)
{
    return pk_client_run(call, unmerge, err);
}

static const struct pk_cli_option unmerge_option[] = {
    { "--no-wait", NULL, "Do not stay until it is done." },
    PK_CLIENT_OPTIONS,
};

const struct pk_command pk_command_person_unmerge = {
    .noun = "person",
    .verb = "unmerge",
    .summary = "undo a merge of two people",
    .text = "Each gets back what is his, what came since under his own names as well. MERGE is\n"
            "the id that 'person merge' has shown; 'merges' of the person in GET /v1/people has\n"
            "it, too. PERSON is either of the two. Ctrl-C ends the watching alone.\n",
    .example = "personakit person unmerge 5d7c9a1e-2f30-4b6c-8f7d-91a2b3c4d5e6 "
               "7e1f0c3a-9b2d-4c5e-8a6f-0d1e2f3a4b5c",
    .argument = { "PERSON", "MERGE" },
    .option = unmerge_option,
    .option_count = PK_COUNT(unmerge_option),
    .run = run_unmerge,
};
