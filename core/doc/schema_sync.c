/* schema_sync.c - Devices that work offline: their state and what they sent. */
/* SPDX-License-Identifier: MIT */
#include "doc/schema_tables.h"

/* ---- devices ---- */

static const char *const direction[] = { "upstream", "downstream", "both", NULL };
static const struct pk_field last_field[] = {
    ROW_DATE("timestamp", REQ, "When it was."),
    ROW_ENUM("direction", REQ, direction, "Which way."),
    ROW_COUNT("itemsSynced", REQ, "How many things."),
    ROW_COUNT("errors", REQ, "How many failed."),
};
static const struct pk_schema last_schema = {
    .name = "LastSync",
    FIELDS(last_field),
    .help = "The last time a device synced.",
};
static const struct pk_field pending_field[] = {
    ROW_COUNT("upstream", REQ, "Things the server has not taken in."),
    ROW_COUNT("downstream", REQ, "Things the device has not got."),
};
static const struct pk_schema pending_schema = {
    .name = "PendingItems",
    FIELDS(pending_field),
    .help = "What is still to be synced.",
};

static const struct pk_field cached_mapper_field[] = {
    ROW_STRING("mapperId", PK_FORMAT_SCRIPT_ID, REQ, "The mapper."),
    ROW_STRING("version", PK_FORMAT_SEMVER, REQ, "Its version."),
    ROW_DATE("cachedAt", REQ, "Since when."),
    ROW_COUNT("size", REQ, "Bytes."),
};
static const struct pk_schema cached_mapper_schema = {
    .name = "CachedMapper",
    FIELDS(cached_mapper_field),
    .help = "A mapper that a device holds.",
};
static const struct pk_field cached_mapper_item =
    ROW_OBJECT(NULL, OPT, &cached_mapper_schema, "A mapper.");
static const struct pk_field cached_core_field[] = {
    ROW_UUID("personaInstanceId", REQ, "The generation."),
    ROW_COUNT("mindscapeVersion", REQ, "The version of the mindscape it was made from."),
    ROW_DATE("cachedAt", REQ, "Since when."),
    ROW_BOOL("isStale", REQ, "Whether it was out of date at the last sync."),
    ROW_COUNT("size", REQ, "Bytes."),
};
static const struct pk_schema cached_core_schema = {
    .name = "CachedPersonaCore",
    FIELDS(cached_core_field),
    .help = "A persona's core that a device holds.",
};
static const struct pk_field cached_core_item =
    ROW_OBJECT(NULL, OPT, &cached_core_schema, "A core.");
static const struct pk_field cached_field[] = {
    ROW_ARRAY("mappers", REQ, LIST_LONG, &cached_mapper_item, "Mappers it holds."),
    ROW_ARRAY("personaCores", REQ, LIST_LONG, &cached_core_item, "Cores it holds."),
};
static const struct pk_schema cached_schema = {
    .name = "CachedData",
    FIELDS(cached_field),
    .help = "What a device holds.",
};

static const struct pk_field configuration_field[] = {
    ROW_NUMBER("syncInterval", REQ, 0, 525600, "Minutes between syncs."),
    ROW_COUNT("maxRetries", REQ, "How often it tries."),
    ROW_BOOL("offlineMode", REQ, "Whether it works without the server."),
};
static const struct pk_schema configuration_schema = {
    .name = "SyncConfiguration",
    FIELDS(configuration_field),
    .help = "How a device syncs.",
};

static const struct pk_field device_field[] = {
    ROW_NAME("_id", REQ, "The device."),
    ROW_UUID("userId", REQ, "The person it belongs to."),
    ROW_OBJECT("lastSync", OPT, &last_schema, "The last time; absent before the first."),
    ROW_OBJECT("pendingItems", REQ, &pending_schema, "What is still to be synced."),
    ROW_OBJECT("cachedData", REQ, &cached_schema, "What it holds."),
    ROW_OBJECT("configuration", REQ, &configuration_schema, "How it syncs."),
    ROW_TEXT("cursor", OPT, 256, "How far in the feed it has got."),
    ROW_DATE("createdAt", REQ, "When it became known."),
    ROW_DATE("updatedAt", REQ, "When this last changed."),
};
const struct pk_schema pk_schema_device = {
    .name = "SyncState",
    FIELDS(device_field),
    .help = "A client that syncs.",
};

/* ---- sync_queue ---- */

static const char *const urgency[] = { "low", "normal", "high", NULL };
static const struct pk_field item_metadata_field[] = {
    ROW_DATE("createdAt", REQ, "When the device made it."),
    ROW_COUNT("attemptCount", REQ, "How often it was tried."),
    ROW_DATE("lastAttemptAt", OPT, "When it was last tried."),
    ROW_TEXT("lastError", OPT, TEXT_PAGE, "Why it failed the last time."),
    ROW_ENUM("priority", REQ, urgency, "How urgent it is."),
};
static const struct pk_schema item_metadata_schema = {
    .name = "SyncMetadata",
    FIELDS(item_metadata_field),
    .help = "How far an item has got.",
};
static const char *const operation[] = { "observation", "feedback", NULL };
static const char *const item_status[] = { "pending", "in_progress", "completed", "failed", NULL };
static const struct pk_field item_field[] = {
    ROW_UUID("_id", REQ, "Its id, given by the device; sending it again changes nothing."),
    ROW_NAME("deviceId", REQ, "The device that sent it."),
    ROW_UUID("userId", REQ, "The person."),
    ROW_ENUM("operationType", REQ, operation, "What it is."),
    ROW_FREE("payload", REQ, "The observation or feedback."),
    ROW_OBJECT("syncMetadata", REQ, &item_metadata_schema, "How far it has got."),
    ROW_ENUM("status", REQ, item_status, "What became of it."),
};
const struct pk_schema pk_schema_sync_item = {
    .name = "SyncQueueItem",
    FIELDS(item_field),
    .help = "Something that a device sent.",
};
