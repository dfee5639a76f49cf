/* schema_actor.c - Who may ask, and what they say came of it. */
/* SPDX-License-Identifier: MIT */
#include "doc/schema_tables.h"

/* ---- actors ---- */

static const char *const key_status[] = { "active", "revoked", NULL };
static const struct pk_field key_field[] = {
    ROW_NAME("keyId", REQ, "The public part of the key; every request names it."),
    { .name = "keyHash",
      .type = PK_TYPE_STRING,
      .format = PK_FORMAT_HASH,
      .flags = PK_FIELD_REQUIRED | PK_FIELD_SECRET,
      .help = "The keyed hash of the secret part." },
    ROW_NAME("pepperId", OPT | PK_FIELD_SECRET, "The pepper that it was hashed with."),
    ROW_TEXT("name", REQ, TEXT_WORD, "What it is for."),
    ROW_DATE("createdAt", REQ, "When it was made."),
    ROW_DATE("lastUsedAt", OPT, "When it was last used."),
    ROW_DATE("expiresAt", OPT, "When it stops working."),
    ROW_DATE("revokedAt", OPT, "When it was revoked."),
    ROW_ENUM("status", REQ, key_status, "Whether it works."),
};
static const struct pk_schema key_schema = {
    .name = "ApiKey",
    FIELDS(key_field),
    .help = "A key of an actor.",
};
static const struct pk_field key_item = ROW_OBJECT(NULL, OPT, &key_schema, "A key.");

static const struct pk_field capability_field[] = {
    ROW_BOOL("canRequestPersonas", REQ, "May ask for personas."),
    ROW_BOOL("canProvideFeedback", REQ, "May send feedback."),
    ROW_DETAIL("maxDetailLevel", REQ, "The most detail it may ask for."),
    ROW_ARRAY("allowedMappers", REQ, LIST_LONG, &pk_item_word, "Mappers it may use; '*' is all."),
    ROW_ARRAY("grants", OPT, LIST_SOME, &pk_item_word,
              "Further capabilities, as routes name them."),
    ROW_ARRAY("people", OPT, LIST_LONG, &pk_item_word, "People it may see; '*' is all."),
    ROW_ARRAY("hiddenPaths", OPT, LIST_LONG, &pk_item_word, "Traits that it never gets to see."),
};
const struct pk_schema pk_schema_capabilities = {
    .name = "Capabilities",
    FIELDS(capability_field),
    .help = "What an actor may do.",
};

static const struct pk_field usage_field[] = {
    ROW_COUNT("totalPersonasRequested", REQ, "How many personas it asked for."),
    ROW_COUNT("totalFeedbackProvided", REQ, "How often it gave feedback."),
    ROW_COUNT("feedbackWords", OPT,
              "Parts of its feedback's words that said something, of 5 each."),
    ROW_UNIT("averageFeedbackQuality", OPT, "The share of them; computed when read."),
    ROW_DATE("lastActiveAt", OPT, "When it last asked for something."),
};
const struct pk_schema pk_schema_actor_usage = {
    .name = "ActorUsage",
    FIELDS(usage_field),
    .help = "What an actor did.",
};

static const char *const actor_type[] = { "ai_agent", "human", "system", NULL };
static const char *const actor_status[] = { "active", "suspended", "archived", NULL };
static const char *const method[] = { "api_key", "oauth", "service_account", NULL };
static const struct pk_field actor_field[] = {
    ROW_UUID("_id", REQ, "Its id."),
    ROW_ENUM("actorType", REQ, actor_type, "What it is."),
    ROW_TEXT("name", REQ, TEXT_WORD, "What it is called."),
    ROW_TEXT("description", REQ, TEXT_LINE, "What it is for."),
    ROW_STRING("email", PK_FORMAT_EMAIL, OPT, "Where a person behind it can be reached."),
    ROW_OBJECT("capabilities", REQ, &pk_schema_capabilities, "What it may do."),
    ROW_OBJECT("usageMetadata", REQ, &pk_schema_actor_usage, "What it did."),
    ROW_ENUM("authenticationMethod", REQ, method, "How it proves itself; 'oauth' is refused."),
    { .name = "apiKeys",
      .type = PK_TYPE_ARRAY,
      .min = 1,
      .max = LIST_SOME,
      .item = &key_item,
      .help = "Its keys; absent when it has none." },
    ROW_DATE("createdAt", REQ, "When it was made."),
    ROW_DATE("updatedAt", REQ, "When it last changed."),
    ROW_ENUM("status", REQ, actor_status, "Only an active one is served."),
};
const struct pk_schema pk_schema_actor = {
    .name = "Actor",
    FIELDS(actor_field),
    .help = "An agent, a human or a system that uses the server.",
};

/* ---- feedback ---- */

static const char *const outcome[] = { "success", "partial_success", "failure", NULL };
static const struct pk_field task_field[] = {
    ROW_TEXT("taskType", REQ, TEXT_WORD, "What sort of task it was."),
    ROW_TEXT("taskDescription", REQ, TEXT_PAGE, "What was to be done."),
    ROW_ENUM("taskOutcome", REQ, outcome, "Whether it was done."),
    ROW_COUNT("duration", OPT, "How long it took, in milliseconds."),
};
static const struct pk_schema task_schema = {
    .name = "TaskContext",
    FIELDS(task_field),
    .help = "The task that the persona was used for.",
};

static const struct pk_field ratings_field[] = {
    ROW_INT("overall", REQ, 1, 5, "All in all."),
    ROW_INT("accuracy", OPT, 1, 5, "Whether it was right."),
    ROW_INT("completeness", OPT, 1, 5, "Whether it was all there."),
    ROW_INT("relevance", OPT, 1, 5, "Whether it mattered."),
    ROW_INT("usability", OPT, 1, 5, "Whether it was easy to use."),
};
static const struct pk_schema ratings_schema = {
    .name = "Ratings",
    FIELDS(ratings_field),
    .help = "Marks from 1 to 5.",
};

static const struct pk_field section_field[] = {
    ROW_TEXT("sectionName", REQ, TEXT_WORD, "The section."),
    ROW_TEXT("issue", REQ, TEXT_PAGE, "What is wrong with it."),
    ROW_TEXT("suggestedCorrection", OPT, TEXT_PAGE, "What would be right."),
};
static const struct pk_schema section_schema = {
    .name = "SectionFeedback",
    FIELDS(section_field),
    .help = "What is wrong with a section.",
};
static const struct pk_field section_item = ROW_OBJECT(NULL, OPT, &section_schema, "A section.");
static const struct pk_field specific_field[] = {
    ROW_ARRAY("whatWorkedWell", REQ, LIST_SOME, &pk_item_line, "What was good."),
    ROW_ARRAY("whatDidntWork", REQ, LIST_SOME, &pk_item_line, "What was not."),
    ROW_ARRAY("missingSections", OPT, LIST_SOME, &pk_item_word, "Sections that were missed."),
    ROW_ARRAY("incorrectSections", OPT, LIST_SOME, &section_item, "Sections that were wrong."),
    ROW_TEXT("suggestions", REQ, TEXT_PAGE, "What would be better."),
};
static const struct pk_schema specific_schema = {
    .name = "SpecificFeedback",
    FIELDS(specific_field),
    .help = "Feedback in words.",
};

static const char *const success_impact[] = { "negative", "neutral", "positive", NULL };
static const struct pk_field impact_field[] = {
    ROW_ENUM("taskSuccessImpact", REQ, success_impact, "Whether it helped."),
    ROW_BOOL("wouldUseAgain", REQ, "Whether it would be used again."),
    ROW_INT("recommendationScore", REQ, 1, 10, "9 and 10 promote, 7 and 8 do not care."),
};
static const struct pk_schema impact_schema = {
    .name = "Impact",
    FIELDS(impact_field),
    .help = "What difference the persona made.",
};

static const char *const feedback_status[] = { "pending", "processed", "incorporated", NULL };
/* What a client says; the same rows are stored and sent (schema_api.c). */
#define SAID_FIELDS                                                                  \
    ROW_OBJECT("taskContext", OPT, &task_schema, "The task."),                       \
        ROW_OBJECT("ratings", REQ, &ratings_schema, "Marks from 1 to 5."),           \
        ROW_OBJECT("specificFeedback", OPT, &specific_schema, "Feedback in words."), \
        ROW_OBJECT("impact", OPT, &impact_schema, "What difference it made."),       \
        ROW_BOOL("helpful", OPT, "Whether it helped."),                              \
        ROW_FREE("context", OPT, "Further words, in any form."),                     \
        ROW_TEXT("ruleId", OPT, 255, "The rule that this is about."),                \
        ROW_STRING("mapperVersion", PK_FORMAT_SEMVER, OPT, "The mapper's version.")

static const struct pk_field lesson_field[] = {
    ROW_STRING("processorId", PK_FORMAT_SCRIPT_ID, REQ, "The processor."),
    ROW_STRING("processorVersion", PK_FORMAT_SEMVER, REQ, "Its version."),
    ROW_ARRAY("operations", REQ, LIST_LONG, &pk_item_free, "What it makes of the feedback."),
};
static const struct pk_schema lesson_schema = {
    .name = "FeedbackLesson",
    FIELDS(lesson_field),
    .help = "What a processor makes of feedback.",
};
static const struct pk_field lesson_item = ROW_OBJECT(NULL, OPT, &lesson_schema, "A lesson.");

/* Spelt alike in the store and over HTTP. */
#define KEPT_FIELDS                                                                               \
    ROW_UUID("personaInstanceId", REQ, "The generation that this is about."),                     \
        ROW_STRING("mapperId", PK_FORMAT_SCRIPT_ID, REQ, "The mapper that made it."),             \
        ROW_TEXT("actorId", REQ, TEXT_WORD, "Who used the persona."), SAID_FIELDS,                \
        ROW_DATE("submittedAt", REQ, "When it came."),                                            \
        ROW_TEXT("submittedBy", REQ, TEXT_WORD, "Who sent it; not always who used the persona."), \
        ROW_ENUM("processingStatus", REQ, feedback_status, "How far it has got."),                \
        ROW_DATE("processedAt", OPT, "When it was counted."),                                     \
        ROW_ARRAY("lessons", OPT, LIST_SHORT, &lesson_item, "What processors make of it."),       \
        ROW_STRING("incorporatedVersion", PK_FORMAT_SEMVER, OPT,                                  \
                   "The version of the mapper that was trained with it.")

static const struct pk_field feedback_field[] = {
    ROW_UUID("_id", REQ, "Its id."),
    ROW_UUID("userId", REQ, "The person whom the persona shows."),
    ROW_UUID("mergedFrom", OPT, "Whose it was before people were merged."),
    KEPT_FIELDS,
};
const struct pk_schema pk_schema_feedback = {
    .name = "Feedback",
    FIELDS(feedback_field),
    .help = "What came of using a persona.",
};

static const struct pk_field feedback_view_field[] = {
    ROW_UUID("feedbackId", REQ, "Its id."),
    ROW_UUID("personId", REQ, "The person whom the persona shows."),
    ROW_UUID("mergedFrom", OPT, "Whose it was before people were merged."),
    KEPT_FIELDS,
};
const struct pk_schema pk_schema_feedback_view = {
    .name = "FeedbackView",
    FIELDS(feedback_view_field),
    .help = "What came of using a persona.",
};

static const struct pk_field body_field[] = {
    SAID_FIELDS,
    ROW_TEXT("personaInstanceId", OPT, 300, "The same as beside 'feedback', when given."),
    ROW_TEXT("actorId", OPT, TEXT_WORD, "Who used the persona; the sender by default."),
    ROW_TEXT("submittedBy", OPT, TEXT_WORD, "Who sends it; the sender by default."),
};
const struct pk_schema pk_schema_feedback_body = {
    .name = "FeedbackBody",
    FIELDS(body_field),
    .help = "Feedback as a client sends it.",
};
