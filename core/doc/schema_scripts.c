/* schema_scripts.c - What scripts, and the generations they serve in, are over HTTP.
 *
 * Lists show less than there is: not the files, nor what was made of them. That
 * the views say what is really answered, tests/unit/api finds out. */
/* SPDX-License-Identifier: MIT */
#include "doc/schema_scripts.h"

#include "doc/schema_tables.h"

enum { FILE_MAX = 1 << 20, FILES_MAX = 64 }; /* As script/bundle.h has them. */

/* ---- Bodies ---- */

static const struct pk_field file_item = ROW_TEXT(NULL, OPT, FILE_MAX, "A file's text.");
static const struct pk_schema document_schema = {
    .name = "DeclaredMapper",
    .is_open = true,
    .help = "A mapper of declared rules, as in a JSON file.",
};
static const struct pk_field put_field[] = {
    ROW_TEXT("source", OPT, FILE_MAX, "Lua source: the script is this one file."),
    ROW_MAP("files", OPT, FILES_MAX, &file_item,
            "Instead: its files, name and text; 'init.lua' is the script when there are several."),
    ROW_OBJECT("configuration", OPT, &document_schema, "Instead: declared rules."),
    ROW_OBJECT("signature", OPT, &pk_schema_signature,
               "Of 'source' or 'files': 'personakit mapper sign'."),
};

static void check_put(const bson_t *doc, const char *path, struct pk_faults *faults)
{
    const int given =
        pk_rule_has(doc, "source") + pk_rule_has(doc, "files") + pk_rule_has(doc, "configuration");
    if (given != 1) {
        pk_rule_fault(faults, path, "", "exactly one of 'source', 'files' and 'configuration'",
                      given ? "several" : "none");
    }
    if (pk_rule_has(doc, "signature") && pk_rule_has(doc, "configuration")) {
        pk_rule_fault(faults, path, "signature",
                      "only with 'source' or 'files', for it covers every byte",
                      "a signature of something else");
    }
}

const struct pk_schema pk_schema_script_put = {
    .name = "ScriptUpload",
    FIELDS(put_field),
    .rule = check_put,
    .help = "A version of a script.",
};

static const struct pk_field rollback_field[] = {
    { .name = "reason",
      .type = PK_TYPE_STRING,
      .flags = REQ,
      .min = 1,
      .max = 1000,
      .help = "Why: those who find its content barred are told." },
};
const struct pk_schema pk_schema_rollback = {
    .name = "Rollback",
    FIELDS(rollback_field),
    .help = "Why a version is taken back.",
};

static const struct pk_field canary_start_field[] = {
    ROW_UNIT("share", REQ, "The share of people who get it: above 0, at most 1; 0.1 is one in 10."),
};

static void check_share(const bson_t *doc, const char *path, struct pk_faults *faults)
{
    bson_iter_t iter;
    if (bson_iter_init_find(&iter, doc, "share") && BSON_ITER_HOLDS_NUMBER(&iter) &&
        bson_iter_as_double(&iter) == 0) {
        pk_rule_fault(faults, path, "share", "above 0; DELETE ends a canary", "0");
    }
}

const struct pk_schema pk_schema_canary_start = {
    .name = "CanaryStart",
    FIELDS(canary_start_field),
    .rule = check_share,
    .help = "On whom a version is tried.",
};

/* ---- Versions ---- */

static const char *const severity[] = { "error", "remark", NULL };
static const struct pk_field finding_field[] = {
    ROW_ENUM("severity", REQ, severity, "Whether it may serve all the same."),
    ROW_TEXT("file", OPT, TEXT_WORD, "Where it is."),
    ROW_COUNT("line", OPT, "Where in the file."),
    ROW_TEXT("message", REQ, TEXT_PAGE, "What it is, and why."),
    ROW_TEXT("hint", OPT, TEXT_PAGE, "How to mend it."),
    ROW_TEXT("sourceLine", OPT, TEXT_PAGE, "The author's own line."),
    ROW_TEXT("trace", OPT, TEXT_PAGE, "Where it was called from: a line each, innermost first."),
};
static const struct pk_schema finding_schema = {
    .name = "Finding",
    FIELDS(finding_field),
    .help = "Something worth saying of a script.",
};
static const struct pk_field finding_item = ROW_OBJECT(NULL, OPT, &finding_schema, "A finding.");

static const struct pk_field activation_field[] = {
    ROW_COUNT("generation", REQ, "The generation of this server that every new request gets."),
    ROW_COUNT("oldCalls", REQ, "Calls that still run on older ones."),
    ROW_COUNT("tookMs", REQ, "How long it took, without the script's own examples ..."),
    ROW_COUNT("examplesMs", REQ, "... and these."),
};
static const struct pk_schema activation_schema = {
    .name = "Activation",
    FIELDS(activation_field),
    .help = "How a change of what is active went on this server.",
};

static const char *const format[] = { "lua", "rules", NULL };
static const char *const kind[] = { "processor", "condition", NULL };

static const struct pk_field bar_field[] = {
    ROW_TEXT("reason", REQ, TEXT_LINE, "Why."),
    ROW_DATE("since", REQ, "Since when."),
};
static const struct pk_schema bar_schema = {
    .name = "Bar",
    FIELDS(bar_field),
    .help = "Its content may not run until it changes, or somebody lifts the bar.",
};

#define STATE_ROWS                                                                     \
    ROW_STRING("contentHash", PK_FORMAT_HASH, REQ, "The hash of what it is made of."), \
        ROW_STRING("previousVersion", PK_FORMAT_SEMVER, OPT,                           \
                   "The version that was active before it: a rollback goes there."),   \
        ROW_ENUM("status", REQ, pk_allowed_lifecycle, "One version is active."),       \
        ROW_OBJECT("bar", OPT, &bar_schema, "That it is barred, and why."),            \
        ROW_DATE("activatedAt", OPT, "When it last became active."),                   \
        ROW_DATE("createdAt", REQ, "When it was uploaded."),                           \
        ROW_TEXT("createdBy", REQ, TEXT_WORD, "The actor who uploaded it."),           \
        ROW_DATE("updatedAt", REQ, "When it last changed."),                           \
        ROW_TEXT("updatedBy", REQ, TEXT_WORD, "Who last changed it; 'personakit' is the server.")

#define CONTENT_ROWS                                                                       \
    ROW_MAP("files", OPT, FILES_MAX, &file_item, "Its files: name and text."),             \
        ROW_OBJECT("signature", OPT, &pk_schema_signature, "Who signed it, if anybody."),  \
        ROW_FREE("manifest", OPT, "What it says of itself, beyond the fields here."),      \
        ROW_OBJECT("activation", OPT, &activation_schema,                                  \
                   "How it became active, where that was asked for; not in repetitions."), \
        ROW_ARRAY("findings", OPT, LIST_SOME, &finding_item, "Remarks, when it was uploaded.")

#define MAPPER_ROWS                                                                          \
    ROW_UUID("mapperVersionId", REQ, "The id of this version."),                             \
        ROW_STRING("mapperId", PK_FORMAT_SCRIPT_ID, REQ, "The mapper's id."),                \
        ROW_TEXT("name", REQ, TEXT_PAGE, "What it is called."),                              \
        ROW_TEXT("purpose", REQ, TEXT_PAGE, "What it is for."),                              \
        ROW_STRING("version", PK_FORMAT_SEMVER, REQ, "Its version."),                        \
        ROW_STRING("parentVersion", PK_FORMAT_SEMVER, OPT, "The version it was made from."), \
        ROW_ENUM("format", REQ, format, "Lua source, or declared rules."),                   \
        ROW_OBJECT("trainingMetadata", REQ, &pk_schema_training, "What feedback taught."),   \
        ROW_COUNT("usageCount", OPT, "How often it was used."),                              \
        ROW_OBJECT("canary", OPT, &pk_schema_canary,                                         \
                   "What is tried beside the active version; shown of both."),               \
        STATE_ROWS

#define SCRIPT_ROWS                                                           \
    ROW_UUID("scriptVersionId", REQ, "The id of this version."),              \
        ROW_STRING("scriptId", PK_FORMAT_SCRIPT_ID, REQ, "The script's id."), \
        ROW_ENUM("kind", REQ, kind, "What it is."),                           \
        ROW_STRING("version", PK_FORMAT_SEMVER, REQ, "Its version."), STATE_ROWS

static const struct pk_field mapper_row_field[] = { MAPPER_ROWS };
const struct pk_schema pk_schema_mapper_row = {
    .name = "MapperRow",
    FIELDS(mapper_row_field),
    .help = "A version of a mapper, in a list.",
};
static const struct pk_field mapper_view_field[] = {
    MAPPER_ROWS,
    ROW_OBJECT("configuration", REQ, &pk_schema_configuration, "What it reads and makes."),
    ROW_FREE("metadata", OPT, "Whatever else is known of it."),
    CONTENT_ROWS,
};
const struct pk_schema pk_schema_mapper_view = {
    .name = "MapperView",
    FIELDS(mapper_view_field),
    .help = "A version of a mapper.",
};
static const struct pk_field script_row_field[] = { SCRIPT_ROWS };
const struct pk_schema pk_schema_script_row = {
    .name = "ScriptRow",
    FIELDS(script_row_field),
    .help = "A version of a processor or condition, in a list.",
};
static const struct pk_field script_view_field[] = { SCRIPT_ROWS, CONTENT_ROWS };
const struct pk_schema pk_schema_script_view = {
    .name = "ScriptView",
    FIELDS(script_view_field),
    .help = "A version of a processor or condition.",
};

/* ---- Generations ---- */

static const char *const any_kind[] = { "mapper", "processor", "condition", NULL };

static const struct pk_field serving_field[] = {
    ROW_ENUM("kind", REQ, any_kind, "What it is."),
    ROW_STRING("id", PK_FORMAT_SCRIPT_ID, REQ, "Its id."),
    ROW_STRING("version", PK_FORMAT_SEMVER, REQ, "Its version."),
    ROW_STRING("contentHash", PK_FORMAT_HASH, REQ, "The hash of what it is made of."),
    ROW_BOOL("signed", REQ, "Whether somebody who is trusted has signed it."),
    ROW_COUNT("examples", REQ, "Examples that it brought; all are good."),
    ROW_UNIT("canaryShare", OPT, "Of a version that is tried: the share of people who get it."),
    ROW_COUNT("calls", REQ, "Calls of it here, since it serves here ..."),
    ROW_COUNT("failures", REQ, "... of these, those that failed."),
    ROW_NUMBER("meanMs", REQ, 0, COUNT_MAX, "What a call took on average, in milliseconds ..."),
    ROW_NUMBER("p99Ms", REQ, 0, COUNT_MAX, "... and 99 of 100 at most."),
    ROW_BOOL("quarantined", REQ, "Whether it was stopped for being killed too often."),
    ROW_DATE("since", OPT, "Since when it serves here."),
    ROW_DATE("failedAt", OPT, "When a call of it failed last ..."),
    ROW_TEXT("failure", OPT, TEXT_LINE, "... and how."),
};
static const struct pk_schema serving_schema = {
    .name = "ServingScript",
    FIELDS(serving_field),
    .help = "A script that serves.",
};
static const struct pk_field serving_item = ROW_OBJECT(NULL, OPT, &serving_schema, "A script.");

static const struct pk_field alive_field[] = {
    ROW_COUNT("generation", REQ, "Its number."),
    ROW_COUNT("scripts", REQ, "Scripts in it."),
    ROW_COUNT("calls", REQ, "Requests that run on it."),
    ROW_DATE("publishedAt", OPT, "When it was published."),
    ROW_BOOL("serving", REQ, "Whether new requests get it."),
};
static const struct pk_schema alive_schema = {
    .name = "Generation",
    FIELDS(alive_field),
    .help = "A set of scripts that is in use.",
};
static const struct pk_field alive_item = ROW_OBJECT(NULL, OPT, &alive_schema, "A generation.");

static const struct pk_field refused_field[] = {
    ROW_ENUM("kind", OPT, any_kind, "What it is; of a version that is active."),
    ROW_STRING("id", PK_FORMAT_SCRIPT_ID, OPT, "Its id."),
    ROW_STRING("version", PK_FORMAT_SEMVER, OPT, "The version that was refused."),
    ROW_TEXT("file", OPT, TEXT_RAW, "Or the saved file in a watched folder of this server."),
    ROW_TEXT("reason", REQ, TEXT_RAW, "Why."),
    ROW_DATE("at", REQ, "When."),
};
static const struct pk_schema refused_schema = {
    .name = "RefusedScript",
    FIELDS(refused_field),
    .help = "A version that is active, or a saved file, that this server does not take.",
};
static const struct pk_field refused_item = ROW_OBJECT(NULL, OPT, &refused_schema, "A version.");

static const struct pk_field barred_field[] = {
    ROW_STRING("contentHash", PK_FORMAT_HASH, REQ, "What may not run."),
    ROW_STRING("id", PK_FORMAT_SCRIPT_ID, REQ, "The script that it was."),
    ROW_STRING("version", PK_FORMAT_SEMVER, OPT, "The version that it was."),
    ROW_TEXT("reason", REQ, TEXT_LINE, "Why."),
    ROW_DATE("since", REQ, "Since when."),
};
static const struct pk_schema barred_schema = {
    .name = "BarredContent",
    FIELDS(barred_field),
    .help = "Content that may not run until it changes, or somebody lifts the bar.",
};
static const struct pk_field barred_item = ROW_OBJECT(NULL, OPT, &barred_schema, "A bar.");

static const struct pk_field generations_field[] = {
    ROW_TEXT("node", REQ, TEXT_WORD, "The server that answers."),
    ROW_BOOL("unsafe", REQ, "Whether its scripts run without their lockdown (scripts.jail)."),
    ROW_COUNT("generation", REQ, "The generation that serves."),
    ROW_ARRAY("scripts", REQ, LIST_HUGE, &serving_item, "What it is made of."),
    ROW_ARRAY("alive", REQ, LIST_HUGE, &alive_item, "Generations in use, the serving one first."),
    ROW_ARRAY("refused", REQ, LIST_HUGE, &refused_item, "Candidates that did not pass here."),
    ROW_ARRAY("barred", REQ, LIST_HUGE, &barred_item, "What may not run, on no server."),
};
const struct pk_schema pk_schema_generations = {
    .name = "Generations",
    FIELDS(generations_field),
    .help = "What serves on one server.",
};
