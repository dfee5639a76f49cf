/* test_text.c - Distances; escapes and masks are tested where they are used (test_log.c). */
/* SPDX-License-Identifier: MIT */
#include "test.h"

#include "base/alloc.h"
#include "base/buf.h"
#include "base/text.h"

#include <string.h>

TEST(distances_count_added_dropped_changed_and_swapped_letters)
{
    static const struct {
        const char *a, *b;
        size_t distance;
    } row[] = {
        { "", "", 0 },
        { "a", "", 1 },
        { "", "abc", 3 },
        { "listen", "lisetn", 1 },
        { "abc", "abd", 1 },
        { "abc", "ac", 1 },
        { "kitten", "sitting", 3 },
        { "ab", "ba", 1 },
        { "abcd", "xyzw", 4 },
        { "abcdefgh", "ijklmnop", 5 },
    };
    for (size_t i = 0; i < PK_COUNT(row); i++) {
        assert_int_equal(pk_text_distance(row[i].a, row[i].b, 5), row[i].distance);
        assert_int_equal(pk_text_distance(row[i].b, row[i].a, 5), row[i].distance);
    }
}

TEST(texts_too_long_to_compare_are_far_apart)
{
    char a[66];
    memset(a, 'a', 65);
    a[65] = '\0';
    assert_int_equal(pk_text_distance(a, a, 9), 9);
    assert_int_equal(pk_text_distance(a + 1, a + 1, 9), 0);
}

TEST(clean_text_keeps_words_and_newlines_only)
{
    PK_CLEANUP(pk_buf_done) struct pk_buf buf = { 0 };
    pk_text_clean(&buf, "a\nb\x01\xf5\xc3\xa4", 7);
    assert_string_equal(pk_buf_text(&buf), "a\nb\xef\xbf\xbd\xef\xbf\xbd\xc3\xa4");
}

TEST(overlong_forms_and_surrogates_are_not_utf8)
{
    static const char *const bad[] = { "\xc0\xaf",         "\xe0\x80\xaf",         "\xed\xa0\x80",
                                       "\xf4\x90\x80\x80", "\xf8\x88\x80\x80\x80", "\xe2\x82" };
    for (size_t i = 0; i < PK_COUNT(bad); i++) {
        PK_CLEANUP(pk_buf_done) struct pk_buf buf = { 0 };
        pk_text_escape(&buf, bad[i], strlen(bad[i]), false);
        assert_int_equal(buf.size, strlen(bad[i]) * 4); /* Each byte as \xNN. */
    }
}
