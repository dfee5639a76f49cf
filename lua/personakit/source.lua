-- source.lua - A mindscape as it was decoded, made ready to be read by path.
--
-- Takes the document with the stored names (traits, highVolatileCache) or those
-- of HTTP (traitMatrix). What is not valid yet, or no longer, is not there; the
-- instant at which that changes is in 'bound', by path. The index is made when
-- something is first read by path: a mapper of rules alone never needs it.
--
-- SPDX-License-Identifier: MIT
local host = require "personakit.host"
local value = require "personakit.value"

local type, getmetatable = type, getmetatable
local instant = value.instant
local NAN = 0 / 0

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

-- path -> trait, and path -> instant.
function source.index(self)
  if not self.entry then
    self.entry, self.bound = {}, {}
    for i = 1, #self.list do
      local trait = self.list[i]
      local path = trait.id or trait.traitName
      local counts, bound = is_valid(trait, self.now)
      self.bound[path] = bound
      if counts and trait.value ~= nil and trait.value ~= host.null then
        self.entry[path] = trait
      end
    end
  end
  return self.entry, self.bound
end

-- Values, numbers and entries by slot for a program, and slot -> instant, or nil when there is
-- none; see compile.lua.
function source.slots(self, program, FALSE)
  local v, q, e, bounds = program.blank(), program.blank(), program.blank(), nil
  local slots, list, now, null = program.slots, self.list, self.now, host.null
  for i = 1, #q do
    q[i] = NAN
  end
  for i = 1, #list do
    local trait = list[i]
    local slot = slots[trait.id or trait.traitName]
    if slot then
      local counts, bound = true, nil
      if trait.validFrom or trait.expiresAt then
        counts, bound = is_valid(trait, now)
      end
      if bound then
        bounds = bounds or {}
        bounds[slot] = bound
      end
      local x = trait.value
      if counts and x ~= nil and x ~= null then
        if x == false then
          x = FALSE
        end
        if type(x) == "number" then
          q[slot] = x
        end
        v[slot], e[slot] = x, trait
      end
    end
  end
  return v, q, e, bounds
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
