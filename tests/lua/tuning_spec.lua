-- tuning_spec.lua - What training has changed acts: rules off, lower, surer, other texts, settings.
local host = dofile((debug.getinfo(1, "S").source:match("^@(.*/)") or "./") .. "host.lua")

local LUA = [[
local pk = require "personakit"
return pk.mapper {
  id = "tuned", version = "1.0.0", config = { limit = { type = "integer", default = 3, max = 9 },
    tone = { type = "text", default = "dry", allowed = { "dry", "warm" } } },
  rules = {
    pk.rule { id = "early", when = pk.trait("work.chronotype"):is("morning"),
      suggest = "Begin early", priority = "high" },
    pk.rule { id = "late", when = pk.not_(pk.trait("work.chronotype"):is("morning")),
      suggest = "Begin late" },
  },
  overlay = function(m, ctx) return { count = { (ctx.config or {}).limit or 0 } } end,
  examples = {
    { given = { ["work.chronotype"] = "morning" }, expect = { fired = { "early" }, overlay = {
      suggestions = { { ruleId = "early", text = "Begin early", priority = "high",
        traits = { "work.chronotype" } } } } } },
    { given = {}, expect = { fired = { "late" }, overlay = {
      suggestions = { { ruleId = "late", priority = "medium" } } } } },
  },
}]]

local JSON = [[{ "metadata": { "id": "tuned" }, "rules": [
  { "id": "early", "conditions": { "type": "trait_check", "trait": "work.chronotype",
      "operator": "equals", "value": "morning" },
    "actions": [ { "type": "suggestion", "template": "Begin early", "priority": "high" } ] },
  { "id": "late", "conditions": { "not": { "type": "trait_check", "trait": "work.chronotype",
      "operator": "equals", "value": "morning" } },
    "actions": [ { "type": "suggestion", "template": "Begin late" } ] } ],
  "examples": [ { "given": { "work.chronotype": "morning" }, "expect": { "fired": ["early"] } },
    { "given": {}, "expect": { "fired": ["late"] } } ] }]]

local KINDS = {
  Lua = function(tuning) return host.load(LUA, "tuned.lua", nil, nil, tuning) end,
  JSON = function(tuning) return host.declared(JSON, tuning) end,
}

local function said(script, traits, more)
  return script:call("map", host.input(traits or { ["work.chronotype"] = "morning" }, more))
end

for kind, load in pairs(KINDS) do
  describe("a tuned mapper of " .. kind, function()
    it("is as it was without a change", function()
      local plain, tuned = assert(load()), assert(load({ rules = {}, config = {} }))
      assert.are.equal(plain.made.program, tuned.made.program)
    end)

    it("leaves out a rule that is off, and its examples pass", function()
      local script = assert(load({ rules = { early = { off = true } } }))
      assert.are.same({}, said(script).fired)
      assert.are.same({ "late" }, said(script, { x = 1 }).fired)
      assert.are.same({}, script:run_examples())
      assert.are.equal(1, #script.about.rules)
      assert.are.same({}, script.about.remarks)
    end)

    it("says a rule with another priority and another text", function()
      local script = assert(load({ rules = { early = { priority = "low", text = "At {{x|six}}" } } }))
      local line = said(script).overlay.suggestions[1]
      assert.are.equal("low", line.priority)
      assert.are.equal("At six", line.text)
      assert.are.same({}, script:run_examples())
      assert.are.equal("low", script.about.rules[1].priority)
    end)

    it("holds a rule back until we are sure enough", function()
      local script = assert(load({ rules = { early = { minConfidence = 0.75 } } }))
      local unsure = { entry = { ["work.chronotype"] = { confidence = 0.7 } } }
      assert.are.same({ "early" }, said(script).fired)
      assert.are.same({}, said(script, nil, unsure).fired)
      assert.are.same({}, script:run_examples())
      script = assert(load({ rules = { late = { minConfidence = 0.9 } } }))
      assert.are.same({ "late" }, said(script, { x = 1 }).fired) -- What is not known is not unsure.
    end)

    it("fails its examples when it does not do any more what they show", function()
      local script = assert(load({ rules = { early = { minConfidence = 0.9 } } }))
      assert.is_truthy(script:run_examples()[1]:find("fired", 1, true))
    end)

    it("has the version and the parent that it was given", function()
      local script = assert(load({ version = "1.0.1", parentVersion = "1.0.0",
        rules = { early = { off = false } } }))
      assert.are.equal("1.0.1", script.about.manifest.version)
      assert.are.equal("1.0.0", script.about.manifest.parentVersion)
      assert.are.same({ early = { off = false } }, script.about.manifest.tuning.rules)
    end)

    it("is refused where the change makes no sense", function()
      for words, tuning in pairs({
        ["rule 'erly' is not known"] = { rules = { erly = { off = true } } },
        ["did you mean 'priority'"] = { rules = { early = { prority = "low" } } },
        ["did you mean 'low'"] = { rules = { early = { priority = "lov" } } },
        ["'off' is 'yes'"] = { rules = { early = { off = "yes" } } },
        ["is not closed"] = { rules = { early = { text = "{{x" } } },
        ["2 is no confidence"] = { rules = { early = { minConfidence = 2 } } },
        ["setting 'limt' is not known"] = { config = { limt = 1 } },
        ["key 'rule' is not known"] = { rule = {} },
        ["'rules' is not an object"] = { rules = { "early" } },
      }) do
        local script, why = load(tuning)
        assert.is_nil(script, words)
        assert.is_truthy((why.message .. (why.hint or "")):find(words, 1, true), why.message .. (why.hint or ""))
        assert.is_truthy(why.message:find("tuning.json", 1, true))
      end
    end)
  end)
end

describe("settings", function()
  it("have the value that training gave them as their default", function()
    local script = assert(KINDS.Lua({ config = { limit = 5 } }))
    assert.are.equal(5, script.about.manifest.config.limit.default)
    local _, why = KINDS.Lua({ config = { limit = "five" } })
    assert.is_truthy(why.message:find("setting 'limit' is 'five'", 1, true))
    _, why = KINDS.Lua({ config = { limit = 10 } })
    assert.is_truthy(why.message:find("setting 'limit' is 10", 1, true))
    _, why = KINDS.Lua({ config = { tone = "loud" } })
    assert.is_truthy(why.message:find("setting 'tone' is 'loud'", 1, true))
    assert(KINDS.Lua({ config = { tone = "warm" } }))
  end)

  it("of a processor are not tuned", function()
    local _, why = host.load("return require(\"personakit\").processor { id = \"p\", version = \"1.0.0\","
      .. " accepts = { \"x\" }, process = function() end }", "p.lua", nil, nil, { config = {} })
    assert.is_truthy(why.message:find("a processor is not tuned", 1, true))
  end)
end)
