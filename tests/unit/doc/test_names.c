/* test_names.c - A document keeps what it says, however its fields are spelt. */
/* SPDX-License-Identifier: MIT */
#include "test.h"

#include "base/alloc.h"
#include "base/buf.h"
#include "base/error.h"
#include "doc/doc.h"
#include "doc/inventory.h"
#include "doc/names.h"
#include "generate.h"

#include <stdio.h>
#include <string.h>

static bson_t *from_json(const char *json)
{
    bson_error_t error;
    bson_t *doc = bson_new_from_json((const uint8_t *)json, -1, &error);
    if (!doc) {
        fail_msg("%s: %s", json, error.message);
    }
    return doc;
}

/* 'json' in one spelling is 'expected' in the other. */
static void assert_becomes(const char *collection, enum pk_spelling from, enum pk_spelling to,
                           const char *json, const char *expected)
{
    struct pk_error err;
    bson_t *doc = from_json(json);
    bson_t *wanted = from_json(expected);
    bson_t out;
    assert_ok(pk_names_translate(collection, from, to, doc, &out, &err), &err);
    struct pk_doc *a = pk_doc_take(&out);
    struct pk_doc *b = pk_doc_new(wanted);
    if (!pk_doc_same(a, b)) {
        bson_t view;
        pk_doc_view(a, &view);
        char *text = bson_as_relaxed_extended_json(&view, NULL);
        fail_msg("became %s", text);
    }
    pk_doc_unref(a);
    pk_doc_unref(b);
    bson_destroy(doc);
    bson_destroy(wanted);
}

/* 'json' cannot be respelt, for the reason that 'message' gives. */
static void assert_refused(const char *collection, enum pk_spelling from, enum pk_spelling to,
                           const char *json, const char *message)
{
    struct pk_error err;
    bson_t *doc = from_json(json);
    bson_t out;
    assert_false(pk_names_translate(collection, from, to, doc, &out, &err));
    assert_int_equal(err.code, PK_INVALID);
    if (!strstr(err.message, message)) {
        fail_msg("'%s' does not say '%s'", err.message, message);
    }
    bson_destroy(doc);
}

/* ---- The table ---- */

/* How many lists a path goes through: a move may not leave its list. */
static size_t list_depth(const char *path)
{
    size_t depth = 0;
    for (const char *at = path; (at = strstr(at, "[]")) != NULL; at += 2) {
        depth++;
    }
    return depth;
}

TEST(every_row_of_names_is_a_row_of_its_schema)
{
    size_t count;
    const struct pk_name *name = pk_names(&count);
    for (size_t i = 0; i < count; i++) {
        const struct pk_collection *collection =
            pk_inventory_find(pk_inventory_builtin(), name[i].collection);
        assert_non_null(collection);
        if (!pk_schema_field(collection->schema, name[i].stored)) {
            fail_msg("%s has no '%s'", name[i].collection, name[i].stored);
        }
        assert_true(!name[i].http || list_depth(name[i].http) == list_depth(name[i].stored));
        assert_true(!name[i].v020 || list_depth(name[i].v020) == list_depth(name[i].stored));
    }
}

static bool is_same_text(const char *a, const char *b)
{
    return a && b && strcmp(a, b) == 0;
}

TEST(no_two_rows_of_names_say_the_same)
{
    size_t count;
    const struct pk_name *name = pk_names(&count);
    for (size_t i = 0; i < count; i++) {
        for (size_t k = i + 1; k < count; k++) {
            if (strcmp(name[i].collection, name[k].collection) == 0 &&
                (is_same_text(name[i].stored, name[k].stored) ||
                 is_same_text(name[i].http, name[k].http) ||
                 is_same_text(name[i].v020, name[k].v020))) {
                fail_msg("%s: '%s' and '%s'", name[i].collection, name[i].stored, name[k].stored);
            }
        }
    }
}

TEST(the_rows_of_a_collection_stand_together)
{
    size_t count;
    const struct pk_name *name = pk_names(&count);
    for (size_t i = 1; i < count; i++) {
        bool is_new = strcmp(name[i].collection, name[i - 1].collection) != 0;
        for (size_t k = 0; is_new && k < i; k++) {
            assert_string_not_equal(name[i].collection, name[k].collection);
        }
    }
}

TEST(a_secret_has_no_name_over_http)
{
    size_t count;
    const struct pk_name *name = pk_names(&count);
    for (size_t i = 0; i < count; i++) {
        const struct pk_field *field = pk_schema_field(
            pk_inventory_find(pk_inventory_builtin(), name[i].collection)->schema, name[i].stored);
        assert_int_equal(name[i].http == NULL, (field->flags & PK_FIELD_SECRET) != 0);
    }
    assert_becomes(
        "actors", PK_SPELLING_STORED, PK_SPELLING_HTTP,
        "{\"_id\": \"a\", \"apiKeys\": [{\"keyId\": \"k\", \"keyHash\": \"h\", \"pepperId\": \"p\"}]}",
        "{\"actorId\": \"a\", \"apiKeys\": [{\"keyId\": \"k\"}]}");
}

/* ---- Documents ---- */

/* Secrets go on the way out and cannot come back. */
static bool has_secrets(const struct pk_collection *collection)
{
    return strcmp(collection->name, "actors") == 0;
}

static void assert_round_trip(const struct pk_collection *collection, const struct pk_generate *how)
{
    struct pk_error err;
    bson_t stored, http, back;
    pk_generate_bson(collection, how, &stored);
    assert_ok(pk_names_translate(collection->name, PK_SPELLING_STORED, PK_SPELLING_HTTP, &stored,
                                 &http, &err),
              &err);
    assert_ok(pk_names_translate(collection->name, PK_SPELLING_HTTP, PK_SPELLING_STORED, &http,
                                 &back, &err),
              &err);
    struct pk_doc *a = pk_doc_take(&stored);
    struct pk_doc *b = pk_doc_take(&back);
    if (!pk_doc_same(a, b)) {
        fail_msg("a document of '%s' comes back changed", collection->name);
    }
    assert_false(bson_has_field(&http, "userId"));
    pk_doc_unref(a);
    pk_doc_unref(b);
    bson_destroy(&http);
}

TEST(stored_to_http_and_back_is_the_same_document)
{
    const struct pk_inventory *inventory = pk_inventory_builtin();
    for (uint64_t seed = 0; seed < 20; seed++) {
        for (size_t i = 0; i < inventory->count; i++) {
            const struct pk_collection *collection = &inventory->collection[i];
            struct pk_generate how = { .seed = seed,
                                       .is_full = seed % 2 && !has_secrets(collection) };
            assert_round_trip(collection, &how);
        }
    }
}

TEST(a_mindscape_speaks_both_languages)
{
    assert_becomes(
        "mindscapes", PK_SPELLING_STORED, PK_SPELLING_HTTP,
        "{\"_id\": \"p\", \"version\": 3, \"lastUpdated\": 1, \"narrative\": {\"lastUpdated\": 2},"
        " \"traits\": [{\"id\": \"work.focus\", \"value\": {\"id\": 1}, \"sources\": []}]}",
        "{\"personId\": \"p\", \"version\": 3, \"updatedAt\": 1, \"narrative\": {\"lastUpdated\": "
        "2}, \"traitMatrix\": [{\"traitName\": \"work.focus\", \"value\": {\"id\": 1}, "
        "\"sources\": []}]}");
}

TEST(a_persona_moves_fields_to_another_depth_and_back)
{
    static const char stored[] =
        "{\"_id\": \"m:p:instant\", \"userId\": \"p\", \"mapperId\": \"m\", \"detailLevel\": "
        "\"instant\", \"generatedAt\": 1, \"generationMetadata\": {\"totalCost\": 0}, "
        "\"coreSnapshot\": {\"generatedAt\": 2}, \"overlaySlice\": {}}";
    static const char http[] =
        "{\"compositeKey\": \"m:p:instant\", \"personId\": \"p\", \"sourceMapperId\": \"m\", "
        "\"generationMetadata\": {\"detailLevel\": \"instant\", \"generatedAt\": 1, "
        "\"totalCost\": 0}, \"personaCore\": {\"generatedAt\": 2}, \"contextualOverlay\": {}}";
    assert_becomes("personas", PK_SPELLING_STORED, PK_SPELLING_HTTP, stored, http);
    assert_becomes("personas", PK_SPELLING_HTTP, PK_SPELLING_STORED, http, stored);
}

TEST(order_of_fields_does_not_matter_to_a_move)
{
    assert_becomes("personas", PK_SPELLING_STORED, PK_SPELLING_HTTP,
                   "{\"generationMetadata\": {\"totalCost\": 0}, \"generatedAt\": 1}",
                   "{\"generationMetadata\": {\"totalCost\": 0, \"generatedAt\": 1}}");
    assert_becomes("personas", PK_SPELLING_STORED, PK_SPELLING_HTTP,
                   "{\"generationMetadata\": {}, \"generatedAt\": 1}",
                   "{\"generationMetadata\": {\"generatedAt\": 1}}");
}

TEST(rows_of_version_0_2_0_become_documents)
{
    assert_becomes("feedback", PK_SPELLING_V020, PK_SPELLING_STORED,
                   "{\"id\": \"f\", \"persona_id\": \"i\", \"rating\": 4, \"rule_id\": \"r\", "
                   "\"helpful\": true, \"created_at\": 1}",
                   "{\"_id\": \"f\", \"personaInstanceId\": \"i\", \"ratings\": {\"overall\": 4}, "
                   "\"ruleId\": \"r\", \"helpful\": true, \"submittedAt\": 1}");
    assert_becomes("observations", PK_SPELLING_V020, PK_SPELLING_STORED,
                   "{\"id\": \"o\", \"person_id\": \"p\", \"observation_type\": \"user_input\", "
                   "\"content\": {\"id\": 7}, \"metadata\": {\"source\": \"x\"}}",
                   "{\"_id\": \"o\", \"userId\": \"p\", \"sourceType\": \"user_input\", "
                   "\"content\": {\"id\": 7}, \"sourceMetadata\": {\"source\": \"x\"}}");
    assert_becomes("personas", PK_SPELLING_V020, PK_SPELLING_HTTP,
                   "{\"person_id\": \"p\", \"core\": {\"a\": 1}, \"created_at\": 5}",
                   "{\"personId\": \"p\", \"personaCore\": {\"a\": 1}, "
                   "\"generationMetadata\": {\"generatedAt\": 5}}");
}

TEST(two_fields_with_one_meaning_are_refused)
{
    assert_refused("personas", PK_SPELLING_STORED, PK_SPELLING_HTTP,
                   "{\"generationMetadata\": {\"generatedAt\": 1}, \"generatedAt\": 2}",
                   "two fields both mean 'generationMetadata.generatedAt'");
    assert_refused("observations", PK_SPELLING_HTTP, PK_SPELLING_STORED,
                   "{\"personId\": \"a\", \"personId\": \"b\"}", "two fields both mean 'userId'");
    assert_refused("mindscapes", PK_SPELLING_HTTP, PK_SPELLING_STORED,
                   "{\"traitMatrix\": [], \"traitMatrix\": []}", "two fields both mean 'traits'");
}

TEST(a_stored_name_that_is_spelt_differently_outside_is_refused)
{
    assert_refused("observations", PK_SPELLING_HTTP, PK_SPELLING_STORED, "{\"userId\": \"b\"}",
                   "unknown field 'userId'; it is called 'personId'");
    assert_refused("mindscapes", PK_SPELLING_HTTP, PK_SPELLING_STORED,
                   "{\"traitMatrix\": [{\"id\": \"b\"}]}",
                   "unknown field 'traitMatrix[].id'; it is called 'traitMatrix[].traitName'");
    assert_refused("narratives", PK_SPELLING_V020, PK_SPELLING_STORED, "{\"rawText\": \"b\"}",
                   "it is called 'raw_text'");
}

TEST(what_is_never_shown_cannot_be_given)
{
    assert_refused("actors", PK_SPELLING_HTTP, PK_SPELLING_STORED,
                   "{\"apiKeys\": [{\"keyId\": \"k\", \"keyHash\": \"h\"}]}",
                   "'apiKeys[].keyHash' cannot be given");
}

TEST(more_fields_than_any_schema_has_are_refused_and_a_free_form_value_may_have_them)
{
    PK_CLEANUP(pk_buf_done) struct pk_buf wide = { 0 };
    PK_CLEANUP(pk_buf_done) struct pk_buf inside = { 0 };
    for (int i = 0; i < 129; i++) {
        pk_buf_printf(&wide, "%s\"f%d\": 1", i ? ", " : "{", i);
    }
    pk_buf_add_text(&wide, "}");
    pk_buf_printf(&inside, "{\"content\": %s}", pk_buf_text(&wide));
    assert_refused("observations", PK_SPELLING_HTTP, PK_SPELLING_STORED, pk_buf_text(&wide),
                   "more than 128 fields in one object");
    assert_becomes("observations", PK_SPELLING_HTTP, PK_SPELLING_STORED, pk_buf_text(&inside),
                   pk_buf_text(&inside));
    /* The tree of traits that v0.2.0 has is one value, however wide. */
    PK_CLEANUP(pk_buf_done) struct pk_buf tree = { 0 };
    pk_buf_printf(&tree, "{\"traits\": %s}", pk_buf_text(&wide));
    assert_becomes("mindscapes", PK_SPELLING_V020, PK_SPELLING_STORED, pk_buf_text(&tree),
                   pk_buf_text(&tree));
}

TEST(odd_shapes_are_carried_as_they_are)
{
    /* Not what the schema says; refusing it is the schema's work, not ours. */
    assert_becomes("mindscapes", PK_SPELLING_HTTP, PK_SPELLING_STORED,
                   "{\"traitMatrix\": {\"a\": 1}, \"x\": [[{\"traitName\": 1}]]}",
                   "{\"traits\": {\"a\": 1}, \"x\": [[{\"traitName\": 1}]]}");
    assert_becomes("mindscapes", PK_SPELLING_HTTP, PK_SPELLING_STORED,
                   "{\"traitMatrix\": [1, null, {\"traitName\": \"a\"}, []]}",
                   "{\"traits\": [1, null, {\"id\": \"a\"}, []]}");
    assert_becomes("personas", PK_SPELLING_HTTP, PK_SPELLING_STORED, "{\"generationMetadata\": 5}",
                   "{\"generationMetadata\": 5}");
    assert_becomes("mindscapes", PK_SPELLING_HTTP, PK_SPELLING_STORED,
                   "{\"traitMatrix[]\": {\"traitName\": 1}, \"\": {\"\": 2}}",
                   "{\"traits[]\": {\"id\": 1}, \"\": {\"\": 2}}");
    assert_becomes("unheard_of", PK_SPELLING_HTTP, PK_SPELLING_STORED, "{\"personId\": 1}",
                   "{\"personId\": 1}");
}
