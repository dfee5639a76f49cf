-- rules_spec.lua - Rules of Lua and of JSON: the same objects, the same results, and words for what is wrong.
local host = dofile((debug.getinfo(1, "S").source:match("^@(.*/)") or "./") .. "host.lua")

local compile = require "personakit.compile"
local condition = require "personakit.condition"
local explain = require "personakit.explain"
local operators = require "personakit.operators"
local rule = require "personakit.rule"
local rules = require "personakit.rules"
local source = require "personakit.source"
local value = require "personakit.value"

-- ---- Random conditions, in both spellings ----

local PATHS = { "a", "a.b", "a.b.c", "work.x", "work.y-z", "mood" }
local OPERANDS = {
  is = { "x", 5, true, false, { "x", 5 } }, is_not = { "x", 0, { x = 1 } }, gt = { 3, "m" },
  gte = { 5, "x" }, lt = { 5, "x" }, lte = { -1, "y" }, between = { { 1, 5 }, { "a", "m" } },
  in_ = { { "x", "y" }, { 1, 2, 3, 4, 5, 6, 7, 8, 9, false } }, not_in = { { "x", 5 } },
  contains = { "x", 5 }, not_contains = { "y" }, matches = { "^x", "(?i)Y$" }, exists = { true, false },
  missing = { true }, changed_within = { "12h", "3d" }, confident = { 0.2, 0.5, 0.9 },
}
local VALUES = { "x", "y", "xy", 0, 1, 3.5, 5, -2, true, false, { "x", 5 }, { x = 1 }, {} }

local function pick(list)
  return list[math.random(#list)]
end

-- A condition as { Lua node, JSON }.
local function random_condition(depth)
  local kind = depth == 0 and "test" or pick({ "test", "test", "all", "any", "none", "not" })
  if kind == "test" then
    local row = pick(operators.row)
    local path, operand = pick(PATHS), pick(OPERANDS[row.name])
    return assert(condition.test(path, row, operand)), { type = "trait_check", trait = path,
      operator = pick(row.json), value = operand }
  elseif kind == "not" then
    local node, json = random_condition(depth - 1)
    return condition.not_(node), { ["not"] = json }
  end
  local nodes, jsons = {}, {}
  for i = 1, math.random(1, 4) do
    nodes[i], jsons[i] = random_condition(depth - 1)
  end
  return condition[kind](nodes), { [kind] = jsons }
end

local function random_source()
  local list = {}
  for _, path in ipairs(PATHS) do
    if math.random() < 0.7 then
      list[#list + 1] = { id = path, value = pick(VALUES), confidence = math.random(),
        halfLife = pick({ false, 5 * host.DAY }) or nil,
        updatedAt = host.NOW - math.random(0, 5) * host.DAY / 2 }
    end
  end
  return source.new({ traits = list }, host.NOW)
end

local function load_program(list)
  return assert(loadstring(compile.source(list, {})))(rules.kit())
end

describe("rules", function()
  it("of JSON and of Lua become the same source, byte for byte", function()
    math.randomseed(1)
    for i = 1, 300 do
      local node, json = random_condition(3)
      local of_lua = assert(rule.read({ id = "r" .. i, when = node, suggest = "Do {{a|it}}",
        priority = "high", section = "hints", detail = "balanced" }))
      local of_json = assert(rule.read({ id = "r" .. i, conditions = json, detail = "Balanced",
        actions = { { type = "suggestion", template = "Do {{a|it}}", section = "hints" },
          { type = "priority", priority = "HIGH" } } }))
      assert.are.equal(condition.text(of_lua.when), condition.text(of_json.when))
      assert.are.equal(compile.source({ of_lua }, {}), compile.source({ of_json }, {}))
    end
  end)

  it("compiled fire exactly when walking them says so", function()
    math.randomseed(2)
    local list = {}
    for i = 1, 300 do
      list[i] = { id = "r" .. i, when = random_condition(math.random(0, 4)), detail = math.random(3),
        level = pick({ "core", "overlay" }), says = {} }
    end
    local program = load_program(list)
    local fired_at_all = 0
    for _ = 1, 100 do
      local from = random_source()
      local v, e = source.slots(from, program, rules.FALSE)
      for _, level in ipairs({ "core", "overlay" }) do
        for detail = 1, 3 do
          local fired, is_fired = {}, {}
          rules.evaluate(program[level][detail], v, e, from.now, fired)
          for _, i in ipairs(fired) do
            is_fired[i] = true
            fired_at_all = fired_at_all + 1
          end
          for i, each in ipairs(list) do
            local wanted = each.level == level and each.detail <= detail
              and explain.holds(each.when, from)
            assert.are.equal(wanted, is_fired[i] or false, condition.text(each.when))
          end
        end
      end
    end
    assert.is_true(fired_at_all > 10000)
  end)

  it("2,000 of them, and one of 2,000 tests, compile and run", function()
    local list, tests = {}, {}
    for i = 1, 1999 do
      list[i] = { id = "r" .. i, when = assert(condition.test("t" .. i % 700, operators.method.is, i)),
        detail = 1, level = "overlay", says = { { parts = { "x" }, section = "s", priority = "low" } } }
      tests[i] = assert(condition.test("t" .. i, operators.method.exists, nil))
    end
    list[2000] = { id = "wide", when = condition.any(tests), detail = 1, level = "overlay", says = {} }
    local program = load_program(list)
    local from = source.new({ traits = { { id = "t1", value = 701 }, { id = "t2", value = 2 } } },
      host.NOW)
    local v, e = source.slots(from, program, rules.FALSE)
    local fired = {}
    rules.evaluate(program.overlay[1], v, e, from.now, fired)
    assert.are.same({ 2, 701, 2000 }, fired)
    local said = {}
    program.say(701, nil, function(_, item) said[#said + 1] = item.ruleId end)
    assert.are.same({ "r701" }, said)
  end)

  it("say what they say: priorities, sections, several texts, named texts", function()
    local script = assert(host.declared({
      id = "x", templates = { hello = "Hello {{name}}" },
      rules = {
        { id = "a", conditions = { all = { { type = "trait_check", trait = "name", operator = "exists" } } },
          actions = {
            { type = "template", template = "hello", priority = "low" },
            { type = "priority", priority = "high" },
            { type = "suggestion", template = "{{missing.thing_here}} and {{missing.other|a default}}" },
            { type = "suggestion", template = "Elsewhere", section = "hints" },
          } },
        { id = "b", level = "core", conditions = { type = "trait_check", trait = "age",
            operator = ">=", value = 18 }, actions = { { type = "suggestion", template = "{{age}}" } } },
      },
    }))
    local output = script:call("map", host.input({ name = "Ada", age = 36.5 }))
    assert.are.same({ "b", "a" }, output.fired)
    assert.are.same({ suggestions = { { ruleId = "b", text = "36.5", priority = "medium",
      traits = { "age" } } } }, output.core)
    local traits = { "name", "missing.thing_here", "missing.other" }
    assert.are.same({
      suggestions = {
        { ruleId = "a", text = "Hello Ada", priority = "low", traits = traits },
        { ruleId = "a", text = "(thing here unknown) and a default", priority = "high", traits = traits },
      },
      hints = { { ruleId = "a", text = "Elsewhere", priority = "high", traits = traits } },
    }, (function()
      -- The named text's traits are found out when it is resolved: 'name' comes from the test.
      return output.overlay
    end)())
    assert.are.same({ "'missing.thing_here' is not known; give a default: {{missing.thing_here|...}}" },
      output.warnings)
    assert.are.same({ path = "overlay.suggestions.1", ruleId = "a", traits = traits }, output.lines[3])
  end)

  it("a section that is no list is not added to", function()
    local script = assert(host.load([[
      local pk = require "personakit"
      return pk.mapper { id = "x", overlay = function() return { suggestions = "none" } end,
        rules = { pk.rule { id = "r", when = pk.trait("a"):exists(), suggest = "s" } } }
    ]]))
    assert.has_error(function() script:call("map", host.input({ a = 1 })) end,
      "overlay: section 'suggestions' is not a list, and rule 'r' adds to it")
  end)

  it("explain why they did not fire", function()
    local script = assert(host.load(host.read_file(host.root
      .. "tests/lua/fixtures/daily-work-optimizer.lua"), "daily.lua"))
    local said = script:full("explain", host.input({ ["work.chronotype"] = "morning",
      ["work.focus.deep_minutes"] = 90 })).rules
    assert.is_true(said[1].fired)
    assert.is_nil(said[1].reason)
    assert.are.equal("work.chronotype is 'morning'; wanted: is one of 'evening' or 'night'", said[2].reason)
    assert.are.equal("work.focus.deep_minutes is 90; wanted: lies between 1 and 60", said[3].reason)
    assert.are.equal("none of: work.meetings.per_day is not known; wanted: is at least 4 | "
      .. "work.meetings.load is not known; wanted: matches '^(high|too )'", said[4].reason)
  end)
end)

-- ---- What is wrong, in words ----

local function check(more)
  local of = { type = "trait_check", trait = "a.b", operator = "equals", value = 1 }
  for key, each in pairs(more) do
    of[key] = each
  end
  return of
end

local function with(more)
  local of = { id = "r1", conditions = check({}), actions = { { type = "suggestion", template = "t" } } }
  for key, each in pairs(more) do
    of[key] = each ~= host.null and each or nil
  end
  return { id = "m", rules = { of } }
end

local deep = check({})
for _ = 1, 40 do
  deep = { all = { deep } }
end

-- { configuration, rule, key, words of the message, words of the hint }
local WRONG = {
  { with({ id = "no spaces" }), nil, "id", "id 'no spaces' cannot be", "A-Z" },
  { with({ id = 5 }), nil, "id", "rules[1]: id 5", nil },
  { with({ whne = 1 }), "r1", "whne", "key 'whne' is not known", "did you mean 'when'?" },
  { with({ conditions = host.null }), "r1", "when", "no condition", "'conditions' in JSON" },
  { with({ conditions = {} }), "r1", nil, "conditions has none of", "exactly one" },
  { with({ conditions = { all = {} } }), "r1", "all", "conditions.all must be a list", nil },
  { with({ conditions = { all = { check({}) }, any = { check({}) } } }), "r1", nil, "several of", nil },
  { with({ conditions = { alll = { check({}) } } }), "r1", "alll", "key 'alll'", "did you mean 'all'?" },
  { with({ conditions = { all = { check({}), check({ operator = "equal" }) } } }), "r1", "operator",
    "conditions.all[2]: operator 'equal' is not known", "did you mean 'equals'?" },
  { with({ conditions = check({ operator = "greater_then", value = 1 }) }), "r1", "operator",
    "operator 'greater_then'", "did you mean 'greater_than'?" },
  { with({ conditions = check({ operator = host.null }) }), "r1", "conditions",
    "conditions: 'operator' is missing", "\"operator\": \"equals\"" },
  { with({ conditions = check({ trait = "a b" }) }), "r1", "value", "'a b' is not a trait's path", nil },
  { with({ conditions = check({ trait = "../x" }) }), "r1", nil, "not a trait's path", nil },
  { with({ conditions = check({ type = "trait_chekc" }) }), "r1", "type", "type 'trait_chekc'",
    "did you mean 'trait_check'?" },
  { with({ conditions = check({ vlaue = 1 }) }), "r1", "vlaue", "key 'vlaue'", "did you mean 'value'?" },
  { with({ conditions = { ["not"] = { ["not"] = 5 } } }), "r1", nil, "conditions.not.not is 5", nil },
  { with({ conditions = deep }), "r1", nil, "nested more than 32 deep", "split" },
  { with({ conditions = "x" }), "r1", nil, "'x', not a condition", nil },
  { with({ actions = host.null }), "r1", "suggest", "it says nothing", nil },
  { with({ actions = {} }), "r1", "actions", "at least one action", nil },
  { with({ actions = { "x" } }), "r1", "actions", "actions[1]", nil },
  { with({ actions = { { type = "sugestion" } } }), "r1", "type", "type 'sugestion'",
    "did you mean 'suggestion'?" },
  { with({ actions = { { type = "suggestion" } } }), "r1", "template", "a text is missing", nil },
  { with({ actions = { { type = "suggestion", template = "{{a" } } }), "r1", "template",
    "'{{' is not closed", "{{trait.path|default}}" },
  { with({ actions = { { type = "suggestion", template = "{{os.exit()}}" } } }), "r1", "template",
    "not a trait's path", nil },
  { with({ actions = { { type = "suggestion", template = "{{a|{{b}}" } } }), "r1", "template",
    "a default has a '{{'", nil },
  { with({ actions = { { type = "template", template = "helo" } } }), "r1", "template",
    "template 'helo' is not known", nil },
  { with({ actions = { { type = "template" } } }), "r1", "template", "must be the name", nil },
  { with({ actions = { { type = "priority", priority = "urgent" } } }), "r1", "priority",
    "priority 'urgent'", "low, medium" },
  { with({ actions = { { type = "suggestion", template = "t", section = "coreVersion" } } }), "r1",
    "section", "section 'coreVersion' cannot be", nil },
  { with({ detail = "deep-dve" }), "r1", "detail", "detail 'deep-dve'", "did you mean 'deep_dive'?" },
  { with({ level = "cores" }), "r1", "level", "level 'cores'", "did you mean 'core'?" },
  { { id = "m", rules = { with({}).rules[1], with({}).rules[1] } }, "r1", "id", "another rule has this id" },
  { { id = "m", rules = "all" }, nil, "rules", "not a list", nil },
  { { id = "M", rules = with({}).rules }, nil, "id", "'M' is not an id", "a-z" },
  { { rules = with({}).rules }, nil, "id", "key 'id' is missing", nil },
  { { id = "m" }, nil, "rules", "it makes nothing", nil },
  { { id = "m", version = "1.2", rules = with({}).rules }, nil, "version", "'1.2' is not a version", nil },
  { { id = "m", version = "01.2.3", rules = with({}).rules }, nil, "version", "not a version", nil },
  { { id = "m", version = "1.2.3-", rules = with({}).rules }, nil, "version", "not a version", nil },
  { { id = "m", ttl = "forever", rules = with({}).rules }, nil, "ttl", "'forever' is not a duration", nil },
  { { id = "m", tttl = "1h", rules = with({}).rules }, nil, "tttl", "key 'tttl'", "did you mean 'ttl'?" },
  { { id = "m", requiredTraits = { "a b" }, rules = with({}).rules }, nil, "requiredTraits",
    "item 1: 'a b'", nil },
  { { id = "m", configuration = { rulse = {} } }, nil, "rulse", "key 'rulse'", "did you mean 'rules'?" },
  { "text", nil, nil, "'text' is not a mapper", nil },
}

describe("a wrong rule", function()
  for i, case in ipairs(WRONG) do
    it(string.format("%d is refused: %s", i, case[4]), function()
      local script, why = host.declared(case[1] == "text" and "\"text\"" or case[1])
      assert.is_nil(script)
      assert.are.equal("invalid", why.code)
      assert.is_truthy(why.message:find(case[4], 1, true), why.message)
      assert.are.equal(case[2], why.rule, why.message)
      if case[3] then
        assert.are.equal(case[3], why.key, why.message)
      end
      if case[5] then
        assert.is_truthy(why.hint and why.hint:find(case[5], 1, true), why.hint)
      end
      assert.is_nil(why.message:find("[.\n]$"))
      assert.is_truthy(not case[2] or why.message:find("rule '" .. case[2] .. "'", 1, true))
    end)
  end

  it("of JSON has a line, too", function()
    local text = host.read_file(host.root .. "tests/lua/fixtures/productivity-optimizer.json")
    local _, why = host.declared((text:gsub('"priority": "low"', '"priority": "lowest"')))
    assert.are.equal("long-sessions", why.rule)
    local at = 0
    for line in text:gmatch("[^\n]*\n") do
      at = at + 1
      if at == why.line then
        assert.is_truthy(line:find('"priority": "low"', 1, true))
      end
    end
    assert.is_true(why.line > 1)
  end)

  it("in Lua is raised with the author's line", function()
    local _, why = host.load([[
      local pk = require "personakit"
      local fine = pk.trait("a"):is(1)
      local wrong = pk.trait("a"):eqals(1)
    ]], "mine.lua")
    assert.is_truthy(why:find("^mine.lua:3: operator 'eqals' is not known"), why)
    _, why = host.load("local pk = require 'personakit'\n\nlocal r = pk.rule { id = 'x', when = 5 }", "m.lua")
    assert.is_truthy(why:find("^m.lua:3: pk.rule: rule 'x': 'when' is 5, not a condition"), why)
    _, why = host.load("local pk = require 'personakit'\nreturn pk.mapper {\n id = 'x',\n core = 5 }", "m.lua")
    assert.are.equal("mapper 'x': key 'core': 5 gives no sections", why.message)
    assert.are.equal(4, why.line)
    for text, words in pairs({
      ["pk.all {}"] = "pk.all: at least one condition",
      ["pk.any(5)"] = "pk.any: item 1 is 5, not a condition",
      ["pk.all { pk.trait('a') }"] = "tests nothing yet",
      ["pk.not_()"] = "pk.not_: at least one",
      ["pk.trait('a b')"] = "'a b' is not a trait's path",
      ["pk.trait('a').is('x')"] = "call 'is' with a colon",
      ["pk.all(pk.trait('a'):is(1)):is(2)"] = "only tests of one trait can be chained",
      ["pk.trait('a'):is(1).path = 2"] = "",
      ["pk.const { f = pairs }"] = "pk.const: a function is not a value",
      ["pk.section { detail = 'x', from = 1 }"] = "pk.section: detail 'x' is not known",
      ["pk.section { form = 1 }"] = "did you mean 'from'?",
      ["pk.date('noon')"] = "'noon' is not an instant",
    }) do
      _, why = host.load("local pk = require 'personakit'\n"
        .. (text:find("=", 1, true) and not text:find("{") and text or "local x = " .. text), "m.lua")
      assert.is_truthy(type(why) == "string" and why:find("m.lua:2: ", 1, true)
        and why:find(words, 1, true) or words == "", text .. ": " .. tostring(why))
    end
  end)
end)

describe("chained tests", function()
  it("are all of them, and leave what they were made from alone", function()
    local pk = require "personakit"
    local one = pk.trait("a"):gte(1)
    local two = one:lt(5)
    local three = two:confident(0.5)
    assert.are.equal("a:gte(1)", condition.text(one))
    assert.are.equal("all(a:gte(1), a:lt(5))", condition.text(two))
    assert.are.equal("all(a:gte(1), a:lt(5), a:confident(0.5))", condition.text(three))
    assert.are.same({ "a" }, condition.paths(three))
    assert.are.equal("[1,2]", value.canonical(pk.trait("a"):between(1, 2).value))
  end)
end)
