-- condition.lua - pk.trait(path):is(...), pk.all, pk.any, pk.none, pk.not_.
--
-- A condition is a node: { kind = "test", path, op, value } (op is a row of
-- operators.lua), { kind = "all"|"any"|"none", node, ... } or { kind = "not",
-- node }. Tests of one trait can be chained: both must hold. Mistakes are raised
-- at once, with the author's line.
--
-- SPDX-License-Identifier: MIT
local fault = require "personakit.fault"
local operators = require "personakit.operators"
local value = require "personakit.value"

local error, setmetatable, getmetatable, rawget, type = error, setmetatable, getmetatable, rawget,
  type
local format = string.format

local condition = {}

condition.DEPTH_MAX = 32
condition.TESTS_MAX = 2000 -- of one rule

local META = "personakit condition"
local meta = { __metatable = META }

function condition.is_condition(of)
  return type(of) == "table" and getmetatable(of) == META
end

local function make(node)
  return setmetatable(node, meta)
end

-- A test as a node, or nil and a fault. 'row' is of operators.lua.
function condition.test(path_text, row, operand)
  local path, why = value.path(path_text)
  if not path then
    return nil, why
  end
  local checked
  checked, why = row.check(operand)
  if checked == nil then
    return nil, fault.within(format("trait '%s', operator '%s'", path, row.name), why)
  end
  return make({ kind = "test", path = path, op = row, value = checked })
end

-- Joins nodes; 'place' names the joint in faults.
function condition.join(kind, nodes)
  local made = { kind = kind }
  for i, node in ipairs(nodes) do
    made[i] = node
  end
  return make(made)
end

-- ---- Methods ----

local function method_of(row)
  return function(self, ...)
    if not condition.is_condition(self) then
      error(format("pk.trait: call '%s' with a colon, as in pk.trait(path):%s(...)", row.name,
        row.name), 2)
    end
    local node, why = condition.test(self.path, row, row.pack and row.pack(...) or (...))
    if not node then
      error(fault.text(why), 2)
    elseif self.kind == "trait" then
      return node
    end
    local all = { kind = "all", path = self.path }
    for i, each in ipairs(self.kind == "all" and self or { self }) do
      all[i] = each
    end
    all[#all + 1] = node
    return make(all)
  end
end

local method = {}
for name, row in pairs(operators.method) do
  method[name] = method_of(row)
end

meta.__index = function(self, name)
  if name == "path" then
    return nil
  elseif rawget(self, "path") == nil then
    error("only tests of one trait can be chained; join others with pk.all or pk.any", 2)
  elseif not method[name] then
    error(fault.text(fault.unknown("operator", name, operators.methods)), 2)
  end
  return method[name]
end

meta.__newindex = function()
  error("a condition cannot be changed", 2)
end

-- ---- What authors call ----

-- pk.trait(path): the start of a test.
function condition.trait(path_text)
  local path, why = value.path(path_text)
  if not path then
    error("pk.trait: " .. fault.text(why), 2)
  end
  return make({ kind = "trait", path = path })
end

local function first_fault(name, nodes)
  if #nodes == 0 then
    return "pk." .. name .. ": at least one condition is wanted"
  end
  for i, node in ipairs(nodes) do
    if not condition.is_condition(node) then
      return format("pk.%s: item %d is %s, not a condition (as in pk.trait(path):is(value))", name,
        i, fault.quote(node))
    elseif node.kind == "trait" then
      return format("pk.%s: item %d, pk.trait('%s'), tests nothing yet; add :exists() or another",
        name, i, node.path)
    end
  end
  return nil
end

local function joiner(kind)
  return function(...)
    local nodes = ...
    if condition.is_condition(nodes) or type(nodes) ~= "table" then
      nodes = { ... }
    end
    local wrong = first_fault(kind, nodes)
    if wrong then
      error(wrong, 2)
    end
    return condition.join(kind, nodes)
  end
end

condition.all = joiner("all")
condition.any = joiner("any")
condition.none = joiner("none")

function condition.not_(node)
  local wrong = first_fault("not_", { node })
  if wrong then
    error(wrong, 2)
  end
  return condition.join("not", { node })
end

-- ---- Looking at nodes ----

-- Calls visit(test) for every test, in the order they are written.
function condition.walk(node, visit)
  if node.kind == "test" then
    visit(node)
    return
  end
  for _, each in ipairs(node) do
    condition.walk(each, visit)
  end
end

local function depth_of(node)
  local deepest = 0
  for _, each in ipairs(node) do
    local depth = depth_of(each)
    deepest = depth > deepest and depth or deepest
  end
  return deepest + 1
end

-- nil, or the fault of a condition that is too large to compile.
function condition.too_large(node)
  local count = 0
  if depth_of(node) > condition.DEPTH_MAX then
    return fault.new(format("conditions are nested more than %d deep", condition.DEPTH_MAX),
      "split the rule")
  end
  condition.walk(node, function() count = count + 1 end)
  if count > condition.TESTS_MAX then
    return fault.new(format("a rule has more than %d tests", condition.TESTS_MAX),
      "split the rule; 'in_' compares with many values at once")
  end
  return nil
end

-- The traits that it reads, each once, in the order they are written.
function condition.paths(node)
  local list, seen = {}, {}
  condition.walk(node, function(test)
    if not seen[test.path] then
      seen[test.path] = true
      list[#list + 1] = test.path
    end
  end)
  return list
end

-- One text for one condition: equal conditions have equal texts, wherever they came from.
function condition.text(node)
  if node.kind == "test" then
    return format("%s:%s(%s)", node.path, node.op.name, value.canonical(node.value))
  end
  local parts = {}
  for i, each in ipairs(node) do
    parts[i] = condition.text(each)
  end
  return node.kind .. "(" .. table.concat(parts, ", ") .. ")"
end

return condition
