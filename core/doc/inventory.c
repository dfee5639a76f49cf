/* inventory.c - The table of collections and their indexes.
 *
 * Collections stand in the order of the design's list. Each has its indexes
 * in an array of its own above the table; 'seed' names the index of the
 * specification that it is (several where two documents ask for one), on the
 * stored field names. The unique index on the person that the specification
 * asks of mindscapes is the '_id' itself.
 *
 * Rules, each with a test:
 * - a collection of a person is found by the first key of some index, or by
 *   its '_id' (is_person_id), so that export and erase miss nothing;
 * - what expires has the index BY_EXPIRY on its ttl_path alone: SQLite's
 *   reaper walks it, MongoDB makes it a TTL index;
 * - an index that nothing asks for is not here: each costs every document that is written;
 * - a partial unique index on array elements holds documents where the array
 *   is there, and the schema wants such an array not empty. */
/* SPDX-License-Identifier: MIT */
#include "doc/inventory.h"

#include "doc/schema_tables.h"

#include <string.h>

#define UP(path_)       \
    {                   \
        .path = (path_) \
    }
#define DOWN(path_)                            \
    {                                          \
        .path = (path_), .is_descending = true \
    }
/* The keys of an index, counted. */
#define KEYS(...)                                                                               \
    .key = { __VA_ARGS__ }, .key_count = sizeof((const struct pk_index_key[]){ __VA_ARGS__ }) / \
                                         sizeof(struct pk_index_key)
#define INDEXES(array_) .index = (array_), .index_count = sizeof(array_) / sizeof((array_)[0])
#define BY_EXPIRY                                  \
    {                                              \
        .name = "by_expiry", KEYS(UP("expiresAt")) \
    }

static const struct pk_index observations_index[] = {
    { .name = "by_user_status",
      KEYS(UP("userId"), UP("processingStatus"), DOWN("createdAt")),
      .seed = "idx_observations_person_status" },
    { .name = "by_created", KEYS(UP("createdAt")), .seed = "idx_observations_created" },
    { .name = "by_user_created",
      KEYS(UP("userId"), DOWN("createdAt")),
      .seed = "idx_observations_person_created" },
    /* Of those that are processed: at its acceptance an observation pays nothing for it. */
    { .name = "by_user_seq",
      KEYS(UP("userId"), UP("seq")),
      .only = PK_ONLY_EXISTS,
      .only_path = "seq" },
};

static const struct pk_index mindscapes_index[] = {
    { .name = "by_updated", KEYS(UP("lastUpdated")), .seed = "idx_mindscapes_updated" },
};

static const struct pk_index trait_history_index[] = {
    { .name = "by_user_path", KEYS(UP("userId"), UP("epoch"), UP("path"), UP("seq")) },
    { .name = "by_user_seq", KEYS(UP("userId"), UP("epoch"), UP("seq")) },
    { .name = "by_user_time", KEYS(UP("userId"), UP("epoch"), UP("effectiveAt")) },
    { .name = "by_observation", KEYS(UP("obsId")) },
};

static const struct pk_index personas_index[] = {
    { .name = "by_mapper_user",
      KEYS(UP("mapperId"), UP("userId")),
      .seed = "idx_personas_mapper_mindscape" },
    { .name = "by_expiry",
      KEYS(UP("expiresAt")),
      .seed = "idx_personas_expiry, idx_personas_expires" },
    { .name = "by_usage", KEYS(UP("usageMetadata.lastAccessedAt")), .seed = "idx_personas_usage" },
    { .name = "by_user", KEYS(UP("userId")), .seed = "idx_personas_person" },
    { .name = "by_instance", KEYS(UP("personaInstanceId")), .is_unique = true },
};

static const struct pk_index persona_log_index[] = {
    { .name = "by_user", KEYS(UP("userId"), DOWN("generatedAt")) },
    { .name = "by_persona", KEYS(UP("personaId"), DOWN("generatedAt")) },
    { .name = "by_mapper", KEYS(UP("mapperId"), UP("mapperVersion"), DOWN("generatedAt")) },
    { .name = "by_persona_expiry", KEYS(UP("isExpiryAnnounced"), UP("personaExpiresAt")) },
    BY_EXPIRY,
};

static const struct pk_index mappers_index[] = {
    { .name = "by_status", KEYS(UP("status")), .seed = "idx_mapper_configs_status" },
    { .name = "one_active",
      KEYS(UP("mapperId")),
      .is_unique = true,
      .only = PK_ONLY_TEXT,
      .only_path = "status",
      .only_text = "active",
      .seed = "idx_mapper_configs_active" },
    { .name = "by_version",
      KEYS(UP("mapperId"), UP("version")),
      .is_unique = true,
      .seed = "UNIQUE(config_id,version)" },
    { .name = "by_age", KEYS(UP("mapperId"), DOWN("createdAt")) },
};

static const struct pk_index scripts_index[] = {
    { .name = "by_status", KEYS(UP("status")) },
    { .name = "one_active",
      KEYS(UP("scriptId")),
      .is_unique = true,
      .only = PK_ONLY_TEXT,
      .only_path = "status",
      .only_text = "active" },
    { .name = "by_version", KEYS(UP("scriptId"), UP("version")), .is_unique = true },
    { .name = "by_age", KEYS(UP("kind"), UP("scriptId"), DOWN("createdAt")) },
};

static const struct pk_index narratives_index[] = {
    { .name = "by_user", KEYS(UP("userId"), DOWN("createdAt")), .seed = "idx_narratives_person" },
    { .name = "by_type",
      KEYS(UP("narrativeType"), DOWN("createdAt")),
      .seed = "idx_narratives_type" },
    { .name = "by_tag",
      KEYS(UP("tags[]"), UP("userId"), DOWN("createdAt")),
      .seed = "idx_narratives_tags" },
};

static const struct pk_index trait_links_index[] = {
    { .name = "by_narrative", KEYS(UP("narrativeId")), .seed = "idx_trait_links_narrative" },
    { .name = "by_trait", KEYS(UP("traitPath")), .seed = "idx_trait_links_trait" },
    { .name = "by_user_trait", KEYS(UP("userId"), UP("traitPath")) },
};

static const struct pk_index narrative_usage_index[] = {
    { .name = "by_user", KEYS(UP("userId"), DOWN("createdAt")) },
    { .name = "by_persona", KEYS(UP("personaInstanceId")) },
    { .name = "by_narrative", KEYS(UP("narrativeId")) },
    BY_EXPIRY,
};

static const struct pk_index knowledge_index[] = {
    { .name = "by_user_key", KEYS(UP("userId"), UP("key")), .seed = "idx_knowledge_mindscape_key" },
    { .name = "by_user_category",
      KEYS(UP("userId"), UP("category")),
      .seed = "idx_knowledge_category" },
    BY_EXPIRY,
};

static const struct pk_index vectors_index[] = {
    { .name = "by_user_type",
      KEYS(UP("userId"), UP("contentType")),
      .seed = "idx_vectors_mindscape_type" },
    { .name = "by_metadata", KEYS(UP("metadata.*")), .seed = "idx_vectors_metadata" },
    { .name = "by_user_trait",
      KEYS(UP("userId"), UP("traitId"), UP("embeddingModel")),
      .is_unique = true,
      .only = PK_ONLY_EXISTS,
      .only_path = "traitId" },
};

static const struct pk_index graph_nodes_index[] = {
    { .name = "by_user_type", KEYS(UP("userId"), UP("nodeType")) },
    { .name = "by_user_label", KEYS(UP("userId"), UP("label")) },
};

static const struct pk_index graph_edges_index[] = {
    { .name = "by_user_source", KEYS(UP("userId"), UP("sourceNodeId")) },
    { .name = "by_user_target", KEYS(UP("userId"), UP("targetNodeId")) },
};

static const struct pk_index reviews_index[] = {
    { .name = "by_user_status", KEYS(UP("userId"), UP("status"), DOWN("createdAt")) },
    { .name = "by_status", KEYS(UP("status"), DOWN("createdAt")) },
};

static const struct pk_index consents_index[] = {
    { .name = "by_user", KEYS(UP("userId"), UP("purpose")), .is_unique = true },
};

static const struct pk_index people_index[] = {
    { .name = "by_external_id",
      KEYS(UP("externalIds[].key")),
      .is_unique = true,
      .only = PK_ONLY_EXISTS,
      .only_path = "externalIds" },
    { .name = "by_created", KEYS(UP("createdAt")) },
};

static const struct pk_index processing_index[] = {
    { .name = "by_user_seq", KEYS(UP("userId"), UP("seq")) },
    { .name = "by_observation", KEYS(UP("obsId")) },
};

static const struct pk_index feedback_index[] = {
    { .name = "by_persona", KEYS(UP("personaInstanceId")), .seed = "idx_feedback_persona" },
    { .name = "by_status",
      KEYS(UP("processingStatus"), UP("submittedAt")),
      .seed = "idx_feedback_status" },
    { .name = "by_created", KEYS(DOWN("submittedAt")), .seed = "idx_feedback_created" },
    { .name = "by_mapper", KEYS(UP("mapperId"), UP("mapperVersion"), DOWN("submittedAt")) },
    { .name = "by_user", KEYS(UP("userId"), DOWN("submittedAt")) },
};

static const struct pk_index actors_index[] = {
    { .name = "by_email",
      KEYS(UP("email")),
      .is_unique = true,
      .only = PK_ONLY_EXISTS,
      .only_path = "email",
      .seed = "users.email UNIQUE" },
    { .name = "by_key",
      KEYS(UP("apiKeys[].keyId")),
      .is_unique = true,
      .only = PK_ONLY_EXISTS,
      .only_path = "apiKeys" },
    { .name = "by_status", KEYS(UP("status")) },
};

static const struct pk_index outbox_index[] = {
    { .name = "by_status",
      KEYS(UP("status"), UP("runAfter")),
      .seed = "idx_outbox_status, idx_outbox_status_runafter" },
    { .name = "by_user", KEYS(UP("userId"), UP("createdAt")) },
    BY_EXPIRY,
};

static const struct pk_index events_index[] = {
    { .name = "by_user", KEYS(UP("userId"), UP("timestamp")) },
    BY_EXPIRY,
};

static const struct pk_index devices_index[] = {
    { .name = "by_user", KEYS(UP("userId")) },
};

static const struct pk_index sync_queue_index[] = {
    { .name = "by_device_status",
      KEYS(UP("deviceId"), UP("status")),
      .seed = "idx_sync_queue_device_status" },
    { .name = "by_priority",
      KEYS(UP("syncMetadata.priority"), UP("syncMetadata.createdAt")),
      .seed = "idx_sync_queue_priority_created" },
    { .name = "by_user", KEYS(UP("userId"), UP("syncMetadata.createdAt")) },
};

static const struct pk_index tombstones_index[] = {
    BY_EXPIRY,
};

static const struct pk_index deliveries_index[] = {
    { .name = "by_status", KEYS(UP("status"), UP("runAfter")) },
    { .name = "by_target", KEYS(UP("targetId"), DOWN("createdAt")) },
    { .name = "by_user", KEYS(UP("userId"), DOWN("createdAt")) },
    BY_EXPIRY,
};

static const struct pk_index idempotency_index[] = {
    { .name = "by_user", KEYS(UP("userIds[]")) },
    BY_EXPIRY,
};

static const struct pk_index persona_behavioral_models_index[] = {
    { .name = "by_persona", KEYS(UP("persona_id")), .seed = "{persona_id:1}" },
    { .name = "one_active",
      KEYS(UP("persona_id"), UP("is_active_model")),
      .is_unique = true,
      .only = PK_ONLY_TRUE,
      .only_path = "is_active_model",
      .seed = "{persona_id:1,is_active_model:1}, PersonaActiveModelIndex" },
    { .name = "by_persona_updated",
      KEYS(UP("persona_id"), DOWN("last_updated_at")),
      .seed = "{persona_id:1,last_updated_at:-1}" },
    { .name = "by_persona_version",
      KEYS(UP("persona_id"), UP("model_version_id")),
      .is_unique = true,
      .seed = "{persona_id:1,model_version_id:1}" },
};

static const struct pk_index artifacts_index[] = {
    { .name = "by_persona", KEYS(UP("persona_id"), UP("model_version_id")) },
    { .name = "by_key", KEYS(UP("object_key")), .is_unique = true },
};

static const struct pk_index nodes_index[] = {
    { .name = "by_lease", KEYS(UP("kind"), UP("leaseUntil")) },
};

static const struct pk_index script_state_index[] = {
    { .name = "by_script", KEYS(UP("scriptId"), UP("state")) },
};

static const struct pk_index audit_index[] = {
    { .name = "by_time", KEYS(DOWN("at")) },
    { .name = "by_actor", KEYS(UP("actorId"), DOWN("at")) },
    { .name = "by_action", KEYS(UP("action"), DOWN("at")) },
    { .name = "by_target", KEYS(UP("targetId"), DOWN("at")) },
    { .name = "by_user", KEYS(UP("userHash"), DOWN("at")) },
    BY_EXPIRY,
};

static const struct pk_collection collection_table[] = {
    { .name = "observations",
      .schema = &pk_schema_observation,
      INDEXES(observations_index),
      .person_path = "userId",
      .is_exported = true,
      .erase = PK_ERASE_DELETE,
      .merge = PK_MERGE_MOVES,
      .help = "What was said or measured of a person; immutable but for its status." },
    { .name = "mindscapes",
      .schema = &pk_schema_mindscape,
      INDEXES(mindscapes_index),
      .person_path = "_id",
      .is_person_id = true,
      .is_exported = true,
      .erase = PK_ERASE_DELETE,
      .merge = PK_MERGE_GOES,
      .help = "What is known of a person: traits with evidence, goals, beliefs, narrative." },
    { .name = "trait_history",
      .schema = &pk_schema_trait_history,
      INDEXES(trait_history_index),
      .person_path = "userId",
      .is_exported = true,
      .erase = PK_ERASE_DELETE,
      .merge = PK_MERGE_GOES,
      .help = "Every change of every trait and of what is beside them: what it became, and why." },
    { .name = "personas",
      .schema = &pk_schema_persona,
      INDEXES(personas_index),
      .ttl_path = "expiresAt",
      .person_path = "userId",
      .is_exported = true,
      .erase = PK_ERASE_DELETE,
      .merge = PK_MERGE_GOES,
      .help = "Cached views of a person, one per mapper, detail level and variant." },
    { .name = "persona_log",
      .schema = &pk_schema_persona_log,
      INDEXES(persona_log_index),
      .ttl_path = "expiresAt",
      .person_path = "userId",
      .is_exported = true,
      .erase = PK_ERASE_DELETE,
      .merge = PK_MERGE_MOVES,
      .retention = "store.retention.persona_log",
      .help = "One small record per generation, kept when the persona itself has gone." },
    { .name = "mappers",
      .schema = &pk_schema_mapper,
      INDEXES(mappers_index),
      .erase = PK_ERASE_NOT_PERSONAL,
      .help = "All versions of all mappers; never deleted, only deprecated." },
    { .name = "scripts",
      .schema = &pk_schema_script,
      INDEXES(scripts_index),
      .erase = PK_ERASE_NOT_PERSONAL,
      .help = "All versions of uploaded processors, conditions and plugins." },
    { .name = "narratives",
      .schema = &pk_schema_narrative,
      INDEXES(narratives_index),
      .person_path = "userId",
      .is_exported = true,
      .erase = PK_ERASE_DELETE,
      .merge = PK_MERGE_MOVES,
      .help = "What people wrote about themselves, and their curations of traits." },
    { .name = "trait_links",
      .schema = &pk_schema_trait_link,
      INDEXES(trait_links_index),
      .person_path = "userId",
      .is_exported = true,
      .erase = PK_ERASE_DELETE,
      .merge = PK_MERGE_MOVES,
      .help = "Which narrative speaks for, against or about which trait." },
    { .name = "narrative_usage",
      .schema = &pk_schema_narrative_usage,
      INDEXES(narrative_usage_index),
      .ttl_path = "expiresAt",
      .person_path = "userId",
      .is_exported = true,
      .erase = PK_ERASE_DELETE,
      .merge = PK_MERGE_MOVES,
      .help = "Which narratives a generated persona used; goes with it." },
    { .name = "knowledge",
      .schema = &pk_schema_knowledge,
      INDEXES(knowledge_index),
      .ttl_path = "expiresAt",
      .person_path = "userId",
      .is_exported = true,
      .erase = PK_ERASE_DELETE,
      .merge = PK_MERGE_GOES,
      .help = "The hot layer: facts by key." },
    { .name = "vectors",
      .schema = &pk_schema_vector,
      INDEXES(vectors_index),
      .person_path = "userId",
      .is_exported = true,
      .erase = PK_ERASE_DELETE,
      .merge = PK_MERGE_MOVES,
      .help = "The warm layer: texts with embeddings, and the embeddings of traits." },
    { .name = "graph_nodes",
      .schema = &pk_schema_graph_node,
      INDEXES(graph_nodes_index),
      .person_path = "userId",
      .is_exported = true,
      .erase = PK_ERASE_DELETE,
      .merge = PK_MERGE_MOVES,
      .help = "The cold layer: concepts, entities, events and relationships." },
    { .name = "graph_edges",
      .schema = &pk_schema_graph_edge,
      INDEXES(graph_edges_index),
      .person_path = "userId",
      .is_exported = true,
      .erase = PK_ERASE_DELETE,
      .merge = PK_MERGE_MOVES,
      .help = "The cold layer: how its nodes are connected." },
    { .name = "reviews",
      .schema = &pk_schema_review,
      INDEXES(reviews_index),
      .person_path = "userId",
      .is_exported = true,
      .erase = PK_ERASE_DELETE,
      .merge = PK_MERGE_MOVES,
      .help = "Proposed changes of traits that wait for a person's word." },
    { .name = "consents",
      .schema = &pk_schema_consent,
      INDEXES(consents_index),
      .person_path = "userId",
      .is_guarded = true,
      .is_exported = true,
      .erase = PK_ERASE_DELETE,
      .help = "What a person's data may be used for, per purpose, with dates." },
    { .name = "people",
      .schema = &pk_schema_person,
      INDEXES(people_index),
      .person_path = "_id",
      .is_person_id = true,
      .is_exported = true,
      .erase = PK_ERASE_DELETE,
      .help = "The people: their ids elsewhere, and merges." },
    { .name = "processing",
      .schema = &pk_schema_processing,
      INDEXES(processing_index),
      .person_path = "userId",
      .is_exported = true,
      .erase = PK_ERASE_DELETE,
      .merge = PK_MERGE_MOVES,
      .help = "How a processor version took an observation: order, answers, error." },
    { .name = "feedback",
      .schema = &pk_schema_feedback,
      INDEXES(feedback_index),
      .person_path = "userId",
      .is_exported = true,
      .erase = PK_ERASE_DELETE,
      .merge = PK_MERGE_MOVES,
      .help = "What came of using a persona, with ratings." },
    { .name = "actors",
      .schema = &pk_schema_actor,
      INDEXES(actors_index),
      .erase = PK_ERASE_NOT_PERSONAL,
      .help = "Who may ask: agents, people and systems, with their keys." },
    { .name = "outbox",
      .schema = &pk_schema_outbox_task,
      INDEXES(outbox_index),
      .ttl_path = "expiresAt",
      .person_path = "userId",
      .erase = PK_ERASE_DELETE,
      .retention = "store.retention.outbox",
      .help = "Work that an accepted change still has to cause." },
    { .name = "events",
      .schema = &pk_schema_event,
      INDEXES(events_index),
      .ttl_path = "expiresAt",
      .person_path = "userId",
      .is_feed = true,
      .erase = PK_ERASE_DELETE,
      .retention = "store.retention.events",
      .help = "The feed: what was written, by type, id, path and version." },
    { .name = "devices",
      .schema = &pk_schema_device,
      INDEXES(devices_index),
      .person_path = "userId",
      .is_exported = true,
      .erase = PK_ERASE_DELETE,
      .help = "Clients that sync, and how far each has got." },
    { .name = "sync_queue",
      .schema = &pk_schema_sync_item,
      INDEXES(sync_queue_index),
      .person_path = "userId",
      .is_exported = true,
      .erase = PK_ERASE_DELETE,
      .help = "What devices sent and the server has not taken in yet." },
    { .name = "tombstones",
      .schema = &pk_schema_tombstone,
      INDEXES(tombstones_index),
      .ttl_path = "expiresAt",
      .person_path = "_id",
      .is_person_id = true,
      .is_guarded = true,
      .erase = PK_ERASE_KEEP_HASHED,
      .retention = "store.retention.tombstones",
      .help = "Erased people, by bare id, so that nothing of them comes back by sync." },
    { .name = "deliveries",
      .schema = &pk_schema_delivery,
      INDEXES(deliveries_index),
      .ttl_path = "expiresAt",
      .person_path = "userId",
      .erase = PK_ERASE_DELETE,
      .retention = "store.retention.deliveries",
      .help = "Outgoing webhooks and what became of each." },
    { .name = "idempotency",
      .schema = &pk_schema_idempotency,
      INDEXES(idempotency_index),
      .ttl_path = "expiresAt",
      .person_path = "userIds[]",
      .erase = PK_ERASE_DELETE,
      .retention = "store.retention.idempotency",
      .help = "Answers kept by key, so that a repeated request has one effect." },
    { .name = "persona_behavioral_models",
      .schema = &pk_schema_model,
      INDEXES(persona_behavioral_models_index),
      .person_path = "persona_id",
      .is_exported = true,
      .erase = PK_ERASE_DELETE,
      .help = "Versions of a person's behavioural model: rules, style, artifact." },
    { .name = "artifacts",
      .schema = &pk_schema_artifact,
      INDEXES(artifacts_index),
      .person_path = "persona_id",
      .is_exported = true,
      .erase = PK_ERASE_DELETE,
      .help = "Large files of models: where they lie and whether they were verified." },
    { .name = "nodes",
      .schema = &pk_schema_node,
      INDEXES(nodes_index),
      .erase = PK_ERASE_NOT_PERSONAL,
      .help = "Servers of this installation, and the leases they hold." },
    { .name = "script_state",
      .schema = &pk_schema_script_state,
      INDEXES(script_state_index),
      .is_guarded = true,
      .erase = PK_ERASE_NOT_PERSONAL,
      .help = "Scripts that may not run: barred after a rollback, or quarantined." },
    { .name = "settings",
      .schema = &pk_schema_setting,
      .erase = PK_ERASE_NOT_PERSONAL,
      .help = "Settings changed while running, by name." },
    { .name = "audit",
      .schema = &pk_schema_audit,
      INDEXES(audit_index),
      .ttl_path = "expiresAt",
      .person_path = "userHash",
      .erase = PK_ERASE_KEEP_HASHED,
      .retention = "store.retention.audit",
      .help = "Who did what to whom, people named by keyed hash." },
};

static const struct pk_inventory builtin = {
    .collection = collection_table,
    .count = sizeof(collection_table) / sizeof(collection_table[0]),
    .schema_version = 1,
};

const struct pk_inventory *pk_inventory_builtin(void)
{
    return &builtin;
}

const struct pk_collection *pk_inventory_find(const struct pk_inventory *inventory,
                                              const char *name)
{
    for (size_t i = 0; i < inventory->count; i++) {
        if (strcmp(inventory->collection[i].name, name) == 0) {
            return &inventory->collection[i];
        }
    }
    return NULL;
}

const struct pk_index *pk_collection_index(const struct pk_collection *collection, const char *name)
{
    for (size_t i = 0; i < collection->index_count; i++) {
        if (strcmp(collection->index[i].name, name) == 0) {
            return &collection->index[i];
        }
    }
    return NULL;
}
