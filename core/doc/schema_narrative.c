/* schema_narrative.c - What people wrote: narratives, their links to traits, their use. */
/* SPDX-License-Identifier: MIT */
#include "doc/schema_tables.h"

#include <string.h>

/* ---- narratives ---- */

static const char *const narrative_type[] = { "self_observation", "curation", NULL };
static const struct pk_field narrative_field[] = {
    ROW_UUID("_id", REQ, "Its id."),
    ROW_UUID("userId", REQ, "The person it is about."),
    ROW_UUID("mergedFrom", OPT, "Whose it was before people were merged."),
    ROW_ENUM("narrativeType", REQ, narrative_type,
             "Whether it tells something or corrects a trait."),
    ROW_TEXT("rawText", REQ, TEXT_PAGE, "The text as it was written."),
    ROW_TEXT("curatedText", OPT, TEXT_PAGE, "The text, refined."),
    ROW_ARRAY("tags", OPT, LIST_SOME, &pk_item_word, "Words to find it by."),
    ROW_FREE("context", OPT, "In what situation it was written."),
    ROW_TRAIT("traitPath", OPT, "For a curation: the trait."),
    ROW_FREE("curationAction", OPT, "For a curation: what is to be done with the trait."),
    ROW_TEXT("source", OPT, 100, "Where it came from."),
    ROW_DATE("createdAt", REQ, "When it was written."),
    ROW_TEXT("createdBy", OPT, TEXT_WORD, "The actor who wrote it."),
    { .name = "embedding",
      .type = PK_TYPE_ARRAY,
      .max = EMBEDDING_MAX,
      .item = &pk_item_float,
      .length_from = "embeddingDimensions",
      .help = "Its vector, for search by meaning." },
    ROW_TEXT("embeddingModel", OPT, TEXT_WORD, "The model that made the vector."),
    ROW_INT("embeddingDimensions", OPT, 1, EMBEDDING_MAX, "The vector's length."),
};

static void check_narrative(const bson_t *doc, const char *path, struct pk_faults *faults)
{
    const char *type = pk_rule_text(doc, "narrativeType");
    if (type && strcmp(type, "curation") == 0 && !pk_rule_has(doc, "traitPath")) {
        pk_rule_fault(faults, path, "traitPath", "the trait that the curation is about", "nothing");
    }
    if (pk_rule_has(doc, "embedding") && !pk_rule_has(doc, "embeddingDimensions")) {
        pk_rule_fault(faults, path, "embeddingDimensions", "the length of 'embedding'", "nothing");
    }
}

const struct pk_schema pk_schema_narrative = {
    .name = "Narrative",
    FIELDS(narrative_field),
    .rule = check_narrative,
    .help = "A text that a person wrote about themselves, or to correct a trait.",
};

/* ---- trait_links ---- */

static const struct pk_field link_field[] = {
    ROW_UUID("_id", REQ, "Its id."),
    ROW_UUID("userId", REQ, "The person."),
    ROW_UUID("mergedFrom", OPT, "Whose it was before people were merged."),
    ROW_UUID("narrativeId", REQ, "The narrative; the link goes with it."),
    ROW_TRAIT("traitPath", REQ, "The trait."),
    ROW_ENUM("linkType", REQ, pk_allowed_link, "What the narrative says about the trait."),
    ROW_UNIT("confidence", OPT, "How sure we are of the link."),
    ROW_FREE("metadata", OPT, "Whatever else is known of it."),
    ROW_DATE("createdAt", REQ, "When it was made."),
};
const struct pk_schema pk_schema_trait_link = {
    .name = "TraitNarrativeLink",
    FIELDS(link_field),
    .help = "A narrative that speaks of a trait.",
};

/* ---- narrative_usage ---- */

static const struct pk_field usage_field[] = {
    ROW_UUID("_id", REQ, "Its id."),
    ROW_UUID("userId", REQ, "The person."),
    ROW_UUID("mergedFrom", OPT, "Whose it was before people were merged."),
    ROW_UUID("personaInstanceId", REQ, "The generation that used it."),
    ROW_UUID("narrativeId", REQ, "The narrative."),
    ROW_TEXT("usageType", REQ, 50, "What it was used for."),
    ROW_UNIT("relevanceScore", OPT, "How well it fitted."),
    ROW_FREE("usageContext", OPT, "How it came to be used."),
    ROW_DATE("createdAt", REQ, "When it was used."),
    ROW_DATE("expiresAt", REQ, "The persona's; this goes with it."),
};
const struct pk_schema pk_schema_narrative_usage = {
    .name = "PersonaNarrativeUsage",
    FIELDS(usage_field),
    .help = "A narrative that a generated persona used.",
};
