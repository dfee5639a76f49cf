-- explain.lua - Why a rule fired or did not, by walking it: slow, plain, and the compiler's judge.
--
-- The tests compare what this says with what compiled rules do, on random rules
-- and mindscapes; so the two are kept apart on purpose.
--
-- SPDX-License-Identifier: MIT
local condition = require "personakit.condition"
local fault = require "personakit.fault"
local host = require "personakit.host"
local rule = require "personakit.rule"
local source = require "personakit.source"
local value = require "personakit.value"

local format = string.format

local explain = {}

local SHOWN = 3 -- alternatives of an 'any' that a reason names

local HOLDS

local function holds(node, entries, now)
  return HOLDS[node.kind](node, entries, now)
end

HOLDS = {
  test = function(node, entries, now)
    local entry = entries[node.path]
    if node.op.timed then
      return entry ~= nil and (node.op.timed(entry, node.value, now)) or false
    elseif entry == nil and not node.op.knows_missing then
      return false
    end
    return node.op.holds(entry and entry.value, node.value) and true or false
  end,
  all = function(node, entries, now)
    for _, each in ipairs(node) do
      if not holds(each, entries, now) then
        return false
      end
    end
    return true
  end,
  any = function(node, entries, now)
    for _, each in ipairs(node) do
      if holds(each, entries, now) then
        return true
      end
    end
    return false
  end,
  none = function(node, entries, now) return not HOLDS.any(node, entries, now) end,
  ["not"] = function(node, entries, now) return not holds(node[1], entries, now) end,
}

-- Whether a condition holds in a source.
function explain.holds(node, from)
  return holds(node, (source.index(from)), from.now)
end

-- ---- In words ----

local function shown(of)
  return type(of) == "table" and fault.quote(value.text(of)) or fault.quote(of)
end

-- Operators that take several values, by what stands before the last of them.
local SEVERAL = { between = " and ", in_ = " or ", not_in = " or " }

local function alternatives(list, last)
  local parts = {}
  for i, each in ipairs(list) do
    parts[i] = shown(each)
  end
  local tail = table.remove(parts)
  return (#parts > 0 and table.concat(parts, ", ") .. last or "") .. (tail or "nothing")
end

local function wanted(test)
  if test.op.knows_missing then
    return test.value and test.op.words or "the opposite of: " .. test.op.words
  elseif test.op.name == "changed_within" then
    return format("changed within %d s", test.value / 1000)
  elseif SEVERAL[test.op.name] then
    return test.op.words .. " " .. alternatives(test.value, SEVERAL[test.op.name])
  end
  return test.op.words .. " " .. shown(test.value)
end

local WHY

local function why_not(node, entries, now)
  return WHY[node.kind](node, entries, now)
end

WHY = {
  test = function(node, entries)
    local entry = entries[node.path]
    local is = entry and "is " .. shown(entry.value) or "is not known"
    return format("%s %s; wanted: %s", node.path, is, wanted(node))
  end,
  all = function(node, entries, now)
    for _, each in ipairs(node) do
      if not holds(each, entries, now) then
        return why_not(each, entries, now)
      end
    end
  end,
  any = function(node, entries, now)
    local parts = {}
    for i = 1, math.min(#node, SHOWN) do
      parts[i] = why_not(node[i], entries, now)
    end
    return "none of: " .. table.concat(parts, " | ") .. (#node > SHOWN and " | ..." or "")
  end,
  none = function(node, entries, now)
    for _, each in ipairs(node) do
      if holds(each, entries, now) then
        return "holds, and must not: " .. condition.text(each)
      end
    end
  end,
  ["not"] = function(node) return "holds, and must not: " .. condition.text(node[1]) end,
}

-- { ruleId, fired, reason, traits } for each rule that a detail level looks at.
function explain.verdicts(rules, from, detail)
  local entries = source.index(from)
  local list = host.list({})
  for _, each in ipairs(rules) do
    if each.detail <= (rule.DETAIL[detail] or 1) then
      local fired = holds(each.when, entries, from.now)
      list[#list + 1] = {
        ruleId = each.id,
        fired = fired,
        reason = not fired and why_not(each.when, entries, from.now) or nil,
        traits = host.list(rule.traits(each)),
      }
    end
  end
  return list
end

return explain
