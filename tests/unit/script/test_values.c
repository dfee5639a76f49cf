/* test_values.c - What crosses between documents and Lua, both ways. */
/* SPDX-License-Identifier: MIT */
#include "jailed.h"

#define ECHO "return function(m) return m.v end"

/* Each row: what goes in as v, and what comes back as value. */
static const struct {
    const char *in, *out;
} echo_table[] = {
    { "1", "1" },
    { "-7", "-7" },
    { "1.5", "1.5" },
    { "9007199254740992", "9007199254740992" },
    { "9007199254740993", "9007199254740993" },
    { "-9223372036854775808", "-9223372036854775808" },
    { "\"text\"", "\"text\"" },
    { "\"\\u00e4\\u0000b\"", "\"\xc3\xa4\\u0000b\"" },
    { "true", "true" },
    { "[]", "[  ]" },
    { "{}", "{  }" },
    { "[ 1, null, \"x\" ]", "[ 1, null, \"x\" ]" },
    { "{ \"b\": 1, \"a\": { \"c\": [ { } ] } }", "{ \"a\" : { \"c\" : [ {  } ] }, \"b\" : 1 }" },
    { "{ \"$date\": \"2026-11-21T07:32:00.123Z\" }",
      "{ \"$date\" : \"2026-11-21T07:32:00.123Z\" }" },
    { "{ \"$binary\": { \"base64\": \"AAEC\", \"subType\": \"05\" } }",
      "{ \"$binary\" : { \"base64\" : \"AAEC\", \"subType\" : \"05\" } }" },
};

TEST(what_goes_in_comes_back_as_it_was)
{
    struct pk_jail *jail = jailed_new(1);
    for (size_t i = 0; i < sizeof(echo_table) / sizeof(echo_table[0]); i++) {
        char input[512], output[512];
        (void)snprintf(input, sizeof(input), "{ \"v\": %s }", echo_table[i].in);
        (void)snprintf(output, sizeof(output), "{ \"value\" : %s }", echo_table[i].out);
        expect_output(jail, ECHO, input, output);
    }
    pk_jail_free(jail);
}

TEST(null_in_an_object_is_absent)
{
    struct pk_jail *jail = jailed_new(1);
    expect_output(jail, ECHO, "{ \"v\": { \"a\": null, \"b\": 1 } }",
                  "{ \"value\" : { \"b\" : 1 } }");
    expect_output(jail, "return function(m) return m.x == nil end", "{ \"x\": null }",
                  "{ \"value\" : true }");
    expect_output(jail, "return function() end", "{}", "{ }");
    pk_jail_free(jail);
}

TEST(dates_compare_and_subtract)
{
    struct pk_jail *jail = jailed_new(1);
    const char *input = "{ \"a\": { \"$date\": \"2026-11-21T07:32:00.123Z\" },"
                        "  \"b\": { \"$date\": \"2026-11-21T07:32:01.123Z\" } }";
    expect_output(jail,
                  "return function(m) return { m.a < m.b, m.a == m.b, m.a <= m.a, m.b - m.a,"
                  " tostring(m.a), tostring(m.b - 1000), m.a + 1000 == m.b, type(m.a) } end",
                  input,
                  "{ \"value\" : [ true, false, true, 1000, \"2026-11-21T07:32:00.123Z\","
                  " \"2026-11-21T07:32:00.123Z\", true, \"table\" ] }");
    pk_jail_free(jail);
}

TEST(a_preamble_can_make_what_lua_has_no_type_for)
{
    struct pk_jail *jail = jailed_new(1);
    struct jailed jailed = {
        .preamble = "return ...",
        .source = "local h = require 'personakit'\n"
                  "return function() return { d = h.date(0), b = h.binary('\\1\\2', 4),"
                  " l = h.list(), n = { h.null }, o = {} } end",
    };
    jailed_run(jail, &jailed);
    assert_ok(jailed.is_ok, &jailed.err);
    assert_string_equal(
        jailed.output,
        "{ \"value\" : { \"b\" : { \"$binary\" : { \"base64\" : \"AQI=\", \"subType\" : \"04\" } },"
        " \"d\" : { \"$date\" : \"1970-01-01T00:00:00Z\" }, \"l\" : [  ],"
        " \"n\" : [ null ], \"o\" : {  } } }");
    jailed_done(&jailed);
    pk_jail_free(jail);
}

/* Each row: what the script gives, and the words of the refusal. */
static const struct {
    const char *give, *words;
} refused_table[] = {
    { "0/0", "NaN" },
    { "{ a = { 1, math.huge } }", "a[2]: an infinite number" },
    { "{ a = { b = print_ or function() end } }", "a.b: a function cannot be given out" },
    { "{ a = coroutine.create(function() end) }", "a: a thread cannot be given out" },
    { "(function() local t = {} t.t = { t } return t end)()", "the table contains itself" },
    { "{ 1, nil, 3, nil, nil, 6, x = 1 }", "list" },
    { "{ 1, x = 1 }", "list positions and named fields" },
    { "{ [1.5] = 1 }", "list without holes" },
    { "{ [0] = 1 }", "list without holes" },
    { "{ [{}] = 1 }", "a key that is a table" },
    { "{ [true] = 1 }", "a key that is a boolean" },
    { "{ a = '\\255' }", "a: the text is not valid UTF-8" },
    { "{ a = '\\192\\128' }", "a: the text is not valid UTF-8" },
    { "{ ['a\\0b'] = 1 }", "UTF-8 without NUL" },
    { "{ ['\\255'] = 1 }", "UTF-8 without NUL" },
    { "{ ['\\192\\128'] = 1 }", "UTF-8 without NUL" },
    { "('x'):rep(300000)", "over 262144 bytes" },
    { "(function() local t = {} for i = 1, 100000 do t[i] = i end return t end)()",
      "over 262144 bytes" },
    { "(function() local t = {} for i = 1, 100 do t = { t } end return t end)()",
      "nested too deep" },
};

TEST(what_cannot_be_given_out_is_refused_by_its_path)
{
    struct pk_jail *jail = jailed_new(1);
    for (size_t i = 0; i < sizeof(refused_table) / sizeof(refused_table[0]); i++) {
        char source[512];
        (void)snprintf(source, sizeof(source), "local print_\nreturn function() return %s end",
                       refused_table[i].give);
        expect_end(jail, source, NULL, PK_JAIL_OUTPUT, refused_table[i].words);
    }
    pk_jail_free(jail);
}

TEST(a_shared_table_is_given_out_twice)
{
    struct pk_jail *jail = jailed_new(1);
    expect_output(jail, "return function() local t = { 1 } return { a = t, b = t } end", NULL,
                  "{ \"value\" : { \"a\" : [ 1 ], \"b\" : [ 1 ] } }");
    pk_jail_free(jail);
}

TEST(types_that_lua_cannot_see_are_refused_by_name)
{
    struct pk_jail *jail = jailed_new(1);
    expect_end(jail, ECHO, "{ \"v\": { \"$numberDecimal\": \"1.5\" } }", PK_JAIL_ERROR,
               "BSON type 19 at 'v'");
    pk_jail_free(jail);
}

TEST(metamethods_do_not_run_on_the_way_out)
{
    struct pk_jail *jail = jailed_new(1);
    expect_output(jail,
                  "return function() return setmetatable({ 1 }, { __index = function() error('x')"
                  " end, __len = function() while true do end end }) end",
                  NULL, "{ \"value\" : [ 1 ] }");
    pk_jail_free(jail);
}
