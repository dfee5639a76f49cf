-- rules.lua - Runs a program that compile.lua wrote: what it needs, and what comes of it.
--
-- A program looks at every trait that its rules of this half and detail level
-- name, once, before the first rule: so that is what is recorded, exactly, and
-- evaluating records nothing. Texts are filled only for rules that fired, and
-- record the traits they name.
--
-- SPDX-License-Identifier: MIT
local host = require "personakit.host"
local record = require "personakit.record"
local source = require "personakit.source"
local tests = require "personakit.tests"
local value = require "personakit.value"

local huge = math.huge
local NO_CLOCK = { till = huge } -- of rules that do not ask for the time

local rules = {}

-- Stands for the value false, because false stands for "not known". Equal to no value.
local FALSE = { [0.5] = true }
rules.FALSE = FALSE

local function timed(test)
  return function(entry, operand, clock)
    local holds, flip = test(entry, operand, clock.now)
    if flip and flip < clock.till then
      clock.till = flip
    end
    return holds
  end
end

-- Compiled when they are first used: most calls use few.
local function lazy_patterns(list)
  local matchers = {}
  for i, text in ipairs(list) do
    local matcher
    matchers[i] = function(x)
      matcher = matcher or (require "personakit.pattern").compile(text)
      return matcher(x)
    end
  end
  return matchers
end

-- What the program's source gets as its argument.
function rules.kit()
  return {
    FALSE = FALSE,
    equal = value.equal,
    contains = tests.contains,
    confident = timed(tests.confident),
    changed_within = timed(tests.changed_within),
    patterns = lazy_patterns,
    list = host.list,
    type = type,
    floor = math.floor,
  }
end

-- How many rules of a half that has some fire, their numbers in 'fired', and the instant at which
-- that changes by itself.
function rules.evaluate(half, v, e, now, fired)
  local clock = half.is_timed and { now = now, till = huge } or NO_CLOCK
  local n = half[1](v, e, clock, fired, 0)
  for i = 2, #half do
    n = half[i](v, e, clock, fired, n)
  end
  return n, clock.till
end

-- Records what a half looks at, each trait as read or missed; written out when the record ends.
function rules.note_reads(program, half, v, bounds, into)
  record.read_half(into, program, half, v)
  if bounds then
    for _, slot in ipairs(half.reads) do
      record.until_(into, bounds[slot])
    end
  end
end

-- The arrays of a source for a program, made once.
function rules.slots(program, from)
  local arrays = from.arrays
  if not arrays then
    arrays = { source.slots(from, program, FALSE) }
    from.arrays = arrays
  end
  return arrays[1], arrays[2], arrays[3]
end

-- The value of a path that the program knows, recorded as read or missed.
function rules.read(program, from, path, into)
  local slot = program.slots[path]
  local v, _, bounds = rules.slots(program, from)
  record.read_slot(into, program, slot, v)
  record.until_(into, bounds and bounds[slot])
  local x = v[slot]
  if not x then
    return nil
  elseif x == FALSE then
    return false
  end
  return x
end

-- Runs one half ("core" or "overlay") on a detail level (1 to 3): { numbers that fired }.
function rules.run(program, level, detail, from, into)
  local half = program[level][detail]
  local fired = {}
  if #half == 0 then
    record.read_half(into, program, half, into.v)
    return fired
  end
  local v, e, bounds = rules.slots(program, from)
  local _, till = rules.evaluate(half, v, e, from.now, fired)
  record.until_(into, till)
  rules.note_reads(program, half, v, bounds, into)
  return fired
end

return rules
