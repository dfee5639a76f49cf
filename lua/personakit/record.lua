-- record.lua - What a call read, and until when that stays true by itself.
--
-- Each half of a persona keeps one record: reads by kind and match (exact,
-- prefix, miss), each key once, in the order they were first read, and the
-- earliest instant at which something that was read or missed changes by the
-- clock alone. The host compares the reads with the mindscape's versions.
--
-- SPDX-License-Identifier: MIT
local host = require "personakit.host"

local list, raw = host.list, host.raw

local huge = math.huge
local min = math.min

local record = {}

-- 'step': what a plain read of confidence, age or the time is good for, in milliseconds.
function record.new(now, step)
  return { now = now, step = step, till = huge, groups = nil, group_at = nil,
    program = nil, half = nil, v = nil, more = nil }
end

local function group_of(self, kind, match)
  local name = kind .. " " .. match
  if not self.groups then
    self.groups, self.group_at = {}, {}
  end
  local group = self.group_at[name]
  if not group then
    group = { kind = kind, match = match, keys = list({}), seen = {} }
    self.group_at[name] = group
    self.groups[#self.groups + 1] = group
  end
  return group
end

local function add(self, kind, key, match)
  local group = group_of(self, kind, match)
  if key == nil then
    group.is_all = true
  elseif not group.seen[key] then
    group.seen[key] = true
    group.keys[#group.keys + 1] = key
  end
end

local function add_slot(self, slot)
  add(self, "trait", self.program.paths[slot], self.v[slot] and "exact" or "miss")
end

-- Slots that were read one by one become keys like all others.
local function write_more(self)
  local more = self.more
  if more then
    self.more = nil
    for i = 1, #more do
      add_slot(self, more[i])
    end
  end
end

-- Something was read; no key: all of the kind.
function record.read(self, kind, key, match)
  write_more(self)
  add(self, kind, key, match)
end

-- A trait that the program has a slot for.
function record.read_slot(self, program, slot, v)
  self.program, self.v = program, v
  if self.groups then
    add_slot(self, slot)
    return
  end
  local more = self.more or {}
  more[#more + 1] = slot
  self.more = more
end

-- Traits that were looked at together: the slots that a half of the program reads, known where
-- v[slot] is true; without 'v' when there are none.
function record.read_half(self, program, half, v)
  self.program, self.half, self.v = program, half, v
end

-- All that was read by slot becomes keys; the last thing before the record ends.
local function write_out(self)
  write_more(self)
  local half = self.half
  local slots, paths, v = half and half.reads, self.program and self.program.paths, self.v
  if not slots or #slots == 0 then
    return
  end
  self.half = nil
  local exact, miss = group_of(self, "trait", "exact"), group_of(self, "trait", "miss")
  local known, missed, seen, not_seen = exact.keys, miss.keys, exact.seen, miss.seen
  local n, m = #known, #missed
  for i = 1, #slots do
    local path = paths[slots[i]]
    if v[slots[i]] then
      if not seen[path] then
        n = n + 1
        known[n] = path
      end
    elseif not not_seen[path] then
      m = m + 1
      missed[m] = path
    end
  end
end

-- The read set as a handle, when nothing but slots was read; see source.lua. Nil: as a table.
local function as_handle(self)
  local half = self.half
  if not raw or not half or self.groups then
    return nil
  elseif not self.more and #half.reads == 0 then
    return list({})
  end
  half.handle = half.handle or raw.reads(self.program.paths, half.reads)
  return raw.note(half.handle, self.v, self.more)
end

-- Something that was read changes at 'instant'.
function record.until_(self, instant)
  if instant and instant > self.now and instant < self.till then
    self.till = instant
  end
end

-- The clock itself was read, or what runs with it.
function record.clock(self)
  self.till = min(self.till, self.now + self.step)
end

-- Adds what another record has; both are of one call.
function record.join(self, other)
  write_more(self)
  for _, group in ipairs(other.groups or {}) do
    if group.is_all then
      record.read(self, group.kind, nil, group.match)
    end
    for _, key in ipairs(group.keys) do
      record.read(self, group.kind, key, group.match)
    end
  end
  self.till = min(self.till, other.till)
end

-- { kind, match, keys } with absent keys for "all of the kind"; and the instant, or nil.
function record.finish(self)
  local till = self.till < huge and self.till or nil
  local handle = as_handle(self)
  if handle then
    return handle, till
  end
  write_out(self)
  local reads = list({})
  for _, group in ipairs(self.groups or {}) do
    if group.is_all or #group.keys > 0 then
      reads[#reads + 1] = {
        kind = group.kind, match = group.match, keys = not group.is_all and group.keys or nil,
      }
    end
  end
  return reads, till
end

-- The paths of traits read so far: what a line rests on.
function record.traits(self)
  write_more(self)
  local group = self.group_at and self.group_at["trait exact"]
  return group and group.keys or {}
end

return record
