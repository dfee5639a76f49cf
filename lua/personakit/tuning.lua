-- tuning.lua - What training changes of a mapper, laid over what its author wrote.
--
-- A version that came of training has its author's files untouched and one more,
-- 'tuning.json': { version, parentVersion, rules = { <id> = { off, priority,
-- minConfidence, text } }, config = { <setting> = value } }. It is applied when
-- the script is described, so that programs, explanations and examples are all
-- made of the rules as they act. What an example expects of a rule that was
-- switched off, or of the priority and text that training has set, is no longer
-- the author's to say; all else must hold as before.
--
-- SPDX-License-Identifier: MIT
local condition = require "personakit.condition"
local fault = require "personakit.fault"
local host = require "personakit.host"
local operators = require "personakit.operators"
local rule = require "personakit.rule"
local template = require "personakit.template"
local value = require "personakit.value"

local format = string.format

local tuning = {}

local KEYS = { "version", "parentVersion", "rules", "config" }
local RULE_KEYS = { "off", "priority", "minConfidence", "text" }

local function is_object(of)
  return type(of) == "table" and (next(of) == nil or not value.is_list(of))
end

-- ---- Rules ----

-- Each trait that the rule looks at is unknown, or we are so sure of it.
local function sure_enough(when, least)
  local nodes = { when }
  for _, path in ipairs(condition.paths(when)) do
    local missing = condition.test(path, operators.json.missing)
    local confident, why = condition.test(path, operators.json.confident, least)
    if not confident then
      return nil, why
    end
    nodes[#nodes + 1] = condition.join("any", { missing, confident })
  end
  local joined = condition.join("all", nodes)
  condition.use(joined)
  local too_large = condition.too_large(joined)
  if too_large then
    return nil, too_large
  end
  return joined
end

local function says_of(each, change)
  if change.text ~= nil and #each.says ~= 1 then
    return nil, fault.new(format("it says %d texts", #each.says), "only a rule's only text can be set")
  end
  local word, why = rule.word(change.priority, "priority", rule.PRIORITIES)
  if why then
    return nil, why
  end
  local says = {}
  for i, say in ipairs(each.says) do
    says[i] = { parts = say.parts, priority = word or say.priority, section = say.section }
  end
  if change.text ~= nil then
    says[1].parts, why = template.parse(change.text)
    if not says[1].parts then
      return nil, why
    end
  end
  return says
end

-- The rule as it acts, nil when it is off; or nil and a fault.
local function tuned_rule(each, change)
  local why = not is_object(change) and fault.new(fault.quote(change) .. " is not an object")
    or rule.check_keys(change, RULE_KEYS)
  if why then
    return nil, why
  elseif change.off ~= nil and type(change.off) ~= "boolean" then
    return nil, fault.new("'off' is " .. fault.quote(change.off), "true or false")
  elseif change.off then
    return nil
  end
  local made = { id = each.id, when = each.when, detail = each.detail, level = each.level,
    description = each.description }
  made.says, why = says_of(each, change)
  if made.says and change.minConfidence ~= nil then
    made.when, why = sure_enough(each.when, change.minConfidence)
  end
  if why then
    return nil, why
  end
  return made
end

local function apply_rules(made, changes)
  local left, list, ids = value.clone(changes), {}, {}
  for _, each in ipairs(made.parsed_rules) do
    local kept, why = each, nil
    ids[#ids + 1] = each.id
    if changes[each.id] ~= nil then
      kept, why = tuned_rule(each, changes[each.id])
      left[each.id] = nil
    end
    if why then
      return fault.within(format("rule '%s'", each.id), why, { rule = each.id })
    end
    list[#list + 1] = kept
  end
  local unknown = value.keys(left)[1]
  if unknown then
    return fault.unknown("rule", unknown, ids)
  end
  made.parsed_rules = list
  return nil
end

-- ---- Settings ----

-- What is wrong with a value, by the setting's own declaration; or nil.
local function wrong_setting(name, setting, of)
  if type(setting.default) ~= type(of) then
    return fault.new(format("setting '%s' is %s", name, fault.quote(of)),
      "a value of the same type as its default")
  elseif type(of) == "number" and (of < (setting.min or of) or of > (setting.max or of)) then
    return fault.new(format("setting '%s' is %s", name, fault.quote(of)),
      "a number from its 'min' to its 'max'")
  end
  for i, each in ipairs(setting.allowed or {}) do
    if value.equal(each, of) then
      return nil
    elseif i == #setting.allowed then
      return fault.new(format("setting '%s' is %s", name, fault.quote(of)), "one of its 'allowed'")
    end
  end
  return nil
end

local function apply_config(made, changes)
  local schema = made.config or {}
  for _, name in ipairs(value.keys(changes)) do
    if type(schema[name]) ~= "table" then
      return fault.unknown("setting", name, value.keys(schema))
    end
    local why = wrong_setting(name, schema[name], changes[name])
    if why then
      return why
    end
    schema[name].default = value.clone(changes[name])
  end
  return nil
end

-- ---- All of it ----

local function apply(made, given)
  if not is_object(given) then
    return fault.new("it is not an object", "as in { \"rules\": { \"<id>\": { \"off\": true } } }")
  end
  local why = rule.check_keys(given, KEYS)
  for _, name in ipairs({ "rules", "config" }) do
    if not why and given[name] ~= nil and not is_object(given[name]) then
      why = fault.new(format("'%s' is not an object", name))
    end
  end
  why = why or apply_rules(made, given.rules or {}) or apply_config(made, given.config or {})
  if why then
    return why
  end
  made.version = given.version or made.version
  made.parentVersion = given.parentVersion or made.parentVersion
  made.tuning = { rules = value.clone(given.rules), config = value.clone(given.config) }
  return nil
end

-- Lays a tuning over a manifest that was read, once; a fault, or nil. Without a tuning it stays.
function tuning.apply(kind, made, given)
  if given == nil or made.tuning then
    return nil
  elseif kind ~= "mapper" then
    return fault.new("tuning.json: a " .. kind .. " is not tuned", "only mappers are")
  end
  local why = apply(made, given)
  return why and fault.within("tuning.json", why) or nil
end

-- ---- What examples may expect then ----

-- The entries of a list that rules say, less those of rules that are off; nil when none is left.
local function expected_list(list, changes)
  local made = host.list({})
  for _, entry in ipairs(list) do
    local change = type(entry) == "table" and changes[entry.ruleId]
    if not change then
      made[#made + 1] = entry
    elseif not change.off then
      local copy = value.clone(entry)
      copy.priority = change.priority == nil and copy.priority or nil
      copy.text = change.text == nil and copy.text or nil
      copy.traits = change.text == nil and copy.traits or nil -- Those of its holes were among them.
      made[#made + 1] = copy
    end
  end
  return (#made > 0 or #list == 0) and made or nil
end

local function expected_half(half, changes)
  local made = {}
  for name, section in pairs(half) do
    if type(section) == "table" and value.is_list(section) then
      made[name] = expected_list(section, changes)
    else
      made[name] = section
    end
  end
  return made
end

-- What an example of a tuned mapper expects; 'expect' itself stays.
function tuning.expected(expect, tuned)
  local changes = tuned and tuned.rules
  if not changes then
    return expect
  end
  local made = {}
  for name, each in pairs(expect) do
    made[name] = each
  end
  if type(expect.fired) == "table" then
    made.fired = host.list({})
    for _, id in ipairs(expect.fired) do
      if not (changes[id] and changes[id].off) then
        made.fired[#made.fired + 1] = id
      end
    end
  end
  for _, name in ipairs({ "core", "overlay" }) do
    if type(expect[name]) == "table" and next(expect[name]) ~= nil then
      local half = expected_half(expect[name], changes)
      made[name] = next(half) ~= nil and half or nil
    end
  end
  return made
end

return tuning
