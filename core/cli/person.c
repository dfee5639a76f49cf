/* person.c - 'personakit person ...': what is done to all that is known of one. */
/* SPDX-License-Identifier: MIT */
#include "base/alloc.h"
#include "base/buf.h"
#include "cli/client.h"
#include "doc/doc.h"
#include "doc/json.h"
#include "doc/path.h"

#include <inttypes.h>
#include <stdio.h>

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

static bool print_dry(const struct pk_doc *answer, struct pk_error *err)
{
    bson_t view;
    bson_iter_t list, each;
    pk_doc_view(answer, &view);
    if (pk_path_find(&view, "differences", &list) && bson_iter_recurse(&list, &each)) {
        while (bson_iter_next(&each)) {
            if (!print_difference(&each, err)) {
                return false;
            }
        }
    }
    (void)printf("%" PRId64 " observations replayed, nothing was changed%s\n",
                 pk_doc_int(answer, "observations", 0),
                 pk_doc_bool(answer, "isSame", false) ? "; it would all stay as it is" : "");
    return true;
}

static bool replay(struct pk_client *client, struct pk_error *err)
{
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *answer = NULL;
    const struct pk_call *call = client->call;
    const bool is_dry = pk_call_option(call, "--dry-run") != NULL;
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
        return print_dry(answer, err);
    }
    (void)printf("the mindscape is made anew: 'personakit task show %s' says how far it is\n",
                 pk_doc_text(answer, "taskId"));
    return true;
}

static enum pk_exit run_replay(struct pk_call *call, struct pk_error *err)
{
    return pk_client_run(call, replay, err);
}

static const struct pk_cli_option replay_option[] = {
    { "--processor", "ID", "This processor in another version; else each as it ran then." },
    { "--version", "VERSION", "That version; default: the active one." },
    { "--dry-run", NULL, "Only show what would change." },
    PK_CLIENT_OPTIONS,
};

const struct pk_command pk_command_person_replay = {
    .noun = "person",
    .verb = "replay",
    .summary = "make a mindscape anew from its observations",
    .text = "The processors run again as they ran then, in the recorded versions, on the recorded\n"
            "answers of their host; what comes of it is the mindscape that there is. With another\n"
            "version of a processor it is the one that there would have been.\n",
    .example = "personakit person replay 0b4f6ad8-6c1f-4a57-9d6e-3b1c2f6f7a10 --processor chat_log "
               "--dry-run",
    .argument = { "PERSON" },
    .option = replay_option,
    .option_count = PK_COUNT(replay_option),
    .run = run_replay,
};
