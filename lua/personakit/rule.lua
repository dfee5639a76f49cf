-- rule.lua - A rule: when it fires, and what it says then. From Lua and from JSON alike.
--
-- In Lua:   { id, when = pk.all {...}, suggest = "...", priority = "high" }
-- In JSON:  { "id", "conditions": {"all": [...]}, "actions": [{"type": "suggestion", ...}] }
--
-- Both become { id, when, detail (1 to 3), level, description, says = { { parts
-- or named, priority, section }, ... } }. An action 'suggestion' says its
-- template, 'template' says the named text of 'templates', 'priority' is the
-- priority of the rule's texts that have none of their own.
--
-- SPDX-License-Identifier: MIT
local condition = require "personakit.condition"
local fault = require "personakit.fault"
local host = require "personakit.host"
local operators = require "personakit.operators"
local template = require "personakit.template"
local value = require "personakit.value"

local format, match, find = string.format, string.match, string.find

local rule = {}

rule.DETAIL = { instant = 1, balanced = 2, deep_dive = 3 }
rule.DETAILS = { "instant", "balanced", "deep_dive" }
rule.PRIORITIES = { "low", "medium", "high" }
rule.LEVELS = { "core", "overlay" }
rule.RESERVED = { coreVersion = true, overlayVersion = true, generatedAt = true }
rule.SECTION = "suggestions"

-- Every key of a rule with what it is for; the reference is written from this (reference.lua).
rule.KEYS = {
  { "id", "its name, of A-Z a-z 0-9 _ . : -; feedback and explanations use it" },
  { "description", "what it is for" },
  { "when", "in Lua: the condition on which it fires" },
  { "conditions", "in JSON: the same, as all, any, none, not and trait_check" },
  { "suggest", "the text that it says, with {{trait|default}}" },
  { "template", "instead: the name of a text in the mapper's 'templates'" },
  { "actions", "instead: a list of suggestion, template and priority" },
  { "priority", "low, medium (the default) or high" },
  { "section", "where the text goes; 'suggestions' by default" },
  { "level", "overlay (the default) or core" },
  { "detail", "the least detail level at which it is looked at; instant by default" },
}

local CHECK_KEYS = { "type", "trait", "operator", "value" }
local JOINT_KEYS = { "all", "any", "none", "not", "type" }
local JOINT_OTHERWISE = { { "and", "all" }, { "or", "any" }, { "nor", "none" } } -- of other engines
local ACTION_KEYS = {
  suggestion = { "type", "template", "priority", "section" },
  template = { "type", "template", "priority", "section" },
  priority = { "type", "priority" },
}

local function names_of(rows)
  local names = {}
  for i, each in ipairs(rows) do
    names[i] = each[1]
  end
  return names
end

local RULE_NAMES = names_of(rule.KEYS)

-- ---- Small checks ----

-- Of decoded JSON: null is nothing.
local function field(of, name)
  local found = of[name]
  if found == host.null then
    return nil
  end
  return found
end

-- A fault if 'of' has a key that is not in 'names'.
function rule.check_keys(of, names)
  local known = {}
  for _, name in ipairs(names) do
    known[name] = true
  end
  for _, key in ipairs(value.keys(of)) do
    if not known[key] then
      return fault.unknown("key", key, names, { key = key })
    end
  end
  return nil
end

-- One of a list of words, folded to lower case; nil stays nil.
function rule.word(of, name, words)
  if of == nil then
    return nil
  end
  local folded = type(of) == "string" and string.lower(of):gsub("-", "_")
  for _, word in ipairs(words) do
    if word == folded then
      return word
    end
  end
  return nil, fault.unknown(name, of, words, { key = name })
end

function rule.section_name(of)
  if type(of) == "string" and #of <= 200 and match(of, "^[%a_][%w_-]*$") and not rule.RESERVED[of] then
    return of
  end
  return nil, fault.new(format("section %s cannot be", fault.quote(of)),
    "a name of letters, digits, '_' and '-' that is none of coreVersion, overlayVersion, generatedAt",
    { key = "section" })
end

-- ---- Conditions of JSON ----

local read_node

local CHECK_LIKE = "as in {\"type\": \"trait_check\", \"trait\": \"work.chronotype\", "
  .. "\"operator\": \"equals\", \"value\": \"morning\"}"

local function read_check(of, place)
  local wrong = rule.check_keys(of, CHECK_KEYS)
  if wrong then
    return nil, fault.within(place, wrong, { key = wrong.key })
  end
  for _, name in ipairs({ "type", "trait", "operator" }) do
    if field(of, name) == nil then
      return nil, fault.new(format("%s: '%s' is missing", place, name), CHECK_LIKE, { key = "conditions" })
    end
  end
  if of.type ~= "trait_check" then
    return nil, fault.unknown(place .. ": type", of.type, { "trait_check" }, { key = "type" })
  end
  local row = operators.json[of.operator]
  if not row then
    return nil, fault.unknown(place .. ": operator", of.operator, operators.json_names,
      { key = "operator" })
  end
  local node, why = condition.test(of.trait, row, field(of, "value"), of.operator)
  if not node then
    return nil, fault.within(place, why, { key = type(of.trait) == "string" and "value" or "trait" })
  end
  return node
end

local function read_joint(kind, list, place, depth)
  if type(list) ~= "table" or not value.is_list(list) or #list == 0 then
    return nil, fault.new(place .. " must be a list of at least one condition",
      "as in {\"" .. kind .. "\": [{\"type\": \"trait_check\", ...}]}", { key = kind })
  end
  local nodes = {}
  for i, each in ipairs(list) do
    local node, why = read_node(each, format("%s[%d]", place, i), depth + 1)
    if not node then
      return nil, why
    end
    nodes[i] = node
  end
  return condition.join(kind, nodes)
end

function read_node(of, place, depth)
  if type(of) ~= "table" then
    return nil, fault.new(place .. " is " .. fault.quote(of) .. ", not a condition",
      "an object with one of all, any, none, not, type")
  elseif #of > 0 then
    return nil, fault.new(place .. " is a list, not a condition",
      "say how they are joined, as in {\"all\": [ ... ]}", { key = "conditions" })
  elseif depth > condition.DEPTH_MAX then
    return nil, fault.new(format("conditions are nested more than %d deep", condition.DEPTH_MAX),
      "split the rule")
  end
  local kind, count = nil, 0
  for _, name in ipairs(JOINT_KEYS) do
    if field(of, name) ~= nil then
      kind, count = name, count + 1
    end
  end
  if kind == "type" and count == 1 or count == 0 and field(of, "trait") ~= nil then
    return read_check(of, place)
  end
  for _, row in ipairs(JOINT_OTHERWISE) do
    if field(of, row[1]) ~= nil then
      return nil, fault.new(format("%s: key '%s' is not known", place, row[1]),
        format("it is written '%s'", row[2]), { key = row[1] })
    end
  end
  local wrong = rule.check_keys(of, JOINT_KEYS)
  if wrong or count ~= 1 then
    return nil, wrong and fault.within(place, wrong)
      or fault.new(format("%s has %s of all, any, none, not, type", place, count == 0 and "none"
      or "several"), "give exactly one; nest them to join")
  elseif kind == "not" then
    local inner, why = read_node(of["not"], place .. ".not", depth + 1)
    if not inner then
      return nil, why
    end
    return condition.join("not", { inner })
  end
  return read_joint(kind, of[kind], place .. "." .. kind, depth)
end

-- A condition of JSON as a node, or nil and a fault.
function rule.conditions(of)
  return read_node(of, "conditions", 1)
end

-- ---- What it says ----

-- A text to say: { parts } or { named }, priority, section.
local function say_of(text, name, of, default_section)
  local say, why = {}
  if name ~= nil then
    if type(name) ~= "string" then
      return nil, fault.new("'template' must be the name of a text in 'templates'", nil,
        { key = "template" })
    end
    say.named = name
  else
    say.parts, why = template.parse(text)
    if not say.parts then
      return nil, why
    end
  end
  say.priority, why = rule.word(field(of, "priority"), "priority", rule.PRIORITIES)
  if why then
    return nil, why
  end
  say.section, why = rule.section_name(field(of, "section") or default_section)
  if not say.section then
    return nil, why
  end
  return say
end

local function read_action(of, place, default_section)
  if type(of) ~= "table" then
    return nil, fault.new(place .. " is " .. fault.quote(of) .. ", not an object", nil,
      { key = "actions" })
  end
  local keys = ACTION_KEYS[of.type]
  if not keys then
    return nil, fault.unknown(place .. ": type", of.type, { "suggestion", "template", "priority" },
      { key = "type" })
  end
  local wrong = rule.check_keys(of, keys)
  if wrong then
    return nil, fault.within(place, wrong)
  elseif of.type == "priority" then
    local priority, why = rule.word(of.priority, "priority", rule.PRIORITIES)
    if not priority then
      return nil, why or fault.new(place .. ": 'priority' is missing", "low, medium or high",
        { key = "priority" })
    end
    return { only_priority = priority }
  end
  local text, name = field(of, "template"), nil
  if of.type == "template" then
    name = text or false
  end
  local say, why = say_of(text, name, of, default_section)
  if not say then
    return nil, fault.within(place, why, { key = why.key or "template" })
  end
  return say
end

local function read_actions(list, default_section)
  if type(list) ~= "table" or not value.is_list(list) or #list == 0 then
    return nil, fault.new("'actions' must be a list of at least one action",
      "as in [{\"type\": \"suggestion\", \"template\": \"...\"}]", { key = "actions" })
  end
  local says, priority = {}, nil
  for i, each in ipairs(list) do
    local say, why = read_action(each, format("actions[%d]", i), default_section)
    if not say then
      return nil, why
    elseif say.only_priority then
      priority = say.only_priority
    else
      says[#says + 1] = say
    end
  end
  if #says == 0 then
    return nil, fault.new("its actions say nothing", "add one of type suggestion or template",
      { key = "actions" })
  end
  return says, nil, priority
end

-- ---- Rules ----

local function read_when(of)
  local when, conditions = field(of, "when"), field(of, "conditions")
  if (when == nil) == (conditions == nil) then
    return nil, fault.new(when == nil and "it has no condition" or "it has 'when' and 'conditions'",
      "give 'when' in Lua, 'conditions' in JSON", { key = "when" })
  elseif conditions ~= nil then
    return rule.conditions(conditions)
  elseif not condition.is_condition(when) then
    return nil, fault.new("'when' is " .. fault.quote(when) .. ", not a condition", condition.HINT,
      { key = "when" })
  elseif when.kind == "trait" then
    return nil, fault.new(format("pk.trait('%s') tests nothing yet", when.path),
      "add :exists() or another test", { key = "when" })
  end
  return when
end

local function read_says(of, made)
  local given = 0
  for _, name in ipairs({ "suggest", "template", "actions" }) do
    given = given + (field(of, name) ~= nil and 1 or 0)
  end
  if given ~= 1 then
    return fault.new(given == 0 and "it says nothing" or "it says things in several ways",
      "give one of 'suggest', 'template' and 'actions'", { key = "suggest" })
  end
  local section = field(of, "section") or rule.SECTION
  local priority, why = rule.word(field(of, "priority"), "priority", rule.PRIORITIES)
  if why then
    return why
  end
  local of_actions
  if field(of, "actions") ~= nil then
    made.says, why, of_actions = read_actions(of.actions, section)
  else
    local say
    say, why = say_of(field(of, "suggest"), field(of, "template"), {}, section)
    made.says = { say }
  end
  for _, say in ipairs(made.says or {}) do
    say.priority = say.priority or of_actions or priority or "medium"
  end
  if why and not why.key then
    why.key = "suggest"
  end
  return why
end

local function read(of, made)
  local wrong = rule.check_keys(of, RULE_NAMES)
  if wrong then
    return wrong
  end
  local why, word
  made.when, why = read_when(of)
  if why then
    return why
  end
  condition.use(made.when)
  why = condition.too_large(made.when) or read_says(of, made)
  if why then
    return why
  end
  word, why = rule.word(field(of, "level"), "level", rule.LEVELS)
  made.level = word or "overlay"
  if why then
    return why
  end
  word, why = rule.word(field(of, "detail"), "detail", rule.DETAILS)
  made.detail = rule.DETAIL[word or "instant"]
  made.description = type(of.description) == "string" and of.description or nil
  return why
end

-- A rule in its normal form, or nil and a fault that names the rule.
function rule.read(of, place)
  if type(of) ~= "table" then
    return nil, fault.new((place or "a rule") .. " is " .. fault.quote(of) .. ", not a rule",
      "as in pk.rule { id = ..., when = ..., suggest = ... }", { key = "rules" })
  end
  local id = of.id
  if field(of, "id") == nil then
    return nil, fault.new((place or "a rule") .. " has no 'id'",
      "give it a name of its own, as in id = \"morning-deep-work\"", { key = "id" })
  elseif type(id) ~= "string" or #id > 200 or find(id, "[^%w_.:-]") or id == "" then
    return nil, fault.new(format("%s: id %s cannot be", place or "a rule", fault.quote(id)),
      "1 to 200 characters A-Z, a-z, 0-9, '_', '.', ':' and '-'", { key = "id" })
  end
  local made = { id = id }
  local wrong = read(of, made)
  if wrong then
    return nil, fault.within(format("rule '%s'", id), wrong, { rule = id, key = wrong.key })
  end
  return made
end

-- ---- As plain data, and back ----

local function plain_node(node)
  if node.kind == "test" then
    local operand = node.value
    if node.op.name == "changed_within" then
      operand = format("%dms", operand)
    end
    return { type = "trait_check", trait = node.path, operator = node.op.json[1], value = operand }
  elseif node.kind == "not" then
    return { ["not"] = plain_node(node[1]) }
  end
  local list = host.list({})
  for i, each in ipairs(node) do
    list[i] = plain_node(each)
  end
  return { [node.kind] = list }
end

local function plain_say(say)
  local text = {}
  for i, part in ipairs(say.parts) do
    text[i] = type(part) == "string" and part
      or part.default and format("{{%s|%s}}", part.path, part.default) or format("{{%s}}", part.path)
  end
  return { text = table.concat(text), priority = say.priority, section = say.section }
end

-- A rule in its normal form as data that can leave the script: what a rule of JSON is, nearly.
function rule.plain(made)
  local says = host.list({})
  for i, say in ipairs(made.says) do
    says[i] = plain_say(say)
  end
  return { id = made.id, conditions = plain_node(made.when), says = says, level = made.level,
    detail = rule.DETAILS[made.detail] }
end

-- The other way, each part checked as an author's: whoever handed it in may have made it up.
function rule.of_plain(of)
  if type(of.id) ~= "string" or #of.id > 200 or find(of.id, "[^%w_.:-]") or of.id == "" then
    return nil, fault.new("a rule's id cannot be")
  end
  local when, why = rule.conditions(of.conditions)
  local made = { id = of.id, when = when, says = {} }
  why = why or condition.too_large(when)
  for i, say in ipairs(why and {} or of.says) do
    made.says[i], why = say_of(say.text, nil, say, nil)
    if why then
      break
    end
  end
  local level, detail = rule.word(of.level, "level", rule.LEVELS), rule.word(of.detail, "detail",
    rule.DETAILS)
  if why or not level or not detail then
    return nil, why or fault.new("a rule has no level or detail")
  end
  made.level, made.detail = level, rule.DETAIL[detail]
  return made
end

-- The traits that a rule rests on: those it tests, then those its texts name.
function rule.traits(of)
  local list = condition.paths(of.when)
  local seen = {}
  for _, path in ipairs(list) do
    seen[path] = true
  end
  for _, say in ipairs(of.says) do
    for _, part in ipairs(say.parts or {}) do
      if type(part) == "table" and not seen[part.path] then
        seen[part.path] = true
        list[#list + 1] = part.path
      end
    end
  end
  return list
end

return rule
