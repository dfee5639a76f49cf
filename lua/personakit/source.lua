-- source.lua - A mindscape as it was decoded, made ready to be read by path.
--
-- Takes the document with the stored names (traits, highVolatileCache) or those
-- of HTTP (traitMatrix). What is not valid yet, or no longer, is not there; the
-- instant at which that changes is in 'bound', by path. The index is made when
-- something is first read by path: a mapper of rules alone never needs it.
--
-- A host that offers 'raw' gives the list of traits as a handle, and only those
-- that are looked at become tables:
--     raw.hold(outer, inner ...)    input[outer][inner] shall come so
--     raw.wanted(paths)             the slots of a program, for fill
--     raw.fill(list, wanted, v, e, FALSE)   as source.slots does; gives those that
--         have validFrom or expiresAt as { slot, trait, ... }, or nil
--     raw.entry(list, path)  raw.all(list)  one trait, or all as a table
-- It also offers what an output is made of without tables: raw.form, raw.forms,
-- raw.reads and raw.note, which run.lua and record.lua use.
--
-- SPDX-License-Identifier: MIT
local host = require "personakit.host"
local value = require "personakit.value"

local type, getmetatable = type, getmetatable
local instant = value.instant
local raw = host.raw

if raw then
  raw.hold("mindscape", "traits", "traitMatrix")
end

local source = {}

-- Whether a trait counts now, and the instant at which that changes by itself, or nil.
function source.is_valid(trait, now)
  local from, to = instant(trait.validFrom), instant(trait.expiresAt)
  if from and from > now then
    return false, from
  elseif to then
    return to > now, to > now and to or nil
  end
  return true, nil
end

local is_valid = source.is_valid

-- { list, now, ... } of a document; 'now' in milliseconds.
function source.new(document, now)
  document = document or {}
  return {
    document = document,
    now = now,
    list = document.traits or document.traitMatrix or {},
  }
end

local function is_raw(list)
  return raw and type(list) == "userdata"
end

local function is_known(x)
  return x ~= nil and x ~= host.null
end

-- path -> trait, and path -> instant; of all.
function source.index(self)
  if not self.entry then
    local entry, bounds = {}, {}
    local list = is_raw(self.list) and raw.all(self.list) or self.list
    for i = 1, #list do
      local trait = list[i]
      local path = trait.id or trait.traitName
      local counts, bound = is_valid(trait, self.now)
      bounds[path] = bound
      if counts and is_known(trait.value) then
        entry[path] = trait
      end
    end
    self.entry, self.bound = entry, bounds
  end
  return self.entry, self.bound
end

-- The trait of a path, or nil; and the instant at which that changes by itself, or nil.
function source.look(self, path)
  if self.entry or not is_raw(self.list) then
    local entry, bounds = source.index(self)
    return entry[path], bounds[path]
  end
  local seen = self.seen or {}
  self.seen = seen
  local trait = seen[path]
  if trait == nil then
    trait = raw.entry(self.list, path) or false
    seen[path] = trait
  end
  if not trait then
    return nil, nil
  end
  local counts, bound = is_valid(trait, self.now)
  return counts and is_known(trait.value) and trait or nil, bound
end

-- One trait into its slot.
local function put(self, slot, trait, v, e, bounds, FALSE)
  local counts, bound = true, nil
  if trait.validFrom or trait.expiresAt then
    counts, bound = is_valid(trait, self.now)
  end
  if bound then
    bounds = bounds or {}
    bounds[slot] = bound
  end
  local x = trait.value
  if counts and is_known(x) then
    if x == false then
      x = FALSE
    end
    v[slot] = x
    if e then
      e[slot] = trait
    end
  end
  return bounds
end

-- The program's array of that name, blank. Nobody but the rules ever sees it, so one will do for
-- all calls.
local function blank(program, name)
  local array = program[name]
  if not array then
    array = program.blank()
    program[name] = array
    return array
  end
  for i = 1, #program.paths do
    array[i] = false
  end
  return array
end

-- Values and entries by slot for a program, and slot -> instant, or nil when there is
-- none; see compile.lua. Without rules that ask for the time there are no entries.
function source.slots(self, program, FALSE)
  local list, bounds = self.list, nil
  if is_raw(list) then
    local v, e = blank(program, "kept_v"), program.is_timed and blank(program, "kept_e") or nil
    program.wanted = program.wanted or raw.wanted(program.paths)
    local timed = raw.fill(list, program.wanted, v, e, FALSE) or {}
    for i = 1, #timed, 2 do
      bounds = put(self, timed[i], timed[i + 1], v, e, bounds, FALSE)
    end
    return v, e, bounds
  end
  local v, e, slots = program.blank(), program.is_timed and program.blank() or nil, program.slots
  for i = 1, #list do
    local trait = list[i]
    local slot = slots[trait.id or trait.traitName]
    if slot then
      bounds = put(self, slot, trait, v, e, bounds, FALSE)
    end
  end
  return v, e, bounds
end

-- ---- What is not a trait ----

-- The value of a key of highVolatileCache ('now'), and the instant at which it goes.
function source.now_key(self, key)
  local cache, ends = self.document.highVolatileCache, self.document.highVolatileUntil
  local found = type(cache) == "table" and cache[key]
  local bound = type(ends) == "table" and instant(ends[key]) or nil
  if found == nil or found == host.null or bound and bound <= self.now then
    return nil, nil
  end
  return found, bound
end

-- The hot fact of that key, and the instant at which it goes.
function source.fact(self, key)
  if not self.facts then
    self.facts = {}
    for _, each in ipairs(self.document.knowledge or {}) do
      self.facts[each.key] = each
    end
  end
  local fact = self.facts[key]
  local bound = fact and instant(fact.expiresAt)
  if not fact or fact.value == nil or fact.value == host.null or bound and bound <= self.now then
    return nil, nil
  end
  return fact.value, bound
end

-- What a declared query found: { kind, items, validUntil }; nil when it did not run.
function source.found(self, query)
  local found = self.document.found
  return type(found) == "table" and type(found[query]) == "table"
    and getmetatable(found[query]) ~= "list" and found[query] or nil
end

return source
