-- verbs.lua - 't' in a processor: each verb appends one operation to a list that the host applies.
--
-- A row per verb says its arguments and options, with what each takes and is
-- called in the operation; checks, the reference and the list of names come from
-- here. An operation is { op = verb, ..., derivedFrom = { observation ids } }:
-- what is observed now, unless 'from' names others. The mindscape that the
-- processor sees stays as it was: operations are applied after it has returned.
--
-- If you add a verb: its row, its case in tests/lua/processor_spec.lua, and its
-- effect on the C side.
--
-- SPDX-License-Identifier: MIT
local fault = require "personakit.fault"
local host = require "personakit.host"
local value = require "personakit.value"

local error, type, setmetatable = error, type, setmetatable
local format = string.format
local huge = math.huge

local verbs = {}

verbs.OPERATIONS_MAX = 10000

-- ---- Checks: (value) -> value for the operation, or nil and a fault ----

local function text(of)
  if type(of) == "string" and of ~= "" then
    return of
  end
  return nil, fault.new(fault.quote(of) .. " is not a text", "give a text that is not empty")
end

local function any(of)
  if of == nil then
    return nil, fault.new("a value is missing", "give what is held to be true")
  end
  return value.copy(of)
end

local function object(of)
  if type(of) ~= "table" or #of > 0 then
    return nil, fault.new(fault.quote(of) .. " is not an object", "as in { key = \"value\" }")
  end
  return value.copy(of)
end

local function unit(of)
  if type(of) == "number" and of >= 0 and of <= 1 then
    return of
  end
  return nil, fault.new(fault.quote(of) .. " is out of range", "give a number from 0 to 1")
end

local function instant(of)
  local ms = value.instant(of)
  if ms and ms == ms and ms < huge and ms > -huge then
    return host.date(math.floor(ms))
  end
  return nil, fault.new(fault.quote(of) .. " is not an instant",
    "give milliseconds since 1970, or a text like 2026-01-31T09:30:00Z")
end

local function seconds(of)
  local ms, why = value.duration(of)
  if ms and ms < 1000 then
    return nil, fault.new(fault.quote(of) .. " is shorter than a second", "as in '4h'")
  end
  return ms and math.floor(ms / 1000), why
end

local function texts(of)
  if type(of) ~= "table" or not value.is_list(of) then
    return nil, fault.new(fault.quote(of) .. " is not a list of texts", "as in { \"a\", \"b\" }")
  end
  local made = host.list({})
  for i, each in ipairs(of) do
    if type(each) ~= "string" then
      return nil, fault.new(format("item %d is not a text", i), "as in { \"a\", \"b\" }")
    end
    made[i] = each
  end
  return made
end

local function paths(of)
  local list, why = texts(type(of) == "string" and { of } or of)
  if not list then
    return nil, why
  end
  for i, each in ipairs(list) do
    list[i], why = value.path(each)
    if not list[i] then
      return nil, why
    end
  end
  return list
end

-- A node by the label it was given, or what t:node gave back.
local function node(of)
  if type(of) == "table" and type(of.label) == "string" then
    return of.label
  end
  return text(of)
end

local function boolean(of)
  if type(of) == "boolean" then
    return of
  end
  return nil, fault.new(fault.quote(of) .. " is not true or false", "give true or false")
end

local LEVEL = fault.one_of("low", "medium", "high")
local LOW_HIGH = fault.one_of("low", "high")
local STEP = fault.one_of("lower", "higher", "low", "medium", "high")
local LINK = fault.one_of("extracted_from", "curates", "supports", "contradicts")

-- ---- Rows: { name in Lua, name in the operation, check, help } ----

local CONFIDENCE = { "confidence", "confidence", unit, "how sure we are, 0 to 1" }
local WEIGHT = { "weight", "weight", unit, "how much this observation counts, 0 to 1" }
local VOLATILITY = { "volatility", "volatility", LEVEL, "how soon it may change: low, medium, high" }
local VOLATILITY_2 = { "volatility", "volatility", LOW_HIGH, "how soon it may change: low or high" }
local CATEGORY = { "category", "category", text, "its group" }
local METADATA = { "metadata", "metadata", object, "whatever else is known of it" }
local VALID_FROM = { "valid_from", "validFrom", instant, "from when on it is true" }
local REASON = { "reason", "reason", text, "why, for people" }
local TAGS = { "tags", "tags", texts, "words to find it by" }
local IMPORTANCE = { "importance", "importance", unit, "how much it matters, 0 to 1" }
local ATTRIBUTES = { "attributes", "attributes", object, "whatever else is known of it" }
local STRENGTH = { "strength", "strength", unit, "how strong it is, 0 to 1" }
local RULE = { "rule", "ruleId", text, "the rule" }
local PATH = { "path", "path", value.path, "the trait" }
local VALUE = { "value", "value", any, "what is held to be true" }

verbs.row = {
  { name = "set", help = "The trait has this value from now on.",
    takes = { PATH, VALUE },
    options = { CONFIDENCE, WEIGHT, VOLATILITY, CATEGORY, VALID_FROM, METADATA } },
  { name = "reinforce", help = "Evidence for this value: confidence grows, numbers move towards it.",
    takes = { PATH, VALUE },
    options = { WEIGHT, CONFIDENCE, VOLATILITY, CATEGORY, VALID_FROM, METADATA } },
  { name = "weaken", help = "Evidence that the trait holds less: confidence shrinks.",
    takes = { PATH }, options = { WEIGHT, REASON } },
  { name = "contradict", help = "Evidence for another value: the trait's policy on conflicts decides.",
    takes = { PATH, VALUE }, options = { WEIGHT, CONFIDENCE, REASON } },
  { name = "retract", help = "The trait is no longer held; its history stays.",
    takes = { PATH }, options = { REASON } },
  { name = "narrative", help = "A text about the person, found by meaning and by its words.",
    takes = { { "text", "text", text, "the text" } },
    options = {
      { "type", "narrativeType", fault.one_of("self_observation", "curation"),
        "self_observation or curation" },
      { "curated", "curatedText", text, "the text, refined" }, TAGS,
      { "context", "context", object, "in what situation it was written" },
      { "traits", "traits", paths, "the traits that it speaks of" },
      { "link", "linkType", LINK, "extracted_from, curates, supports or contradicts" },
      { "source", "source", text, "where it came from" } } },
  { name = "goal", help = "Something the person wants; the same words mean the same goal.",
    takes = { { "description", "description", text, "what the person wants" } },
    options = { { "timeframe", "timeframe", fault.one_of("short_term", "medium_term", "long_term"),
      "short_term, medium_term or long_term" },
      { "priority", "priority", LEVEL, "low, medium or high" },
      CONFIDENCE, VOLATILITY_2 } },
  { name = "belief", help = "Something the person holds to be so; the same words mean the same belief.",
    takes = { { "statement", "statement", text, "what the person holds to be so" } },
    options = { CATEGORY, STRENGTH, CONFIDENCE, VOLATILITY_2 } },
  { name = "summary", help = "Who the person is, for people to read.",
    takes = { { "text", "summary", text, "the summary" } },
    options = { { "themes", "keyThemes", texts, "what keeps coming up" } } },
  { name = "remember", help = "A fact by its key: hot knowledge.",
    takes = { { "key", "key", text, "its name" }, { "value", "value", any, "the fact" } },
    options = { CATEGORY, CONFIDENCE, VOLATILITY_2,
      { "ttl", "ttl", seconds, "how long it is kept, as in '30d'" } } },
  { name = "learn", help = "A text that is found by its meaning: warm knowledge.",
    takes = { { "content", "content", text, "the text" } },
    options = {
      { "type", "contentType", fault.one_of("insight", "experience", "knowledge", "preference"),
        "insight, experience, knowledge or preference" }, CATEGORY,
      { "subcategory", "subcategory", text, "its group within the group" }, VOLATILITY_2,
      IMPORTANCE, TAGS,
      { "relevant_from", "relevantFrom", instant, "from when on it matters" },
      { "relevant_to", "relevantTo", instant, "until when it matters" } } },
  { name = "node", help = "A thing in the person's graph: cold knowledge. Gives what t:edge takes.",
    takes = { { "label", "label", text, "what it is called" } },
    options = {
      { "type", "nodeType", fault.one_of("concept", "entity", "event", "relationship"),
        "concept, entity, event or relationship" },
      { "description", "description", text, "what it is" }, IMPORTANCE, VOLATILITY_2, ATTRIBUTES } },
  { name = "edge", help = "A connection of two things in the graph.",
    takes = { { "source", "source", node, "where it starts: a node or its label" },
      { "target", "target", node, "where it ends" },
      { "type", "edgeType", text, "what connects them, as in 'works_with'" } },
    options = { STRENGTH, CONFIDENCE,
      { "valid_from", "validFrom", instant, "from when on it holds" },
      { "valid_to", "validTo", instant, "until when it holds" }, ATTRIBUTES } },
  { name = "now", help = "What is true just now; it goes by itself.",
    takes = { { "key", "key", text, "its name, as in 'mood'" },
      { "value", "value", any, "what is true" } },
    options = { { "ttl", "ttl", seconds, "how long, as in '4h'" } } },
  { name = "tune", help = "Of feedback: training shall change this rule of the mapper.",
    takes = { RULE }, needs = { "priority", "off", "minConfidence", "text" },
    options = { WEIGHT, REASON,
      { "priority", "priority", STEP, "lower, higher, low, medium or high" },
      { "off", "off", boolean, "true: it does not fire any more" },
      { "min_confidence", "minConfidence", unit, "it fires only where we are so sure of its traits" },
      { "text", "text", text, "what it says instead" } } },
  { name = "keep", help = "Of feedback: this rule is good as it is; counts against changes of it.",
    takes = { RULE }, options = { WEIGHT, REASON } },
  { name = "configure", help = "Of feedback: training shall give this setting of the mapper this value.",
    takes = { { "setting", "setting", text, "its name" }, { "value", "value", any, "its value" } },
    options = { WEIGHT, REASON } },
}

local FROM = { "from", "derivedFrom", texts, "ids of the observations it rests on, if not this one" }

verbs.names = {}
for i, row in ipairs(verbs.row) do
  verbs.names[i] = row.name
  row.option, row.option_names = { from = FROM }, { "from" }
  for j, option in ipairs(row.options) do
    row.option[option[1]] = option
    row.option_names[j + 1] = option[1]
  end
end

-- ---- Making operations ----

local function fill_options(row, operation, options)
  if options == nil then
    return nil
  elseif type(options) ~= "table" then
    return fault.new("options are " .. fault.quote(options) .. ", not a table",
      "as in { weight = 0.7 }")
  end
  for _, name in ipairs(value.keys(options)) do
    local option = row.option[name]
    if not option then
      return fault.unknown("option", name, row.option_names)
    end
    local checked, why = option[3](options[name])
    if checked == nil then
      return fault.within("option '" .. name .. "'", why)
    end
    operation[option[2]] = checked
  end
  return nil
end

-- A verb of which one option at least must be given.
local function missing_option(row, operation)
  for _, name in ipairs(row.needs or {}) do
    if operation[name] ~= nil then
      return nil
    end
  end
  return row.needs and fault.new("it says nothing", "give one of its options at least")
end

local function operation_of(row, observation_id, ...)
  local operation = { op = row.name }
  local given = { ... }
  for i, each in ipairs(row.takes) do
    local checked, why = each[3](given[i])
    if checked == nil then
      return nil, fault.within(each[1], why)
    end
    operation[each[2]] = checked
  end
  local wrong = fill_options(row, operation, given[#row.takes + 1])
    or missing_option(row, operation)
  if wrong then
    return nil, wrong
  end
  operation.derivedFrom = operation.derivedFrom
    or host.list(observation_id and { observation_id } or {})
  return operation
end

-- 't' and the list that it appends to.
function verbs.new(observation_id)
  local operations, t = host.list({}), nil
  local method = {}
  for _, row in ipairs(verbs.row) do
    method[row.name] = function(self, ...)
      if self ~= t then
        error(format("t.%s: call it with a colon, as in t:%s(...)", row.name, row.name), 2)
      end
      local operation, why = operation_of(row, observation_id, ...)
      if not operation then
        error(format("t:%s: %s", row.name, fault.text(why)), 2)
      elseif #operations >= verbs.OPERATIONS_MAX then
        error(format("t:%s: more than %d operations", row.name, verbs.OPERATIONS_MAX), 2)
      end
      operations[#operations + 1] = operation
      return row.name == "node" and { label = operation.label } or nil
    end
  end
  t = setmetatable({}, {
    __metatable = "operations",
    __newindex = function() error("t cannot be written", 2) end,
    __index = function(_, name)
      if not method[name] then
        error(fault.text(fault.unknown("verb", name, verbs.names)), 2)
      end
      return method[name]
    end,
  })
  return t, operations
end

return verbs
