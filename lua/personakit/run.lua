-- run.lua - What the host calls in a script: map, process, holds.
--
-- pk.mapper, pk.processor and pk.condition return a table of such entries; each
-- takes one document and gives one. What a document holds is in ../README.md.
-- Core and overlay have a record each and share nothing but the input, so either
-- can be run alone and gives the same. Modules that a mapper of rules alone does
-- not need are required where they are used: the library is made anew for every
-- call, and what is not made costs nothing.
--
-- SPDX-License-Identifier: MIT
local host = require "personakit.host"
local record = require "personakit.record"
local rules = require "personakit.rules"
local source = require "personakit.source"
local value = require "personakit.value"

local error, ipairs, type = error, ipairs, type
local format, match = string.format, string.match
local list, raw = host.list, host.raw

local run = {}

local DETAIL = { instant = 1, balanced = 2, deep_dive = 3 }

local function now_of(input)
  return value.instant(input.now) or error("the host gave no 'now'", 0)
end

-- ---- Halves of a persona ----

local function new_state(program, input, from, warnings)
  return {
    source = from,
    record = record.new(from.now, program.time_step),
    warn = function(text)
      warnings[#warnings + 1] = text
    end,
    input = input,
  }
end

-- Paths of 'requires' that are not known; what is looked for is recorded.
local function missing_traits(program, state)
  local missing = list({})
  for _, wanted in ipairs(program.requires) do
    local is_found
    if match(wanted, "%.%*$") then
      is_found = (require "personakit.view").mindscape(state):each(wanted)() ~= nil
    else
      is_found = rules.read(program, state.source, wanted, state.record) ~= nil
    end
    if not is_found then
      missing[#missing + 1] = wanted
    end
  end
  return missing
end

-- A line of the persona. With a host that has forms, lines are pairs: see form.c.
local function add_line(half, line, number)
  local lines = half.lines
  if raw then
    lines[#lines + 1] = line
    lines[#lines + 1] = number or false
  else
    lines[#lines + 1] = line
  end
end

local function add_plain(half, section, place, line)
  line.path = format("%s.%s%s", half.name, section, place)
  add_line(half, line)
end

local function filler(program, state)
  return function(path, default)
    local found = rules.read(program, state.source, path, state.record)
    return value.fill(found, path, default, state.warn)
  end
end

-- What rules say, behind what the author's functions put into the same section.
local function put_items(half, fired, program, state)
  local fill = filler(program, state)
  local function put(section, item)
    local items = half.sections[section]
    if items == nil then
      items = list({})
      half.sections[section] = items
    elseif type(items) ~= "table" or not value.is_list(items) then
      error(format("%s: section '%s' is not a list, and rule '%s' adds to it", half.name, section,
        item.ruleId), 0)
    end
    items[#items + 1] = item
    add_plain(half, section, "." .. (#items - 1), { ruleId = item.ruleId, traits = item.traits })
  end
  for i = 1, #fired do
    program.say(fired[i], fill, put)
  end
end

-- What a rule says, made once for all calls: section, item and line, and so on; the item is false
-- when its text has holes.
local function said_of(half, program, number)
  local forms = program.forms or {}
  program.forms = forms
  if not forms[number] then
    local said, has_holes = {}, false
    program.say(number, function()
      has_holes = true
      return ""
    end, function(section, item)
      local n = #said
      said[n + 1], said[n + 2] = section, item
      said[n + 3] = raw.form({ path = format("%s.%s.", half.name, section), ruleId = item.ruleId,
        traits = item.traits }, "path")
    end)
    for at = 2, #said, 3 do
      said[at] = not has_holes and raw.form(said[at])
    end
    said.has_holes, forms[number] = has_holes, said
  end
  return forms[number]
end

local function put_form(half, section, item, line)
  local items = half.sections[section]
  if not items then
    items = raw.forms({})
    half.sections[section] = items
  end
  local n = #items
  items[n + 1], items[n + 2] = item, false
  add_line(half, line, n / 2)
end

-- The same as put_items where no author's function has run, with no table for what is always the
-- same.
local function put_forms(half, fired, program, state)
  for i = 1, #fired do
    local said = said_of(half, program, fired[i])
    if said.has_holes then
      local at = 0
      program.say(fired[i], filler(program, state), function(section, item)
        at = at + 3
        put_form(half, section, item, said[at])
      end)
    else
      for at = 1, #said, 3 do
        put_form(half, said[at], said[at + 1], said[at + 2])
      end
    end
  end
end

-- A section of the table form: a function, pk.section { detail, from }, or plain data.
local function section_of(of, detail, m, ctx)
  if type(of) == "table" and of.is_section then
    if DETAIL[of.detail or "instant"] > detail then
      return nil
    end
    of = of.from
  end
  if type(of) == "function" then
    return of(m, ctx)
  end
  return value.clone(of)
end

local function run_author(half, author, detail, state)
  local view = require "personakit.view"
  local m, ctx = view.mindscape(state), view.context(state, state.input)
  if type(author) == "function" then
    local made = author(m, ctx)
    if made ~= nil and type(made) ~= "table" then
      error(format("%s must return a table of sections, not a %s", half.name, type(made)), 0)
    end
    for _, name in ipairs(made and value.keys(made) or {}) do
      half.sections[name] = made[name]
      add_plain(half, name, "", { traits = value.clone(record.traits(state.record)) })
    end
    return
  end
  for _, name in ipairs(value.keys(author)) do
    -- Each section is run with a record of its own, so that its line says what it rests on.
    local whole = state.record
    state.record = record.new(whole.now, whole.step)
    local made = section_of(author[name], detail, view.mindscape(state), ctx)
    local own = state.record
    state.record = whole
    record.join(whole, own)
    if made ~= nil then
      half.sections[name] = made
      add_plain(half, name, "", { traits = value.clone(record.traits(own)) })
    end
  end
end

-- What a list has got behind its first 'count' entries; nil when that is nothing.
local function added(to, count)
  local more = #to > count and list({}) or nil
  for i = count + 1, #to do
    more[i - count] = to[i]
  end
  return more
end

-- Runs a half; adds its lines and the rules that fired to the output. What is the half's own of
-- these is in its basis, too, for a host that keeps halves apart.
local function run_half(name, script, program, input, from, output)
  local state = new_state(program, input, from, output.warnings)
  local fired_before, warned_before = #output.fired, #output.warnings
  local half = { name = name, sections = {}, lines = output.lines }
  local detail = DETAIL[input.detail or "instant"] or error("detail is none of instant, balanced, "
    .. "deep_dive", 0)
  output.missing = missing_traits(program, state)
  if script[name] ~= nil then
    run_author(half, script[name], detail, state)
  end
  local fired = rules.run(program, name, detail, from, state.record)
  if raw and script[name] == nil then
    put_forms(half, fired, program, state)
  else
    put_items(half, fired, program, state)
  end
  for i = 1, #fired do
    output.fired[#output.fired + 1] = program.id[fired[i]]
  end
  local reads, till = record.finish(state.record)
  output[name] = half.sections
  output[name .. "Basis"] = {
    readSet = reads, validUntil = till and host.date(till) or nil,
    fired = added(output.fired, fired_before), warnings = added(output.warnings, warned_before),
  }
end

local function wants(input, name)
  local halves = input.halves
  return type(halves) ~= "table" or halves[name] ~= false
end

local HALVES = { "core", "overlay" }

-- A mapper's entry: a mindscape in, a persona out.
function run.map(script, program, input)
  local from = source.new(input.mindscape, now_of(input))
  local output = { fired = list({}), lines = raw and raw.forms({}) or list({}), warnings = list({}),
    missing = list({}) }
  for i = 1, 2 do
    if wants(input, HALVES[i]) then
      run_half(HALVES[i], script, program, input, from, output)
    end
  end
  for _, path in ipairs(output.missing) do
    output.warnings[#output.warnings + 1] = "required trait '" .. path .. "' is not known"
  end
  return output
end

-- ---- Processors and conditions ----

-- A processor's entry: an observation and a mindscape in, operations out.
function run.process(script, program, input)
  local observation = input.observation or {}
  local warnings = host.list({})
  local now = value.instant(input.now) or value.instant(observation.effectiveAt)
    or error("the host gave no 'now'", 0)
  local state = new_state(program, input, source.new(input.mindscape, now), warnings)
  local view = require "personakit.view"
  local t, operations = (require "personakit.verbs").new(observation._id or observation.observationId)
  script.process(value.clone(observation), view.mindscape(state), t, view.context(state, input))
  local reads = record.finish(state.record)
  return { operations = operations, readSet = reads, warnings = warnings }
end

-- A condition's entry: whether it holds, what that rests on, and until when.
function run.holds(script, program, input)
  local warnings = host.list({})
  local state = new_state(program, input, source.new(input.mindscape, now_of(input)), warnings)
  local holds
  if script.test then
    local view = require "personakit.view"
    holds = script.test(view.mindscape(state), view.context(state, input)) and true or false
  else
    holds = #rules.run(program, "overlay", 3, state.source, state.record) > 0
  end
  local reads, till = record.finish(state.record)
  return {
    holds = holds, readSet = reads, validUntil = till and host.date(till) or nil,
    warnings = warnings,
  }
end

return run
