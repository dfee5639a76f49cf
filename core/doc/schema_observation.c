/* schema_observation.c - Facts as they came in, and what processors made of them.
 *
 * An observation never changes but for its status, approval and 'seq'; what a
 * processor answered lies beside it, so that a replay is exact. */
/* SPDX-License-Identifier: MIT */
#include "doc/schema_tables.h"

#include <string.h>

/* ---- observations ---- */

static const char *const media_type[] = { "image", "audio", "video", "document", NULL };
static const struct pk_field media_field[] = {
    ROW_TEXT("attachmentId", REQ, TEXT_WORD, "Its id."),
    ROW_ENUM("type", REQ, media_type, "What sort of file it is."),
    ROW_TEXT("url", REQ, TEXT_LINE, "Where it lies."),
    ROW_TEXT("mimeType", REQ, TEXT_WORD, "Its media type, as in 'image/png'."),
    ROW_COUNT("size", REQ, "Bytes."),
    ROW_MAP("metadata", OPT, MAP_ENTRIES, &pk_item_free, "Whatever else is known of it."),
};
static const struct pk_schema media_schema = {
    .name = "MediaAttachment",
    FIELDS(media_field),
    .help = "A file that belongs to an observation.",
};
const struct pk_field pk_item_media = ROW_OBJECT(NULL, OPT, &media_schema, "A file.");

static const struct pk_field source_field[] = {
    ROW_TEXT("source", REQ, TEXT_WORD, "Where it comes from: 'slack', 'email', 'mbti_assessment'."),
    ROW_DATE("timestamp", OPT, "When it happened, if the source says so."),
    ROW_TEXT("location", OPT, TEXT_LINE, "Where it happened."),
    ROW_ARRAY("participants", OPT, LIST_LONG, &pk_item_word, "Who took part."),
    ROW_TEXT("documentType", OPT, TEXT_WORD, "For documents: what sort."),
    ROW_TEXT("assessmentType", OPT, TEXT_WORD, "For assessments: 'mbti', 'disc', 'enneagram'."),
};
const struct pk_schema pk_schema_source = {
    .name = "SourceMetadata",
    FIELDS(source_field),
    .is_open = true,
    .help = "Where an observation comes from; further fields are kept as they are.",
};

static const struct pk_field content_field[] = {
    ROW_TEXT("raw", REQ, TEXT_RAW, "The original, or the canonical JSON of 'structured'."),
    ROW_FREE("structured", OPT, "The same, parsed: what processors read."),
    ROW_ARRAY("mediaAttachments", OPT, LIST_SOME, &pk_item_media, "Files that belong to it."),
};
const struct pk_schema pk_schema_content = {
    .name = "ObservationContent",
    FIELDS(content_field),
    .help = "What was observed.",
};

static const struct pk_field approval_field[] = {
    ROW_TEXT("approvedBy", OPT, TEXT_WORD, "The actor who approved it."),
    ROW_TEXT("policy", OPT, TEXT_WORD, "The policy that approved it without asking anybody."),
    ROW_DATE("approvedAt", OPT, "When it was approved."),
    ROW_TEXT("rejectionReason", OPT, TEXT_LINE, "Why it was rejected."),
};
const struct pk_schema pk_schema_approval = {
    .name = "ApprovalMetadata",
    FIELDS(approval_field),
    .help = "Who let it in, or why not.",
};

/* Others are accepted when a loaded processor takes them. */
const char *const pk_observation_type[] = {
    "chat_log",     "document",   "interview",      "assessment", "api_import",
    "work_session", "user_input", "calendar_event", "curation",   NULL,
};
const char *const pk_observation_status[] = { "pending", "approved", "processed", "rejected",
                                              NULL };

static const struct pk_field observation_field[] = {
    ROW_UUID("_id", REQ, "Its id."),
    ROW_UUID("userId", REQ, "The person it is about."),
    ROW_UUID("mergedFrom", OPT, "Whose it was before people were merged."),
    { .name = "sourceType",
      .type = PK_TYPE_STRING,
      .format = PK_FORMAT_NAME,
      .flags = PK_FIELD_REQUIRED | PK_FIELD_OPEN_ENUM,
      .max = TEXT_WORD,
      .allowed = pk_observation_type,
      .help = "What sort of observation it is; which processors run is decided by it." },
    ROW_OBJECT("sourceMetadata", REQ, &pk_schema_source, "Where it comes from."),
    ROW_OBJECT("content", REQ, &pk_schema_content, "What was observed."),
    ROW_ENUM("processingStatus", REQ, pk_observation_status, "How far it has got."),
    ROW_OBJECT("approvalMetadata", REQ, &pk_schema_approval, "Who let it in, or why not."),
    ROW_DATE("effectiveAt", REQ, "The instant that all arithmetic with it uses."),
    ROW_INT("seq", OPT, 1, COUNT_MAX, "Its place in the person's order, given when processed."),
    ROW_DATE("createdAt", REQ, "When it was accepted."),
    ROW_TEXT("createdBy", OPT, TEXT_WORD, "The actor who sent it."),
    ROW_DATE("updatedAt", REQ, "When its status last changed."),
    ROW_COUNT("version", REQ, "Raised with every change of status; for If-Match."),
};

/* What is approved was approved by somebody, or by a policy. */
static void check_observation(const bson_t *doc, const char *path, struct pk_faults *faults)
{
    const char *status = pk_rule_text(doc, "processingStatus");
    bson_iter_t iter;
    bson_t approval;
    const uint8_t *data;
    uint32_t size;
    if (!status || strcmp(status, "approved") != 0 ||
        !bson_iter_init_find(&iter, doc, "approvalMetadata") || !BSON_ITER_HOLDS_DOCUMENT(&iter)) {
        return;
    }
    bson_iter_document(&iter, &size, &data);
    if (bson_init_static(&approval, data, size) && !pk_rule_has(&approval, "approvedBy") &&
        !pk_rule_has(&approval, "policy")) {
        pk_rule_fault(faults, path, "approvalMetadata.approvedBy",
                      "the approving actor, or 'policy', of an approved observation", "nothing");
    }
}

const struct pk_schema pk_schema_observation = {
    .name = "Observation",
    FIELDS(observation_field),
    .rule = check_observation,
    .help = "A fact about a person, as it came in.",
};

/* ---- processing ---- */

static const struct pk_field answer_field[] = {
    ROW_NAME("question", REQ, "What was asked: a search, an outgoing request."),
    ROW_FREE("input", OPT, "What it was asked with."),
    ROW_FREE("answer", PK_FIELD_NULLABLE, "What the host answered; replay answers the same."),
};
static const struct pk_schema answer_schema = {
    .name = "HostAnswer",
    FIELDS(answer_field),
    .help = "What a processor asked its host, and what it was told.",
};
static const struct pk_field answer_item = ROW_OBJECT(NULL, OPT, &answer_schema, "One answer.");

static const struct pk_field processing_field[] = {
    ROW_TEXT("_id", REQ, 400, "<observation>:<processor>:<version>."),
    ROW_UUID("userId", REQ, "The person."),
    ROW_UUID("mergedFrom", OPT, "Whose it was before people were merged."),
    ROW_UUID("obsId", REQ, "The observation."),
    ROW_STRING("processorId", PK_FORMAT_SCRIPT_ID, REQ, "The processor."),
    ROW_STRING("processorVersion", PK_FORMAT_SEMVER, REQ, "Its version."),
    ROW_STRING("contentHash", PK_FORMAT_HASH, OPT, "The hash of its source."),
    ROW_INT("seq", OPT, 1, COUNT_MAX, "The observation's place in the person's order."),
    ROW_ENUM("status", REQ, pk_allowed_work, "How far it has got."),
    ROW_ARRAY("answers", OPT, LIST_SOME, &answer_item, "What the host answered, in order."),
    ROW_TEXT("error", OPT, TEXT_PAGE, "Why it failed, with file and line."),
    ROW_COUNT("durationMs", OPT, "How long the processor ran."),
    ROW_DATE("createdAt", REQ, "When it was first tried."),
    ROW_DATE("updatedAt", REQ, "When this row last changed."),
};

static void check_processing(const bson_t *doc, const char *path, struct pk_faults *faults)
{
    const char *part[] = { pk_rule_text(doc, "obsId"), pk_rule_text(doc, "processorId"),
                           pk_rule_text(doc, "processorVersion") };
    if (part[0] && part[1] && part[2]) {
        pk_rule_joined_id(doc, path, part, 3, faults);
    }
}

const struct pk_schema pk_schema_processing = {
    .name = "Processing",
    FIELDS(processing_field),
    .rule = check_processing,
    .help = "What one version of a processor made of one observation.",
};
