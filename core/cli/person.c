/* person.c - 'personakit person ...': what is done to all that is known of one. */
/* SPDX-License-Identifier: MIT */
#include "base/alloc.h"
#include "base/buf.h"
#include "base/error.h"
#include "cli/person_all.h"
#include "doc/doc.h"
#include "doc/json.h"
#include "doc/path.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* ---- replay ---- */

static void add_option(bson_t *body, const struct pk_call *call, const char *option,
                       const char *name)
{
    const char *value = pk_call_option(call, option);
    if (value) {
        BSON_APPEND_UTF8(body, name, value);
    }
}

/* A value as JSON, or "-" for none. */
static bool print_value(const char *label, const bson_t *difference, const char *name,
                        struct pk_error *err)
{
    PK_CLEANUP(pk_buf_done) struct pk_buf text = { 0 };
    bson_iter_t iter;
    bson_t alone = BSON_INITIALIZER;
    bool is_ok = true;
    if (bson_iter_init_find(&iter, difference, name)) {
        (void)bson_append_iter(&alone, name, -1, &iter);
        is_ok = pk_json_write(&text, &alone, PK_JSON_COMPACT, err);
    }
    bson_destroy(&alone);
    if (is_ok) {
        (void)printf("  %s %s\n", label, text.size ? pk_buf_text(&text) : "-");
    }
    return is_ok;
}

static bool print_difference(const bson_iter_t *at, struct pk_error *err)
{
    bson_t difference;
    bson_iter_t path;
    const uint8_t *data;
    uint32_t size;
    bson_iter_document(at, &size, &data);
    if (!bson_init_static(&difference, data, size) ||
        !bson_iter_init_find(&path, &difference, "path")) {
        return true;
    }
    (void)printf("%s\n", bson_iter_utf8(&path, NULL));
    return print_value("is     ", &difference, "before", err) &&
           print_value("becomes", &difference, "after", err);
}

static bool print_dry(const struct pk_doc *answer, bool is_each, struct pk_error *err)
{
    bson_t view;
    bson_iter_t list, each;
    size_t count = 0;
    pk_doc_view(answer, &view);
    if (pk_path_find(&view, "differences", &list) && bson_iter_recurse(&list, &each)) {
        for (; bson_iter_next(&each); count++) {
            if (is_each && !print_difference(&each, err)) {
                return false;
            }
        }
    }
    (void)printf("%" PRId64 " observations replayed, nothing was changed; ",
                 pk_doc_int(answer, "observations", 0));
    if (pk_doc_bool(answer, "isSame", false)) {
        (void)printf("it would all stay as it is\n");
    } else {
        (void)printf("%zu things would%s\n", count, is_each ? "" : ": --diff shows them");
    }
    return true;
}

static bool replay(struct pk_client *client, struct pk_error *err)
{
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *answer = NULL;
    const struct pk_call *call = client->call;
    const bool is_dry = pk_call_option(call, "--dry-run") != NULL;
    if (pk_call_option(call, "--all")) {
        return pk_person_replay_all(client, err);
    }
    bson_t body = BSON_INITIALIZER;
    add_option(&body, call, "--processor", "processor");
    add_option(&body, call, "--version", "version");
    BSON_APPEND_BOOL(&body, "dryRun", is_dry);
    const bool is_ok = pk_client_ask(
        client, "POST", pk_client_path(client, "/v1/people/%s/replay", call->argument[0], NULL),
        &body, &answer, err);
    bson_destroy(&body);
    if (!is_ok) {
        return false;
    }
    if (call->is_json) {
        return pk_client_print(answer, err);
    }
    if (is_dry) {
        return print_dry(answer, pk_call_option(call, "--diff") != NULL, err);
    }
    (void)printf("the mindscape is made anew: 'personakit task show %s' says how far it is\n",
                 pk_doc_text(answer, "taskId"));
    return true;
}

static enum pk_exit run_replay(struct pk_call *call, struct pk_error *err)
{
    return pk_person_replay_check(call, err) ? pk_client_run(call, replay, err) : PK_EXIT_USAGE;
}

static const struct pk_cli_option replay_option[] = {
    { "--processor", "ID", "This processor in another version; else each as it ran then." },
    { "--version", "VERSION", "That version; default: the active one." },
    { "--dry-run", NULL, "Only say whether something would change." },
    { "--diff", NULL, "With --dry-run: each thing that would." },
    { "--all", NULL, "Everybody who has sent what the processor takes, in the background." },
    { "--rate", "NUMBER", "With --all: people a second, at most; default: 10." },
    { "--show", NULL, "With --all: only say how far it is." },
    { "--pause", NULL, "With --all: let it rest." },
    { "--resume", NULL, "With --all: let it go on." },
    { "--wait", NULL, "With --all: stay until it is done or rests." },
    PK_CLIENT_OPTIONS,
};

const struct pk_command pk_command_person_replay = {
    .noun = "person",
    .verb = "replay",
    .summary = "make a mindscape anew from its observations",
    .text = "The processors run again as they ran then, in the recorded versions, on the recorded\n"
            "answers of their host; what comes of it is the mindscape that there is. With another\n"
            "version of a processor it is the one that there would have been.\n"
            "\n"
            "With --all, a version of a processor is applied to all people by the server, a few a\n"
            "second; one such run goes on at a time:\n"
            "\n"
            "  personakit person replay --all --processor chat-log --version 1.1.0 --rate 20\n",
    .example = "personakit person replay 0b4f6ad8-6c1f-4a57-9d6e-3b1c2f6f7a10 --processor chat-log "
               "--dry-run --diff",
    .argument = { "[PERSON]" },
    .option = replay_option,
    .option_count = PK_COUNT(replay_option),
    .run = run_replay,
};

/* ---- export ---- */

static const char summary_line[] = "{\"summary\":";

/* What stands on the last line decides whether the export is whole. */
struct exporting {
    char head[sizeof(summary_line) - 1]; /* Of the line that is coming in. */
    size_t head_size;
    bool is_whole;
};

static void follow_lines(struct exporting *exporting, const char *data, size_t size)
{
    for (const char *at = data, *end = data + size; at < end;) {
        const char *line_end = memchr(at, '\n', (size_t)(end - at));
        const char *stop = line_end ? line_end : end;
        for (; at < stop && exporting->head_size < sizeof(exporting->head); at++) {
            exporting->head[exporting->head_size++] = *at;
        }
        if (line_end) {
            exporting->is_whole =
                exporting->head_size == sizeof(exporting->head) &&
                memcmp(exporting->head, summary_line, sizeof(exporting->head)) == 0;
            exporting->head_size = 0;
        }
        at = line_end ? line_end + 1 : end;
    }
}

static bool print_piece(void *context, const void *data, size_t size, struct pk_error *err)
{
    follow_lines(context, data, size);
    return fwrite(data, 1, size, stdout) == size ||
           pk_fail(err, PK_FULL, "make room where the output goes", "cannot write: %s",
                   strerror(errno));
}

static bool export(struct pk_client *client, struct pk_error *err)
{
    struct exporting exporting = { .is_whole = false };
    const char *path =
        pk_client_path(client, "/v1/people/%s/export", client->call->argument[0], NULL);
    if (!pk_client_stream(client, path, "application/x-ndjson", print_piece, &exporting, err)) {
        return false;
    }
    if (fflush(stdout) != 0) {
        return pk_fail(err, PK_FULL, "make room where the output goes", "cannot write: %s",
                       strerror(errno));
    }
    return exporting.is_whole ||
           pk_fail(err, PK_UNAVAILABLE, "its last line says why; export again",
                   "the export broke off: it is not whole");
}

static enum pk_exit run_export(struct pk_call *call, struct pk_error *err)
{
    return pk_client_run(call, export, err);
}

static const struct pk_cli_option export_option[] = { PK_CLIENT_OPTIONS };

const struct pk_command pk_command_person_export = {
    .noun = "person",
    .verb = "export",
    .summary = "write everything there is of a person",
    .text =
        "One document a line (JSON Lines), as {\"collection\", \"document\"}; the last line is\n"
        "{\"summary\"} with counts. An export that broke off ends with an error.\n",
    .example = "personakit person export 0b4f6ad8-6c1f-4a57-9d6e-3b1c2f6f7a10 > person.jsonl",
    .argument = { "PERSON" },
    .option = export_option,
    .option_count = PK_COUNT(export_option),
    .run = run_export,
};

/* ---- erase ---- */

static bool erase(struct pk_client *client, struct pk_error *err)
{
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *answer = NULL;
    const struct pk_call *call = client->call;
    if (!pk_call_confirm(call, "Erase everything there is of this person, for good?", err) ||
        !pk_client_ask(
            client, "DELETE",
            pk_client_path(client, "/v1/people/%s?wait=processed", call->argument[0], NULL), NULL,
            &answer, err)) {
        return false;
    }
    if (call->is_json) {
        return pk_client_print(answer, err);
    }
    if (pk_doc_date(answer, "completedAt", 0) || pk_doc_text(answer, "completedAt")) {
        const char *until = pk_doc_text(answer, "backupsUntil");
        (void)printf("erased; the receipt is task %s\n", pk_doc_text(answer, "taskId"));
        if (until) {
            (void)printf("backups made before may hold the person until %.10s: delete older ones\n",
                         until);
        }
    } else {
        (void)printf("it is being erased: 'personakit task show %s' says how far it is\n",
                     pk_doc_text(answer, "taskId"));
    }
    return true;
}

static enum pk_exit run_erase(struct pk_call *call, struct pk_error *err)
{
    return pk_client_run(call, erase, err);
}

static const struct pk_cli_option erase_option[] = {
    { "--yes", NULL, "Do not ask whether it is meant." },
    PK_CLIENT_OPTIONS,
};

const struct pk_command pk_command_person_erase = {
    .noun = "person",
    .verb = "erase",
    .summary = "erase a person, everywhere and for good",
    .text =
        "Everything that is stored of the person is deleted; what was asked for can not be taken\n"
        "back. Nothing more is accepted of the person from then on. Asking again shows the\n"
        "receipt. Away from a terminal, --yes says that it is meant.\n",
    .example = "personakit person erase 0b4f6ad8-6c1f-4a57-9d6e-3b1c2f6f7a10 --yes",
    .argument = { "PERSON" },
    .option = erase_option,
    .option_count = PK_COUNT(erase_option),
    .run = run_erase,
};
