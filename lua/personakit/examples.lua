-- examples.lua - The cases that a script brings along: what goes in, and whether what came out will do.
--
--     { name = "...", given = { ["work.chronotype"] = "morning" }, at = "2026-01-15T12:00:00Z",
--       detail = "instant", expect = { core = {...}, overlay = {...}, fired = {...} } }
--
-- A given trait is its value, or { value =, confidence =, age = "3d", ... }.
-- 'goals', 'beliefs', 'narrative', 'now', 'facts', 'found', 'task', 'context' and
-- 'config' are given as scripts see them, 'observation' for processors. Of
-- objects, what is expected must be there; lists must be equal. 'fired' and
-- 'operations' must be complete.
--
-- SPDX-License-Identifier: MIT
local fault = require "personakit.fault"
local host = require "personakit.host"
local rule = require "personakit.rule"
local value = require "personakit.value"

local format = string.format

local examples = {}

local DEFAULT_AT = "2026-01-15T12:00:00Z" -- a Thursday noon, so that examples do not age
local DEFAULT_CONFIDENCE = 0.8
local INSTANT = "as in 2026-01-15T12:00:00Z"

local KEYS = { "name", "given", "at", "detail", "expect", "goals", "beliefs", "narrative", "now",
  "facts", "found", "task", "context", "config", "observation" }
local EXPECT_KEYS = { "core", "overlay", "fired", "missing", "warnings", "operations", "holds" }
local TRAIT_KEYS = { "value", "confidence", "age", "volatility", "half_life", "valid_from", "pinned" }

local function is_entry(given)
  return type(given) == "table" and given.value ~= nil and not rule.check_keys(given, TRAIT_KEYS)
end

local function before(now, duration)
  return now - (duration and value.duration(duration) or 0)
end

local function trait_of(path, given, now)
  local entry = is_entry(given) and given or { value = given }
  return {
    id = path,
    value = value.clone(entry.value),
    confidence = entry.confidence or DEFAULT_CONFIDENCE,
    volatility = entry.volatility or "medium",
    updatedAt = host.date(before(now, entry.age)),
    halfLife = entry.half_life and value.duration(entry.half_life) or nil,
    validFrom = entry.valid_from and host.date(value.instant(entry.valid_from)) or nil,
    pinned = entry.pinned,
  }
end

local function facts_of(given)
  local list = host.list({})
  for _, key in ipairs(value.keys(given or {})) do
    list[#list + 1] = { key = key, value = value.clone(given[key]) }
  end
  return list
end

local function found_of(given)
  local found = {}
  for query, items in pairs(given or {}) do
    found[query] = { kind = "warm", items = value.clone(items) }
  end
  return found
end

-- What is given as an entry may have an age and the like, each of its form.
local function wrong_entry(path, entry)
  local why, _
  if entry.age ~= nil then
    _, why = value.duration(entry.age)
  end
  if not why and entry.half_life ~= nil then
    _, why = value.duration(entry.half_life)
  end
  if not why and entry.valid_from ~= nil and not value.instant(entry.valid_from) then
    why = fault.new(fault.quote(entry.valid_from) .. " is not an instant", INSTANT)
  end
  return why and fault.within(format("given '%s'", path), why)
end

local function wrong_given(given)
  for _, key in ipairs(value.keys(given)) do
    local path, why = value.path(key)
    if path and is_entry(given[key]) then
      why = wrong_entry(path, given[key])
    elseif path then
      local _
      _, why = value.copy(given[key])
      why = why and fault.within(format("given '%s'", path), why)
    end
    if why then
      return why
    end
  end
  return nil
end

local TABLES = { "given", "goals", "beliefs", "narrative", "now", "facts", "found", "task", "context",
  "config", "observation" }

local function wrong_form(of)
  for _, name in ipairs(TABLES) do
    if of[name] ~= nil and type(of[name]) ~= "table" then
      return fault.new(format("'%s' is %s, not a table", name, fault.quote(of[name])),
        name == "given" and "as in given = { [\"work.chronotype\"] = \"morning\" }" or nil)
    end
  end
  if of.at ~= nil and not value.instant(of.at) then
    return fault.new(fault.quote(of.at) .. " is not an instant", INSTANT)
  end
  local _, why = rule.word(of.detail, "detail", rule.DETAILS)
  return why
end

-- The fault of an example's form, or nil.
function examples.wrong(of)
  return type(of) ~= "table" and fault.new("it is " .. fault.quote(of) .. ", not a table")
    or rule.check_keys(of, KEYS)
    or type(of.expect) ~= "table" and fault.new("it expects nothing", "give 'expect'")
    or rule.check_keys(of.expect, EXPECT_KEYS)
    or wrong_form(of) or wrong_given(of.given or {})
end

-- The input of an entry for an example.
function examples.input(of)
  local now = value.instant(of.at or DEFAULT_AT)
  local traits = host.list({})
  for _, path in ipairs(value.keys(of.given or {})) do
    traits[#traits + 1] = trait_of(value.path(path), of.given[path], now)
  end
  return {
    now = host.date(now),
    detail = rule.word(of.detail, "detail", rule.DETAILS) or "deep_dive",
    task = value.clone(of.task),
    context = value.clone(of.context),
    config = value.clone(of.config),
    observation = value.clone(of.observation),
    mindscape = {
      traits = traits,
      goals = value.clone(of.goals),
      beliefs = value.clone(of.beliefs),
      narrative = value.clone(of.narrative),
      highVolatileCache = value.clone(of.now),
      knowledge = facts_of(of.facts),
      found = found_of(of.found),
    },
  }
end

local differ

local function differ_list(wanted, found, place)
  if type(found) ~= "table" or #found ~= #wanted then
    return format("%s is %s, not %s", place, value.canonical(found), value.canonical(wanted))
  end
  for i, each in ipairs(wanted) do
    local wrong = differ(each, found[i], format("%s[%d]", place, i))
    if wrong then
      return wrong
    end
  end
  return nil
end

-- nil when 'found' has all that is wanted, else where it differs.
function differ(wanted, found, place)
  if type(wanted) ~= "table" or getmetatable(wanted) == "date" then
    return not value.equal(wanted, found)
      and format("%s is %s, not %s", place, value.canonical(found), value.canonical(wanted)) or nil
  elseif value.is_list(wanted) and next(wanted) ~= nil then
    return differ_list(wanted, found, place)
  elseif type(found) ~= "table" or next(wanted) == nil and next(found) ~= nil then
    return format("%s is %s, not %s", place, value.canonical(found), value.canonical(wanted))
  end
  for _, key in ipairs(value.keys(wanted)) do
    local wrong = differ(wanted[key], found[key], place .. "." .. tostring(key))
    if wrong then
      return wrong
    end
  end
  return nil
end

-- nil when the output will do, else what is wrong with it. 'expect' nil: what the example has.
function examples.judge(of, output, expect)
  expect = expect or of.expect
  for _, key in ipairs(value.keys(expect)) do
    local wrong = differ(expect[key], output[key], key)
    if wrong then
      return wrong
    end
  end
  return nil
end

return examples
