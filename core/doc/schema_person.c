/* schema_person.c - The person: ids elsewhere, merges, consents, and the tombstone. */
/* SPDX-License-Identifier: MIT */
#include "doc/schema_tables.h"

/* ---- people ---- */

static const struct pk_field external_field[] = {
    ROW_NAME("source", REQ, "Who gave the id: 'slack'."),
    ROW_TEXT("id", REQ, TEXT_WORD, "The id there."),
    ROW_TEXT("key", REQ, 402, "<source>:<id>, which the index holds."),
};
static const struct pk_schema external_schema = {
    .name = "ExternalId",
    FIELDS(external_field),
    .help = "What another system calls the person.",
};
static const struct pk_field external_item = ROW_OBJECT(NULL, OPT, &external_schema, "One id.");

static const char *const merge_status[] = { "merging", "merged", "undoing", "undone", NULL };
static const struct pk_field merge_field[] = {
    ROW_UUID("mergeId", REQ, "The merge: what undo names."),
    ROW_UUID("personId", REQ, "The other person."),
    ROW_ENUM("status", REQ, merge_status, "How far it has got."),
    ROW_TEXT("mergedBy", REQ, TEXT_WORD, "The actor who asked for it."),
    ROW_DATE("mergedAt", REQ, "When it was asked for."),
    ROW_TEXT("reason", OPT, TEXT_LINE, "Why they are one."),
    ROW_UUID("taskId", REQ, "The task that merges, or undoes it."),
    ROW_TEXT("undoneBy", OPT, TEXT_WORD, "The actor who asked for its end."),
    ROW_DATE("undoneAt", OPT, "When that was asked for."),
    ROW_COUNT("top", OPT, "The greatest place in the common order."),
    ROW_COUNT("version", OPT, "Of the other's mindscape, which the merge took away."),
    ROW_DATE("knownAt", OPT, "When that mindscape was created."),
};
static const struct pk_schema merge_schema = {
    .name = "Merge",
    FIELDS(merge_field),
    .help = "Another person found to be the same one.",
};
static const struct pk_field merge_item = ROW_OBJECT(NULL, OPT, &merge_schema, "One merge.");

static const struct pk_field person_field[] = {
    ROW_UUID("_id", REQ, "The person."),
    { .name = "externalIds",
      .type = PK_TYPE_ARRAY,
      .min = 1,
      .max = LIST_SOME,
      .item = &external_item,
      .help = "What other systems call the person; absent when nothing." },
    ROW_UUID("mergedInto", OPT, "The person whom this one was merged into."),
    ROW_ARRAY("merges", OPT, LIST_SOME, &merge_item, "People merged into this one."),
    ROW_COUNT("storedBytes", OPT, "What the person's documents take, for 'person.max_bytes'."),
    ROW_DATE("createdAt", REQ, "When the person became known."),
    ROW_DATE("updatedAt", REQ, "When this last changed."),
};
const struct pk_schema pk_schema_person = {
    .name = "Person",
    FIELDS(person_field),
    .help = "A person, with ids elsewhere.",
};

/* ---- consents ---- */

static const char *const consent_status[] = { "granted", "withdrawn", NULL };
static const struct pk_field consent_field[] = {
    ROW_TEXT("_id", REQ, 300, "<person>:<purpose>."),
    ROW_UUID("userId", REQ, "The person."),
    ROW_NAME("purpose", REQ, "What the data may be used for."),
    ROW_ENUM("status", REQ, consent_status, "Whether it may."),
    ROW_DATE("validFrom", OPT, "From when on."),
    ROW_DATE("validUntil", OPT, "Until when."),
    ROW_DATE("grantedAt", OPT, "When it was granted."),
    ROW_DATE("withdrawnAt", OPT, "When it was withdrawn."),
    ROW_TEXT("recordedBy", OPT, TEXT_WORD, "The actor who recorded it."),
    ROW_TEXT("evidence", OPT, TEXT_LINE, "Where the person said so."),
    ROW_FREE("own", OPT, "What was recorded of the person alone, before a merge; {}: nothing."),
    ROW_DATE("createdAt", REQ, "When it was first recorded."),
    ROW_DATE("updatedAt", REQ, "When it last changed."),
};

static void check_consent(const bson_t *doc, const char *path, struct pk_faults *faults)
{
    const char *part[] = { pk_rule_text(doc, "userId"), pk_rule_text(doc, "purpose") };
    if (part[0] && part[1]) {
        pk_rule_joined_id(doc, path, part, 2, faults);
    }
}

const struct pk_schema pk_schema_consent = {
    .name = "Consent",
    FIELDS(consent_field),
    .rule = check_consent,
    .help = "What a person's data may be used for.",
};

/* ---- tombstones ---- */

static const struct pk_field erased_item = ROW_COUNT(NULL, OPT, "So many documents.");
static const struct pk_field merged_item = ROW_UUID(NULL, OPT, "A person.");
static const struct pk_field tombstone_field[] = {
    ROW_UUID("_id", REQ, "The bare id of the person who was erased."),
    ROW_UUID("taskId", OPT, "The task that erases."),
    ROW_DATE("erasedAt", OPT, "When erasure began; absent while merged only. Nothing is accepted."),
    ROW_UUID("mergedInto", OPT, "The person whom this id was merged into."),
    ROW_ARRAY("merged", OPT, LIST_SOME, &merged_item, "Ids merged into the person, erased too."),
    ROW_DATE("completedAt", OPT, "When a pass had found nothing more."),
    ROW_DATE("backupsUntil", OPT, "Until when a backup made before may still hold the person."),
    ROW_MAP("counts", OPT, LIST_SOME, &erased_item, "Documents deleted so far, by collection."),
    ROW_DATE("expiresAt", REQ, "When every device has heard of it: the sync horizon."),
};
const struct pk_schema pk_schema_tombstone = {
    .name = "Tombstone",
    FIELDS(tombstone_field),
    .help = "An id under which nothing is accepted: its person was erased, or is another one.",
};
