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
#define TALLY_FIELDS                                                                     \
    ROW_COUNT("count", REQ, "How much feedback there is."),                              \
        ROW_OBJECT("ratings", REQ, &means_schema, "Means of ratings."),                  \
        ROW_OBJECT("helpful", REQ, &share_schema, "Whether it helped."),                 \
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
static const struct pk_field version_tally_field[] = {
    ROW_STRING("mapperVersion", PK_FORMAT_SEMVER, REQ, "The version."),
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
