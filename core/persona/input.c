/* input.c - A mindscape as scripts get it.
 *
 * The stored document is copied field by field: traits get their half-life, so
 * that confidence can be computed without knowing policies; what only the
 * server reads ('versions') is left out. Hot knowledge is read when the
 * mindscape says that there is some, in 'versions'.
 *
 * The retrieval pipeline's hot queries look at traits (a 'targetField' with a
 * dot) or at hot knowledge (one without). What they found is a list of { key,
 * value, ... } under the query's id, highest priority first:
 *
 *     exact     the field itself; with parameters.value only when it equals
 *     range     the field, when its number lies from parameters.min to .max
 *     pattern   all whose name fits parameters.pattern, or targetField ('*': any characters)
 *
 * parameters.limit cuts the list, parameters.minConfidence leaves out what is
 * less sure. Warm and cold queries are not answered; pk_input_warnings says so.
 *
 * Thread: any. */
/* SPDX-License-Identifier: MIT */
#include "persona/input.h"

#include "base/alloc.h"
#include "base/buf.h"
#include "base/crypto.h"
#include "base/error.h"
#include "doc/doc.h"
#include "doc/keys.h"
#include "doc/path.h"
#include "doc/writer.h"
#include "persona/joined.h"
#include "persona/mind.h"
#include "persona/trait.h"
#include "script/scripts.h"

#include <fnmatch.h>
#include <stdio.h>
#include <string.h>

enum { FOUND_MAX = 1000 };

uint64_t pk_input_person(const char *person)
{
    uint8_t hash[PK_HASH_BYTES];
    uint64_t number;
    pk_hash(hash, person, strlen(person), NULL, 0);
    memcpy(&number, hash, sizeof(number));
    return number ? number : 1; /* 0 is nobody. */
}

/* ---- Traits ---- */

static void add_half_life(const struct pk_domain *domain, const bson_iter_t *trait, bson_t *out)
{
    const uint8_t *data;
    uint32_t size;
    bson_t view;
    bson_iter_document(trait, &size, &data);
    if (!bson_init_static(&view, data, size)) {
        return;
    }
    const int64_t half_life = pk_trait_half_life(domain->policies, &view);
    if (half_life > 0) {
        BSON_APPEND_INT64(out, "halfLife", half_life);
    }
}

static void add_traits(const struct pk_domain *domain, const bson_iter_t *traits, bson_t *out)
{
    bson_iter_t trait, field;
    bson_t list, entry;
    char number[16];
    const char *key;
    uint32_t at = 0;

    BSON_APPEND_ARRAY_BEGIN(out, "traits", &list);
    if (bson_iter_recurse(traits, &trait)) {
        while (bson_iter_next(&trait)) {
            if (!BSON_ITER_HOLDS_DOCUMENT(&trait) || !bson_iter_recurse(&trait, &field)) {
                continue;
            }
            (void)bson_uint32_to_string(at++, &key, number, sizeof(number));
            BSON_APPEND_DOCUMENT_BEGIN(&list, key, &entry);
            while (bson_iter_next(&field)) {
                if (strcmp(bson_iter_key(&field), "sources") != 0) { /* Scripts have no use. */
                    pk_keys_append_unescaped(&entry, bson_iter_key(&field), &field);
                }
            }
            add_half_life(domain, &trait, &entry);
            bson_append_document_end(&list, &entry);
        }
    }
    bson_append_array_end(out, &list);
}

/* ---- Hot knowledge ---- */

static const char *text_of(const bson_t *doc, const char *name)
{
    bson_iter_t iter;
    return bson_iter_init_find(&iter, doc, name) && BSON_ITER_HOLDS_UTF8(&iter)
               ? bson_iter_utf8(&iter, NULL)
               : NULL;
}

static bool is_true_now(const bson_t *mindscape, const char *key)
{
    bson_iter_t iter, entry;
    return bson_iter_init_find(&iter, mindscape, "highVolatileCache") &&
           BSON_ITER_HOLDS_DOCUMENT(&iter) && bson_iter_recurse(&iter, &entry) &&
           bson_iter_find(&entry, key);
}

/* 'versions' has a line for each hot key, of facts as of what is true just now; and one that says
 * that there are facts, unless they were kept before there was such a line. */
static bool has_hot(const struct pk_doc *mindscape)
{
    bson_t view, row;
    bson_iter_t iter, each;
    const uint8_t *data;
    uint32_t size;
    pk_doc_view(mindscape, &view);
    if (!bson_iter_init_find(&iter, &view, "versions") || !bson_iter_recurse(&iter, &each)) {
        return false;
    }
    while (bson_iter_next(&each)) {
        if (!BSON_ITER_HOLDS_DOCUMENT(&each)) {
            continue;
        }
        bson_iter_document(&each, &size, &data);
        const char *kind = bson_init_static(&row, data, size) ? text_of(&row, "kind") : NULL;
        const char *key = kind ? text_of(&row, "key") : NULL;
        if (kind && (strcmp(kind, PK_MIND_FACTS) == 0 ||
                     (strcmp(kind, "hot") == 0 && !(key && is_true_now(&view, key))))) {
            return true;
        }
    }
    return false;
}

static bool add_knowledge(const struct pk_domain *domain, const struct pk_doc *mindscape,
                          const bson_t *knowledge, int64_t now_ms, int64_t deadline_ns, bson_t *out,
                          struct pk_error *err)
{
    if (knowledge) {
        bson_t plain;
        pk_keys_unescape(knowledge, &plain);
        BSON_APPEND_ARRAY(out, "knowledge", &plain);
        bson_destroy(&plain);
        return true;
    }
    if (!has_hot(mindscape)) {
        bson_t none = BSON_INITIALIZER;
        BSON_APPEND_ARRAY(out, "knowledge", &none);
        bson_destroy(&none);
        return true;
    }
    bson_t joined = BSON_INITIALIZER;
    bson_iter_t iter;
    const bool ok = pk_joined_hot(domain, pk_doc_id(mindscape), now_ms, deadline_ns, &joined, err);
    if (ok && bson_iter_init_find(&iter, &joined, "knowledge")) {
        pk_keys_append_unescaped(out, "knowledge", &iter);
    }
    bson_destroy(&joined);
    return ok;
}

/* ---- Retrieval: the hot layer ---- */

struct query {
    const char *id, *type, *target;
    bson_t parameters; /* A view. */
    int64_t priority;
};

static bool number_of(const bson_t *doc, const char *name, double *out)
{
    bson_iter_t iter;
    if (!bson_iter_init_find(&iter, doc, name) || !BSON_ITER_HOLDS_NUMBER(&iter)) {
        return false;
    }
    *out = bson_iter_as_double(&iter);
    return true;
}

static bool query_read(const bson_iter_t *at, struct query *out)
{
    const uint8_t *data;
    uint32_t size;
    bson_t view;
    bson_iter_t iter;
    double priority = 0;
    if (!BSON_ITER_HOLDS_DOCUMENT(at)) {
        return false;
    }
    bson_iter_document(at, &size, &data);
    if (!bson_init_static(&view, data, size)) {
        return false;
    }
    *out = (struct query){ .id = text_of(&view, "queryId"),
                           .type = text_of(&view, "queryType"),
                           .target = text_of(&view, "targetField") };
    (void)number_of(&view, "priority", &priority);
    out->priority = (int64_t)priority;
    if (bson_iter_init_find(&iter, &view, "parameters") && BSON_ITER_HOLDS_DOCUMENT(&iter)) {
        bson_iter_document(&iter, &size, &data);
        (void)bson_init_static(&out->parameters, data, size);
    } else {
        static const uint8_t empty[] = { 5, 0, 0, 0, 0 };
        (void)bson_init_static(&out->parameters, empty, sizeof(empty));
    }
    return out->id && out->type && out->target;
}

/* Equal as values: numbers by their value, all else by type and bytes. */
static bool is_equal(const bson_iter_t *a, const bson_iter_t *b)
{
    if (BSON_ITER_HOLDS_NUMBER(a) && BSON_ITER_HOLDS_NUMBER(b)) {
        const double x = bson_iter_as_double(a), y = bson_iter_as_double(b);
        return x >= y && x <= y;
    }
    const size_t size_a = a->next_off - a->d1, size_b = b->next_off - b->d1;
    return bson_iter_type(a) == bson_iter_type(b) && size_a == size_b &&
           memcmp(a->raw + a->d1, b->raw + b->d1, size_a) == 0;
}

/* Whether an entry (of traits or of knowledge), called 'name', is what the query wants. */
static bool fits(const struct query *query, const char *name, const bson_t *entry)
{
    bson_iter_t value, wanted;
    double least = 0, number = 0, bound = 0;
    if (number_of(&query->parameters, "minConfidence", &least) &&
        (!number_of(entry, "confidence", &number) || number < least)) {
        return false;
    }
    if (strcmp(query->type, "pattern") == 0) {
        const char *pattern = text_of(&query->parameters, "pattern");
        return fnmatch(pattern ? pattern : query->target, name, FNM_NOESCAPE) == 0;
    }
    if (strcmp(name, query->target) != 0 || !bson_iter_init_find(&value, entry, "value")) {
        return false;
    }
    if (strcmp(query->type, "range") == 0) {
        return BSON_ITER_HOLDS_NUMBER(&value) &&
               (!number_of(&query->parameters, "min", &bound) ||
                bson_iter_as_double(&value) >= bound) &&
               (!number_of(&query->parameters, "max", &bound) ||
                bson_iter_as_double(&value) <= bound);
    }
    return !bson_iter_init_find(&wanted, &query->parameters, "value") || is_equal(&value, &wanted);
}

static void add_item(bson_t *items, uint32_t at, const char *name, const bson_t *entry)
{
    static const char *const field[] = { "value", "confidence", "category", "updatedAt",
                                         "expiresAt" };
    bson_iter_t iter;
    bson_t item;
    char number[16];
    const char *key;
    (void)bson_uint32_to_string(at, &key, number, sizeof(number));
    BSON_APPEND_DOCUMENT_BEGIN(items, key, &item);
    BSON_APPEND_UTF8(&item, "key", name);
    for (size_t i = 0; i < PK_COUNT(field); i++) {
        if (bson_iter_init_find(&iter, entry, field[i])) {
            (void)bson_append_iter(&item, field[i], -1, &iter);
        }
    }
    bson_append_document_end(items, &item);
}

/* One query over a list of entries whose names are in their field 'named'. */
static void run_query(const struct query *query, const bson_iter_t *entries, const char *named,
                      bson_t *found)
{
    double limit = FOUND_MAX;
    int64_t until = INT64_MAX;
    uint32_t at = 0;
    const uint8_t *data;
    uint32_t size;
    bson_iter_t each, expiry;
    bson_t items, entry;

    (void)number_of(&query->parameters, "limit", &limit);
    BSON_APPEND_ARRAY_BEGIN(found, "items", &items);
    if (bson_iter_recurse(entries, &each)) {
        while (bson_iter_next(&each) && (double)at < limit) {
            bson_iter_document(&each, &size, &data);
            const char *name = bson_init_static(&entry, data, size) ? text_of(&entry, named) : NULL;
            if (!name || !fits(query, name, &entry)) {
                continue;
            }
            add_item(&items, at++, name, &entry);
            if (bson_iter_init_find(&expiry, &entry, "expiresAt") &&
                BSON_ITER_HOLDS_DATE_TIME(&expiry) && bson_iter_date_time(&expiry) < until) {
                until = bson_iter_date_time(&expiry);
            }
        }
    }
    bson_append_array_end(found, &items);
    if (until != INT64_MAX) {
        BSON_APPEND_DATE_TIME(found, "validUntil", until);
    }
}

static const char *pipeline_path(const struct pk_script *script)
{
    bson_iter_t iter;
    static const char *const path[] = { "retrievalPipeline", "configuration.retrievalPipeline" };
    for (size_t i = 0; i < PK_COUNT(path); i++) {
        if (pk_path_find(&script->manifest, path[i], &iter)) {
            return path[i];
        }
    }
    return NULL;
}

/* The list of queries of a layer; false when there is none. */
static bool find_queries(const struct pk_script *script, const char *layer, bson_iter_t *out)
{
    const char *path = script ? pipeline_path(script) : NULL;
    char whole[128];
    bson_iter_t list;
    if (!path) {
        return false;
    }
    (void)snprintf(whole, sizeof(whole), "%s.%s", path, layer);
    return pk_path_find(&script->manifest, whole, &list) && BSON_ITER_HOLDS_ARRAY(&list) &&
           bson_iter_recurse(&list, out);
}

/* 'made' is the mindscape so far: its traits and its knowledge are looked through. */
static void add_found(const struct pk_script *script, bson_t *made)
{
    bson_iter_t each, entries;
    bson_t found = BSON_INITIALIZER;
    bson_t one;
    struct query query;
    if (!find_queries(script, "hotLayerQueries", &each)) {
        return;
    }
    while (bson_iter_next(&each)) {
        if (!query_read(&each, &query)) {
            continue;
        }
        const bool is_trait = strpbrk(query.target, "./") != NULL;
        if (!bson_iter_init_find(&entries, made, is_trait ? "traits" : "knowledge")) {
            continue;
        }
        BSON_APPEND_DOCUMENT_BEGIN(&found, query.id, &one);
        BSON_APPEND_UTF8(&one, "kind", is_trait ? "trait" : "hot");
        run_query(&query, &entries, is_trait ? "id" : "key", &one);
        bson_append_document_end(&found, &one);
    }
    BSON_APPEND_DOCUMENT(made, "found", &found);
    bson_destroy(&found);
}

/* ---- All of it ---- */

static void add_fields(const struct pk_domain *domain, const struct pk_doc *mindscape, bson_t *made)
{
    static const char *const left_out[] = { "versions",       "floor", "processingMetadata",
                                            "knowledgeStore", "epoch", NULL };
    bson_t view;
    bson_iter_t iter;
    pk_doc_view(mindscape, &view);
    if (!bson_iter_init(&iter, &view)) {
        return;
    }
    while (bson_iter_next(&iter)) {
        const char *key = bson_iter_key(&iter);
        size_t i = 0;
        while (left_out[i] && strcmp(left_out[i], key) != 0) {
            i++;
        }
        if (left_out[i]) {
            continue;
        }
        if (strcmp(key, "traits") == 0 && BSON_ITER_HOLDS_ARRAY(&iter)) {
            add_traits(domain, &iter, made);
        } else {
            pk_keys_append_unescaped(made, key, &iter);
        }
    }
}

bool pk_input_mindscape(const struct pk_domain *domain, const struct pk_script *script,
                        const struct pk_doc *mindscape, const char *detail, int64_t now_ms,
                        const bson_t *knowledge, int64_t deadline_ns, bson_t *input,
                        struct pk_error *err)
{
    bson_t made = BSON_INITIALIZER;
    (void)detail; /* Hot queries run at every level; see pk_input_warnings for the others. */
    add_fields(domain, mindscape, &made);
    const bool ok = add_knowledge(domain, mindscape, knowledge, now_ms, deadline_ns, &made, err);
    if (ok) {
        add_found(script, &made);
        BSON_APPEND_DOCUMENT(input, "mindscape", &made);
    }
    bson_destroy(&made);
    return ok || pk_wrap(err, "read what is known of the person");
}

void pk_input_config(const struct pk_script *script, bson_t *input)
{
    bson_iter_t setting, each, value;
    bson_t config;
    if (!bson_iter_init_find(&setting, &script->manifest, "config") ||
        !BSON_ITER_HOLDS_DOCUMENT(&setting) || !bson_iter_recurse(&setting, &each)) {
        return;
    }
    BSON_APPEND_DOCUMENT_BEGIN(input, "config", &config);
    while (bson_iter_next(&each)) {
        if (BSON_ITER_HOLDS_DOCUMENT(&each) && bson_iter_recurse(&each, &value) &&
            bson_iter_find(&value, "default")) {
            pk_keys_append_unescaped(&config, bson_iter_key(&each), &value);
        }
    }
    bson_append_document_end(input, &config);
}

size_t pk_input_warnings(const struct pk_script *script, const char *detail, char **out, size_t max)
{
    static const struct {
        const char *queries, *layer;
        bool is_deep; /* Only for deep_dive; else from 'balanced' on. */
    } layer[] = { { "warmLayerQueries", "warm", false }, { "coldLayerAnalysis", "cold", true } };
    const bool is_instant = strcmp(detail, "instant") == 0;
    const bool is_deep = strcmp(detail, "deep_dive") == 0;
    size_t count = 0;
    for (size_t i = 0; i < PK_COUNT(layer); i++) {
        bson_iter_t each;
        if (is_instant || (layer[i].is_deep && !is_deep) ||
            !find_queries(script, layer[i].queries, &each)) {
            continue;
        }
        while (bson_iter_next(&each)) {
            bson_iter_t id;
            const char *name = BSON_ITER_HOLDS_DOCUMENT(&each) && bson_iter_recurse(&each, &id) &&
                                       bson_iter_find(&id, "queryId") && BSON_ITER_HOLDS_UTF8(&id)
                                   ? bson_iter_utf8(&id, NULL)
                                   : "?";
            if (count < max) {
                out[count] = pk_strdupf("query '%s' was not run: this server does not search the "
                                        "%s layer",
                                        name, layer[i].layer);
            }
            count++;
        }
    }
    return count;
}
