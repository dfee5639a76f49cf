/* test_inventory.c - The table of collections keeps its promises, and every row of every schema
 * refuses what it should.
 *
 * The second half is a property test: a document made from the rows passes,
 * and each single thing done to it (a required field taken away, a value of
 * another type, out of range, not in the list) is refused at its own path. */
/* SPDX-License-Identifier: MIT */
#include "test.h"

#include "base/alloc.h"
#include "base/buf.h"
#include "base/config.h"
#include "doc/inventory.h"
#include "generate.h"
#include "spoil.h"

#include <stdio.h>
#include <string.h>

static const struct pk_inventory *inventory(void)
{
    return pk_inventory_builtin();
}

#define FOR_EACH_COLLECTION(collection_)                                      \
    for (const struct pk_collection *collection_ = inventory()->collection,   \
                                    *end_ = collection_ + inventory()->count; \
         collection_ < end_; collection_++)

/* ---- The table ---- */

TEST(the_inventory_has_the_collections_of_the_design)
{
    static const char *const name[] = {
        "observations", "mindscapes",      "trait_history", "personas",
        "persona_log",  "mappers",         "scripts",       "narratives",
        "trait_links",  "narrative_usage", "knowledge",     "vectors",
        "graph_nodes",  "graph_edges",     "reviews",       "consents",
        "people",       "processing",      "feedback",      "actors",
        "outbox",       "events",          "devices",       "sync_queue",
        "tombstones",   "deliveries",      "idempotency",   "persona_behavioral_models",
        "artifacts",    "nodes",           "script_state",  "settings",
        "audit",
    };
    assert_int_equal(inventory()->count, PK_COUNT(name));
    for (size_t i = 0; i < PK_COUNT(name); i++) {
        const struct pk_collection *collection = pk_inventory_find(inventory(), name[i]);
        assert_non_null(collection);
        assert_string_equal(collection->name, name[i]);
    }
    assert_null(pk_inventory_find(inventory(), "observation"));
    assert_true(inventory()->schema_version > 0);
}

TEST(names_of_collections_and_indexes_are_unique)
{
    FOR_EACH_COLLECTION(collection)
    {
        assert_ptr_equal(pk_inventory_find(inventory(), collection->name), collection);
        for (size_t i = 0; i < collection->index_count; i++) {
            const struct pk_index *index = &collection->index[i];
            assert_ptr_equal(pk_collection_index(collection, index->name), index);
        }
        assert_null(pk_collection_index(collection, "by_nothing"));
    }
}

static bool is_scalar(const struct pk_field *field)
{
    return field->type != PK_TYPE_OBJECT && field->type != PK_TYPE_ARRAY &&
           field->type != PK_TYPE_MAP && field->type != PK_TYPE_BINARY;
}

TEST(every_index_key_is_a_row_of_its_schema)
{
    FOR_EACH_COLLECTION(collection)
    {
        for (size_t i = 0; i < collection->index_count; i++) {
            const struct pk_index *index = &collection->index[i];
            assert_in_range(index->key_count, 1, PK_INDEX_MAX_KEYS);
            for (size_t k = 0; k < index->key_count; k++) {
                PK_CLEANUP(pk_freep) char *path = pk_strdup(index->key[k].path);
                char *star = strstr(path, ".*");
                bool is_multi = star || strstr(path, "[]");
                if (is_multi && k > 0) {
                    fail_msg("%s.%s: many values behind the first key", collection->name,
                             index->name);
                }
                if (star) {
                    *star = '\0';
                    /* MongoDB 6.0 has no wildcard index with further keys. */
                    assert_int_equal(index->key_count, 1);
                }
                const struct pk_field *field = pk_schema_field(collection->schema, path);
                if (!field || is_scalar(field) == (star != NULL)) {
                    fail_msg("%s.%s: no such value '%s'", collection->name, index->name, path);
                }
            }
        }
    }
}

TEST(a_partial_index_looks_at_a_row_that_can_say_so)
{
    FOR_EACH_COLLECTION(collection)
    {
        for (size_t i = 0; i < collection->index_count; i++) {
            const struct pk_index *index = &collection->index[i];
            if (index->only == PK_ONLY_ALL) {
                assert_null(index->only_path);
                continue;
            }
            const struct pk_field *field = pk_schema_field(collection->schema, index->only_path);
            assert_non_null(field);
            assert_int_equal(index->only == PK_ONLY_TEXT, index->only_text != NULL);
            assert_true(index->only != PK_ONLY_TRUE || field->type == PK_TYPE_BOOL);
            assert_true(index->only != PK_ONLY_TEXT || field->type == PK_TYPE_STRING);
            /* An array that is there has elements, so "exists" says the same to both engines. */
            assert_true(field->type != PK_TYPE_ARRAY || field->min >= 1);
        }
    }
}

static bool is_led_by(const struct pk_collection *collection, const char *path)
{
    for (size_t i = 0; i < collection->index_count; i++) {
        if (collection->index[i].only == PK_ONLY_ALL &&
            strcmp(collection->index[i].key[0].path, path) == 0) {
            return true;
        }
    }
    return false;
}

/* Where a key of a unique index may be absent, one engine lets many documents in and another one:
 * such an index must be partial and say which documents it is about. */
TEST(a_unique_index_on_all_documents_has_required_keys)
{
    FOR_EACH_COLLECTION(collection)
    {
        for (size_t i = 0; i < collection->index_count; i++) {
            const struct pk_index *index = &collection->index[i];
            if (!index->is_unique || index->only != PK_ONLY_ALL) {
                continue;
            }
            for (size_t k = 0; k < index->key_count; k++) {
                const struct pk_field *field =
                    pk_schema_field(collection->schema, index->key[k].path);
                assert_non_null(field);
                if (!(field->flags & PK_FIELD_REQUIRED)) {
                    fail_msg("%s.%s: '%s' is optional", collection->name, index->name,
                             index->key[k].path);
                }
            }
        }
    }
}

TEST(every_document_of_a_person_is_found_by_the_person)
{
    static const char *const marks[] = { "userId", "persona_id", "userIds", "userHash" };
    FOR_EACH_COLLECTION(collection)
    {
        const char *path = collection->person_path;
        bool is_marked = collection->is_person_id;
        for (size_t i = 0; i < PK_COUNT(marks); i++) {
            is_marked = is_marked || pk_schema_field(collection->schema, marks[i]);
        }
        if (is_marked != (path != NULL) ||
            (path != NULL) != (collection->erase != PK_ERASE_NOT_PERSONAL)) {
            fail_msg("'%s' does not agree with itself on whose it is", collection->name);
        }
        if (path && !collection->is_person_id && !is_led_by(collection, path)) {
            fail_msg("'%s' has no index that starts with '%s'", collection->name, path);
        }
        assert_true(!collection->is_person_id || strcmp(path, "_id") == 0);
        assert_true(!collection->is_exported || collection->erase == PK_ERASE_DELETE);
    }
}

TEST(what_expires_has_a_date_and_an_index_on_it_alone)
{
    FOR_EACH_COLLECTION(collection)
    {
        const struct pk_index *index = pk_collection_index(collection, "by_expiry");
        assert_int_equal(collection->ttl_path != NULL, index != NULL);
        assert_true(!collection->retention || collection->ttl_path);
        if (index) {
            const struct pk_field *field =
                pk_schema_field(collection->schema, collection->ttl_path);
            assert_non_null(field);
            assert_int_equal(field->type, PK_TYPE_DATE);
            assert_int_equal(index->key_count, 1);
            assert_string_equal(index->key[0].path, collection->ttl_path);
            assert_false(index->key[0].is_descending);
        } else {
            assert_null(pk_schema_field(collection->schema, "expiresAt"));
        }
    }
}

TEST(a_retention_is_a_setting)
{
    FOR_EACH_COLLECTION(collection)
    {
        size_t found = 0;
        for (size_t i = 0; collection->retention && i < pk_setting_count; i++) {
            found += strcmp(pk_setting_table[i].name, collection->retention) == 0;
        }
        if (found != (collection->retention != NULL)) {
            fail_msg("'%s' is no setting", collection->retention);
        }
    }
}

TEST(one_collection_is_the_feed_and_some_are_guarded)
{
    size_t feeds = 0;
    FOR_EACH_COLLECTION(collection)
    {
        feeds += collection->is_feed;
    }
    assert_int_equal(feeds, 1);
    assert_true(pk_inventory_find(inventory(), "events")->is_feed);
    assert_true(pk_inventory_find(inventory(), "tombstones")->is_guarded);
    assert_true(pk_inventory_find(inventory(), "consents")->is_guarded);
}

/* ---- The rows ---- */

static void check_row(void *context, const char *path, const struct pk_field *field)
{
    const char *schema = context;
    size_t length = field->help ? strlen(field->help) : 0;
    if (length < 4 || field->help[length - 1] != '.') {
        fail_msg("%s.%s has no help sentence", schema, path);
    }
    bool is_bounded = field->max > 0 || field->allowed || field->format != PK_FORMAT_NONE;
    bool is_sized = field->type == PK_TYPE_STRING || field->type == PK_TYPE_ARRAY ||
                    field->type == PK_TYPE_MAP || field->type == PK_TYPE_BINARY;
    if (is_sized && !is_bounded) {
        fail_msg("%s.%s may grow without end", schema, path);
    }
    assert_int_equal(field->type == PK_TYPE_OBJECT, field->of != NULL);
    assert_int_equal(field->type == PK_TYPE_ARRAY || field->type == PK_TYPE_MAP,
                     field->item != NULL);
    assert_true(!field->allowed || (field->type == PK_TYPE_STRING && field->allowed[0]));
    assert_true(field->min <= field->max || field->max == 0);
}

TEST(every_row_has_help_and_an_end)
{
    size_t count;
    const struct pk_schema *const *schema = pk_schemas(&count);
    FOR_EACH_COLLECTION(collection)
    {
        assert_true(collection->help && *collection->help);
        assert_true(collection->schema->help && *collection->schema->help);
        pk_schema_each(collection->schema, check_row, (void *)(uintptr_t)collection->name);
        assert_string_equal(collection->schema->field[0].name, "_id");
    }
    for (size_t i = 0; i < count; i++) {
        pk_schema_each(schema[i], check_row, (void *)(uintptr_t)schema[i]->name);
    }
}

/* ---- Documents made from the rows ---- */

static void assert_passes(const struct pk_schema *schema, const bson_t *doc)
{
    struct pk_faults faults = { 0 };
    if (!pk_schema_check(schema, doc, &faults)) {
        PK_CLEANUP(pk_buf_done) struct pk_buf text = { 0 };
        pk_faults_print(&faults, &text);
        fail_msg("%s: %s", schema->name, pk_buf_text(&text));
    }
    pk_faults_done(&faults);
}

TEST(a_generated_document_fits_its_schema)
{
    char person[37];
    pk_generate_uuid(7, person);
    for (uint64_t seed = 0; seed < 50; seed++) {
        struct pk_generate how = { .seed = seed,
                                   .is_full = seed % 2,
                                   .person = seed % 3 ? NULL : person };
        bson_t doc;
        FOR_EACH_COLLECTION(collection)
        {
            pk_generate_bson(collection, &how, &doc);
            assert_passes(collection->schema, &doc);
            bson_destroy(&doc);
        }
        size_t count;
        const struct pk_schema *const *schema = pk_schemas(&count);
        for (size_t i = 0; i < count; i++) {
            pk_generate_schema(schema[i], &how, &doc);
            assert_passes(schema[i], &doc);
            bson_destroy(&doc);
        }
    }
}

/* ---- One thing wrong ---- */

static bool has_fault_at(const struct pk_faults *faults, const char *path)
{
    for (size_t i = 0; i < faults->count; i++) {
        if (strcmp(faults->fault[i].path, path) == 0) {
            return true;
        }
    }
    return false;
}

static void expect_refused(void *context, const char *path, const char *way, const bson_t *doc)
{
    const struct pk_schema *schema = context;
    struct pk_faults faults = { 0 };
    const bool is_passed = pk_schema_check(schema, doc, &faults);
    if (is_passed || !has_fault_at(&faults, path)) {
        fail_msg("%s: '%s' %s is %s", schema->name, path, way,
                 is_passed ? "let through" : "found elsewhere");
    }
    pk_faults_done(&faults);
}

static void try_schema(const struct pk_schema *schema, const bson_t *doc, size_t *count)
{
    *count += pk_spoil_each(schema, doc, expect_refused, (void *)(uintptr_t)schema);
}

TEST(each_single_thing_wrong_is_refused_at_its_path)
{
    size_t tried = 0;
    for (uint64_t seed = 0; seed < 2; seed++) {
        struct pk_generate how = { .seed = seed, .is_full = seed == 0 };
        bson_t doc;
        FOR_EACH_COLLECTION(collection)
        {
            pk_generate_bson(collection, &how, &doc);
            try_schema(collection->schema, &doc, &tried);
            bson_destroy(&doc);
        }
        size_t count;
        const struct pk_schema *const *schema = pk_schemas(&count);
        for (size_t i = 0; i < count; i++) {
            pk_generate_schema(schema[i], &how, &doc);
            try_schema(schema[i], &doc, &tried);
            bson_destroy(&doc);
        }
    }
    print_message("# %zu wrong documents refused\n", tried);
    assert_true(tried > 2000);
}

/* ---- Rules that no row can say ---- */

/* Takes a generated document and puts 'value' (a text; NULL: nothing) at a path. */
static void assert_rule(const char *name, const char *path, const char *value, const char *fault)
{
    const struct pk_collection *collection = pk_inventory_find(inventory(), name);
    struct pk_generate how = { .seed = 3, .is_full = false };
    struct pk_faults faults = { 0 };
    bson_t doc, changed;
    bson_iter_t iter;
    pk_generate_bson(collection, &how, &doc);
    bson_init(&changed);
    assert_true(bson_iter_init(&iter, &doc));
    while (bson_iter_next(&iter)) {
        if (strcmp(bson_iter_key(&iter), path) != 0) {
            bson_append_iter(&changed, NULL, 0, &iter);
        } else if (value) {
            bson_append_utf8(&changed, path, -1, value, -1);
        }
    }
    assert_false(pk_schema_check(collection->schema, &changed, &faults));
    if (!has_fault_at(&faults, fault)) {
        fail_msg("%s: no fault at '%s'", name, fault);
    }
    pk_faults_done(&faults);
    bson_destroy(&doc);
    bson_destroy(&changed);
}

TEST(joined_ids_say_what_the_fields_say)
{
    assert_rule("personas", "_id", "a:b:instant", "_id");
    assert_rule("knowledge", "_id", "a:b", "_id");
    assert_rule("consents", "_id", "a:b", "_id");
    assert_rule("processing", "_id", "a:b:c", "_id");
    assert_rule("persona_behavioral_models", "_id", "v_20260101000000_abc", "_id");
}

TEST(a_vector_without_a_trait_has_its_text)
{
    assert_rule("vectors", "content", NULL, "content");
    assert_rule("vectors", "metadata", NULL, "metadata");
}

/* A generated document, one field of it replaced by what 'json' says at the end. */
static void assert_refused(const char *name, const char *json, const char *fault)
{
    const struct pk_collection *collection = pk_inventory_find(inventory(), name);
    struct pk_faults faults = { 0 };
    struct pk_generate how = { .seed = 5, .is_full = false };
    bson_error_t error;
    bson_t doc, changed;
    bson_t *other = bson_new_from_json((const uint8_t *)json, -1, &error);
    bson_iter_t iter;
    assert_non_null(other);
    pk_generate_bson(collection, &how, &doc);
    bson_init(&changed);
    assert_true(bson_iter_init(&iter, &doc));
    while (bson_iter_next(&iter)) {
        if (!bson_has_field(other, bson_iter_key(&iter))) {
            bson_append_iter(&changed, NULL, 0, &iter);
        }
    }
    assert_true(bson_concat(&changed, other));
    assert_false(pk_schema_check(collection->schema, &changed, &faults));
    if (!has_fault_at(&faults, fault)) {
        fail_msg("%s: no fault at '%s'", name, fault);
    }
    pk_faults_done(&faults);
    bson_destroy(other);
    bson_destroy(&doc);
    bson_destroy(&changed);
}

TEST(an_approved_observation_says_who_approved_it)
{
    assert_refused("observations", "{\"processingStatus\": \"approved\", \"approvalMetadata\": {}}",
                   "approvalMetadata.approvedBy");
}

TEST(a_persona_expires_after_it_was_made)
{
    assert_refused("personas", "{\"expiresAt\": {\"$date\": {\"$numberLong\": \"1000\"}}}",
                   "expiresAt");
}

TEST(a_fact_with_a_ttl_says_when_it_expires)
{
    assert_refused("knowledge", "{\"ttl\": 60}", "expiresAt");
}

TEST(a_mindscape_is_not_above_4_mib)
{
    enum { NOTE = 4 * 1024 * 1024 };
    PK_CLEANUP(pk_freep) char *note = pk_alloc(NOTE + 1);
    memset(note, 'a', NOTE);
    note[NOTE] = '\0';
    PK_CLEANUP(pk_freep)
    char *json = pk_strdupf("{\"highVolatileCache\": {\"note\": \"%s\"}}", note);
    assert_refused("mindscapes", json, "");
}

TEST(a_curation_names_its_trait)
{
    const struct pk_collection *collection = pk_inventory_find(inventory(), "narratives");
    struct pk_faults faults = { 0 };
    bson_t *doc = BCON_NEW("_id", "5f0c1b1e-6c1d-4a55-8a0e-1f2d3c4b5a69", "userId",
                           "5f0c1b1e-6c1d-4a55-8a0e-1f2d3c4b5a69", "narrativeType", "curation",
                           "rawText", "no", "createdAt", BCON_DATE_TIME(0));
    assert_false(pk_schema_check(collection->schema, doc, &faults));
    assert_int_equal(faults.count, 1);
    assert_string_equal(faults.fault[0].path, "traitPath");
    pk_faults_done(&faults);
    bson_destroy(doc);
}

TEST(an_embedding_has_as_many_numbers_as_it_says)
{
    assert_refused("vectors", "{\"embedding\": [0.5, 0.25], \"embeddingDimensions\": 3}",
                   "embedding");
    assert_refused("narratives", "{\"embedding\": [0.5, 0.25]}", "embeddingDimensions");
}

/* A mapper whose only rule has this condition. */
static void assert_condition(const char *condition, const char *fault)
{
    const struct pk_field *row = pk_schema_field(pk_inventory_find(inventory(), "mappers")->schema,
                                                 "configuration.rules[].conditions");
    struct pk_faults faults = { 0 };
    bson_error_t error;
    bson_t *doc = bson_new_from_json((const uint8_t *)condition, -1, &error);
    assert_non_null(doc);
    bool is_passed = pk_schema_check(row->of, doc, &faults);
    assert_int_equal(is_passed, fault == NULL);
    if (fault && !has_fault_at(&faults, fault)) {
        fail_msg("no fault at '%s'", fault);
    }
    pk_faults_done(&faults);
    bson_destroy(doc);
}

TEST(conditions_nest_and_are_checked_at_every_depth)
{
    assert_condition("{\"all\": [{\"type\": \"trait_check\", \"trait\": \"work.chronotype\","
                     " \"operator\": \"equals\", \"value\": \"morning\"}]}",
                     NULL);
    assert_condition("{\"any\": [{\"not\": {\"type\": \"other\"}}, {\"all\": []}]}", NULL);
    assert_condition("{}", "");
    assert_condition("{\"all\": [], \"type\": \"other\"}", "");
    assert_condition("{\"any\": [{\"not\": {}}]}", "any[0].not");
    assert_condition("{\"any\": [{\"not\": 5}]}", "any[0].not");
    assert_condition("{\"any\": [{\"type\": \"trait_check\", \"operator\": \"equals\"}]}",
                     "any[0].trait");
}

TEST(built_in_values_of_an_open_list_do_not_close_it)
{
    const struct pk_schema *schema = pk_inventory_find(inventory(), "observations")->schema;
    const struct pk_field *type = pk_schema_field(schema, "sourceType");
    struct pk_generate how = { .seed = 1, .is_full = false };
    const struct pk_collection *collection = pk_inventory_find(inventory(), "observations");
    bson_t doc, changed;
    bson_iter_t iter;
    assert_true(type->flags & PK_FIELD_OPEN_ENUM);
    pk_generate_bson(collection, &how, &doc);
    bson_init(&changed);
    assert_true(bson_iter_init(&iter, &doc));
    while (bson_iter_next(&iter)) {
        if (strcmp(bson_iter_key(&iter), "sourceType") == 0) {
            bson_append_utf8(&changed, "sourceType", -1, "sleep_tracker", -1);
        } else {
            bson_append_iter(&changed, NULL, 0, &iter);
        }
    }
    assert_passes(schema, &changed);
    bson_destroy(&doc);
    bson_destroy(&changed);
}
