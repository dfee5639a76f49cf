/* schema_persona.c - The view made for one task, and the record of its making.
 *
 * A section is a top-level key of core or overlay. Sections that the
 * specification names are checked against its types; others are the mapper's
 * own. Core and overlay each know what they read and how long that is good. */
/* SPDX-License-Identifier: MIT */
#include "doc/schema_persona.h"

#include "doc/schema_tables.h"

/* ---- Core ---- */

static const struct pk_field identity_field[] = {
    ROW_TEXT("narrative", REQ, TEXT_PAGE, "Who the person is."),
    ROW_ARRAY("coreBeliefs", REQ, LIST_SOME, &pk_item_line, "What the person holds to be so."),
    ROW_ARRAY("fundamentalGoals", REQ, LIST_SOME, &pk_item_line, "What the person wants."),
    ROW_MAP("personalityProfile", REQ, MAP_ENTRIES, &pk_item_free, "Traits of personality."),
};
static const struct pk_schema identity_schema = {
    .name = "Identity",
    FIELDS(identity_field),
    .help = "Who the person is.",
};

static const char *const formality[] = { "casual", "professional", "formal", NULL };
static const char *const complexity[] = { "simple", "moderate", "complex", NULL };
static const struct pk_field communication_field[] = {
    ROW_ARRAY("preferredMediums", REQ, LIST_SOME, &pk_item_word,
              "How the person likes to be reached."),
    ROW_ENUM("formalityLevel", REQ, formality, "How formal to be."),
    ROW_ARRAY("responsePatterns", REQ, LIST_SOME, &pk_item_line, "How the person tends to answer."),
    ROW_ENUM("languageComplexity", REQ, complexity, "How plain to be."),
};
static const struct pk_schema communication_schema = {
    .name = "CommunicationStyle",
    FIELDS(communication_field),
    .help = "How to talk with the person.",
};

static const struct pk_field strengths_item =
    ROW_ARRAY(NULL, OPT, LIST_SOME, &pk_item_line, "What belongs under this heading.");
static const struct pk_field working_field[] = {
    ROW_TEXT("decisionMakingApproach", REQ, TEXT_LINE, "How the person decides."),
    ROW_UNIT("riskTolerance", REQ, "How much risk the person takes."),
    ROW_ARRAY("collaborationPreferences", REQ, LIST_SOME, &pk_item_line, "How to work together."),
    ROW_MAP("strengthsAndWeaknesses", REQ, LIST_SOME, &strengths_item, "Lists, by heading."),
};
static const struct pk_schema working_schema = {
    .name = "WorkingStyle",
    FIELDS(working_field),
    .help = "How the person works.",
};

static const char *const proficiency[] = { "beginner", "intermediate", "advanced", "expert", NULL };
static const struct pk_field domain_field[] = {
    ROW_TEXT("name", REQ, TEXT_WORD, "The field."),
    ROW_ENUM("proficiencyLevel", REQ, proficiency, "How good the person is in it."),
    ROW_NUMBER("yearsOfExperience", OPT, 0, 150, "For how many years."),
    ROW_DATE("lastUpdated", REQ, "When this was last known."),
};
static const struct pk_schema domain_schema = {
    .name = "Domain",
    FIELDS(domain_field),
    .help = "A field that the person knows.",
};
static const struct pk_field domain_item = ROW_OBJECT(NULL, OPT, &domain_schema, "A field.");
static const struct pk_field profile_field[] = {
    ROW_ARRAY("expertiseDomains", REQ, LIST_SOME, &domain_item, "Fields that the person knows."),
    ROW_TEXT("learningStyle", REQ, TEXT_LINE, "How the person learns."),
    ROW_TEXT("informationProcessing", REQ, TEXT_LINE, "How the person takes things in."),
};
static const struct pk_schema profile_schema = {
    .name = "KnowledgeProfile",
    FIELDS(profile_field),
    .help = "What the person knows.",
};

static const struct pk_field core_field[] = {
    ROW_OBJECT("identity", OPT, &identity_schema, "Who the person is."),
    ROW_OBJECT("communicationStyle", OPT, &communication_schema, "How to talk with the person."),
    ROW_OBJECT("workingStyle", OPT, &working_schema, "How the person works."),
    ROW_OBJECT("knowledgeProfile", OPT, &profile_schema, "What the person knows."),
    ROW_TEXT("coreVersion", REQ, TEXT_WORD, "The hash of its content."),
    ROW_DATE("generatedAt", REQ, "When it was made."),
};
static const struct pk_schema core_schema = {
    .name = "PersonaCore",
    FIELDS(core_field),
    .is_open = true,
    .help = "What changes slowly; cached longest.",
};

/* ---- Overlay ---- */

static const char *const availability[] = {
    "available", "busy", "away", "offline", "unknown", NULL
};
static const struct pk_field availability_field[] = {
    ROW_ENUM("status", REQ, availability, "Whether the person can be reached."),
    ROW_DATE("until", OPT, "How long that is expected to last."),
    ROW_TEXT("timezone", OPT, TEXT_WORD, "The person's time zone."),
    ROW_TEXT("workingHours", OPT, TEXT_WORD, "When the person works, as in '09:00-17:00'."),
    ROW_TEXT("note", OPT, TEXT_LINE, "What the person says about it."),
};
static const struct pk_schema availability_schema = {
    .name = "AvailabilityStatus",
    FIELDS(availability_field),
    .help = "Whether the person can be reached.",
};
static const struct pk_field state_field[] = {
    ROW_OBJECT("availability", REQ, &availability_schema, "Whether the person can be reached."),
    ROW_ARRAY("currentFocus", REQ, LIST_SOME, &pk_item_line, "What the person is at."),
    ROW_ARRAY("recentTopics", REQ, LIST_SOME, &pk_item_line, "What came up lately."),
    ROW_TEXT("emotionalState", OPT, TEXT_WORD, "How the person feels."),
    ROW_ENUM("energyLevel", OPT, pk_allowed_level, "How much energy the person has."),
};
static const struct pk_schema state_schema = {
    .name = "CurrentState",
    FIELDS(state_field),
    .help = "How the person is just now.",
};

static const struct pk_field interaction_field[] = {
    ROW_DATE("at", REQ, "When it was."),
    ROW_TEXT("summary", REQ, TEXT_LINE, "What happened."),
    ROW_TEXT("channel", OPT, TEXT_WORD, "Where: 'slack', 'email', 'meeting'."),
    ROW_ARRAY("participants", OPT, LIST_SOME, &pk_item_word, "Who took part."),
    ROW_UUID("observationId", OPT, "The observation that tells of it."),
};
static const struct pk_schema interaction_schema = {
    .name = "InteractionSummary",
    FIELDS(interaction_field),
    .help = "Something that happened with somebody.",
};
static const struct pk_field interaction_item =
    ROW_OBJECT(NULL, OPT, &interaction_schema, "An interaction.");
static const struct pk_field decision_field[] = {
    ROW_DATE("decidedAt", REQ, "When it was."),
    ROW_TEXT("summary", REQ, TEXT_LINE, "What was decided."),
    ROW_TEXT("rationale", OPT, TEXT_LINE, "Why."),
    ROW_TEXT("outcome", OPT, TEXT_LINE, "What came of it."),
    ROW_UUID("observationId", OPT, "The observation that tells of it."),
};
static const struct pk_schema decision_schema = {
    .name = "DecisionSummary",
    FIELDS(decision_field),
    .help = "Something the person decided.",
};
static const struct pk_field decision_item = ROW_OBJECT(NULL, OPT, &decision_schema, "A decision.");
static const struct pk_field context_field[] = {
    ROW_ARRAY("lastInteractions", REQ, LIST_SOME, &interaction_item, "What happened lately."),
    ROW_ARRAY("recentDecisions", REQ, LIST_SOME, &decision_item, "What was decided lately."),
    ROW_ARRAY("activeProjects", REQ, LIST_SOME, &pk_item_line, "What the person works on."),
    ROW_ARRAY("pendingCommitments", REQ, LIST_SOME, &pk_item_line, "What the person has promised."),
};
static const struct pk_schema context_schema = {
    .name = "RecentContext",
    FIELDS(context_field),
    .help = "What happened lately.",
};

static const struct pk_field preference_field[] = {
    ROW_ARRAY("currentPriorities", REQ, LIST_SOME, &pk_item_line, "What matters now."),
    ROW_ARRAY("communicationAdjustments", OPT, LIST_SOME, &pk_item_line,
              "How to talk differently now."),
    ROW_UNIT("workloadCapacity", OPT, "How much more the person can take on."),
};
static const struct pk_schema preference_schema = {
    .name = "TemporaryPreferences",
    FIELDS(preference_field),
    .help = "What the person wants just now.",
};

static const struct pk_field suggestion_field[] = {
    ROW_NAME("ruleId", REQ, "The rule that fired."),
    ROW_TEXT("text", REQ, TEXT_PAGE, "What it says."),
    ROW_ENUM("priority", OPT, pk_allowed_level, "How much it matters."),
    ROW_ARRAY("traits", OPT, LIST_SOME, &pk_item_trait, "The traits it rests on."),
};
static const struct pk_schema suggestion_schema = {
    .name = "Suggestion",
    FIELDS(suggestion_field),
    .help = "What a rule has to say.",
};
static const struct pk_field suggestion_item =
    ROW_OBJECT(NULL, OPT, &suggestion_schema, "A suggestion.");

static const struct pk_field overlay_field[] = {
    ROW_OBJECT("currentState", OPT, &state_schema, "How the person is just now."),
    ROW_OBJECT("recentContext", OPT, &context_schema, "What happened lately."),
    ROW_OBJECT("temporaryPreferences", OPT, &preference_schema, "What the person wants just now."),
    ROW_ARRAY("suggestions", OPT, LIST_LONG, &suggestion_item, "What rules have to say."),
    ROW_TEXT("overlayVersion", REQ, TEXT_WORD, "The hash of its content."),
    ROW_DATE("generatedAt", REQ, "When it was made."),
};
static const struct pk_schema overlay_schema = {
    .name = "ContextualOverlay",
    FIELDS(overlay_field),
    .is_open = true,
    .help = "What changes fast.",
};

/* ---- Freshness and explanation ---- */

static const struct pk_field read_item = ROW_OBJECT(NULL, OPT, &pk_schema_read_key, "One thing.");
static const struct pk_field half_field[] = {
    ROW_COUNT("mindscapeVersion", REQ, "The version of the mindscape that was read first."),
    ROW_DATE("validFrom", OPT, "The instant that it was made for; absent: it is not fresh."),
    ROW_DATE("validUntil", REQ, "The least instant at which something read changes by itself."),
    ROW_TEXT("decay", OPT, TEXT_WORD, "Whose half-lives it was made with; absent: the usual ones."),
    ROW_ARRAY("readSet", REQ, LIST_HUGE, &read_item, "What was read or looked for."),
    ROW_ARRAY("ruleIds", OPT, LIST_LONG, &pk_item_word, "Rules that fired in it."),
    ROW_ARRAY("warnings", OPT, LIST_SOME, &pk_item_line, "What is missing or doubtful in it."),
};
static const struct pk_schema half_schema = {
    .name = "PersonaHalf",
    FIELDS(half_field),
    .help = "What one half of a persona rests on.",
};

static const struct pk_field line_field[] = {
    ROW_TEXT("path", REQ, TEXT_LINE, "The line, as a path into the persona."),
    ROW_TEXT("ruleId", OPT, TEXT_WORD, "The rule that made it."),
    ROW_ARRAY("traits", OPT, LIST_SOME, &pk_item_trait, "The traits it rests on."),
    ROW_ARRAY("observations", OPT, LIST_SOME, &pk_item_obs, "The observations they rest on."),
};
static const struct pk_schema line_schema = {
    .name = "ExplainedLine",
    FIELDS(line_field),
    .help = "Where one line comes from.",
};
static const struct pk_field line_item = ROW_OBJECT(NULL, OPT, &line_schema, "A line.");
static const struct pk_field verdict_field[] = {
    ROW_NAME("ruleId", REQ, "The rule."),
    ROW_BOOL("fired", REQ, "Whether it fired."),
    ROW_TEXT("reason", OPT, TEXT_LINE, "Why not."),
    ROW_ARRAY("traits", OPT, LIST_SOME, &pk_item_trait, "The traits it looked at."),
};
static const struct pk_schema verdict_schema = {
    .name = "RuleVerdict",
    FIELDS(verdict_field),
    .help = "Whether a rule fired.",
};
static const struct pk_field verdict_item = ROW_OBJECT(NULL, OPT, &verdict_schema, "A verdict.");
static const struct pk_field explanation_field[] = {
    ROW_ARRAY("rules", OPT, LIST_LONG, &verdict_item, "Rules that fired and rules that did not."),
    ROW_ARRAY("lines", OPT, LIST_LONG, &line_item, "Where each line comes from."),
};
static const struct pk_schema explanation_schema = {
    .name = "Explanation",
    FIELDS(explanation_field),
    .help = "Why the persona is as it is.",
};

/* ---- personas ---- */

static const struct pk_field cache_field[] = {
    ROW_BOOL("coreWasCached", REQ, "Whether the core was there already."),
    ROW_BOOL("coreIsStale", REQ, "Whether it was out of date."),
    ROW_COUNT("coreCacheAge", OPT, "How old it was, in milliseconds."),
};
static const struct pk_schema cache_schema = {
    .name = "CacheStatus",
    FIELDS(cache_field),
    .help = "What was there before.",
};
static const struct pk_field generation_field[] = {
    ROW_COUNT("generationDurationMs", REQ, "How long it took."),
    ROW_COUNT("totalTokensUsed", REQ, "Tokens of all prompts, as the local tokenizer counts."),
    ROW_NUMBER("totalCost", REQ, 0, COUNT_MAX, "Dollars; 0 unless a plugin reports a cost."),
    ROW_OBJECT("cacheStatus", REQ, &cache_schema, "What was there before."),
};
static const struct pk_schema generation_schema = {
    .name = "GenerationMetadata",
    FIELDS(generation_field),
    .help = "How it was made.",
};
static const struct pk_field usage_field[] = {
    ROW_COUNT("accessCount", REQ, "How often it was served."),
    ROW_DATE("lastAccessedAt", OPT, "When it was last served."),
    ROW_TEXT("lastAccessedBy", OPT, TEXT_WORD, "The actor it was last served to."),
    ROW_BOOL("feedbackReceived", REQ, "Whether anybody has said how it was."),
};
static const struct pk_schema usage_schema = {
    .name = "UsageMetadata",
    FIELDS(usage_field),
    .help = "What became of it.",
};
static const struct pk_field instead_field[] = {
    ROW_STRING("mapperVersion", PK_FORMAT_SEMVER, REQ, "The version that was tried."),
    ROW_COUNT("mindscapeVersion", REQ, "The version of the mindscape on which it failed."),
};
static const struct pk_schema instead_schema = {
    .name = "InsteadOf",
    FIELDS(instead_field),
    .help = "What it stands in for.",
};

static const struct pk_field persona_field[] = {
    ROW_TEXT("_id", REQ, 300, "<mapper>:<person>:<detail>, and :<variant> when it has one."),
    ROW_UUID("personaInstanceId", REQ, "The id of this generation; its 'persona_log' id."),
    ROW_UUID("userId", REQ, "The person it shows, whose mindscape it was made from."),
    ROW_STRING("mapperId", PK_FORMAT_SCRIPT_ID, REQ, "The mapper that made it."),
    ROW_STRING("mapperVersion", PK_FORMAT_SEMVER, REQ, "The mapper's version."),
    ROW_DETAIL("detailLevel", REQ, "How much it says."),
    ROW_NAME("variant", OPT, "The hash of what made it differ; absent in the common case."),
    ROW_MAP("variantValues", OPT, LIST_SOME, &pk_item_free, "What that hash is of."),
    ROW_DATE("generatedAt", REQ, "When it was made."),
    ROW_BOOL("isStale", REQ, "What was true when last looked at; answers compute it anew."),
    ROW_DATE("expiresAt", REQ, "When it goes."),
    ROW_NUMBER("ttlHours", REQ, 0, COUNT_MAX, "For how long it was meant to live."),
    ROW_COUNT("mindscapeVersion", REQ, "The version of the mindscape it was made from."),
    ROW_OBJECT("coreSnapshot", REQ, &core_schema, "What changes slowly."),
    ROW_OBJECT("overlaySlice", REQ, &overlay_schema, "What changes fast."),
    ROW_OBJECT("coreBasis", REQ, &half_schema, "What the core rests on."),
    ROW_OBJECT("overlayBasis", REQ, &half_schema, "What the overlay rests on."),
    ROW_OBJECT("explanation", OPT, &explanation_schema, "Why it is as it is."),
    ROW_OBJECT("insteadOf", OPT, &instead_schema,
               "Of the version that is tried on the person: it failed, so this one serves."),
    ROW_ARRAY("warnings", OPT, LIST_SOME, &pk_item_line, "What is missing or doubtful."),
    ROW_OBJECT("generationMetadata", REQ, &generation_schema, "How it was made."),
    ROW_OBJECT("usageMetadata", REQ, &usage_schema, "What became of it."),
    ROW_TEXT("createdBy", OPT, TEXT_WORD, "The actor who first asked for it."),
};

/* The id says what the fields say, and a persona expires after it was made. */
static void check_persona(const bson_t *doc, const char *path, struct pk_faults *faults)
{
    const char *part[] = { pk_rule_text(doc, "mapperId"), pk_rule_text(doc, "userId"),
                           pk_rule_text(doc, "detailLevel"), pk_rule_text(doc, "variant") };
    if (part[0] && part[1] && part[2]) {
        pk_rule_joined_id(doc, path, part, part[3] && *part[3] ? 4 : 3, faults);
    }
    int64_t made, gone;
    if (pk_rule_date(doc, "generatedAt", &made) && pk_rule_date(doc, "expiresAt", &gone) &&
        gone <= made) {
        pk_rule_fault(faults, path, "expiresAt", "an instant after 'generatedAt'",
                      "an earlier one");
    }
}

const struct pk_schema pk_schema_persona = {
    .name = "Persona",
    FIELDS(persona_field),
    .rule = check_persona,
    .help = "A view of a person for one purpose.",
};

/* ---- Over HTTP ---- */

static const struct pk_field view_generation_field[] = {
    ROW_DETAIL("detailLevel", REQ, "How much it says."),
    ROW_DATE("generatedAt", REQ, "When it was made."),
    ROW_COUNT("generationDurationMs", REQ, "How long it took."),
    ROW_COUNT("totalTokensUsed", REQ, "Tokens of all prompts, as the local tokenizer counts."),
    ROW_NUMBER("totalCost", REQ, 0, COUNT_MAX, "Dollars; 0 unless a plugin reports a cost."),
    ROW_OBJECT("cacheStatus", REQ, &cache_schema, "What was there before."),
};
static const struct pk_schema view_generation_schema = {
    .name = "PersonaGeneration",
    FIELDS(view_generation_field),
    .help = "How a persona was made.",
};
static const struct pk_field view_field[] = {
    ROW_UUID("personaInstanceId", REQ, "The id of this generation."),
    ROW_TEXT("compositeKey", REQ, 300, "<mapper>:<person>:<detail>, and :<variant> if there is."),
    ROW_STRING("sourceMapperId", PK_FORMAT_SCRIPT_ID, REQ, "The mapper that made it."),
    ROW_STRING("mapperVersion", PK_FORMAT_SEMVER, REQ, "The mapper's version."),
    ROW_UUID("sourceMindscapeId", REQ, "The mindscape that it was made from."),
    ROW_COUNT("mindscapeVersion", REQ, "The version of that mindscape."),
    ROW_UUID("personId", REQ, "The person it shows."),
    ROW_NAME("variant", OPT, "The hash of what made it differ; absent in the common case."),
    ROW_BOOL("isCanary", OPT, "Present when the version is one that is tried on some people."),
    ROW_OBJECT("personaCore", REQ, &core_schema, "What changes slowly."),
    ROW_OBJECT("contextualOverlay", REQ, &overlay_schema, "What changes fast."),
    ROW_OBJECT("generationMetadata", REQ, &view_generation_schema, "How it was made."),
    ROW_OBJECT("usageMetadata", REQ, &usage_schema, "What became of it."),
    ROW_ARRAY("warnings", OPT, LIST_SOME, &pk_item_line, "What is missing or doubtful."),
    ROW_BOOL("isStale", REQ, "Whether a mapping would run again now."),
    ROW_DATE("expiresAt", REQ, "When it goes."),
    ROW_NUMBER("ttlHours", REQ, 0, COUNT_MAX, "For how long it was meant to live."),
    ROW_TEXT("createdBy", OPT, TEXT_WORD, "The actor who first asked for it."),
};
const struct pk_schema pk_schema_persona_view = {
    .name = "PersonaView",
    FIELDS(view_field),
    .help = "A view of a person for one purpose.",
};

/* ---- persona_log ---- */

static const struct pk_field cost_field[] = {
    ROW_COUNT("tokens", REQ, "Tokens of all prompts."),
    ROW_NUMBER("dollars", REQ, 0, COUNT_MAX, "Dollars."),
};
static const struct pk_schema cost_schema = {
    .name = "Cost",
    FIELDS(cost_field),
    .help = "What it cost.",
};
static const struct pk_field timing_item = ROW_NUMBER(NULL, OPT, 0, COUNT_MAX, "Milliseconds.");

static const struct pk_field log_field[] = {
    ROW_UUID("_id", REQ, "The generation's id."),
    ROW_UUID("userId", REQ, "The person."),
    ROW_UUID("mergedFrom", OPT, "Whose it was before people were merged."),
    ROW_TEXT("personaId", REQ, 300, "The persona's id."),
    ROW_STRING("mapperId", PK_FORMAT_SCRIPT_ID, REQ, "The mapper."),
    ROW_STRING("mapperVersion", PK_FORMAT_SEMVER, REQ, "The mapper's version."),
    ROW_DETAIL("detailLevel", REQ, "How much it says."),
    ROW_NAME("variant", OPT, "The variant; absent in the common case."),
    ROW_COUNT("mindscapeVersion", REQ, "The version of the mindscape."),
    ROW_ARRAY("ruleIds", REQ, LIST_LONG, &pk_item_word, "Rules that fired."),
    ROW_ARRAY("readSet", REQ, LIST_HUGE, &read_item, "What was read or looked for."),
    ROW_MAP("timings", OPT, LIST_SHORT, &timing_item, "How long each step took."),
    ROW_OBJECT("cost", OPT, &cost_schema, "What it cost."),
    ROW_TEXT("createdBy", OPT, TEXT_WORD, "The actor who asked for it."),
    ROW_DATE("generatedAt", REQ, "When it was made."),
    ROW_DATE("personaExpiresAt", REQ, "When the persona goes."),
    ROW_BOOL("isExpiryAnnounced", REQ, "Whether 'persona.expired' has been sent for it."),
    ROW_DATE("expiresAt", REQ, "When this record goes: retention."),
};
const struct pk_schema pk_schema_persona_log = {
    .name = "PersonaLog",
    FIELDS(log_field),
    .help = "The record of one generation.",
};
