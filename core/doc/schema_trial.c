/* schema_trial.c - Dry runs and comparisons of versions of mappers: bodies and answers.
 *
 * A mindscape that is given is spelt as GET /v1/people/{person}/mindscape shows
 * one, so what is read there can be changed and sent here; all that a mapper
 * does not need may be left out. */
/* SPDX-License-Identifier: MIT */
#include "doc/schema_trial.h"

#include "doc/schema_tables.h"

/* ---- A mindscape that is given ---- */

static const char *const data_type[] = { "numeric", "categorical", "complex", NULL };
static const struct pk_field trait_field[] = {
    ROW_TRAIT("traitName", REQ, "Its path, as in 'work.focus.peak_hours'."),
    ROW_FREE("value", REQ, "What is held to be true."),
    ROW_UNIT("confidence", OPT, "How sure we are now; default: 1."),
    ROW_TEXT("category", OPT, TEXT_WORD, "Its group; default: the first segment of its path."),
    ROW_ENUM("dataType", OPT, data_type, "Of what sort the value is; default: as it looks."),
    ROW_ENUM("volatility", OPT, pk_allowed_level, "How soon it may change; default: medium."),
    ROW_DATE("updatedAt", OPT, "When it last changed; default: now."),
    ROW_DATE("validFrom", OPT, "From when on it is true."),
    ROW_BOOL("pinned", OPT, "Pinned by a person: it never decays."),
    ROW_MAP("metadata", OPT, MAP_ENTRIES, &pk_item_free, "Whatever else is known of it."),
    ROW_FREE("sources", OPT, "Scripts do not see them."),
    ROW_COUNT("sourceCount", OPT, "How many observations it rests on."),
    ROW_NAME("sourceType", OPT, "The sort of source that stands longest; decay goes by it."),
    ROW_FREE("links", OPT, "Narratives that speak of it."),
    ROW_FREE("derivedFrom", OPT, "Scripts do not see it."),
};
static const struct pk_schema trait_schema = {
    .name = "GivenTrait",
    FIELDS(trait_field),
    .help = "One thing held to be true of a person.",
};
static const struct pk_field trait_item = ROW_OBJECT(NULL, OPT, &trait_schema, "One trait.");

static const struct pk_field hot_date = ROW_DATE(NULL, OPT, "An instant.");

static const struct pk_field given_field[] = {
    ROW_ARRAY("traitMatrix", OPT, LIST_HUGE, &trait_item, "What is held to be true."),
    ROW_ARRAY("goals", OPT, LIST_SOME, &pk_item_free, "What the person wants."),
    ROW_ARRAY("beliefs", OPT, LIST_SOME, &pk_item_free, "What the person holds to be so."),
    ROW_FREE("narrative", OPT, "The summary of the person."),
    ROW_MAP("highVolatileCache", OPT, MAP_ENTRIES, &pk_item_free, "What is true just now."),
    ROW_MAP("highVolatileUntil", OPT, LIST_SOME, &hot_date, "When each of it goes."),
    ROW_COUNT("version", OPT, "Its version; default: 0."),
    ROW_FREE("mindscapeId", OPT, "As it is shown; of no effect."),
    ROW_FREE("personId", OPT, "As it is shown; of no effect."),
    ROW_FREE("createdAt", OPT, "As it is shown; of no effect."),
    ROW_FREE("updatedAt", OPT, "As it is shown; of no effect."),
    ROW_FREE("lastProcessedObservationId", OPT, "As it is shown; of no effect."),
    ROW_FREE("processingMetadata", OPT, "As it is shown; of no effect."),
    ROW_FREE("seq", OPT, "As it is shown; of no effect."),
};
static const struct pk_schema given_schema = {
    .name = "GivenMindscape",
    FIELDS(given_field),
    .help = "A mindscape as GET shows one, or as much of it as the mapper needs.",
};

/* ---- Bodies ---- */

#define CONTEXT_FIELD                                   \
    ROW_MAP("context", OPT, MAP_ENTRIES, &pk_item_free, \
            "Values for the mapper: those that its manifest declares reach it.")

static const struct pk_field dry_field[] = {
    ROW_UUID("personId", OPT, "Whose mindscape; or 'mindscape'."),
    ROW_OBJECT("mindscape", OPT, &given_schema, "A mindscape instead of a person's."),
    ROW_DETAIL("detailLevel", REQ, "How much it shall say."),
    CONTEXT_FIELD,
    ROW_DATE("now", OPT, "The instant that it shall be made for; default: now."),
};

static void check_dry(const bson_t *doc, const char *path, struct pk_faults *faults)
{
    const bool has_person = bson_has_field(doc, "personId");
    if (has_person == bson_has_field(doc, "mindscape")) {
        pk_faults_add(faults, path, "either 'personId' or 'mindscape'", "%s",
                      has_person ? "both" : "neither");
    }
}

const struct pk_schema pk_schema_dry_run = {
    .name = "DryRun",
    FIELDS(dry_field),
    .rule = check_dry,
    .help = "What a version of a mapper shall be run on.",
};

static const struct pk_field diff_field[] = {
    ROW_STRING("against", PK_FORMAT_SEMVER, REQ, "The other version."),
    ROW_INT("sample", OPT, 1, PK_TRIAL_SAMPLE_MAX, "How many people; default: 100."),
    ROW_DETAIL("detailLevel", REQ, "How much the personas shall say."),
    CONTEXT_FIELD,
};
const struct pk_schema pk_schema_mapper_diff = {
    .name = "MapperDiff",
    FIELDS(diff_field),
    .help = "What a version of a mapper shall be compared with.",
};

/* ---- Answers ---- */

static const struct pk_field dry_view_field[] = {
    ROW_STRING("mapperId", PK_FORMAT_SCRIPT_ID, REQ, "The mapper."),
    ROW_STRING("mapperVersion", PK_FORMAT_SEMVER, REQ, "The version that was run."),
    ROW_UUID("personId", OPT, "The person; absent: a mindscape was given."),
    ROW_DETAIL("detailLevel", REQ, "How much it says."),
    ROW_COUNT("mindscapeVersion", REQ, "The version of the mindscape."),
    ROW_DATE("mappedAt", REQ, "The instant that it was made for."),
    ROW_NUMBER("generationTime", REQ, 0, COUNT_MAX, "How long it took, in milliseconds."),
    ROW_FREE("personaCore", OPT, "What changes slowly; absent: see 'problem'."),
    ROW_FREE("contextualOverlay", OPT, "What changes fast; absent: see 'problem'."),
    ROW_ARRAY("ruleIds", REQ, LIST_LONG, &pk_item_word, "Rules that fired."),
    ROW_ARRAY("warnings", REQ, LIST_SOME, &pk_item_line, "What is missing or doubtful."),
    ROW_ARRAY("missing", REQ, LIST_SOME, &pk_item_line, "Traits that it requires, not known."),
    ROW_TEXT("problem", OPT, TEXT_PAGE, "Why a mapping would be refused; absent: it would not."),
};
const struct pk_schema pk_schema_dry_run_view = {
    .name = "DryRunResult",
    FIELDS(dry_view_field),
    .help = "The persona that a version would make; nothing is kept of it.",
};

static const char *const side[] = { "version", "against", NULL };
static const struct pk_field change_field[] = {
    ROW_UUID("personId", REQ, "The person."),
    ROW_ARRAY("sections", REQ, LIST_SOME, &pk_item_line, "Sections that differ."),
    ROW_ARRAY("lines", REQ, LIST_SOME, &pk_item_line, "Paths that differ, the first 50."),
    ROW_COUNT("lineCount", REQ, "How many there are."),
    ROW_ARRAY("rulesAdded", REQ, LIST_LONG, &pk_item_word, "Rules that fire in 'version' alone."),
    ROW_ARRAY("rulesRemoved", REQ, LIST_LONG, &pk_item_word, "And in 'against' alone."),
    ROW_BOOL("warningsDiffer", REQ, "Whether other things are missing or doubtful."),
    ROW_ENUM("fails", OPT, side, "Which one makes no persona; absent: both make one."),
    ROW_TEXT("problem", OPT, TEXT_PAGE, "Why it makes none."),
};
static const struct pk_schema change_schema = {
    .name = "DifferenceOfPersona",
    FIELDS(change_field),
    .help = "Where the personas of one person differ.",
};
static const struct pk_field change_item = ROW_OBJECT(NULL, OPT, &change_schema, "One person.");

static const struct pk_field failures_field[] = {
    ROW_COUNT("version", REQ, "People for whom 'version' makes no persona."),
    ROW_COUNT("against", REQ, "And 'against'."),
};
static const struct pk_schema failures_schema = {
    .name = "FailuresOfVersions",
    FIELDS(failures_field),
    .help = "How often a mapping would fail.",
};

static const struct pk_field diff_view_field[] = {
    ROW_STRING("mapperId", PK_FORMAT_SCRIPT_ID, REQ, "The mapper."),
    ROW_STRING("version", PK_FORMAT_SEMVER, REQ, "The version."),
    ROW_STRING("against", PK_FORMAT_SEMVER, REQ, "What it was compared with."),
    ROW_DETAIL("detailLevel", REQ, "How much the personas say."),
    ROW_DATE("mappedAt", REQ, "The instant that all were made for."),
    ROW_COUNT("sample", REQ, "How many people were asked for."),
    ROW_COUNT("looked", REQ, "How many were looked at: all of them, if there are fewer."),
    ROW_BOOL("isCut", REQ, "Time ran out before the sample was done."),
    ROW_COUNT("differ", REQ, "How many people's personas differ."),
    ROW_OBJECT("failures", REQ, &failures_schema, "How often a mapping would fail."),
    ROW_ARRAY("differences", REQ, LIST_SOME, &change_item, "The first 100 people that differ."),
};
const struct pk_schema pk_schema_mapper_diff_view = {
    .name = "MapperDiffResult",
    FIELDS(diff_view_field),
    .help = "What another version of a mapper would change.",
};
