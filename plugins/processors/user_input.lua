-- user_input.lua - What people say of themselves: the best evidence there is of what they want.
--
-- content.structured: traits (a map, nested or dotted, or { trait, value } for
-- one), goal or goals, belief or beliefs, facts (a map), mood, energy, stress,
-- availability, focus, text, tags. Words without structure are kept as a
-- narrative, and nothing is guessed from them.
--
-- A wish ("I want ...") is taken at its word; so is a habit, though people know
-- their wishes better than their habits: others can still outweigh it.
--
-- SPDX-License-Identifier: MIT
local pk = require "personakit"

local WEIGHT, CONFIDENCE = 0.9, 0.9
local TEXT_MAX = 8000 -- bytes
local ITEMS_MAX = 100 -- goals, beliefs or facts of one input

-- What is true just now, and for how long it is taken to be.
local NOW = pk.const {
  { key = "mood", ttl = "4h" },
  { key = "energy", ttl = "4h" },
  { key = "stress", ttl = "12h" },
  { key = "focus", ttl = "8h" },
  { key = "availability", ttl = "12h" },
}
local TIMEFRAME = pk.const { short_term = true, medium_term = true, long_term = true }
local LEVEL = pk.const { low = true, medium = true, high = true }

local function known(word, words)
  return type(word) == "string" and words[word] and word or nil
end

local function unit(x, default)
  return type(x) == "number" and x >= 0 and x <= 1 and x or default
end

-- One item or a list of them, each a text or an object that has its text under 'name'.
local function each_of(input, one, many, name)
  local found = input[many] or input[one]
  local list = pk.field(found, "", "list") or { found }
  local items = {}
  for i = 1, math.min(#list, ITEMS_MAX) do
    local item = type(list[i]) == "table" and list[i] or { [name] = list[i] }
    local text = pk.field(item, name, "text")
    if text then
      items[#items + 1] = { text = pk.cut(text, TEXT_MAX), of = item }
    end
  end
  return items
end

local function say_traits(t, input)
  local list = pk.traits(input.traits)
  local path = pk.path(input.trait)
  if path and input.value ~= nil then
    list[#list + 1] = pk.traits({ [path] = { value = input.value,
      confidence = input.confidence } })[1]
  end
  for _, each in ipairs(list) do
    t:set(each.path, each.value, { weight = WEIGHT, volatility = known(each.volatility, LEVEL),
      confidence = math.min(CONFIDENCE, unit(each.confidence, CONFIDENCE)) })
  end
end

local function say_wishes(t, input)
  for _, goal in ipairs(each_of(input, "goal", "goals", "description")) do
    t:goal(goal.text, { timeframe = known(goal.of.timeframe, TIMEFRAME),
      priority = known(goal.of.priority, LEVEL), confidence = CONFIDENCE })
  end
  for _, belief in ipairs(each_of(input, "belief", "beliefs", "statement")) do
    t:belief(belief.text, { category = pk.field(belief.of, "category", "text"),
      strength = unit(belief.of.strength), confidence = CONFIDENCE })
  end
end

local function say_facts(t, input)
  local facts, count = pk.field(input, "facts", "object") or {}, 0
  for _, key in ipairs(pk.keys(facts)) do
    local fact = pk.field(facts[key], "", "value")
    if fact ~= nil and pk.field(key, "", "text") and count < ITEMS_MAX then
      t:remember(key, fact, { confidence = CONFIDENCE })
      count = count + 1
    end
  end
end

local function say_now(t, input)
  for _, row in ipairs(NOW) do
    local said = pk.field(input, row.key, "text") or pk.field(input, row.key, "number")
    if said then
      t:now(row.key, type(said) == "string" and pk.cut(said, 500) or said, { ttl = row.ttl })
    end
  end
end

local function texts_of(list)
  local texts = {}
  for _, each in ipairs(list or {}) do
    if type(each) == "string" and #texts < ITEMS_MAX then
      texts[#texts + 1] = pk.cut(each, 100)
    end
  end
  return #texts > 0 and texts or nil
end

return pk.processor {
  id = "user-input", version = "1.0.0",
  name = "What people say of themselves",
  purpose = "Take statements of the person at their word: traits, goals, beliefs, facts, mood.",
  accepts = { "user_input" },

  process = function(obs, _, t)
    local input = pk.field(obs, "content.structured", "object")
    local text = input and pk.field(input, "text", "text")
      or not input and pk.field(obs, "content.raw", "text")
    input = input or {}
    say_traits(t, input)
    say_wishes(t, input)
    say_facts(t, input)
    say_now(t, input)
    if text then
      t:narrative(pk.cut(text, TEXT_MAX), { type = "self_observation",
        source = pk.field(obs, "sourceMetadata.source", "text"),
        tags = texts_of(pk.field(input, "tags", "list")) })
    end
  end,

  examples = {
    { name = "traits as the documents have them",
      observation = { content = { structured = { traits = {
        work = { chronotype = "morning", focus_patterns = { peak_hours = { "09:00", "11:00" } } },
        ["communication.style"] = { value = "direct", confidence = 0.6, volatility = "low" },
      } } } },
      expect = { operations = {
        { op = "set", path = "communication.style", value = "direct", confidence = 0.6,
          volatility = "low", weight = 0.9 },
        { op = "set", path = "work.chronotype", value = "morning", confidence = 0.9 },
        { op = "set", path = "work.focus_patterns.peak_hours", value = { "09:00", "11:00" } },
      } } },
    { name = "one trait, as surer than anybody can be",
      observation = { content = { structured = { trait = "work/chronotype", value = "night",
        confidence = 1 } } },
      expect = { operations = {
        { op = "set", path = "work.chronotype", value = "night", confidence = 0.9 } } } },
    { name = "goals, beliefs, facts and how things are",
      observation = { sourceMetadata = { source = "app" }, content = { structured = {
        goal = "learn Lua",
        beliefs = { { statement = "Writing is thinking", category = "values", strength = 0.8 },
          "Meetings should be short" },
        facts = { preferred_name = "Ada", [""] = 1, [" "] = 2 },
        mood = "focused", stress = 0.2, availability = "09:00-17:00",
        text = "I get more done before lunch.", tags = { "work" } } } },
      expect = { operations = {
        { op = "goal", description = "learn Lua" },
        { op = "belief", statement = "Writing is thinking", category = "values", strength = 0.8 },
        { op = "belief", statement = "Meetings should be short" },
        { op = "remember", key = "preferred_name", value = "Ada" },
        { op = "now", key = "mood", value = "focused", ttl = 14400 },
        { op = "now", key = "stress", value = 0.2, ttl = 43200 },
        { op = "now", key = "availability", value = "09:00-17:00" },
        { op = "narrative", text = "I get more done before lunch.",
          narrativeType = "self_observation", source = "app", tags = { "work" } },
      } } },
    { name = "a goal with all it may have, and one with what it may not",
      observation = { content = { structured = { goals = {
        { description = "run a marathon", timeframe = "long_term", priority = "high" },
        { description = "rest", timeframe = "someday", priority = 5 }, { priority = "high" }, 7 } } } },
      expect = { operations = {
        { op = "goal", description = "run a marathon", timeframe = "long_term", priority = "high" },
        { op = "goal", description = "rest" } } } },
    { name = "only words: kept, and nothing guessed",
      observation = { content = { raw = "Mondays are hard." } },
      expect = { operations = { { op = "narrative", text = "Mondays are hard." } } } },
    { name = "fields of other types",
      observation = { content = { structured = { traits = "morning", trait = "no path!", value = 1,
        goals = 5, beliefs = { {} }, facts = { "x" }, mood = {}, text = "  ", tags = "a" } } },
      expect = { operations = {} } },
    { name = "nothing at all", observation = {}, expect = { operations = {} } },
  },
}
