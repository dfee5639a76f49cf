/* schema_explain.c - Why a persona is as it is, and what came of it: bodies of answers. */
/* SPDX-License-Identifier: MIT */
#include "doc/schema_explain.h"

#include "doc/schema_tables.h"

/* ---- A mapper's feedback, added up ---- */

static const struct pk_field means_field[] = {
    ROW_NUMBER("overall", OPT, 1, 5, "The mean of those who said; absent: nobody did."),
    ROW_NUMBER("accuracy", OPT, 1, 5, "Whether it was right."),
    ROW_NUMBER("completeness", OPT, 1, 5, "Whether it was all there."),
    ROW_NUMBER("relevance", OPT, 1, 5, "Whether it mattered."),
    ROW_NUMBER("usability", OPT, 1, 5, "Whether it was easy to use."),
};
static const struct pk_schema means_schema = {
    .name = "MeanRatings",
    FIELDS(means_field),
    .help = "Means of ratings.",
};
static const struct pk_field share_field[] = {
    ROW_COUNT("count", REQ, "How many said yes or no."),
    ROW_UNIT("share", OPT, "The share of yes among them; absent: nobody said."),
};
static const struct pk_schema share_schema = {
    .name = "Share",
    FIELDS(share_field),
    .help = "How many said yes.",
};
static const struct pk_field promotion_field[] = {
    ROW_COUNT("promoters", REQ, "Scores of 9 and 10."),
    ROW_COUNT("passives", REQ, "Scores of 7 and 8."),
    ROW_COUNT("detractors", REQ, "Scores of 6 and less."),
    ROW_NUMBER("nps", OPT, -100, 100, "Promoters less detractors, in percent of all scores."),
};
static const struct pk_schema promotion_schema = {
    .name = "Recommendation",
    FIELDS(promotion_field),
    .help = "Whether it would be recommended.",
};
#define TALLY_FIELDS                                                                        \
    ROW_COUNT("count", REQ, "How much feedback there is."),                                 \
        ROW_OBJECT("ratings", REQ, &means_schema, "Means of ratings."),                     \
        ROW_OBJECT("helpful", REQ, &share_schema, "Whether it helped."),                    \
        ROW_OBJECT("wouldUseAgain", REQ, &share_schema, "Whether it would be used again."), \
        ROW_OBJECT("recommendation", REQ, &promotion_schema, "Whether it would be recommended.")

static const struct pk_field rule_tally_field[] = {
    ROW_TEXT("ruleId", REQ, 255, "The rule."),
    TALLY_FIELDS,
};
static const struct pk_schema rule_tally_schema = {
    .name = "RuleFeedback",
    FIELDS(rule_tally_field),
    .help = "Feedback that names a rule.",
};
static const struct pk_field rule_tally_item =
    ROW_OBJECT(NULL, OPT, &rule_tally_schema, "One rule.");
static const struct pk_field calls_field[] = {
    ROW_COUNT("count", REQ, "Calls that made something or failed ..."),
    ROW_COUNT("failures", REQ, "... of these, those that failed."),
    ROW_NUMBER("meanMs", REQ, 0, COUNT_MAX, "What one took on average, in milliseconds ..."),
    ROW_NUMBER("p99Ms", REQ, 0, COUNT_MAX, "... and 99 of 100 at most."),
};
static const struct pk_schema calls_schema = {
    .name = "VersionCalls",
    FIELDS(calls_field),
    .help = "How a version does on the server that answers, since it serves there.",
};
static const char *const version_role[] = { "active", "canary", NULL };
static const struct pk_field version_tally_field[] = {
    ROW_STRING("mapperVersion", PK_FORMAT_SEMVER, REQ, "The version."),
    ROW_ENUM("role", OPT, version_role, "Whether it serves, or is tried; absent: neither."),
    ROW_UNIT("peopleShare", OPT, "The share of people who get it; of those that serve."),
    ROW_COUNT("usageCount", OPT, "How often its personas were used; of those that serve."),
    ROW_OBJECT("calls", OPT, &calls_schema, "How it does; of those that serve."),
    TALLY_FIELDS,
    ROW_ARRAY("rules", REQ, LIST_LONG, &rule_tally_item, "By rule, where one was named."),
};
static const struct pk_schema version_tally_schema = {
    .name = "VersionFeedback",
    FIELDS(version_tally_field),
    .help = "Feedback on the personas of one version.",
};
static const struct pk_field version_tally_item =
    ROW_OBJECT(NULL, OPT, &version_tally_schema, "One version.");
static const struct pk_field summary_field[] = {
    ROW_STRING("mapperId", PK_FORMAT_SCRIPT_ID, REQ, "The mapper."),
    TALLY_FIELDS,
    ROW_ARRAY("versions", REQ, LIST_LONG, &version_tally_item, "By version, the newest first."),
};
const struct pk_schema pk_schema_feedback_summary = {
    .name = "FeedbackSummary",
    FIELDS(summary_field),
    .help = "A mapper's feedback, added up.",
};

/* ---- Why a persona is as it is ---- */

static const struct pk_field place_field[] = {
    ROW_TEXT("file", REQ, TEXT_WORD, "The file of the mapper."),
    ROW_INT("line", REQ, 1, COUNT_MAX, "The line in it."),
    ROW_TEXT("text", OPT, TEXT_LINE, "That line."),
};
static const struct pk_schema place_schema = {
    .name = "SourceLine",
    FIELDS(place_field),
    .help = "Where it is written.",
};
static const struct pk_field said_line_field[] = {
    ROW_TEXT("path", REQ, TEXT_LINE, "The line, as a path into the persona."),
    ROW_FREE("says", OPT, "What it says."),
    ROW_TEXT("ruleId", OPT, TEXT_WORD, "The rule that made it; absent: a function did."),
    ROW_OBJECT("source", OPT, &place_schema, "Where that is written."),
    ROW_ARRAY("traits", OPT, LIST_SOME, &pk_item_trait, "The traits it rests on."),
};
static const struct pk_schema said_line_schema = {
    .name = "LineOfPersona",
    FIELDS(said_line_field),
    .help = "Where one line comes from.",
};
static const struct pk_field said_line_item = ROW_OBJECT(NULL, OPT, &said_line_schema, "One line.");
static const struct pk_field rule_seen_field[] = {
    ROW_NAME("ruleId", REQ, "The rule."),
    ROW_BOOL("fired", REQ, "Whether it fired."),
    ROW_TEXT("reason", OPT, TEXT_PAGE,
             "Why not: the first condition that failed, and what it saw."),
    ROW_OBJECT("source", OPT, &place_schema, "Where it is written."),
    ROW_ARRAY("traits", OPT, LIST_SOME, &pk_item_trait, "The traits that it names."),
};
static const struct pk_schema rule_seen_schema = {
    .name = "RuleOfPersona",
    FIELDS(rule_seen_field),
    .help = "Whether a rule fired, and why not.",
};
static const struct pk_field rule_seen_item = ROW_OBJECT(NULL, OPT, &rule_seen_schema, "One rule.");

static const struct pk_field evidence_field[] = {
    ROW_UUID("observationId", REQ, "The observation."),
    ROW_UNIT("weight", OPT, "How much it counts."),
    ROW_NAME("sourceType", OPT, "Of what sort it is; absent: it is no longer there."),
    ROW_TEXT("source", OPT, TEXT_LINE, "Where it came from."),
    ROW_DATE("effectiveAt", OPT, "The instant from which it holds."),
};
static const struct pk_schema evidence_schema = {
    .name = "EvidenceOfTrait",
    FIELDS(evidence_field),
    .help = "An observation behind a trait or a fact.",
};
static const struct pk_field evidence_item =
    ROW_OBJECT(NULL, OPT, &evidence_schema, "One observation.");
static const struct pk_field told_field[] = {
    ROW_UUID("narrativeId", REQ, "The narrative."),
    ROW_ENUM("linkType", OPT, pk_allowed_link, "How it speaks of the trait."),
    ROW_UNIT("weight", OPT, "How sure that is."),
};
static const struct pk_schema told_schema = {
    .name = "NarrativeOfTrait",
    FIELDS(told_field),
    .help = "A narrative that speaks of a trait.",
};
static const struct pk_field told_item = ROW_OBJECT(NULL, OPT, &told_schema, "One narrative.");
static const struct pk_field trait_read_field[] = {
    ROW_TRAIT("traitName", REQ, "The trait's path."),
    ROW_FREE("value", OPT, "Its value as it was read."),
    ROW_COUNT("version", REQ, "The mindscape's version at which it last changed; 0: not known."),
    ROW_UNIT("confidenceThen", REQ, "How sure it was when the persona was made."),
    ROW_BOOL("isHeld", REQ, "Whether it is still held."),
    ROW_UNIT("confidenceNow", OPT, "How sure it is now."),
    ROW_FREE("valueNow", OPT, "Its value now, when it is another."),
    ROW_BOOL("pinned", OPT, "Whether a person has pinned it."),
    ROW_ARRAY("sources", REQ, LIST_SHORT, &evidence_item, "The weightiest observations behind it."),
    ROW_COUNT("sourceCount", OPT, "How many there were in all."),
    ROW_ARRAY("narratives", OPT, LIST_SOME, &told_item, "Narratives that speak of it."),
};
static const struct pk_schema trait_read_schema = {
    .name = "TraitOfPersona",
    FIELDS(trait_read_field),
    .help = "A trait that was read.",
};
static const struct pk_field trait_read_item =
    ROW_OBJECT(NULL, OPT, &trait_read_schema, "One trait.");
static const struct pk_field fact_read_field[] = {
    ROW_TEXT("key", REQ, TEXT_WORD, "Its name."),
    ROW_FREE("value", REQ, "What it said when it was read."),
    ROW_UNIT("confidence", REQ, "How sure that was."),
    ROW_DATE("updatedAt", REQ, "The instant from which it held."),
    ROW_BOOL("isHeld", REQ, "Whether there is such a fact now."),
    ROW_FREE("valueNow", OPT, "What it says now, when that is another thing."),
    ROW_ARRAY("sources", REQ, LIST_SHORT, &evidence_item, "The observations that told it."),
};
static const struct pk_schema fact_read_schema = {
    .name = "FactOfPersona",
    FIELDS(fact_read_field),
    .help = "A fact that was read.",
};
static const struct pk_field fact_read_item = ROW_OBJECT(NULL, OPT, &fact_read_schema, "One fact.");
static const struct pk_field read_item = ROW_OBJECT(NULL, OPT, &pk_schema_read_key, "One thing.");

static const struct pk_field effect_field[] = {
    ROW_TEXT("path", REQ, TEXT_LINE, "The section."),
    ROW_FREE("before", OPT, "What it says; absent: it is not there."),
    ROW_FREE("after", OPT, "What it would say; absent: it would go."),
};
static const struct pk_schema effect_schema = {
    .name = "EffectOfChange",
    FIELDS(effect_field),
    .help = "What a new mapping would say otherwise.",
};
static const struct pk_field effect_item = ROW_OBJECT(NULL, OPT, &effect_schema, "One section.");
static const char *const freshness[] = { "fresh", "mapper", "time", "read", NULL };
static const struct pk_field stale_field[] = {
    ROW_BOOL("isStale", REQ, "Whether a mapping would run again now."),
    ROW_ENUM("core", REQ, freshness, "Why the core is out of date, or that it is not."),
    ROW_ENUM("overlay", REQ, freshness, "The same of the overlay."),
    ROW_ARRAY("changed", REQ, LIST_HUGE, &read_item, "What was read and has changed since."),
    ROW_ARRAY("effect", OPT, LIST_LONG, &effect_item, "What that would change in the persona."),
    ROW_TEXT("problem", OPT, TEXT_LINE, "Why a new mapping fails."),
};
static const struct pk_schema stale_schema = {
    .name = "Staleness",
    FIELDS(stale_field),
    .help = "Whether it is out of date, and what that means.",
};

static const struct pk_field explanation_field[] = {
    ROW_TEXT("compositeKey", REQ, 300, "<mapper>:<person>:<detail>, and :<variant> if there is."),
    ROW_UUID("personaInstanceId", OPT, "The generation; absent: it would have been."),
    ROW_UUID("personId", REQ, "The person it shows."),
    ROW_STRING("sourceMapperId", PK_FORMAT_SCRIPT_ID, REQ, "The mapper that made it."),
    ROW_STRING("mapperVersion", PK_FORMAT_SEMVER, REQ, "The mapper's version."),
    ROW_DETAIL("detailLevel", REQ, "How much it says."),
    ROW_COUNT("mindscapeVersion", REQ, "The version of the mindscape."),
    ROW_BOOL("isHypothetical", REQ, "Whether this is what would have been."),
    ROW_DATE("mappedAt", REQ, "The instant that it was made for."),
    ROW_DATE("explainedAt", REQ, "Now."),
    ROW_FREE("personaCore", OPT, "What would have been said."),
    ROW_FREE("contextualOverlay", OPT, "The same of what changes fast."),
    ROW_ARRAY("warnings", OPT, LIST_SOME, &pk_item_line, "What is missing or doubtful."),
    ROW_ARRAY("lines", REQ, LIST_LONG, &said_line_item, "Where each line comes from."),
    ROW_ARRAY("rules", REQ, LIST_LONG, &rule_seen_item, "Rules that fired and rules that did not."),
    ROW_ARRAY("traits", REQ, LIST_SOME * 3, &trait_read_item, "What was read."),
    ROW_ARRAY("facts", REQ, LIST_LONG, &fact_read_item, "Facts that were read."),
    ROW_ARRAY("reads", REQ, LIST_HUGE, &read_item, "Other reads, and what was missed."),
    ROW_OBJECT("staleness", OPT, &stale_schema, "What has changed since; absent: hypothetical."),
};
const struct pk_schema pk_schema_explanation_view = {
    .name = "PersonaExplanation",
    FIELDS(explanation_field),
    .help = "Why a persona is as it is.",
};
