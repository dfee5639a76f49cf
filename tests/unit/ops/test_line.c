/* test_line.c - Whatever a value holds, the line is one JSON object on one line. */
/* SPDX-License-Identifier: MIT */
#include "test.h"

#include "base/alloc.h"
#include "base/error.h"
#include "doc/doc.h"
#include "doc/json.h"
#include "ops/line.h"

#include <stdio.h>
#include <string.h>

/* The ended line, read back. */
static struct pk_doc *read_back(const struct pk_line *line)
{
    struct pk_error err = { 0 };
    bson_t bson;
    assert_int_equal(line->text[line->size - 1], '\n');
    assert_null(memchr(line->text, '\n', line->size - 1));
    assert_ok(pk_json_read(&bson, line->text, line->size - 1, NULL, &err), &err);
    struct pk_doc *doc = pk_doc_new(&bson);
    bson_destroy(&bson);
    return doc;
}

TEST(line_has_time_level_event_and_typed_fields)
{
    struct pk_line line;
    pk_line_begin(&line, 1795246320123, "info", "request");
    pk_line_text(&line, "path", "/v1/\"x\"\\", 100);
    pk_line_text(&line, "none", NULL, 100);
    pk_line_int(&line, "a", 0);
    pk_line_int(&line, "b", INT64_MIN);
    pk_line_int(&line, "c", INT64_MAX);
    pk_line_bool(&line, "yes", true);
    pk_line_bool(&line, "no", false);
    pk_line_end(&line);
    const char expected[] =
        "{\"time\":\"2026-11-21T07:32:00.123Z\",\"level\":\"info\",\"msg\":\"request\","
        "\"path\":\"/v1/\\\"x\\\"\\\\\",\"a\":0,\"b\":-9223372036854775808,"
        "\"c\":9223372036854775807,\"yes\":true,\"no\":false}\n";
    assert_int_equal(line.size, sizeof(expected) - 1);
    assert_memory_equal(line.text, expected, line.size);
}

TEST(value_of_any_bytes_is_data)
{
    static const struct {
        const char *value, *shown;
    } row[] = {
        { "a\nb\rc\td", "a\nb\rc\td" },
        { "\x01\x1f\x7f", "\x01\x1f\x7f" },
        { "\xff\xc3(\xed\xa0\x80",
          "\xef\xbf\xbd\xef\xbf\xbd(\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd" },
        { "g\xc3\xbcn \xf0\x9f\x8c\xb1", "g\xc3\xbcn \xf0\x9f\x8c\xb1" },
        { "\"},{\"level\":\"error", "\"},{\"level\":\"error" },
        { "", "" },
    };
    for (size_t i = 0; i < PK_COUNT(row); i++) {
        struct pk_line line;
        pk_line_begin(&line, 0, "info", "x");
        pk_line_text(&line, "v", row[i].value, 200);
        pk_line_end(&line);
        struct pk_doc *doc = read_back(&line);
        assert_string_equal(pk_doc_text(doc, "v"), row[i].shown);
        pk_doc_unref(doc);
    }
}

TEST(secrets_are_masked_in_lines)
{
    struct pk_line line;
    pk_line_begin(&line, 0, "info", "x");
    pk_line_text(&line, "path",
                 "/v1/pk_aaaaaaaaaaaaaaaa_"
                 "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb/x",
                 200);
    pk_line_text(&line, "agent", "mongodb://me:hunter2@host/", 200);
    pk_line_end(&line);
    assert_null(memmem(line.text, line.size, "bbbbbbbb", 8));
    assert_null(memmem(line.text, line.size, "hunter2", 7));
    pk_doc_unref(read_back(&line));
}

TEST(value_that_just_fits_is_not_cut)
{
    struct pk_line line;
    pk_line_begin(&line, 0, "info", "x");
    pk_line_text(&line, "a", "12345", 5);
    pk_line_text(&line, "b", "123456", 5);
    pk_line_text(&line, "c", "1\n\n\n", 7);
    pk_line_text(&line, "d", "1\n\n\n\n", 7);
    pk_line_end(&line);
    struct pk_doc *doc = read_back(&line);
    assert_string_equal(pk_doc_text(doc, "a"), "12345");
    assert_string_equal(pk_doc_text(doc, "b"), "12...");
    assert_string_equal(pk_doc_text(doc, "c"), "1\n\n\n");
    assert_string_equal(pk_doc_text(doc, "d"), "1\n...");
    pk_doc_unref(doc);
}

/* Wherever the cut falls, what is left is the value's beginning, and as long as it may be. */
TEST(value_is_cut_between_characters_at_every_length)
{
    static const char value[] = "ab\"cd\\\\e\x01"
                                "f\xc3\xbcgh\xf0\x9f\x8c\xb1\n\nijklmnopq\"rst\tuvw";
    enum { LONGEST_PIECE = 6 };
    for (size_t max = LONGEST_PIECE; max < 80; max++) {
        struct pk_line line;
        pk_line_begin(&line, 0, "info", "x");
        const size_t before = line.size;
        pk_line_text(&line, "v", value, max);
        const size_t written = line.size - before - strlen(",\"v\":\"\"");
        pk_line_end(&line);
        struct pk_doc *doc = read_back(&line);
        const char *shown = pk_doc_text(doc, "v");
        const size_t size = strlen(shown);
        if (strcmp(shown, value) != 0) {
            assert_in_range(written, max - (LONGEST_PIECE - 1), max);
            assert_string_equal(shown + size - 3, "...");
            assert_memory_equal(shown, value, size - 3);
        } else {
            assert_in_range(written, sizeof(value) - 1, max);
        }
        pk_doc_unref(doc);
    }
}

TEST(long_values_are_cut_and_a_full_line_still_ends)
{
    char value[5000];
    struct pk_line line;
    memset(value, 'x', sizeof(value) - 1);
    value[sizeof(value) - 1] = '\0';
    pk_line_begin(&line, 0, "info", "x");
    pk_line_text(&line, "v", value, 100);
    for (size_t i = 0; i < 100; i++) {
        value[7] = i % 2 ? '\x01' : '"';
        pk_line_text(&line, "w", value, 99);
        pk_line_int(&line, "n", 1234567);
        pk_line_bool(&line, "b", true);
    }
    pk_line_end(&line);
    assert_in_range(line.size, sizeof(line.text) - 200, sizeof(line.text));
    assert_int_equal(line.text[line.size - 2], '}');
    const char *end = memmem(line.text, line.size, "...\"", 4); /* It is no string. */
    assert_non_null(end);
    assert_ptr_equal(end, (const char *)memmem(line.text, line.size, "xxx", 3) + 97);
}
