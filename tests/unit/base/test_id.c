/* test_id.c - Each grammar from both sides. */
/* SPDX-License-Identifier: MIT */
#include "test.h"

#include "base/alloc.h"
#include "base/id.h"

#include <string.h>

#define D14 "20261121073200"
#define X32 "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
#define X64 X32 X32

struct row {
    const char *text;
    bool is_valid;
};

static void check_rows(bool (*is_valid)(const char *, size_t), const struct row *row, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        /* An exact copy without a NUL: a read past the end is seen by ASan. */
        size_t size = strlen(row[i].text);
        char *copy = pk_alloc(size);
        memcpy(copy, row[i].text, size);
        if (is_valid(copy, size) != row[i].is_valid) {
            fail_msg("'%s' should be %s", row[i].text, row[i].is_valid ? "valid" : "refused");
        }
        pk_free(copy);
    }
}

TEST(a_new_uuid_is_v4_lower_case_and_new)
{
    char a[PK_UUID_TEXT];
    char b[PK_UUID_TEXT];
    for (int i = 0; i < 200; i++) {
        pk_uuid_new(a);
        pk_uuid_new(b);
        assert_int_equal(strlen(a), 36);
        assert_true(pk_uuid_is_v4(a, 36));
        assert_true(pk_script_id_is_valid(a, 36));
        assert_string_not_equal(a, b);
    }
}

TEST(ordered_uuids_keep_the_order_in_which_they_were_drawn)
{
    char before[PK_UUID_TEXT], next[PK_UUID_TEXT];
    pk_uuid_ordered(1000, before);
    for (int i = 0; i < 10000; i++) { /* More than fit into a millisecond. */
        pk_uuid_ordered(1000 + i / 9000, next);
        assert_true(pk_uuid_is_v4(next, 36));
        assert_true(strcmp(before, next) < 0);
        memcpy(before, next, sizeof(before));
    }
    pk_uuid_ordered(900, next); /* A lag. */
    assert_true(strcmp(before, next) < 0);
    pk_uuid_ordered(90000, before);
    assert_true(strcmp(next, before) < 0);
    pk_uuid_ordered(2000, next); /* Set back. */
    assert_true(strcmp(next, before) < 0);
}

TEST(uuids_of_version_4_are_taken)
{
    static const struct row row[] = {
        { "9f8c2a51-3f0e-4b6a-8d53-0a1b2c3d4e5f", true },
        { "9F8C2A51-3F0E-4B6A-BD53-0A1B2C3D4E5F", true },
        { "9f8c2a51-3f0e-1b6a-8d53-0a1b2c3d4e5f", false },
        { "9f8c2a51-3f0e-4b6a-7d53-0a1b2c3d4e5f", false },
        { "9f8c2a51-3f0e-4b6a-cd53-0a1b2c3d4e5f", false },
        { "9f8c2a51-3f0e-4b6a-8d53-0a1b2c3d4e5", false },
        { "9f8c2a51-3f0e-4b6a-8d53-0a1b2c3d4e5ff", false },
        { "9f8c2a5133f0e-4b6a-8d53-0a1b2c3d4e5f", false },
        { "9f8c2a51-3f0e-4b6a-8d53-0a1b2c3d4e5g", false },
        { "{9f8c2a51-3f0e-4b6a-8d53-0a1b2c3d4e5}", false },
        { "", false },
    };
    check_rows(pk_uuid_is_v4, row, PK_COUNT(row));
    assert_false(pk_uuid_is_v4("9f8c2a51-3f0e-4b6a-8d53-0a1b2c3d4e5\0", 36));
}

TEST(script_ids_are_lower_case_words)
{
    static const struct row row[] = {
        { "a", true },         { "0", true },    { "daily-work_2", true }, { X64, true },
        { X64 "x", false },    { "", false },    { "-a", false },          { "_a", false },
        { "A", false },        { "a:b", false }, { "a.b", false },         { "a b", false },
        { "\xc3\xa4", false }, { "a-", true },
    };
    check_rows(pk_script_id_is_valid, row, PK_COUNT(row));
    assert_false(pk_script_id_is_valid("a\0b", 3));
}

TEST(trait_paths_have_no_empty_segment)
{
    static const struct row row[] = {
        { "work", true },
        { "work.focus_patterns.peak-hours", true },
        { "A.9", true },
        { "", false },
        { ".", false },
        { ".a", false },
        { "a.", false },
        { "a..b", false },
        { "a/b", false },
        { "a b", false },
        { "a.\xff", false },
        { X64 X64 X64 "12345678", true },
        { X64 X64 X64 "123456789", false },
    };
    check_rows(pk_trait_path_is_valid, row, PK_COUNT(row));
}

TEST(model_versions_are_uuids_or_dated)
{
    static const struct row row[] = {
        { "9f8c2a51-3f0e-4b6a-8d53-0a1b2c3d4e5f", true },
        { "v_" D14 "_a1b2c3d4", true },
        { "v_" D14 "_" X32, true },
        { "v_" D14 "_" X32 "x", false },
        { "v_" D14 "_", false },
        { "v_" D14, false },
        { "v_" D14 "0_a", false },
        { "v_2026112107320x_a", false },
        { "v_" D14 "_a_b", false },
        { "V_" D14 "_a", false },
        { "", false },
    };
    check_rows(pk_model_version_is_valid, row, PK_COUNT(row));
}

static bool is_semver(const char *text, size_t size)
{
    struct pk_semver version;
    return pk_semver_parse(text, size, &version);
}

TEST(semantic_versions_are_read_as_the_standard_says)
{
    static const struct row row[] = {
        { "0.0.0", true },
        { "1.2.3", true },
        { "1.2.3-alpha.1+build.01", true },
        { "1.2.3-0", true },
        { "1.2.3--", true },
        { "1.2.3-0a", true },
        { "1.2.3+001", true },
        { "1.2.0+0a1b2c3d", true },
        { "9007199254740991.0.0", true },
        { "9007199254740992.0.0", false },
        { "99999999999999999999999.0.0", false },
        { "18446744073709551617.0.0", false },
        { "01.2.3", false },
        { "1.02.3", false },
        { "1.2.03", false },
        { "1.2", false },
        { "1.2.3.4", false },
        { "1.2.3-", false },
        { "1.2.3+", false },
        { "1.2.3-a..b", false },
        { "1.2.3-a.", false },
        { "1.2.3-01", false },
        { "1.2.3-a+b+c", false },
        { "1.2.3 ", false },
        { " 1.2.3", false },
        { "v1.2.3", false },
        { "-1.2.3", false },
        { "1.2.3-\xc3\xa4", false },
        { "", false },
        { "1.2.3-" X64, true },
        { "1.2.3-" X64 "x", false },
        { "1.2.3+" X64, true },
        { "1.2.3+" X64 "x", false },
    };
    check_rows(is_semver, row, PK_COUNT(row));
}

TEST(a_refused_version_leaves_the_result_alone)
{
    struct pk_semver version = { .major = 7 };
    assert_false(pk_semver_parse("1.2.3-", 6, &version));
    assert_int_equal(version.major, 7);
}

TEST(versions_are_ordered_by_precedence)
{
    static const char *const rising[] = {
        "0.0.1",         "0.1.0",         "1.0.0-0",
        "1.0.0-2",       "1.0.0-11",      "1.0.0--",
        "1.0.0-alpha",   "1.0.0-alpha.1", "1.0.0-alpha.beta",
        "1.0.0-alpha-x", "1.0.0-beta",    "1.0.0-beta.2",
        "1.0.0-beta.11", "1.0.0-rc.1",    "1.0.0",
        "1.0.1",         "1.2.0",         "1.10.0",
        "2.0.0",         "10.0.0",
    };
    for (size_t i = 0; i < PK_COUNT(rising); i++) {
        for (size_t j = 0; j < PK_COUNT(rising); j++) {
            struct pk_semver a;
            struct pk_semver b;
            assert_true(pk_semver_parse(rising[i], strlen(rising[i]), &a));
            assert_true(pk_semver_parse(rising[j], strlen(rising[j]), &b));
            int order = pk_semver_compare(&a, &b);
            if (i < j ? order >= 0 : i > j ? order <= 0 : order != 0) {
                fail_msg("'%s' against '%s' gives %d", rising[i], rising[j], order);
            }
        }
    }
}

TEST(build_does_not_count_in_comparisons)
{
    struct pk_semver a;
    struct pk_semver b;
    assert_true(pk_semver_parse("1.0.0+a", 7, &a));
    assert_true(pk_semver_parse("1.0.0+b", 7, &b));
    assert_int_equal(pk_semver_compare(&a, &b), 0);
}
