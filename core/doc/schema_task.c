/* schema_task.c - What a task of the outbox looks like over HTTP. */
/* SPDX-License-Identifier: MIT */
#include "doc/schema_task.h"

#include "doc/schema_tables.h"

const char *const pk_task_status[] = {
    "pending", "in_progress", "done", "failed", "discarded", NULL
};

static const struct pk_field view_field[] = {
    ROW_UUID("taskId", REQ, "Its id."),
    ROW_NAME("taskType", REQ, "What is to be done: 'process_observation'."),
    ROW_UUID("personId", OPT, "The person whose order it keeps."),
    ROW_UUID("actorId", OPT, "The actor who asked for it."),
    ROW_FREE("payload", REQ, "What it is done with: ids."),
    ROW_ENUM("status", REQ, pk_task_status, "How far it has got."),
    ROW_COUNT("attempts", REQ, "How often it was tried."),
    ROW_TEXT("lastError", OPT, TEXT_PAGE, "Why it failed the last time, and what helps."),
    ROW_DATE("runAfter", REQ, "Not before this instant."),
    ROW_TEXT("leaseOwner", OPT, TEXT_WORD, "The node that works on it."),
    ROW_DATE("leaseUntil", OPT, "When another node may take it."),
    ROW_UNIT("progress", OPT, "How much of it is done, of long work."),
    ROW_DATE("completedAt", OPT, "When it was done, has failed or was given up."),
    ROW_DATE("createdAt", REQ, "When it was asked for."),
    ROW_DATE("updatedAt", REQ, "When it last changed."),
    ROW_DATE("expiresAt", OPT, "When it is forgotten."),
};
const struct pk_schema pk_schema_task_view = {
    .name = "Task",
    FIELDS(view_field),
    .help = "Work that is done once, after the change that asked for it.",
};
