-- operators.lua - Every test of a trait, declared once: for Lua, JSON, the compiler and the reference.
--
-- A row is read by condition.lua (methods of pk.trait), reader.lua (JSON names),
-- compile.lua ('emit') and explain.lua ('holds', 'words'). One rule for all: a
-- test of a trait that is not known is false, except for 'missing'; "not known or
-- different" is written pk.not_. Values of another type than the operator
-- compares are like no value: the test is false, never an error.
--
--   name     method of pk.trait(path)
--   json     names in JSON, the first is the one to use
--   takes    what the operand is, for people
--   help     what it says
--   check    operand -> operand in its normal form, or nil and a fault
--   pack     arguments of the method -> operand, where it is not just the first
--   holds    (x, operand) -> boolean; x is the trait's value, never nil
--   timed    (entry, operand, now) -> boolean, instant at which that flips or nil
--   emit     (operand, gen, x) -> a Lua expression over the expression 'x', in which
--            a missing value is false and the value false is FALSE; see compile.lua
--   words    how the test reads in an explanation
--
-- If you add one: its row here, its cases in tests/lua/operators_spec.lua.
--
-- SPDX-License-Identifier: MIT
local fault = require "personakit.fault"
local pattern = require "personakit.pattern"
local tests = require "personakit.tests"
local value = require "personakit.value"

local format = string.format
local huge = math.huge

local IN_CHAIN_MAX = 8 -- so many are compared one by one; more are looked up

-- ---- Operands ----

local function any_value(of)
  if of == nil then
    return nil, fault.new("a value is missing", "give what the trait is compared with")
  end
  return value.copy(of)
end

local function finite(of)
  return type(of) == "number" and of == of and of < huge and of > -huge
end

local function ordered(of)
  if finite(of) or type(of) == "string" then
    return of
  end
  return nil, fault.new(fault.quote(of) .. " has no order", "give a number or a text")
end

local function both_ends(of)
  if type(of) ~= "table" or #of ~= 2 or type(of[1]) ~= type(of[2]) or not ordered(of[1])
      or not ordered(of[2]) then
    return nil, fault.new("'between' wants two numbers or two texts", "as in between(8, 10)")
  elseif of[2] < of[1] then
    return nil, fault.new(format("%s is above %s", fault.quote(of[1]), fault.quote(of[2])),
      "give the lower end first")
  end
  return { of[1], of[2] }
end

local function plain_list(of)
  if type(of) ~= "table" or #of == 0 or not value.is_list(of) then
    return nil, fault.new("a list of at least one value is wanted", "as in { \"a\", \"b\" }")
  end
  local made = {}
  for i, each in ipairs(of) do
    if type(each) ~= "string" and type(each) ~= "boolean" and not finite(each) then
      return nil, fault.new(format("item %d is %s", i, fault.quote(each)),
        "a list to look in holds texts, numbers, true and false")
    end
    made[i] = each
  end
  return made
end

local function plain_value(of)
  local list, why = plain_list({ of })
  if not list then
    return nil, of == nil and fault.new("a value is missing", "give what to look for") or why
  end
  return of
end

local function a_pattern(of)
  local compiled, why = pattern.compile(of)
  if not compiled then
    return nil, why
  end
  return of
end

local function yes_or_nothing(of)
  if of == nil or of == true or of == false then
    return of ~= false
  end
  return nil, fault.new(fault.quote(of) .. " is neither true nor false", "leave the value out")
end

local function unit(of)
  if type(of) == "number" and of >= 0 and of <= 1 then
    return of
  end
  return nil, fault.new(fault.quote(of) .. " is no confidence", "give a number from 0 to 1")
end

-- ---- Code ----

local function emit_equal(of, gen, x)
  if type(of) == "table" then
    return format("equal(%s, %s)", x, gen:constant(of))
  end
  return format("%s == %s", x, gen:literal(of))
end

local function emit_order(sign)
  return function(of, gen, x)
    return format("type(%s) == %q and %s %s %s", x, type(of), x, sign, gen:literal(of))
  end
end

local function emit_in(of, gen, x)
  if #of > IN_CHAIN_MAX then
    return format("%s and %s[%s]", x, gen:set(of), x)
  end
  local parts = {}
  for i, each in ipairs(of) do
    parts[i] = format("%s == %s", x, gen:literal(each))
  end
  return table.concat(parts, " or ")
end

local function not_(emit)
  return function(of, gen, x)
    return format("%s and not (%s)", x, emit(of, gen, x))
  end
end

local function emit_contains(of, gen, x)
  return format("contains(%s, %s)", x, gen:plain(of))
end

local function emit_timed(name)
  return function(of, gen)
    return format("%s(%s, %s, clock)", name, gen:entry(), gen:plain(of))
  end
end

-- ---- The same, without code: what explanations and the tests of the compiler go by ----

local function equal(x, of)
  return value.equal(x, of)
end

local function is_in(x, of)
  for _, each in ipairs(of) do
    if x == each then
      return true
    end
  end
  return false
end

local function order(compare)
  return function(x, of)
    return type(x) == type(of) and compare(x, of)
  end
end

local row = {}

local function add(each)
  row[#row + 1] = each
end

add { name = "is", json = { "equals", "eq", "==", "is" }, takes = "any value",
  help = "The value is this one; lists and objects are compared in depth.",
  check = any_value, holds = equal, emit = emit_equal, words = "is" }
add { name = "is_not", json = { "not_equals", "ne", "neq", "!=", "is_not" }, takes = "any value",
  help = "The value is known, and another one.",
  check = any_value, holds = function(x, of) return not equal(x, of) end,
  emit = not_(emit_equal), words = "is not" }
add { name = "gt", json = { "greater_than", "gt", ">" }, takes = "a number or a text",
  help = "The value is above this; texts are compared by their bytes.",
  check = ordered, holds = order(function(x, of) return x > of end), emit = emit_order(">"),
  words = "is above" }
add { name = "gte", takes = "a number or a text",
  json = { "greater_than_or_equal", "greater_than_or_equals", "gte", ">=" },
  help = "The value is this or above.",
  check = ordered, holds = order(function(x, of) return x >= of end), emit = emit_order(">="),
  words = "is at least" }
add { name = "lt", json = { "less_than", "lt", "<" }, takes = "a number or a text",
  help = "The value is below this.",
  check = ordered, holds = order(function(x, of) return x < of end), emit = emit_order("<"),
  words = "is below" }
add { name = "lte", takes = "a number or a text",
  json = { "less_than_or_equal", "less_than_or_equals", "lte", "<=" },
  help = "The value is this or below.",
  check = ordered, holds = order(function(x, of) return x <= of end), emit = emit_order("<="),
  words = "is at most" }
add { name = "between", json = { "between" }, takes = "two numbers or two texts, the lower first",
  help = "The value is one of the ends or lies between them.",
  check = both_ends,
  pack = function(low, high)
    if high == nil then
      return low
    end
    return { low, high }
  end,
  holds = function(x, of) return type(x) == type(of[1]) and x >= of[1] and x <= of[2] end,
  emit = function(of, gen, x)
    return format("type(%s) == %q and %s >= %s and %s <= %s", x, type(of[1]), x,
      gen:literal(of[1]), x, gen:literal(of[2]))
  end,
  words = "lies between" }
add { name = "in_", json = { "in", "in_" }, takes = "a list of texts, numbers, true and false",
  help = "The value is one of these.",
  check = plain_list, holds = is_in, emit = emit_in, words = "is one of" }
add { name = "not_in", json = { "not_in", "nin" }, takes = "a list of texts, numbers, true and false",
  help = "The value is known, and none of these.",
  check = plain_list, holds = function(x, of) return not is_in(x, of) end, emit = not_(emit_in),
  words = "is none of" }
add { name = "contains", json = { "contains" }, takes = "a text, a number, true or false",
  help = "A text has this text in it, a list has this item, an object this key.",
  check = plain_value, holds = function(x, of) return tests.contains(x, of) end,
  emit = emit_contains, words = "contains" }
add { name = "not_contains", json = { "not_contains", "does_not_contain" },
  takes = "a text, a number, true or false",
  help = "The value is known, and does not contain this.",
  check = plain_value, holds = function(x, of) return not tests.contains(x, of) end,
  emit = not_(emit_contains), words = "does not contain" }
add { name = "matches", json = { "matches", "regex", "matches_regex" },
  takes = "a regular expression, as in '^(mon|tue)'",
  help = "A text in which the pattern is found; it takes time in proportion to the text, always.",
  check = a_pattern,
  holds = function(x, of) return type(x) == "string" and pattern.compile(of)(x) end,
  emit = function(of, gen, x)
    return format("type(%s) == \"string\" and %s(%s)", x, gen:pattern(of), x)
  end,
  words = "matches" }
add { name = "exists", json = { "exists" }, takes = "nothing, or true; false turns it round",
  help = "The trait is known, whatever its value.",
  check = yes_or_nothing, knows_missing = true,
  holds = function(x, of) return (x ~= nil) == of end,
  emit = function(of, _, x) return of and x or "not " .. x end, words = "is known" }
add { name = "missing", json = { "not_exists", "missing" }, takes = "nothing",
  help = "The trait is not known.",
  check = yes_or_nothing, knows_missing = true,
  holds = function(x, of) return (x == nil) == of end,
  emit = function(of, _, x) return of and "not " .. x or x end, words = "is not known" }
add { name = "changed_within", json = { "changed_within" }, takes = "a duration, as in '7d'",
  help = "The trait last changed at most so long ago.",
  check = value.duration, timed = tests.changed_within,
  emit = emit_timed("changed_within"), words = "changed within" }
add { name = "confident", json = { "confident", "min_confidence", "confidence" },
  takes = "a number from 0 to 1",
  help = "We are at least so sure of the trait now; confidence decays with time.",
  check = unit, timed = tests.confident, emit = emit_timed("confident"),
  words = "is known with a confidence of at least" }

-- ---- Look-up ----

local operators = { row = row, method = {}, json = {}, methods = {}, json_names = {} }

for _, each in ipairs(row) do
  operators.method[each.name] = each
  operators.methods[#operators.methods + 1] = each.name
  for i, name in ipairs(each.json) do
    operators.json[name] = each
    if i == 1 then
      operators.json_names[#operators.json_names + 1] = name
    end
  end
end

return operators
