/* test_modules.c - Scripts of several texts, and a library that stays with its script. */
/* SPDX-License-Identifier: MIT */
#include "jailed.h"

#include "base/alloc.h"

#include <string.h>

#define MAIN "local h = require 'helpers' "

/* One call of 'source' with the modules of a table; expects this output. */
static void expect_with(struct pk_jail *jail, const char *const (*module)[2], size_t count,
                        const char *source, const char *output)
{
    struct jailed jailed = { .source = source, .module = module, .module_count = count };
    jailed_run(jail, &jailed);
    assert_ok(jailed.is_ok, &jailed.err);
    assert_string_equal(jailed.output, output);
    jailed_done(&jailed);
}

TEST(a_script_requires_its_modules)
{
    static const char *const module[][2] = {
        { "helpers",
          "local words = require 'words' return { say = function() return words[2] end }" },
        { "words", "return { 'one', 'two' }" },
    };
    struct pk_jail *jail = jailed_new(1);

    for (int i = 0; i < 3; i++) {
        expect_with(jail, module, 2, MAIN "return function() return h.say() end",
                    "{ \"value\" : \"two\" }");
    }
    pk_jail_free(jail);
}

TEST(a_module_runs_once_in_a_call_and_anew_in_the_next)
{
    static const char *const module[][2] = {
        { "helpers", "local n = 0 return { count = function() n = n + 1 return n end }" },
    };
    struct pk_jail *jail = jailed_new(1);

    for (int i = 0; i < 3; i++) {
        expect_with(jail, module, 1,
                    MAIN "h.count() local same = require 'helpers' same.x = (same.x or 0) + 1\n"
                         "return function() return { h.count(), h.x, h == same } end",
                    "{ \"value\" : [ 2, 1, true ] }");
    }
    pk_jail_free(jail);
}

TEST(modules_share_the_environment_of_their_call)
{
    static const char *const module[][2] = {
        { "helpers", "string.mine = (string.mine or 0) + 1 return { env = _G, name = ... }" },
        { "silent", "local x = 1" },
    };
    struct pk_jail *jail = jailed_new(1);

    for (int i = 0; i < 2; i++) {
        expect_with(jail, module, 2,
                    MAIN "return function() return { h.env == _G, h.name, string.mine,\n"
                         "require 'silent', require 'silent' } end",
                    "{ \"value\" : [ true, \"helpers\", 1, true, true ] }");
    }
    pk_jail_free(jail);
}

/* Each row: a module, and how a script that requires it ends. */
static const struct {
    const char *text, *source;
    enum pk_jail_end end;
    const char *message, *trace;
} fault_table[] = {
    { "\n\nreturn {", MAIN "return h", PK_JAIL_SYNTAX, "helpers.lua:3: unexpected symbol", "" },
    { "\nreturn 1LL", MAIN "return h", PK_JAIL_SYNTAX, "helpers.lua: 64-bit", "" },
    { "\nreturn { f = function(x)\n  return x.y.z\nend }", MAIN "\nreturn function() h.f({}) end",
      PK_JAIL_ERROR, "helpers.lua:3: attempt to index field 'y'",
      "helpers.lua:3: in 'f'\ntest.lua:2: in a function of line 2\n" },
    { "\nreturn { f = function(x)\n  error('mine', 2)\nend }",
      MAIN "\nreturn function()\n h.f({})\n end", PK_JAIL_ERROR, "test.lua:3: mine",
      "helpers.lua:3: in 'f'\n" },
    { "\nerror('at once')", MAIN "return h", PK_JAIL_ERROR, "helpers.lua:2: at once",
      "helpers.lua:2: in the main chunk\ntest.lua:1: in the main chunk\n" },
    { "return 1", "local x = require 'helper' return x", PK_JAIL_ERROR,
      "test.lua:1: require: there is no module 'helper'; this script may use \"personakit\", "
      "\"helpers\"",
      "" },
    { "local x = require 'helpers' return x", MAIN "return h", PK_JAIL_ERROR,
      "helpers.lua:1: require: module 'helpers' requires itself", "" },
    { "error('first')", "pcall(require, 'helpers') " MAIN "return h", PK_JAIL_ERROR,
      "test.lua:1: require: module 'helpers' requires itself, or has failed before", "" },
    { "return 1", "return require(nil)", PK_JAIL_ERROR, "there is no module 'nil'", "" },
    { "while true do pcall(error) end", MAIN "return h", PK_JAIL_STOPPED,
      "helpers.lua:1: stopped after", "" },
};

TEST(what_goes_wrong_in_a_module_names_its_own_file_and_line)
{
    struct pk_jail *jail = jailed_new(1);

    for (size_t i = 0; i < PK_COUNT(fault_table); i++) {
        const char *const module[][2] = { { "helpers", fault_table[i].text } };
        struct jailed jailed = { .source = fault_table[i].source,
                                 .module = module,
                                 .module_count = 1,
                                 .limits = { .soft_ms = 20 } };
        jailed_run(jail, &jailed);
        if (jailed.result.end != fault_table[i].end ||
            !strstr(jailed.err.message, fault_table[i].message) ||
            !strstr(pk_buf_text(&jailed.result.trace), fault_table[i].trace)) {
            fail_msg("row %zu: %s: %s\n%s", i, pk_jail_end_name(jailed.result.end),
                     jailed.err.message, pk_buf_text(&jailed.result.trace));
        }
        jailed_done(&jailed);
    }
    pk_jail_free(jail);
}

TEST(another_text_of_a_module_is_another_script)
{
    static const char *const one[][2] = { { "helpers", "return 1" } };
    static const char *const two[][2] = { { "helpers", "return 2" } };
    struct pk_jail *jail = jailed_new(1);

    for (int i = 0; i < 2; i++) {
        expect_with(jail, one, 1, MAIN "return function() return h end", "{ \"value\" : 1 }");
        expect_with(jail, two, 1, MAIN "return function() return h end", "{ \"value\" : 2 }");
    }
    pk_jail_free(jail);
}

TEST(a_script_of_too_many_modules_is_refused)
{
    struct pk_jail_module module[PK_JAIL_MODULES_MAX + 1] = { { 0 } };
    struct pk_jail_script script = { .name = "many.lua", .source = "return 1", .source_size = 8 };
    static const uint8_t input[] = { 5, 0, 0, 0, 0 };
    struct pk_jail *jail = jailed_new(1);
    struct pk_jail_result result;
    struct pk_error err = { 0 };

    for (size_t i = 0; i < PK_COUNT(module); i++) {
        module[i] = (struct pk_jail_module){ .name = "a", .file = "a.lua", .text = "" };
    }
    script.module = module;
    script.module_count = PK_COUNT(module);
    const struct pk_jail_call call = {
        .script = &script, .entry = "", .input = input, .input_size = sizeof(input)
    };
    assert_false(pk_jail_call(jail, &call, &result, &err));
    assert_int_equal(err.code, PK_TOO_LARGE);
    pk_jail_result_done(&result);
    pk_jail_free(jail);
}

/* ---- A library that stays ---- */

static const char resident[] = "local host = ...\n"
                               "local loads, calls = 1, 0\n"
                               "local function shared() calls = calls + 1 return calls end\n"
                               "return function()\n"
                               "  return { calls = shared, null = host.null, own = {} }\n"
                               "end\n";

static void expect_resident(struct pk_jail *jail, const char *source, const char *output)
{
    struct jailed jailed = { .source = source, .preamble = resident, .is_preamble_resident = true };
    jailed_run(jail, &jailed);
    assert_ok(jailed.is_ok, &jailed.err);
    assert_string_equal(jailed.output, output);
    jailed_done(&jailed);
}

TEST(a_resident_library_is_loaded_once_and_its_table_is_made_for_each_call)
{
    static const char source[] =
        "local pk = require 'personakit'\n"
        "pk.own.mark = (pk.own.mark or 0) + 1 pk.more = (pk.more or 0) + 1\n"
        "return function() return { pk.calls(), pk.own.mark, pk.more } end";
    struct pk_jail *jail = jailed_new(1);

    /* The count is what a good library must not do; here it shows that the chunk ran once. */
    expect_resident(jail, source, "{ \"value\" : [ 1, 1, 1 ] }");
    expect_resident(jail, source, "{ \"value\" : [ 2, 1, 1 ] }");
    expect_resident(jail, source, "{ \"value\" : [ 3, 1, 1 ] }");
    pk_jail_free(jail);
}

TEST(what_a_script_writes_into_its_libraries_is_not_seen_by_a_resident_one)
{
    struct jailed jailed = {
        .preamble = "local concat, G = table.concat, _G\n"
                    "return function() return { join = function(t)\n"
                    "  return concat(t, '-') .. G.table.concat(t) .. tostring(G.type(t)) end } end",
        .is_preamble_resident = true,
        .source = "local pk = require 'personakit'\n"
                  "table.concat = function() return 'mine' end\n"
                  "rawset(_G, 'tostring', error) rawset(_G, 'type', error)\n"
                  "return function() return pk.join({ 'a', 'b' }) end",
    };
    struct pk_jail *jail = jailed_new(1);

    for (int i = 0; i < 2; i++) {
        jailed_run(jail, &jailed);
        assert_ok(jailed.is_ok, &jailed.err);
        assert_string_equal(jailed.output, "{ \"value\" : \"a-babtable\" }");
        jailed_done(&jailed);
    }
    pk_jail_free(jail);
}

TEST(a_state_that_holds_more_than_4_mib_after_a_call_is_made_anew)
{
    struct jailed jailed = {
        .preamble =
            "local kept, calls = {}, 0\n"
            "for i = 1, 5 do kept[i] = string.rep(tostring(i), 1048576) end\n"
            "return function() calls = calls + 1 return { calls = calls, kept = #kept } end",
        .is_preamble_resident = true,
        .source = "local pk = require 'personakit' return function() return pk.calls end",
        .limits = { .soft_ms = 5000, .hard_ms = 5000 },
    };
    struct pk_jail *jail = jailed_new(1);

    for (int i = 0; i < 3; i++) {
        jailed_run(jail, &jailed);
        assert_ok(jailed.is_ok, &jailed.err);
        assert_string_equal(jailed.output, "{ \"value\" : 1 }");
        jailed_done(&jailed);
    }
    pk_jail_free(jail);
}

TEST(a_resident_library_that_gives_no_function_is_no_library)
{
    struct jailed jailed = { .preamble = "return {}",
                             .is_preamble_resident = true,
                             .source = "return function() end" };
    struct pk_jail *jail = jailed_new(1);

    for (int i = 0; i < 2; i++) {
        jailed_run(jail, &jailed);
        assert_int_equal(jailed.result.end, PK_JAIL_ERROR);
        assert_non_null(strstr(jailed.err.message, "the resident library gives no function"));
        jailed_done(&jailed);
    }
    pk_jail_free(jail);
}

TEST(frames_and_places_of_the_library_are_not_shown)
{
    struct jailed jailed = {
        .preamble = "return { run = function(f) local r = f(1) return r end,\n"
                    "  bad = function(x) local y = x.a.b return y end }",
        .source = "local pk = require 'personakit'\nreturn function()\n  pk.bad({})\nend",
    };
    struct pk_jail *jail = jailed_new(1);

    jailed_run(jail, &jailed);
    assert_string_equal(jailed.err.message, "test.lua:3: attempt to index field 'a' (a nil value)");
    assert_null(strstr(pk_buf_text(&jailed.result.trace), "personakit"));
    jailed_done(&jailed);
    jailed.source = "return require('personakit').bad";
    jailed_run(jail, &jailed);
    assert_non_null(strstr(jailed.err.message, "personakit:2: attempt to index"));
    jailed_done(&jailed);
    pk_jail_free(jail);
}
