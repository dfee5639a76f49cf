/* schema_front.c - What actors, keys and the record of changes look like over HTTP.
 *
 * What a client may set of an actor is less than what there is of it, and what
 * is shown less than what is stored: so these are tables of their own. That
 * the views say what is really answered, tests/unit/api finds out. */
/* SPDX-License-Identifier: MIT */
#include "doc/schema_front.h"

#include "doc/schema_tables.h"

static const char *const actor_type[] = { "ai_agent", "human", "system", NULL };
const char *const pk_actor_status[] = { "active", "suspended", "archived", NULL };
/* 'oauth' is a word of the specification, but it is refused: so it is not offered. */
static const char *const method[] = { "api_key", "service_account", NULL };

#define ROW_TITLE(name_, flags_, help_)                                                        \
    {                                                                                          \
        .name = (name_), .type = PK_TYPE_STRING, .format = PK_FORMAT_TITLE, .flags = (flags_), \
        .min = 1, .max = TEXT_WORD, .help = (help_)                                            \
    }

/* ---- Bodies ---- */

static const char *const grant[] = { "write_observations", "approve", "curate",
                                     "author_mappers",     "operate", NULL };
static const struct pk_field mapper_or_all = {
    .type = PK_TYPE_STRING,
    .format = PK_FORMAT_SCRIPT_ID,
    .flags = PK_FIELD_OR_STAR,
    .help = "A mapper's id, or '*'.",
};
static const struct pk_field person_or_all = {
    .type = PK_TYPE_STRING,
    .format = PK_FORMAT_UUID,
    .flags = PK_FIELD_OR_STAR,
    .help = "A person's id, or '*'.",
};
static const struct pk_field path_or_all = {
    .type = PK_TYPE_STRING,
    .format = PK_FORMAT_TRAIT_PATH,
    .flags = PK_FIELD_OR_STAR,
    .help = "A trait's path, or '*'.",
};
static const struct pk_field one_grant = {
    .type = PK_TYPE_STRING,
    .allowed = grant,
    .help = "A capability, as routes name it.",
};

/* The stored rows with nothing required: what is not said stays, or is no. */
static const struct pk_field wanted_field[] = {
    ROW_BOOL("canRequestPersonas", OPT, "May ask for personas."),
    ROW_BOOL("canProvideFeedback", OPT, "May send feedback."),
    ROW_DETAIL("maxDetailLevel", OPT, "The most detail it may ask for."),
    ROW_ARRAY("allowedMappers", OPT, LIST_LONG, &mapper_or_all, "Mappers it may use; '*' is all."),
    ROW_ARRAY("grants", OPT, LIST_SOME, &one_grant, "Further capabilities."),
    ROW_ARRAY("people", OPT, LIST_LONG, &person_or_all, "People it may see; '*' is all."),
    ROW_ARRAY("hiddenPaths", OPT, LIST_LONG, &path_or_all, "Traits that it never gets to see."),
};
static const struct pk_schema wanted_schema = {
    .name = "CapabilitiesWanted",
    FIELDS(wanted_field),
    .help = "What an actor shall be allowed; what is not said is no, or stays as it is.",
};

static const struct pk_field create_field[] = {
    ROW_ENUM("actorType", REQ, actor_type, "What it is."),
    ROW_TITLE("name", REQ, "What it is called."),
    ROW_TEXT("description", OPT, TEXT_LINE, "What it is for."),
    ROW_STRING("email", PK_FORMAT_EMAIL, OPT, "Where a person behind it can be reached; unique."),
    ROW_ENUM("authenticationMethod", OPT, method, "How it proves itself; 'api_key' by default."),
    ROW_OBJECT("capabilities", OPT, &wanted_schema, "What it may do; nothing by default."),
};
const struct pk_schema pk_schema_actor_create = {
    .name = "ActorCreate",
    FIELDS(create_field),
    .help = "A new actor.",
};

static const struct pk_field patch_field[] = {
    ROW_ENUM("actorType", OPT, actor_type, "What it is."),
    ROW_TITLE("name", OPT, "What it is called."),
    ROW_TEXT("description", OPT, TEXT_LINE, "What it is for."),
    ROW_STRING("email", PK_FORMAT_EMAIL, PK_FIELD_NULLABLE, "The same; null takes it away."),
    ROW_ENUM("authenticationMethod", OPT, method, "How it proves itself."),
    ROW_OBJECT("capabilities", OPT, &wanted_schema, "Those that change."),
};
const struct pk_schema pk_schema_actor_patch = {
    .name = "ActorPatch",
    FIELDS(patch_field),
    .help = "What shall change of an actor.",
};

static const struct pk_field key_create_field[] = {
    ROW_TITLE("name", REQ, "What the key is for."),
    ROW_DATE("expiresAt", OPT, "When it shall stop working; never by default."),
};
const struct pk_schema pk_schema_key_create = {
    .name = "KeyCreate",
    FIELDS(key_create_field),
    .help = "A new key.",
};

/* ---- Answers ---- */

static const char *const key_status[] = { "active", "revoked", NULL };
#define KEY_ROWS                                               \
    ROW_NAME("keyId", REQ, "The public part of the key."),     \
        ROW_TEXT("name", REQ, TEXT_WORD, "What it is for."),   \
        ROW_DATE("createdAt", REQ, "When it was made."),       \
        ROW_DATE("lastUsedAt", OPT, "When it was last used."), \
        ROW_DATE("expiresAt", OPT, "When it stops working."),  \
        ROW_DATE("revokedAt", OPT, "When it was revoked."),    \
        ROW_ENUM("status", REQ, key_status, "Whether it works.")

static const struct pk_field key_view_field[] = { KEY_ROWS };
const struct pk_schema pk_schema_key_view = {
    .name = "Key",
    FIELDS(key_view_field),
    .help = "A key of an actor, without its secret.",
};
static const struct pk_field key_view_item = ROW_OBJECT(NULL, OPT, &pk_schema_key_view, "A key.");

static const struct pk_field key_created_field[] = {
    ROW_TEXT("key", REQ, TEXT_WORD, "The key, with its secret: it is shown this once."),
    KEY_ROWS,
};
const struct pk_schema pk_schema_key_created = {
    .name = "KeyCreated",
    FIELDS(key_created_field),
    .help = "A new key, with its secret.",
};

static const struct pk_field actor_view_field[] = {
    ROW_UUID("actorId", REQ, "Its id."),
    ROW_ENUM("actorType", REQ, actor_type, "What it is."),
    ROW_TEXT("name", REQ, TEXT_WORD, "What it is called."),
    ROW_TEXT("description", REQ, TEXT_LINE, "What it is for."),
    ROW_STRING("email", PK_FORMAT_EMAIL, OPT, "Where a person behind it can be reached."),
    ROW_OBJECT("capabilities", REQ, &pk_schema_capabilities, "What it may do."),
    ROW_OBJECT("usageMetadata", REQ, &pk_schema_actor_usage, "What it did."),
    ROW_ENUM("authenticationMethod", REQ, method, "How it proves itself."),
    ROW_ARRAY("apiKeys", OPT, LIST_SOME, &key_view_item, "Its keys; absent when it has none."),
    ROW_DATE("createdAt", REQ, "When it was made."),
    ROW_DATE("updatedAt", REQ, "When it last changed."),
    ROW_ENUM("status", REQ, pk_actor_status, "Only an active one is served."),
};
const struct pk_schema pk_schema_actor_view = {
    .name = "ActorView",
    FIELDS(actor_view_field),
    .help = "An agent, a human or a system that uses the server.",
};

static const char *const outcome[] = { "done", "refused", "failed", NULL };
static const struct pk_field audit_view_field[] = {
    ROW_UUID("auditId", REQ, "Its id."),
    ROW_DATE("at", REQ, "When it was."),
    ROW_TEXT("actorId", REQ, TEXT_WORD, "Who did it; 'personakit' is the server itself."),
    ROW_NAME("action", REQ, "What was done: 'key.created', 'mapper.activated'."),
    ROW_STRING("userHash", PK_FORMAT_HASH, OPT, "The person it was done to, by keyed hash."),
    ROW_NAME("targetType", OPT, "What it was done to: a collection or a setting."),
    ROW_TEXT("targetId", OPT, 512, "Which one."),
    ROW_ENUM("outcome", REQ, outcome, "Whether it was done."),
    ROW_TEXT("purpose", OPT, TEXT_WORD, "For a read: the purpose it was allowed for."),
    ROW_TEXT("requestId", OPT, TEXT_WORD, "The request's id."),
    ROW_MAP("details", OPT, LIST_SOME, &pk_item_free, "Further facts, none of them personal."),
    ROW_DATE("expiresAt", OPT, "When it is forgotten; absent: never."),
};
const struct pk_schema pk_schema_audit_view = {
    .name = "AuditRow",
    FIELDS(audit_view_field),
    .help = "Who changed what, and when.",
};
