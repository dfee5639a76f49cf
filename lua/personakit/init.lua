-- init.lua - require "personakit": the authors' library in full, as scripts are loaded and checked with it.
--
-- Mistakes in rules and conditions are raised at once, with the author's line.
-- What pk.mapper, pk.processor and pk.condition give are the entries that the
-- host calls when it takes a script in: describe, example and judge (examples
-- and verdicts for many at once), explain. A fault of the manifest is given back
-- by 'describe': { fault = { code, message, hint, rule, key, line } }, the line
-- being looked for in input.source. When the script serves, the same text is run
-- with lean.lua instead, which checks nothing and brings the compiled rules along.
--
-- SPDX-License-Identifier: MIT
local compile = require "personakit.compile"
local condition = require "personakit.condition"
local examples = require "personakit.examples"
local explain = require "personakit.explain"
local fault = require "personakit.fault"
local host = require "personakit.host"
local manifest = require "personakit.manifest"
local outside = require "personakit.outside"
local place = require "personakit.place"
local rule = require "personakit.rule"
local source = require "personakit.source"
local tuning = require "personakit.tuning"
local value = require "personakit.value"

local error, setmetatable, getmetatable = error, setmetatable, getmetatable
local find, format, gsub = string.find, string.format, string.gsub

local RULE_META = { __metatable = manifest.RULE }

-- ---- What a script says of itself ----

-- Of a manifest: what documents can hold.
local function plain_of(made)
  local plain = {}
  for _, key in ipairs(value.keys(made)) do
    if key ~= "parsed_rules" and key ~= "examples" and key ~= "when" and key ~= "rules"
        and key ~= "core" and key ~= "overlay" and type(made[key]) ~= "function" then
      plain[key] = value.copy(made[key])
    end
  end
  return plain
end

local function rules_of(made)
  local list = host.list({})
  for i, each in ipairs(made.parsed_rules) do
    list[i] = {
      id = each.id,
      description = each.description,
      condition = condition.text(each.when),
      detail = rule.DETAILS[each.detail],
      level = each.level,
      priority = each.says[1] and each.says[1].priority,
      texts = #each.says,
      traits = host.list(rule.traits(each)),
    }
  end
  return list
end

local function reads_of(made)
  local list, seen = host.list({}), {}
  for _, each in ipairs(made.parsed_rules) do
    for _, path in ipairs(rule.traits(each)) do
      if not seen[path] then
        seen[path] = true
        list[#list + 1] = path
      end
    end
  end
  table.sort(list)
  return list
end

local function check_examples(made)
  for i, each in ipairs(made.examples or {}) do
    local wrong = examples.wrong(each)
    if wrong then
      return fault.within(format("example %d", i), wrong, { key = "examples" })
    end
  end
  return nil
end

local function names_of(made)
  local list = host.list({})
  for i, each in ipairs(made.examples or {}) do
    list[i] = type(each.name) == "string" and each.name or ""
  end
  return list
end

-- Trait paths that examples give: known to the author, at least.
local function given_of(made)
  local list, seen = host.list({}), {}
  for _, each in ipairs(made.examples or {}) do
    for key in pairs(each.given or {}) do
      local path = value.path(key)
      if path and not seen[path] then
        seen[path] = true
        list[#list + 1] = path
      end
    end
  end
  table.sort(list)
  return list
end

-- ---- What is no fault, and still not what was meant ----

local function remark(path, message, hint)
  return { message = message, hint = hint, rule = path }
end

-- '%a+' has a meaning as a regular expression, too; nobody means it.
local function add_patterns(list, made)
  for _, each in ipairs(made.parsed_rules) do
    condition.walk(each.when, function(test)
      if test.op.name == "matches" and find(test.value, "%%[acdlpsuwx]") then
        list[#list + 1] = remark(each.id, format("rule '%s': %s looks like a pattern of Lua", each.id,
          fault.quote(test.value)), "'matches' takes a regular expression: [a-z], \\d, \\w, \\s")
      end
    end)
  end
end

local function remarks_of(made, text)
  local list = host.list({})
  for _, node in ipairs(condition.unused()) do
    list[#list + 1] = remark(condition.paths(node)[1] or node.path,
      format("the condition %s is in no rule", fault.quote(condition.text(node))), condition.HINT)
  end
  add_patterns(list, made)
  for _, each in ipairs(list) do
    each.line = place.line(text, each)
    each.rule = nil
  end
  return list
end

local function plain_rules(made)
  local list, requires = host.list({}), host.list({})
  for i, each in ipairs(made.parsed_rules) do
    list[i] = rule.plain(each)
  end
  for i, path in ipairs(made.requiredTraits or {}) do
    requires[i] = path
  end
  return { rules = list, requires = requires, time_step = made.timeStepMs }
end

local function describe(kind, made, input)
  local program, cut = compile.program(made.parsed_rules, {
    requires = value.clone(made.requiredTraits),
    time_step = made.timeStepMs,
  })
  return {
    kind = kind,
    manifest = plain_of(made),
    rules = rules_of(made),
    reads = reads_of(made),
    has_code = (made.core or made.overlay or made.process or made.test) ~= nil,
    examples = #(made.examples or {}),
    names = names_of(made),
    given = given_of(made),
    remarks = remarks_of(made, input.source),
    program = program,
    cut = cut,
    plain = plain_rules(made),
  }
end

-- The program of rules that 'describe' gave as plain data. A host asks this of a state in which no
-- author's code has run: what becomes code there is the library's own work, whatever a script did
-- to its rules or to what is around them.
local function compiled(input)
  local rules, requires = {}, {}
  for i, each in ipairs(input.plain.rules) do
    local made, why = rule.of_plain(each)
    if not made then
      error("the rules are not as pk.rule makes them: " .. fault.text(why), 0)
    end
    rules[i] = made
  end
  for i, path in ipairs(input.plain.requires) do
    requires[i] = value.path((gsub(path, "%.%*$", ""))) and path
      or error("what it requires is no path", 0)
  end
  local program, cut = compile.program(rules, { requires = requires,
    time_step = type(input.plain.time_step) == "number" and input.plain.time_step or nil })
  return { program = program, cut = cut }
end

local function example_of(made, index)
  return made.examples and made.examples[index]
    or error("there is no example " .. tostring(index), 0)
end

local function judge(made, index, output)
  local example = example_of(made, index)
  local wrong = examples.judge(example, output, tuning.expected(example.expect, made.tuning))
  return {
    ok = wrong == nil,
    message = wrong and format("example %d%s: %s", index,
      example.name and " ('" .. example.name .. "')" or "", wrong) or nil,
  }
end

-- Many at once: this library is built anew for every call, and most examples cost less than that.
local function inputs_of(made, input)
  local list = host.list({})
  for index = input.first, input.last do
    list[#list + 1] = examples.input(example_of(made, index))
  end
  return list
end

-- Of each output in its place; of null, which is no output, that it is none.
local function verdicts_of(made, input)
  local list = host.list({})
  for i, output in ipairs(input.outputs) do
    list[i] = output == host.null and { ok = false } or judge(made, input.first + i - 1, output)
  end
  return list
end

local ENTRIES = { "describe", "example", "examples", "judge", "verdicts", "explain" }

local function plain_entries(kind, made)
  return {
    describe = function(input) return describe(kind, made, input or {}) end,
    example = function(input) return examples.input(example_of(made, input.index)) end,
    examples = function(input) return inputs_of(made, input) end,
    judge = function(input) return judge(made, input.index, input.output) end,
    verdicts = function(input) return verdicts_of(made, input) end,
    explain = function(input)
      local from = source.new(input.mindscape, value.instant(input.now))
      return { rules = explain.verdicts(made.parsed_rules, from, input.detail) }
    end,
  }
end

-- What training has changed comes with each entry's input.
local function entries_of(kind, made)
  local plain, entries = plain_entries(kind, made), { kind = kind }
  for _, name in ipairs(ENTRIES) do
    entries[name] = function(input)
      local why = tuning.apply(kind, made, input and input.tuning)
      if why then
        why.line = place.line(input.source, why)
        return { fault = why }
      end
      return plain[name](input)
    end
  end
  return entries
end

-- The entries of a script whose manifest is wrong: each gives the fault.
local function faulty(kind, why)
  local entries = { kind = kind }
  for _, name in ipairs(ENTRIES) do
    entries[name] = function(input)
      why.line = place.line(input.source, why)
      return { fault = why }
    end
  end
  return entries
end

local function read(kind, of)
  local made, why = manifest.read(kind, of)
  why = why or check_examples(made)
  if why then
    return faulty(kind, why)
  end
  return entries_of(kind, made)
end

local function maker(kind)
  return function(of)
    return read(kind, of)
  end
end

-- ---- Rules that are no Lua ----

-- The script of a mapper that is JSON alone: its document comes with each entry's input.
local function declared()
  local entries = { kind = "mapper", compile = compiled }
  for _, name in ipairs(ENTRIES) do
    entries[name] = function(input)
      return read("mapper", input.configuration)[name](input)
    end
  end
  return entries
end

-- ---- What authors see ----

local pk = {
  trait = condition.trait,
  all = condition.all,
  any = condition.any,
  none = condition.none,
  not_ = condition.not_,
  mapper = maker("mapper"),
  processor = maker("processor"),
  condition = maker("condition"),
  declared = declared,
  field = outside.field,
  traits = outside.traits,
  path = outside.path,
  cut = outside.cut,
  keys = outside.keys,
  list = outside.list,
}

function pk.rule(of)
  local made, why = rule.read(of)
  if not made then
    error("pk.rule: " .. fault.text(why), 2)
  end
  return setmetatable(made, RULE_META)
end

-- Large tables that never change. They are checked to be plain data.
function pk.const(of)
  local copied, why = value.copy(of)
  if copied == nil then
    error("pk.const: " .. fault.text(why), 2)
  end
  return of
end

-- A section of core or overlay that appears from a detail level on.
function pk.section(of)
  local word, why
  if type(of) == "table" and getmetatable(of) == nil then
    why = rule.check_keys(of, { "detail", "from" })
    if not why then
      word, why = rule.word(of.detail or "instant", "detail", rule.DETAILS)
    end
    if not why and of.from == nil then
      why = fault.new("'from' is missing", "a function(m, ctx), or plain data")
    end
  else
    why = fault.new(fault.quote(of) .. " is not a section",
      "as in pk.section { detail = \"balanced\", from = function(m, ctx) ... end }")
  end
  if why then
    error("pk.section: " .. fault.text(why), 2)
  end
  return { is_section = true, detail = word, from = of.from }
end

-- An answer of the host to what the manifest's capabilities allow, or nil and why there is none:
-- pk.ask("http", { url = "https://host/path" }).
function pk.ask(name, question)
  if type(name) ~= "string" or name == "" then
    error("pk.ask: " .. fault.quote(name) .. " is no question; as in pk.ask(\"search\", { ... })", 2)
  end
  if not host.ask then
    return nil, "nobody answers here"
  end
  return host.ask(name, question)
end

-- An instant as { year, month, day, hour, minute, second, weekday }, UTC or minutes east of it.
function pk.date(instant, offset_minutes)
  local ms = value.instant(instant)
  if not ms then
    error("pk.date: " .. fault.quote(instant) .. " is not an instant", 2)
  end
  return value.date(ms, offset_minutes)
end

return setmetatable(pk, fault.strict("function of personakit"))
