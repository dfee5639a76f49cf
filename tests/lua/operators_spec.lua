-- operators_spec.lua - Every operator on every type of value: compiled, walked, from Lua and from JSON.
local host = dofile((debug.getinfo(1, "S").source:match("^@(.*/)") or "./") .. "host.lua")

local condition = require "personakit.condition"
local explain = require "personakit.explain"
local operators = require "personakit.operators"
local rule = require "personakit.rule"
local source = require "personakit.source"

local MISSING = {} -- the trait is not there

-- operator -> { operand, { values for which it holds }, { values for which it does not } }
local CASES = {
  is = {
    { "morning", { "morning" }, { "Morning", "morning ", "", 5, true, false, { "morning" }, MISSING } },
    { 5, { 5, 5.0 }, { "5", 6, -5, MISSING, { 5 } } },
    { 0, { 0, -0 }, { false, "", MISSING } },
    { -1.5, { -1.5 }, { 1.5, MISSING } },
    { true, { true }, { false, 1, "true", MISSING } },
    { false, { false }, { true, 0, "", MISSING, {} } },
    { "", { "" }, { " ", MISSING, false } },
    { { "a", 2 }, { { "a", 2 } }, { { "a" }, { 2, "a" }, { "a", 2, 3 }, "a", MISSING, false } },
    { { x = { y = 1 } }, { { x = { y = 1 } } }, { { x = { y = 2 } }, { x = { y = 1 }, z = 1 }, {} } },
    { {}, { {} }, { { 1 }, false, "", MISSING } },
  },
  is_not = {
    { "morning", { "evening", 5, false, true, {}, "" }, { "morning", MISSING } },
    { false, { true, 0, "" }, { false, MISSING } },
    { { "a" }, { { "b" }, "a", false }, { { "a" }, MISSING } },
  },
  gt = {
    { 5, { 5.001, 6, 1e300, math.huge }, { 5, 4, -6, "6", true, {}, MISSING, 0 / 0, -math.huge } },
    { "b", { "c", "ba" }, { "b", "a", "B", 5, MISSING, false, {} } },
  },
  gte = {
    { 5, { 5, 6 }, { 4.999, "5", MISSING, false, { 5 }, 0 / 0 } },
    { "b", { "b", "c" }, { "a", MISSING, 9 } },
  },
  lt = {
    { 5, { 4.999, -10, 0 }, { 5, 6, "4", MISSING, false, 0 / 0 } },
    { "2026-02", { "2026-01-31" }, { "2026-02", "2026-03", 1, MISSING } },
  },
  lte = { { 0, { 0, -1 }, { 0.001, "", MISSING, false } }, { "b", { "b", "a", "" }, { "c", 0, MISSING } } },
  between = {
    { { 8, 10 }, { 8, 9.5, 10 }, { 7.999, 10.001, "9", MISSING, false, {}, 0 / 0 } },
    { { "09:00", "11:00" }, { "09:00", "10:30", "11:00" }, { "08:59", "11:01", 9, MISSING } },
    { { 3, 3 }, { 3 }, { 2, 4 } },
  },
  in_ = {
    { { "a", "b" }, { "a", "b" }, { "c", "", 1, false, { "a" }, MISSING } },
    { { 1, 2, 3, 4, 5, 6, 7, 8, 9, 10 }, { 1, 10 }, { 0, 11, "1", MISSING, false, {}, 0 / 0 } },
    { { false, 0 }, { false, 0 }, { true, "", MISSING } },
    { { false, 1, 2, 3, 4, 5, 6, 7, 8 }, { false, 8 }, { true, 9, MISSING } },
  },
  not_in = {
    { { "a", "b" }, { "c", 1, false, {} }, { "a", "b", MISSING } },
    { { 1, 2, 3, 4, 5, 6, 7, 8, 9, 10 }, { 0, "1", false }, { 1, 10, MISSING } },
  },
  contains = {
    { "ing", { "morning", "ing", { "a", "ing" }, { ing = 1 } },
      { "Morn", "", { "morning" }, {}, 5, true, false, MISSING } },
    { 5, { { 1, 5 } }, { "5", 5, { "5" }, MISSING } },
    { "%a+", { "x%a+y" }, { "abc", MISSING } },
    { false, { { true, false } }, { false, { true }, MISSING } },
  },
  not_contains = { { "x", { "abc", { "a" }, 5, false }, { "axb", { "x" }, MISSING } } },
  matches = {
    { "^mon|day$", { "monday", "sunday", "monx" }, { "sun", "", 5, true, { "monday" }, MISSING, false } },
    { "(?i)^é.*$", { "éa" }, { "ea", MISSING } },
    { "", { "", "x" }, { 5, MISSING } },
  },
  exists = {
    { nil, { "x", 0, false, "", {} }, { MISSING } },
    { true, { false }, { MISSING } },
    { false, { MISSING }, { false, "x", 0 } },
  },
  missing = { { nil, { MISSING }, { "x", 0, false, "", {} } } },
  changed_within = { { "36h", { "x", false }, { MISSING } }, { "1h", {}, { "x", MISSING } } },
  confident = { { 0.8, { "x", false }, { MISSING } }, { 0.81, {}, { "x", MISSING } },
    { 0, { "x" }, { MISSING } } },
}

local JSON_OF = {}
for _, row in ipairs(operators.row) do
  JSON_OF[row.name] = row.json[1]
end

local function node_of(name, operand)
  return assert(condition.test("some.trait", operators.method[name], operand))
end

local compile = require "personakit.compile"
local rules = require "personakit.rules"

local function compiled(node)
  local program = assert(loadstring(compile.source({
    { id = "r", when = node, detail = 1, level = "overlay", says = {} },
  }, {})))(rules.kit())
  return function(from)
    local v, e = source.slots(from, program, rules.FALSE)
    return rules.evaluate(program.overlay[1], v, e, from.now, {}) == 1
  end
end

local function source_of(value)
  local traits = { { id = "another", value = 1 } }
  if value ~= MISSING then
    traits[2] = { id = "some.trait", value = value, confidence = 0.8,
      updatedAt = host.NOW - host.DAY }
  end
  return source.new({ traits = traits }, host.NOW)
end

local function say(name, operand, value)
  local v = require("personakit.value")
  return string.format("%s %s on %s", name, v.canonical(operand), value == MISSING and "nothing"
    or v.canonical(value))
end

describe("operators", function()
  it("all have cases", function()
    for _, name in ipairs(operators.methods) do
      assert.is_truthy(CASES[name], name)
      assert.is_truthy(operators.method[name].help, name)
    end
  end)

  for name, cases in pairs(CASES) do
    it(name .. " holds when it should, and only then", function()
      for _, case in ipairs(cases) do
        local node = node_of(name, case[1])
        local run = compiled(node)
        for i, wanted in ipairs({ true, false }) do
          for _, value in ipairs(case[i + 1]) do
            local from = source_of(value)
            assert.are.equal(wanted, run(from), "compiled: " .. say(name, case[1], value))
            assert.are.equal(wanted, explain.holds(node, from), "walked: " .. say(name, case[1], value))
          end
        end
      end
    end)

    it(name .. " is the same negated, within others and from JSON", function()
      for _, case in ipairs(cases) do
        local node = node_of(name, case[1])
        local json = assert(rule.conditions({ all = { { type = "trait_check", trait = "some/trait",
          operator = JSON_OF[name], value = case[1] } } }))
        assert.are.equal(condition.text(node), condition.text(json[1]))
        local negated = compiled(condition.not_(node))
        local doubled = compiled(condition.none(condition.not_(node), condition.not_(node)))
        for i, wanted in ipairs({ true, false }) do
          for _, value in ipairs(case[i + 1]) do
            local from = source_of(value)
            assert.are.equal(not wanted, negated(from), "not " .. say(name, case[1], value))
            assert.are.equal(wanted, doubled(from), "none of not " .. say(name, case[1], value))
          end
        end
      end
    end)
  end

  it("null is a trait that is not known", function()
    local script = assert(host.load([[
      local pk = require "personakit"
      return pk.mapper { id = "x", rules = { pk.rule { id = "gone", when = pk.trait("a"):missing(),
        suggest = "a" } } }
    ]]))
    assert.are.same({ "gone" }, script:call("map", host.input({ a = host.null })).fired)
    assert.are.same({}, script:call("map", host.input({ a = false })).fired)
  end)

  it("every name of JSON leads to its operator", function()
    for _, row in ipairs(operators.row) do
      for _, name in ipairs(row.json) do
        assert.are.equal(row, operators.json[name])
      end
    end
  end)

  local WRONG = {
    { "gt", nil, "has no order" }, { "gt", true, "has no order" }, { "lt", 0 / 0, "has no order" },
    { "lte", math.huge, "has no order" }, { "gte", {}, "has no order" },
    { "between", 5, "two numbers" }, { "between", { 5 }, "two numbers" },
    { "between", { 5, "6" }, "two numbers" }, { "between", { 6, 5 }, "above" },
    { "in_", {}, "at least one" }, { "in_", "a", "list" }, { "in_", { {} }, "item 1" },
    { "in_", { a = 1 }, "list" }, { "is", nil, "missing" }, { "is", print, "function" },
    { "is", 0 / 0, "not a number" }, { "contains", nil, "missing" }, { "contains", {}, "item 1" },
    { "matches", "(", "wrong at byte" }, { "matches", 5, "not a text" },
    { "matches", ("a"):rep(501), "longer" }, { "exists", "yes", "neither true nor false" },
    { "changed_within", "7 days", "not a duration" }, { "changed_within", -1, "not a duration" },
    { "confident", 1.1, "no confidence" }, { "confident", "0.5", "no confidence" },
  }
  it("a wrong operand is refused in words", function()
    for _, case in ipairs(WRONG) do
      local node, why = condition.test("a.b", operators.method[case[1]], case[2])
      assert.is_nil(node, case[1])
      assert.is_truthy(why.message:find(case[3], 1, true), case[1] .. ": " .. why.message)
      assert.is_truthy(why.message:find("trait 'a.b', operator '" .. case[1] .. "'", 1, true))
    end
  end)

  it("contains itself is no value", function()
    local loop = {}
    loop.loop = loop
    local _, why = condition.test("a", operators.method.is, loop)
    assert.is_truthy(why.message:find("contains itself", 1, true))
  end)

  it("the reference names all of them", function()
    local text = require("personakit.reference").operators()
    for _, row in ipairs(operators.row) do
      assert.is_truthy(text:find("`:" .. row.name .. "`", 1, true))
    end
  end)
end)
