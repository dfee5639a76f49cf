/* schema_mapper.c - Scripts: mappers with their configuration, processors, plugins, bars.
 *
 * A mapper is Lua source or declared rules; both have the configuration of the
 * specification, which a Lua mapper's manifest is read into. Conditions of
 * declared rules nest, so their schema holds itself. */
/* SPDX-License-Identifier: MIT */
#include "base/alloc.h"
#include "doc/schema_tables.h"

#include <string.h>

/* ---- Retrieval and output ---- */

static const char *const query_type[] = { "exact", "range", "pattern", NULL };
static const struct pk_field hot_query_field[] = {
    ROW_TEXT("queryId", REQ, TEXT_WORD, "Its name; sections refer to it."),
    ROW_ENUM("queryType", REQ, query_type, "How it compares."),
    ROW_TEXT("targetField", REQ, TEXT_WORD, "The key, or the trait's path."),
    ROW_MAP("parameters", REQ, LIST_SOME, &pk_item_free, "What it compares with."),
    ROW_INT("priority", REQ, -1000000, 1000000, "Higher runs first."),
};
static const struct pk_schema hot_query_schema = {
    .name = "QueryTemplate",
    FIELDS(hot_query_field),
    .help = "A look into the hot layer.",
};
static const struct pk_field hot_query_item = ROW_OBJECT(NULL, OPT, &hot_query_schema, "A query.");

static const char *const strategy[] = { "semantic", "hybrid", NULL };
static const struct pk_field warm_query_field[] = {
    ROW_TEXT("queryId", REQ, TEXT_WORD, "Its name; sections refer to it."),
    ROW_ENUM("embeddingStrategy", REQ, strategy, "By meaning alone, or with words too."),
    ROW_TEXT("queryPrompt", REQ, TEXT_PAGE, "What is searched for; a template."),
    ROW_INT("topK", REQ, 1, 1000, "How many to find at most."),
    ROW_NUMBER("minSimilarity", REQ, -1, 1, "Less alike than this is not found."),
    ROW_MAP("filters", OPT, LIST_SOME, &pk_item_free, "Values of 'metadata' that must be equal."),
};
static const struct pk_schema warm_query_schema = {
    .name = "VectorQueryTemplate",
    FIELDS(warm_query_field),
    .help = "A search in the warm layer.",
};
static const struct pk_field warm_query_item =
    ROW_OBJECT(NULL, OPT, &warm_query_schema, "A query.");

static const char *const analysis[] = { "neighbors", "paths", "centrality", "communities", NULL };
static const struct pk_field cold_query_field[] = {
    ROW_TEXT("queryId", REQ, TEXT_WORD, "Its name; sections refer to it."),
    ROW_ENUM("analysis", REQ, analysis, "What is asked of the graph."),
    ROW_TEXT("startLabel", OPT, TEXT_WORD, "The label of the node to start from."),
    ROW_ARRAY("edgeTypes", OPT, LIST_SOME, &pk_item_word, "Edges to follow; absent: all."),
    ROW_INT("maxDepth", OPT, 1, 16, "How many edges away to look."),
    ROW_INT("limit", OPT, 1, 1000, "How many nodes to return at most."),
    ROW_MAP("parameters", OPT, LIST_SOME, &pk_item_free, "Further values of the analysis."),
};
static const struct pk_schema cold_query_schema = {
    .name = "GraphQueryTemplate",
    FIELDS(cold_query_field),
    .help = "A question to the cold layer.",
};
static const struct pk_field cold_query_item =
    ROW_OBJECT(NULL, OPT, &cold_query_schema, "A query.");

static const struct pk_field pipeline_field[] = {
    ROW_ARRAY("hotLayerQueries", REQ, LIST_SOME, &hot_query_item, "Run for every detail level."),
    ROW_ARRAY("warmLayerQueries", REQ, LIST_SOME, &warm_query_item, "From 'balanced' on."),
    ROW_ARRAY("coldLayerAnalysis", OPT, LIST_SOME, &cold_query_item, "For 'deep_dive'."),
};
const struct pk_schema pk_schema_pipeline = {
    .name = "RetrievalPipeline",
    FIELDS(pipeline_field),
    .help = "What a mapper looks up.",
};

static const struct pk_field section_field[] = {
    ROW_TEXT("sectionName", REQ, TEXT_WORD, "The section it makes."),
    ROW_ARRAY("dataSource", REQ, LIST_SOME, &pk_item_word, "The queries that feed it."),
    ROW_TEXT("prompt", REQ, TEXT_PAGE, "A template, handed out for the consumer's model."),
    ROW_INT("maxTokens", REQ, 1, 1000000, "The filled template is cut to so many."),
    ROW_BOOL("required", REQ, "Whether a persona without it is incomplete."),
    ROW_DETAIL("detail", OPT, "The least detail level at which it appears."),
};
static const struct pk_schema section_schema = {
    .name = "PersonaSectionTemplate",
    FIELDS(section_field),
    .help = "How one section is made.",
};
static const struct pk_field section_item = ROW_OBJECT(NULL, OPT, &section_schema, "A section.");

static const char *const output_format[] = { "json", "markdown", "text", NULL };
static const struct pk_field formatting_field[] = {
    ROW_ENUM("format", OPT, output_format, "In what form texts of sections are written."),
    ROW_TEXT("language", OPT, TEXT_WORD, "The language of texts, as in 'en' or 'de-CH'."),
    ROW_INT("maxTokens", OPT, 1, 10000000, "All sections together are cut to so many."),
    ROW_BOOL("includeEmptySections", OPT, "Whether sections without content are kept."),
};
static const struct pk_schema formatting_schema = {
    .name = "OutputFormatting",
    FIELDS(formatting_field),
    .help = "In what form a persona is written.",
};
static const struct pk_field output_field[] = {
    ROW_ARRAY("sections", REQ, LIST_SOME, &section_item, "Its sections."),
    ROW_OBJECT("formatting", REQ, &formatting_schema, "In what form they are written."),
};
const struct pk_schema pk_schema_output = {
    .name = "OutputTemplate",
    FIELDS(output_field),
    .help = "What a mapper makes.",
};

/* ---- Declared rules ---- */

static const struct pk_schema condition_schema;
static const struct pk_field condition_item =
    ROW_OBJECT(NULL, OPT, &condition_schema, "A condition.");
static const struct pk_field condition_field[] = {
    ROW_ARRAY("all", OPT, LIST_SOME, &condition_item, "Conditions that must all hold."),
    ROW_ARRAY("any", OPT, LIST_SOME, &condition_item, "Conditions of which one must hold."),
    ROW_OBJECT("not", OPT, &condition_schema, "A condition that must not hold."),
    ROW_NAME("type", OPT, "For a test: what is tested, as in 'trait_check'."),
    ROW_TRAIT("trait", OPT, "For 'trait_check': the trait's path."),
    ROW_NAME("operator", OPT, "How it is compared, as in 'equals'."),
    ROW_FREE("value", PK_FIELD_NULLABLE, "What it is compared with."),
};

/* A condition joins others or tests; a trait_check says what and how. */
static void check_condition(const bson_t *doc, const char *path, struct pk_faults *faults)
{
    static const char *const kind[] = { "all", "any", "not", "type" };
    static const char *const needed[] = { "trait", "operator" };
    size_t found = 0;
    for (size_t i = 0; i < PK_COUNT(kind); i++) {
        found += pk_rule_has(doc, kind[i]);
    }
    if (found != 1) {
        pk_rule_fault(faults, path, "", "exactly one of 'all', 'any', 'not' and 'type'",
                      found ? "several" : "none");
    }
    const char *type = pk_rule_text(doc, "type");
    for (size_t i = 0; type && strcmp(type, "trait_check") == 0 && i < PK_COUNT(needed); i++) {
        if (!pk_rule_has(doc, needed[i])) {
            pk_rule_fault(faults, path, needed[i], "a text, in a trait_check", "nothing");
        }
    }
}

static const struct pk_schema condition_schema = {
    .name = "RuleCondition",
    FIELDS(condition_field),
    .is_open = true,
    .rule = check_condition,
    .help = "When a rule fires: a test, or conditions joined.",
};

static const char *const action_type[] = { "suggestion", "template", "priority", NULL };
static const struct pk_field action_field[] = {
    ROW_ENUM("type", REQ, action_type, "What is done."),
    ROW_TEXT("template", OPT, TEXT_PAGE, "The text, with '{{trait}}' filled in."),
    ROW_ENUM("priority", OPT, pk_allowed_level, "How much it matters."),
    ROW_TEXT("section", OPT, TEXT_WORD, "Where it goes; 'suggestions' by default."),
};
static const struct pk_schema action_schema = {
    .name = "RuleAction",
    FIELDS(action_field),
    .is_open = true,
    .help = "What a rule does when it fires.",
};
static const struct pk_field action_item = ROW_OBJECT(NULL, OPT, &action_schema, "An action.");

static const struct pk_field rule_field[] = {
    ROW_NAME("id", REQ, "Its name; feedback and explanations use it."),
    ROW_OBJECT("conditions", REQ, &condition_schema, "When it fires."),
    ROW_ARRAY("actions", REQ, LIST_SOME, &action_item, "What it does."),
    ROW_DETAIL("detail", OPT, "The least detail level at which it appears."),
};
static const struct pk_schema rule_schema = {
    .name = "Rule",
    FIELDS(rule_field),
    .is_open = true,
    .help = "A declared rule.",
};
static const struct pk_field rule_item = ROW_OBJECT(NULL, OPT, &rule_schema, "A rule.");

static const struct pk_field about_field[] = {
    ROW_TEXT("id", OPT, TEXT_WORD, "The mapper's id."),
    ROW_TEXT("name", OPT, TEXT_WORD, "What it is called."),
    ROW_TEXT("description", OPT, TEXT_PAGE, "What it is for."),
    ROW_TEXT("author", OPT, TEXT_WORD, "Who wrote it."),
};
static const struct pk_schema about_schema = {
    .name = "ConfigurationMetadata",
    FIELDS(about_field),
    .is_open = true,
    .help = "What a configuration of v0.2.0 says of itself.",
};

/* ---- mappers ---- */

static const struct pk_field configuration_field[] = {
    ROW_ARRAY("requiredTraits", REQ, LIST_SOME, &pk_item_word, "Traits it cannot do without."),
    ROW_ARRAY("optionalTraits", REQ, LIST_SOME, &pk_item_word, "Traits it uses when there."),
    ROW_ARRAY("knowledgeDomains", REQ, LIST_SOME, &pk_item_word, "Areas of knowledge that matter."),
    ROW_NUMBER("contextWindow", REQ, 0, 36500, "Days of the past that it looks at."),
    ROW_OBJECT("retrievalPipeline", REQ, &pk_schema_pipeline, "What it looks up."),
    ROW_OBJECT("outputTemplate", REQ, &pk_schema_output, "What it makes."),
    ROW_OBJECT("metadata", OPT, &about_schema, "What it says of itself."),
    ROW_ARRAY("rules", OPT, LIST_LONG, &rule_item, "Declared rules."),
    ROW_MAP("templates", OPT, LIST_SOME, &pk_item_free, "Texts that rules refer to."),
    ROW_INT("ttlSeconds", OPT, 1, COUNT_MAX, "How long its personas live; 24 hours by default."),
};
const struct pk_schema pk_schema_configuration = {
    .name = "MapperConfiguration",
    FIELDS(configuration_field),
    .help = "What a mapper reads and makes.",
};

static const struct pk_field training_field[] = {
    ROW_COUNT("totalFeedbackCount", REQ, "How often feedback came."),
    ROW_NUMBER("averageEffectivenessScore", OPT, 1, 5, "The mean of its overall ratings."),
    ROW_DATE("lastTrainingRun", OPT, "When feedback was last worked in."),
    ROW_TEXT("trainingDatasetId", OPT, TEXT_WORD, "The feedback that was worked in."),
};
const struct pk_schema pk_schema_training = {
    .name = "TrainingMetadata",
    FIELDS(training_field),
    .help = "What feedback taught.",
};

/* ---- What a version is made of ---- */

static const struct pk_field file_item = ROW_TEXT(NULL, OPT, TEXT_RAW, "A file's text.");
static const struct pk_field signature_field[] = {
    { .name = "key",
      .type = PK_TYPE_BINARY,
      .flags = REQ,
      .min = 32,
      .max = 32,
      .help = "The Ed25519 public key." },
    { .name = "sig",
      .type = PK_TYPE_BINARY,
      .flags = REQ,
      .min = 64,
      .max = 64,
      .help = "The signature of the content hash." },
};
const struct pk_schema pk_schema_signature = {
    .name = "ScriptSignature",
    FIELDS(signature_field),
    .help = "Who signed a version.",
};

/* Of mappers and scripts alike. */
#define CONTENT_ROWS(files_flags_)                                                         \
    ROW_MAP("files", files_flags_, LIST_SOME, &file_item, "Its files: name and text."),    \
        ROW_OBJECT("signature", OPT, &pk_schema_signature, "Who signed it, if anybody."),  \
        ROW_FREE("manifest", OPT, "What it says of itself, beyond the fields here."),      \
        ROW_STRING("contentHash", PK_FORMAT_HASH, REQ, "The hash of what it is made of."), \
        ROW_STRING("previousVersion", PK_FORMAT_SEMVER, OPT,                               \
                   "The version that was active before it: a rollback goes there.")

static const struct pk_field canary_field[] = {
    ROW_STRING("version", PK_FORMAT_SEMVER, REQ, "The version that is tried."),
    ROW_UNIT("share", REQ, "The share of people who get it; the others get the active version."),
    ROW_DATE("startedAt", REQ, "Since when."),
    ROW_TEXT("startedBy", REQ, TEXT_WORD, "The actor who began it."),
};
const struct pk_schema pk_schema_canary = {
    .name = "Canary",
    FIELDS(canary_field),
    .help = "A version that is tried on a share of people, stable per person.",
};

static const char *const mapper_format[] = { "lua", "rules", NULL };
static const struct pk_field mapper_field[] = {
    ROW_UUID("_id", REQ, "The id of this version."),
    ROW_STRING("mapperId", PK_FORMAT_SCRIPT_ID, REQ, "The mapper's id, the same in all versions."),
    ROW_TEXT("name", REQ, TEXT_WORD, "What it is called."),
    ROW_TEXT("purpose", REQ, TEXT_PAGE, "What it is for."),
    ROW_STRING("version", PK_FORMAT_SEMVER, REQ, "Its version."),
    ROW_STRING("parentVersion", PK_FORMAT_SEMVER, OPT, "The version it was made from."),
    ROW_OBJECT("configuration", REQ, &pk_schema_configuration, "What it reads and makes."),
    ROW_ENUM("format", REQ, mapper_format, "Lua source, or declared rules."),
    CONTENT_ROWS(OPT),
    ROW_OBJECT("trainingMetadata", REQ, &pk_schema_training, "What feedback taught."),
    ROW_COUNT("usageCount", OPT, "How often it was used."),
    ROW_FREE("metadata", OPT, "Whatever else is known of it."),
    ROW_ENUM("status", REQ, pk_allowed_lifecycle, "One version per mapper is active."),
    ROW_DATE("activatedAt", OPT, "When it last became active."),
    ROW_OBJECT("canary", OPT, &pk_schema_canary,
               "Of the active version: another one that is tried beside it."),
    ROW_DATE("createdAt", REQ, "When it was uploaded."),
    ROW_TEXT("createdBy", REQ, TEXT_WORD, "The actor who uploaded it."),
    ROW_DATE("updatedAt", REQ, "When it last changed."),
    ROW_TEXT("updatedBy", REQ, TEXT_WORD, "The actor who last changed it."),
};
const struct pk_schema pk_schema_mapper = {
    .name = "PersonaMapper",
    FIELDS(mapper_field),
    .help = "One version of a mapper.",
};

/* ---- scripts ---- */

static const char *const script_kind[] = { "processor", "condition", "plugin", NULL };
static const struct pk_field script_field[] = {
    ROW_UUID("_id", REQ, "The id of this version."),
    ROW_STRING("scriptId", PK_FORMAT_SCRIPT_ID, REQ, "The script's id, the same in all versions."),
    ROW_ENUM("kind", REQ, script_kind, "What it is."),
    ROW_STRING("version", PK_FORMAT_SEMVER, REQ, "Its version."),
    CONTENT_ROWS(REQ),
    ROW_ENUM("status", REQ, pk_allowed_lifecycle, "One version per script is active."),
    ROW_DATE("activatedAt", OPT, "When it last became active."),
    ROW_DATE("createdAt", REQ, "When it was uploaded."),
    ROW_TEXT("createdBy", REQ, TEXT_WORD, "The actor who uploaded it."),
    ROW_DATE("updatedAt", REQ, "When it last changed."),
    ROW_TEXT("updatedBy", REQ, TEXT_WORD, "The actor who last changed it."),
};
const struct pk_schema pk_schema_script = {
    .name = "Script",
    FIELDS(script_field),
    .help = "One version of a processor, condition or plugin.",
};

/* ---- script_state ---- */

static const char *const script_trouble[] = { "barred", "quarantined", NULL };
static const struct pk_field state_field[] = {
    ROW_STRING("_id", PK_FORMAT_HASH, REQ, "The content hash of what may not run."),
    ROW_STRING("scriptId", PK_FORMAT_SCRIPT_ID, REQ, "The mapper, processor, condition or plugin."),
    ROW_STRING("version", PK_FORMAT_SEMVER, OPT, "The version that had this content."),
    ROW_ENUM("state", REQ, script_trouble, "Rolled back, or stopped too often."),
    ROW_TEXT("reason", REQ, TEXT_LINE, "Why."),
    ROW_DATE("retryAt", OPT, "For a quarantine: when one call may try it again."),
    ROW_COUNT("failures", OPT, "How many calls failed."),
    ROW_DATE("createdAt", REQ, "Since when."),
    ROW_DATE("updatedAt", REQ, "When this last changed."),
};
const struct pk_schema pk_schema_script_state = {
    .name = "ScriptState",
    FIELDS(state_field),
    .help = "Content that may not run, until it changes or an operator lifts it.",
};
