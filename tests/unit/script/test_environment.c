/* test_environment.c - What a script sees, and that no call sees another. */
/* SPDX-License-Identifier: MIT */
#include "base/alloc.h"
#include "jailed.h"

#include <string.h>

TEST(what_is_not_on_the_list_is_not_there)
{
    static const char *const absent[] = {
        "io",      "os",      "debug",    "package",    "jit",    "ffi",
        "load",    "dofile",  "loadfile", "loadstring", "module", "newproxy",
        "getfenv", "setfenv", "gcinfo",   "print",      "arg",    "collectgarbage",
    };
    struct pk_jail *jail = jailed_new(1);
    for (size_t i = 0; i < PK_COUNT(absent); i++) {
        char source[200], words[200];
        (void)snprintf(source, sizeof(source),
                       "return function() return rawget(_G, '%s') == nil end", absent[i]);
        expect_output(jail, source, NULL, "{ \"value\" : true }");
        (void)snprintf(source, sizeof(source), "return function() return %s end", absent[i]);
        (void)snprintf(words, sizeof(words), "test.lua:1: there is no global '%s' here", absent[i]);
        expect_end(jail, source, NULL, PK_JAIL_ERROR, words);
    }
    expect_output(jail,
                  "return function() return { string.dump == nil, table.foreach == nil,"
                  " ('').dump == nil } end",
                  NULL, "{ \"value\" : [ true, true, true ] }");
    pk_jail_free(jail);
}

TEST(a_global_must_be_declared_local)
{
    struct pk_jail *jail = jailed_new(1);
    expect_end(jail, "\nhelper = 1", NULL, PK_JAIL_ERROR,
               "test.lua:2: global 'helper' cannot be made: declare it local");
    expect_end(jail, "return function() return usr end", NULL, PK_JAIL_ERROR,
               "there is no global 'usr'");
    expect_end(jail, "return function() return require 'ffi' end", NULL, PK_JAIL_ERROR,
               "there is no module 'ffi'");
    pk_jail_free(jail);
}

TEST(only_text_is_loaded)
{
    struct pk_jail *jail = jailed_new(1);
    struct jailed bytecode = { .source = "\x1bLJ\x02\x02\x00\x00", .source_size = 7 };
    jailed_run(jail, &bytecode);
    assert_int_equal(bytecode.result.end, PK_JAIL_SYNTAX);
    jailed_done(&bytecode);
    expect_end(jail, "return function() return 1LL end", NULL, PK_JAIL_SYNTAX,
               "64-bit and imaginary literals");
    expect_end(jail, "return function() return 2i end", NULL, PK_JAIL_SYNTAX, "imaginary");
    expect_end(jail, "\n\nreturn funtion() end", NULL, PK_JAIL_SYNTAX, "test.lua:3: ");
    pk_jail_free(jail);
}

TEST(pairs_and_next_have_a_fixed_order)
{
    const char *const source =
        "return function(m)\n"
        "  local t, keys = { 10, 20, zebra = 1, apple = 2, [2.5] = 3, [-1] = 4, [true] = 5 }, {}\n"
        "  for k, v in pairs(t) do keys[#keys + 1] = tostring(k) end\n"
        "  local k, v = next(t)\n"
        "  while k ~= nil do keys[#keys + 1] = tostring(k) k, v = next(t, k) end\n"
        "  return table.concat(keys, ' ')\n"
        "end";
    struct pk_jail *jail = jailed_new(1);
    expect_output(jail, source, NULL,
                  "{ \"value\" : \"-1 1 2 2.5 apple zebra true -1 1 2 2.5 apple zebra true\" }");
    expect_end(jail, "return function() for k in pairs({ [{}] = 1 }) do end end", NULL,
               PK_JAIL_ERROR, "test.lua:1: keys that are no text");
    expect_output(jail,
                  "return function() local t = { a = 1, b = 2, c = 3 }\n"
                  "for k in pairs(t) do t[k] = nil end return next(t) == nil end",
                  NULL, "{ \"value\" : true }");
    pk_jail_free(jail);
}

TEST(no_text_shows_an_address)
{
    struct pk_jail *jail = jailed_new(1);
    expect_output(jail,
                  "return function() local t, f = {}, function() end\n"
                  "return { tostring(t), tostring(f), tostring(coroutine.create(f)),\n"
                  "string.format('%s %s', t, f), ('%s'):format(t), tostring(string.len),\n"
                  "tostring(setmetatable({}, { __tostring = function() return 'me' end })),\n"
                  "string.format('%5.1f %d %s %q', 1, 2, 'x', 'y') } end",
                  NULL,
                  "{ \"value\" : [ \"table\", \"function\", \"thread\", \"table function\","
                  " \"table\", \"function\", \"me\", \"  1.0 2 x \\\"y\\\"\" ] }");
    expect_end(jail, "return function() local s = ('%-8p'):format({}) return s end", NULL,
               PK_JAIL_ERROR, "test.lua:1: bad argument #1 to 'format' (addresses");
    expect_output(jail, "return function() return ('%%p %s p'):format('x') end", NULL,
                  "{ \"value\" : \"%p x p\" }");
    pk_jail_free(jail);
}

TEST(random_numbers_come_from_the_seed)
{
    struct pk_jail *jail = jailed_new(1);
    const char *const source = "return function() return { math.random(), math.random(1000) } end";
    char *first = NULL;
    for (int i = 0; i < 3; i++) {
        struct jailed jailed = { .source = source, .seed = 12345678901234567ULL };
        jailed_run(jail, &jailed);
        assert_ok(jailed.is_ok, &jailed.err);
        if (first) {
            assert_string_equal(jailed.output, first);
        } else {
            first = pk_strdup(jailed.output);
        }
        jailed_done(&jailed);
    }
    struct jailed other = { .source = source, .seed = 1ULL << 60 };
    jailed_run(jail, &other);
    assert_string_not_equal(other.output, first);
    jailed_done(&other);
    pk_free(first);
    pk_jail_free(jail);
}

/* Scripts that would remember, if they could: each counts its calls in another place. */
static const char *const remember_table[] = {
    "local n = 0 return function() n = n + 1 return n end",
    "rawset(_G, 'n', (rawget(_G, 'n') or 0) + 1) local g = rawget(_G, 'n')"
    " return function() return g end",
    "return function() string.n = (string.n or 0) + 1 return string.n end",
    "return function() math.n = (math.n or 0) + 1 table.n = (table.n or 0) + 1"
    " return math.n + table.n - 1 end",
    "return function() local m = getmetatable('') if type(m) == 'table' then m.n = (m.n or 0) + 1"
    " return m.n end return 1 end",
    "return function() local m = getmetatable(_G) if type(m) == 'table' then m.n = (m.n or 0) + 1"
    " return m.n end return 1 end",
    "return function(m) m.n = (m.n or 0) + 1 m.list[1] = (m.list[1] or 0) + 1"
    " return m.n + m.list[1] - 1 end",
    "local r = require 'personakit' return function() r.n = (r.n or 0) + 1 return r.n end",
    "local t = { 1 } return function() t[1] = t[1] + 1 return t[1] - 1 end",
    "pairs = pairs local p = pairs pairs = function() error('kept') end"
    " return function() for k in p({ 1 }) do return k end end",
    "coroutine.n = (coroutine.n or 0) + 1 return function() return coroutine.n end",
    "bit.n = (bit.n or 0) + 1 return function() return bit.n end",
    "return function() math.randomseed(7) return math.random(1, 1) end",
    "local next_ = next return function() local t = { a = 1, b = 2 } next_(t)"
    " return select(2, next_(t)) end",
};

static uint64_t shuffle(uint64_t *chance)
{
    *chance = *chance * 6364136223846793005ULL + 1442695040888963407ULL;
    return *chance >> 33;
}

TEST(no_call_sees_another_in_any_order)
{
    struct pk_jail *jail = jailed_new(2);
    uint64_t chance = 42;
    for (int i = 0; i < 600; i++) {
        struct jailed jailed = {
            .source = remember_table[shuffle(&chance) % PK_COUNT(remember_table)],
            .preamble = "return { host = ... }",
            .input = "{ \"list\": [] }",
        };
        jailed_run(jail, &jailed);
        assert_ok(jailed.is_ok, &jailed.err);
        if (strcmp(jailed.output, "{ \"value\" : 1 }") != 0) {
            fail_msg("'%s' gave %s", jailed.source, jailed.output);
        }
        jailed_done(&jailed);
    }
    pk_jail_free(jail);
}

/* The same texts on a warm worker and on fresh ones: hash seeds and addresses must not show. */
TEST(every_worker_gives_the_same)
{
    const char *const source =
        "return function(m)\n"
        "  local t, out = {}, {}\n"
        "  for i = 1, 200 do t['k' .. (i * 7919) % 1000] = i t[i * 3] = i end\n"
        "  for k, v in pairs(t) do out[#out + 1] = tostring(k) .. '=' .. v end\n"
        "  out[#out + 1] = #t\n"
        "  out[#out + 1] = math.random(1e6)\n"
        "  out[#out + 1] = string.format('%.17g', math.sin(1e3) ^ 0.3)\n"
        "  for i = 1, 100 do t[i] = i t[i * 2] = nil end\n"
        "  out[#out + 1] = #t\n"
        "  return table.concat(out, ' ')\n"
        "end";
    char *first = NULL;
    for (int i = 0; i < 6; i++) {
        struct pk_jail *jail = jailed_new(1);
        for (int k = 0; k < (i == 0 ? 120 : 2); k++) {
            struct jailed jailed = { .source = source, .seed = 9 };
            jailed_run(jail, &jailed);
            assert_ok(jailed.is_ok, &jailed.err);
            if (first) {
                assert_string_equal(jailed.output, first);
            } else {
                first = pk_strdup(jailed.output);
            }
            jailed_done(&jailed);
        }
        pk_jail_free(jail);
    }
    pk_free(first);
}

TEST(errors_name_the_authors_line_and_hide_the_hosts)
{
    struct pk_jail *jail = jailed_new(1);
    struct jailed jailed = {
        .name = "daily-work.lua",
        .source = "local function inner(m)\n"
                  "  return m.a.b\n"
                  "end\n"
                  "return { core = function(m)\n"
                  "  for k in pairs({ 1 }) do inner(m) end\n"
                  "end }",
        .entry = "core",
    };
    jailed_run(jail, &jailed);
    assert_int_equal(jailed.result.end, PK_JAIL_ERROR);
    assert_string_equal(jailed.err.message,
                        "daily-work.lua:2: attempt to index field 'a' (a nil value)");
    assert_string_equal(jailed.result.file, "daily-work.lua");
    assert_int_equal(jailed.result.line, 2);
    assert_string_equal(pk_buf_text(&jailed.result.trace),
                        "daily-work.lua:2: in 'inner'\n"
                        "daily-work.lua:5: in a function of line 4\n");
    jailed_done(&jailed);

    expect_end(jail, "\nreturn function() error({ code = 1, message = 'why' }) end", NULL,
               PK_JAIL_ERROR, "test.lua:2: why");
    expect_end(jail, "return function() error() end", NULL, PK_JAIL_ERROR, "the error is a nil");
    expect_end(jail, "return function() error(42) end", NULL, PK_JAIL_ERROR, "42");
    expect_end(jail, "return function() string.rep() end", NULL, PK_JAIL_ERROR,
               "test.lua:1: bad argument #1 to 'rep'");
    expect_end(jail, "return function() string.format('%d', 'x') end", NULL, PK_JAIL_ERROR,
               "test.lua:1: bad argument #2 to 'format'");
    expect_end(jail, "return function() pairs(nil) end", NULL, PK_JAIL_ERROR,
               "test.lua:1: bad argument #1 to 'pairs' (table expected, got nil)");
    expect_end(jail, "return 1", NULL, PK_JAIL_ERROR, "the script gives no function ''");
    pk_jail_free(jail);
}

TEST(a_library_can_enter_for_its_scripts)
{
    struct pk_jail *jail = jailed_new(1);
    struct jailed jailed = {
        .preamble = "return { mapper = function(t) t.made = true return t end,\n"
                    "enter = function(value, entry, input)\n"
                    "  return { value.made, entry, value[entry](input.x) } end }",
        .source = "local pk = require 'personakit'\n"
                  "return pk.mapper { core = function(x) return x + 1 end }",
        .entry = "core",
        .input = "{ \"x\": 41 }",
    };
    jailed_run(jail, &jailed);
    assert_ok(jailed.is_ok, &jailed.err);
    assert_string_equal(jailed.output, "{ \"value\" : [ true, \"core\", 42 ] }");
    jailed_done(&jailed);
    pk_jail_free(jail);
}

/* What the prelude has in its own Lua gives what LuaJIT's C gives; each row is a call of gsub. */
TEST(gsub_with_callbacks_is_what_it_was)
{
    static const struct {
        const char *call, *output;
    } row_table[] = {
        { "('hello world'):gsub('o', function(c) return c:upper() end)", "hellO wOrld 2" },
        { "('abc'):gsub('%w', { a = '1', b = 2, c = false })", "12c 3" },
        { "('abc'):gsub('', function() return '-' end)", "-a-b-c- 4" },
        { "('abc'):gsub('%w*', function(w) return '<' .. w .. '>' end)", "<abc><> 2" },
        { "('a1b2'):gsub('(%a)(%d)', function(a, d) return d .. a end)", "1a2b 2" },
        { "('aaa'):gsub('^a', function() return 'b' end)", "baa 1" },
        { "('aaa'):gsub('a', function() return 'b' end, 2)", "bba 2" },
        { "('aaa'):gsub('a', function() return 'b' end, 0)", "aaa 0" },
        { "('abc'):gsub('()', function(p) return p end)", "1a2b3c4 4" },
        { "('abc'):gsub('b', function() end)", "abc 1" },
        { "('THE (quick) fox'):gsub('%f[%a]%a+', function(w) return '[' .. w .. ']' end)",
          "[THE] ([quick]) [fox] 3" },
        { "('x'):gsub('y', function() return 'z' end)", "x 0" },
        { "(''):gsub('^', function() return 'z' end)", "z 1" },
        { "string.gsub(12, '1', { ['1'] = 'x' })", "x2 1" },
    };
    struct pk_jail *jail = jailed_new(1);
    for (size_t i = 0; i < PK_COUNT(row_table); i++) {
        char source[300], output[100];
        (void)snprintf(source, sizeof(source),
                       "return function() local s, n = %s return s .. ' ' .. n end",
                       row_table[i].call);
        (void)snprintf(output, sizeof(output), "{ \"value\" : \"%s\" }", row_table[i].output);
        expect_output(jail, source, NULL, output);
    }
    expect_end(jail, "return function() ('x'):gsub('x', function() return {} end) end", NULL,
               PK_JAIL_ERROR, "invalid replacement value (a table)");
    pk_jail_free(jail);
}

TEST(sort_is_stable_and_takes_any_comparison)
{
    struct pk_jail *jail = jailed_new(1);
    expect_output(jail,
                  "return function() local t = {}\n"
                  "for i = 1, 1000 do t[i] = { i * 7919 % 10, i } end\n"
                  "table.sort(t, function(a, b) return a[1] < b[1] end)\n"
                  "for i = 2, 1000 do local a, b = t[i - 1], t[i]\n"
                  "if a[1] > b[1] or (a[1] == b[1] and a[2] > b[2]) then return i end end\n"
                  "local u = { 3, 1, 2 } table.sort(u)\n"
                  "local v = { 3, 1, 2, 5, 4 } table.sort(v, function() return true end)\n"
                  "table.sort({}) table.sort({ 1 }, error)\n"
                  "return { table.concat(u, ' '), #v, (pcall(table.sort, { 1, 'x' })) } end",
                  NULL, "{ \"value\" : [ \"1 2 3\", 5, false ] }");
    expect_end(jail, "return function() table.sort({}, 1) end", NULL, PK_JAIL_ERROR,
               "bad argument #2 to 'sort'");
    pk_jail_free(jail);
}

TEST(coroutines_work_as_ever)
{
    struct pk_jail *jail = jailed_new(1);
    expect_output(jail,
                  "return function() local out = {}\n"
                  "local gen = coroutine.wrap(function(a) local b = coroutine.yield(a + 1)\n"
                  "  error({ message = b }) end)\n"
                  "out[1] = gen(1) local ok, e = pcall(gen, 'b') out[2] = e.message\n"
                  "local co = coroutine.create(function() end)\n"
                  "out[3] = coroutine.resume(co) out[4] = coroutine.resume(co)\n"
                  "out[5] = coroutine.status(co)\n"
                  "for i = 1, 1000 do coroutine.wrap(function() coroutine.yield() end)() end\n"
                  "return out end",
                  NULL, "{ \"value\" : [ 2, \"b\", true, false, \"dead\" ] }");
    pk_jail_free(jail);
}
