-- outside.lua - Reading what came from outside: observations have missing and wrong fields.
--
--     pk.field(obs, "content.structured.duration_minutes", "number")   the number, or nil
--     pk.traits(obs.content.structured.traits)      a map of traits as a list, by path
--     pk.path("work/chronotype")                    "work.chronotype", or nil and why not
--     for _, key in ipairs(pk.keys(map)) do ... end in order, unlike 'pairs'
--     pk.cut(text, 500)                             at most so many bytes, whole characters
--
--     pk.list { ... }                               a list, also when it is empty
--
-- Nothing here fails on data; only a kind that does not exist is a mistake.
--
-- SPDX-License-Identifier: MIT
local fault = require "personakit.fault"
local host = require "personakit.host"
local value = require "personakit.value"

local error, getmetatable, rawget, type = error, getmetatable, rawget, type
local find, format, gmatch, sub = string.find, string.format, string.gmatch, string.sub
local huge = math.huge

local outside = {}

outside.TRAITS_MAX = 2000
local DEPTH_MAX = 16

-- ---- Fields ----

-- Dates, binary data and large integers of the host are tables, but no objects.
local function is_plain(of)
  local tag = type(of) == "table" and getmetatable(of)
  return type(of) == "table" and tag ~= "date" and tag ~= "binary" and tag ~= "int64"
end

local function is_object(of)
  return is_plain(of) and #of == 0 and getmetatable(of) ~= "list"
end

outside.KINDS = { "text", "number", "boolean", "list", "object", "instant", "value" }

local OF_KIND = {
  text = function(of) return type(of) == "string" and find(of, "%S") and of or nil end,
  number = function(of)
    return type(of) == "number" and of == of and of < huge and of > -huge and of or nil
  end,
  boolean = function(of)
    if type(of) == "boolean" then
      return of
    end
  end,
  list = function(of) return is_plain(of) and value.is_list(of) and of or nil end,
  object = function(of) return is_object(of) and of or nil end,
  instant = function(of)
    local ms = value.instant(of)
    return ms and ms == ms and ms < huge and ms > -huge and ms or nil
  end,
  value = function(of)
    if of ~= host.null then
      return (value.copy(of)) -- Nil if it is nested too deep for a trait.
    end
  end,
}

-- What lies at a dot path if it is of that kind, else nil; at the path "" lies 'of' itself. A text
-- has more than spaces in it; an instant comes as milliseconds; a value is anything that a trait
-- can have.
function outside.field(of, path, kind)
  local check = OF_KIND[kind]
  if not check then
    error("pk.field: " .. fault.text(fault.unknown("kind", kind, outside.KINDS)), 2)
  elseif type(path) ~= "string" then
    error("pk.field: " .. fault.quote(path) .. " is no path; write it as in 'content.structured'", 2)
  end
  for name in gmatch(path, "[^.]+") do
    if not is_plain(of) then
      return nil
    end
    of = rawget(of, name)
  end
  return check(of)
end

-- Marks a table as a list, which only matters while it is empty: {} would be an object.
function outside.list(of)
  if of ~= nil and not is_plain(of) then
    error("pk.list: " .. fault.quote(of) .. " is not a table", 2)
  end
  return host.list(of or {})
end

-- At most so many bytes of a text, cut between characters.
function outside.cut(text, bytes)
  if #text <= bytes then
    return text
  end
  local last = bytes
  while last > 0 and find(sub(text, last + 1, last + 1), "[\128-\191]") do
    last = last - 1
  end
  return sub(text, 1, last)
end

-- ---- Maps of traits ----

local ENTRY = { "confidence", "volatility", "category" }

local function add(list, path_text, found)
  local path = value.path(path_text)
  found = OF_KIND.value(found)
  if path and found ~= nil and #list < outside.TRAITS_MAX then
    list[#list + 1] = { path = path, value = found }
  end
end

-- An object that has a 'value' is an entry; others hold further traits.
local function add_entry(list, path_text, entry)
  local before = #list
  add(list, path_text, rawget(entry, "value"))
  if #list > before then
    for _, name in ipairs(ENTRY) do
      list[#list][name] = rawget(entry, name)
    end
  end
end

local function walk(list, top, of, depth)
  for _, key in ipairs(value.keys(of)) do
    local each = of[key]
    local path_text = top and format("%s.%s", top, key) or key
    if not is_object(each) then
      add(list, path_text, each)
    elseif rawget(each, "value") ~= nil then
      add_entry(list, path_text, each)
    elseif depth < DEPTH_MAX then
      walk(list, path_text, each, depth + 1)
    end
  end
end

-- A map of traits as { { path, value, confidence, volatility, category }, ... }, by path. Taken
-- are nested objects, dotted keys, and lists of { id or traitName, value, ... } as documents have
-- them; what is no trait is left out.
function outside.traits(of)
  local list = {}
  if is_object(of) then
    walk(list, nil, of, 1)
  elseif is_plain(of) then
    for i = 1, #of do
      local each = of[i]
      if is_object(each) then
        add_entry(list, rawget(each, "id") or rawget(each, "traitName"), each)
      end
    end
  end
  table.sort(list, function(a, b) return a.path < b.path end)
  return list
end

outside.path = value.path

-- The keys of a table in order: numbers, then texts. The order of 'pairs' is nobody's to rely on.
function outside.keys(of)
  return is_plain(of) and value.keys(of) or {}
end

return outside
