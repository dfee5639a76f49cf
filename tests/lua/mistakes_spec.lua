-- mistakes_spec.lua - What authors get wrong, and whether they are told what, why and how, with their line.
--
-- Each row is a mistake: where it is made, and words that the message must have.
-- '|' begins the line at fault; '@' stands for a mapper's, a rule's or a
-- processor's usual beginning.
--
-- SPDX-License-Identifier: MIT
local host = dofile((debug.getinfo(1, "S").source:match("^@(.*/)") or "./") .. "host.lua")

local HEAD = "local pk = require \"personakit\"\n"

-- name -> text before and behind a body.
local FRAME = {
  script = { HEAD, "" },
  mapper = { HEAD .. "return pk.mapper {\n  id = \"m\", version = \"1.0.0\",\n", "\n}" },
  rule = { HEAD .. "return pk.mapper { id = \"m\", rules = {\n  pk.rule {\n    id = \"r1\",\n",
    "\n  },\n} }" },
  core = { HEAD .. "return pk.mapper { id = \"m\", core = function(m, ctx)\n",
    "\nend,\nexamples = { { given = { a = 1 }, expect = {} } } }" },
  process = { HEAD .. "return pk.processor { id = \"p\", version = \"1.0.0\", accepts = { \"x\" },\n"
    .. "process = function(obs, m, t, ctx)\n",
    "\nend,\nexamples = { { observation = {}, expect = { operations = {} } } } }" },
}

-- frame, body, words of the message, words of the hint (or of the message, when it is raised)
local MISTAKES = {
  { "mapper", "|requries = { \"a\" }, core = function() end", "key 'requries' is not known",
    "did you mean 'requires'?" },
  { "mapper", "core = function() end,\n|ttl = \"1 day\"", "'1 day' is not a duration", "as in '7d'" },
  { "mapper", "|requires = \"work.chronotype\", core = function() end", "is not a list",
    "put it in braces: { \"work.chronotype\" }" },
  { "mapper", "|requires = { \"work*\" }, core = function() end", "'work*' is not a trait's path",
    "'.*' at the end" },
  { "mapper", "|core = { \"a\" }", "a list gives no sections", "function(m, ctx)" },
  { "mapper", "|core = 5", "5 gives no sections", "function(m, ctx)" },
  { "mapper", "|rules = pk.rule { id = \"x\", when = pk.trait(\"a\"):is(1), suggest = \"x\" }",
    "'rules': one table is not a list", "as in { pk.rule" },
  { "mapper", "|rules = { pk.ruel { id = \"x\" } }", "'ruel' is not known", "did you mean 'rule'?" },
  { "mapper", "|rules = { pk.rule { when = pk.trait(\"a\"):is(1), suggest = \"x\" } }",
    "a rule has no 'id'", "as in id = " },
  { "mapper", "|templates = { hello = \"{{x\" }, core = function() end",
    "template 'hello': a '{{' is not closed", "{{trait.path|default}}" },
  { "mapper", "output_template = { sections = { { sectionName = \"s\",\n|prompt = \"{{a b}}\" } } }",
    "'a b' is not a trait's path", "joined by dots" },
  { "mapper", "retrieval_pipeline = { warmLayerQueries = { {\n|queryPrompt = \"{{a\" } } }, core = function() end",
    "queryPrompt of item 1: a '{{' is not closed", "{{trait.path}}" },
  { "script", "|return pk.mapper { core = function() end }", "key 'id' is missing", "as in id =" },
  { "script", "|return pk.mapper { id = \"My Mapper\", core = function() end }", "is not an id",
    "a-z, 0-9" },
  { "script", "|return pk.mapper { id = \"m\", version = \"1.0\", core = function() end }",
    "'1.0' is not a version", "like 1.2.3" },
  { "script", "|return pk.processor { id = \"p\", version = \"1.0.0\", process = function() end }",
    "key 'accepts' is missing", "as in accepts = " },
  { "script", "return pk.processor { id = \"p\", version = \"1.0.0\", process = function() end,\n"
    .. "|accepts = \"chat_log\" }", "'chat_log' is not a list", "{ \"chat_log\" }" },
  { "script", "|local T = pk.const { f = function() end }", "a function is not a value",
    "texts, numbers" },
  { "script", "local T = {}\nT.t = T\n|T = pk.const(T)", "a value contains itself", "flatter" },
  { "script", "|TONE = { a = 1 }", "global 'TONE'", "" },
  { "script", "|local x = pkk.trait(\"a\")", "no global 'pkk'", "" },

  { "rule", "|whne = pk.trait(\"a\"):is(1), suggest = \"x\"", "key 'whne' is not known",
    "did you mean 'when'?", line = 3 },
  { "rule", "|when = pk.trati(\"a\"):is(1), suggest = \"x\"", "'trati' is not known",
    "did you mean 'trait'?" },
  { "rule", "|when = pk.trait(\"a\"):equals(1), suggest = \"x\"", "operator 'equals' is not known",
    "in Lua it is written :is(...)" },
  { "rule", "|when = pk.trait(\"a\"):greater_than(1), suggest = \"x\"", "is not known", ":gt(...)" },
  { "rule", "|when = pk.trait(\"a\"):mtaches(\"x\"), suggest = \"x\"", "'mtaches' is not known",
    "did you mean 'matches'?" },
  { "rule", "|when = pk.trait(\"a\").is(\"x\"), suggest = \"x\"", "call 'is' with a colon", "" },
  { "rule", "|when = pk.trait(\"work chronotype\"):is(1), suggest = \"x\"",
    "'work chronotype' is not a trait's path", "joined by dots" },
  { "rule", "|when = pk.trait(\"a\"):between(5), suggest = \"x\"", "wants two numbers or two texts",
    "between(8, 10)" },
  { "rule", "|when = pk.trait(\"a\"):in_(\"a\", \"b\"), suggest = \"x\"", "a list of at least one",
    "{ \"a\", \"b\" }" },
  { "rule", "|when = pk.trait(\"a\"):matches(\"(ab\"), suggest = \"x\"", "a '(' without its ')'",
    "taken are" },
  { "rule", "when = true,\n|suggest = \"x\"", "'when' is true, not a condition", "pk.all",
    line = 3 },
  { "rule", "when = pk.trait(\"a\") == \"x\",\n|suggest = \"x\"", "'when' is false, not a condition",
    "'==', 'and', 'or' and 'not' make no conditions", line = 3 },
  { "rule", "when = not pk.trait(\"a\"):is(1),\n|suggest = \"x\"", "'when' is false", "pk.not_",
    line = 3 },
  { "rule", "|when = pk.all { pk.trait(\"a\") == 1 }, suggest = \"x\"", "item 1 is false",
    "make no conditions" },
  { "rule", "|when = pk.trait(\"a\"), suggest = \"x\"", "tests nothing yet", "add :exists()",
    line = 3 },
  { "rule", "|when = pk.trait(\"a\"):is(1)", "it says nothing", "give one of 'suggest'", line = 3 },
  { "rule", "|when = pk.trait(\"a\"):is(1), suggest = \"x {{a.b\"", "a '{{' is not closed",
    "write {{trait.path}}", line = 3 },
  { "rule", "|when = pk.trait(\"a\"):is(1), suggest = \"x {{a.b} y\"", "a '{{' is not closed",
    "write {{trait.path}}", line = 3 },
  { "rule", "|when = pk.trait(\"a\"):is(1), suggest = \"x {{a + 1}}\"",
    "'a + 1' is not a trait's path", "joined by dots", line = 3 },
  { "rule", "|when = pk.trait(\"a\"):is(1), template = \"x\"", "template 'x' is not known",
    "there is none of that kind here" },
  { "rule", "|when = pk.trait(\"a\"):is(1), suggest = \"x\", priority = \"hgih\"",
    "priority 'hgih' is not known", "did you mean 'high'?", line = 3 },
  { "rule", "|when = pk.trait(\"a\"):is(1), suggest = \"x\", detail = \"deep-div\"",
    "detail 'deep-div' is not known", "did you mean 'deep_dive'?", line = 3 },

  { "mapper", "core = function() end,\n|examples = { given = {}, expect = {} }",
    "'examples': one table is not a list", "as in { { given" },
  { "mapper", "core = function() end,\n|examples = { { gievn = {}, expect = {} } }",
    "example 1: key 'gievn'", "did you mean 'given'?" },
  { "mapper", "core = function() end,\n|examples = { { given = {} } }", "it expects nothing",
    "give 'expect'" },
  { "mapper", "core = function() end,\n|examples = { { given = { \"a\" }, expect = {} } }",
    "example 1: a trait's path must be a text", "as in 'work.chronotype'" },
  { "mapper", "core = function() end,\n|examples = { { given = \"a\", expect = {} } }",
    "'given' is 'a', not a table", "as in given = {" },
  { "mapper", "core = function() end,\n|examples = { { given = { a = { value = 1, age = \"3 days\" } },"
    .. " expect = {} } }", "given 'a': '3 days' is not a duration", "as in '7d'" },
  { "mapper", "core = function() end,\n|examples = { { detail = \"deep\", expect = {} } }",
    "detail 'deep' is not known", "allowed: balanced" },
  { "mapper", "core = function() end,\n|examples = { { at = \"noon\", expect = {} } }",
    "'noon' is not an instant", "as in 2026" },

  { "core", "|return { x = m[\"gone\"].b }", "attempt to index", "" },
  { "core", "|m.x = 5", "the mindscape cannot be written", "by t:set" },
  { "core", "|return { x = os.time() }", "no global 'os'", "" },
  { "core", "|return { x = ctx.detial }", "'detial' is not known", "did you mean 'detail'?" },
  { "core", "|return { x = m:changed_within(\"a\", \"7 days\") }", "'7 days' is not a duration",
    "as in '7d'" },
  { "core", "|return { x = m.confident(\"a\", 0.5) }", "a path is missing", "with a colon" },
  { "core", "|return { x = m:value(\"a b\") }", "'a b' is not a trait's path", "joined by dots" },
  { "core", "|return { x = m[\"a b\"] }", "'a b' is not a trait's path", "joined by dots" },
  { "core", "|return { x = m:fill(\"{{a\") }", "a '{{' is not closed", "" },
  { "core", "|return { x = pk.field({}, \"a\", \"txet\") }", "kind 'txet' is not known",
    "did you mean 'text'?" },
  { "core", "|return { x = pk.feild({}, \"a\", \"text\") }", "'feild' is not known",
    "did you mean 'field'?" },
  { "core", "return \"x\"", "core must return a table of sections, not a string", "", line = false },

  { "process", "|t:reinforse(\"a\", 1)", "verb 'reinforse' is not known", "did you mean 'reinforce'?" },
  { "process", "|t:set(\"a\")", "t:set: value: a value is missing", "" },
  { "process", "|t:set(\"a b\", 1)", "'a b' is not a trait's path", "" },
  { "process", "|t.set(\"a\", 1)", "call it with a colon", "as in t:set(...)" },
  { "process", "|t:set(\"a\", 1, { wieght = 1 })", "option 'wieght' is not known",
    "did you mean 'weight'?" },
  { "process", "|t:set(\"a\", 1, { weight = 70 })", "70 is out of range", "from 0 to 1" },
  { "process", "|t:set(\"a\", 1, 0.7)", "options are 0.7, not a table", "{ weight = 0.7 }" },
  { "process", "|t:goal(\"x\", { timeframe = \"soon\" })", "value 'soon' is not known",
    "allowed: long_term" },
  { "process", "|t:now(\"mood\", 1, { ttl = \"4 hours\" })", "'4 hours' is not a duration",
    "as in '7d'" },
  { "process", "|t:set(\"a\", obs.content.structured.x)", "attempt to index", "" },
}

-- Mistakes in JSON: a rule's conditions or actions, words of the message and of the hint, the line.
local CHECK = "{\"type\": \"trait_check\", \"trait\": \"a\", \"operator\": \"equals\", \"value\": 1}"
local function check(changes)
  return "{\"all\": [" .. CHECK:gsub(changes[1], changes[2], 1) .. "]}"
end
local JSON = {
  { "conditions", "[" .. CHECK .. "]", "conditions is a list", "{\"all\": [ ... ]}" },
  { "conditions", "{\"and\": [" .. CHECK .. "]}", "key 'and' is not known", "it is written 'all'" },
  { "conditions", "{\"or\": [" .. CHECK .. "]}", "key 'or' is not known", "it is written 'any'" },
  { "conditions", check({ "equals", "Equals" }), "operator 'Equals'", "did you mean 'equals'?" },
  { "conditions", check({ "equals", "less_then" }), "'less_then'", "did you mean 'less_than'?" },
  { "conditions", check({ "\"operator\": \"equals\", ", "" }), "'operator' is missing",
    "\"operator\": \"equals\"" },
  { "conditions", check({ "\"type\": \"trait_check\", ", "" }), "'type' is missing", "trait_check" },
  { "conditions", check({ "trait_check", "trait-check" }), "type 'trait-check'",
    "did you mean 'trait_check'?" },
  { "conditions", check({ "\"trait\"", "\"triat\"" }), "key 'triat'", "did you mean 'trait'?" },
  { "conditions", check({ "equals", "between" }), "operator 'between'", "between(8, 10)" },
  { "conditions", check({ "1}", "true}" }):gsub("equals", "greater_than"),
    "operator 'greater_than': true has no order", "a number or a text" },
  { "actions", "{\"type\": \"suggestion\", \"template\": \"x\"}", "must be a list", "as in [" },
  { "actions", "[{\"type\": \"sugestion\", \"template\": \"x\"}]", "type 'sugestion'",
    "did you mean 'suggestion'?" },
  { "actions", "[{\"type\": \"suggestion\", \"text\": \"x\"}]", "key 'text'", "template" },
  { "actions", "[{\"type\": \"priority\", \"priority\": \"low\"}]", "its actions say nothing",
    "suggestion or template" },
  { "actions", "[{\"type\": \"template\", \"template\": \"hello\"}]", "template 'hello'",
    "there is none of that kind here" },
}

local function json_of(case)
  local part = { conditions = "{\"all\": [" .. CHECK .. "]}",
    actions = "[{\"type\": \"suggestion\", \"template\": \"x\"}]" }
  part[case[1]] = case[2]
  return string.format("{\n\"id\": \"m\",\n\"rules\": [{\n\"id\": \"r1\",\n\"conditions\": %s,\n"
    .. "\"actions\": %s\n}]\n}", part.conditions, part.actions)
end

-- The script, and the line at fault.
local function text_of(case)
  local frame = FRAME[case[1]]
  local before = frame[1] .. case[2]:match("^([^|]*)")
  local _, lines = before:gsub("\n", "")
  local text = frame[1] .. case[2]:gsub("^([^|]*)|", "%1", 1) .. frame[2]
  return text, case.line == nil and lines + 1 or case.line
end

-- What the author is told: message, hint, line.
local function told(text)
  local script, why = host.load(text, "m.lua")
  if script then
    local is_ok, raised = pcall(script.run_examples, script)
    assert.is_false(is_ok, "nothing is said")
    why = raised
  end
  if type(why) == "string" then
    return why, why, tonumber(why:match("^m%.lua:(%d+): "))
  end
  return why.message, why.hint or "", why.line
end

describe("a mistake", function()
  for i, case in ipairs(MISTAKES) do
    it(string.format("%d is explained: %s", i, case[3]), function()
      local text, line = text_of(case)
      local message, hint, found = told(text)
      assert.is_truthy(message:find(case[3], 1, true), message)
      assert.is_truthy(hint:find(case[4], 1, true), hint)
      if line then
        assert.are.equal(line, found, message)
      end
      assert.is_nil(message:find("personakit:%d"), message)
    end)
  end

  for i, case in ipairs(JSON) do
    it(string.format("in JSON %d is explained: %s", i, case[3]), function()
      local script, why = host.declared(json_of(case))
      assert.is_nil(script)
      assert.is_truthy(why.message:find(case[3], 1, true), why.message)
      assert.is_truthy(why.hint:find(case[4], 1, true), why.hint)
      assert.is_truthy(why.message:find("mapper 'm': rule 'r1': ", 1, true))
      assert.is_true(why.line >= 4 and why.line <= 6)
    end)
  end

  it("that is none to the eye of Lua is remarked on", function()
    local function remarks(rule)
      local script = assert(host.load(FRAME.rule[1] .. rule .. ", suggest = \"x\"" .. FRAME.rule[2]))
      return script.about.remarks
    end
    local list = remarks("when = pk.trait(\"a\"):is(1) and\npk.trait(\"b\"):is(2)")
    assert.are.equal(1, #list)
    assert.are.equal("the condition 'a:is(1)' is in no rule", list[1].message)
    assert.is_truthy(list[1].hint:find("pk.all", 1, true))
    assert.are.equal(5, list[1].line)
    list = remarks("when = pk.trait(\"a\"):matches(\"^%a+$\")")
    assert.is_truthy(list[1].message:find("rule 'r1': '^%a+$' looks like a pattern of Lua", 1, true))
    list = remarks("when = pk.all { pk.trait(\"a\"):is(1):confident(0.5):exists(), "
      .. "pk.any { pk.not_(pk.trait(\"b\"):matches(\"100%\")) } }")
    assert.are.same({}, list)
  end)
end)
