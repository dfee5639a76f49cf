-- work.lua - The rules and mindscapes that all benches of rules are measured on.
--
--     luajit tests/bench/work.lua > work.json
--
-- 50 rules of 2 conditions (a word is this one, a number is above that one) over
-- 200 traits, and 1,000 mindscapes in which one trait in ten is missing; always
-- the same. As JSON, for those who are no Lua:
--
--     paths    the traits' paths
--     rules    { word_at, word, number_at, bound }; positions in 'paths', from 1
--     people   for each: values by position; no value: null
--     fired    for each: the numbers of the rules that fire, found by a plain loop
--
-- SPDX-License-Identifier: MIT
local work = { traits = 200, now = 1768478400000 }

local RULES, PEOPLE = 50, 1000
local WORDS = { "morning", "evening", "night", "direct", "warm", "deep", "shallow", "none" }

local random = math.random
math.randomseed(42)

-- Even traits are words, odd ones numbers from 0 to 100.
local function new_person()
  local values = {}
  for i = 1, work.traits do
    if random() < 0.9 then
      values[i] = i % 2 == 0 and WORDS[random(#WORDS)] or random(0, 100)
    end
  end
  return values
end

local function fired_of(values)
  local fired = {}
  for number, rule in ipairs(work.rules) do
    local x = values[rule.number_at]
    if values[rule.word_at] == rule.word and x and x > rule.bound then
      fired[#fired + 1] = number
    end
  end
  return fired
end

work.paths, work.people, work.rules, work.fired = {}, {}, {}, {}
for i = 1, work.traits do
  work.paths[i] = string.format("area%d.trait_%03d", i % 9, i)
end
for i = 1, PEOPLE do
  work.people[i] = new_person()
end
for i = 1, RULES do
  work.rules[i] = {
    word_at = 2 * random(work.traits / 2), word = WORDS[random(#WORDS)],
    number_at = 2 * random(work.traits / 2) - 1, bound = random(0, 100),
  }
end
for i, values in ipairs(work.people) do
  work.fired[i] = fired_of(values)
end

-- ---- As JSON ----

local function text(of)
  return type(of) == "string" and '"' .. of .. '"' or of == nil and "null" or tostring(of)
end

local function list(of, count, show)
  local parts = {}
  for i = 1, count do
    parts[i] = (show or text)(of[i])
  end
  return "[" .. table.concat(parts, ",") .. "]"
end

function work.json()
  local function rule(of)
    return string.format('{"word_at":%d,"word":"%s","number_at":%d,"bound":%d}', of.word_at,
      of.word, of.number_at, of.bound)
  end
  return string.format('{"paths":%s,\n"rules":%s,\n"people":%s,\n"fired":%s}\n',
    list(work.paths, work.traits), list(work.rules, RULES, rule),
    list(work.people, PEOPLE, function(of) return "\n" .. list(of, work.traits) end),
    list(work.fired, PEOPLE, function(of) return list(of, #of) end))
end

if not ... or arg and arg[0] and arg[0]:match("work%.lua$") then
  io.write(work.json())
end

return work
