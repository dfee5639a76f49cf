/* test_peek.c - What is absent or of another type is nothing. */
/* SPDX-License-Identifier: MIT */
#include "test.h"

#include "doc/peek.h"

#include <string.h>

/* { text: "word", number: 7, object: { in: "side" }, list: ["one"] } */
static bson_t *sample(void)
{
    return BCON_NEW("text", "word", "number", BCON_INT32(7), "object", "{", "in", "side", "}",
                    "list", "[", "one", "]");
}

TEST(a_text_is_found_by_its_name_and_nothing_else_is_one)
{
    bson_t *doc = sample();
    assert_string_equal(pk_peek_text(doc, "text", NULL), "word");
    assert_null(pk_peek_text(doc, "number", NULL));
    assert_null(pk_peek_text(doc, "object", NULL));
    assert_null(pk_peek_text(doc, "object.in", NULL));
    assert_null(pk_peek_text(doc, "absent", NULL));
    assert_string_equal(pk_peek_text(doc, "absent", "-"), "-");
    assert_string_equal(pk_peek_text(doc, "number", "-"), "-");
    bson_destroy(doc);
}

TEST(objects_are_seen_and_lists_only_by_who_wants_them)
{
    static const struct {
        const char *name;
        bool is_object, is_seen;
        const char *key, *holds; /* What the view shows. */
    } row[] = {
        { "object", true, true, "in", "side" },
        { "list", false, true, "0", "one" },
        { "text", false, false, NULL, NULL },
        { "number", false, false, NULL, NULL },
    };
    bson_t *doc = sample();
    for (size_t i = 0; i < sizeof(row) / sizeof(row[0]); i++) {
        bson_iter_t at;
        bson_t view;
        assert_true(bson_iter_init_find(&at, doc, row[i].name));
        assert_int_equal(pk_peek_object(&at, &view), row[i].is_object);
        if (row[i].is_object) {
            assert_string_equal(pk_peek_text(&view, row[i].key, NULL), row[i].holds);
        }
        assert_int_equal(pk_peek_view(&at, &view), row[i].is_seen);
        if (row[i].is_seen) {
            assert_string_equal(pk_peek_text(&view, row[i].key, NULL), row[i].holds);
        }
    }
    bson_destroy(doc);
}

TEST(an_element_of_an_array_has_its_number_as_key)
{
    static const struct {
        size_t at;
        const char *key;
    } row[] = {
        { 0, "0" }, { 9, "9" }, { 999, "999" }, { 1000, "1000" }, { 4294967295, "4294967295" }
    };
    char room[PK_ARRAY_KEY];
    for (size_t i = 0; i < sizeof(row) / sizeof(row[0]); i++) {
        assert_string_equal(pk_array_key(row[i].at, room), row[i].key);
    }
}
