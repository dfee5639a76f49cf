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

-- All conditions in the order they were made, and which of them something rests on. What nothing
-- rests on when a script has been read was lost on the way, as in 'a and b', which is b.
local every_node, is_used = {}, {}

local function make(node)
  every_node[#every_node + 1] = node
  return setmetatable(node, meta)
end

-- Something rests on it: a rule, or another condition.
function condition.use(node)
  is_used[node] = true
end

function condition.unused()
  local list = {}
  for _, node in ipairs(every_node) do
    if not is_used[node] then
      list[#list + 1] = node
    end
  end
  return list
end

-- A test as a node, or nil and a fault. 'row' is of operators.lua; 'name' is what the author called
-- it.
function condition.test(path_text, row, operand, name)
  local path, why = value.path(path_text)
  if not path then
    return nil, why
  end
  local checked
  checked, why = row.check(operand)
  if checked == nil then
    return nil, fault.within(format("trait '%s', operator '%s'", path, name or row.name), why)
  end
  return make({ kind = "test", path = path, op = row, value = checked })
end

-- Joins nodes; 'place' names the joint in faults.
function condition.join(kind, nodes)
  local made = { kind = kind }
  for i, node in ipairs(nodes) do
    made[i] = node
    condition.use(node)
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
    end
    condition.use(self)
    if self.kind == "trait" then
      return node
    end
    condition.use(node)
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
    local wrong, of_json = fault.unknown("operator", name, operators.methods), operators.json[name]
    if of_json then
      wrong.hint = format("in Lua it is written :%s(...)", of_json.name)
    end
    error(fault.text(wrong), 2)
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

-- What a person who wrote it meant: Lua's own words work on truth, not on conditions.
condition.HINT = "as in pk.trait(path):is(value); join with pk.all, pk.any and pk.not_, as "
  .. "'==', 'and', 'or' and 'not' make no conditions"

local function first_fault(name, nodes)
  if #nodes == 0 then
    return "pk." .. name .. ": at least one condition is wanted"
  end
  for i, node in ipairs(nodes) do
    if not condition.is_condition(node) then
      return format("pk.%s: item %d is %s, not a condition (%s)", name, i, fault.quote(node),
        condition.HINT)
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
  if node.kind == "trait" then
    return node.path
  elseif node.kind == "test" then
    return format("%s:%s(%s)", node.path, node.op.name, value.canonical(node.value))
  end
  local parts = {}
  for i, each in ipairs(node) do
    parts[i] = condition.text(each)
  end
  return node.kind .. "(" .. table.concat(parts, ", ") .. ")"
end

return condition
