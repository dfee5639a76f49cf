/* test_examples.c - The documents that the specification prints fit the tables.
 *
 * Each file of tests/data/examples/ has one of them as it is printed (ids in
 * place of the dots, columns of the table around it where only a part is
 * shown), and the same as it is stored. Of the printed one nothing may be
 * refused but what is listed under 'changed' (its value changes on import);
 * all else that is wrong with it is what the server adds. What is stored must
 * have all that was printed, and fit. */
/* SPDX-License-Identifier: MIT */
#include "test.h"

#include "base/alloc.h"
#include "base/buf.h"
#include "base/error.h"
#include "base/file.h"
#include "doc/doc.h"
#include "doc/inventory.h"
#include "doc/json.h"
#include "doc/names.h"
#include "doc/path.h"

#include <string.h>

static const char *const example_file[] = {
    "000_mindscape.json",   "000_persona.json", "002_mapper.json", "002_mindscape.json",
    "002_observation.json", "003_persona.json", "004_model.json",
};

/* One file, read. */
struct example {
    const char *file;
    bson_t doc;
    struct pk_doc *copy; /* Its texts live here. */
    const struct pk_collection *collection;
    enum pk_spelling spelling;
};

static enum pk_spelling spelling_of(const char *word)
{
    static const char *const name[] = {
        [PK_SPELLING_STORED] = "stored",
        [PK_SPELLING_HTTP] = "http",
        [PK_SPELLING_V020] = "v0.2.0",
    };
    for (size_t i = 0; i < PK_COUNT(name); i++) {
        if (strcmp(name[i], word) == 0) {
            return (enum pk_spelling)i;
        }
    }
    fail_msg("no spelling '%s'", word);
    return PK_SPELLING_STORED;
}

static void open_example(struct example *example, const char *file)
{
    struct pk_error err;
    PK_CLEANUP(pk_buf_done) struct pk_buf text = { 0 };
    PK_CLEANUP(pk_freep) char *path = pk_strdupf(PK_SOURCE_DIR "/tests/data/examples/%s", file);
    assert_ok(pk_file_read(&text, path, 1 << 20, &err), &err);
    assert_ok(pk_json_read(&example->doc, text.data, text.size, NULL, &err), &err);
    example->file = file;
    example->copy = pk_doc_new(&example->doc);
    example->collection =
        pk_inventory_find(pk_inventory_builtin(), pk_doc_text(example->copy, "collection"));
    assert_non_null(example->collection);
    example->spelling = spelling_of(pk_doc_text(example->copy, "spelling"));
}

static void close_example(struct example *example)
{
    pk_doc_unref(example->copy);
    bson_destroy(&example->doc);
}

/* A part of the file, in the stored spelling; the caller ends it. */
static void take_part(const struct example *example, const char *name, enum pk_spelling spelling,
                      bson_t *out)
{
    struct pk_error err;
    bson_iter_t iter;
    bson_t part;
    const uint8_t *data;
    uint32_t size;
    assert_true(pk_path_find(&example->doc, name, &iter) && BSON_ITER_HOLDS_DOCUMENT(&iter));
    bson_iter_document(&iter, &size, &data);
    assert_true(bson_init_static(&part, data, size));
    assert_ok(pk_names_translate(example->collection->name, spelling, PK_SPELLING_STORED, &part,
                                 out, &err),
              &err);
}

/* True when 'path' is one of 'changed', or lies below one. */
static bool is_changed(const struct example *example, const char *path)
{
    bson_iter_t iter, element;
    assert_true(pk_path_find(&example->doc, "changed", &iter) &&
                bson_iter_recurse(&iter, &element));
    while (bson_iter_next(&element)) {
        const char *changed = bson_iter_utf8(&element, NULL);
        size_t length = strlen(changed);
        if (strncmp(path, changed, length) == 0 && strchr(".[", path[length])) {
            return true; /* strchr finds the NUL, too: the very path. */
        }
    }
    return false;
}

static bool is_same_value(const bson_iter_t *a, const bson_iter_t *b)
{
    size_t size = a->next_off - a->d1; /* A value lies from d1 to next_off. */
    return size == b->next_off - b->d1 && memcmp(a->raw + a->d1, b->raw + b->d1, size) == 0;
}

/* All that 'printed' has is in 'stored', but for what changed. */
static void assert_within(const struct example *example, bson_iter_t *printed, bson_iter_t stored,
                          const char *path, bool is_list)
{
    while (bson_iter_next(printed)) {
        const char *key = bson_iter_key(printed);
        PK_CLEANUP(pk_freep)
        char *at = is_list ? pk_strdupf("%s[%s]", path, key)
                           : pk_strdupf("%s%s%s", path, *path ? "." : "", key);
        bson_iter_t other = stored;
        bson_iter_t inside, other_inside;
        if (is_changed(example, at)) {
            continue;
        }
        if (!bson_iter_find(&other, key) || bson_iter_type(&other) != bson_iter_type(printed)) {
            fail_msg("%s: '%s' is not stored", example->file, at);
        }
        if (bson_iter_recurse(printed, &inside) && bson_iter_recurse(&other, &other_inside)) {
            assert_within(example, &inside, other_inside, at, BSON_ITER_HOLDS_ARRAY(printed));
        } else if (!is_same_value(printed, &other)) {
            fail_msg("%s: '%s' is stored with another value", example->file, at);
        }
    }
}

TEST(nothing_that_the_specification_prints_is_refused)
{
    for (size_t i = 0; i < PK_COUNT(example_file); i++) {
        struct example example;
        struct pk_faults faults = { 0 };
        bson_t printed, out;
        open_example(&example, example_file[i]);
        take_part(&example, "printed", example.spelling, &printed);
        if (pk_schema_accept(example.collection->schema, &printed, &out, &faults)) {
            bson_destroy(&out);
        }
        for (size_t k = 0; k < faults.count; k++) {
            const struct pk_fault *fault = &faults.fault[k];
            if (strcmp(fault->got, "nothing") != 0 && !is_changed(&example, fault->path)) {
                fail_msg("%s: %s: expected %s, got %s", example.file, fault->path, fault->expected,
                         fault->got);
            }
        }
        pk_faults_done(&faults);
        bson_destroy(&printed);
        close_example(&example);
    }
}

/* The stored form of the file's 'stored'; NULL, having failed the case, when it does not fit. */
static struct pk_doc *store(const struct example *example)
{
    struct pk_faults faults = { 0 };
    bson_t stored, out;
    take_part(example, "stored", PK_SPELLING_STORED, &stored);
    if (!pk_schema_accept(example->collection->schema, &stored, &out, &faults) ||
        !pk_schema_check(example->collection->schema, &out, &faults)) {
        PK_CLEANUP(pk_buf_done) struct pk_buf text = { 0 };
        pk_faults_print(&faults, &text);
        fail_msg("%s: %s", example->file, pk_buf_text(&text));
        return NULL;
    }
    bson_destroy(&stored);
    return pk_doc_take(&out);
}

TEST(what_the_specification_prints_is_stored_whole)
{
    for (size_t i = 0; i < PK_COUNT(example_file); i++) {
        struct example example;
        bson_t printed, stored;
        bson_iter_t inside, other;
        open_example(&example, example_file[i]);
        take_part(&example, "printed", example.spelling, &printed);
        take_part(&example, "stored", PK_SPELLING_STORED, &stored);
        assert_true(bson_iter_init(&inside, &printed));
        assert_true(bson_iter_init(&other, &stored));
        assert_within(&example, &inside, other, "", false);
        pk_doc_unref(store(&example));
        bson_destroy(&printed);
        bson_destroy(&stored);
        close_example(&example);
    }
}

TEST(option_a_is_stored_in_our_spelling)
{
    struct example mindscape, persona;
    open_example(&mindscape, "000_mindscape.json");
    open_example(&persona, "000_persona.json");
    struct pk_doc *doc = store(&mindscape);
    assert_string_equal(pk_doc_text(doc, "traits.0.id"), "comm_style.assertive");
    pk_doc_unref(doc);
    doc = store(&persona);
    assert_string_equal(pk_doc_text(doc, "detailLevel"), "instant");
    pk_doc_unref(doc);
    close_example(&mindscape);
    close_example(&persona);
}

TEST(content_without_raw_is_kept_as_structured_and_its_canonical_json)
{
    struct example example;
    struct pk_error err;
    bson_iter_t printed, structured;
    bson_t content;
    const uint8_t *data;
    uint32_t size;
    PK_CLEANUP(pk_buf_done) struct pk_buf raw = { 0 };
    open_example(&example, "002_observation.json");
    struct pk_doc *doc = store(&example);
    bson_t view;
    pk_doc_view(doc, &view);
    assert_true(pk_path_find(&example.doc, "printed.content", &printed));
    assert_true(pk_path_find(&view, "content.structured", &structured));
    assert_true(is_same_value(&printed, &structured));
    bson_iter_document(&structured, &size, &data);
    assert_true(bson_init_static(&content, data, size));
    assert_ok(pk_json_write(&raw, &content, PK_JSON_CANONICAL, &err), &err);
    assert_string_equal(pk_doc_text(doc, "content.raw"), pk_buf_text(&raw));
    pk_doc_unref(doc);
    close_example(&example);
}
