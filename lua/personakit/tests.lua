-- tests.lua - The tests of traits that are more than a comparison, and confidence as time goes by.
--
-- Used by compiled rules and by the view. A test that depends on the time gives
-- two results: whether it holds now, and the instant (milliseconds) at which
-- that turns by itself, or nil when it never does.
--
-- Confidence halves every half-life: c(t) = c0 * 2^(-(t - t0) / h). Solved for
-- the instant at which it meets a bound: t = t0 + h * log2(c0 / bound).
--
-- SPDX-License-Identifier: MIT
local value = require "personakit.value"

local find = string.find
local floor, log = math.floor, math.log
local rawget, type = rawget, type

local tests = {}

local INSTANT_MAX = 253402300799999 -- the end of the year 9999

-- A text in a text, an item in a list, a key in an object.
function tests.contains(x, wanted)
  if type(x) == "string" then
    return type(wanted) == "string" and find(x, wanted, 1, true) ~= nil
  elseif type(x) ~= "table" then
    return false
  elseif type(wanted) == "string" and rawget(x, wanted) ~= nil then
    return true
  end
  for i = 1, #x do
    if x[i] == wanted then
      return true
    end
  end
  return false
end

-- Confidence now of a trait's entry; elapsed time is never below 0.
function tests.confidence(entry, now)
  local first = entry.confidence
  local half_life = entry.halfLife
  local since = value.instant(entry.updatedAt)
  if type(first) ~= "number" then
    return nil
  elseif entry.pinned or not half_life or not since or now <= since then
    return first
  end
  return first * 2 ^ (-(now - since) / half_life)
end

function tests.confident(entry, least, now)
  local confidence = entry and tests.confidence(entry, now)
  if not confidence or confidence < least then
    return false, nil -- It only decays: it never comes back by itself.
  end
  local since = value.instant(entry.updatedAt)
  if least == 0 or entry.pinned or not entry.halfLife or not since then
    return true, nil
  end
  local flip = floor(since + entry.halfLife * log(entry.confidence / least) / log(2)) + 1
  if flip > INSTANT_MAX then
    return true, nil
  end
  -- Rounding may have put it a millisecond beside the instant that the test itself goes by.
  for _ = 1, 4 do
    if tests.confidence(entry, flip) >= least then
      flip = flip + 1
    elseif flip - 1 > now and tests.confidence(entry, flip - 1) < least then
      flip = flip - 1
    end
  end
  return true, flip
end

function tests.changed_within(entry, duration, now)
  local since = entry and value.instant(entry.updatedAt)
  if not since or now - since > duration then
    return false, nil
  end
  return true, since + duration + 1
end

return tests
