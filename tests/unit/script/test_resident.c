/* test_resident.c - The authors' library stays with a script between calls; nothing of a call does.
 *
 * The real library is loaded resident, and a mapper does to it whatever a
 * script can: it writes into every table that it can reach, replaces functions,
 * and breaks off inside the library at every depth of the stack, by error and
 * by coroutine. After each of these the next person's persona must be the one
 * that a new worker gives. */
/* SPDX-License-Identifier: MIT */
#include "base/alloc.h"
#include "jailed.h"
#include "script/library.h"

#include <string.h>

/* clang-format off */
static const char mapper[] =
    "local pk = require 'personakit'\n"
    "local function mark(found, seen, name, v, depth)\n"
    "  if type(v) ~= 'table' or seen[v] or depth > 8 then return end\n"
    "  seen[v] = true\n"
    "  if rawget(v, 'MARK') ~= nil then found[#found + 1] = name end\n"
    "  pcall(function()\n"
    "    for k, x in pairs(v) do mark(found, seen, name .. '.' .. tostring(k), x, depth + 1) end\n"
    "  end)\n"
    "  mark(found, seen, name .. '.meta', getmetatable(v), depth + 1)\n"
    "  pcall(rawset, v, 'MARK', 'of another call')\n"
    "end\n"
    "local function try(...) local ok, a, b = pcall(...) return ok and a, b end\n"
    "local TRICK = {}\n"
    "function TRICK.mark(m, ctx)\n"
    "  local found, seen = {}, {}\n"
    "  local all = { _G = _G, pk = pk, m = m, ctx = ctx, goals = m.goals, beliefs = m.beliefs, now = m.now,\n"
    "    facts = m.facts, found = m.found, value = m['a.list'], each = { m:each('a') }, date = pk.date(0),\n"
    "    cut = pk.cut, section = pk.section { from = {} }, rule = pk.rule {}, trait = pk.trait('a.b'),\n"
    "    path = { pk.path('!') }, traits = try(pk.traits, { a = { value = { 1 } } }), ctxnow = ctx.now,\n"
    "    field = pk.field({ a = { b = { 1 } } }, 'a.b', 'value'), list = pk.list {}, keys = pk.keys({ b = 1 }),\n"
    "    fill = { pcall(m.fill, m, '{{') }, mapper = pk.mapper {} }\n"
    "  mark(found, seen, 'all', all, 1)\n"
    "  return { found = found }\n"
    "end\n"
    "function TRICK.replace(m)\n"
    "  for _, t in ipairs { string, table, math, bit, coroutine, _G } do\n"
    "    for _, k in ipairs { 'find', 'format', 'gsub', 'sub', 'match', 'concat', 'sort', 'insert', 'max',\n"
    "      'min', 'floor', 'type', 'pairs', 'next', 'error', 'tostring', 'rawget', 'getmetatable', 'wrap' } do\n"
    "      pcall(rawset, t, k, function() return 'OWNED' end)\n"
    "    end\n"
    "  end\n"
    "  return { each = pcall(m.each, m, 'a'), fill = m:fill('{{a.b|none}}') }\n"
    "end\n"
    "function TRICK.deep(m, ctx)\n"
    "  local function down(n)\n"
    "    pcall(m.fill, m, 'x {{a.b|none}} {{a.list}}') pcall(m.each, m, 'a') pcall(pk.traits, { a = 1 })\n"
    "    pcall(pk.field, { a = 1 }, 'a', 'value') pcall(pk.path, 'a/b') pcall(m.changed_within, m, 'a.b', '7d')\n"
    "    return down(n + 1) + 1\n"
    "  end\n"
    "  pcall(down, 1)\n"
    "  return {}\n"
    "end\n"
    "function TRICK.break_off(m)\n"
    "  local co = coroutine.wrap(function()\n"
    "    local hostile = setmetatable({}, { __index = function() coroutine.yield() end,\n"
    "      __tostring = function() coroutine.yield() end, __metatable = 'date' })\n"
    "    pcall(pk.field, hostile, 'a', 'value') pcall(pk.traits, hostile) pcall(pk.date, hostile)\n"
    "    m:fill(hostile)\n"
    "  end)\n"
    "  for i = 1, 5 do pcall(co) end\n"
    "  local steps = coroutine.wrap(function() for p in m:each('a') do coroutine.yield(p) end end)\n"
    "  steps()\n"
    "  pcall(pk.keys, setmetatable({}, { __metatable = 'list' }))\n"
    "  return { first = (pcall(error, m)) }\n"
    "end\n"
    "function TRICK.fail(m) error(setmetatable({}, { __index = m }), 0) end\n"
    "function TRICK.grow(m) local t = {} for i = 1, 1e7 do t[i] = m['a.b'] .. i .. m:fill('{{a.b}}') end end\n"
    "function TRICK.loop(m) while true do pcall(m.fill, m, '{{a.b}}') pcall(pk.traits, { a = 1 }) end end\n"
    "function TRICK.see(m, ctx)\n"
    "  local names, paths = {}, {}\n"
    "  for k in pairs(_G) do names[#names + 1] = k end\n"
    "  for p, v in m:each('a') do paths[#paths + 1] = p .. '=' .. tostring(v) end\n"
    "  return { names = table.concat(names, ' '), list = m['a.list'], fill = m:fill('{{a.b|none}} {{a.c|none}}'),\n"
    "    paths = table.concat(paths, ' '), held = m.found.q, now = ctx.now, mood = m.now.mood,\n"
    "    traits = pk.traits({ x = { value = 3 } }), random = math.random(1e9), task = ctx.task }\n"
    "end\n"
    "return pk.mapper {\n"
    "  id = 'attack', name = 'Attack', version = '1.0.0', purpose = 'attack', optional = { 'a.*' },\n"
    "  rules = { pk.rule { id = 'r', when = pk.trait('a.c'):exists(), suggest = 'it is {{a.b|none}}' } },\n"
    "  core = function(m, ctx) return TRICK[ctx.task.trick](m, ctx) end,\n"
    "}\n";
/* clang-format on */

#define INPUT(trick, who)                                                                  \
    "{ \"now\": { \"$date\": \"2026-11-21T07:32:00Z\" }, \"detail\": \"instant\","         \
    " \"task\": { \"trick\": \"" trick "\" },"                                             \
    " \"mindscape\": { \"highVolatileCache\": { \"mood\": \"" who "\" }, \"traits\": ["    \
    " { \"id\": \"a.b\", \"value\": \"" who "\" }, { \"id\": \"a.c\", \"value\": false }," \
    " { \"id\": \"a.list\", \"value\": [ \"" who "\", { \"x\": 1 } ] } ] } }"

static const char *const trick_table[] = {
    INPUT("mark", "ALICE"),      INPUT("replace", "ALICE"),  INPUT("deep", "ALICE"),
    INPUT("break_off", "ALICE"), INPUT("fail", "ALICE"),     INPUT("grow", "ALICE"),
    INPUT("loop", "ALICE"),      INPUT("nonsense", "ALICE"),
};

/* What 'describe' of the full library makes of the mapper's rules. */
static void take_program(struct pk_jail *jail, struct pk_buf *program)
{
    PK_CLEANUP(pk_buf_done) struct pk_buf library = { 0 };
    bson_t view;
    bson_iter_t iter, found;

    pk_library_text(PK_LIBRARY_FULL, NULL, 0, &library);
    struct jailed jailed = { .source = mapper,
                             .preamble = pk_buf_text(&library),
                             .entry = "describe",
                             .limits = { .soft_ms = 20000, .hard_ms = 20000 } };
    jailed_run(jail, &jailed);
    assert_ok(jailed.is_ok, &jailed.err);
    pk_jail_result_view(&jailed.result, &view);
    if (!bson_iter_init(&iter, &view) ||
        !bson_iter_find_descendant(&iter, "value.program", &found)) {
        fail_msg("no program in %s", jailed.output);
    }
    pk_buf_add_text(program, bson_iter_utf8(&found, NULL));
    jailed_done(&jailed);
}

static struct jailed run_trick(struct pk_jail *jail, const struct pk_buf *library,
                               const char *input)
{
    struct jailed jailed = { .source = mapper,
                             .preamble = pk_buf_text(library),
                             .is_preamble_resident = true,
                             .entry = "map",
                             .input = input,
                             .seed = 7,
                             .limits = {
                                 .soft_ms = 500, .hard_ms = 5000, .memory_bytes = 8 << 20 } };
    jailed_run(jail, &jailed);
    return jailed;
}

static char *seen_by(struct pk_jail *jail, const struct pk_buf *library)
{
    struct jailed jailed = run_trick(jail, library, INPUT("see", "BOB"));
    assert_ok(jailed.is_ok, &jailed.err);
    assert_non_null(strstr(jailed.output, "a.list"));
    assert_non_null(strstr(jailed.output, "it is BOB"));
    assert_null(strstr(jailed.output, "ALICE"));
    char *seen = pk_strdup(jailed.output);
    jailed_done(&jailed);
    return seen;
}

TEST(nothing_that_a_script_does_to_the_resident_library_reaches_the_next_call)
{
    PK_CLEANUP(pk_buf_done) struct pk_buf program = { 0 };
    PK_CLEANUP(pk_buf_done) struct pk_buf library = { 0 };
    struct pk_jail *jail = jailed_new(1);

    take_program(jail, &program);
    pk_library_text(PK_LIBRARY_RESIDENT, program.data, program.size, &library);
    char *before = seen_by(jail, &library);
    for (size_t i = 0; i < 3 * PK_COUNT(trick_table); i++) {
        struct jailed jailed = run_trick(jail, &library, trick_table[i / 3]);
        if (strstr(trick_table[i / 3], "\"mark\"")) {
            assert_ok(jailed.is_ok, &jailed.err);
            if (strstr(jailed.output, "all.")) {
                fail_msg("marks of another call: %s", jailed.output);
            }
        }
        if (jailed.result.end == PK_JAIL_CRASHED) {
            fail_msg("%s: %s", trick_table[i / 3], jailed.err.message);
        }
        jailed_done(&jailed);
        char *after = seen_by(jail, &library);
        if (strcmp(before, after) != 0) {
            fail_msg("after %s\n%s\nand not\n%s", trick_table[i / 3], after, before);
        }
        pk_free(after);
    }
    pk_free(before);
    pk_jail_free(jail);
}

/* Takes the input as it comes, past the library, and tries whatever could be done to a handle. */
/* clang-format off */
static const char bare[] =
    "local pk = require 'personakit'\n"
    "local made = pk.mapper { id = 'a' }\n"
    "return { map = function(input)\n"
    "  local list = input.mindscape.traits\n"
    "  local meta, seen = getmetatable(list), {}\n"
    "  if type(meta) == 'table' then\n"
    "    seen[#seen + 1] = rawget(meta, 'MARK')\n"
    "    pcall(rawset, meta, 'MARK', input.mindscape.traits and 'of another call')\n"
    "    pcall(rawset, meta, '__gc', function() error('gc') end)\n"
    "    pcall(rawset, meta, '__index', function() return 'OWNED' end)\n"
    "    seen[#seen + 1] = 'a metatable that can be written'\n"
    "  end\n"
    "  for _, try in ipairs { function() return #list end, function() return list[1] end,\n"
    "    function() list.x = 1 end, function() return list.x end, function() return list .. '' end,\n"
    "    function() return list() end, function() return pairs(list) end, function() return next(list) end,\n"
    "    function() return rawget(list, 1) end, function() return setmetatable(list, {}) end,\n"
    "    function() return list < list end, function() return ipairs(list)(list, 0) end,\n"
    "    function() return unpack(list) end, function() return table.concat(list) end,\n"
    "    function() return table.insert(list, 1) end, function() return ('%s'):format(list):match('0x') end\n"
    "  } do\n"
    "    local ok, x = pcall(try)\n"
    "    if ok and x ~= nil and type(list) == 'userdata' then seen[#seen + 1] = tostring(_) .. tostring(x) end\n"
    "  end\n"
    "  return { type = type(list), seen = seen, text = tostring(list) }\n"
    "end }\n";
/* clang-format on */

TEST(a_list_that_stays_bson_shows_and_takes_nothing)
{
    PK_CLEANUP(pk_buf_done) struct pk_buf program = { 0 };
    PK_CLEANUP(pk_buf_done) struct pk_buf library = { 0 };
    struct pk_jail *jail = jailed_new(1);

    take_program(jail, &program);
    pk_library_text(PK_LIBRARY_RESIDENT, program.data, program.size, &library);
    for (int i = 0; i < 3; i++) {
        struct jailed jailed = { .source = bare,
                                 .preamble = pk_buf_text(&library),
                                 .is_preamble_resident = true,
                                 .entry = "map",
                                 .input = INPUT("see", "BOB") };
        jailed_run(jail, &jailed);
        assert_ok(jailed.is_ok, &jailed.err);
        assert_string_equal(jailed.output, "{ \"value\" : { \"seen\" : {  }, \"text\" : "
                                           "\"userdata\", \"type\" : \"userdata\" } }");
        jailed_done(&jailed);
    }
    pk_jail_free(jail);
}
