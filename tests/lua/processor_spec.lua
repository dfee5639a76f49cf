-- processor_spec.lua - Verbs of 't': each gives its operation, and says what it will not take.
local host = dofile((debug.getinfo(1, "S").source:match("^@(.*/)") or "./") .. "host.lua")

local verbs = require "personakit.verbs"

local OBSERVATION = {
  _id = "11111111-1111-4111-8111-111111111111", effectiveAt = host.date(host.NOW),
  sourceType = "work_session",
  content = { raw = "{}", structured = { focus_level = "deep", duration_minutes = 90 } },
}

local function processor(body)
  return assert(host.load([[
    local pk = require "personakit"
    return pk.processor { id = "p", version = "1.0.0", accepts = { "work_session" },
    process = function(obs, m, t, ctx) ]] .. body .. "\nend }", "p.lua"))
end

local function run(body, more)
  local input = host.input({ ["work.mood"] = "fine" }, more)
  input.observation = OBSERVATION
  return processor(body):call("process", input)
end

local FROM = { OBSERVATION._id }

-- verb -> { body, operation without op and derivedFrom }
local CASES = {
  set = { { "t:set('a.b', 5)", { path = "a.b", value = 5 } },
    { "t:set('a/b', { 1, { x = false } }, { confidence = 0.7, weight = 1, volatility = 'low', "
      .. "category = 'c', valid_from = '2026-01-01T00:00:00Z', metadata = { k = 1 } })",
      { path = "a.b", value = { 1, { x = false } }, confidence = 0.7, weight = 1, volatility = "low",
        category = "c", validFrom = host.date(1767225600000), metadata = { k = 1 } } } },
  reinforce = { { "t:reinforce('a', obs.content.structured.duration_minutes, { weight = 0.7, volatility = 'medium' })",
    { path = "a", value = 90, weight = 0.7, volatility = "medium" } } },
  weaken = { { "t:weaken('a', { weight = 0.2, reason = 'old' })", { path = "a", weight = 0.2, reason = "old" } } },
  contradict = { { "t:contradict('a', false)", { path = "a", value = false } } },
  retract = { { "t:retract('a', { reason = 'asked to' })", { path = "a", reason = "asked to" } } },
  narrative = { { "t:narrative('I like mornings', { type = 'self_observation', tags = { 'x' }, "
    .. "traits = 'work/mood', link = 'supports' })",
    { text = "I like mornings", narrativeType = "self_observation", tags = { "x" },
      traits = { "work.mood" }, linkType = "supports" } } },
  goal = { { "t:goal('learn Lua', { timeframe = 'short_term', priority = 'high', confidence = 0.5, "
    .. "volatility = 'low' })",
    { description = "learn Lua", timeframe = "short_term", priority = "high", confidence = 0.5,
      volatility = "low" } } },
  belief = { { "t:belief('work is play', { category = 'values', strength = 0.9 })",
    { statement = "work is play", category = "values", strength = 0.9 } } },
  summary = { { "t:summary('A person', { themes = { 'work' } })", { summary = "A person", keyThemes = { "work" } } } },
  remember = { { "t:remember('role', 'lead', { ttl = '30d', category = 'work' })",
    { key = "role", value = "lead", ttl = 2592000, category = "work" } } },
  learn = { { "t:learn('prefers mail', { type = 'preference', importance = 0.4, relevant_to = obs.effectiveAt })",
    { content = "prefers mail", contentType = "preference", importance = 0.4,
      relevantTo = host.date(host.NOW) } } },
  node = { { "t:node('Ada', { type = 'entity', attributes = { born = 1815 } })",
    { label = "Ada", nodeType = "entity", attributes = { born = 1815 } } } },
  edge = { { "local a = { label = 'Ada' } t:edge(a, 'Engine', 'programs', { strength = 1 })",
    { source = "Ada", target = "Engine", edgeType = "programs", strength = 1 } } },
  tune = { { "t:tune('short-hello', { priority = 'lower', weight = 0.34, reason = 'not helpful' })",
    { ruleId = "short-hello", priority = "lower", weight = 0.34, reason = "not helpful" } },
    { "t:tune('x', { off = true, min_confidence = 0.7, text = 'y' })",
      { ruleId = "x", off = true, minConfidence = 0.7, text = "y" } } },
  keep = { { "t:keep('x', { weight = 0.2 })", { ruleId = "x", weight = 0.2 } } },
  configure = { { "t:configure('limit', 3, { weight = 1 })", { setting = "limit", value = 3, weight = 1 } } },
  now = { { "t:now('mood', 'focused', { ttl = '4h' })", { key = "mood", value = "focused", ttl = 14400 } } },
}

describe("processors", function()
  it("have a case for each verb", function()
    for _, name in ipairs(verbs.names) do
      assert.is_truthy(CASES[name], name)
    end
  end)

  for name, cases in pairs(CASES) do
    it("t:" .. name .. " gives its operation", function()
      for _, case in ipairs(cases) do
        local wanted = { op = name, derivedFrom = FROM }
        for key, value in pairs(case[2]) do
          wanted[key] = value
        end
        assert.are.same({ wanted }, run(case[1]).operations)
      end
    end)
  end

  it("append in order, and 'm' stays as it was", function()
    local output = run([[
      local node = t:node("Ada")
      t:edge(node, t:node("Engine"), "programs")
      t:set("work.mood", "bad")
      t:set("seen", m["work.mood"])
      t:set("when", ctx.now, { from = { "other" } })]])
    local ops = {}
    for i, each in ipairs(output.operations) do
      ops[i] = each.op
    end
    assert.are.same({ "node", "node", "edge", "set", "set", "set" }, ops)
    assert.are.equal("fine", output.operations[5].value)
    assert.are.equal(host.date(host.NOW), output.operations[6].value)
    assert.are.same({ "other" }, output.operations[6].derivedFrom)
    assert.are.same({ "work.mood" }, host.reads(output, "trait", "exact"))
  end)

  it("values are copied: what is written into them later does not count", function()
    local output = run("local v = { 1 } t:set('a', v) v[1] = 2 t:set('b', v)")
    assert.are.same({ { 1 }, { 2 } }, { output.operations[1].value, output.operations[2].value })
  end)

  it("wrong arguments are raised with the author's line", function()
    for body, words in pairs({
      ["t:st('a', 1)"] = "verb 'st' is not known (did you mean 'set'?",
      ["t:set('a b', 1)"] = "t:set: path: 'a b' is not a trait's path",
      ["t:set('a')"] = "t:set: value: a value is missing",
      ["t:set('a', print)"] = "there is no global 'print'",
      ["t:set('a', pairs)"] = "t:set: value: a function is not a value",
      ["t:set('a', 0/0)"] = "not a number",
      ["t:set('a', 1, { wieght = 1 })"] = "option 'wieght' is not known (did you mean 'weight'?",
      ["t:set('a', 1, { weight = 2 })"] = "option 'weight': 2 is out of range",
      ["t:set('a', 1, 0.7)"] = "options are 0.7, not a table",
      ["t:set('a', 1, { volatility = 'hihg' })"] = "did you mean 'high'?",
      ["t:set('a', 1, { valid_from = 'noon' })"] = "'noon' is not an instant",
      ["t:set('a', { 1, x = 2 })"] = "keys are texts, or 1 to n in lists",
      ["t:goal('')"] = "t:goal: description: '' is not a text",
      ["t:goal('x', { volatility = 'medium' })"] = "'medium' is not known",
      ["t:now('mood', 'x', { ttl = '1ms' })"] = "shorter than a second",
      ["t:narrative('x', { traits = { 'a b' } })"] = "'a b' is not a trait's path",
      ["t:edge('a', 5, 'x')"] = "t:edge: target: 5 is not a text",
      ["t:tune('x')"] = "t:tune: it says nothing",
      ["t:tune('x', { priority = 'lowest' })"] = "option 'priority': value 'lowest' is not known",
      ["t:tune('x', { off = 'yes' })"] = "'yes' is not true or false",
      ["t.set = 1"] = "t cannot be written",
      ["m['a'] = 1"] = "by t:set",
    }) do
      local is_ok, why = pcall(run, "\n" .. body)
      assert.is_false(is_ok, body)
      assert.is_truthy(why:find("^p.lua:4: ") and why:find(words, 1, true), body .. ": " .. why)
    end
  end)

  it("too many operations are refused", function()
    assert.has_error(function() run("for i = 1, 10001 do t:set('a', i) end") end)
  end)

  it("examples expect operations", function()
    local text = [[
      local pk = require "personakit"
      return pk.processor { id = "work-session", version = "1.0.0", accepts = { "work_session" },
        process = function(obs, m, t)
          if obs.content.structured.focus_level == "deep" then
            t:reinforce("work.focus.deep_minutes", obs.content.structured.duration_minutes,
              { weight = 0.7, volatility = "medium" })
          end
        end,
        examples = {
          { given = {}, observation = { content = { structured = { focus_level = "deep", duration_minutes = 90 } } },
            expect = { operations = { { op = "reinforce", path = "work.focus.deep_minutes", value = 90 } } } },
          { observation = { content = { structured = { focus_level = "none" } } }, expect = { operations = {} } },
        } }]]
    local script = assert(host.load(text))
    assert.are.same({}, script:run_examples())
    assert.are.same({ "work_session" }, script.about.manifest.accepts)
    script = assert(host.load((text:gsub("value = 90 } } }", "value = 91 } } }"))))
    assert.are.same({ "example 1: operations[1].value is 90, not 91" }, script:run_examples())
  end)

  it("a manifest without what a processor needs is refused", function()
    for body, words in pairs({
      ["id = 'p', version = '1.0.0', process = pairs"] = "key 'accepts' is missing",
      ["id = 'p', version = '1.0.0', accepts = 'x', process = pairs"] = "is not a list",
      ["id = 'p', version = '1.0.0', accepts = { 'x' }, process = 5"] = "5 is not a function",
      ["id = 'p', version = '1.0.0', accepts = { 'x' }, procss = pairs"] = "key 'procss' is not known",
    }) do
      local _, why = host.load("return require('personakit').processor { " .. body .. " }")
      assert.is_truthy(why.message:find(words, 1, true), why.message)
    end
  end)

  it("the reference names all verbs", function()
    for _, name in ipairs(verbs.names) do
      assert.is_truthy(require("personakit.reference").verbs():find("`t:" .. name .. "(", 1, true))
    end
  end)
end)
