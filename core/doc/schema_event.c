/* schema_event.c - What must happen later, what happened, and who is told outside. */
/* SPDX-License-Identifier: MIT */
#include "doc/schema_tables.h"
#include "doc/schema_task.h"

/* ---- outbox ---- */

static const struct pk_field task_field[] = {
    ROW_UUID("_id", REQ, "Its id."),
    ROW_NAME("taskType", REQ, "What is to be done: 'process_observation', 'refresh_persona'."),
    ROW_UUID("userId", OPT, "The person whose order it keeps."),
    ROW_UUID("actorId", OPT, "The actor who asked for it."),
    ROW_FREE("payload", REQ, "What it is done with."),
    ROW_ENUM("status", REQ, pk_task_status, "How far it has got."),
    ROW_COUNT("attempts", REQ, "How often it was tried."),
    ROW_TEXT("lastError", OPT, TEXT_PAGE, "Why it failed the last time."),
    ROW_DATE("runAfter", REQ, "Not before this instant."),
    ROW_TEXT("leaseOwner", OPT, TEXT_WORD, "The node that works on it."),
    ROW_DATE("leaseUntil", OPT, "When another node may take it."),
    ROW_UNIT("progress", OPT, "How much of it is done."),
    ROW_DATE("completedAt", OPT, "When it was done, has failed or was given up."),
    ROW_DATE("createdAt", REQ, "When it was asked for."),
    ROW_DATE("updatedAt", REQ, "When it last changed."),
    ROW_DATE("expiresAt", OPT, "When it is forgotten; set once it is done or given up."),
};
const struct pk_schema pk_schema_outbox_task = {
    .name = "OutboxTask",
    FIELDS(task_field),
    .help = "Work that is done once, after the change that asked for it.",
};

/* ---- events ---- */

static const struct pk_field change_field[] = {
    ROW_ARRAY("paths", OPT, LIST_HUGE, &pk_item_word, "Paths that changed."),
    ROW_COUNT("version", OPT, "The version after it."),
};
static const struct pk_schema change_schema = {
    .name = "EventChanges",
    FIELDS(change_field),
    .is_open = true,
    .help = "What changed: paths and versions, never values.",
};
static const struct pk_field payload_field[] = {
    ROW_TEXT("entityId", REQ, 512, "The id of what changed."),
    ROW_NAME("entityType", REQ, "What it is."),
    ROW_OBJECT("changes", OPT, &change_schema, "What changed in it."),
    ROW_MAP("metadata", OPT, LIST_SOME, &pk_item_free, "Further ids."),
};
static const struct pk_schema payload_schema = {
    .name = "EventPayload",
    FIELDS(payload_field),
    .help = "What an event is about.",
};
static const struct pk_field origin_field[] = {
    ROW_TEXT("service", REQ, TEXT_WORD, "The part of the server."),
    ROW_TEXT("version", REQ, TEXT_WORD, "The program's version."),
    ROW_TEXT("instance", REQ, TEXT_WORD, "The node."),
};
static const struct pk_schema origin_schema = {
    .name = "EventSource",
    FIELDS(origin_field),
    .help = "Who says so.",
};

/* Those that the specification names; the server and plugins have further ones. */
static const char *const event_type[] = {
    "mindscape.updated",
    "mindscape.processing.started",
    "mindscape.processing.completed",
    "persona.generated",
    "persona.accessed",
    "persona.expired",
    "mapper.created",
    "mapper.updated",
    "mapper.training.completed",
    "feedback.received",
    "feedback.processed",
    NULL,
};
static const struct pk_field event_field[] = {
    ROW_UUID("_id", REQ, "Its id."),
    { .name = "eventType",
      .type = PK_TYPE_STRING,
      .format = PK_FORMAT_NAME,
      .flags = PK_FIELD_REQUIRED | PK_FIELD_OPEN_ENUM,
      .max = TEXT_WORD,
      .allowed = event_type,
      .help = "What happened." },
    ROW_DATE("timestamp", REQ, "When it happened."),
    ROW_UUID("userId", OPT, "The person it happened to."),
    ROW_OBJECT("payload", REQ, &payload_schema, "What it is about."),
    ROW_OBJECT("source", REQ, &origin_schema, "Who says so."),
    ROW_DATE("expiresAt", REQ, "When it is forgotten: retention."),
};
const struct pk_schema pk_schema_event = {
    .name = "SystemEvent",
    FIELDS(event_field),
    .help = "One row of the feed.",
};

/* ---- deliveries ---- */

static const char *const delivery_status[] = { "pending", "in_progress", "delivered", "failed",
                                               NULL };
static const struct pk_field delivery_field[] = {
    ROW_UUID("_id", REQ, "Its id; the receiver's key against repeats."),
    ROW_TEXT("targetId", REQ, TEXT_WORD, "The webhook."),
    ROW_UUID("eventId", REQ, "The event."),
    ROW_NAME("eventType", REQ, "What happened."),
    ROW_UUID("userId", OPT, "The person it happened to."),
    ROW_FREE("body", OPT, "What is sent."),
    ROW_ENUM("status", REQ, delivery_status, "What became of it."),
    ROW_COUNT("attempts", REQ, "How often it was tried."),
    ROW_DATE("runAfter", REQ, "Not before this instant."),
    ROW_INT("responseStatus", OPT, 100, 599, "What the receiver answered."),
    ROW_TEXT("lastError", OPT, TEXT_LINE, "Why it failed the last time."),
    ROW_DATE("completedAt", OPT, "When it was delivered or given up."),
    ROW_DATE("createdAt", REQ, "When it became due."),
    ROW_DATE("updatedAt", REQ, "When it last changed."),
    ROW_DATE("expiresAt", REQ, "When it is forgotten: retention."),
};
const struct pk_schema pk_schema_delivery = {
    .name = "Delivery",
    FIELDS(delivery_field),
    .help = "One event on its way to one webhook.",
};
