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

local error, type = error, type
local format, match = string.format, string.match

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
  local missing = {}
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

local function add_line(half, section, place, line)
  line.path = format("%s.%s%s", half.name, section, place)
  half.lines[#half.lines + 1] = line
end

-- What rules say, behind what the author's functions put into the same section.
local function put_items(half, detail, program, state)
  local fired = rules.run(program, half.name, detail, state.source, state.record)
  if #fired == 0 then
    return
  end
  local function fill(path, default)
    local found = rules.read(program, state.source, path, state.record)
    return value.fill(found, path, default, state.warn)
  end
  local function put(section, item)
    local list = half.sections[section]
    if list == nil then
      list = host.list({})
      half.sections[section] = list
    elseif type(list) ~= "table" or not value.is_list(list) then
      error(format("%s: section '%s' is not a list, and rule '%s' adds to it", half.name, section,
        item.ruleId), 0)
    end
    list[#list + 1] = item
    add_line(half, section, "." .. (#list - 1), { ruleId = item.ruleId, traits = item.traits })
  end
  for i, number in ipairs(fired) do
    half.fired[i] = program.id[number]
    program.say(number, fill, put)
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
      add_line(half, name, "", { traits = value.clone(record.traits(state.record)) })
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
      add_line(half, name, "", { traits = value.clone(record.traits(own)) })
    end
  end
end

local function run_half(name, script, program, input, from, warnings)
  local state = new_state(program, input, from, warnings)
  local half = { name = name, sections = {}, lines = host.list({}), fired = host.list({}) }
  local detail = DETAIL[input.detail or "instant"] or error("detail is none of instant, balanced, "
    .. "deep_dive", 0)
  half.missing = missing_traits(program, state)
  if script[name] ~= nil then
    run_author(half, script[name], detail, state)
  end
  put_items(half, detail, program, state)
  half.reads, half.till = record.finish(state.record)
  return half
end

local function wants(input, name)
  local halves = input.halves
  return type(halves) ~= "table" or halves[name] ~= false
end

-- A mapper's entry: a mindscape in, a persona out.
function run.map(script, program, input)
  local from = source.new(input.mindscape, now_of(input))
  local output = { fired = host.list({}), lines = host.list({}), warnings = host.list({}),
    missing = host.list({}) }
  for _, name in ipairs({ "core", "overlay" }) do
    if wants(input, name) then
      local half = run_half(name, script, program, input, from, output.warnings)
      output[name] = half.sections
      output[name .. "Basis"] = {
        readSet = half.reads,
        validUntil = half.till and host.date(half.till) or nil,
      }
      for _, id in ipairs(half.fired) do
        output.fired[#output.fired + 1] = id
      end
      for _, line in ipairs(half.lines) do
        output.lines[#output.lines + 1] = line
      end
      output.missing = host.list(half.missing)
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
