/* person_merge.c - 'personakit person merge' and 'unmerge': two people made one, and two again.
 *
 * The server does it, whether somebody watches or not; what is printed is how
 * far it is, until it is done (--no-wait: the task's id alone). An undo has a
 * second task behind the first, which makes the mindscape of who is parted:
 * done is what both have done. Who has waited for --timeout is told that it is
 * not, and how to look. */
/* SPDX-License-Identifier: MIT */
#include "base/alloc.h"
#include "base/arena.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/error.h"
#include "cli/client.h"
#include "cli/progress.h"
#include "doc/doc.h"
#include "doc/json.h"
#include "doc/path.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
    LOOK_MS = 200,     /* How often the task is asked for. */
    TIMEOUT_S = 600,   /* How long, if nothing else is said. */
    TIMEOUT_MAX = 9999 /* Seconds that can be said. */
};

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

/* --timeout, as an instant of the monotonic clock. */
static bool read_timeout(const struct pk_call *call, int64_t *out_ns, struct pk_error *err)
{
    const char *text = pk_call_option(call, "--timeout");
    const size_t size = text ? strlen(text) : 0;
    if (text && (size == 0 || size > 4 || strspn(text, "0123456789") != size)) {
        return pk_fail(err, PK_INVALID, "say a number of seconds", "--timeout is 0 to %d, not '%s'",
                       TIMEOUT_MAX, text);
    }
    *out_ns = pk_deadline_in_ms(call->app->clock,
                                1000 * (text ? strtol(text, NULL, 10) : (long)TIMEOUT_S));
    return true;
}

static bool fail_late(const struct pk_client *client, const char *step, const char *task,
                      struct pk_error *err)
{
    return pk_fail(err, PK_TIMEOUT,
                   pk_arena_printf(&client->call->arena,
                                   "the server goes on: see 'personakit task show %s'", task),
                   "not %s yet: task '%s' is under way", step, task);
}

/* '*out_is_over': it is done, or not there any more. */
static bool look(struct pk_client *client, struct pk_progress *progress, const char *task,
                 const char *step, bool *out_is_over, struct pk_error *err)
{
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *state = NULL;
    const char *path = pk_client_path(client, "/v1/tasks/%s", task, NULL);
    if (!pk_client_ask(client, "GET", path, NULL, &state, err)) {
        return false;
    }
    if (is_status(state, "failed") || is_status(state, "discarded")) {
        const char *why = pk_doc_text(state, "lastError");
        return pk_fail(err, PK_CONFLICT, "mend it and 'personakit task retry', or unmerge",
                       "task '%s' has failed: %s", task, why ? why : "nobody says why");
    }
    *out_is_over = is_status(state, "done");
    if (!*out_is_over) {
        pk_progress_show(progress, step, task, (int64_t)(pk_doc_number(state, "progress", 0) * 100),
                         100);
    }
    return true;
}

static bool follow(struct pk_client *client, const char *task, const char *step, int64_t until_ns,
                   struct pk_error *err)
{
    const struct pk_clock *clock = client->call->app->clock;
    struct pk_progress progress;
    bool is_ok = true, is_over = false;
    pk_progress_init(&progress, clock, client->call->is_json);
    progress.unit = "percent";
    while (is_ok && !is_over) {
        is_ok = look(client, &progress, task, step, &is_over, err);
        if (is_ok && !is_over) {
            is_ok = !pk_deadline_passed(clock, until_ns) || fail_late(client, step, task, err);
        }
        if (is_ok && !is_over) {
            pause_for(LOOK_MS);
        }
    }
    pk_progress_done(&progress);
    return is_ok;
}

/* The task behind an undo is not there when he was erased meanwhile, or its end was long ago. */
static bool follow_part(struct pk_client *client, const char *task, const char *step,
                        int64_t until_ns, struct pk_error *err)
{
    struct pk_error why = { 0 };
    if (follow(client, task, step, until_ns, &why) || why.code == PK_NOT_FOUND) {
        return true;
    }
    *err = why;
    return false;
}

/* What the server has answered: shown at once, or when it is done. */
static bool finish(struct pk_client *client, const struct pk_doc *answer, const char *step,
                   int64_t until_ns, struct pk_error *err)
{
    const char *task = pk_doc_text(answer, "taskId");
    const char *part = pk_doc_text(answer, "partTaskId");
    const bool is_waited = pk_call_option(client->call, "--no-wait") == NULL;
    if (is_waited && (!follow(client, task ? task : "", step, until_ns, err) ||
                      (part && !follow_part(client, part, step, until_ns, err)))) {
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
    int64_t until_ns = 0;
    if (!read_timeout(call, &until_ns, err)) {
        return false;
    }
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
    return finish(client, answer, "merged", until_ns, err);
}

static enum pk_exit run_merge(struct pk_call *call, struct pk_error *err)
{
    return pk_client_run(call, merge, err);
}

static const struct pk_cli_option merge_option[] = {
    { "--reason", "TEXT", "Why they are one; kept with the merge." },
    { "--dry-run", NULL, "Only show what would move, and where the two disagree." },
    { "--no-wait", NULL, "Do not stay until it is done." },
    { "--timeout", "SECONDS", "Stay so long at most; 600 if nothing is said." },
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
    int64_t until_ns = 0;
    return read_timeout(call, &until_ns, err) &&
           pk_client_ask(client, "POST",
                         pk_client_path(client, "/v1/people/%s/merges/%s/undo", call->argument[0],
                                        call->argument[1]),
                         NULL, &answer, err) &&
           finish(client, answer, "undone", until_ns, err);
}

static enum pk_exit run_unmerge(struct pk_call *call, struct pk_error *err)
{
    return pk_client_run(call, unmerge, err);
}

static const struct pk_cli_option unmerge_option[] = {
    { "--no-wait", NULL, "Do not stay until it is done." },
    { "--timeout", "SECONDS", "Stay so long at most; 600 if nothing is said." },
    PK_CLIENT_OPTIONS,
};

const struct pk_command pk_command_person_unmerge = {
    .noun = "person",
    .verb = "unmerge",
    .summary = "undo a merge of two people",
    .text = "Each gets back what is his, what came since under his own names as well. MERGE is\n"
            "the id that 'person merge' has shown; 'merges' of the person in GET /v1/people has\n"
            "it, too. PERSON is either of the two. It is done when both have their mindscapes\n"
            "again. Ctrl-C ends the watching alone, as --timeout does, with exit code 1.\n",
    .example = "personakit person unmerge 5d7c9a1e-2f30-4b6c-8f7d-91a2b3c4d5e6 "
               "7e1f0c3a-9b2d-4c5e-8a6f-0d1e2f3a4b5c",
    .argument = { "PERSON", "MERGE" },
    .option = unmerge_option,
    .option_count = PK_COUNT(unmerge_option),
    .run = run_unmerge,
};
