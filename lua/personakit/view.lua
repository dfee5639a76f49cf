-- view.lua - 'm' and 'ctx' as scripts see them: reads that record themselves.
--
--     m["work.chronotype"]      a trait's value, or nil
--     m:has(path)  m:value(path, default)
--     m:confidence(path)  m:age(path)             plain reads: good for 'time_step'
--     m:confident(path, 0.7)  m:changed_within(path, "7d")   good until they turn
--     m:each("work.focus")      path, value of all below it, in order
--     m:fill("Hello {{name|you}}")
--     m.goals  m.beliefs  m.narrative             copies
--     m.now.mood  m.facts.project_role            high-volatility cache, hot facts
--     m.found.query_id          what a query of the retrieval pipeline found
--
-- Tables are copies: writing into them changes nothing for anybody else, so core
-- and overlay give the same whether or not the other has run. A trait whose id
-- is one of the names above is read by m:value.
--
-- SPDX-License-Identifier: MIT
local fault = require "personakit.fault"
local host = require "personakit.host"
local record = require "personakit.record"
local source = require "personakit.source"
local template = require "personakit.template"
local tests = require "personakit.tests"
local value = require "personakit.value"

local error, setmetatable, type = error, setmetatable, type
local find, format, gsub, sub = string.find, string.format, string.gsub, string.sub

local view = {}

local read_only = function()
  error("the mindscape cannot be written; what is learned comes from processors, by t:set", 2)
end

-- ---- Traits ----

-- The entry of a path, recorded. 'at' is the level of the script in errors.
local function look(self, path)
  local entry, bound = source.look(self.source, path)
  record.read(self.record, "trait", path, entry and "exact" or "miss")
  record.until_(self.record, bound)
  return entry
end

-- 'm.value(path)' instead of 'm:value(path)' loses the path.
local function path_of(text, name)
  local path, why = value.path(text)
  if type(text) ~= "string" then
    error(format("m:%s: a path is missing; write it with a colon, as in m:%s(\"work.chronotype\")",
      name, name), 3)
  end
  if not path then
    error("m:" .. name .. ": " .. fault.text(why), 3)
  end
  return path
end

local function read_value(self, path)
  local entry = look(self, path)
  if entry == nil then
    return nil
  end
  return value.clone(entry.value)
end

-- The value as text for a template: 'default', or words that say it is not known.
function view.fill_hole(state, path, default)
  return value.fill(read_value(state, path), path, default, state.warn)
end

local function methods(state)
  local m = {}

  function m.has(_, path)
    return look(state, path_of(path, "has")) ~= nil
  end

  function m.value(_, path, default)
    local found = read_value(state, path_of(path, "value"))
    if found == nil then
      return default
    end
    return found
  end

  function m.confidence(_, path)
    local entry = look(state, path_of(path, "confidence"))
    if entry then
      record.clock(state.record)
    end
    return entry and tests.confidence(entry, state.source.now)
  end

  -- Seconds since the trait last changed.
  function m.age(_, path)
    local entry = look(state, path_of(path, "age"))
    local since = entry and value.instant(entry.updatedAt)
    if not since then
      return nil
    end
    record.clock(state.record)
    return math.max(0, state.source.now - since) / 1000
  end

  function m.confident(_, path, least)
    path = path_of(path, "confident")
    if type(least) ~= "number" or least < 0 or least > 1 then
      error("m:confident: give a number from 0 to 1 after the path", 2)
    end
    local holds, flip = tests.confident(look(state, path), least, state.source.now)
    record.until_(state.record, flip)
    return holds
  end

  function m.changed_within(_, path, duration)
    path = path_of(path, "changed_within")
    local ms, why = value.duration(duration)
    if not ms then
      error("m:changed_within: " .. fault.text(why), 2)
    end
    local holds, flip = tests.changed_within(look(state, path), ms, state.source.now)
    record.until_(state.record, flip)
    return holds
  end

  function m.each(_, prefix)
    local top = prefix ~= nil and path_of(type(prefix) == "string" and gsub(prefix, "%.%*$", "")
      or prefix, "each") or nil
    local entries, bounds = source.index(state.source)
    record.read(state.record, "trait", top, "prefix")
    local start, list = top and top .. ".", {}
    for path, bound in pairs(bounds) do
      if not start or sub(path, 1, #start) == start then
        record.until_(state.record, bound)
      end
    end
    for path in pairs(entries) do
      if not start or sub(path, 1, #start) == start then
        list[#list + 1] = path
      end
    end
    table.sort(list)
    local at = 0
    return function()
      at = at + 1
      if list[at] then
        return list[at], value.clone(entries[list[at]].value)
      end
    end
  end

  function m.fill(_, text)
    local parts, why = template.parse(text)
    if not parts then
      error("m:fill: " .. fault.text(why), 2)
    end
    for i, part in ipairs(parts) do
      if type(part) == "table" then
        parts[i] = view.fill_hole(state, part.path, part.default)
      end
    end
    return table.concat(parts)
  end

  return m
end

-- ---- What is not a trait ----

local function whole(state, kind, name)
  record.read(state.record, kind, nil, "exact")
  local found = state.source.document[name]
  if found == nil or found == host.null then
    return host.list({})
  end
  return value.clone(found)
end

-- A table whose keys are looked up one by one, each recorded as a hot key.
local function keyed(state, look_up)
  return setmetatable({}, {
    __metatable = "mindscape",
    __newindex = read_only,
    __index = function(_, key)
      local found, bound = look_up(state.source, key)
      record.read(state.record, "hot", key, found ~= nil and "exact" or "miss")
      record.until_(state.record, bound)
      return value.clone(found)
    end,
  })
end

local function found_of(state)
  return setmetatable({}, {
    __metatable = "mindscape",
    __newindex = read_only,
    __index = function(_, query)
      local found = source.found(state.source, query)
      record.read(state.record, found and found.kind or "warm", nil, found and "exact" or "miss")
      record.until_(state.record, found and value.instant(found.validUntil))
      return value.clone(found and found.items or host.list({}))
    end,
  })
end

local FIELD = {
  goals = function(state) return whole(state, "goals", "goals") end,
  beliefs = function(state) return whole(state, "beliefs", "beliefs") end,
  narrative = function(state) return whole(state, "narrative", "narrative") end,
  now = function(state) return keyed(state, source.now_key) end,
  facts = function(state) return keyed(state, source.fact) end,
  found = found_of,
}

-- ---- What scripts get ----

-- 'state': { source, record, warn }.
function view.mindscape(state)
  local method = methods(state)
  return setmetatable({}, {
    __metatable = "mindscape",
    __newindex = read_only,
    __index = function(_, key)
      if FIELD[key] then
        return FIELD[key](state)
      elseif method[key] then
        return method[key]
      elseif type(key) ~= "string" then
        error("a trait's path must be a text, as in m[\"work.chronotype\"]", 2)
      end
      local found = read_value(state, find(key, "/", 1, true) and (gsub(key, "/", ".")) or key)
      if found == nil and find(key, "[^%w_./-]") then
        error("m[...]: " .. fault.text(select(2, value.path(key))), 2)
      end
      return found
    end,
  })
end

local CONTEXT_NAMES = { "detail", "now", "task", "context", "config" }
local CONTEXT = { task = true, context = true, config = true }

-- ctx: detail, now, task, context, config. Reading 'now' is recorded.
function view.context(state, input)
  local plain = {
    detail = input.detail or "instant",
    task = value.clone(input.task),
    context = value.clone(input.context),
    config = value.clone(input.config),
  }
  return setmetatable({}, {
    __metatable = "context",
    __newindex = function() error("ctx cannot be written", 2) end,
    __index = function(_, key)
      if key == "now" then
        record.clock(state.record)
        return host.date(state.source.now)
      elseif plain[key] == nil and not CONTEXT[key] then
        error(fault.text(fault.unknown("field of ctx:", key, CONTEXT_NAMES)), 2)
      end
      return plain[key]
    end,
  })
end

return view
