-- api_import.lua - What other systems knew: traits, goals, beliefs and facts, as documents have them.
--
-- content.structured: traits or traitMatrix (a list as documents have it, a
-- nested object, or dotted keys), goals, beliefs, narrative = { summary,
-- keyThemes }, knowledge = { { key, value, category } }, highVolatileCache.
--
-- Another system's confidence is its own: here nothing is surer than 0.7, and
-- what says nothing of it has 0.5. So an import never outweighs the person.
--
-- SPDX-License-Identifier: MIT
local pk = require "personakit"

local WEIGHT, CONFIDENCE, CONFIDENCE_MAX = 0.5, 0.5, 0.7
local ITEMS_MAX, TEXT_MAX = 500, 8000
local LEVEL = pk.const { low = true, medium = true, high = true }
local LOW_HIGH = pk.const { low = true, high = true }
local VOLATILITY = pk.const { "low", "medium", "high" } -- 0, 1 and 2
local TIMEFRAME = pk.const { short_term = true, medium_term = true, long_term = true }

local function confidence_of(given)
  given = pk.field(given, "", "number")
  return given and given >= 0 and math.min(given, CONFIDENCE_MAX) or CONFIDENCE
end

local function volatility_of(given)
  if pk.field(given, "", "number") then
    return VOLATILITY[given + 1]
  end
  return type(given) == "string" and LEVEL[given] and given or nil
end

local function word(given, words)
  return type(given) == "string" and words[given] and given or nil
end

local function unit(given)
  return type(given) == "number" and given >= 0 and given <= 1 and given or nil
end

local function say_traits(t, of)
  for _, each in ipairs(pk.traits(of)) do
    t:set(each.path, each.value, {
      weight = WEIGHT, confidence = confidence_of(each.confidence),
      volatility = volatility_of(each.volatility),
      category = pk.field(each.category, "", "text"),
    })
  end
end

-- Calls say(text, item) for every object of a list that has a text under 'name'.
local function each_text(list, name, say)
  for i = 1, math.min(#(list or {}), ITEMS_MAX) do
    local text = pk.field(list[i], name, "text")
    if text then
      say(pk.cut(text, TEXT_MAX), list[i])
    end
  end
end

local function say_wishes(t, data)
  each_text(pk.field(data, "goals", "list"), "description", function(text, goal)
    t:goal(text, { timeframe = word(goal.timeframe, TIMEFRAME), priority = word(goal.priority, LEVEL),
      volatility = word(goal.volatility, LOW_HIGH), confidence = confidence_of(goal.confidence) })
  end)
  each_text(pk.field(data, "beliefs", "list"), "statement", function(text, belief)
    t:belief(text, { category = pk.field(belief, "category", "text"),
      strength = unit(belief.strength), volatility = word(belief.volatility, LOW_HIGH),
      confidence = confidence_of(belief.confidence) })
  end)
end

local function say_facts(t, data)
  each_text(pk.field(data, "knowledge", "list"), "key", function(key, fact)
    local value = pk.field(fact, "value", "value")
    if value ~= nil then
      t:remember(key, value, { category = pk.field(fact, "category", "text"),
        volatility = word(fact.volatility, LOW_HIGH), confidence = confidence_of(fact.confidence) })
    end
  end)
  local cache, count = pk.field(data, "highVolatileCache", "object") or {}, 0
  for _, key in ipairs(pk.keys(cache)) do
    local now = pk.field(cache[key], "", "value")
    if now ~= nil and pk.field(key, "", "text") and count < ITEMS_MAX then
      t:now(key, now, { ttl = "12h" })
      count = count + 1
    end
  end
end

local function say_summary(t, narrative)
  local summary = pk.field(narrative, "summary", "text")
  if summary then
    local themes = {}
    for _, theme in ipairs(pk.field(narrative, "keyThemes", "list") or {}) do
      if pk.field(theme, "", "text") then
        themes[#themes + 1] = theme
      end
    end
    t:summary(pk.cut(summary, TEXT_MAX), { themes = #themes > 0 and themes or nil })
  end
end

return pk.processor {
  id = "api-import", version = "1.0.0",
  name = "Imports",
  purpose = "Take over what another system knew, with confidence of its own at most 0.7.",
  accepts = { "api_import" },

  process = function(obs, _, t)
    local data = pk.field(obs, "content.structured", "object")
    if data then
      say_traits(t, data.traits)
      say_traits(t, data.traitMatrix)
      say_wishes(t, data)
      say_facts(t, data)
      say_summary(t, data.narrative)
    end
  end,

  examples = {
    { name = "the tree of the specification",
      observation = { content = { structured = { traits = {
        work = { chronotype = "morning",
          focus_patterns = { deep_work_duration = 90, peak_hours = { "09:00", "11:00" } } },
        communication = { style = "direct", preferred_medium = "written" } } } } },
      expect = { operations = {
        { op = "set", path = "communication.preferred_medium", value = "written" },
        { op = "set", path = "communication.style", value = "direct", confidence = 0.5 },
        { op = "set", path = "work.chronotype", value = "morning", weight = 0.5 },
        { op = "set", path = "work.focus_patterns.deep_work_duration", value = 90 },
        { op = "set", path = "work.focus_patterns.peak_hours", value = { "09:00", "11:00" } },
      } } },
    { name = "lists, as documents and interfaces have them",
      observation = { content = { structured = {
        traits = { { id = "comm_style/assertive", category = "communication", value = "assertive",
          volatility = "low", confidence = 0.86 } },
        traitMatrix = { { traitName = "risk_aversion", value = 0.4, volatility = 2,
          confidence = 0.2 } },
        highVolatileCache = { mood = "focused" } } } },
      expect = { operations = {
        { op = "set", path = "comm_style.assertive", value = "assertive", category = "communication",
          volatility = "low", confidence = 0.7 },
        { op = "set", path = "risk_aversion", value = 0.4, volatility = "high", confidence = 0.2 },
        { op = "now", key = "mood", value = "focused", ttl = 43200 },
      } } },
    { name = "goals, beliefs, facts and a summary",
      observation = { content = { structured = {
        goals = { { description = "learn Lua", timeframe = "short_term", priority = "high",
          confidence = 0.9 }, { priority = "high" } },
        beliefs = { { statement = "Work is play", strength = 2 } },
        knowledge = { { key = "project_role", value = "lead", category = "work" }, { key = "x" } },
        narrative = { summary = "A builder.", keyThemes = { "craft", 5 } } } } },
      expect = { operations = {
        { op = "goal", description = "learn Lua", timeframe = "short_term", priority = "high",
          confidence = 0.7 },
        { op = "belief", statement = "Work is play", confidence = 0.5 },
        { op = "remember", key = "project_role", value = "lead", category = "work" },
        { op = "summary", summary = "A builder.", keyThemes = { "craft" } },
      } } },
    { name = "fields of other types", observation = { content = { structured = { traits = 5,
        goals = {}, beliefs = { 1, {} }, knowledge = "x", narrative = { summary = 5 },
        traitMatrix = { "x", { value = 1 }, { id = "no path!", value = 1 }, { id = "a" } } } } },
      expect = { operations = {} } },
    { name = "only raw text", observation = { content = { raw = "{}" } },
      expect = { operations = {} } },
  },
}
