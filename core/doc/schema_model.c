/* schema_model.c - Behavioural models and their large files.
 *
 * Names here are those of the model specification: snake_case. A model's
 * version is its id; '_id' and 'model_version_id' say the same, the first for
 * the store, the second for readers of the raw documents. */
/* SPDX-License-Identifier: MIT */
#include "doc/schema_tables.h"

/* ---- persona_behavioral_models ---- */

static const struct pk_field reference_field[] = {
    ROW_NAME("storage_type", REQ, "Where it lies: 's3'."),
    ROW_TEXT("path_uri", REQ, TEXT_LINE, "Its address there."),
    ROW_TEXT("version_id", OPT, TEXT_LINE, "The version of the S3 object."),
    ROW_STRING("checksum_sha256", PK_FORMAT_HASH, OPT, "The SHA-256 of its bytes."),
    ROW_MAP("metadata", OPT, MAP_ENTRIES, &pk_item_free, "Whatever else is known of it."),
};
static const struct pk_schema reference_schema = {
    .name = "ModelFileReference",
    FIELDS(reference_field),
    .help = "Where a model's file lies.",
};

static const struct pk_field rule_field[] = {
    ROW_UUID("rule_id", REQ, "Its id; ties of priority are broken by it."),
    ROW_TEXT("description", REQ, TEXT_LINE, "What it is for."),
    ROW_TEXT("condition_script", REQ, TEXT_PAGE, "When it applies: a Lua condition."),
    ROW_TEXT("action_to_take", REQ, TEXT_PAGE, "What is to be done then."),
    ROW_INT("priority", REQ, -1000000, 1000000, "Higher runs first."),
    ROW_BOOL("is_active", REQ, "Whether it is looked at."),
    ROW_DATE("created_at", REQ, "When it was made."),
    ROW_DATE("updated_at", REQ, "When it last changed."),
};
static const struct pk_schema rule_schema = {
    .name = "BehavioralRule",
    FIELDS(rule_field),
    .help = "A rule of behaviour.",
};
static const struct pk_field rule_item = ROW_OBJECT(NULL, OPT, &rule_schema, "A rule.");

static const struct pk_field style_field[] = {
    ROW_NAME("parameter_name", REQ, "Its name."),
    ROW_FREE("value", REQ, "Its value: text, number, boolean, map or list."),
    ROW_TEXT("source_of_truth", OPT, TEXT_LINE, "Where the value comes from."),
    ROW_DATE("updated_at", REQ, "When it last changed."),
};
static const struct pk_schema style_schema = {
    .name = "StyleParameter",
    FIELDS(style_field),
    .help = "A parameter of style.",
};
static const struct pk_field style_item = ROW_OBJECT(NULL, OPT, &style_schema, "A parameter.");

static const struct pk_field model_field[] = {
    ROW_STRING("_id", PK_FORMAT_MODEL_VERSION, REQ, "The version."),
    ROW_STRING("model_version_id", PK_FORMAT_MODEL_VERSION, REQ, "The version again, by its name."),
    ROW_UUID("persona_id", REQ, "The person whose behaviour it is."),
    ROW_OBJECT("primary_llm_reference", OPT, &reference_schema, "The language model it goes with."),
    ROW_ARRAY("behavioral_rules", REQ, LIST_LONG, &rule_item, "Its rules."),
    ROW_ARRAY("style_parameters", REQ, LIST_LONG, &style_item, "Its style."),
    ROW_DATE("created_at", REQ, "When it was made."),
    ROW_DATE("last_updated_at", REQ, "When it last changed."),
    ROW_BOOL("is_active_model", REQ, "One version per person is active."),
};

static void check_model(const bson_t *doc, const char *path, struct pk_faults *faults)
{
    const char *part[] = { pk_rule_text(doc, "model_version_id") };
    if (part[0]) {
        pk_rule_joined_id(doc, path, part, 1, faults);
    }
}

const struct pk_schema pk_schema_model = {
    .name = "PersonaBehavioralModel",
    FIELDS(model_field),
    .rule = check_model,
    .help = "One version of a person's behavioural model.",
};

/* ---- artifacts ---- */

static const char *const artifact_status[] = { "uploading", "verified", "failed", NULL };
static const struct pk_field artifact_field[] = {
    ROW_UUID("_id", REQ, "Its id."),
    ROW_UUID("persona_id", REQ, "The person."),
    ROW_NAME("model_type", REQ, "What it is: 'llm_finetune', 'embeddings', 'voice'."),
    ROW_STRING("model_version_id", PK_FORMAT_MODEL_VERSION, REQ, "The model it belongs to."),
    ROW_TEXT("artifact_filename", REQ, TEXT_WORD, "The file's name with its extension."),
    ROW_TEXT("bucket", REQ, TEXT_WORD, "The S3 bucket."),
    ROW_TEXT("object_key", REQ, TEXT_LINE, "personas/<person>/<type>/<version>/<file>."),
    ROW_TEXT("version_id", OPT, TEXT_LINE, "The version of the S3 object."),
    ROW_STRING("checksum_sha256", PK_FORMAT_HASH, OPT, "The SHA-256 of its bytes."),
    ROW_COUNT("size", OPT, "Bytes."),
    ROW_TEXT("base_model_used", OPT, TEXT_WORD, "The model it was made from."),
    ROW_DATE("training_date", OPT, "When it was made."),
    ROW_MAP("metadata", OPT, MAP_ENTRIES, &pk_item_free, "Whatever else is known of it."),
    ROW_ENUM("status", REQ, artifact_status, "Only a verified one can be activated."),
    ROW_DATE("created_at", REQ, "When its upload began."),
    ROW_DATE("updated_at", REQ, "When this last changed."),
};
const struct pk_schema pk_schema_artifact = {
    .name = "Artifact",
    FIELDS(artifact_field),
    .help = "A large file of a model.",
};
