/* test_joined.c - Facts, narratives, texts and the graph that operations make. */
/* SPDX-License-Identifier: MIT */
#include "kit.h"

#include "doc/keys.h"
#include "doc/path.h"
#include "persona/input.h"
#include "persona/joined.h"
#include "persona/mind.h"

#include <stdio.h>
#include <string.h>

#define OBS "11111111-1111-4111-8111-111111111111"

#define BOTH(name)                             \
    static void check_##name(struct kit *kit); \
    TEST(name)                                 \
    {                                          \
        KIT(kit, false);                       \
        check_##name(&kit);                    \
    }                                          \
    TEST(name##_on_mongodb)                    \
    {                                          \
        KIT(kit, true);                        \
        check_##name(&kit);                    \
    }                                          \
    static void check_##name(struct kit *kit)

/* One operation, as a mind would hand it on. */
static void fill_joined(struct pk_joined *joined, bson_t *operation, size_t index, int64_t at_ms)
{
    *joined = (struct pk_joined){ .operation = operation, .obs_id = OBS, .effective_at_ms = at_ms };
    pk_mind_id(joined->id, OBS, "test", "operation", index);
}

/* Applies operations (JSON, one per line) in one list, and commits it. */
static bool apply(struct kit *kit, const char *person, int64_t at_ms, const char *const *json)
{
    bson_t operation[8];
    struct pk_joined joined[8];
    const struct pk_joined *pointer[8] = { NULL };
    struct pk_writes list = { 0 };
    size_t count = 0;
    for (; json[count]; count++) {
        kit_json(&operation[count], "%s", json[count]);
        fill_joined(&joined[count], &operation[count], count, at_ms);
        pointer[count] = &joined[count];
    }
    const bool ok =
        pk_joined_write(&kit->domain, person, pointer, count, NULL, 0, &list, &kit->err) &&
        (list.count == 0 || pk_store_commit(kit->bed.store, &list, 0, NULL, &kit->err));
    pk_writes_done(&list);
    for (size_t i = 0; i < count; i++) {
        bson_destroy(&operation[i]);
    }
    return ok;
}
#define APPLY(kit, person, at_ms, ...) \
    assert_ok(apply(kit, person, at_ms, (const char *const[]){ __VA_ARGS__, NULL }), &(kit)->err)

static struct pk_doc *first_of(struct kit *kit, const char *collection, const char *path,
                               const char *text)
{
    PK_CLEANUP(pk_page_done) struct pk_page page = { 0 };
    const struct pk_query query = { .collection = collection, .index = "_id", .limit = 1000 };
    assert_ok(pk_store_find(kit->bed.store, &query, 0, &page, &kit->err), &kit->err);
    for (size_t i = 0; i < page.count; i++) {
        const char *found = pk_doc_text(page.doc[i], path);
        if (found && strcmp(found, text) == 0) {
            return pk_doc_ref(page.doc[i]);
        }
    }
    return NULL;
}

BOTH(a_fact_is_found_by_its_key_and_replaced)
{
    char person[PK_UUID_TEXT], id[64];
    pk_uuid_new(person);
    (void)snprintf(id, sizeof(id), "%s:role", person);
    const int64_t now = kit_now(kit);
    APPLY(kit, person, now, "{'op': 'remember', 'key': 'role', 'value': 'lead', 'ttl': 3600}");
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *first = kit_get(kit, "knowledge", id);
    assert_string_equal(pk_doc_text(first, "value"), "lead");
    assert_string_equal(pk_doc_text(first, "dataType"), "string");
    assert_string_equal(pk_doc_text(first, "derivedFrom.0"), OBS);
    assert_int_equal(pk_doc_date(first, "expiresAt", 0), now + 3600000);
    assert_int_equal(pk_doc_int(first, "version", 0), 1);

    APPLY(kit, person, now + 5, "{'op': 'remember', 'key': 'role', 'value': 7}",
          "{'op': 'remember', 'key': 'role', 'value': 8, 'confidence': 0.9}");
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *second = kit_get(kit, "knowledge", id);
    assert_int_equal(pk_doc_int(second, "value", 0), 8);
    assert_string_equal(pk_doc_text(second, "dataType"), "number");
    assert_string_equal(pk_doc_text(second, "entryId"), pk_doc_text(first, "entryId"));
    assert_int_equal(pk_doc_date(second, "createdAt", 0), now);
    assert_int_equal(pk_doc_date(second, "expiresAt", -1), -1);
    assert_int_equal(pk_doc_int(second, "version", 0), 3);
    assert_int_equal(kit_count(kit, "knowledge", NULL, NULL), 1);
}

BOTH(hot_facts_are_given_until_they_expire)
{
    char person[PK_UUID_TEXT];
    pk_uuid_new(person);
    const int64_t now = kit_now(kit);
    APPLY(kit, person, now, "{'op': 'remember', 'key': 'b', 'value': 1, 'ttl': 60}",
          "{'op': 'remember', 'key': 'a', 'value': {'x': 2}}");
    bson_t out = BSON_INITIALIZER;
    assert_ok(pk_joined_hot(&kit->domain, person, now, 0, &out, &kit->err), &kit->err);
    bson_iter_t iter;
    assert_true(pk_path_find(&out, "knowledge.0.key", &iter));
    assert_string_equal(bson_iter_utf8(&iter, NULL), "a");
    assert_true(pk_path_find(&out, "knowledge.1.key", &iter));
    bson_reinit(&out);
    assert_ok(pk_joined_hot(&kit->domain, person, now + 60000, 0, &out, &kit->err), &kit->err);
    assert_false(pk_path_find(&out, "knowledge.1.key", &iter));
    bson_destroy(&out);
}

BOTH(a_narrative_has_its_links)
{
    char person[PK_UUID_TEXT];
    pk_uuid_new(person);
    APPLY(kit, person, kit_now(kit),
          "{'op': 'narrative', 'text': 'I like mornings', 'tags': ['morning'],"
          " 'traits': ['work.chronotype', 'health.sleep'], 'linkType': 'supports'}");
    PK_CLEANUP(pk_doc_unrefp)
    struct pk_doc *narrative = first_of(kit, "narratives", "rawText", "I like mornings");
    assert_non_null(narrative);
    assert_string_equal(pk_doc_text(narrative, "narrativeType"), "self_observation");
    PK_CLEANUP(pk_doc_unrefp)
    struct pk_doc *link = first_of(kit, "trait_links", "traitPath", "health.sleep");
    assert_non_null(link);
    assert_string_equal(pk_doc_text(link, "narrativeId"), pk_doc_id(narrative));
    assert_string_equal(pk_doc_text(link, "linkType"), "supports");
    assert_int_equal(kit_count(kit, "trait_links", NULL, NULL), 2);
}

BOTH(a_text_is_learned_before_it_is_embedded)
{
    char person[PK_UUID_TEXT];
    pk_uuid_new(person);
    APPLY(kit, person, kit_now(kit),
          "{'op': 'learn', 'content': 'deploys on Fridays', 'contentType': 'insight',"
          " 'importance': 0.8}");
    PK_CLEANUP(pk_doc_unrefp)
    struct pk_doc *text = first_of(kit, "vectors", "content", "deploys on Fridays");
    assert_non_null(text);
    assert_string_equal(pk_doc_text(text, "contentType"), "insight");
    assert_true(pk_doc_number(text, "metadata.importance", 0) == 0.8);
}

BOTH(the_graph_grows_by_labels_and_ends)
{
    char person[PK_UUID_TEXT];
    pk_uuid_new(person);
    const int64_t now = kit_now(kit);
    APPLY(kit, person, now,
          "{'op': 'node', 'label': 'Ada', 'nodeType': 'entity', 'attributes': {'team': 'core'}}",
          "{'op': 'edge', 'source': 'self', 'target': 'Ada', 'edgeType': 'works_with',"
          " 'strength': 0.4}",
          "{'op': 'edge', 'source': 'self', 'target': 'Chess', 'edgeType': 'plays'}");
    assert_int_equal(kit_count(kit, "graph_nodes", NULL, NULL), 3);
    assert_int_equal(kit_count(kit, "graph_edges", NULL, NULL), 2);
    APPLY(kit, person, now + 9,
          "{'op': 'node', 'label': 'Ada', 'description': 'a colleague',"
          " 'attributes': {'city': 'Bern'}}",
          "{'op': 'edge', 'source': 'self', 'target': 'Ada', 'edgeType': 'works_with',"
          " 'confidence': 0.9}");
    assert_int_equal(kit_count(kit, "graph_nodes", NULL, NULL), 3);
    assert_int_equal(kit_count(kit, "graph_edges", NULL, NULL), 2);
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *ada = first_of(kit, "graph_nodes", "label", "Ada");
    assert_string_equal(pk_doc_text(ada, "nodeType"), "entity");
    assert_string_equal(pk_doc_text(ada, "properties.description"), "a colleague");
    assert_string_equal(pk_doc_text(ada, "properties.attributes.team"), "core");
    assert_string_equal(pk_doc_text(ada, "properties.attributes.city"), "Bern");
    assert_int_equal(pk_doc_date(ada, "createdAt", 0), now);
    assert_int_equal(pk_doc_date(ada, "updatedAt", 0), now + 9);
    PK_CLEANUP(pk_doc_unrefp)
    struct pk_doc *edge = first_of(kit, "graph_edges", "edgeType", "works_with");
    assert_string_equal(pk_doc_text(edge, "targetNodeId"), pk_doc_id(ada));
    assert_true(pk_doc_number(edge, "properties.strength", 0) == 0.4);
    assert_true(pk_doc_number(edge, "properties.confidence", 0) == 0.9);
}

BOTH(what_cannot_be_stored_is_named_and_nothing_is_written)
{
    static const char *const bad[] = {
        "{'op': 'remember', 'key': '', 'value': 1}",
        "{'op': 'remember', 'key': 'k'}",
        "{'op': 'narrative', 'text': 'x', 'narrativeType': 'curation'}",
        "{'op': 'node', 'label': 5}",
        "{'op': 'edge', 'source': 'self', 'target': 'x'}",
        "{'op': 'learn'}",
        "{'op': 'fly'}",
    };
    char person[PK_UUID_TEXT];
    pk_uuid_new(person);
    for (size_t i = 0; i < PK_COUNT(bad); i++) {
        const char *const json[] = { bad[i], NULL };
        assert_false(apply(kit, person, kit_now(kit), json));
        expect_error(&kit->err, PK_INVALID, "operation '");
    }
    assert_int_equal(kit_count(kit, "knowledge", NULL, NULL), 0);
    assert_int_equal(kit_count(kit, "graph_nodes", NULL, NULL), 0);
}

/* A replay makes the same documents, without a store. */
BOTH(without_a_store_the_same_comes_to_be)
{
    static const char *const json[] = {
        "{'op': 'remember', 'key': 'role', 'value': 'lead'}",
        "{'op': 'edge', 'source': 'self', 'target': 'Ada', 'edgeType': 'knows'}",
        "{'op': 'remember', 'key': 'role', 'value': 'head'}",
        "{'op': 'node', 'label': 'Ada', 'importance': 0.9}",
        NULL,
    };
    char person[PK_UUID_TEXT];
    pk_uuid_new(person);
    const int64_t now = kit_now(kit);
    assert_ok(apply(kit, person, now, json), &kit->err);
    PK_CLEANUP(pk_joins_freep) struct pk_joins *joins = pk_joins_new(NULL, person, 0);
    for (size_t i = 0; json[i]; i++) {
        bson_t operation;
        struct pk_joined joined;
        kit_json(&operation, "%s", json[i]);
        fill_joined(&joined, &operation, i, now);
        assert_ok(pk_joins_apply(joins, &joined, 0, &kit->err), &kit->err);
        bson_destroy(&operation);
    }
    assert_int_equal(pk_joins_count(joins), 4);
    for (size_t i = 0; i < pk_joins_count(joins); i++) {
        const struct pk_joins_doc *made = pk_joins_at(joins, i);
        PK_CLEANUP(pk_doc_unrefp) struct pk_doc *stored = kit_get(kit, made->collection, made->id);
        assert_non_null(stored);
        assert_true(pk_doc_same(stored, made->doc));
    }
    bson_t out = BSON_INITIALIZER;
    bson_iter_t iter;
    pk_joins_hot(joins, now, &out);
    assert_true(pk_path_find(&out, "knowledge.0.value", &iter));
    assert_string_equal(bson_iter_utf8(&iter, NULL), "head");
    bson_destroy(&out);
}

/* ---- What scripts are handed ---- */

static void put_mindscape(struct kit *kit, char person[PK_UUID_TEXT])
{
    pk_uuid_new(person);
    kit_put(kit, "mindscapes",
            "{'_id': '%s', 'version': 3, 'createdAt': '2026-01-01T00:00:00Z',"
            " 'lastUpdated': '2026-01-01T00:00:00Z', 'goals': [], 'beliefs': [],"
            " 'narrative': {'summary': '', 'keyThemes': [], 'lastUpdated': '2026-01-01T00:00:00Z'},"
            " 'traits': ["
            "  {'id': 'work.hours', 'category': 'work', 'value': 8, 'dataType': 'numeric',"
            "   'volatility': 'high', 'confidence': 0.8, 'updatedAt': '2026-01-01T00:00:00Z',"
            "   'sources': [{'obsId': '" OBS "', 'weight': 1}]},"
            "  {'id': 'work.tool', 'category': 'work', 'value': {'node.js': true},"
            "   'dataType': 'complex', 'volatility': 'low', 'confidence': 0.3, 'pinned': true,"
            "   'updatedAt': '2026-01-01T00:00:00Z', 'sources': []},"
            "  {'id': 'health.pulse', 'category': 'health', 'value': 60, 'dataType': 'numeric',"
            "   'volatility': 'low', 'confidence': 0.9, 'updatedAt': '2026-01-01T00:00:00Z',"
            "   'sources': []}],"
            " 'highVolatileCache': {'mood': 'calm'}, 'processingMetadata':"
            " {'totalObservationsProcessed': 2, 'lastProcessingDuration': 0}, 'seq': 2,"
            " 'epoch': 0, 'floor': 0, 'versions': [{'kind': 'hot', 'key': 'role', 'v': 2}]}",
            person);
}

TEST(a_script_is_handed_half_lives_facts_and_plain_keys)
{
    KIT(kit, false);
    char person[PK_UUID_TEXT];
    put_mindscape(&kit, person);
    APPLY(&kit, person, kit_now(&kit), "{'op': 'remember', 'key': 'role', 'value': 'lead'}");
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *mindscape = kit_get(&kit, "mindscapes", person);
    bson_t input = BSON_INITIALIZER;
    bson_iter_t iter;
    assert_ok(pk_input_mindscape(&kit.domain, NULL, mindscape, "instant", kit_now(&kit), NULL, 0,
                                 &input, &kit.err),
              &kit.err);
    assert_true(pk_path_find(&input, "mindscape.traits.0.halfLife", &iter));
    assert_true(bson_iter_int64(&iter) > 0);
    assert_false(pk_path_find(&input, "mindscape.traits.1.halfLife", &iter)); /* Pinned. */
    assert_false(pk_path_find(&input, "mindscape.traits.0.sources", &iter));
    assert_false(pk_path_find(&input, "mindscape.versions", &iter));
    assert_true(pk_path_find(&input, "mindscape.knowledge.0.value", &iter));
    assert_string_equal(bson_iter_utf8(&iter, NULL), "lead");
    assert_true(bson_iter_init(&iter, &input));
    char *text = kit_text(&input);
    assert_non_null(strstr(text, "\"node.js\""));
    pk_free(text);
    bson_destroy(&input);
}

TEST(hot_queries_of_a_mapper_find_traits_and_facts)
{
    KIT(kit, false);
    char person[PK_UUID_TEXT];
    kit_script(&kit, PK_SCRIPT_MAPPER,
               "return pk.mapper { limits = { soft_ms = 1000, hard_ms = 5000 },"
               " id = 'finds', version = '1.0.0',\n"
               "  retrieval_pipeline = {\n"
               "    hotLayerQueries = {\n"
               "      { queryId = 'sure', queryType = 'pattern', targetField = 'work.*',\n"
               "        parameters = { minConfidence = 0.5 }, priority = 1 },\n"
               "      { queryId = 'long', queryType = 'range', targetField = 'work.hours',\n"
               "        parameters = { min = 9 }, priority = 1 },\n"
               "      { queryId = 'role', queryType = 'exact', targetField = 'role',\n"
               "        parameters = {}, priority = 1 } },\n"
               "    warmLayerQueries = { { queryId = 'like', embeddingStrategy = 'semantic',\n"
               "        queryPrompt = 'tea', topK = 3, minSimilarity = 0.2 } } },\n"
               "  core = function(m) return { a = { b = 1 } } end }");
    put_mindscape(&kit, person);
    APPLY(&kit, person, kit_now(&kit), "{'op': 'remember', 'key': 'role', 'value': 'lead'}");
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *mindscape = kit_get(&kit, "mindscapes", person);
    struct pk_generation *pinned = pk_scripts_pin(kit.domain.scripts);
    const struct pk_script *mapper = pk_generation_find(pinned, PK_SCRIPT_MAPPER, "finds");
    bson_t input = BSON_INITIALIZER;
    bson_iter_t iter;
    assert_non_null(mapper);
    assert_ok(pk_input_mindscape(&kit.domain, mapper, mindscape, "balanced", kit_now(&kit), NULL, 0,
                                 &input, &kit.err),
              &kit.err);
    assert_true(pk_path_find(&input, "mindscape.found.sure.kind", &iter));
    assert_string_equal(bson_iter_utf8(&iter, NULL), "trait");
    assert_true(pk_path_find(&input, "mindscape.found.sure.items.0.key", &iter));
    assert_string_equal(bson_iter_utf8(&iter, NULL), "work.hours");
    assert_false(pk_path_find(&input, "mindscape.found.sure.items.1", &iter));
    assert_true(pk_path_find(&input, "mindscape.found.long.items", &iter));
    assert_false(pk_path_find(&input, "mindscape.found.long.items.0", &iter));
    assert_true(pk_path_find(&input, "mindscape.found.role.items.0.value", &iter));
    assert_string_equal(bson_iter_utf8(&iter, NULL), "lead");

    char *warning[4] = { NULL };
    assert_int_equal(pk_input_warnings(mapper, "instant", warning, 4), 0);
    assert_int_equal(pk_input_warnings(mapper, "balanced", warning, 4), 1);
    assert_non_null(strstr(warning[0], "'like'"));
    pk_free(warning[0]);
    bson_destroy(&input);
    pk_generation_unpin(pinned);
}
