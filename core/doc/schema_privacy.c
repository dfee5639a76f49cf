/* schema_privacy.c - Erasing a person and what is left to say of it, over HTTP. */
/* SPDX-License-Identifier: MIT */
#include "doc/schema_privacy.h"

#include "doc/schema_tables.h"

static const struct pk_field erased_item = ROW_COUNT(NULL, OPT, "So many documents.");
static const struct pk_field erasure_field[] = {
    ROW_UUID("taskId", REQ, "The task that erases: /v1/tasks/{taskId}; its audit row names it."),
    ROW_DATE("erasedAt", REQ, "When it was asked for; nothing of the person is taken since."),
    ROW_DATE("completedAt", OPT, "When a pass had found nothing more; absent until then."),
    ROW_MAP("counts", REQ, LIST_SOME, &erased_item, "Documents deleted so far, by collection."),
};
const struct pk_schema pk_schema_erasure_view = {
    .name = "Erasure",
    FIELDS(erasure_field),
    .help = "The receipt of an erasure: how far it is, and how much was deleted.",
};
