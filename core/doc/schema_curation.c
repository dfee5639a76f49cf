/* schema_curation.c - Corrections, pins, decisions and replays: bodies and answers. */
/* SPDX-License-Identifier: MIT */
#include "doc/schema_curation.h"

#include "doc/schema_tables.h"

/* ---- A correction ---- */

static const struct pk_field trait_field[] = {
    ROW_TRAIT("traitName", OPT,
              "The trait's path, as a mindscape shows it; this or 'id' is there."),
    ROW_TRAIT("id", OPT, "The same by its short name."),
    ROW_FREE("value", PK_FIELD_NULLABLE, "What is true; null: the trait is no longer held."),
    ROW_UNIT("confidence", OPT, "How sure the person is."),
    ROW_UNIT("weight", OPT, "How much this counts."),
    ROW_ENUM("volatility", OPT, pk_allowed_level, "How soon it may change."),
    ROW_TEXT("category", OPT, TEXT_WORD, "Its group."),
    ROW_DATE("validFrom", OPT, "From when on it is true."),
    ROW_MAP("metadata", OPT, MAP_ENTRIES, &pk_item_free, "Whatever else is known of it."),
    ROW_TEXT("reason", OPT, TEXT_LINE, "Why, when it is no longer held."),
    ROW_BOOL("pinned", OPT, "Whether it never decays."),
};

/* One of its two names says which trait it is. */
static void trait_rule(const bson_t *doc, const char *path, struct pk_faults *faults)
{
    bson_iter_t iter;
    const bool has_name = bson_iter_init_find(&iter, doc, "traitName");
    const bool has_id = bson_iter_init_find(&iter, doc, "id");
    if (has_name == has_id) {
        pk_faults_add(faults, path, "an object that names its trait once, by 'traitName' or 'id'",
                      has_id ? "both" : "neither");
    }
}

static const struct pk_schema trait_schema = {
    .name = "TraitCorrection",
    FIELDS(trait_field),
    .rule = trait_rule,
    .help = "What a person says of one trait.",
};
static const struct pk_field trait_item = ROW_OBJECT(NULL, OPT, &trait_schema, "One trait.");

static const char *const timeframe[] = { "short_term", "medium_term", "long_term", NULL };
static const struct pk_field goal_field[] = {
    ROW_UUID("goalId", OPT, "One that is held; or, for a new one:"),
    ROW_TEXT("description", OPT, TEXT_LINE, "What the person wants."),
    ROW_ENUM("timeframe", OPT, timeframe, "By when, roughly."),
    ROW_ENUM("priority", OPT, pk_allowed_level, "How much it matters."),
    ROW_UNIT("confidence", OPT, "How sure the person is."),
    ROW_ENUM("volatility", OPT, pk_allowed_volatility, "How soon it may change."),
    ROW_BOOL("remove", OPT, "It is no longer held."),
};
static const struct pk_schema goal_schema = {
    .name = "GoalCorrection",
    FIELDS(goal_field),
    .help = "What a person says of one goal.",
};
static const struct pk_field goal_item = ROW_OBJECT(NULL, OPT, &goal_schema, "One goal.");

static const struct pk_field belief_field[] = {
    ROW_UUID("beliefId", OPT, "One that is held; or, for a new one:"),
    ROW_TEXT("statement", OPT, TEXT_LINE, "What the person holds to be so."),
    ROW_TEXT("category", OPT, TEXT_WORD, "Its group."),
    ROW_UNIT("strength", OPT, "How firmly it is held."),
    ROW_UNIT("confidence", OPT, "How sure the person is."),
    ROW_ENUM("volatility", OPT, pk_allowed_volatility, "How soon it may change."),
    ROW_BOOL("remove", OPT, "It is no longer held."),
};
static const struct pk_schema belief_schema = {
    .name = "BeliefCorrection",
    FIELDS(belief_field),
    .help = "What a person says of one belief.",
};
static const struct pk_field belief_item = ROW_OBJECT(NULL, OPT, &belief_schema, "One belief.");

static const struct pk_field narrative_field[] = {
    ROW_TEXT("summary", REQ, TEXT_PAGE, "Who the person is, for people to read."),
    ROW_ARRAY("keyThemes", OPT, LIST_SOME, &pk_item_word, "What keeps coming up."),
};
static const struct pk_schema narrative_schema = {
    .name = "NarrativeCorrection",
    FIELDS(narrative_field),
    .help = "The summary of a person, in the person's words.",
};

static const struct pk_field now_field[] = {
    { .name = "key",
      .type = PK_TYPE_STRING,
      .format = PK_FORMAT_NAME,
      .flags = PK_FIELD_REQUIRED,
      .max = 190, /* The feed names it behind "hot:". */
      .help = "Its name, as in 'mood'." },
    ROW_FREE("value", PK_FIELD_REQUIRED | PK_FIELD_NULLABLE, "What is true; null: nothing is."),
    ROW_INT("ttl", OPT, 1, COUNT_MAX, "For how many seconds."),
};
static const struct pk_schema now_schema = {
    .name = "NowCorrection",
    FIELDS(now_field),
    .help = "What is true just now.",
};
static const struct pk_field now_item = ROW_OBJECT(NULL, OPT, &now_schema, "One thing.");

static const struct pk_field patch_field[] = {
    ROW_ARRAY("traitMatrix", OPT, LIST_SOME, &trait_item,
              "Traits that are set, forgotten or pinned."),
    ROW_ARRAY("traits", OPT, LIST_SOME, &trait_item, "The same by its short name."),
    ROW_ARRAY("goals", OPT, LIST_SOME, &goal_item, "Goals that are added, changed or removed."),
    ROW_ARRAY("beliefs", OPT, LIST_SOME, &belief_item, "Beliefs, likewise."),
    ROW_OBJECT("narrative", OPT, &narrative_schema, "The summary."),
    ROW_ARRAY("now", OPT, LIST_SOME, &now_item, "What is true just now."),
};
const struct pk_schema pk_schema_mindscape_patch = {
    .name = "MindscapePatch",
    FIELDS(patch_field),
    .help = "What a person corrects in what is known; what is not named stays as it is.",
};

static const struct pk_field curated_field[] = {
    ROW_UUID("observationId", REQ,
             "The observation that says so; it outranks what scripts derive."),
    ROW_UUID("taskId", REQ, "The task that carries it out: /v1/tasks/{taskId}."),
};
const struct pk_schema pk_schema_curated = {
    .name = "Curated",
    FIELDS(curated_field),
    .help = "A correction that was accepted.",
};

/* ---- Reviews ---- */

const char *const pk_review_status[] = { "pending", "approved", "declined", "undone", NULL };
static const struct pk_field review_field[] = {
    ROW_UUID("reviewId", REQ, "Its id."),
    ROW_UUID("personId", REQ, "The person."),
    ROW_UUID("mergedFrom", OPT, "Whose it was before people were merged."),
    ROW_TRAIT("traitPath", REQ, "The trait in question."),
    ROW_FREE("current", PK_FIELD_NULLABLE, "The trait as it stood."),
    ROW_FREE("proposed", REQ, "The trait as it would become."),
    ROW_TEXT("reason", OPT, TEXT_LINE, "Why it was not simply done."),
    ROW_ARRAY("derivedFrom", REQ, LIST_SHORT, &pk_item_obs, "Observations that propose it."),
    ROW_ENUM("status", REQ, pk_review_status, "What was decided."),
    ROW_TEXT("decidedBy", OPT, TEXT_WORD, "The actor who decided."),
    ROW_DATE("decidedAt", OPT, "When it was decided."),
    ROW_UUID("curationId", OPT, "The observation that carries the decision out."),
    ROW_DATE("createdAt", REQ, "When it was proposed."),
    ROW_DATE("updatedAt", REQ, "When it last changed."),
};
const struct pk_schema pk_schema_review_view = {
    .name = "ReviewView",
    FIELDS(review_field),
    .help = "A change of a trait that waits for a person's word, or has got it.",
};

/* ---- Replay ---- */

#define REPLAY_ROWS                                     \
    ROW_STRING("processor", PK_FORMAT_SCRIPT_ID, OPT,   \
               "A processor that shall run in another " \
               "version than it did."),                 \
        ROW_STRING("version", PK_FORMAT_SEMVER, OPT, "That version; its active one if absent.")

static const struct pk_field replay_field[] = {
    REPLAY_ROWS,
    ROW_BOOL("dryRun", OPT, "Only say what would change."),
};
const struct pk_schema pk_schema_replay_person = {
    .name = "ReplayRequest",
    FIELDS(replay_field),
    .help = "How a person's mindscape is to be made anew from the person's observations.",
};

static const struct pk_field replay_all_field[] = {
    ROW_STRING("processor", PK_FORMAT_SCRIPT_ID, REQ, "The processor."),
    ROW_STRING("version", PK_FORMAT_SEMVER, OPT, "Its version; the active one if absent."),
    ROW_NUMBER("perSecond", OPT, 0.001, 10000, "People a second, at most; 10 by default."),
};
const struct pk_schema pk_schema_replay_all = {
    .name = "ReplayAllRequest",
    FIELDS(replay_all_field),
    .help = "How the mindscapes of all people are to be made anew.",
};

static const struct pk_field difference_field[] = {
    ROW_TEXT("path", REQ, TEXT_LINE, "What would change."),
    ROW_FREE("before", PK_FIELD_NULLABLE, "As it is."),
    ROW_FREE("after", PK_FIELD_NULLABLE, "As it would be."),
};
static const struct pk_schema difference_schema = {
    .name = "ReplayDifference",
    FIELDS(difference_field),
    .help = "One thing that a replay would change.",
};
static const struct pk_field difference_item =
    ROW_OBJECT(NULL, OPT, &difference_schema, "One thing.");

static const struct pk_field replay_view_field[] = {
    ROW_UUID("taskId", OPT, "The task that does it: /v1/tasks/{taskId}; absent of a dry run."),
    ROW_BOOL("dryRun", REQ, "Whether nothing was changed."),
    ROW_COUNT("observations", OPT, "How many observations were replayed."),
    ROW_ARRAY("differences", OPT, LIST_HUGE, &difference_item, "Of a dry run."),
    ROW_BOOL("isSame", OPT, "Of a dry run: nothing would change."),
};
const struct pk_schema pk_schema_replay_view = {
    .name = "ReplayAnswer",
    FIELDS(replay_view_field),
    .help = "What a replay would change, or the task that makes it.",
};

static const char *const replay_status[] = { "none", "running", "paused", "done", NULL };
static const struct pk_field replay_state_field[] = {
    ROW_ENUM("status", REQ, replay_status, "Whether one is under way."),
    ROW_STRING("processor", PK_FORMAT_SCRIPT_ID, OPT, "The processor."),
    ROW_STRING("version", PK_FORMAT_SEMVER, OPT, "Its version."),
    ROW_NUMBER("perSecond", OPT, 0, 10000, "People a second, at most."),
    ROW_COUNT("lookedAt", OPT, "People that it has come by."),
    ROW_COUNT("replayed", OPT, "Those of them who have a task: they had sent what it takes."),
    ROW_UNIT("progress", OPT, "How much of it is done."),
    ROW_DATE("startedAt", OPT, "When it began."),
    ROW_DATE("completedAt", OPT, "When it had come by everybody."),
};
const struct pk_schema pk_schema_replay_state = {
    .name = "ReplayAllState",
    FIELDS(replay_state_field),
    .help = "How far the last replay of all people has got.",
};
