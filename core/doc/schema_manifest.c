/* schema_manifest.c - Manifests of scripts: what every kind may say, and what one kind alone.
 *
 * lua/personakit/manifest.lua brings a manifest into one spelling and form;
 * what it may hold is said here, once. Limits are the server's business: the
 * loader compares them with what it grants.
 *
 * If you add a key: its row here and in manifest.lua. */
/* SPDX-License-Identifier: MIT */
#include "doc/schema_manifest.h"

#include "base/alloc.h"
#include "base/text.h"
#include "doc/schema_tables.h"

#include <stdio.h>
#include <string.h>

/* ---- Limits and settings ---- */

static const struct pk_field limits_field[] = {
    ROW_INT("soft_ms", OPT, 1, 3600000, "After so many milliseconds it is told to stop."),
    ROW_INT("hard_ms", OPT, 1, 3600000, "After so many it is killed."),
    ROW_INT("memory_bytes", OPT, 65536, COUNT_MAX, "What a call may take."),
    ROW_INT("output_bytes", OPT, 256, COUNT_MAX, "What a call may give out."),
};

static void check_limits(const bson_t *doc, const char *path, struct pk_faults *faults)
{
    bson_iter_t soft, hard;
    if (bson_iter_init_find(&soft, doc, "soft_ms") && bson_iter_init_find(&hard, doc, "hard_ms") &&
        bson_iter_as_int64(&soft) > bson_iter_as_int64(&hard)) {
        pk_rule_fault(faults, path, "soft_ms", "no more than 'hard_ms'", "more");
    }
}

static const struct pk_schema limits_schema = {
    .name = "ScriptLimits",
    FIELDS(limits_field),
    .rule = check_limits,
    .help = "What one call of a script may take.",
};

static const char *const config_type[] = { "text", "number", "integer", "boolean",
                                           "list", "object", NULL };
static const struct pk_field setting_field[] = {
    ROW_ENUM("type", REQ, config_type, "What its values are."),
    ROW_FREE("default", OPT, "Its value when none is set."),
    ROW_NUMBER("min", OPT, -COUNT_MAX, COUNT_MAX, "The least number, or length of a text or list."),
    ROW_NUMBER("max", OPT, -COUNT_MAX, COUNT_MAX, "The greatest."),
    ROW_ARRAY("allowed", OPT, LIST_SOME, &pk_item_free, "All values that it may have."),
    ROW_BOOL("required", OPT, "Whether the script does not run without it."),
    ROW_BOOL("secret", OPT, "Whether its value is never shown."),
    ROW_TEXT("help", OPT, TEXT_LINE, "What it is for."),
};
static const struct pk_schema setting_schema = {
    .name = "ScriptSetting",
    FIELDS(setting_field),
    .help = "One setting that a script has.",
};
static const struct pk_field setting_item = ROW_OBJECT(NULL, OPT, &setting_schema, "A setting.");

/* ---- Capabilities ---- */

static const char *const capability[] = { "search" };
static const char http_prefix[] = "http:";

/* A host as in "api.example.com" or "api.example.com:8443": lower case, no scheme, no path. */
static bool is_host(const char *text)
{
    const size_t name = strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789-.");
    const char *port = text + name;
    if (name == 0 || name > 253 || text[0] == '.' || text[0] == '-' || text[name - 1] == '.' ||
        strstr(text, "..")) {
        return false;
    }
    return *port == '\0' || (*port == ':' && port[1] && strlen(port) <= 6 &&
                             strspn(port + 1, "0123456789") == strlen(port + 1));
}

static bool is_capability(const char *text)
{
    for (size_t i = 0; i < PK_COUNT(capability); i++) {
        if (strcmp(text, capability[i]) == 0) {
            return true;
        }
    }
    return strncmp(text, http_prefix, sizeof(http_prefix) - 1) == 0 &&
           is_host(text + sizeof(http_prefix) - 1);
}

static const char *expected_capability(const char *text)
{
    if (pk_text_distance(text, capability[0], 3) < 3) {
        return "'search' or 'http:<host>'; did you mean 'search'?";
    }
    return strncmp(text, "http", 4) == 0
               ? "'search' or 'http:<host>', as in 'http:api.example.com': a host in lower case, "
                 "without '//' and path"
               : "'search' or 'http:<host>'";
}

static void check_manifest(const bson_t *doc, const char *path, struct pk_faults *faults)
{
    bson_iter_t iter, item;
    if (!bson_iter_init_find(&iter, doc, "capabilities") || !BSON_ITER_HOLDS_ARRAY(&iter) ||
        !bson_iter_recurse(&iter, &item)) {
        return;
    }
    for (unsigned i = 0; bson_iter_next(&item); i++) {
        const char *text = BSON_ITER_HOLDS_UTF8(&item) ? bson_iter_utf8(&item, NULL) : NULL;
        if (text && !is_capability(text)) {
            char name[32];
            PK_CLEANUP(pk_freep) char *got = pk_strdupf("'%.60s'", text);
            (void)snprintf(name, sizeof(name), "capabilities[%u]", i);
            pk_rule_fault(faults, path, name, expected_capability(text), got);
        }
    }
}

/* ---- Kinds ---- */

static const struct pk_field name_item = ROW_NAME(NULL, OPT, "A type of observations.");
static const char *const on_error[] = { "reject", "skip", NULL };
static const char *const on_missing[] = { "reject", "degrade", NULL };

#define COMMON_ROWS                                                                          \
    ROW_STRING("id", PK_FORMAT_SCRIPT_ID, REQ, "Its id, the same in all versions."),         \
        ROW_STRING("version", PK_FORMAT_SEMVER, REQ, "Its version."),                        \
        ROW_TEXT("name", OPT, TEXT_WORD, "What it is called."),                              \
        ROW_TEXT("purpose", OPT, TEXT_PAGE, "What it is for."),                              \
        ROW_TEXT("description", OPT, TEXT_PAGE, "What it does."),                            \
        ROW_TEXT("author", OPT, TEXT_WORD, "Who wrote it."),                                 \
        ROW_STRING("parentVersion", PK_FORMAT_SEMVER, OPT, "The version it was made from."), \
        ROW_INT("timeStepMs", OPT, 1000, COUNT_MAX,                                          \
                "What a plain read of the clock is good for."),                              \
        ROW_OBJECT("limits", OPT, &limits_schema, "What one call of it may take."),          \
        ROW_ARRAY("capabilities", OPT, LIST_SHORT, &pk_item_word,                            \
                  "What it may ask its host for."),                                          \
        ROW_MAP("config", OPT, LIST_SOME, &setting_item, "Its settings."),                   \
        ROW_ENUM("onError", OPT, on_error, "What happens when it fails."),                   \
        ROW_FREE("metadata", OPT, "Whatever else it says of itself.")

static const struct pk_field mapper_field[] = {
    COMMON_ROWS,
    ROW_INT("ttlSeconds", OPT, 1, COUNT_MAX, "How long its personas live."),
    ROW_INT("overlayTtlSeconds", OPT, 1, COUNT_MAX, "How long their overlays are good."),
    ROW_ENUM("onMissing", OPT, on_missing, "What happens when a required trait is not known."),
    ROW_ARRAY("requiredTraits", OPT, LIST_SOME, &pk_item_word, "Traits it cannot do without."),
    ROW_ARRAY("optionalTraits", OPT, LIST_SOME, &pk_item_word, "Traits it uses when there."),
    ROW_ARRAY("knowledgeDomains", OPT, LIST_SOME, &pk_item_word, "Areas of knowledge that matter."),
    ROW_NUMBER("contextWindow", OPT, 0, 36500, "Days of the past that it looks at."),
    ROW_OBJECT("retrievalPipeline", OPT, &pk_schema_pipeline, "What it looks up."),
    ROW_OBJECT("outputTemplate", OPT, &pk_schema_output, "What it makes."),
    ROW_ARRAY("contextValues", OPT, LIST_SOME, &pk_item_word, "Values of the request it reads."),
    ROW_MAP("templates", OPT, LIST_SOME, &pk_item_free, "Texts that rules refer to."),
    ROW_FREE("tuning", OPT, "What training has changed of its rules and settings."),
};
const struct pk_schema pk_schema_mapper_manifest = {
    .name = "MapperManifest",
    FIELDS(mapper_field),
    .rule = check_manifest,
    .help = "What a mapper says of itself.",
};

static const struct pk_field processor_field[] = {
    COMMON_ROWS,
    {
        .name = "accepts",
        .type = PK_TYPE_ARRAY,
        .flags = REQ,
        .min = 1,
        .max = LIST_SHORT,
        .item = &name_item,
        .help = "Types of observations that it processes.",
    },
};
const struct pk_schema pk_schema_processor_manifest = {
    .name = "ProcessorManifest",
    FIELDS(processor_field),
    .rule = check_manifest,
    .help = "What a processor says of itself.",
};

static const struct pk_field condition_field[] = { COMMON_ROWS };
const struct pk_schema pk_schema_condition_manifest = {
    .name = "ConditionManifest",
    FIELDS(condition_field),
    .rule = check_manifest,
    .help = "What a condition says of itself.",
};
