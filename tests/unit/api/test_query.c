/* test_query.c - Parameters: what is taken, and what is refused by name. */
/* SPDX-License-Identifier: MIT */
#include "api/query.h"
#include "base/alloc.h"
#include "base/arena.h"
#include "base/error.h"
#include "test.h"

#include <string.h>

static const char *const words[] = { "red", "green", "blue", NULL };
enum { TEXT, INT, BOOL, TIME, UUID, WORD, ANY_INT, COUNT };
static const struct pk_param param[COUNT] = {
    [TEXT] = { .name = "text", .type = PK_PARAM_TEXT, .max = 8 },
    [INT] = { .name = "count", .type = PK_PARAM_INT, .min = -5, .max = 10 },
    [BOOL] = { .name = "deep", .type = PK_PARAM_BOOL },
    [TIME] = { .name = "since", .type = PK_PARAM_TIME },
    [UUID] = { .name = "person", .type = PK_PARAM_UUID },
    [WORD] = { .name = "colour", .type = PK_PARAM_WORD, .allowed = words },
    [ANY_INT] = { .name = "number", .type = PK_PARAM_INT },
};

struct read {
    struct pk_arena arena;
    const char *value[COUNT];
    int64_t number[COUNT];
    struct pk_error err;
    bool ok;
};

static struct read read_query(const char *query)
{
    struct read read = { .ok = false };
    struct pk_param_slot slot[COUNT];
    for (size_t i = 0; i < COUNT; i++) {
        slot[i] = (struct pk_param_slot){ &param[i], &read.value[i], &read.number[i] };
    }
    read.ok = pk_query_read(&read.arena, query, slot, COUNT, &read.err);
    return read;
}

static void refuses(const char *query, const char *field, const char *message, const char *hint)
{
    struct read read = read_query(query);
    if (read.ok || read.err.code != PK_INVALID || !strstr(read.err.message, message) ||
        !read.err.hint || !strstr(read.err.hint, hint)) {
        fail_msg("'%s': '%s' (%s)", query, read.ok ? "taken" : read.err.message,
                 read.err.hint ? read.err.hint : "no hint");
    }
    if (field) {
        assert_string_equal(read.err.field, field);
    }
    pk_arena_done(&read.arena);
}

TEST(each_type_is_read)
{
    struct read read =
        read_query("text=a%20b%2B+&count=-5&deep=true&since=2026-11-21T07:32:00+01:00"
                   "&person=B7A1C0DE-0000-4000-8000-00000000000A&colour=green"
                   "&number=-9223372036854775808");
    assert_ok(read.ok, &read.err);
    assert_string_equal(read.value[TEXT], "a b++");
    assert_int_equal(read.number[INT], -5);
    assert_int_equal(read.number[BOOL], 1);
    assert_int_equal(read.number[TIME], INT64_C(1795242720000));
    assert_string_equal(read.value[UUID], "b7a1c0de-0000-4000-8000-00000000000a");
    assert_string_equal(read.value[WORD], "green");
    assert_true(read.number[ANY_INT] == INT64_MIN);
    pk_arena_done(&read.arena);
}

TEST(nothing_given_is_nothing_read)
{
    struct read read = read_query("");
    assert_ok(read.ok, &read.err);
    for (size_t i = 0; i < COUNT; i++) {
        assert_null(read.value[i]);
    }
    pk_arena_done(&read.arena);
}

TEST(names_may_be_encoded_and_values_may_hold_what_separates)
{
    struct read read = read_query("%74ext=a=%26%3d");
    assert_ok(read.ok, &read.err);
    assert_string_equal(read.value[TEXT], "a=&=");
    pk_arena_done(&read.arena);
}

TEST(what_is_not_declared_is_named_with_the_nearest)
{
    refuses("cuont=1", "cuont", "there is no parameter 'cuont'", "did you mean 'count'?");
    refuses("zzzzzzzzz=1", "zzzzzzzzz", "there is no parameter", "'text', 'count'");
    refuses("Text=1", NULL, "there is no parameter 'Text'", "did you mean 'text'?");
}

TEST(what_comes_twice_is_refused_whatever_it_says)
{
    refuses("count=1&count=1", "count", "twice", "once");
    refuses("count=1&deep=true&c%6funt=2", "count", "twice", "once");
}

TEST(damaged_queries_are_refused)
{
    static const char *const bad[] = { "text=%",         "text=%4",  "text=%4g",    "text=%00",
                                       "text=%ff",       "text=%c3", "text=%C0%80", "%=1",
                                       "text=%ED%A0%80", "%00=1" };
    for (size_t i = 0; i < PK_COUNT(bad); i++) {
        refuses(bad[i], NULL, "not encoded correctly", "%20");
    }
    refuses("&", NULL, "empty parameter", "&");
    refuses("&text=a", NULL, "empty parameter", "&");
    refuses("text=a&", NULL, "empty parameter", "&");
    refuses("text=a&&count=1", NULL, "empty parameter", "&");
    refuses("text", "text", "has no value", "name=value");
    refuses("=a", "", "there is no parameter ''", "'text'");
}

TEST(values_that_break_their_row_are_refused_with_what_would_do)
{
    refuses("text=", "text", "0 bytes", "1 to 8");
    refuses("text=123456789", "text", "9 bytes", "1 to 8");
    static const char *const no_number[] = {
        "count=",    "count=a",   "count=1.0", "count=+1", "count=%201",
        "count=1e3", "count=0x1", "count=--1", "count=-",  "count=9223372036854775808"
    };
    for (size_t i = 0; i < PK_COUNT(no_number); i++) {
        refuses(no_number[i], "count", "cannot be given", "number");
    }
    refuses("count=11", "count", "'11'", "from -5 to 10");
    refuses("count=-6", "count", "'-6'", "from -5 to 10");
    refuses("deep=yes", "deep", "'yes'", "'true' or 'false'");
    refuses("deep=TRUE", "deep", "'TRUE'", "'true' or 'false'");
    refuses("since=2026-11-21", "since", "'2026-11-21'", "zone");
    refuses("since=2026-11-21T07:32:00%2001:00", "since", "cannot be given", "'+'");
    refuses("person=x", "person", "'x'", "UUID");
    refuses("person=b7a1c0de-0000-1000-8000-00000000000a", "person", "", "version 4");
    refuses("colour=pink", "colour", "'pink'", "'red', 'green' or 'blue'");
}

TEST(the_number_of_pairs_does_not_matter_to_what_is_refused)
{
    PK_CLEANUP(pk_buf_done) struct pk_buf query = { 0 };
    for (int i = 0; i < 2000; i++) {
        pk_buf_add_text(&query, "a=1&");
    }
    refuses(pk_buf_text(&query), "a", "there is no parameter 'a'", "'text'");
}
