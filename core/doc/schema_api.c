/* schema_api.c - Bodies of requests and answers that are not documents.
 *
 * Field names are HTTP's. Where a body carries a document ('persona', a
 * mapper's 'data'), its rows are the collection's, in the spelling of names.c;
 * they are not said twice here. */
/* SPDX-License-Identifier: MIT */
#include "doc/inventory.h"
#include "doc/schema_persona.h"
#include "doc/schema_tables.h"

static const struct pk_schema document_schema = {
    .name = "Document",
    .is_open = true,
    .help = "A document of a collection, in the spelling of HTTP.",
};

/* ---- POST /v1/personas/map ---- */

static const struct pk_field map_context_field[] = {
    ROW_TEXT("taskType", OPT, TEXT_WORD, "What sort of task it is for."),
    ROW_TEXT("taskDescription", OPT, TEXT_PAGE, "What is to be done."),
    ROW_ARRAY("requiredSections", OPT, LIST_SOME, &pk_item_word, "Sections that must be there."),
};
static const struct pk_schema map_context_schema = {
    .name = "MapContext",
    FIELDS(map_context_field),
    .is_open = true,
    .help = "What the persona is for; further values are those that the mapper declares.",
};
static const struct pk_field map_request_field[] = {
    ROW_STRING("mapperId", PK_FORMAT_SCRIPT_ID, REQ, "The mapper."),
    ROW_UUID("personaId", REQ, "The person whose mindscape is mapped."),
    ROW_DETAIL("detailLevel", REQ, "How much it shall say."),
    ROW_BOOL("includeStale", OPT, "Whether a cached one that is out of date will do."),
    ROW_BOOL("strict", OPT, "Whether a missing required section is an error, not a warning."),
    ROW_NAME("purpose", OPT, "The purpose that consent is looked up for."),
    ROW_OBJECT("context", OPT, &map_context_schema, "What it is for."),
};
const struct pk_schema pk_schema_map_request = {
    .name = "MapPersonaRequest",
    FIELDS(map_request_field),
    .help = "Asks for a persona.",
};

static const char *const cache_status[] = { "fresh", "stale", "regenerated", NULL };
static const struct pk_field map_cost_field[] = {
    ROW_COUNT("tokens", REQ, "Tokens of all prompts."),
    ROW_NUMBER("dollars", REQ, 0, COUNT_MAX, "Dollars."),
};
static const struct pk_schema map_cost_schema = {
    .name = "MapCost",
    FIELDS(map_cost_field),
    .help = "What it cost.",
};
static const struct pk_field map_metadata_field[] = {
    ROW_NUMBER("generationTime", REQ, 0, COUNT_MAX, "How long it took, in milliseconds."),
    ROW_ENUM("cacheStatus", REQ, cache_status, "Where it came from."),
    ROW_OBJECT("cost", REQ, &map_cost_schema, "What it cost."),
    ROW_ARRAY("warnings", OPT, LIST_SOME, &pk_item_line, "What is missing or doubtful."),
};
static const struct pk_schema map_metadata_schema = {
    .name = "MapMetadata",
    FIELDS(map_metadata_field),
    .help = "How the answer came to be.",
};
static const struct pk_field map_response_field[] = {
    ROW_OBJECT("persona", REQ, &pk_schema_persona_view, "The persona."),
    ROW_OBJECT("metadata", REQ, &map_metadata_schema, "How it came to be."),
};
const struct pk_schema pk_schema_map_response = {
    .name = "MapPersonaResponse",
    FIELDS(map_response_field),
    .help = "A persona.",
};

/* ---- POST /v1/feedback ---- */

static const struct pk_field feedback_request_field[] = {
    { .name = "personaInstanceId",
      .type = PK_TYPE_STRING,
      .flags = PK_FIELD_REQUIRED,
      .min = 1,
      .max = 300,
      .help = "The generation, or the persona's id." },
    ROW_OBJECT("feedback", REQ, &pk_schema_feedback_body, "What is said of it."),
};
const struct pk_schema pk_schema_feedback_request = {
    .name = "SubmitFeedbackRequest",
    FIELDS(feedback_request_field),
    .help = "Says how a persona was.",
};
static const char *const accepted[] = { "accepted", "queued", NULL };
static const struct pk_field feedback_response_field[] = {
    ROW_UUID("feedbackId", REQ, "The id it has now."),
    ROW_ENUM("status", REQ, accepted, "Whether it is counted already."),
    ROW_NUMBER("estimatedProcessingTime", OPT, 0, COUNT_MAX, "Minutes until it is counted."),
};
const struct pk_schema pk_schema_feedback_response = {
    .name = "SubmitFeedbackResponse",
    FIELDS(feedback_response_field),
    .help = "Feedback was taken.",
};

/* ---- POST /v1/sync ---- */

static const char *const sync_type[] = { "mappers", "personas", "mindscapes", NULL };
static const struct pk_field sync_type_item = ROW_ENUM(NULL, OPT, sync_type, "A sort of change.");
static const char *const operation[] = { "observation", "feedback", NULL };
static const struct pk_field upstream_field[] = {
    ROW_UUID("queueId", REQ, "Its id, given by the device."),
    ROW_ENUM("operationType", REQ, operation, "What it is."),
    ROW_FREE("payload", REQ, "The observation or feedback."),
};
static const struct pk_schema upstream_schema = {
    .name = "SyncUpstreamItem",
    FIELDS(upstream_field),
    .help = "Something that the device made.",
};
static const struct pk_field upstream_item = ROW_OBJECT(NULL, OPT, &upstream_schema, "An item.");
static const struct pk_field sync_request_field[] = {
    ROW_NAME("deviceId", REQ, "The device."),
    ROW_DATE("since", REQ, "Changes after this instant are wanted."),
    ROW_ARRAY("includeTypes", REQ, 3, &sync_type_item, "What sorts of changes are wanted."),
    ROW_INT("maxPayloadSize", OPT, 1, COUNT_MAX, "The answer has at most so many bytes."),
    ROW_TEXT("cursor", OPT, 1024, "'nextCursor' of the answer before."),
    ROW_ARRAY("upstream", OPT, LIST_LONG, &upstream_item, "What the device made meanwhile."),
};
const struct pk_schema pk_schema_sync_request = {
    .name = "SyncRequest",
    FIELDS(sync_request_field),
    .help = "Sends what a device made and asks for what has changed.",
};

static const char *const mapper_change[] = { "created", "updated", "deprecated", NULL };
static const struct pk_field mapper_update_field[] = {
    ROW_STRING("mapperId", PK_FORMAT_SCRIPT_ID, REQ, "The mapper."),
    ROW_STRING("version", PK_FORMAT_SEMVER, REQ, "Its version."),
    ROW_ENUM("changeType", REQ, mapper_change, "What happened to it."),
    ROW_OBJECT("data", OPT, &document_schema, "The PersonaMapper, unless deprecated."),
};
const struct pk_schema pk_schema_mapper_update = {
    .name = "MapperUpdate",
    FIELDS(mapper_update_field),
    .help = "A mapper has changed.",
};
static const char *const persona_change[] = { "invalidated", "expired", NULL };
static const struct pk_field persona_update_field[] = {
    ROW_UUID("personaInstanceId", REQ, "The generation."),
    ROW_ENUM("changeType", REQ, persona_change, "What happened to it."),
};
const struct pk_schema pk_schema_persona_update = {
    .name = "PersonaUpdate",
    FIELDS(persona_update_field),
    .help = "A persona is no longer good.",
};
static const char *const mindscape_change[] = { "updated", NULL };
static const struct pk_field mindscape_update_field[] = {
    ROW_UUID("mindscapeId", REQ, "The mindscape: the person's id."),
    ROW_COUNT("version", REQ, "Its version."),
    ROW_ENUM("changeType", REQ, mindscape_change, "What happened to it."),
    ROW_ARRAY("affectedSections", REQ, LIST_LONG, &pk_item_word, "Where in it."),
};
const struct pk_schema pk_schema_mindscape_update = {
    .name = "MindscapeUpdate",
    FIELDS(mindscape_update_field),
    .help = "A mindscape has changed.",
};

static const struct pk_field mapper_update_item =
    ROW_OBJECT(NULL, OPT, &pk_schema_mapper_update, "A mapper.");
static const struct pk_field persona_update_item =
    ROW_OBJECT(NULL, OPT, &pk_schema_persona_update, "A persona.");
static const struct pk_field mindscape_update_item =
    ROW_OBJECT(NULL, OPT, &pk_schema_mindscape_update, "A mindscape.");
static const struct pk_field changes_field[] = {
    ROW_ARRAY("mappers", REQ, LIST_LONG, &mapper_update_item, "Mappers."),
    ROW_ARRAY("personas", REQ, LIST_LONG, &persona_update_item, "Personas."),
    ROW_ARRAY("mindscapes", REQ, LIST_LONG, &mindscape_update_item, "Mindscapes."),
};
static const struct pk_schema changes_schema = {
    .name = "SyncChanges",
    FIELDS(changes_field),
    .help = "What has changed.",
};
static const char *const item_outcome[] = { "completed", "pending", "failed", NULL };
static const struct pk_field result_field[] = {
    ROW_UUID("queueId", REQ, "The item."),
    ROW_ENUM("status", REQ, item_outcome, "What became of it."),
    ROW_TEXT("error", OPT, TEXT_LINE, "Why it failed."),
};
static const struct pk_schema result_schema = {
    .name = "SyncUpstreamResult",
    FIELDS(result_field),
    .help = "What became of something that the device made.",
};
static const struct pk_field result_item = ROW_OBJECT(NULL, OPT, &result_schema, "A result.");
static const struct pk_field sync_response_field[] = {
    ROW_DATE("timestamp", REQ, "The next request's 'since'."),
    ROW_OBJECT("changes", REQ, &changes_schema, "What has changed."),
    ROW_BOOL("hasMore", REQ, "Whether there is more to fetch."),
    ROW_TEXT("nextCursor", OPT, 1024, "Where to go on."),
    ROW_ARRAY("upstream", OPT, LIST_LONG, &result_item, "What became of the items sent."),
};
const struct pk_schema pk_schema_sync_response = {
    .name = "SyncResponse",
    FIELDS(sync_response_field),
    .help = "What has changed since.",
};

static const struct pk_schema *const schemas[] = {
    &pk_schema_map_request,       &pk_schema_map_response,   &pk_schema_feedback_request,
    &pk_schema_feedback_response, &pk_schema_sync_request,   &pk_schema_sync_response,
    &pk_schema_mapper_update,     &pk_schema_persona_update, &pk_schema_mindscape_update,
};

const struct pk_schema *const *pk_schemas(size_t *out_count)
{
    *out_count = sizeof(schemas) / sizeof(schemas[0]);
    return schemas;
}
