/* task.c - 'personakit task ...': work that waits, and what becomes of it. */
/* SPDX-License-Identifier: MIT */
#include "base/alloc.h"
#include "base/arena.h"
#include "cli/client.h"
#include "cli/table.h"
#include "doc/doc.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* ---- list ---- */

/* The first line of why it failed, as long as a table bears. */
static const char *short_error(const struct pk_client *client, const struct pk_doc *task)
{
    const char *text = pk_doc_text(task, "lastError");
    enum { WIDTH = 60 };
    return text && strlen(text) > WIDTH
               ? pk_arena_printf(&client->call->arena, "%.*s...", WIDTH, text)
               : text;
}

struct view {
    struct pk_table table;
    const struct pk_client *client;
};

static bool add_row(void *context, const struct pk_doc *task, struct pk_error *err)
{
    struct view *view = context;
    char number[24];
    char time[PK_TABLE_TIME];
    (void)err;
    (void)snprintf(number, sizeof(number), "%" PRId64, pk_doc_int(task, "attempts", 0));
    pk_table_add(&view->table, pk_doc_text(task, "taskId"));
    pk_table_add(&view->table, pk_doc_text(task, "taskType"));
    pk_table_add(&view->table, pk_doc_text(task, "status"));
    pk_table_add(&view->table, number);
    pk_table_add(&view->table, pk_table_time(pk_doc_text(task, "runAfter"), time));
    pk_table_add(&view->table, pk_doc_text(task, "personId"));
    pk_table_add(&view->table, short_error(view->client, task));
    return true;
}

/* "/v1/admin/outbox?status=failed&..." */
static const char *list_path(struct pk_client *client)
{
    static const char *const filter[] = { "status", "type", "person" };
    const char *path = "/v1/admin/outbox";
    char between = '?';
    for (size_t i = 0; i < PK_COUNT(filter); i++) {
        char option[16];
        (void)snprintf(option, sizeof(option), "--%s", filter[i]);
        const char *value = pk_call_option(client->call, option);
        if (value) {
            path = pk_arena_printf(&client->call->arena, "%s%c%s=%s", path, between, filter[i],
                                   pk_client_path(client, "%s", value, NULL));
            between = '&';
        }
    }
    return path;
}

static bool list(struct pk_client *client, struct pk_error *err)
{
    static const char *const heading[] = { "TASK",      "TYPE",   "STATUS",    "TRIES",
                                           "DUE (UTC)", "PERSON", "LAST ERROR" };
    const char *path = list_path(client);
    if (client->call->is_json) {
        return pk_client_print_list(client, path, err);
    }
    struct view view = { .client = client };
    pk_table_init(&view.table, heading, PK_COUNT(heading));
    const bool is_ok = pk_client_list(client, path, add_row, &view, err);
    if (is_ok && view.table.cell_count == view.table.columns) {
        (void)printf("no such tasks\n");
    } else if (is_ok) {
        pk_table_print(&view.table);
    }
    pk_table_done(&view.table);
    return is_ok;
}

/* ---- show ---- */

static bool show(struct pk_client *client, struct pk_error *err)
{
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *task = NULL;
    return pk_client_ask(client, "GET",
                         pk_client_path(client, "/v1/tasks/%s", client->call->argument[0], NULL),
                         NULL, &task, err) &&
           pk_client_print(task, err);
}

/* ---- retry, discard ---- */

static bool decide(struct pk_client *client, const char *format, const char *done,
                   struct pk_error *err)
{
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *task = NULL;
    if (!pk_client_ask(client, "POST",
                       pk_client_path(client, format, client->call->argument[0], NULL), NULL, &task,
                       err)) {
        return false;
    }
    if (client->call->is_json) {
        return pk_client_print(task, err);
    }
    (void)printf("%s\n", done);
    return true;
}

static bool retry(struct pk_client *client, struct pk_error *err)
{
    return decide(client, "/v1/admin/outbox/%s/retry",
                  "it is tried again; 'personakit task show' says what came of it", err);
}

static bool discard(struct pk_client *client, struct pk_error *err)
{
    PK_CLEANUP(pk_freep)
    char *question = pk_strdupf("Give up the task '%.40s'? It will never have its effect.",
                                client->call->argument[0]);
    return pk_call_confirm(client->call, question, err) &&
           decide(client, "/v1/admin/outbox/%s/discard",
                  "given up; those that waited behind it go on", err);
}

/* ---- The commands ---- */

static enum pk_exit run_list(struct pk_call *call, struct pk_error *err)
{
    return pk_client_run(call, list, err);
}

static enum pk_exit run_show(struct pk_call *call, struct pk_error *err)
{
    return pk_client_run(call, show, err);
}

static enum pk_exit run_retry(struct pk_call *call, struct pk_error *err)
{
    return pk_client_run(call, retry, err);
}

static enum pk_exit run_discard(struct pk_call *call, struct pk_error *err)
{
    return pk_client_run(call, discard, err);
}

static const struct pk_cli_option list_option[] = {
    { "--status", "STATUS", "pending, in_progress, done, failed or discarded." },
    { "--type", "TYPE", "Only tasks of this type: process_observation." },
    { "--person", "PERSON", "Only tasks of the person with this id." },
    PK_CLIENT_OPTIONS,
};
static const struct pk_cli_option client_option[] = { PK_CLIENT_OPTIONS };
static const struct pk_cli_option discard_option[] = {
    { "--yes", NULL, "Do not ask whether it is meant." },
    PK_CLIENT_OPTIONS,
};

const struct pk_command pk_command_task_list = {
    .noun = "task",
    .verb = "list",
    .summary = "list work that waits, is done or has failed",
    .text = "Tasks are what an accepted change still has to cause. One that fails is tried again,\n"
            "ever later; after its last attempt it is 'failed', and stays until it is retried or\n"
            "discarded.\n",
    .example = "personakit task list --status failed",
    .option = list_option,
    .option_count = PK_COUNT(list_option),
    .run = run_list,
};
const struct pk_command pk_command_task_show = {
    .noun = "task",
    .verb = "show",
    .summary = "show a task: how far it is, and why it failed",
    .text = "Everybody may see the tasks that he asked for himself; operators see all.\n",
    .example = "personakit task show 0b4f6ad8-6c1f-4a57-9d6e-3b1c2f6f7a10",
    .argument = { "TASK" },
    .option = client_option,
    .option_count = PK_COUNT(client_option),
    .run = run_show,
};
const struct pk_command pk_command_task_retry = {
    .noun = "task",
    .verb = "retry",
    .summary = "try a failed task again",
    .text = "It has all its attempts again. A task that waits for its next attempt is tried now.\n",
    .example = "personakit task retry 0b4f6ad8-6c1f-4a57-9d6e-3b1c2f6f7a10",
    .argument = { "TASK" },
    .option = client_option,
    .option_count = PK_COUNT(client_option),
    .run = run_retry,
};
const struct pk_command pk_command_task_discard = {
    .noun = "task",
    .verb = "discard",
    .summary = "give a task up for good",
    .text = "It will never have its effect; those that waited behind it go on. One that is under\n"
            "way loses its lease and writes nothing any more. The audit keeps who did it. Away\n"
            "from a terminal, --yes says that it is meant.\n",
    .example = "personakit task discard 0b4f6ad8-6c1f-4a57-9d6e-3b1c2f6f7a10 --yes",
    .argument = { "TASK" },
    .option = discard_option,
    .option_count = PK_COUNT(discard_option),
    .run = run_discard,
};
