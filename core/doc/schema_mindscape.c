/* schema_mindscape.c - What is known of a person, and how it came to be known.
 *
 * The mindscape's id is the person's: there can be only one. Hot and warm
 * knowledge and the embeddings of traits lie in collections of their own and
 * are joined when read; here are the traits, goals and beliefs, the summary,
 * and 'versions', which says of everything readable when it last changed. */
/* SPDX-License-Identifier: MIT */
#include "doc/schema_known.h"
#include "doc/schema_tables.h"

/* ---- mindscapes ---- */

static const struct pk_field source_field[] = {
    ROW_UUID("obsId", REQ, "The observation."),
    ROW_UNIT("weight", REQ, "How much it counts."),
};
static const struct pk_schema source_schema = {
    .name = "TraitSource",
    FIELDS(source_field),
    .help = "An observation that a trait rests on.",
};
static const struct pk_field source_item = ROW_OBJECT(NULL, OPT, &source_schema, "One source.");

static const struct pk_field link_field[] = {
    ROW_UUID("narrativeId", REQ, "The narrative."),
    ROW_ENUM("linkType", REQ, pk_allowed_link, "What it says about the trait."),
};
static const struct pk_schema link_schema = {
    .name = "TraitLink",
    FIELDS(link_field),
    .help = "A narrative that speaks of the trait.",
};
static const struct pk_field link_item = ROW_OBJECT(NULL, OPT, &link_schema, "One link.");

static const char *const data_type[] = { "numeric", "categorical", "complex", NULL };
static const struct pk_field trait_field[] = {
    ROW_TRAIT("id", REQ, "Its path, as in 'work.focus.peak_hours'."),
    ROW_TEXT("category", REQ, TEXT_WORD, "Its group; the first segment of its path by default."),
    ROW_FREE("value", REQ, "What is held to be true."),
    ROW_ENUM("dataType", REQ, data_type, "Of what sort the value is."),
    ROW_ENUM("volatility", REQ, pk_allowed_level, "How soon it may change."),
    ROW_UNIT("confidence", REQ, "How sure we were at 'updatedAt'; it decays when read."),
    ROW_DATE("updatedAt", REQ, "When it last changed."),
    ROW_DATE("validFrom", OPT, "From when on it is true."),
    ROW_ARRAY("sources", REQ, LIST_SHORT, &source_item, "The weightiest observations it rests on."),
    ROW_COUNT("sourceCount", OPT, "How many observations it rests on in all."),
    ROW_NAME("sourceType", OPT, "The sort of source that stands longest; decay goes by it."),
    ROW_ARRAY("links", OPT, LIST_SHORT, &link_item, "Narratives that speak of it."),
    ROW_BOOL("pinned", OPT, "Pinned by a person: it never decays."),
    ROW_MAP("metadata", OPT, MAP_ENTRIES, &pk_item_free, "Whatever else is known of it."),
};
static const struct pk_schema trait_schema = {
    .name = "TraitEntry",
    FIELDS(trait_field),
    .help = "One thing held to be true of a person.",
};
static const struct pk_field trait_item = ROW_OBJECT(NULL, OPT, &trait_schema, "One trait.");

static const char *const timeframe[] = { "short_term", "medium_term", "long_term", NULL };
static const struct pk_field goal_field[] = {
    ROW_UUID("goalId", REQ, "Its id."),
    ROW_TEXT("description", REQ, TEXT_LINE, "What the person wants."),
    ROW_ENUM("timeframe", REQ, timeframe, "By when, roughly."),
    ROW_ENUM("priority", REQ, pk_allowed_level, "How much it matters."),
    ROW_ENUM("volatility", REQ, pk_allowed_volatility, "How soon it may change."),
    ROW_ARRAY("derivedFrom", REQ, LIST_SHORT, &pk_item_obs, "Observations it rests on."),
    ROW_UNIT("confidence", REQ, "How sure we are."),
    ROW_DATE("createdAt", REQ, "When it was first held."),
    ROW_DATE("updatedAt", REQ, "When it last changed."),
    ROW_BOOL("curated", OPT, "Said by a person: processors leave its details."),
};
static const struct pk_schema goal_schema = {
    .name = "Goal",
    FIELDS(goal_field),
    .help = "Something a person wants to reach.",
};
static const struct pk_field goal_item = ROW_OBJECT(NULL, OPT, &goal_schema, "One goal.");

static const struct pk_field belief_field[] = {
    ROW_UUID("beliefId", REQ, "Its id."),
    ROW_TEXT("statement", REQ, TEXT_LINE, "What the person holds to be so."),
    ROW_TEXT("category", REQ, TEXT_WORD, "Its group: 'worldview', 'values', 'principles'."),
    ROW_UNIT("strength", REQ, "How firmly it is held."),
    ROW_ENUM("volatility", REQ, pk_allowed_volatility, "How soon it may change."),
    ROW_ARRAY("derivedFrom", REQ, LIST_SHORT, &pk_item_obs, "Observations it rests on."),
    ROW_UNIT("confidence", REQ, "How sure we are that it is held."),
    ROW_DATE("createdAt", REQ, "When it was first held."),
    ROW_DATE("updatedAt", REQ, "When it last changed."),
    ROW_BOOL("curated", OPT, "Said by a person: processors leave its details."),
};
static const struct pk_schema belief_schema = {
    .name = "Belief",
    FIELDS(belief_field),
    .help = "Something a person holds to be so.",
};
static const struct pk_field belief_item = ROW_OBJECT(NULL, OPT, &belief_schema, "One belief.");

static const struct pk_field narrative_field[] = {
    ROW_TEXT("summary", REQ, TEXT_PAGE, "Who the person is, for people to read."),
    ROW_ARRAY("keyThemes", REQ, LIST_SOME, &pk_item_word, "What keeps coming up."),
    ROW_DATE("lastUpdated", REQ, "When it last changed."),
    ROW_BOOL("curated", OPT, "Written by a person: processors leave it."),
};
static const struct pk_schema narrative_schema = {
    .name = "MindscapeNarrative",
    FIELDS(narrative_field),
    .help = "The summary of a person.",
};

static const struct pk_field knowledge_field[] = {
    ROW_OBJECT("coldLayer", REQ, &pk_schema_graph_metadata, "What the last graph analysis found."),
};
static const struct pk_schema knowledge_schema = {
    .name = "KnowledgeStore",
    FIELDS(knowledge_field),
    .help = "Layers of knowledge; hot and warm lie in 'knowledge' and 'vectors'.",
};

static const struct pk_field cache_field[] = {
    ROW_TEXT("mood", OPT, TEXT_WORD, "How the person feels."),
    ROW_TEXT("availability", OPT, TEXT_LINE, "When the person can be reached."),
};
static const struct pk_schema cache_schema = {
    .name = "HighVolatileCache",
    FIELDS(cache_field),
    .is_open = true,
    .help = "What is true just now; 'm.now' in scripts.",
};

static const struct pk_field hot_date = ROW_DATE(NULL, OPT, "An instant.");

static const char *const removed_kind[] = { "trait", "goal", "belief", NULL };
static const struct pk_field removed_field[] = {
    ROW_ENUM("kind", REQ, removed_kind, "What it was."),
    ROW_TEXT("key", REQ, TEXT_WORD, "Its path or id."),
    ROW_DATE("at", REQ, "From when on it is no longer held."),
    ROW_BOOL("byPerson", REQ, "A person removed it: processors do not bring it back."),
};
static const struct pk_schema removed_schema = {
    .name = "Removal",
    FIELDS(removed_field),
    .help = "Something that is no longer held, so that older evidence does not bring it back.",
};
static const struct pk_field removed_item = ROW_OBJECT(NULL, OPT, &removed_schema, "One removal.");

static const struct pk_field work_field[] = {
    ROW_COUNT("totalObservationsProcessed", REQ, "How many observations made this."),
    ROW_COUNT("lastProcessingDuration", REQ, "How long the last one took, in milliseconds."),
    ROW_DATE("nextScheduledProcessing", OPT, "When the next work on it is due."),
};
static const struct pk_schema work_schema = {
    .name = "ProcessingMetadata",
    FIELDS(work_field),
    .help = "How this came to be; not part of what replay compares.",
};
static const struct pk_field version_item =
    ROW_OBJECT(NULL, OPT, &pk_schema_read_key, "The version at which one thing last changed.");

static const struct pk_field mindscape_field[] = {
    ROW_UUID("_id", REQ, "The person: there is one mindscape each."),
    ROW_COUNT("version", REQ, "Raised with every change, its own or of what is joined to it."),
    ROW_DATE("createdAt", REQ, "When the person became known."),
    ROW_DATE("lastUpdated", REQ, "When it last changed."),
    ROW_OBJECT("narrative", REQ, &narrative_schema, "The summary of the person."),
    ROW_ARRAY("goals", REQ, LIST_SOME, &goal_item, "What the person wants."),
    ROW_ARRAY("beliefs", REQ, LIST_SOME, &belief_item, "What the person holds to be so."),
    ROW_ARRAY("traits", REQ, LIST_HUGE, &trait_item, "What is held to be true of the person."),
    ROW_OBJECT("highVolatileCache", REQ, &cache_schema, "What is true just now."),
    ROW_MAP("highVolatileUntil", OPT, LIST_SOME, &hot_date, "When each of it goes."),
    ROW_MAP("highVolatileSince", OPT, LIST_SOME, &hot_date, "When each of it was said."),
    ROW_ARRAY("removed", OPT, LIST_LONG, &removed_item, "What is no longer held."),
    ROW_OBJECT("knowledgeStore", OPT, &knowledge_schema, "What graph analysis found."),
    ROW_UUID("lastProcessedObservationId", OPT, "The observation with the highest 'seq'."),
    ROW_OBJECT("processingMetadata", REQ, &work_schema, "How this came to be."),
    ROW_COUNT("seq", REQ, "The last place given in the person's order of observations."),
    ROW_COUNT("epoch", REQ, "The epoch of 'trait_history' that is valid; replay flips it."),
    ROW_ARRAY("versions", REQ, LIST_HUGE, &version_item, "When each readable thing last changed."),
    ROW_COUNT("floor", REQ, "The version of removals that 'versions' has folded."),
};

/* Read whole for every mapping; above this it is slow for everybody and useful to nobody. */
enum { MINDSCAPE_MAX_BYTES = 4 * 1024 * 1024 };

static void check_mindscape(const bson_t *doc, const char *path, struct pk_faults *faults)
{
    if (doc->len > MINDSCAPE_MAX_BYTES) {
        pk_faults_add(faults, path, "a mindscape of at most 4 MiB; prune its largest traits",
                      "%u bytes", doc->len);
    }
}

const struct pk_schema pk_schema_mindscape = {
    .name = "Mindscape",
    FIELDS(mindscape_field),
    .rule = check_mindscape,
    .help = "What is known of one person.",
};

/* ---- trait_history ---- */

static const struct pk_field history_field[] = {
    ROW_UUID("_id", REQ, "Its id."),
    ROW_UUID("userId", REQ, "The person."),
    ROW_TRAIT("path", REQ | PK_FIELD_OR_STAR, "The trait; '*': what is beside traits."),
    ROW_COUNT("epoch", REQ, "The mindscape's epoch that it belongs to."),
    ROW_INT("seq", REQ, 1, COUNT_MAX, "The observation's place in the person's order."),
    ROW_FREE("before", PK_FIELD_NULLABLE,
             "The trait before; absent when it was new. Of '*': goals, "
             "beliefs, narrative and now, by id or key, as they were."),
    ROW_FREE("after", PK_FIELD_NULLABLE,
             "The trait after; absent when it was removed. Of '*', likewise, and facts, nodes and "
             "edges that were made, as they became, and ids of texts and narratives."),
    ROW_UUID("obsId", REQ, "The observation that changed it."),
    ROW_STRING("processorId", PK_FORMAT_SCRIPT_ID, OPT, "The processor; absent for curations."),
    ROW_STRING("processorVersion", PK_FORMAT_SEMVER, OPT, "The processor's version."),
    ROW_DATE("effectiveAt", REQ, "The instant from which it holds."),
    ROW_DATE("createdAt", REQ, "When it was written."),
};
const struct pk_schema pk_schema_trait_history = {
    .name = "TraitChange",
    FIELDS(history_field),
    .help = "One change of one trait, or all of an observation's beside traits.",
};

/* ---- reviews ---- */

static const char *const review_status[] = { "pending", "approved", "declined", "undone", NULL };
static const struct pk_field review_field[] = {
    ROW_UUID("_id", REQ, "Its id."),
    ROW_UUID("userId", REQ, "The person."),
    ROW_UUID("mergedFrom", OPT, "Whose it was before people were merged."),
    ROW_TRAIT("traitPath", REQ, "The trait in question."),
    ROW_FREE("current", PK_FIELD_NULLABLE, "The trait as it stood."),
    ROW_FREE("proposed", REQ, "The trait as it would become."),
    ROW_TEXT("reason", OPT, TEXT_LINE, "Why it was not simply done."),
    ROW_ARRAY("derivedFrom", REQ, LIST_SHORT, &pk_item_obs, "Observations that propose it."),
    ROW_ENUM("status", REQ, review_status, "What was decided."),
    ROW_TEXT("decidedBy", OPT, TEXT_WORD, "The actor who decided."),
    ROW_DATE("decidedAt", OPT, "When it was decided."),
    ROW_UUID("curationId", OPT, "The observation that carries the decision out."),
    ROW_DATE("createdAt", REQ, "When it was proposed."),
    ROW_DATE("updatedAt", REQ, "When it last changed."),
};
const struct pk_schema pk_schema_review = {
    .name = "Review",
    FIELDS(review_field),
    .help = "A change of a trait that waits for a person's word.",
};

/* ---- As HTTP shows them ---- */

static const struct pk_field seen_trait_field[] = {
    ROW_TRAIT("traitName", REQ, "Its path, as in 'work.focus.peak_hours'."),
    ROW_TEXT("category", REQ, TEXT_WORD, "Its group."),
    ROW_FREE("value", REQ, "What is held to be true."),
    ROW_ENUM("dataType", REQ, data_type, "Of what sort the value is."),
    ROW_ENUM("volatility", REQ, pk_allowed_level, "How soon it may change."),
    ROW_UNIT("confidence", REQ, "How sure we are now."),
    ROW_DATE("updatedAt", REQ, "When it last changed."),
    ROW_DATE("validFrom", OPT, "From when on it is true."),
    ROW_ARRAY("sources", REQ, LIST_SHORT, &source_item, "The weightiest observations it rests on."),
    ROW_COUNT("sourceCount", OPT, "How many observations it rests on in all."),
    ROW_NAME("sourceType", OPT, "The sort of source that stands longest; decay goes by it."),
    ROW_ARRAY("links", OPT, LIST_SHORT, &link_item, "Narratives that speak of it."),
    ROW_BOOL("pinned", OPT, "Pinned by a person: it never decays."),
    ROW_MAP("metadata", OPT, MAP_ENTRIES, &pk_item_free, "Whatever else is known of it."),
    ROW_ARRAY("derivedFrom", REQ, LIST_SHORT, &pk_item_obs, "The sources' ids alone."),
    ROW_ARRAY("embedding", OPT, EMBEDDING_MAX, &pk_item_float, "Its vector, when asked for."),
    ROW_TEXT("embeddingModel", OPT, TEXT_WORD, "The model that made the vector."),
};
const struct pk_schema pk_schema_trait_view = {
    .name = "TraitView",
    FIELDS(seen_trait_field),
    .help = "A trait, with its confidence as it is now.",
};
static const struct pk_field seen_trait_item =
    ROW_OBJECT(NULL, OPT, &pk_schema_trait_view, "One trait.");

static const struct pk_schema layers_schema = {
    .name = "KnowledgeLayers",
    .is_open = true,
    .help = "hotLayer and warmLayer when asked for, coldLayer when there was an analysis.",
};
static const struct pk_field seen_field[] = {
    ROW_UUID("mindscapeId", REQ, "Its id, which is the person's."),
    ROW_UUID("personId", REQ, "The person."),
    ROW_COUNT("version", OPT, "Raised with every change; for If-Match. Not of a past time."),
    ROW_OBJECT("narrative", REQ, &narrative_schema, "The summary of the person."),
    ROW_ARRAY("goals", REQ, LIST_SOME, &goal_item, "What the person wants."),
    ROW_ARRAY("beliefs", REQ, LIST_SOME, &belief_item, "What the person holds to be so."),
    ROW_OBJECT("knowledgeStore", OPT, &layers_schema, "Layers of knowledge."),
    ROW_ARRAY("traitMatrix", OPT, LIST_HUGE, &seen_trait_item, "What is held to be true."),
    ROW_FREE("traits", OPT, "The same as a tree of values; instead, with ?shape=tree."),
    ROW_OBJECT("highVolatileCache", REQ, &cache_schema, "What is true just now."),
    ROW_MAP("highVolatileUntil", REQ, LIST_SOME, &hot_date, "When each of it goes."),
    ROW_DATE("createdAt", REQ, "When the person became known."),
    ROW_DATE("updatedAt", REQ, "When it last changed."),
    ROW_UUID("lastProcessedObservationId", OPT, "The observation with the highest 'seq'."),
    ROW_OBJECT("processingMetadata", OPT, &work_schema, "How this came to be. Not of the past."),
    ROW_COUNT("seq", REQ, "The last place given in the person's order of observations."),
    ROW_DATE("asOf", OPT, "The past time that was asked for."),
};
const struct pk_schema pk_schema_mindscape_view = {
    .name = "MindscapeView",
    FIELDS(seen_field),
    .help = "What is known of a person, less what is hidden from who asks.",
};

static const struct pk_field seen_source_field[] = {
    ROW_UUID("obsId", REQ, "The observation."),
    ROW_UNIT("weight", REQ, "How much it counts."),
    ROW_NAME("sourceType", OPT, "Of what sort it is; absent: it is no longer there."),
    ROW_DATE("effectiveAt", OPT, "The instant from which it holds."),
    ROW_DATE("createdAt", OPT, "When it was accepted."),
};
static const struct pk_schema seen_source_schema = {
    .name = "TraitSourceView",
    FIELDS(seen_source_field),
    .help = "An observation that a trait rests on.",
};
static const struct pk_field seen_source_item =
    ROW_OBJECT(NULL, OPT, &seen_source_schema, "One source.");
static const struct pk_field seen_change_field[] = {
    ROW_UUID("changeId", REQ, "Its id."),
    ROW_INT("seq", REQ, 1, COUNT_MAX, "The observation's place in the person's order."),
    ROW_OBJECT("before", OPT, &pk_schema_trait_view, "The trait before; absent: it was new."),
    ROW_OBJECT("after", OPT, &pk_schema_trait_view, "The trait after; absent: it was removed."),
    ROW_UUID("observationId", REQ, "The observation that changed it."),
    ROW_STRING("processorId", PK_FORMAT_SCRIPT_ID, OPT, "The processor; absent: a person."),
    ROW_STRING("processorVersion", PK_FORMAT_SEMVER, OPT, "The processor's version."),
    ROW_DATE("effectiveAt", REQ, "The instant from which it holds."),
    ROW_DATE("createdAt", REQ, "When it was written."),
};
static const struct pk_schema seen_change_schema = {
    .name = "TraitChangeView",
    FIELDS(seen_change_field),
    .help = "One change of a trait.",
};
static const struct pk_field seen_change_item =
    ROW_OBJECT(NULL, OPT, &seen_change_schema, "One change.");
static const struct pk_field seen_history_field[] = {
    ROW_ARRAY("items", REQ, LIST_LONG, &seen_change_item, "Changes, the newest first."),
    ROW_TEXT("next", PK_FIELD_NULLABLE, TEXT_PAGE, "Where the next page starts, or null."),
};
static const struct pk_schema seen_history_schema = {
    .name = "TraitHistory",
    FIELDS(seen_history_field),
    .help = "A page of the changes of a trait.",
};
static const struct pk_field detail_field[] = {
    ROW_TRAIT("traitName", REQ, "Its path."),
    ROW_BOOL("isHeld", REQ, "Whether it is held now; else only its history is left."),
    ROW_COUNT("version", OPT, "The mindscape version at which it last changed."),
    ROW_TEXT("category", OPT, TEXT_WORD, "Its group."),
    ROW_FREE("value", OPT, "What is held to be true."),
    ROW_ENUM("dataType", OPT, data_type, "Of what sort the value is."),
    ROW_ENUM("volatility", OPT, pk_allowed_level, "How soon it may change."),
    ROW_UNIT("confidence", OPT, "How sure we are now."),
    ROW_UNIT("storedConfidence", OPT, "How sure we were at 'updatedAt'."),
    ROW_COUNT("halfLifeMs", OPT, "After how long half of it is left; absent: it never decays."),
    ROW_DATE("updatedAt", OPT, "When it last changed."),
    ROW_DATE("validFrom", OPT, "From when on it is true."),
    ROW_ARRAY("sources", OPT, LIST_SHORT, &seen_source_item, "Observations it rests on."),
    ROW_COUNT("sourceCount", OPT, "How many observations it rests on in all."),
    ROW_NAME("sourceType", OPT, "The sort of source that stands longest; decay goes by it."),
    ROW_ARRAY("links", OPT, LIST_SHORT, &link_item, "Narratives that speak of it."),
    ROW_BOOL("pinned", OPT, "Pinned by a person: it never decays."),
    ROW_MAP("metadata", OPT, MAP_ENTRIES, &pk_item_free, "Whatever else is known of it."),
    ROW_OBJECT("history", REQ, &seen_history_schema, "What it was."),
};
const struct pk_schema pk_schema_trait_detail = {
    .name = "TraitDetail",
    FIELDS(detail_field),
    .help = "A trait, and where it comes from.",
};
