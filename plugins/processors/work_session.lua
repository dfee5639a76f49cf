-- work_session.lua - What a session of work says about how long, and when, a person can focus.
--
-- content.structured: duration_minutes, focus_level ("deep" counts), task_type,
-- tools_used, started_at (local time, with its offset: 2026-01-15T09:00:00+01:00),
-- interruptions, breaks, energy ("low", "medium", "high"), notes.
--
-- One session is a weak hint. Minutes of deep work are counted by hour of the
-- day in 'work.focus.hours', where older sessions fade; peak hours and chronotype
-- are said only once there are enough of them. Without the offset nobody knows
-- the hour, so nothing is said about it.
--
-- SPDX-License-Identifier: MIT
local pk = require "personakit"

local MINUTES_MAX = 16 * 60 -- a longer "session" is a clock that was left running
local LONG_ENOUGH = 25      -- minutes: shorter ones say little about endurance
local SESSIONS_ENOUGH = 5   -- before anything is said about the time of day
local FADE = 0.98           -- what was counted before, after one more session
local WINDOW_HOURS = 3      -- how long "peak hours" may be
local TOOLS_MAX = 20
local LEVEL = pk.const { low = true, medium = true, high = true }

local function round(x, step)
  return math.floor(x / step + 0.5) * step
end

-- Hour and minute as the person's clock showed them, or nil: "Z" is nobody's clock.
local function clock_of(text)
  local hour, minute = (text or ""):match("^%d%d%d%d%-%d%d%-%d%d[Tt](%d%d):(%d%d).*[+-]%d%d:?%d%d$")
  return tonumber(hour), tonumber(minute)
end

-- Evidence for a word: for the one that is held, or against it.
local function support(t, m, path, word, options)
  local held = m[path]
  if held == nil or held == word then
    t:reinforce(path, word, options)
  else
    t:contradict(path, word, { weight = options.weight })
  end
end

-- ---- When ----

-- What was counted, a little faded, with the minutes of this session in their hours.
local function count_hours(before, hour, minute, minutes)
  local counted = { sessions = (pk.field(before, "sessions", "number") or 0) + 1, minutes = {} }
  for name, each in pairs(pk.field(before, "minutes", "object") or {}) do
    local kept = type(each) == "number" and round(each * FADE, 0.1) or 0
    if kept >= 1 then
      counted.minutes[name] = kept
    end
  end
  local left = minutes
  while left > 0 do
    local here = math.min(left, 60 - minute)
    local name = string.format("%02d", hour)
    counted.minutes[name] = (counted.minutes[name] or 0) + here
    left, hour, minute = left - here, (hour + 1) % 24, 0
  end
  return counted
end

-- Minutes of the hours 'first' to 'last' - 1, both from 0.
local function minutes_in(counted, first, last)
  local sum = 0
  for hour = first, last - 1 do
    sum = sum + (counted.minutes[string.format("%02d", hour)] or 0)
  end
  return sum
end

-- The hours with most deep work and their share of all of it.
local function peak_of(counted)
  local all, best, best_sum = minutes_in(counted, 0, 24), nil, 0
  for first = 0, 24 - WINDOW_HOURS do
    local sum = minutes_in(counted, first, first + WINDOW_HOURS)
    if sum > best_sum then
      best, best_sum = first, sum
    end
  end
  local last = best + WINDOW_HOURS
  while last > best + 1 and minutes_in(counted, last - 1, last) == 0 do
    last = last - 1
  end
  while best < last - 1 and minutes_in(counted, best, best + 1) == 0 do
    best = best + 1
  end
  return best, last, best_sum / all
end

local function chronotype_of(counted)
  local all = minutes_in(counted, 0, 24)
  if minutes_in(counted, 4, 12) / all >= 0.7 then
    return "morning"
  elseif (minutes_in(counted, 17, 24) + minutes_in(counted, 0, 3)) / all >= 0.6 then
    return "evening"
  end
  return "intermediate"
end

local function say_when(t, m, counted)
  t:set("work.focus.hours", counted, { weight = 0.7, volatility = "medium" })
  if counted.sessions < SESSIONS_ENOUGH then
    return
  end
  local first, last, share = peak_of(counted)
  if share >= 0.5 then
    local options = { volatility = "medium", weight = 0.5,
      confidence = round(share * math.min(1, counted.sessions / 10), 0.01) }
    t:set("work.focus.peak_start", string.format("%02d:00", first), options)
    t:set("work.focus.peak_end", string.format("%02d:00", last), options)
  end
  -- Working hours may be the employer's and not the person's: a weak hint, each time.
  support(t, m, "work.chronotype", chronotype_of(counted), { weight = 0.2, volatility = "low" })
end

-- ---- How ----

local function say_how(t, m, session, minutes)
  local interruptions = pk.field(session, "interruptions", "number")
  if interruptions and interruptions >= 0 and minutes >= LONG_ENOUGH then
    t:reinforce("work.focus.interruptions_per_hour", round(interruptions * 60 / minutes, 0.1),
      { weight = 0.4, volatility = "medium" })
  end
  local breaks = pk.field(session, "breaks", "number")
  if breaks and breaks >= 0 and minutes >= 90 then
    support(t, m, "work.focus.breaks", breaks >= math.floor(minutes / 90) and "regular" or "rare",
      { weight = 0.2, volatility = "medium" })
  end
end

local function say_with_what(t, session, task)
  local tools = pk.field(session, "tools_used", "list")
  if not task or not tools then
    return
  end
  local node = t:node(task, { type = "concept" })
  for i = 1, math.min(#tools, TOOLS_MAX) do
    local tool = pk.field(tools[i], "", "text")
    if tool then
      t:edge(node, t:node(pk.cut(tool, 200), { type = "entity" }), "uses",
        { strength = 0.3, confidence = 0.9 })
    end
  end
end

return pk.processor {
  id = "work-session", version = "1.0.0",
  name = "Work sessions",
  purpose = "Learn endurance, peak hours and chronotype from sessions of work.",
  accepts = { "work_session" },

  process = function(obs, m, t)
    local session = pk.field(obs, "content.structured", "object")
    if not session then
      return
    end
    local minutes = pk.field(session, "duration_minutes", "number")
    minutes = minutes and minutes > 0 and minutes <= MINUTES_MAX and math.floor(minutes) or 0
    local is_deep = pk.field(session, "focus_level", "text") == "deep"
    if is_deep and minutes > 0 then
      t:reinforce("work.focus.deep_minutes", minutes,
        { weight = minutes >= LONG_ENOUGH and 0.7 or 0.3, volatility = "medium" })
      local hour, minute = clock_of(pk.field(session, "started_at", "text"))
      if hour and hour < 24 and minute < 60 then
        say_when(t, m, count_hours(m["work.focus.hours"], hour, minute, minutes))
      end
    end
    if minutes > 0 then
      say_how(t, m, session, minutes)
    end
    local task = pk.field(session, "task_type", "text")
    task = task and pk.cut(task, 200)
    if task then
      t:now("activity", task, { ttl = "4h" })
    end
    if LEVEL[pk.field(session, "energy", "text") or ""] then
      t:now("energy", session.energy, { ttl = "4h" })
    end
    say_with_what(t, session, task)
    local notes = pk.field(session, "notes", "text")
    if notes then
      t:learn(pk.cut(notes, 4000), { type = "experience", category = "work", importance = 0.3,
        tags = task and { task } or nil })
    end
  end,

  examples = {
    { name = "the session of the specification",
      observation = { sourceType = "work_session", content = { structured = {
        duration_minutes = 90, focus_level = "deep", task_type = "coding",
        tools_used = { "vscode", "github" } } } },
      expect = { operations = {
        { op = "reinforce", path = "work.focus.deep_minutes", value = 90, weight = 0.7,
          volatility = "medium" },
        { op = "now", key = "activity", value = "coding", ttl = 14400 },
        { op = "node", label = "coding", nodeType = "concept" },
        { op = "node", label = "vscode", nodeType = "entity" },
        { op = "edge", source = "coding", target = "vscode", edgeType = "uses" },
        { op = "node", label = "github" },
        { op = "edge", source = "coding", target = "github", edgeType = "uses" },
      } } },
    { name = "the first one with a time: counted, nothing said yet",
      observation = { content = { structured = { duration_minutes = 50, focus_level = "deep",
        started_at = "2026-01-15T09:30:00+01:00" } } },
      expect = { operations = {
        { op = "reinforce", path = "work.focus.deep_minutes", value = 50 },
        { op = "set", path = "work.focus.hours",
          value = { sessions = 1, minutes = { ["09"] = 30, ["10"] = 20 } } },
      } } },
    { name = "the fifth one: peak hours, and a hint at the chronotype",
      given = { ["work.focus.hours"] = { sessions = 4, minutes = { ["09"] = 100, ["10"] = 50 } } },
      observation = { content = { structured = { duration_minutes = 60, focus_level = "deep",
        started_at = "2026-01-15T09:00:00+01:00" } } },
      expect = { operations = {
        { op = "reinforce" },
        { op = "set", path = "work.focus.hours",
          value = { sessions = 5, minutes = { ["09"] = 158, ["10"] = 49 } } },
        { op = "set", path = "work.focus.peak_start", value = "09:00", confidence = 0.5 },
        { op = "set", path = "work.focus.peak_end", value = "11:00" },
        { op = "reinforce", path = "work.chronotype", value = "morning", weight = 0.2 },
      } } },
    { name = "evenings, of someone who was taken for a morning person",
      given = { ["work.chronotype"] = "morning",
        ["work.focus.hours"] = { sessions = 9, minutes = { ["20"] = 300, ["21"] = 200 } } },
      observation = { content = { structured = { duration_minutes = 30, focus_level = "deep",
        started_at = "2026-01-15T23:45:00+01:00" } } },
      expect = { operations = {
        { op = "reinforce" }, { op = "set", value = { sessions = 10, minutes = { ["00"] = 15,
          ["20"] = 294, ["21"] = 196, ["23"] = 15 } } },
        { op = "set", path = "work.focus.peak_start" }, { op = "set", path = "work.focus.peak_end" },
        { op = "contradict", path = "work.chronotype", value = "evening", weight = 0.2 },
      } } },
    { name = "spread over the day: no peak hours",
      given = { ["work.focus.hours"] = { sessions = 20, minutes = { ["08"] = 100, ["12"] = 100,
        ["15"] = 100, ["19"] = 100 } } },
      observation = { content = { structured = { duration_minutes = 20, focus_level = "deep",
        started_at = "2026-01-15T15:00:00-05:00" } } },
      expect = { operations = {
        { op = "reinforce", weight = 0.3 }, { op = "set", path = "work.focus.hours" },
        { op = "reinforce", path = "work.chronotype", value = "intermediate" },
      } } },
    { name = "a broken one: interruptions, breaks, energy and notes",
      given = { ["work.focus.breaks"] = "regular" },
      observation = { content = { structured = { duration_minutes = 120, focus_level = "shallow",
        interruptions = 7, breaks = 0, energy = "low", notes = "Phone all the time" } } },
      expect = { operations = {
        { op = "reinforce", path = "work.focus.interruptions_per_hour", value = 3.5 },
        { op = "contradict", path = "work.focus.breaks", value = "rare" },
        { op = "now", key = "energy", value = "low" },
        { op = "learn", content = "Phone all the time", contentType = "experience" },
      } } },
    { name = "UTC is nobody's clock",
      observation = { content = { structured = { duration_minutes = 30, focus_level = "deep",
        started_at = "2026-01-15T09:30:00Z" } } },
      expect = { operations = { { op = "reinforce" } } } },
    { name = "a clock that was left running, and fields of other types",
      observation = { content = { structured = { duration_minutes = 5000, focus_level = "deep",
        task_type = 7, tools_used = "vscode", energy = "great", interruptions = "many" } } },
      expect = { operations = {} } },
    { name = "nothing but words", observation = { content = { raw = "worked a bit" } },
      expect = { operations = {} } },
  },
}
