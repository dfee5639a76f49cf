/* test_raw.c - Traits that stay BSON until they are looked at: the persona is the same as if all
 * had been decoded, and a handle is good for nothing but being read. */
/* SPDX-License-Identifier: MIT */
#include "base/alloc.h"
#include "jailed.h"
#include "script/library.h"

#include <string.h>

/* clang-format off */
static const char mapper[] =
    "local pk = require 'personakit'\n"
    "local function everything(m, ctx)\n"
    "  local all = {}\n"
    "  for path, value in m:each(ctx.task.prefix) do all[#all + 1] = { path = path, value = value } end\n"
    "  return { all = all, text = m['a.text'], no = m['a.no'], null = m:has('a.null'), gone = m:has('a.gone'),\n"
    "    soon = m:has('a.soon'), list = m['a.list'], sure = m:confidence('a.sure'), known = m:has('x.y'),\n"
    "    confident = m:confident('a.sure', 0.5), again = m['a.text'], deep = m:value('a.object', 0) }\n"
    "end\n"
    "return pk.mapper {\n"
    "  id = 'lazy', version = '1.0.0', requires = { 'a.text', 'a.*', 'x.*', 'a.gone' },\n"
    "  rules = {\n"
    "    pk.rule { id = 'no', when = pk.trait('a.no'):is(false), suggest = '{{a.text|none}} {{a.list|none}}' },\n"
    "    pk.rule { id = 'gone', when = pk.trait('a.gone'):exists(), suggest = 'gone' },\n"
    "    pk.rule { id = 'soon', when = pk.trait('a.soon'):missing(), suggest = 'not yet' },\n"
    "    pk.rule { id = 'ends', when = pk.trait('a.ends'):gt(4), suggest = 'still {{a.ends}}' },\n"
    "    pk.rule { id = 'sure', when = pk.trait('a.sure'):confident(0.5), suggest = 'sure' },\n"
    "    pk.rule { id = 'has', when = pk.trait('a.list'):contains('x'), suggest = 'in it' },\n"
    "    pk.rule { id = 'between', when = pk.trait('a.sure'):between(1, 9), suggest = 'between' },\n"
    "    pk.rule { id = 'above', when = pk.trait('a.text'):gt(3), suggest = 'a text is no number' },\n"
    "  },\n"
    "  core = everything,\n"
    "}\n";

#define MINDSCAPE(name)                                                                        \
    "{ \"" name "\": ["                                                                        \
    " { \"id\": \"a.text\", \"value\": \"t\xc3\xa4xt\", \"confidence\": 0.5 },"                \
    " { \"id\": \"a.no\", \"value\": false }, { \"id\": \"a.null\", \"value\": null },"        \
    " { \"value\": 7, \"validFrom\": { \"$date\": \"2027-01-01T00:00:00Z\" }, \"id\": \"a.soon\" }," \
    " { \"id\": \"a.gone\", \"value\": 1, \"expiresAt\": { \"$date\": \"2026-01-01T00:00:00Z\" } }," \
    " { \"id\": \"a.ends\", \"value\": 5, \"expiresAt\": { \"$date\": \"2026-12-24T00:00:00Z\" }," \
    "   \"validFrom\": null }, { \"traitName\": \"a.list\", \"value\": [ \"x\", 2, null ] },"   \
    " { \"id\": \"a.sure\", \"value\": 5, \"confidence\": 0.9, \"halfLife\": 86400000,"         \
    "   \"updatedAt\": { \"$date\": \"2026-11-21T00:00:00Z\" } },"                              \
    " { \"id\": \"a.object\", \"value\": { \"when\": { \"$date\": \"2026-01-01T00:00:00Z\" } } } ] }"

#define INPUT(mindscape, prefix)                                                               \
    "{ \"now\": { \"$date\": \"2026-11-21T07:32:00Z\" }, \"detail\": \"deep_dive\","            \
    " \"task\": { \"prefix\": \"" prefix "\" }, \"mindscape\": " mindscape " }"
/* clang-format on */

static const char *const input_table[] = {
    INPUT(MINDSCAPE("traits"), "a"),
    INPUT(MINDSCAPE("traitMatrix"), "a.list"),
    INPUT("{ \"traits\": [ ] }", "a"),
    INPUT("{ }", "a"),
    INPUT("{ \"traits\": { } }", "a"),
    INPUT(
        "{ \"other\": 1, \"goals\": [ \"run\" ], \"traits\": [ { \"id\": \"b.c\", \"value\": 1 } ] }",
        "b"),
};

static void take_library(struct pk_jail *jail, struct pk_buf *lean)
{
    PK_CLEANUP(pk_buf_done) struct pk_buf full = { 0 };
    bson_iter_t iter, found;
    uint32_t size = 0;
    bson_t view;

    pk_library_text(PK_LIBRARY_FULL, NULL, 0, &full);
    struct jailed jailed = { .source = mapper,
                             .preamble = pk_buf_text(&full),
                             .entry = "describe",
                             .limits = { .soft_ms = 20000, .hard_ms = 20000 } };
    jailed_run(jail, &jailed);
    assert_ok(jailed.is_ok, &jailed.err);
    pk_jail_result_view(&jailed.result, &view);
    if (!bson_iter_init(&iter, &view) ||
        !bson_iter_find_descendant(&iter, "value.program", &found)) {
        fail_msg("no program in %s", jailed.output);
    }
    const char *program = bson_iter_utf8(&found, &size);
    pk_library_text(PK_LIBRARY_RESIDENT, program, size, lean);
    jailed_done(&jailed);
}

TEST(what_is_read_lazily_gives_the_persona_of_what_is_decoded)
{
    PK_CLEANUP(pk_buf_done) struct pk_buf lazy = { 0 };
    PK_CLEANUP(pk_buf_done) struct pk_buf eager = { 0 };
    struct pk_jail *jail = jailed_new(1);

    take_library(jail, &lazy);
    pk_buf_add_text(&eager, "(...).raw = nil "); /* A host that has it not. */
    pk_buf_add(&eager, lazy.data, lazy.size);
    for (size_t i = 0; i < 2 * PK_COUNT(input_table); i++) {
        struct jailed one = { .source = mapper,
                              .preamble = pk_buf_text(&lazy),
                              .is_preamble_resident = true,
                              .entry = "map",
                              .input = input_table[i / 2],
                              .limits = { .soft_ms = 20000, .hard_ms = 20000 } };
        struct jailed other = one;
        other.preamble = pk_buf_text(&eager);
        jailed_run(jail, &one);
        jailed_run(jail, &other);
        assert_ok(one.is_ok, &one.err);
        assert_ok(other.is_ok, &other.err);
        assert_string_equal(one.output, other.output);
        if (i == 0) {
            assert_non_null(strstr(one.output,
                                   "\"fired\" : [ \"no\", \"soon\", \"ends\", \"sure\", "
                                   "\"has\", \"between\" ]"));
        }
        jailed_done(&one);
        jailed_done(&other);
    }
    pk_jail_free(jail);
}

/* A library that hands its handle to the script, which no library should do. */
#define HOLDING                                                        \
    "local raw = (...).raw raw.hold('m', 'list', 'more') local kept\n" \
    "return function() return { raw = raw, keep = function(x) local k = kept kept = x or k return k end } end"

/* Each row: what a script does with a handle, and what comes of it. */
static const struct {
    const char *source, *says;
} handle_table[] = {
    { "return function(i) return i.m.list end", "a userdata cannot be given out" },
    { "return function(i) return i.m.list[1] end", "attempt to index" },
    { "return function(i) i.m.list.x = 1 end", "attempt to index" },
    { "return function(i) return getmetatable(i.m.list) end", "\"raw\"" },
    { "return function(i) return tostring(i.m.list) end", "\"userdata\"" },
    { "return function(i) return pk.raw.all(i.m.list) end",
      "[ { \"id\" : \"a\", \"value\" : 1 }, 5, { \"id\" : 7 }, { \"id\" : \"b\" }, { \"id\" : \"a\", "
      "\"value\" : 2 } ]" },
    { "return function(i) return pk.raw.entry(i.m.list, 'a').value end", "{ \"value\" : 2 }" },
    { "return function(i) return pk.raw.entry(i.m.list, 'c') end", "{ }" },
    { "return function(i) return pk.raw.entry(i.m.more, 'c') end", "\"id\" : \"c\"" },
    { "return function(i) return { pk.raw.entry(i.m.more, 'c').id, pk.raw.entry(i.m.list, 'b').id } "
      "end",
      "[ \"c\", \"b\" ]" },
    { "return function(i) return pk.raw.entry(i.m, 'c') end", "a list of this call's input" },
    { "return function(i) return pk.raw.all(pk.raw.wanted({})) end",
      "a list of this call's input" },
    { "return function(i) return pk.raw.fill(i.m.list, i.m.list, {}) end", "what is wanted is" },
    { "return function(i) return pk.raw.wanted({ 1, {} }) end", "string expected" },
    { "return function(i) local v = {} pk.raw.fill(i.m.list, pk.raw.wanted({ 'x', 'a' }), v)\n"
      "return v[2] end",
      "{ \"value\" : 2 }" },
    { "return function() return { pk.raw.form({ b = { 1, 'x' }, a = false }), 2 } end",
      "[ { \"a\" : false, \"b\" : [ 1, \"x\" ] }, 2 ]" },
    { "return function() return { a = pk.raw.form('text'), b = pk.raw.form(1.5) } end",
      "{ \"a\" : \"text\", \"b\" : 1.5 }" },
    { "return function() local f = pk.raw.form({ a = 1, b = 'is', c = {} }, 'b')\n"
      "return pk.raw.forms { f, false, f, 'x', f, 12, 'plain', false, f, true, { f }, false } end",
      "[ { \"a\" : 1, \"b\" : \"is\", \"c\" : {  } }, { \"a\" : 1, \"b\" : \"x\", \"c\" : {  } }, "
      "{ \"a\" : 1, \"b\" : \"is12\", \"c\" : {  } }, \"plain\", "
      "{ \"a\" : 1, \"b\" : \"is\", \"c\" : {  } }, "
      "[ { \"a\" : 1, \"b\" : \"is\", \"c\" : {  } } ] ]" },
    { "return function() local f = pk.raw.form({ b = '' }, 'b') return pk.raw.forms { f, '\\255' } end",
      "[1]: the text is not valid UTF-8" },
    { "return function() return pk.raw.forms { 1, false, function() end, 1 } end",
      "[2]: a function cannot be given out" },
    { "return function() return pk.raw.form({ a = 1 }, 'a') end", "the object has no text 'a'" },
    { "return function() return pk.raw.form('x', 'a') end", "an object is expected" },
    { "return function() return pk.raw.form(nil) end", "a value is expected" },
    { "return function() return pk.raw.form({ f = function() end }) end",
      "f: a function cannot be given out" },
    { "return function() return getmetatable(pk.raw.form({})) end", "\"form\"" },
    { "return function() return pk.raw.form({}).x end", "attempt to index" },
    { "return function() local t = pk.raw.form({ { { {} } } })\n"
      "for i = 1, 29 do t = { t } end return t end",
      "the tables are nested too deep" },
    { "return function() local t = pk.raw.form({ { { {} } } })\n"
      "for i = 1, 28 do t = { t } end return t end",
      "[ [ [ {  } ] ] ]" },
    { "return function() local f, t = pk.raw.form({ ('x'):rep(1000) }), {}\n"
      "for i = 1, 300 do t[i] = f end return t end",
      "what is given out is over 262144 bytes" },
    { "return function() local r = pk.raw.reads({ 'a', 'b', 'c' }, { 1, 2 })\n"
      "return pk.raw.note(r, { 1, false, false }) end",
      "[ { \"keys\" : [ \"a\" ], \"kind\" : \"trait\", \"match\" : \"exact\" }, "
      "{ \"keys\" : [ \"b\" ], \"kind\" : \"trait\", \"match\" : \"miss\" } ]" },
    { "return function() local r = pk.raw.reads({ 'a', 'b', 'c' }, { 1 })\n"
      "return pk.raw.note(r, { 1, true }, { 3, 2, 1, 3 }) end",
      "[ { \"keys\" : [ \"c\" ], \"kind\" : \"trait\", \"match\" : \"miss\" }, "
      "{ \"keys\" : [ \"b\", \"a\" ], \"kind\" : \"trait\", \"match\" : \"exact\" } ]" },
    { "return function() return pk.raw.note(pk.raw.reads({}, {}), {}) end",
      "{ \"value\" : [  ] }" },
    { "return function() return pk.raw.reads({ 'a' }, { 2 }) end",
      "a slot from 1 to 1 is expected" },
    { "return function() return pk.raw.reads({ '\\255' }, {}) end", "paths are UTF-8" },
    { "return function() return pk.raw.note(pk.raw.reads({ 'a' }, {}), {}, { 0 }) end",
      "a slot from 1 to 1 is expected" },
    { "return function() return pk.raw.note(pk.raw.form({}), {}) end",
      "what host.raw.reads gave is expected" },
    { "return function() return pk.raw.interpret(1) end", "function expected" },
    { "return function(i) return type(pk.keep(i.m.list)) end", "\"value\" : \"" },
    { "return function(i) return pk.raw.all(pk.keep()) end", "a list of this call's input" },
};

TEST(a_handle_can_be_read_in_its_call_and_nothing_else)
{
    struct pk_jail *jail = jailed_new(1);

    for (size_t i = 0; i < PK_COUNT(handle_table); i++) {
        PK_CLEANUP(pk_freep)
        char *source = pk_strdupf("local pk = require 'personakit' %s", handle_table[i].source);
        struct jailed jailed = {
            .source = source,
            .preamble = HOLDING,
            .is_preamble_resident = true,
            .input = "{ \"m\": { \"list\": [ { \"id\": \"a\", \"value\": 1 }, 5, { \"id\": 7 }, { "
                     "\"id\": \"b\" }, { \"id\": \"a\", \"value\": 2 } ], \"more\": [ { \"id\": "
                     "\"c\" } ] }, \"list\": [ 1 ] }",
        };
        for (int times = 0; times < 2; times++) {
            jailed_run(jail, &jailed);
            const char *said = jailed.is_ok ? jailed.output : jailed.err.message;
            if (!strstr(said, handle_table[i].says)) {
                fail_msg("%s\ngives %s", handle_table[i].source, said);
            }
            jailed_done(&jailed);
        }
    }
    pk_jail_free(jail);
}

TEST(a_handle_that_a_library_kept_is_refused_in_the_next_call)
{
    static const char source[] = "local pk = require 'personakit' return function(i)\n"
                                 "  local old = pk.keep(i.m.list)\n"
                                 "  if old then return pk.raw.all(old) end\n"
                                 "  return #pk.raw.all(i.m.list) end";
    struct pk_jail *jail = jailed_new(1);
    struct jailed jailed = { .source = source,
                             .preamble = HOLDING,
                             .is_preamble_resident = true,
                             .input = "{ \"m\": { \"list\": [ 1, 2 ] } }" };

    jailed_run(jail, &jailed);
    assert_ok(jailed.is_ok, &jailed.err);
    assert_string_equal(jailed.output, "{ \"value\" : 2 }");
    jailed_done(&jailed);
    jailed_run(jail, &jailed);
    assert_non_null(strstr(jailed.err.message, "a list of this call's input is expected"));
    jailed_done(&jailed);
    pk_jail_free(jail);
}
