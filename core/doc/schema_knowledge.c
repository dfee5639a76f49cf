/* schema_knowledge.c - Three layers of knowledge: hot facts, warm vectors, a cold graph. */
/* SPDX-License-Identifier: MIT */
#include "base/alloc.h"
#include "doc/schema_tables.h"

/* ---- knowledge: the hot layer ---- */

static const char *const entry_type[] = { "string", "number", "boolean", "date", "json", NULL };
static const struct pk_field entry_field[] = {
    ROW_TEXT("_id", REQ, 240, "<person>:<key>: one value per key."),
    ROW_UUID("entryId", REQ, "Its own id."),
    ROW_UUID("userId", REQ, "The person, and so the mindscape."),
    ROW_TEXT("key", REQ, TEXT_WORD, "Its name: 'project_role', 'preferred_name'."),
    ROW_FREE("value", REQ, "The fact."),
    ROW_ENUM("dataType", REQ, entry_type, "Of what sort the value is."),
    ROW_TEXT("category", REQ, TEXT_WORD, "Its group."),
    ROW_ENUM("volatility", REQ, pk_allowed_volatility, "How soon it may change."),
    ROW_ARRAY("derivedFrom", REQ, LIST_SHORT, &pk_item_obs, "Observations it rests on."),
    ROW_UNIT("confidence", REQ, "How sure we are."),
    ROW_INT("ttl", OPT, 1, COUNT_MAX, "Seconds that it is kept after 'updatedAt'."),
    ROW_DATE("expiresAt", OPT, "When 'ttl' is over."),
    ROW_DATE("createdAt", REQ, "When it was first known."),
    ROW_DATE("updatedAt", REQ, "When it last changed."),
    ROW_COUNT("version", REQ, "Raised with every change; for If-Match."),
};

static void check_entry(const bson_t *doc, const char *path, struct pk_faults *faults)
{
    const char *part[] = { pk_rule_text(doc, "userId"), pk_rule_text(doc, "key") };
    if (part[0] && part[1]) {
        pk_rule_joined_id(doc, path, part, 2, faults);
    }
    if (pk_rule_has(doc, "ttl") && !pk_rule_has(doc, "expiresAt")) {
        pk_rule_fault(faults, path, "expiresAt", "the instant at which 'ttl' is over", "nothing");
    }
}

const struct pk_schema pk_schema_knowledge = {
    .name = "KnowledgeEntry",
    FIELDS(entry_field),
    .rule = check_entry,
    .help = "A fact by its key.",
};

/* ---- vectors: the warm layer ---- */

static const struct pk_field vector_metadata_field[] = {
    ROW_TEXT("category", REQ, TEXT_WORD, "Its group."),
    ROW_TEXT("subcategory", OPT, TEXT_WORD, "Its group within the group."),
    ROW_ENUM("volatility", REQ, pk_allowed_volatility, "How soon it may change."),
    ROW_OBJECT("temporalRelevance", OPT, &pk_schema_span, "When it matters."),
    ROW_UNIT("importance", REQ, "How much it matters."),
    ROW_ARRAY("derivedFrom", REQ, LIST_SHORT, &pk_item_obs, "Observations it rests on."),
    ROW_ARRAY("tags", REQ, LIST_SOME, &pk_item_word, "Words to find it by."),
};
static const struct pk_schema vector_metadata_schema = {
    .name = "VectorMetadata",
    FIELDS(vector_metadata_field),
    .is_open = true,
    .help = "What a search filters by.",
};

static const char *const content_type[] = { "insight", "experience", "knowledge", "preference",
                                            NULL };
static const struct pk_field vector_field[] = {
    ROW_UUID("_id", REQ, "Its id."),
    ROW_UUID("userId", REQ, "The person, and so the mindscape."),
    ROW_UUID("mergedFrom", OPT, "Whose it was before people were merged."),
    ROW_TRAIT("traitId", OPT, "For a trait's embedding: the trait."),
    ROW_TEXT("content", OPT, TEXT_PAGE, "The text; a trait's embedding has none."),
    ROW_ENUM("contentType", OPT, content_type, "Of what sort it is; a trait's embedding has none."),
    { .name = "embedding",
      .type = PK_TYPE_ARRAY,
      .min = 1,
      .max = EMBEDDING_MAX,
      .item = &pk_item_float,
      .length_from = "embeddingDimensions",
      .help = "The vector; absent until the text has been embedded." },
    ROW_TEXT("embeddingModel", OPT, TEXT_WORD, "The model that made the vector."),
    ROW_INT("embeddingDimensions", OPT, 1, EMBEDDING_MAX, "The vector's length."),
    ROW_OBJECT("metadata", OPT, &vector_metadata_schema, "What a search filters by."),
    ROW_DATE("createdAt", REQ, "When it was made."),
    ROW_DATE("updatedAt", REQ, "When it last changed."),
    ROW_DATE("lastAccessedAt", OPT, "When a search last found it."),
    ROW_COUNT("accessCount", REQ, "How often a search found it."),
};

/* A document of the warm layer has its text, sort and metadata; only a trait's embedding, which
 * stands for the trait, has none of them. A vector says who made it and how long it is. */
static void check_vector(const bson_t *doc, const char *path, struct pk_faults *faults)
{
    static const char *const needed[] = { "content", "contentType", "metadata" };
    static const char *const told[] = { "embedding", "embeddingModel", "embeddingDimensions" };
    const bool is_trait = pk_rule_has(doc, "traitId");
    bool has_vector = is_trait;
    for (size_t i = 0; i < PK_COUNT(needed); i++) {
        if (!is_trait && !pk_rule_has(doc, needed[i])) {
            pk_rule_fault(faults, path, needed[i], "a value, unless 'traitId' is given", "nothing");
        }
    }
    for (size_t i = 0; i < PK_COUNT(told); i++) {
        has_vector = has_vector || pk_rule_has(doc, told[i]);
    }
    for (size_t i = 0; i < PK_COUNT(told); i++) {
        if (has_vector && !pk_rule_has(doc, told[i])) {
            pk_rule_fault(faults, path, told[i], "a value, as the vector's other fields",
                          "nothing");
        }
    }
}

const struct pk_schema pk_schema_vector = {
    .name = "VectorDocument",
    FIELDS(vector_field),
    .rule = check_vector,
    .help = "A text with its embedding, or the embedding of a trait.",
};

/* ---- graph_nodes, graph_edges: the cold layer ---- */

static const struct pk_field node_properties_field[] = {
    ROW_TEXT("description", OPT, TEXT_LINE, "What it is."),
    ROW_UNIT("importance", REQ, "How much it matters."),
    ROW_ENUM("volatility", REQ, pk_allowed_volatility, "How soon it may change."),
    ROW_ARRAY("derivedFrom", REQ, LIST_SHORT, &pk_item_obs, "Observations it rests on."),
    ROW_MAP("attributes", REQ, MAP_ENTRIES, &pk_item_free, "Whatever else is known of it."),
};
static const struct pk_schema node_properties_schema = {
    .name = "GraphNodeProperties",
    FIELDS(node_properties_field),
    .help = "What is known of a node.",
};
static const char *const node_type[] = { "concept", "entity", "event", "relationship", NULL };
static const struct pk_field node_field[] = {
    ROW_UUID("_id", REQ, "Its id."),
    ROW_UUID("userId", REQ, "The person, and so the mindscape."),
    ROW_UUID("mergedFrom", OPT, "Whose it was before people were merged."),
    ROW_ENUM("nodeType", REQ, node_type, "Of what sort it is."),
    ROW_TEXT("label", REQ, TEXT_WORD, "What it is called."),
    ROW_OBJECT("properties", REQ, &node_properties_schema, "What is known of it."),
    ROW_DATE("createdAt", REQ, "When it was first known."),
    ROW_DATE("updatedAt", REQ, "When it last changed."),
};
const struct pk_schema pk_schema_graph_node = {
    .name = "GraphNode",
    FIELDS(node_field),
    .help = "A concept, entity, event or relationship in a person's world.",
};

static const struct pk_field edge_properties_field[] = {
    ROW_UNIT("strength", REQ, "How strong the connection is."),
    ROW_UNIT("confidence", REQ, "How sure we are of it."),
    ROW_OBJECT("temporalScope", OPT, &pk_schema_span, "When it holds."),
    ROW_ARRAY("derivedFrom", REQ, LIST_SHORT, &pk_item_obs, "Observations it rests on."),
    ROW_MAP("metadata", REQ, MAP_ENTRIES, &pk_item_free, "Whatever else is known of it."),
};
static const struct pk_schema edge_properties_schema = {
    .name = "GraphEdgeProperties",
    FIELDS(edge_properties_field),
    .help = "What is known of an edge.",
};
static const struct pk_field edge_field[] = {
    ROW_UUID("_id", REQ, "Its id."),
    ROW_UUID("userId", REQ, "The person, and so the mindscape."),
    ROW_UUID("mergedFrom", OPT, "Whose it was before people were merged."),
    ROW_UUID("sourceNodeId", REQ, "Where it starts."),
    ROW_UUID("targetNodeId", REQ, "Where it ends."),
    ROW_TEXT("edgeType", REQ, TEXT_WORD, "What it says: 'knows', 'worked_with', 'believes_in'."),
    ROW_OBJECT("properties", REQ, &edge_properties_schema, "What is known of it."),
    ROW_DATE("createdAt", REQ, "When it was first known."),
    ROW_DATE("updatedAt", REQ, "When it last changed."),
};
const struct pk_schema pk_schema_graph_edge = {
    .name = "GraphEdge",
    FIELDS(edge_field),
    .help = "A connection of two nodes.",
};

static const struct pk_field community_field[] = {
    ROW_TEXT("communityId", REQ, TEXT_WORD, "Its id."),
    ROW_TEXT("name", REQ, TEXT_WORD, "What it is called."),
    ROW_ARRAY("nodeIds", REQ, LIST_LONG, &pk_item_uuid, "Its nodes."),
    ROW_UNIT("cohesionScore", REQ, "How closely its nodes are connected."),
    ROW_TEXT("description", REQ, TEXT_LINE, "What holds it together."),
};
static const struct pk_schema community_schema = {
    .name = "Community",
    FIELDS(community_field),
    .help = "Nodes that are closely connected.",
};
static const struct pk_field community_item = ROW_OBJECT(NULL, OPT, &community_schema, "One.");

static const struct pk_field metadata_field[] = {
    ROW_DATE("lastAnalysisRun", OPT, "When the graph was last analysed."),
    ROW_COUNT("totalNodes", REQ, "How many nodes there were."),
    ROW_COUNT("totalEdges", REQ, "How many edges there were."),
    ROW_NUMBER("graphDensity", REQ, 0, COUNT_MAX, "Edges there are for each there could be."),
    ROW_ARRAY("centralNodes", REQ, LIST_SOME, &pk_item_uuid, "The most connected nodes."),
    ROW_ARRAY("communities", REQ, LIST_SOME, &community_item, "Groups of close nodes."),
    ROW_TEXT("analysisVersion", REQ, TEXT_WORD, "The version of the analysis."),
};
const struct pk_schema pk_schema_graph_metadata = {
    .name = "GraphMetadata",
    FIELDS(metadata_field),
    .help = "What the last analysis of a person's graph found.",
};
