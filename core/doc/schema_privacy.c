/* schema_privacy.c - Erasing a person and what is left to say of it, over HTTP. */
/* SPDX-License-Identifier: MIT */
#include "doc/schema_privacy.h"

#include "doc/schema_tables.h"

static const struct pk_field erased_item = ROW_COUNT(NULL, OPT, "So many documents.");
static const struct pk_field erasure_field[] = {
    ROW_UUID("taskId", REQ, "The task that erases: /v1/tasks/{taskId}; its audit row names it."),
    ROW_DATE("erasedAt", REQ, "When it was asked for; nothing of the person is taken since."),
    ROW_DATE("completedAt", OPT,
             "When a pass had found nothing more, and the embedded store's "
             "files were clear of it; absent until then."),
    ROW_DATE("backupsUntil", OPT,
             "Until when a backup made before may still hold the person: "
             "older ones are yours to delete (store.retention.backups)."),
    ROW_MAP("counts", REQ, LIST_SOME, &erased_item, "Documents deleted so far, by collection."),
};
const struct pk_schema pk_schema_erasure_view = {
    .name = "Erasure",
    FIELDS(erasure_field),
    .help = "The receipt of an erasure: how far it is, and how much was deleted.",
};

/* ---- Merging ---- */

static const struct pk_field merge_people_field[] = {
    ROW_UUID("from", REQ, "Who is the same as 'into', and is served as that one from then on."),
    ROW_UUID("into", REQ, "The person who stays."),
    ROW_TEXT("reason", OPT, TEXT_LINE, "Why they are one; kept with the merge."),
    ROW_BOOL("dryRun", OPT, "Only say what would move, and where the two disagree."),
};
const struct pk_schema pk_schema_merge_people = {
    .name = "MergePeople",
    FIELDS(merge_people_field),
    .help = "Two people who are one.",
};

static const struct pk_field side_field[] = {
    ROW_FREE("value", PK_FIELD_NULLABLE, "The trait's value."),
    ROW_UNIT("confidence", OPT, "How sure we were of it then."),
    ROW_DATE("updatedAt", OPT, "When it last changed."),
};
static const struct pk_schema side_schema = {
    .name = "MergeSide",
    FIELDS(side_field),
    .help = "A trait of one of the two.",
};
static const struct pk_field conflict_field[] = {
    ROW_TRAIT("path", REQ, "The trait."),
    ROW_OBJECT("from", REQ, &side_schema, "Of who is merged."),
    ROW_OBJECT("into", REQ, &side_schema, "Of who stays."),
};
static const struct pk_schema conflict_schema = {
    .name = "MergeConflict",
    FIELDS(conflict_field),
    .help = "A trait of which the two say different things.",
};
static const struct pk_field conflict_item = ROW_OBJECT(NULL, OPT, &conflict_schema, "One trait.");
static const struct pk_field moved_item = ROW_COUNT(NULL, OPT, "So many documents.");
static const struct pk_field merge_view_field[] = {
    ROW_UUID("mergeId", OPT, "The merge: what undo names."),
    ROW_UUID("taskId", OPT, "The task that carries it out: /v1/tasks/{taskId}."),
    ROW_UUID("partTaskId", OPT,
             "Of an undo: the task behind it, which makes the mindscape of who is parted."),
    ROW_UUID("from", REQ, "Who is merged, or parted again."),
    ROW_UUID("into", REQ, "Who it is merged into."),
    ROW_BOOL("dryRun", REQ, "Whether nothing was done."),
    ROW_MAP("moves", OPT, LIST_SOME, &moved_item, "Documents that would move, by collection."),
    ROW_COUNT("conflictCount", OPT, "Traits of which the two say different things."),
    ROW_ARRAY("conflicts", OPT, LIST_SOME, &conflict_item, "The first of them."),
};
const struct pk_schema pk_schema_merge_view = {
    .name = "MergeView",
    FIELDS(merge_view_field),
    .help = "A merge that was asked for, or its end; or what it would do.",
};
