/* names.c - The table of spellings, and the one walk that respells a document.
 *
 * A row says where a path goes; a path without a row keeps its name within
 * whatever its parent has become. So "traits[].value" needs no row to become
 * "traitMatrix[].value". Rows may move a field to another depth
 * ("generatedAt" to "generationMetadata.generatedAt"), but not into or out of
 * a list. Where the value changes as well, 'others' says so and whoever
 * imports or exports does it.
 *
 * Fields may come in any order and meet in one object, which libbson cannot
 * build; so the walk makes a small tree of what it moved, with everything
 * below the last row left as it was, and writes the tree at the end.
 *
 * Thread: any. */
/* SPDX-License-Identifier: MIT */
#include "doc/names.h"

#include "base/alloc.h"
#include "base/error.h"

#include <assert.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

/* collection, stored, HTTP, v0.2.0, further spellings */
static const struct pk_name name_table[] = {
    { "observations", "_id", "observationId", "id", NULL },
    { "observations", "userId", "personId", "person_id", "human_id" },
    { "observations", "sourceType", "sourceType", "observation_type", NULL },
    { "observations", "sourceMetadata", "sourceMetadata", "metadata", NULL },
    { "observations", "createdAt", "createdAt", "created_at", "ts" },
    { "observations", "createdBy", "createdBy", "created_by", NULL },
    { "mindscapes", "_id", "personId", "person_id", "mindscapeId, human_id" },
    { "mindscapes", "lastUpdated", "updatedAt", "updated_at", NULL },
    { "mindscapes", "traits", "traitMatrix", "traits", "v0.2.0 has a tree: the value changes too" },
    { "mindscapes", "traits[].id", "traitMatrix[].traitName", NULL, "name" },
    { "mindscapes", "traits[].sources", "traitMatrix[].sources", NULL,
      "derivedFrom: ids without weights, the value changes too" },
    { "trait_history", "_id", "changeId", NULL, NULL },
    { "trait_history", "userId", "personId", NULL, NULL },
    { "trait_history", "obsId", "observationId", NULL, NULL },
    { "personas", "_id", "compositeKey", NULL, NULL },
    { "personas", "personaInstanceId", "personaInstanceId", "id", NULL },
    { "personas", "userId", "personId", "person_id", "human_id, sourceMindscapeId" },
    { "personas", "mapperId", "sourceMapperId", "mapper_config_id",
      "mapper_id: in v0.2.0 the id of the version's row" },
    { "personas", "mapperVersion", "mapperVersion", "mapper_version",
      "an integer N in v0.2.0 becomes N.0.0" },
    { "personas", "mindscapeVersion", "mindscapeVersion", "mindscape_version", NULL },
    { "personas", "detailLevel", "generationMetadata.detailLevel", NULL, "detail, detail_level" },
    { "personas", "generatedAt", "generationMetadata.generatedAt", "created_at", "generated_at" },
    { "personas", "generationMetadata", "generationMetadata", "metadata", NULL },
    { "personas", "isStale", "isStale", NULL, "is_stale" },
    { "personas", "expiresAt", "expiresAt", "expires_at", NULL },
    { "personas", "coreSnapshot", "personaCore", "core", NULL },
    { "personas", "overlaySlice", "contextualOverlay", "overlay", NULL },
    { "personas", "createdBy", "createdBy", "created_by", NULL },
    { "persona_log", "_id", "personaInstanceId", NULL, NULL },
    { "persona_log", "userId", "personId", NULL, NULL },
    { "mappers", "_id", "mapperVersionId", "id", NULL },
    { "mappers", "mapperId", "mapperId", "config_id", "sourceMapperId" },
    { "mappers", "version", "version", "version", "an integer N in v0.2.0 becomes N.0.0" },
    { "mappers", "usageCount", "usageCount", "usage_count", NULL },
    { "mappers", "createdAt", "createdAt", "created_at", NULL },
    { "mappers", "createdBy", "createdBy", "created_by", NULL },
    { "scripts", "_id", "scriptVersionId", NULL, NULL },
    { "narratives", "_id", "narrativeId", "id", NULL },
    { "narratives", "userId", "personId", "person_id", NULL },
    { "narratives", "narrativeType", "narrativeType", "narrative_type", NULL },
    { "narratives", "rawText", "rawText", "raw_text", NULL },
    { "narratives", "curatedText", "curatedText", "curated_text", NULL },
    { "narratives", "traitPath", "traitPath", "trait_path", NULL },
    { "narratives", "curationAction", "curationAction", "curation_action", NULL },
    { "narratives", "createdAt", "createdAt", "created_at", NULL },
    { "narratives", "createdBy", "createdBy", "created_by", NULL },
    { "trait_links", "_id", "linkId", "id", NULL },
    { "trait_links", "userId", "personId", NULL, NULL },
    { "trait_links", "narrativeId", "narrativeId", "narrative_id", NULL },
    { "trait_links", "traitPath", "traitPath", "trait_path", NULL },
    { "trait_links", "linkType", "linkType", "link_type", NULL },
    { "trait_links", "createdAt", "createdAt", "created_at", NULL },
    { "narrative_usage", "_id", "usageId", "id", NULL },
    { "narrative_usage", "userId", "personId", NULL, NULL },
    { "narrative_usage", "personaInstanceId", "personaInstanceId", "persona_id", NULL },
    { "narrative_usage", "narrativeId", "narrativeId", "narrative_id", NULL },
    { "narrative_usage", "usageType", "usageType", "usage_type", NULL },
    { "narrative_usage", "relevanceScore", "relevanceScore", "relevance_score", NULL },
    { "narrative_usage", "usageContext", "usageContext", "usage_context", NULL },
    { "narrative_usage", "createdAt", "createdAt", "created_at", NULL },
    { "knowledge", "_id", "hotLayerKey", NULL, NULL },
    { "knowledge", "userId", "mindscapeId", NULL, "personId" },
    { "vectors", "_id", "documentId", NULL, NULL },
    { "vectors", "userId", "mindscapeId", NULL, "personId, humanId" },
    { "graph_nodes", "_id", "nodeId", NULL, NULL },
    { "graph_nodes", "userId", "mindscapeId", NULL, "personId" },
    { "graph_edges", "_id", "edgeId", NULL, NULL },
    { "graph_edges", "userId", "mindscapeId", NULL, "personId" },
    { "reviews", "_id", "reviewId", NULL, NULL },
    { "reviews", "userId", "personId", NULL, NULL },
    { "consents", "_id", "consentId", NULL, NULL },
    { "consents", "userId", "personId", NULL, NULL },
    { "people", "_id", "personId", NULL, "humans.id, human_id, userId" },
    { "processing", "_id", "processingId", NULL, NULL },
    { "processing", "userId", "personId", NULL, NULL },
    { "processing", "obsId", "observationId", NULL, NULL },
    { "feedback", "_id", "feedbackId", "id", NULL },
    { "feedback", "userId", "personId", NULL, NULL },
    { "feedback", "personaInstanceId", "personaInstanceId", "persona_id", NULL },
    { "feedback", "ratings.overall", "ratings.overall", "rating", NULL },
    { "feedback", "ruleId", "ruleId", "rule_id", NULL },
    { "feedback", "mapperVersion", "mapperVersion", "mapper_version",
      "an integer N in v0.2.0 becomes N.0.0" },
    { "feedback", "submittedAt", "submittedAt", "created_at", NULL },
    { "feedback", "submittedBy", "submittedBy", "created_by", NULL },
    { "actors", "_id", "actorId", "id", NULL },
    { "actors", "usageMetadata.lastActiveAt", "usageMetadata.lastActiveAt", "last_used_at", NULL },
    { "actors", "apiKeys[].keyHash", NULL, NULL,
      "api_key_hash: bcrypt, which cannot be taken over" },
    { "actors", "status", "status", NULL,
      "is_active: false becomes suspended, the value changes too" },
    { "actors", "createdAt", "createdAt", "created_at", NULL },
    { "outbox", "_id", "taskId", "id", NULL },
    { "outbox", "userId", "personId", NULL, NULL },
    { "outbox", "taskType", "taskType", "task_type", NULL },
    { "outbox", "lastError", "lastError", "last_error", NULL },
    { "outbox", "runAfter", "runAfter", "run_after", NULL },
    { "outbox", "completedAt", "completedAt", "completed_at", NULL },
    { "outbox", "createdAt", "createdAt", "created_at", NULL },
    { "outbox", "updatedAt", "updatedAt", "updated_at", NULL },
    { "events", "_id", "eventId", NULL, NULL },
    { "events", "userId", "personId", NULL, NULL },
    { "devices", "_id", "deviceId", NULL, NULL },
    { "devices", "userId", "personId", NULL, NULL },
    { "sync_queue", "_id", "queueId", NULL, NULL },
    { "sync_queue", "userId", "personId", NULL, NULL },
    { "tombstones", "_id", "personId", NULL, NULL },
    { "deliveries", "_id", "deliveryId", NULL, NULL },
    { "deliveries", "userId", "personId", NULL, NULL },
    { "idempotency", "_id", "key", NULL, NULL },
    { "idempotency", "userIds", "personIds", NULL, NULL },
    { "persona_behavioral_models", "_id", "id", NULL,
      "model_version_id: the same, in a field of its own" },
    { "artifacts", "_id", "artifact_id", NULL, NULL },
    { "artifacts", "artifact_filename", "artifact_filename", NULL,
      "artifact_filename_with_extension" },
    { "nodes", "_id", "nodeId", NULL, NULL },
    { "script_state", "_id", "contentHash", NULL, NULL },
    { "settings", "_id", "name", NULL, NULL },
    { "audit", "_id", "auditId", NULL, NULL },
};

const struct pk_name *pk_names(size_t *out_count)
{
    *out_count = PK_COUNT(name_table);
    return name_table;
}

/* ---- The tree of what is moved ---- */

enum kind { LEAF, OBJECT, LIST };

struct node {
    char *key; /* NULL for elements and the root. */
    enum kind kind;
    /* LEAF: where its value stands in the source document. (Not a bson_iter_t, which wants memory
     * aligned to 128 bytes.) */
    const uint8_t *data;
    size_t size;
    uint32_t offset, key_length;
    struct node **child;
    size_t count;
};

static struct node *add_child(struct node *parent, const char *key, size_t length, enum kind kind)
{
    struct node *node = pk_calloc(1, sizeof(*node));
    node->key = key ? pk_strndup(key, length) : NULL;
    node->kind = kind;
    /* Grows by doubling: at 1, 2, 4, 8 ... children the array is full. */
    if ((parent->count & (parent->count - 1)) == 0) {
        size_t capacity = parent->count ? parent->count * 2 : 1;
        parent->child = pk_realloc(parent->child, capacity * sizeof(struct node *));
    }
    parent->child[parent->count++] = node;
    return node;
}

static void node_done(struct node *node)
{
    for (size_t i = 0; i < node->count; i++) {
        node_done(node->child[i]);
        pk_free(node->child[i]);
    }
    pk_free(node->child);
    pk_free(node->key);
}

static void set_value(struct node *node, const bson_iter_t *value)
{
    node->data = value->raw;
    node->size = value->len;
    node->offset = bson_iter_offset((bson_iter_t *)(uintptr_t)value);
    node->key_length = bson_iter_key_len(value);
}

static void write_value(const struct node *node, const char *key, bson_t *out)
{
    bson_iter_t iter;
    bool ok = bson_iter_init_from_data_at_offset(&iter, node->data, node->size, node->offset,
                                                 node->key_length);
    assert(ok);
    (void)ok;
    bson_append_iter(out, key, -1, &iter);
}

static struct node *find_child(const struct node *parent, const char *key, size_t length)
{
    for (size_t i = 0; i < parent->count; i++) {
        const char *other = parent->child[i]->key;
        if (strncmp(other, key, length) == 0 && other[length] == '\0') {
            return parent->child[i];
        }
    }
    return NULL;
}

/* Makes the node at 'path' below 'base', with the objects on the way; NULL when it is taken. Two
 * objects meet in one. */
static struct node *place(struct node *base, const char *path, enum kind kind)
{
    for (;;) {
        size_t length = strcspn(path, ".");
        bool is_last = path[length] == '\0';
        struct node *next = find_child(base, path, length);
        if (next && (next->kind != OBJECT || (is_last && kind != OBJECT))) {
            return NULL;
        }
        if (!next) {
            next = add_child(base, path, length, is_last ? kind : OBJECT);
        }
        if (is_last) {
            return next;
        }
        base = next;
        path += length + 1;
    }
}

static void write_children(const struct node *parent, bson_t *out)
{
    for (size_t i = 0; i < parent->count; i++) {
        const struct node *node = parent->child[i];
        char number[16];
        const char *key = node->key;
        bson_t below;
        if (!key) {
            (void)bson_uint32_to_string((uint32_t)i, &key, number, sizeof(number));
        }
        if (node->kind == LEAF) {
            write_value(node, key, out);
        } else if (node->kind == OBJECT) {
            bson_append_document_begin(out, key, -1, &below);
            write_children(node, &below);
            bson_append_document_end(out, &below);
        } else {
            bson_append_array_begin(out, key, -1, &below);
            write_children(node, &below);
            bson_append_array_end(out, &below);
        }
    }
}

/* ---- The walk ---- */

struct walk {
    const char *collection;
    enum pk_spelling from, to;
    struct pk_error *err;
};

/* An object on the walk. Paths are those of rows: '[]' for any element. */
struct scope {
    const char *from;
    const char *to;
    struct node *base;     /* The root, or the element of the innermost list... */
    const char *base_path; /* ...and its 'to' path. */
};

static const char *spelt(const struct pk_name *row, enum pk_spelling spelling)
{
    switch (spelling) {
    case PK_SPELLING_STORED:
        return row->stored;
    case PK_SPELLING_HTTP:
        return row->http;
    case PK_SPELLING_V020:
        return row->v020;
    }
    return NULL;
}

/* The row of 'path' in the walk's source spelling, or NULL. */
static const struct pk_name *find_row(const struct walk *walk, const char *path)
{
    for (size_t i = 0; i < PK_COUNT(name_table); i++) {
        const char *from = spelt(&name_table[i], walk->from);
        if (from && strcmp(name_table[i].collection, walk->collection) == 0 &&
            strcmp(from, path) == 0) {
            return &name_table[i];
        }
    }
    return NULL;
}

/* True when some row lies below 'path': then the value cannot be moved as a whole. */
static bool has_rows_below(const struct walk *walk, enum pk_spelling spelling, const char *path)
{
    size_t length = strlen(path);
    for (size_t i = 0; i < PK_COUNT(name_table); i++) {
        const char *other = spelt(&name_table[i], spelling);
        if (other && strcmp(name_table[i].collection, walk->collection) == 0 &&
            strncmp(other, path, length) == 0 && (other[length] == '.' || other[length] == '[')) {
            return true;
        }
    }
    return false;
}

static char *join(const char *path, const char *key)
{
    return pk_strdupf("%s%s%s", path, *path ? "." : "", key);
}

static bool carry_object(const struct walk *walk, const struct scope *scope, bson_iter_t *fields);

static bool is_empty(const bson_iter_t *object)
{
    bson_iter_t inside;
    return !bson_iter_recurse(object, &inside) || !bson_iter_next(&inside);
}

static bool fail_taken(const struct walk *walk, const char *path)
{
    return pk_fail(walk->err, PK_INVALID, "give the value once, under one of its names",
                   "two fields both mean '%s'", path);
}

static bool carry_list(const struct walk *walk, const char *from, const char *to, struct node *list,
                       bson_iter_t *element)
{
    PK_CLEANUP(pk_freep) char *from_each = pk_strdupf("%s[]", from);
    PK_CLEANUP(pk_freep) char *to_each = pk_strdupf("%s[]", to);
    while (bson_iter_next(element)) {
        bson_iter_t fields;
        bool is_object = BSON_ITER_HOLDS_DOCUMENT(element) && bson_iter_recurse(element, &fields);
        struct node *node = add_child(list, NULL, 0, is_object ? OBJECT : LEAF);
        set_value(node, element);
        struct scope scope = { from_each, to_each, node, to_each };
        if (is_object && !carry_object(walk, &scope, &fields)) {
            return false;
        }
    }
    return true;
}

static bool carry_field(const struct walk *walk, const struct scope *scope,
                        const bson_iter_t *value)
{
    PK_CLEANUP(pk_freep) char *from = join(scope->from, bson_iter_key(value));
    const struct pk_name *row = find_row(walk, from);
    const char *spelling = row ? spelt(row, walk->to) : NULL;
    if (row && !spelling) {
        return true; /* Not shown there. */
    }
    PK_CLEANUP(pk_freep)
    char *to = row ? pk_strdup(spelling) : join(scope->to, bson_iter_key(value));
    size_t skip = strlen(scope->base_path);
    assert(strncmp(to, scope->base_path, skip) == 0 && (skip == 0 || to[skip] == '.'));

    /* An object is opened when fields of it leave, or others come in. */
    enum kind kind = LEAF;
    if (has_rows_below(walk, walk->from, from) || has_rows_below(walk, walk->to, to)) {
        kind = BSON_ITER_HOLDS_DOCUMENT(value) ? OBJECT
               : BSON_ITER_HOLDS_ARRAY(value)  ? LIST
                                               : LEAF;
    }
    struct node *node = NULL;
    bool is_wanted = kind != OBJECT || is_empty(value);
    if (is_wanted && !(node = place(scope->base, to + skip + (skip > 0), kind))) {
        return fail_taken(walk, to);
    }
    bson_iter_t inside;
    struct scope below = { from, to, scope->base, scope->base_path };
    if (kind == LEAF) {
        set_value(node, value);
        return true;
    }
    return !bson_iter_recurse(value, &inside) ||
           (kind == LIST ? carry_list(walk, from, to, node, &inside)
                         : carry_object(walk, &below, &inside));
}

static bool carry_object(const struct walk *walk, const struct scope *scope, bson_iter_t *fields)
{
    while (bson_iter_next(fields)) {
        if (!carry_field(walk, scope, fields)) {
            return false;
        }
    }
    return true;
}

bool pk_names_translate(const char *collection, enum pk_spelling from, enum pk_spelling to,
                        const bson_t *doc, bson_t *out, struct pk_error *err)
{
    struct walk walk = { collection, from, to, err };
    PK_CLEANUP(node_done) struct node root = { .kind = OBJECT };
    struct scope scope = { "", "", &root, "" };
    bson_iter_t fields;
    if (!bson_iter_init(&fields, doc)) {
        return pk_fail(err, PK_INVALID, "send a well-formed document", "the document is damaged");
    }
    if (!carry_object(&walk, &scope, &fields)) {
        return false;
    }
    bson_init(out);
    write_children(&root, out);
    return true;
}
