-- rules.lua - How fast declared rules are: compiled by the library, and written by hand.
--
--     luajit tests/bench/rules.lua [SECONDS]
--
-- 50 rules of 2 conditions over 200 traits, 1,000 different mindscapes, already
-- decoded. "By hand" is what one would write for exactly these rules, over the
-- same arrays and, on the next line, over a table by path; both note what they
-- read no more than that they are one fixed set. "Reads recorded" notes, in a
-- record as each call has one, which traits were looked at and which were known. The rules that fire are
-- checked to be the same. Figures, not verdicts; the aim is 0.7 of by hand.
--
-- SPDX-License-Identifier: MIT
local folder = (arg and arg[0] or ""):match("^(.*/)") or "./"
package.path = folder .. "../../lua/?.lua;" .. folder .. "../../lua/?/init.lua;" .. package.path

local bundle = require "personakit.bundle"
local compile = require "personakit.compile"
local pk = require "personakit"
local record = require "personakit.record"
local rules = require "personakit.rules"
local source = require "personakit.source"

package.path = folder .. "?.lua;" .. package.path
local work = require "work"

local SECONDS = tonumber(arg and arg[1]) or 1
local TRAITS, RULES, PEOPLE, NOW = work.traits, #work.rules, #work.people, work.now

local function path(i)
  return work.paths[i]
end

local people = {}
for at, values in ipairs(work.people) do
  local list = {}
  for i = 1, TRAITS do
    if values[i] ~= nil then
      list[#list + 1] = { id = path(i), confidence = 0.8, updatedAt = NOW, value = values[i] }
    end
  end
  people[at] = { traits = list }
end

-- ---- The same rules twice ----

local declared, by_slot, by_path = {}, {}, {}
local text = { "local v, fired = ... local n = 0" }
local path_text = { "local t, fired = ... local n = 0" }
local slot_of, slots = {}, 0

local function slot(i)
  if not slot_of[path(i)] then
    slots = slots + 1
    slot_of[path(i)] = slots
  end
  return slot_of[path(i)]
end

for i = 1, RULES do
  local each = work.rules[i]
  local word_at, word, number_at, bound = each.word_at, each.word, each.number_at, each.bound
  declared[i] = pk.rule {
    id = "rule-" .. i, suggest = "Rule " .. i .. " says {{" .. path(word_at) .. "}}",
    when = pk.all { pk.trait(path(word_at)):is(word), pk.trait(path(number_at)):gt(bound) },
  }
  text[#text + 1] = string.format("if v[%d] == %q and v[%d] and v[%d] > %d then n = n + 1 fired[n] = %d end",
    slot(word_at), word, slot(number_at), slot(number_at), bound, i)
  path_text[#path_text + 1] = string.format(
    "do local x = t[%q] if t[%q] == %q and x and x > %d then n = n + 1 fired[n] = %d end end",
    path(number_at), path(word_at), word, bound, i)
end
local by_hand = loadstring(table.concat(text, "\n") .. "\nreturn n")
local by_hand_path = loadstring(table.concat(path_text, "\n") .. "\nreturn n")

local program = loadstring(compile.source(declared, {}))(rules.kit())
local half = program.overlay[3]

for i, each in ipairs(people) do
  local t = {}
  for _, trait in ipairs(each.traits) do
    t[trait.id] = trait.value
  end
  by_path[i] = t
  local v = {}
  for s = 1, slots do
    v[s] = false
  end
  for name, s in pairs(slot_of) do
    v[s] = t[name] or false
  end
  local ours, entries = source.slots(source.new(each, NOW), program, rules.FALSE)
  by_slot[i] = { hand = v, v = ours, e = entries }
end

-- ---- Timing ----

local function measure(name, run, base)
  local best, total = 0, 0
  for _ = 1, 5 do
    local count, start = 0, os.clock()
    local took
    repeat
      for i = 1, PEOPLE do
        total = total + run(i)
      end
      count = count + PEOPLE
      took = os.clock() - start
    until took >= SECONDS / 5
    best = math.max(best, count / took)
  end
  print(string.format("%-58s %11.0f /s %s", name, best,
    base and string.format("%6.2f of by hand", best / base) or ""))
  return best
end

local fired = {}
local function hand(i) return by_hand(by_slot[i].hand, fired) end
local function hand_path(i) return by_hand_path(by_path[i], fired) end
local function ours(i)
  local each = by_slot[i]
  return (rules.evaluate(half, each.v, each.e, NOW, fired))
end

local total = 0
for i = 1, PEOPLE do
  local wanted, found = {}, {}
  local n, m = by_hand(by_slot[i].hand, wanted), rules.evaluate(half,
    by_slot[i].v, by_slot[i].e, NOW, found)
  assert(n == m and by_hand_path(by_path[i], {}) == n, "the same rules fire")
  for at = 1, n do
    assert(wanted[at] == found[at] and wanted[at] == work.fired[i][at], "the same rules fire")
  end
  total = total + n
end
print(string.format("%d rules of 2 conditions over %d traits (%d read), %d mindscapes, %.1f rules fire",
  RULES, TRAITS, #program.paths, PEOPLE, total / PEOPLE))

local base = measure("by hand, over arrays", hand)
measure("by hand, over a table by path", hand_path, base)
measure("compiled by the library", ours, base)
local kept = record.new(NOW, 3600000)
measure("compiled, reads recorded", function(i)
  local each = by_slot[i]
  local into = kept
  local n = rules.evaluate(half, each.v, each.e, NOW, fired)
  rules.note_reads(program, half, each.v, nil, into)
  return n
end, base)
measure("the same, a record made and written out", function(i)
  local each = by_slot[i]
  local into = record.new(NOW, 3600000)
  local n = rules.evaluate(half, each.v, each.e, NOW, fired)
  rules.note_reads(program, half, each.v, nil, into)
  record.finish(into)
  return n
end, base)
measure("decoding: from the list of traits to the arrays", function(i)
  source.slots(source.new(people[i], NOW), program, rules.FALSE)
  return 1
end)

-- ---- A whole call, as the worker makes it: library, script and persona ----

local read = function(name)
  local file = assert(io.open(folder .. "../../lua/personakit/" .. name .. ".lua"))
  local all = file:read("*a")
  file:close()
  return all
end
local lean = assert(loadstring(bundle.text("lean", read, compile.source(declared, {}))))
local host_values = { date = function(ms) return ms end, list = function(of) return of end }
measure("a fresh library, without a call", function()
  return lean(host_values).declared() and 1
end)
measure("a whole call: fresh library, mindscape in, persona out", function(i)
  return #lean(host_values).declared().map({ now = NOW, mindscape = people[i] }).fired
end)
local resident = assert(loadstring(bundle.text("resident", read, compile.source(declared, {}))))(
  host_values)
measure("a whole call: library kept, mindscape in, persona out", function(i)
  return #resident().declared().map({ now = NOW, mindscape = people[i] }).fired
end)
