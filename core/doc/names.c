/* names.c - The table of spellings, and the one walk that respells a document.
 *
 * A row says where a path goes; a path without a row keeps its name within
 * whatever its parent has become. So "traits[].value" needs no row to become
 * "traitMatrix[].value". Rows may move a field to another depth
 * ("generatedAt" to "generationMetadata.generatedAt"), but not into or out of
 * a list. Where the value changes as well, 'others' says so and whoever
 * imports or exports does it.
 *
 * Fields may come in any order and meet in one object; so the walk makes a
 * small tree of what it moved, with everything below the last row left as it
 * was (bytes in the source document), and writes the tree at the end.
 *
 * A field has one name in each spelling. From outside, a stored name that is
 * spelt differently there is refused, and so is what has no name there at all
 * (secrets): what is not shown cannot be given.
 *
 * Thread: any. */
/* SPDX-License-Identifier: MIT */
#include "doc/names.h"

#include "base/alloc.h"
#include "base/arena.h"
#include "base/buf.h"
#include "base/error.h"
#include "doc/writer.h"

#include <assert.h>
#include <stdint.h>
#include <string.h>

/* Of an object that is taken apart: those have schemas of far fewer rows, and each new field is
 * compared with all before it. */
enum { FIELDS_MAX = 128 };

/* collection, stored, HTTP, v0.2.0, further spellings; the rows of a collection stand together */
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
    { "actors", "apiKeys[].pepperId", NULL, NULL, NULL },
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

/* Nodes and their texts lie in the walk's arena. */
struct node {
    struct node *next; /* The sibling behind this one. */
    const char *key;   /* NULL for elements and the root. */
    size_t key_length;
    enum kind kind;
    bson_type_t type;     /* LEAF: of its value... */
    const uint8_t *value; /* ...whose bytes lie in the source document. */
    size_t size;
    struct node *first, *last; /* OBJECT, LIST: what lies in it. */
    size_t count;
};

/* One translation. */
struct walk {
    const struct pk_name *row; /* Those of the collection. */
    size_t row_count;
    enum pk_spelling from, to;
    struct pk_arena arena;
    struct pk_buf from_path; /* Of the field at hand. */
    struct pk_buf to_path;
    struct pk_error *err;
};

static void walk_done(struct walk *walk)
{
    pk_arena_done(&walk->arena);
    pk_buf_done(&walk->from_path);
    pk_buf_done(&walk->to_path);
}

static struct node *add_child(struct walk *walk, struct node *parent, const char *key,
                              size_t length, enum kind kind)
{
    struct node *node = pk_arena_alloc(&walk->arena, sizeof(*node));
    node->key = key ? pk_arena_strndup(&walk->arena, key, length) : NULL;
    node->key_length = length;
    node->kind = kind;
    *(parent->last ? &parent->last->next : &parent->first) = node;
    parent->last = node;
    parent->count++;
    return node;
}

static struct node *find_child(const struct node *parent, const char *key, size_t length)
{
    struct node *node = parent->first;
    while (node && (node->key_length != length || memcmp(node->key, key, length) != 0)) {
        node = node->next;
    }
    return node;
}

static bool fail_taken(const struct walk *walk, const char *path)
{
    return pk_fail(walk->err, PK_INVALID, "give the value once, under one of its names",
                   "two fields both mean '%.100s'", path);
}

/* Makes the node at 'path' below 'base', with the objects on the way; two objects meet in one.
 * NULL when the place is taken, or an object gets too full. */
static struct node *place(struct walk *walk, struct node *base, const char *path, enum kind kind)
{
    const char *at = path;
    for (;;) {
        size_t length = strcspn(at, ".");
        bool is_last = at[length] == '\0';
        struct node *next = find_child(base, at, length);
        if (next && (next->kind != OBJECT || (is_last && kind != OBJECT))) {
            (void)fail_taken(walk, path);
            return NULL;
        }
        if (!next && base->count == FIELDS_MAX) {
            (void)pk_fail(walk->err, PK_INVALID, "send only fields that the schema names",
                          "more than %d fields in one object", FIELDS_MAX);
            return NULL;
        }
        if (!next) {
            next = add_child(walk, base, at, length, is_last ? kind : OBJECT);
        }
        if (is_last) {
            return next;
        }
        base = next;
        at += length + 1;
    }
}

static void set_value(struct node *node, const bson_iter_t *value)
{
    /* A value lies from d1 (first byte behind the key) to next_off. */
    node->type = bson_iter_type(value);
    node->value = value->raw + value->d1;
    node->size = value->next_off - value->d1;
}

static void write_children(const struct node *parent, struct pk_buf *out)
{
    uint32_t index = 0;
    size_t start = pk_writer_begin(out);
    for (const struct node *node = parent->first; node; node = node->next) {
        char number[PK_ARRAY_KEY];
        bson_type_t type = node->kind == LEAF     ? node->type
                           : node->kind == OBJECT ? BSON_TYPE_DOCUMENT
                                                  : BSON_TYPE_ARRAY;
        if (node->key) {
            pk_writer_key(out, type, node->key, node->key_length);
        } else {
            pk_writer_key(out, type, number, pk_writer_array_key(number, index++));
        }
        if (node->kind == LEAF) {
            pk_buf_add(out, node->value, node->size);
        } else {
            write_children(node, out);
        }
    }
    pk_writer_end(out, start);
}

/* ---- The walk ---- */

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

/* The row of the collection that spells 'path' so, or NULL. */
static const struct pk_name *find_row(const struct walk *walk, enum pk_spelling spelling,
                                      const char *path)
{
    for (size_t i = 0; i < walk->row_count; i++) {
        const char *other = spelt(&walk->row[i], spelling);
        if (other && strcmp(other, path) == 0) {
            return &walk->row[i];
        }
    }
    return NULL;
}

/* True when some row goes on behind 'path' with 'mark'. */
static bool has_rows_below(const struct walk *walk, enum pk_spelling spelling, const char *path,
                           char mark)
{
    size_t length = strlen(path);
    for (size_t i = 0; i < walk->row_count; i++) {
        const char *other = spelt(&walk->row[i], spelling);
        if (other && strncmp(other, path, length) == 0 && other[length] == mark) {
            return true;
        }
    }
    return false;
}

/* An object or list is opened when rows leave it or come into it; else it moves as a whole. */
static enum kind kind_of(const struct walk *walk, const char *from, const char *to,
                         const bson_iter_t *value)
{
    bool is_object = BSON_ITER_HOLDS_DOCUMENT(value);
    char mark = is_object ? '.' : '[';
    if ((!is_object && !BSON_ITER_HOLDS_ARRAY(value)) ||
        (!has_rows_below(walk, walk->from, from, mark) &&
         !has_rows_below(walk, walk->to, to, mark))) {
        return LEAF;
    }
    return is_object ? OBJECT : LIST;
}

static const char *join(struct pk_buf *buf, const char *path, const char *key)
{
    pk_buf_clear(buf);
    pk_buf_add_text(buf, path);
    if (*path) {
        pk_buf_add_char(buf, '.');
    }
    pk_buf_add_text(buf, key);
    return pk_buf_text(buf);
}

/* A field without a row must not land on a stored path that has another name where it comes
 * from, or none: else there were two names, and a way in for what is never shown. */
static bool is_stranger(const struct walk *walk, const char *from, const char *to)
{
    const struct pk_name *row = NULL;
    if (walk->to == PK_SPELLING_STORED) {
        row = find_row(walk, PK_SPELLING_STORED, to);
    }
    const char *name = row ? spelt(row, walk->from) : NULL;
    if (name) {
        return !pk_fail(walk->err, PK_INVALID, "use the name that is documented",
                        "unknown field '%.100s'; it is called '%s'", from, name);
    }
    if (row && walk->from == PK_SPELLING_HTTP) {
        return !pk_fail(walk->err, PK_INVALID, "leave it out", "'%.100s' cannot be given", from);
    }
    return false;
}

static bool carry_object(struct walk *walk, const struct scope *scope, bson_iter_t *fields);

static bool is_empty(const bson_iter_t *object)
{
    bson_iter_t inside;
    return !bson_iter_recurse(object, &inside) || !bson_iter_next(&inside);
}

static bool carry_list(struct walk *walk, const char *from, const char *to, struct node *list,
                       bson_iter_t *element)
{
    const char *from_each = pk_arena_printf(&walk->arena, "%s[]", from);
    const char *to_each = pk_arena_printf(&walk->arena, "%s[]", to);
    while (bson_iter_next(element)) {
        bson_iter_t fields;
        bool is_object = BSON_ITER_HOLDS_DOCUMENT(element) && bson_iter_recurse(element, &fields);
        struct node *node = add_child(walk, list, NULL, 0, is_object ? OBJECT : LEAF);
        set_value(node, element);
        struct scope scope = { from_each, to_each, node, to_each };
        if (is_object && !carry_object(walk, &scope, &fields)) {
            return false;
        }
    }
    return true;
}

static bool carry_field(struct walk *walk, const struct scope *scope, const bson_iter_t *value)
{
    const char *from = join(&walk->from_path, scope->from, bson_iter_key(value));
    const struct pk_name *row = find_row(walk, walk->from, from);
    const char *to =
        row ? spelt(row, walk->to) : join(&walk->to_path, scope->to, bson_iter_key(value));
    if (!to) {
        return true; /* Not shown there. */
    }
    if (!row && is_stranger(walk, from, to)) {
        return false;
    }
    size_t skip = strlen(scope->base_path);
    assert(strncmp(to, scope->base_path, skip) == 0 && (skip == 0 || to[skip] == '.'));

    /* An object that is opened is made by what comes into it. */
    enum kind kind = kind_of(walk, from, to, value);
    struct node *node = NULL;
    bool is_wanted = kind != OBJECT || is_empty(value);
    if (is_wanted && !(node = place(walk, scope->base, to + skip + (skip > 0), kind))) {
        return false;
    }
    if (kind == LEAF) {
        set_value(node, value);
        return true;
    }
    bson_iter_t inside;
    struct scope below = { pk_arena_strdup(&walk->arena, from), pk_arena_strdup(&walk->arena, to),
                           scope->base, scope->base_path };
    return !bson_iter_recurse(value, &inside) ||
           (kind == LIST ? carry_list(walk, below.from, below.to, node, &inside)
                         : carry_object(walk, &below, &inside));
}

static bool carry_object(struct walk *walk, const struct scope *scope, bson_iter_t *fields)
{
    while (bson_iter_next(fields)) {
        if (!carry_field(walk, scope, fields)) {
            return false;
        }
    }
    return true;
}

/* The rows of a collection stand together. */
static void find_rows(struct walk *walk, const char *collection)
{
    for (size_t i = 0; i < PK_COUNT(name_table); i++) {
        if (strcmp(name_table[i].collection, collection) == 0) {
            walk->row = walk->row ? walk->row : &name_table[i];
            walk->row_count++;
        }
    }
}

/* Most answers only have a few fields of the top level renamed: that takes one pass and no tree.
 * False: it takes more than that, and nothing is written. */
static bool rename_top(const struct walk *walk, const bson_t *doc, struct pk_buf *out)
{
    bson_iter_t field;
    size_t count = 0;
    for (size_t i = 0; i < walk->row_count; i++) {
        const struct pk_name *row = &walk->row[i];
        if (strpbrk(row->stored, ".[") || (row->http && strpbrk(row->http, ".["))) {
            return false;
        }
    }
    const size_t start = pk_writer_begin(out);
    for (bool ok = bson_iter_init(&field, doc); ok && bson_iter_next(&field);) {
        const char *key = bson_iter_key(&field);
        const struct pk_name *row = find_row(walk, PK_SPELLING_STORED, key);
        const char *name = row ? row->http : key;
        if (count++ == FIELDS_MAX || (!row && find_row(walk, PK_SPELLING_HTTP, key))) {
            pk_buf_clear(out);
            return false; /* Refused, in so many words, by the walk. */
        }
        if (name) {
            pk_writer_copy(out, name, strlen(name), &field);
        }
    }
    pk_writer_end(out, start);
    return true;
}

bool pk_names_translate(const char *collection, enum pk_spelling from, enum pk_spelling to,
                        const bson_t *doc, bson_t *out, struct pk_error *err)
{
    PK_CLEANUP(walk_done) struct walk walk = { .from = from, .to = to, .err = err };
    PK_CLEANUP(pk_buf_done) struct pk_buf bytes = { 0 };
    struct node root = { .kind = OBJECT };
    struct scope scope = { "", "", &root, "" };
    bson_iter_t fields;
    if (!bson_iter_init(&fields, doc)) {
        return pk_fail(err, PK_INVALID, "send a well-formed document", "the document is damaged");
    }
    find_rows(&walk, collection);
    (void)pk_buf_reserve(&bytes, doc->len + 64);
    if (from == PK_SPELLING_STORED && to == PK_SPELLING_HTTP && rename_top(&walk, doc, &bytes)) {
        pk_writer_take(&bytes, out);
        return true;
    }
    if (!carry_object(&walk, &scope, &fields)) {
        return false;
    }
    write_children(&root, &bytes);
    pk_writer_take(&bytes, out);
    return true;
}
