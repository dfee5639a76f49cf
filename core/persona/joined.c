/* joined.c - What operations make outside the mindscape: narratives, facts, texts, a graph.
 *
 * One operation is one row of the table: the collection, how its document is
 * found, and the function that makes it from the one before. Documents lie in
 * a small table while operations are applied, so that the second operation on
 * a thing sees what the first has made of it; at its end the table becomes
 * writes, or, for a replay, is read as it is.
 *
 * Ids are functions of the person and of what a thing is found by; where it is
 * found by nothing (a narrative, a learned text) the operation has an id.
 *
 * A fact is replaced: the newest word counts. A node or edge that is met again
 * keeps what is not said anew, and gathers its observations. What an observation
 * has made goes into its row of history, too (joined_past.c reads it).
 *
 * Thread: any; a table belongs to one. */
/* SPDX-License-Identifier: MIT */
#include "persona/joined.h"

#include "base/alloc.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/error.h"
#include "doc/doc.h"
#include "doc/peek.h"
#include "persona/mind.h"
#include "store/store.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SOURCES_MAX = 32, WORD_MAX = 200, HOT_MAX = 1000 };

struct pk_joins {
    const struct pk_domain *domain; /* NULL: there is no store. */
    const char *person;
    int64_t deadline_ns;
    int64_t now_ms; /* Of the operation under way: what has expired by then is gone; or 0. */
    struct pk_joins_doc *doc;
    size_t count, room;
};

struct pk_joins *pk_joins_new(const struct pk_domain *domain, const char *person,
                              int64_t deadline_ns)
{
    struct pk_joins *joins = pk_calloc(1, sizeof(*joins));
    joins->domain = domain;
    joins->person = pk_strdup(person);
    joins->deadline_ns = deadline_ns;
    return joins;
}

void pk_joins_free(struct pk_joins *joins)
{
    if (!joins) {
        return;
    }
    for (size_t i = 0; i < joins->count; i++) {
        pk_free((char *)(uintptr_t)joins->doc[i].id);
        pk_doc_unref(joins->doc[i].doc);
    }
    pk_free(joins->doc);
    pk_free((char *)(uintptr_t)joins->person);
    pk_free(joins);
}

void pk_joins_freep(struct pk_joins **joins)
{
    pk_joins_free(*joins);
    *joins = NULL;
}

size_t pk_joins_count(const struct pk_joins *joins)
{
    return joins->count;
}

const struct pk_joins_doc *pk_joins_at(const struct pk_joins *joins, size_t i)
{
    return &joins->doc[i];
}

/* ---- The table of documents ---- */

static struct pk_joins_doc *find_doc(struct pk_joins *joins, const char *collection, const char *id)
{
    for (size_t i = 0; i < joins->count; i++) {
        if (strcmp(joins->doc[i].id, id) == 0 &&
            strcmp(joins->doc[i].collection, collection) == 0) {
            return &joins->doc[i];
        }
    }
    return NULL;
}

static struct pk_joins_doc *add_doc(struct pk_joins *joins, const char *collection, const char *id)
{
    if (joins->count == joins->room) {
        joins->room = joins->room ? 2 * joins->room : 8;
        joins->doc = pk_realloc(joins->doc, joins->room * sizeof(*joins->doc));
    }
    struct pk_joins_doc *made = &joins->doc[joins->count++];
    *made = (struct pk_joins_doc){ .collection = collection, .id = pk_strdup(id) };
    return made;
}

/* A view of what stands there; an empty one when nothing does. */
static void view_doc(const struct pk_joins_doc *place, bson_t *out)
{
    static const uint8_t empty[] = { 5, 0, 0, 0, 0 };
    if (place->doc) {
        pk_doc_view(place->doc, out);
    } else {
        (void)bson_init_static(out, empty, sizeof(empty));
    }
}

/* Its place in the table, and a view of the document as it is now. The place is good until the next
 * one is taken. */
static bool take_doc(struct pk_joins *joins, const char *collection, const char *id,
                     struct pk_joins_doc **out, bson_t *out_before, struct pk_error *err)
{
    struct pk_doc *stored = NULL;
    *out = find_doc(joins, collection, id);
    if (!*out) {
        if (joins->domain && !pk_store_get(joins->domain->books->store, collection, id,
                                           joins->deadline_ns, &stored, err)) {
            return pk_wrap(err, "read from '%s'", collection);
        }
        *out = add_doc(joins, collection, id);
        (*out)->doc = stored; /* The reference moves. */
        (*out)->version = stored ? pk_doc_version(stored) : 0;
    }
    if (joins->now_ms && (*out)->doc &&
        pk_doc_date((*out)->doc, "expiresAt", INT64_MAX) <= joins->now_ms) {
        pk_doc_unref((*out)->doc);
        (*out)->doc = NULL;
    }
    view_doc(*out, out_before);
    return true;
}

/* Ends 'made'. Views of what stood there before are gone. */
static void put_doc(struct pk_joins_doc *place, bson_t *made)
{
    pk_doc_unref(place->doc);
    place->doc = pk_doc_new(made);
    bson_destroy(made);
    place->is_changed = true;
    place->is_told = false;
}

/* ---- Reading operations ---- */

static bool find(const bson_t *doc, const char *name, bson_iter_t *out)
{
    return bson_iter_init_find(out, doc, name) && !BSON_ITER_HOLDS_NULL(out);
}

static const char *text_of(const bson_t *doc, const char *name, const char *fallback)
{
    bson_iter_t iter;
    return find(doc, name, &iter) && BSON_ITER_HOLDS_UTF8(&iter) ? bson_iter_utf8(&iter, NULL)
                                                                 : fallback;
}

static double number_of(const bson_t *doc, const char *name, double fallback)
{
    bson_iter_t iter;
    return find(doc, name, &iter) && BSON_ITER_HOLDS_NUMBER(&iter) ? bson_iter_as_double(&iter)
                                                                   : fallback;
}

static int64_t date_of(const bson_t *doc, const char *name, int64_t fallback)
{
    bson_iter_t iter;
    return find(doc, name, &iter) && BSON_ITER_HOLDS_DATE_TIME(&iter) ? bson_iter_date_time(&iter)
                                                                      : fallback;
}

/* A view of an object or list at 'name'; false when there is none. */
static bool inner_of(const bson_t *doc, const char *name, bson_t *out)
{
    bson_iter_t iter;
    const uint8_t *data;
    uint32_t size;
    if (!find(doc, name, &iter)) {
        return false;
    }
    if (BSON_ITER_HOLDS_DOCUMENT(&iter)) {
        bson_iter_document(&iter, &size, &data);
    } else if (BSON_ITER_HOLDS_ARRAY(&iter)) {
        bson_iter_array(&iter, &size, &data);
    } else {
        return false;
    }
    return bson_init_static(out, data, size);
}

static bool fail_operation(const struct pk_joined *joined, const char *what, struct pk_error *err)
{
    return pk_fail(err, PK_INVALID, "see the verbs in plugins/README.md", "operation '%s': %s",
                   text_of(joined->operation, "op", "?"), what);
}

/* A name that an index holds; it must fit. */
static bool word_of(const struct pk_joined *joined, const char *name, const char **out,
                    struct pk_error *err)
{
    char what[96];
    *out = text_of(joined->operation, name, NULL);
    if (*out && **out && strlen(*out) <= WORD_MAX) {
        return true;
    }
    (void)snprintf(what, sizeof(what), "'%s' is not a text of 1 to %d bytes", name, WORD_MAX);
    return fail_operation(joined, what, err);
}

/* ---- Writing documents ---- */

static bool has_text(const bson_t *list, const char *text)
{
    bson_iter_t iter;
    if (bson_iter_init(&iter, list)) {
        while (bson_iter_next(&iter)) {
            if (BSON_ITER_HOLDS_UTF8(&iter) && strcmp(bson_iter_utf8(&iter, NULL), text) == 0) {
                return true;
            }
        }
    }
    return false;
}

static void add_sources(bson_t *list, uint32_t *at, const bson_t *from)
{
    bson_iter_t iter;
    char number[16];
    const char *key;
    if (!bson_iter_init(&iter, from)) {
        return;
    }
    while (bson_iter_next(&iter) && *at < SOURCES_MAX) {
        if (BSON_ITER_HOLDS_UTF8(&iter) && !has_text(list, bson_iter_utf8(&iter, NULL))) {
            (void)bson_uint32_to_string((*at)++, &key, number, sizeof(number));
            BSON_APPEND_UTF8(list, key, bson_iter_utf8(&iter, NULL));
        }
    }
}

/* The operation's observations, then those of before (an array, or NULL). */
static void put_sources(bson_t *out, const struct pk_joined *joined, const bson_t *before)
{
    bson_t list = BSON_INITIALIZER;
    bson_t own;
    uint32_t at = 0;
    if (inner_of(joined->operation, "derivedFrom", &own)) {
        add_sources(&list, &at, &own);
    }
    if (at == 0) {
        BSON_APPEND_UTF8(&list, "0", joined->obs_id);
        at = 1;
    }
    if (before) {
        add_sources(&list, &at, before);
    }
    BSON_APPEND_ARRAY(out, "derivedFrom", &list);
    bson_destroy(&list);
}

/* A field of the operation, else of the document before, else nothing. */
static bool put_either(bson_t *out, const char *name, const bson_t *operation, const bson_t *before)
{
    bson_iter_t iter;
    return (find(operation, name, &iter) || (before && find(before, name, &iter))) &&
           bson_append_iter(out, name, -1, &iter);
}

static void put_number(bson_t *out, const char *name, const bson_t *operation, const bson_t *before,
                       double fallback)
{
    if (!put_either(out, name, operation, before)) {
        BSON_APPEND_DOUBLE(out, name, fallback);
    }
}

static void put_text(bson_t *out, const char *name, const bson_t *operation, const bson_t *before,
                     const char *fallback)
{
    if (!put_either(out, name, operation, before)) {
        BSON_APPEND_UTF8(out, name, fallback);
    }
}

/* What was there, with what is said anew: an object 'name' of free fields. */
static void put_merged(bson_t *out, const char *name, const char *from, const bson_t *operation,
                       const bson_t *before)
{
    bson_t said, had, made;
    bson_iter_t iter, other;
    const bool is_said = inner_of(operation, from, &said);
    BSON_APPEND_DOCUMENT_BEGIN(out, name, &made);
    if (before && inner_of(before, name, &had) && bson_iter_init(&iter, &had)) {
        while (bson_iter_next(&iter)) {
            if (!is_said || !bson_iter_init_find(&other, &said, bson_iter_key(&iter))) {
                (void)bson_append_iter(&made, bson_iter_key(&iter), -1, &iter);
            }
        }
    }
    if (is_said && bson_iter_init(&iter, &said)) {
        while (bson_iter_next(&iter)) {
            (void)bson_append_iter(&made, bson_iter_key(&iter), -1, &iter);
        }
    }
    bson_append_document_end(out, &made);
}

static void put_dates(bson_t *out, const struct pk_joined *joined, const bson_t *before)
{
    BSON_APPEND_DATE_TIME(out, "createdAt", date_of(before, "createdAt", joined->effective_at_ms));
    BSON_APPEND_DATE_TIME(out, "updatedAt", joined->effective_at_ms);
}

/* ---- The verbs ---- */

static const char *type_of_value(const bson_t *operation)
{
    bson_iter_t iter;
    if (!bson_iter_init_find(&iter, operation, "value")) {
        return "json";
    }
    return BSON_ITER_HOLDS_UTF8(&iter)        ? "string"
           : BSON_ITER_HOLDS_NUMBER(&iter)    ? "number"
           : BSON_ITER_HOLDS_BOOL(&iter)      ? "boolean"
           : BSON_ITER_HOLDS_DATE_TIME(&iter) ? "date"
                                              : "json";
}

static bool remember(struct pk_joins *joins, const struct pk_joined *joined, struct pk_error *err)
{
    const bson_t *operation = joined->operation;
    struct pk_joins_doc *place;
    const char *key;
    bson_iter_t value;
    char id[PK_DOC_ID_MAX], entry[PK_UUID_TEXT];
    bson_t made = BSON_INITIALIZER;
    bson_t before;

    if (!word_of(joined, "key", &key, err)) {
        return false;
    }
    if (!find(operation, "value", &value)) {
        return fail_operation(joined, "'value' is missing", err);
    }
    (void)snprintf(id, sizeof(id), "%s:%s", joins->person, key);
    if (!take_doc(joins, "knowledge", id, &place, &before, err)) {
        return false;
    }
    const double ttl = number_of(operation, "ttl", 0);
    pk_mind_id(entry, joins->person, "hot", key, 0);
    BSON_APPEND_UTF8(&made, "_id", id);
    BSON_APPEND_UTF8(&made, "entryId", text_of(&before, "entryId", entry));
    BSON_APPEND_UTF8(&made, "userId", joins->person);
    BSON_APPEND_UTF8(&made, "key", key);
    (void)bson_append_iter(&made, "value", -1, &value);
    BSON_APPEND_UTF8(&made, "dataType", type_of_value(operation));
    put_text(&made, "category", operation, &before, "general");
    put_text(&made, "volatility", operation, NULL, ttl > 0 ? "high" : "low");
    put_sources(&made, joined, NULL);
    put_number(&made, "confidence", operation, NULL, 0.7);
    if (ttl > 0) {
        BSON_APPEND_INT64(&made, "ttl", (int64_t)ttl);
        BSON_APPEND_DATE_TIME(&made, "expiresAt",
                              joined->effective_at_ms + (int64_t)(ttl * 1000.0));
    }
    put_dates(&made, joined, &before);
    BSON_APPEND_INT64(&made, "version", (int64_t)number_of(&before, "version", 0) + 1);
    put_doc(place, &made);
    return true;
}

/* What speaks of traits, and how. */
static bool link_traits(struct pk_joins *joins, const struct pk_joined *joined,
                        struct pk_error *err)
{
    bson_t traits;
    bson_iter_t iter;
    if (!inner_of(joined->operation, "traits", &traits) || !bson_iter_init(&iter, &traits)) {
        return true;
    }
    for (size_t i = 0; bson_iter_next(&iter); i++) {
        const char *path = BSON_ITER_HOLDS_UTF8(&iter) ? bson_iter_utf8(&iter, NULL) : "";
        struct pk_joins_doc *place;
        char id[PK_UUID_TEXT];
        bson_t made = BSON_INITIALIZER;
        bson_t before;
        pk_mind_id(id, joined->id, "link", path, 0);
        if (!take_doc(joins, "trait_links", id, &place, &before, err)) {
            bson_destroy(&made);
            return false;
        }
        BSON_APPEND_UTF8(&made, "_id", id);
        BSON_APPEND_UTF8(&made, "userId", joins->person);
        BSON_APPEND_UTF8(&made, "narrativeId", joined->id);
        BSON_APPEND_UTF8(&made, "traitPath", path);
        put_text(&made, "linkType", joined->operation, NULL, "extracted_from");
        BSON_APPEND_DATE_TIME(&made, "createdAt", joined->effective_at_ms);
        put_doc(place, &made);
    }
    return true;
}

static bool narrative(struct pk_joins *joins, const struct pk_joined *joined, struct pk_error *err)
{
    const bson_t *operation = joined->operation;
    const char *type = text_of(operation, "narrativeType", "self_observation");
    struct pk_joins_doc *place;
    bson_t made = BSON_INITIALIZER;
    bson_t traits, before;
    bson_iter_t iter;
    const bool is_curation = strcmp(type, "curation") == 0;
    const bool has_trait = inner_of(operation, "traits", &traits) &&
                           bson_iter_init_find(&iter, &traits, "0") && BSON_ITER_HOLDS_UTF8(&iter);

    if (!text_of(operation, "text", NULL)) {
        return fail_operation(joined, "'text' is not a text", err);
    }
    if (is_curation && !has_trait) {
        return fail_operation(joined, "a curation names the trait that it is about, in 'traits'",
                              err);
    }
    if (!take_doc(joins, "narratives", joined->id, &place, &before, err)) {
        return false;
    }
    BSON_APPEND_UTF8(&made, "_id", joined->id);
    BSON_APPEND_UTF8(&made, "userId", joins->person);
    BSON_APPEND_UTF8(&made, "narrativeType", type);
    BSON_APPEND_UTF8(&made, "rawText", text_of(operation, "text", ""));
    (void)put_either(&made, "curatedText", operation, NULL);
    (void)put_either(&made, "tags", operation, NULL);
    (void)put_either(&made, "context", operation, NULL);
    if (is_curation) {
        BSON_APPEND_UTF8(&made, "traitPath", bson_iter_utf8(&iter, NULL));
    }
    (void)put_either(&made, "source", operation, NULL);
    BSON_APPEND_DATE_TIME(&made, "createdAt", joined->effective_at_ms);
    put_doc(place, &made);
    return link_traits(joins, joined, err);
}

static bool learn(struct pk_joins *joins, const struct pk_joined *joined, struct pk_error *err)
{
    const bson_t *operation = joined->operation;
    const int64_t from = date_of(operation, "relevantFrom", INT64_MIN);
    const int64_t to = date_of(operation, "relevantTo", INT64_MIN);
    struct pk_joins_doc *place;
    bson_t made = BSON_INITIALIZER;
    bson_t metadata, span, before, none = BSON_INITIALIZER;

    if (!text_of(operation, "content", NULL)) {
        return fail_operation(joined, "'content' is not a text", err);
    }
    if (!take_doc(joins, "vectors", joined->id, &place, &before, err)) {
        return false;
    }
    BSON_APPEND_UTF8(&made, "_id", joined->id);
    BSON_APPEND_UTF8(&made, "userId", joins->person);
    BSON_APPEND_UTF8(&made, "content", text_of(operation, "content", ""));
    put_text(&made, "contentType", operation, NULL, "knowledge");
    BSON_APPEND_DOCUMENT_BEGIN(&made, "metadata", &metadata);
    put_text(&metadata, "category", operation, NULL, "general");
    (void)put_either(&metadata, "subcategory", operation, NULL);
    put_text(&metadata, "volatility", operation, NULL, "low");
    if (from != INT64_MIN || to != INT64_MIN) {
        BSON_APPEND_DOCUMENT_BEGIN(&metadata, "temporalRelevance", &span);
        if (from != INT64_MIN) {
            BSON_APPEND_DATE_TIME(&span, "from", from);
        }
        if (to != INT64_MIN) {
            BSON_APPEND_DATE_TIME(&span, "to", to);
        }
        bson_append_document_end(&metadata, &span);
    }
    put_number(&metadata, "importance", operation, NULL, 0.5);
    put_sources(&metadata, joined, NULL);
    if (!put_either(&metadata, "tags", operation, NULL)) {
        BSON_APPEND_ARRAY(&metadata, "tags", &none);
    }
    bson_append_document_end(&made, &metadata);
    put_dates(&made, joined, &before);
    BSON_APPEND_INT64(&made, "accessCount", (int64_t)number_of(&before, "accessCount", 0));
    put_doc(place, &made);
    bson_destroy(&none);
    return true;
}

/* What an operation says of a node; 'operation' empty: it is only named by an edge. */
static bool put_node(struct pk_joins *joins, const struct pk_joined *joined, const char *label,
                     const bson_t *operation, char out_id[PK_UUID_TEXT], struct pk_error *err)
{
    struct pk_joins_doc *place;
    bson_t made = BSON_INITIALIZER;
    bson_t stood, properties, had, sources;
    const bool is_self = strcmp(label, "self") == 0;

    pk_mind_id(out_id, joins->person, "node", label, 0);
    if (!take_doc(joins, "graph_nodes", out_id, &place, &stood, err)) {
        return false;
    }
    const bool is_there = place->doc != NULL;
    if (is_there && bson_count_keys(operation) == 0) {
        return true;
    }
    const bson_t *before = is_there && inner_of(&stood, "properties", &had) ? &had : NULL;
    const bool has_sources = before && inner_of(before, "derivedFrom", &sources);
    BSON_APPEND_UTF8(&made, "_id", out_id);
    BSON_APPEND_UTF8(&made, "userId", joins->person);
    put_text(&made, "nodeType", operation, &stood, is_self ? "entity" : "concept");
    BSON_APPEND_UTF8(&made, "label", label);
    BSON_APPEND_DOCUMENT_BEGIN(&made, "properties", &properties);
    (void)put_either(&properties, "description", operation, before);
    put_number(&properties, "importance", operation, before, is_self ? 1 : 0.5);
    put_text(&properties, "volatility", operation, before, "low");
    put_sources(&properties, joined, has_sources ? &sources : NULL);
    put_merged(&properties, "attributes", "attributes", operation, before);
    bson_append_document_end(&made, &properties);
    put_dates(&made, joined, &stood);
    put_doc(place, &made);
    return true;
}

static bool node(struct pk_joins *joins, const struct pk_joined *joined, struct pk_error *err)
{
    const char *label;
    char id[PK_UUID_TEXT];
    return word_of(joined, "label", &label, err) &&
           put_node(joins, joined, label, joined->operation, id, err);
}

static bool edge(struct pk_joins *joins, const struct pk_joined *joined, struct pk_error *err)
{
    const bson_t *operation = joined->operation;
    const char *source, *target, *type;
    char source_id[PK_UUID_TEXT], target_id[PK_UUID_TEXT], id[PK_UUID_TEXT];
    struct pk_joins_doc *place;
    bson_t made = BSON_INITIALIZER;
    bson_t none = BSON_INITIALIZER;
    bson_t stood, properties, span, had, sources;

    if (!word_of(joined, "source", &source, err) || !word_of(joined, "target", &target, err) ||
        !word_of(joined, "edgeType", &type, err) ||
        !put_node(joins, joined, source, &none, source_id, err) ||
        !put_node(joins, joined, target, &none, target_id, err)) {
        return false;
    }
    PK_CLEANUP(pk_freep) char *ends = pk_strdupf("%s>%s", source_id, target_id);
    pk_mind_id(id, ends, "edge", type, 0);
    if (!take_doc(joins, "graph_edges", id, &place, &stood, err)) {
        return false;
    }
    const bson_t *before = inner_of(&stood, "properties", &had) ? &had : NULL;
    const bool has_sources = before && inner_of(before, "derivedFrom", &sources);
    const int64_t from = date_of(operation, "validFrom", INT64_MIN);
    const int64_t to = date_of(operation, "validTo", INT64_MIN);
    BSON_APPEND_UTF8(&made, "_id", id);
    BSON_APPEND_UTF8(&made, "userId", joins->person);
    BSON_APPEND_UTF8(&made, "sourceNodeId", source_id);
    BSON_APPEND_UTF8(&made, "targetNodeId", target_id);
    BSON_APPEND_UTF8(&made, "edgeType", type);
    BSON_APPEND_DOCUMENT_BEGIN(&made, "properties", &properties);
    put_number(&properties, "strength", operation, before, 0.5);
    put_number(&properties, "confidence", operation, before, 0.5);
    if (from != INT64_MIN || to != INT64_MIN) {
        BSON_APPEND_DOCUMENT_BEGIN(&properties, "temporalScope", &span);
        if (from != INT64_MIN) {
            BSON_APPEND_DATE_TIME(&span, "from", from);
        }
        if (to != INT64_MIN) {
            BSON_APPEND_DATE_TIME(&span, "to", to);
        }
        bson_append_document_end(&properties, &span);
    } else if (before) {
        (void)put_either(&properties, "temporalScope", before, NULL);
    }
    put_sources(&properties, joined, has_sources ? &sources : NULL);
    put_merged(&properties, "metadata", "attributes", operation, before);
    bson_append_document_end(&made, &properties);
    put_dates(&made, joined, &stood);
    put_doc(place, &made);
    return true;
}

static const struct {
    const char *op;
    bool (*apply)(struct pk_joins *joins, const struct pk_joined *joined, struct pk_error *err);
} verb_table[] = {
    { "remember", remember }, { "narrative", narrative }, { "learn", learn },
    { "node", node },         { "edge", edge },
};

bool pk_joins_apply(struct pk_joins *joins, const struct pk_joined *joined, int64_t now_ms,
                    struct pk_error *err)
{
    joins->now_ms = now_ms;
    const char *op = text_of(joined->operation, "op", "");
    for (size_t i = 0; i < PK_COUNT(verb_table); i++) {
        if (strcmp(verb_table[i].op, op) == 0) {
            return verb_table[i].apply(joins, joined, err);
        }
    }
    return fail_operation(joined, "there is no such verb", err);
}

/* ---- Into history ---- */

/* Links of narratives come and go with these. */
static const struct {
    const char *collection;
    bool is_text; /* Made once: the id is enough. */
} told_table[] = {
    { "knowledge", false }, { "graph_nodes", false }, { "graph_edges", false },
    { "vectors", true },    { "narratives", true },
};

static int by_id(const void *a, const void *b)
{
    const struct pk_joins_doc *const *x = a, *const *y = b;
    return strcmp((*x)->id, (*y)->id);
}

/* Sorted by their ids: in the table stand, before them, those of earlier observations. */
static void tell_made(struct pk_joins *joins, struct pk_joins_doc **room, size_t told, bson_t *out)
{
    size_t count = 0;
    bson_t list;
    for (size_t i = 0; i < joins->count; i++) {
        struct pk_joins_doc *made = &joins->doc[i];
        if (made->is_changed && !made->is_told && made->doc &&
            strcmp(made->collection, told_table[told].collection) == 0) {
            room[count++] = made;
        }
    }
    if (count == 0) {
        return;
    }
    qsort(room, count, sizeof(*room), by_id);
    BSON_APPEND_ARRAY_BEGIN(out, told_table[told].collection, &list);
    for (size_t i = 0; i < count; i++) {
        char room_of_key[PK_ARRAY_KEY];
        const char *key = pk_array_key(i, room_of_key);
        bson_t view;
        if (told_table[told].is_text) {
            BSON_APPEND_UTF8(&list, key, room[i]->id);
        } else {
            pk_doc_view(room[i]->doc, &view);
            BSON_APPEND_DOCUMENT(&list, key, &view);
        }
        room[i]->is_told = true;
    }
    bson_append_array_end(out, &list);
}

void pk_joins_keep_made(struct pk_joins *joins, const struct pk_joined *joined,
                        struct pk_mind *mind)
{
    PK_CLEANUP(pk_freep)
    struct pk_joins_doc **room = pk_calloc(joins->count + 1, sizeof(struct pk_joins_doc *));
    bson_t made = BSON_INITIALIZER;
    for (size_t i = 0; i < PK_COUNT(told_table); i++) {
        tell_made(joins, room, i, &made);
    }
    if (!bson_empty(&made)) {
        pk_mind_add_joined(mind, joined, &made);
    }
    bson_destroy(&made);
}

/* ---- Into a list of writes ---- */

bool pk_joined_write(const struct pk_domain *domain, const char *person,
                     const struct pk_joined *const *joined, size_t count, struct pk_mind *mind,
                     int64_t deadline_ns, struct pk_writes *list, struct pk_error *err)
{
    PK_CLEANUP(pk_joins_freep)
    struct pk_joins *joins = pk_joins_new(domain, person, deadline_ns);
    const int64_t now_ms = pk_clock_wall_ms(domain->books->clock);
    for (size_t i = 0; i < count; i++) {
        if (!pk_joins_apply(joins, joined[i], now_ms, err)) {
            return false;
        }
        if (mind && (i + 1 == count || joined[i + 1]->seq != joined[i]->seq)) {
            pk_joins_keep_made(joins, joined[i], mind);
        }
    }
    for (size_t i = 0; i < joins->count; i++) {
        const struct pk_joins_doc *made = &joins->doc[i];
        if (!made->is_changed) {
            continue;
        }
        if (made->version) {
            pk_writes_replace(list, made->collection, made->doc, made->version);
        } else {
            pk_writes_insert(list, made->collection, made->doc);
        }
    }
    return true;
}

/* ---- Hot knowledge, for scripts ---- */

static void add_hot(bson_t *list, uint32_t *at, const bson_t *entry, int64_t now_ms)
{
    static const char *const field[] = { "key",        "value",     "category",
                                         "confidence", "updatedAt", "expiresAt" };
    bson_iter_t iter;
    bson_t item;
    char number[16];
    const char *key;
    if (date_of(entry, "expiresAt", INT64_MAX) <= now_ms) {
        return;
    }
    (void)bson_uint32_to_string((*at)++, &key, number, sizeof(number));
    BSON_APPEND_DOCUMENT_BEGIN(list, key, &item);
    for (size_t i = 0; i < PK_COUNT(field); i++) {
        if (bson_iter_init_find(&iter, entry, field[i])) {
            (void)bson_append_iter(&item, field[i], -1, &iter);
        }
    }
    bson_append_document_end(list, &item);
}

void pk_joined_hot_of(struct pk_doc *const *doc, size_t count, int64_t now_ms, bson_t *out)
{
    bson_t list;
    uint32_t at = 0;
    BSON_APPEND_ARRAY_BEGIN(out, "knowledge", &list);
    for (size_t i = 0; i < count && at < HOT_MAX; i++) {
        bson_t view;
        pk_doc_view(doc[i], &view);
        add_hot(&list, &at, &view, now_ms);
    }
    bson_append_array_end(out, &list);
}

bool pk_joined_hot(const struct pk_domain *domain, const char *person, int64_t now_ms,
                   int64_t deadline_ns, bson_t *out, struct pk_error *err)
{
    PK_CLEANUP(pk_page_done) struct pk_page page = { 0 };
    const struct pk_query query = { .collection = "knowledge",
                                    .index = "by_user_key",
                                    .equal = { PK_TEXT(person) },
                                    .equal_count = 1,
                                    .limit = HOT_MAX };
    if (!pk_store_find(domain->books->store, &query, deadline_ns, &page, err)) {
        return pk_wrap(err, "read hot knowledge");
    }
    pk_joined_hot_of(page.doc, page.count, now_ms, out);
    return true;
}

void pk_joins_hot(const struct pk_joins *joins, int64_t now_ms, bson_t *out)
{
    PK_CLEANUP(pk_freep)
    const struct pk_joins_doc **hot = pk_calloc(joins->count + 1, sizeof(struct pk_joins_doc *));
    size_t count = 0;
    bson_t list;
    uint32_t at = 0;
    for (size_t i = 0; i < joins->count; i++) {
        if (strcmp(joins->doc[i].collection, "knowledge") == 0) {
            hot[count++] = &joins->doc[i];
        }
    }
    qsort(hot, count, sizeof(struct pk_joins_doc *), by_id); /* By keys, as the index has them. */
    BSON_APPEND_ARRAY_BEGIN(out, "knowledge", &list);
    for (size_t i = 0; i < count && at < HOT_MAX; i++) {
        bson_t view;
        view_doc(hot[i], &view);
        add_hot(&list, &at, &view, now_ms);
    }
    bson_append_array_end(out, &list);
}
