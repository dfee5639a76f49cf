-- compile.lua - Declared rules as Lua source: ten times faster than closures or walking a table.
--
-- A mapper's rules become one text, once. Loaded with the run-time kit it gives
-- a program (see rules.lua, which runs it):
--
--     paths        the traits it reads, by slot; 'slots' is the way back
--     core, overlay  for each detail level: { is_timed, reads = slots, part, ... };
--                  a part is a function(v, e, clock, fired, n) -> n that
--                  appends the numbers of the rules that fire to 'fired'
--     id           the rules' ids, by number
--     say          function(i, fill, put): builds what rule i says
--
-- v[slot] is the trait's value and e[slot] its entry, if anything asks for the
-- time. A trait that is not known is false in both, and the value false is FALSE,
-- a table of its own: so "known" is plain truth, and the arrays have no holes.
--
-- Rule: nothing that an author wrote may become code. Every text in the source
-- comes out of quoted(), which writes all but letters, digits and spaces as
-- \ddd; numbers come out of plain(); all other code is written here.
--
-- SPDX-License-Identifier: MIT
local condition = require "personakit.condition"
local host = require "personakit.host"
local rule = require "personakit.rule"
local value = require "personakit.value"

local byte, find, format, gsub = string.byte, string.find, string.format, string.gsub
local concat, floor = table.concat, math.floor

local compile = {}

compile.TIME_STEP = 3600000 -- ms after which what was read of the clock is read again

local PART_TESTS = 200 -- a part ends after so many tests: LuaJIT limits what one function may hold
local SAY_RULES = 128  -- rules whose texts share one function

-- ---- Data as source ----

local function quoted(text)
  return '"' .. gsub(text, "[^%w ]", function(c) return format("\\%03d", byte(c)) end) .. '"'
end

local plain

local function table_source(of)
  local parts = {}
  for i, key in ipairs(value.keys(of)) do
    local source = plain(of[key])
    parts[i] = type(key) == "number" and source or format("[%s]=%s", quoted(key), source)
  end
  return "{" .. concat(parts, ",") .. "}"
end

function plain(of)
  if type(of) == "string" then
    return quoted(of)
  elseif type(of) == "table" then
    return table_source(of)
  elseif type(of) == "number" then
    return of < 0 and format("(%.17g)", of) or format("%.17g", of)
  end
  return of and "true" or "false"
end

compile.quoted, compile.plain = quoted, plain

-- ---- What one program needs beside its rules ----

local Gen = {}
Gen.__index = Gen

local function new_gen()
  return setmetatable({ paths = {}, slots = {}, constants = {}, patterns = {}, pattern_at = {} },
    Gen)
end

function Gen:slot_of(path)
  if not self.slots[path] then
    self.paths[#self.paths + 1] = path
    self.slots[path] = #self.paths
  end
  return self.slots[path]
end

function Gen.plain(_, of)
  return plain(of)
end

-- A scalar to compare a trait's value with.
function Gen.literal(_, of)
  return of == false and "FALSE" or plain(of)
end

function Gen:add_constant(source)
  self.constants[#self.constants + 1] = source
  return format("C[%d]", #self.constants)
end

function Gen:constant(of)
  return self:add_constant(plain(of))
end

function Gen:set(list)
  local parts = {}
  for i, each in ipairs(list) do
    parts[i] = format("[%s]=true", self:literal(each))
  end
  return self:add_constant("{" .. concat(parts, ",") .. "}")
end

function Gen:pattern(text)
  if not self.pattern_at[text] then
    self.patterns[#self.patterns + 1] = quoted(text)
    self.pattern_at[text] = #self.patterns
  end
  return format("P[%d]", self.pattern_at[text])
end

-- The entry of the trait that is being tested: for tests that depend on the time.
function Gen:entry()
  self.is_timed = true
  return format("e[%d]", self.slot)
end

-- ---- Conditions ----

local expression

local function joined(gen, node, word)
  local parts = {}
  for i, each in ipairs(node) do
    parts[i] = "(" .. expression(gen, each) .. ")"
  end
  return concat(parts, word)
end

local EXPRESSION = {
  test = function(gen, node)
    gen.slot = gen:slot_of(node.path)
    return node.op.emit(node.value, gen, format("v[%d]", gen.slot))
  end,
  all = function(gen, node) return joined(gen, node, " and ") end,
  any = function(gen, node) return joined(gen, node, " or ") end,
  none = function(gen, node) return "not (" .. joined(gen, node, " or ") .. ")" end,
  ["not"] = function(gen, node) return "not (" .. expression(gen, node[1]) .. ")" end,
}

function expression(gen, node)
  return EXPRESSION[node.kind](gen, node)
end

local function tests_in(node)
  local count = 0
  condition.walk(node, function() count = count + 1 end)
  return count
end

-- ---- Parts ----

-- The rules of one half that are looked at on a detail level, as { numbers, paths }.
local function selection(rules, level, detail)
  local numbers = {}
  for i, each in ipairs(rules) do
    if each.level == level and each.detail <= detail then
      numbers[#numbers + 1] = i
    end
  end
  return numbers
end

local function reads_of(gen, rules, numbers)
  local slots, seen = {}, {}
  for _, i in ipairs(numbers) do
    for _, path in ipairs(condition.paths(rules[i].when)) do
      local slot = gen:slot_of(path)
      if not seen[slot] then
        seen[slot] = true
        slots[#slots + 1] = slot
      end
    end
  end
  table.sort(slots)
  return slots
end

local function part_source(gen, rules, numbers, first, last)
  local lines = { "function(v, e, clock, fired, n)" }
  for at = first, last do
    local i = numbers[at]
    lines[#lines + 1] = format("if %s then n = n + 1 fired[n] = %d end",
      expression(gen, rules[i].when), i)
  end
  lines[#lines + 1] = "return n end"
  return concat(lines, "\n")
end

local function parts_source(gen, rules, numbers)
  local parts, first, tests = {}, 1, 0
  for at, i in ipairs(numbers) do
    local more = tests_in(rules[i].when)
    if at > first and tests + more > PART_TESTS then
      parts[#parts + 1] = part_source(gen, rules, numbers, first, at - 1)
      first, tests = at, 0
    end
    tests = tests + more
  end
  if first <= #numbers then
    parts[#parts + 1] = part_source(gen, rules, numbers, first, #numbers)
  end
  return parts
end

-- The three detail levels of one half; levels with the same rules share one table.
local function half_source(gen, rules, level)
  local lines, names, by_text = {}, {}, {}
  for detail = 1, 3 do
    local numbers = selection(rules, level, detail)
    local key = concat(numbers, ",")
    if not by_text[key] then
      local reads = reads_of(gen, rules, numbers)
      by_text[key] = format("%s_%d", level, detail)
      gen.is_timed = false
      local parts = concat(parts_source(gen, rules, numbers), ",\n")
      gen.is_ever_timed = gen.is_ever_timed or gen.is_timed
      lines[#lines + 1] = format("local %s = { is_timed = %s, reads = {%s}, %s }", by_text[key],
        tostring(gen.is_timed), concat(reads, ","), parts)
    end
    names[detail] = by_text[key]
  end
  lines[#lines + 1] = format("program.%s = { %s }", level, concat(names, ", "))
  return concat(lines, "\n")
end

-- ---- What rules say ----

local function text_source(parts)
  local pieces = {}
  for i, part in ipairs(parts) do
    if type(part) == "string" then
      pieces[i] = quoted(part)
    elseif part.default then
      pieces[i] = format("fill(%s, %s)", quoted(part.path), quoted(part.default))
    else
      pieces[i] = format("fill(%s)", quoted(part.path))
    end
  end
  return concat(pieces, " .. ")
end

local function say_source(of)
  local traits = plain(rule.traits(of))
  local lines = {}
  for i, say in ipairs(of.says) do
    lines[i] = format("put(%s, { ruleId = %s, text = %s, priority = %s, traits = list(%s) })",
      quoted(say.section), quoted(of.id), text_source(say.parts), quoted(say.priority), traits)
  end
  return concat(lines, "\n")
end

-- A tree of comparisons: a table of functions would be built anew for every call in the jail.
local function say_tree(rules, first, last)
  if first == last then
    return say_source(rules[first])
  end
  local middle = floor((first + last) / 2)
  return format("if i <= %d then\n%s\nelse\n%s\nend", middle, say_tree(rules, first, middle),
    say_tree(rules, middle + 1, last))
end

local function says_source(rules)
  local functions = {}
  for first = 1, #rules, SAY_RULES do
    local last = math.min(first + SAY_RULES - 1, #rules)
    functions[#functions + 1] = "function(i, fill, put)\n" .. say_tree(rules, first, last)
      .. "\nend"
  end
  return format("local says = { %s }\n", concat(functions, ",\n"))
    .. format("function program.say(i, fill, put) says[floor((i - 1) / %d) + 1](i, fill, put) end",
      SAY_RULES)
end

-- ---- The program ----

local HEAD = [[
local kit = ...
local FALSE, equal, contains, type, floor, list = kit.FALSE, kit.equal, kit.contains, kit.type, kit.floor, kit.list
local confident, changed_within = kit.confident, kit.changed_within
local program = {}
]]

local function ids_source(rules)
  local ids = {}
  for i, each in ipairs(rules) do
    ids[i] = quoted(each.id)
  end
  return "program.id = {" .. concat(ids, ",") .. "}"
end

-- The source of a program. 'rules' are in their normal form, named texts resolved; 'more' has
-- 'requires', a list of paths and prefixes, and 'time_step' in milliseconds. And what it reads of
-- a mindscape: { paths, by slot; prefixes; timed, whether more than values }.
function compile.program(rules, more)
  local gen = new_gen()
  local halves = half_source(gen, rules, "core") .. "\n" .. half_source(gen, rules, "overlay")
  -- What texts and 'requires' name has a slot, too, and counts as read when it is asked for.
  for _, each in ipairs(rules) do
    for _, path in ipairs(rule.traits(each)) do
      gen:slot_of(path)
    end
  end
  local prefixes = {}
  for _, path in ipairs(more.requires or {}) do
    if find(path, "*", 1, true) then
      prefixes[#prefixes + 1] = (gsub(path, "%*.*$", ""))
    else
      gen:slot_of(path)
    end
  end
  local paths, slots, blank = {}, {}, {}
  for i, path in ipairs(gen.paths) do
    paths[i] = quoted(path)
    slots[i] = format("[%s]=%d", quoted(path), i)
    blank[i] = "false"
  end
  return concat({
    HEAD,
    "local C = {" .. concat(gen.constants, ",\n") .. "}",
    "local P = kit.patterns({" .. concat(gen.patterns, ",\n") .. "})",
    "program.paths = {" .. concat(paths, ",") .. "}",
    "program.slots = {" .. concat(slots, ",") .. "}",
    "function program.blank() return {" .. concat(blank, ",") .. "} end",
    ids_source(rules),
    "program.requires = " .. plain(more.requires or {}),
    "program.is_timed = " .. tostring(gen.is_ever_timed or false),
    "program.time_step = " .. plain(more.time_step or compile.TIME_STEP),
    halves,
    says_source(rules),
    "return program\n",
  }, "\n"), { paths = host.list(gen.paths), prefixes = host.list(prefixes), timed = gen.is_ever_timed or false }
end

function compile.source(rules, more)
  local source = compile.program(rules, more)
  return source
end

return compile
