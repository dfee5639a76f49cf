/* schema_system.c - The server's own books: answers by key, nodes, settings, audit. */
/* SPDX-License-Identifier: MIT */
#include "doc/schema_tables.h"

/* ---- idempotency ---- */

static const char *const withheld[] = { "secret", "too_large", NULL };
static const struct pk_field answer_field[] = {
    ROW_INT("status", REQ, 100, 599, "The HTTP status."),
    ROW_MAP("headers", OPT, LIST_SHORT, &pk_item_line, "Headers that belong to it."),
    ROW_TEXT("body", OPT, TEXT_RAW, "The body."),
    ROW_ENUM("withheld", OPT, withheld, "Why the body is not kept."),
};
static const struct pk_schema answer_schema = {
    .name = "KeptAnswer",
    FIELDS(answer_field),
    .help = "What the first request was answered.",
};
static const struct pk_field idempotency_field[] = {
    ROW_TEXT("_id", REQ, 512, "<actor>:<hash of route and key>."),
    ROW_TEXT("actorId", REQ, TEXT_WORD, "Who asked."),
    ROW_ARRAY("userIds", OPT, LIST_LONG, &pk_item_uuid, "The people whom the answer speaks of."),
    ROW_TEXT("route", REQ, TEXT_WORD, "What was asked: method and route."),
    ROW_STRING("requestHash", PK_FORMAT_HASH, REQ, "The hash of the body; another one is refused."),
    ROW_OBJECT("answer", REQ, &answer_schema, "What was answered."),
    ROW_DATE("createdAt", REQ, "When it was answered."),
    ROW_DATE("expiresAt", REQ, "When the key may be used anew."),
};
const struct pk_schema pk_schema_idempotency = {
    .name = "Idempotency",
    FIELDS(idempotency_field),
    .help = "An answer kept by its key.",
};

/* ---- nodes ---- */

static const char *const node_kind[] = { "node", "lease", NULL };
static const struct pk_field node_field[] = {
    ROW_TEXT("_id", REQ, TEXT_WORD, "The node, or the name of the lease."),
    ROW_ENUM("kind", REQ, node_kind, "A server, or work that one server does for all."),
    ROW_TEXT("holder", OPT, TEXT_WORD, "For a lease: the node that holds it."),
    ROW_DATE("leaseUntil", REQ, "Until when it counts as alive, or as held."),
    ROW_TEXT("address", OPT, TEXT_WORD, "For a node: where it listens."),
    ROW_TEXT("version", OPT, TEXT_WORD, "For a node: the program's version."),
    ROW_STRING("generation", PK_FORMAT_HASH, OPT, "For a node: the scripts it serves with."),
    ROW_DATE("startedAt", OPT, "For a node: when it started."),
    ROW_DATE("updatedAt", REQ, "When it last said so."),
};
const struct pk_schema pk_schema_node = {
    .name = "Node",
    FIELDS(node_field),
    .help = "A server of this installation, or a lease.",
};

/* ---- settings ---- */

static const struct pk_field setting_field[] = {
    ROW_NAME("_id", REQ, "The setting's name."),
    ROW_FREE("value", REQ | PK_FIELD_NULLABLE, "Its value."),
    ROW_DATE("updatedAt", REQ, "When it was changed."),
    ROW_TEXT("updatedBy", REQ, TEXT_WORD, "The actor who changed it."),
};
const struct pk_schema pk_schema_setting = {
    .name = "Setting",
    FIELDS(setting_field),
    .help = "A setting changed while running.",
};

/* ---- audit ---- */

static const char *const audit_outcome[] = { "done", "refused", "failed", NULL };
static const struct pk_field audit_field[] = {
    ROW_UUID("_id", REQ, "Its id."),
    ROW_DATE("at", REQ, "When it was."),
    ROW_TEXT("actorId", REQ, TEXT_WORD, "Who did it."),
    ROW_NAME("action", REQ, "What was done: 'persona.read', 'mapper.activate'."),
    ROW_STRING("userHash", PK_FORMAT_HASH, OPT, "The person it was done to, by keyed hash."),
    ROW_NAME("targetType", OPT, "What it was done to: a collection or a setting."),
    ROW_TEXT("targetId", OPT, 512, "Which one; never an id that contains the person's."),
    ROW_ENUM("outcome", REQ, audit_outcome, "Whether it was done."),
    ROW_TEXT("purpose", OPT, TEXT_WORD, "For a read: the purpose it was allowed for."),
    ROW_TEXT("requestId", OPT, TEXT_WORD, "The request's id."),
    ROW_MAP("details", OPT, LIST_SOME, &pk_item_free, "Further facts, none of them personal."),
    ROW_DATE("expiresAt", OPT, "When it is forgotten: retention; absent: never."),
};
const struct pk_schema pk_schema_audit = {
    .name = "Audit",
    FIELDS(audit_field),
    .help = "Who did what, and to whom.",
};
