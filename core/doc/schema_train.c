/* schema_train.c - Training of mappers, over HTTP: the body and the answer. */
/* SPDX-License-Identifier: MIT */
#include "doc/schema_train.h"

#include "doc/schema_tables.h"

static const struct pk_field train_field[] = {
    ROW_STRING("version", PK_FORMAT_SEMVER, OPT,
               "The version to train from; default: the active one, or the newest."),
    ROW_DATE("since", OPT, "Only feedback that came since then; default: all that waits."),
    ROW_BOOL("dryRun", OPT, "Only say what would change."),
};
const struct pk_schema pk_schema_train = {
    .name = "TrainMapper",
    FIELDS(train_field),
    .help = "How a mapper shall learn from feedback.",
};

static const char *const change_kind[] = {
    "off", "priority", "minConfidence", "text", "value", NULL
};
static const struct pk_field change_field[] = {
    ROW_TEXT("ruleId", OPT, TEXT_WORD * 2, "The rule; or 'setting'."),
    ROW_TEXT("setting", OPT, TEXT_PAGE, "The setting."),
    ROW_ENUM("field", REQ, change_kind, "What of it; 'value' of a setting."),
    ROW_FREE("value", REQ | PK_FIELD_NULLABLE, "What it becomes."),
    ROW_FREE("before", OPT | PK_FIELD_NULLABLE, "What it was, where that is said anywhere."),
    ROW_NUMBER("weight", REQ, -COUNT_MAX, COUNT_MAX,
               "What speaks for it, less what speaks against it; 1 is enough."),
    ROW_COUNT("feedback", REQ, "How many feedback propose this value."),
    ROW_TEXT("why", OPT, TEXT_LINE, "Why it is not made; absent: it is."),
};
static const struct pk_schema change_schema = {
    .name = "TrainingChange",
    FIELDS(change_field),
    .help = "One thing of a mapper that feedback speaks of.",
};
static const struct pk_field change_item = ROW_OBJECT(NULL, OPT, &change_schema, "A change.");

static const char *const status[] = { "none", "running", "done", "failed", NULL };
static const struct pk_field view_field[] = {
    ROW_STRING("mapperId", PK_FORMAT_SCRIPT_ID, REQ, "The mapper."),
    ROW_BOOL("dryRun", REQ, "Whether nothing was written."),
    ROW_ENUM("status", REQ, status, "How the last training stands; of a dry run: none."),
    ROW_UUID("taskId", OPT, "Its task: /v1/tasks/{taskId}."),
    ROW_TEXT("askedBy", OPT, TEXT_WORD, "The actor who asked for it."),
    ROW_STRING("parentVersion", PK_FORMAT_SEMVER, OPT, "The version that it is trained from."),
    ROW_STRING("version", PK_FORMAT_SEMVER, OPT,
               "The draft that came of it; absent: there was nothing to be learned (yet)."),
    ROW_DATE("since", OPT, "Only feedback since then was looked at."),
    ROW_COUNT("samples", OPT, "Feedback that was looked at."),
    ROW_COUNT("incorporated", OPT, "Of it: weighed in a change; 0 of a dry run."),
    ROW_COUNT("failures", OPT, "Of it: a processor failed, so it waits for the next training."),
    ROW_TEXT("problem", OPT, TEXT_LINE, "The first such failure, or why there is no draft."),
    ROW_ARRAY("changes", OPT, LIST_SOME, &change_item, "What is changed."),
    ROW_ARRAY("open", OPT, LIST_SOME, &change_item, "What is proposed, and not changed."),
    ROW_DATE("startedAt", OPT, "When it was asked for."),
    ROW_DATE("completedAt", OPT, "When it was done."),
};
const struct pk_schema pk_schema_training_view = {
    .name = "Training",
    FIELDS(view_field),
    .help = "What a mapper learns, or has learnt last, from feedback.",
};
