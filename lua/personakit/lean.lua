-- lean.lua - require "personakit" while a script serves: nothing is checked, rules come compiled.
--
-- The script's text was loaded with init.lua before; here its conditions and
-- rules cost next to nothing to write down, because the program that the host
-- compiled from them runs instead. This module gives a function that makes the
-- table for one call. Nothing that it hands to a script is kept or shared, so a
-- host may load the library once and call the function before every call.
--
-- SPDX-License-Identifier: MIT
local fault = require "personakit.fault"
local host = require "personakit.host"
local rules = require "personakit.rules"
local run = require "personakit.run"
local value = require "personakit.value"

local error, setmetatable = error, setmetatable

local program

-- The compiled rules: made when an entry is first called, never changed.
local function the_program()
  if not program then
    local chunk = require "personakit.program"
    if host.raw then
      host.raw.interpret(chunk) -- it branches with every person's data: no loop to compile
    end
    program = chunk(rules.kit())
  end
  return program
end

local function date(instant, offset_minutes)
  local ms = value.instant(instant)
  if not ms then
    error("pk.date: not an instant", 2)
  end
  return value.date(ms, offset_minutes)
end

local function mapper(of)
  return { map = function(input) return run.map(of, the_program(), input) end }
end

local function processor(of)
  return { process = function(input) return run.process(of, the_program(), input) end }
end

local function condition(of)
  return { holds = function(input) return run.holds(of, the_program(), input) end }
end

-- A script of rules alone. No code of an author runs beside it, so a host may keep what this gives
-- for all calls.
local function declared()
  return { map = mapper({}).map, holds = condition({}).holds }
end

local function const(of)
  return of
end

local function section(of)
  return { is_section = true, detail = of.detail, from = of.from }
end

-- What the manifest's capabilities allow; nil and why when there is no answer.
local function ask(name, question)
  if not host.ask then
    return nil, "nobody answers here"
  end
  return host.ask(name, question)
end

-- Made when it is first used: mappers of rules alone never do.
local function of_outside(name)
  return function(...)
    return (require "personakit.outside")[name](...)
  end
end

local field, traits, path, cut, keys, list = of_outside("field"), of_outside("traits"),
  of_outside("path"), of_outside("cut"), of_outside("keys"), of_outside("list")

-- Stands for every condition and rule of a call: all of its methods give it back.
local function new_blank()
  local blank
  local function method()
    return blank
  end
  blank = setmetatable({}, {
    __metatable = "personakit condition",
    __index = function() return method end,
    __newindex = function() error("a condition cannot be changed", 2) end,
  })
  return method
end

local STRICT = fault.strict("function of personakit")

return function()
  local blank = new_blank()
  return setmetatable({
    trait = blank, all = blank, any = blank, none = blank, not_ = blank, rule = blank,
    const = const, section = section, date = date,
    field = field, traits = traits, path = path, cut = cut, keys = keys,
    list = list, ask = ask,
    mapper = mapper, processor = processor, condition = condition, declared = declared,
  }, STRICT)
end
