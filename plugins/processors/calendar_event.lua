-- calendar_event.lua - What the calendar says about meetings, focus time and absence.
--
-- content.structured: title, start, end (instants), event_type ("meeting",
-- "focus", "out_of_office"), attendees (names, or { name, email, is_self }),
-- response ("accepted", "declined" ...), is_cancelled, is_all_day.
--
-- Meetings are counted by day in 'work.meetings.days', the last 14 days that had
-- any. What was declined or cancelled says nothing. A large meeting is no sign
-- that two people work together, so it makes no edges.
--
-- SPDX-License-Identifier: MIT
local pk = require "personakit"

local DAYS_KEPT, DAYS_ENOUGH = 14, 3
local HOURS_MAX = 12       -- a longer "meeting" is a conference or a mistake
local SMALL_GROUP = 8      -- others at most, for edges
local DROPPED = pk.const { declined = true, cancelled = true, canceled = true }
local KIND = pk.const {
  meeting = "meeting", call = "meeting", interview = "meeting", one_on_one = "meeting",
  focus = "focus", focus_time = "focus", deep_work = "focus",
  out_of_office = "away", ooo = "away", vacation = "away", holiday = "away", sick_leave = "away",
}

-- Names of the others, each once.
local function others_of(event)
  local names, seen = {}, {}
  for _, each in ipairs(pk.field(event, "attendees", "list") or {}) do
    local name = pk.field(each, "", "text") or pk.field(each, "name", "text")
      or pk.field(each, "email", "text")
    local is_self = type(each) == "table" and each.is_self == true
    if name and not is_self and not seen[name] then
      seen[name] = true
      names[#names + 1] = pk.cut(name, 200)
    end
  end
  return names
end

local function kind_of(event, others)
  local given = pk.field(event, "event_type", "text")
  if given then
    return KIND[given:lower():gsub("[- ]", "_")]
  end
  return #others > 0 and "meeting" or nil
end

-- The date as the calendar writes it, else that of UTC.
local function day_of(event, start)
  local text = pk.field(event, "start", "text")
  local day = text and text:match("^%d%d%d%d%-%d%d%-%d%d")
  if day then
    return day
  end
  local date = pk.date(start)
  return string.format("%04d-%02d-%02d", date.year, date.month, date.day)
end

local function count_day(before, day)
  local days, names = {}, {}
  for name, count in pairs(type(before) == "table" and before or {}) do
    if type(name) == "string" and type(count) == "number" then
      days[name] = count
    end
  end
  days[day] = (days[day] or 0) + 1
  for name in pairs(days) do
    names[#names + 1] = name
  end
  table.sort(names)
  for i = 1, #names - DAYS_KEPT do
    days[names[i]] = nil
  end
  local sum, n = 0, math.min(#names, DAYS_KEPT)
  for _, count in pairs(days) do
    sum = sum + count
  end
  return days, n, math.floor(sum / n * 10 + 0.5) / 10
end

local function say_meeting(t, m, event, start, minutes, others)
  local days, n, per_day = count_day(m["work.meetings.days"], day_of(event, start))
  t:set("work.meetings.days", days, { weight = 0.7, volatility = "high" })
  if n >= DAYS_ENOUGH then
    t:set("work.meetings.per_day", per_day,
      { weight = 0.6, volatility = "medium", confidence = math.min(0.9, n / 10) })
  end
  if minutes > 0 then
    t:reinforce("work.meetings.minutes", minutes, { weight = 0.3, volatility = "medium" })
  end
  if #others <= SMALL_GROUP then
    local person = #others > 0 and t:node("self", { type = "entity" })
    for _, name in ipairs(others) do
      t:edge(person, t:node(name, { type = "entity" }), "meets_with",
        { strength = math.floor(50 / #others + 0.5) / 100, confidence = 0.8 })
    end
  end
end

-- Only what is going on now can be said of now; the future is the calendar's.
local function say_away(t, now, start, ends)
  if start <= now and now + 1000 < ends then
    t:now("availability", "away", { ttl = math.min((ends - now) / 1000, 30 * 86400) })
  end
end

return pk.processor {
  id = "calendar-event", version = "1.0.0",
  name = "Calendar events",
  purpose = "Learn the load of meetings, planned focus time, absence, and who meets whom.",
  accepts = { "calendar_event" },

  process = function(obs, m, t, ctx)
    local event = pk.field(obs, "content.structured", "object") or {}
    local start, ends = pk.field(event, "start", "instant"), pk.field(event, "end", "instant")
    if not start or event.is_cancelled == true
        or DROPPED[pk.field(event, "response", "text") or ""] then
      return
    end
    local others = others_of(event)
    local kind = kind_of(event, others)
    local minutes = ends and ends > start and math.floor((ends - start) / 60000) or 0
    if kind == "meeting" and event.is_all_day ~= true and minutes <= HOURS_MAX * 60 then
      say_meeting(t, m, event, start, minutes, others)
    elseif kind == "focus" then
      t:reinforce("work.focus.blocks", "planned", { weight = 0.2, volatility = "medium" })
    elseif kind == "away" and ends then
      say_away(t, pk.field(ctx.now, "", "instant"), start, ends)
    end
  end,

  examples = {
    { name = "a meeting of two: a day counted, an edge",
      observation = { content = { structured = { title = "Catch up", event_type = "meeting",
        start = "2026-01-15T10:00:00+01:00", ["end"] = "2026-01-15T10:30:00+01:00",
        attendees = { { name = "Me", is_self = true }, { name = "Grace" } },
        response = "accepted" } } },
      expect = { operations = {
        { op = "set", path = "work.meetings.days", value = { ["2026-01-15"] = 1 } },
        { op = "reinforce", path = "work.meetings.minutes", value = 30, weight = 0.3 },
        { op = "node", label = "self" }, { op = "node", label = "Grace" },
        { op = "edge", source = "self", target = "Grace", edgeType = "meets_with", strength = 0.5 },
      } } },
    { name = "the third day: how many a day",
      given = { ["work.meetings.days"] = { ["2026-01-13"] = 4, ["2026-01-14"] = 5 } },
      observation = { content = { structured = { start = "2026-01-15T23:30:00-05:00",
        attendees = { "A", "B", "C", "D", "E", "F", "G", "H", "I" } } } },
      expect = { operations = {
        { op = "set", path = "work.meetings.days",
          value = { ["2026-01-13"] = 4, ["2026-01-14"] = 5, ["2026-01-15"] = 1 } },
        { op = "set", path = "work.meetings.per_day", value = 3.3, confidence = 0.3 },
      } } },
    { name = "old days go",
      given = { ["work.meetings.days"] = { ["2026-01-01"] = 9, ["2026-01-02"] = 1,
        ["2026-01-03"] = 1, ["2026-01-04"] = 1, ["2026-01-05"] = 1, ["2026-01-06"] = 1,
        ["2026-01-07"] = 1, ["2026-01-08"] = 1, ["2026-01-09"] = 1, ["2026-01-10"] = 1,
        ["2026-01-11"] = 1, ["2026-01-12"] = 1, ["2026-01-13"] = 1, ["2026-01-14"] = 1 } },
      observation = { content = { structured = { start = "2026-01-15T10:00:00Z",
        event_type = "call" } } },
      expect = { operations = { { op = "set" },
        { op = "set", path = "work.meetings.per_day", value = 1, confidence = 0.9 } } } },
    { name = "time kept free", observation = { content = { structured = {
        event_type = "Focus-Time", start = "2026-01-15T10:00:00Z" } } },
      expect = { operations = { { op = "reinforce", path = "work.focus.blocks", value = "planned" } } } },
    { name = "away now, until it ends", at = "2026-01-15T12:00:00Z",
      observation = { content = { structured = { event_type = "out_of_office",
        start = "2026-01-15T08:00:00Z", ["end"] = "2026-01-15T18:00:00Z" } } },
      expect = { operations = { { op = "now", key = "availability", value = "away", ttl = 21600 } } } },
    { name = "away next week says nothing of now", at = "2026-01-15T12:00:00Z",
      observation = { content = { structured = { event_type = "vacation",
        start = "2026-01-20T00:00:00Z", ["end"] = "2026-01-27T00:00:00Z" } } },
      expect = { operations = {} } },
    { name = "declined", observation = { content = { structured = { response = "declined",
        event_type = "meeting", start = "2026-01-15T10:00:00Z", attendees = { "A" } } } },
      expect = { operations = {} } },
    { name = "a whole day, and a thing of another sort",
      observation = { content = { structured = { event_type = "meeting", is_all_day = true,
        start = "2026-01-15T00:00:00Z" } } },
      expect = { operations = {} } },
    { name = "a birthday is no meeting", observation = { content = { structured = {
        event_type = "birthday", start = "2026-01-15T00:00:00Z", attendees = { "A" } } } },
      expect = { operations = {} } },
    { name = "fields of other types", observation = { content = { structured = {
        start = "tomorrow", ["end"] = 5, attendees = "all", event_type = {} } } },
      expect = { operations = {} } },
    { name = "attendees of all sorts", observation = { content = { structured = {
        start = "2026-01-15T10:00:00Z", attendees = { "A", "A", 5, {}, { email = "g@example.com" },
          { name = 7 } } } } },
      expect = { operations = { { op = "set" }, { op = "node" },
        { op = "node", label = "A" }, { op = "edge", strength = 0.25 },
        { op = "node", label = "g@example.com" }, { op = "edge", target = "g@example.com" } } } },
  },
}
