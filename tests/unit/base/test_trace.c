/* test_trace.c - What is a traceparent, and what is not. */
/* SPDX-License-Identifier: MIT */
#include "test.h"

#include "base/alloc.h"
#include "base/trace.h"

#include <stdlib.h>
#include <string.h>

#define TRACE  "4bf92f3577b34da6a3ce929d0e0e4736"
#define PARENT "00f067aa0ba902b7"

static bool parse(struct pk_trace *out, const char *text)
{
    return pk_trace_parse(out, text, strlen(text));
}

TEST(traceparent_of_version_00_is_read)
{
    struct pk_trace trace = { 0 };
    assert_true(parse(&trace, "00-" TRACE "-" PARENT "-01"));
    assert_string_equal(trace.trace_id, TRACE);
    assert_string_equal(trace.parent_id, PARENT);
    assert_true(trace.is_sampled);
    assert_true(parse(&trace, "00-" TRACE "-" PARENT "-fe"));
    assert_false(trace.is_sampled);
    assert_true(parse(&trace, "00-" TRACE "-" PARENT "-0b"));
    assert_true(trace.is_sampled);
}

TEST(later_versions_of_traceparent_are_read_as_far_as_they_agree)
{
    static const char *const good[] = {
        "01-" TRACE "-" PARENT "-01",
        "cc-" TRACE "-" PARENT "-01-what-comes-later",
        "fe-" TRACE "-" PARENT "-01-",
    };
    for (size_t i = 0; i < PK_COUNT(good); i++) {
        struct pk_trace trace = { 0 };
        assert_true(parse(&trace, good[i]));
        assert_string_equal(trace.trace_id, TRACE);
    }
}

TEST(what_is_no_traceparent_is_refused_and_leaves_nothing)
{
    static const char *const bad[] = {
        "",
        "00",
        "00-" TRACE "-" PARENT "-0",
        "00-" TRACE "-" PARENT "-01-",     /* 00 ends behind the flags. */
        "00-" TRACE "-" PARENT "-01 ",     /* No white space. */
        "00-" TRACE "-" PARENT "-011",     /* Too long. */
        "01-" TRACE "-" PARENT "-01.more", /* What follows must begin with '-'. */
        "ff-" TRACE "-" PARENT "-01",      /* This version is invalid for ever. */
        "FE-" TRACE "-" PARENT "-01",
        "00-4BF92F3577B34DA6A3CE929D0E0E4736-" PARENT "-01", /* Upper case. */
        "00-00000000000000000000000000000000-" PARENT "-01",
        "00-" TRACE "-0000000000000000-01",
        "00_" TRACE "-" PARENT "-01",
        "00-" TRACE "_" PARENT "-01",
        "00-" TRACE "-" PARENT "_01",
        "00-4bf92f3577b34da6a3ce929d0e0e473g-" PARENT "-01",
        "00-" TRACE "-00f067aa0ba902b-001",
        "0g-" TRACE "-" PARENT "-01",
        "00-" TRACE "-" PARENT "-0g",
    };
    static const struct pk_trace none = { 0 };
    for (size_t i = 0; i < PK_COUNT(bad); i++) {
        struct pk_trace trace = { 0 };
        if (parse(&trace, bad[i])) {
            fail_msg("'%s' was taken", bad[i]);
        }
        assert_memory_equal(&trace, &none, sizeof(none));
    }
}

/* The parser is given the size, and never looks behind it. */
TEST(every_prefix_of_a_traceparent_is_refused)
{
    static const char whole[] = "00-" TRACE "-" PARENT "-01";
    for (size_t size = 0; size + 1 < sizeof(whole); size++) {
        struct pk_trace trace = { 0 };
        char *exact = malloc(size ? size : 1); /* So that ASan sees a byte too many. */
        assert_non_null(exact);
        memcpy(exact, whole, size);
        assert_false(pk_trace_parse(&trace, exact, size));
        free(exact);
    }
}
