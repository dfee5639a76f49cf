-- daily-work-optimizer.lua - When this person works best at what, for planning a day.
--
-- The core says how the person's days run (habits, rhythm), the overlay what that
-- means for this day. What the traits are and who derives them: plugins/README.md.
--
-- SPDX-License-Identifier: MIT
local pk = require "personakit"

local WEEKEND = pk.const { saturday = true, sunday = true }
local ENERGY = pk.const { low = true, medium = true, high = true }
local STATUS = pk.const { available = true, busy = true, away = true, offline = true }

-- A text, or the texts of a list; whatever else an import left there is nothing to show.
local function texts_of(found)
  local texts = pk.list {}
  for _, each in ipairs(pk.field(found, "", "list") or { found }) do
    texts[#texts + 1] = pk.field(each, "", "text")
  end
  return texts
end

-- How the person is just now, as the specification has it; nil when nothing is known of it.
local function current_state(m)
  local available = pk.field(m.now.availability, "", "text")
  local energy, mood = m.now.energy, pk.field(m.now.mood, "", "text")
  local focus, topics = texts_of(m.now.focus or m.now.activity), texts_of(m.now.recent_topics)
  if not (available or ENERGY[energy] or mood) and #focus + #topics == 0 then
    return nil
  end
  local is_status = STATUS[available] ~= nil
  return {
    availability = {
      status = is_status and available or "unknown",
      note = not is_status and available or nil,
    },
    currentFocus = focus,
    recentTopics = topics,
    emotionalState = mood,
    energyLevel = ENERGY[energy] and energy or nil,
  }
end

return pk.mapper {
  id = "daily-work-optimizer", version = "1.0.0", ttl = "24h",
  name = "Daily work optimizer",
  purpose = "Plan a working day around the hours at which the person works best.",
  requires = { "work.chronotype" },
  optional = { "work.focus.*", "work.meetings.*" },
  context_window = "30d",
  knowledge_domains = { "work" },

  templates = {
    morning = "Schedule deep work before {{work.focus.peak_end|noon}}",
    evening = "Keep mornings for messages; schedule deep work after {{work.focus.peak_start|16:00}}",
  },

  rules = {
    pk.rule {
      id = "long-stretches", level = "core", section = "habits",
      description = "Long blocks are worth keeping free.",
      when = pk.trait("work.focus.deep_minutes"):gte(75),
      suggest = "Stays in deep work for about {{work.focus.deep_minutes}} minutes",
    },
    pk.rule {
      id = "short-stretches", level = "core", section = "habits",
      when = pk.trait("work.focus.deep_minutes"):between(1, 40),
      suggest = "Works in stretches of about {{work.focus.deep_minutes}} minutes",
    },
    pk.rule {
      id = "morning-deep-work",
      when = pk.trait("work.chronotype"):is("morning"):confident(0.4),
      template = "morning", priority = "high",
    },
    pk.rule {
      id = "evening-deep-work",
      when = pk.trait("work.chronotype"):in_({ "evening", "night" }):confident(0.4),
      template = "evening", priority = "high",
    },
    pk.rule {
      id = "known-peak",
      description = "Neither a morning nor an evening person, but there is a best time.",
      when = pk.all {
        pk.none { pk.trait("work.chronotype"):in_ { "morning", "evening", "night" } },
        pk.trait("work.focus.peak_start"):exists(),
        pk.trait("work.focus.peak_end"):exists(),
      },
      suggest = "Schedule deep work from {{work.focus.peak_start}} to {{work.focus.peak_end}}",
      priority = "high",
    },
    pk.rule {
      id = "unsure-rhythm", detail = "balanced",
      when = pk.all {
        pk.trait("work.chronotype"):exists(),
        pk.not_(pk.trait("work.chronotype"):confident(0.4)),
      },
      suggest = "Ask when they work best: what is known of it is not certain",
      priority = "low",
    },
    pk.rule {
      id = "split-long-sessions",
      when = pk.all {
        pk.trait("work.focus.deep_minutes"):between(1, 60),
        pk.not_(pk.trait("work.focus.breaks"):is("regular")),
      },
      suggest = "Plan blocks of {{work.focus.deep_minutes}} minutes with breaks between them",
    },
    pk.rule {
      id = "protect-long-blocks",
      when = pk.trait("work.focus.deep_minutes"):gte(75),
      suggest = "Keep a block of {{work.focus.deep_minutes}} minutes free for demanding work",
    },
    pk.rule {
      id = "meeting-overload", detail = "balanced",
      when = pk.any {
        pk.trait("work.meetings.per_day"):gte(4),
        pk.trait("work.meetings.load"):matches("^(high|too )"),
      },
      suggest = "Keep one half of the day free of meetings",
    },
    pk.rule {
      id = "interruptions", detail = "balanced",
      when = pk.trait("work.focus.interruptions_per_hour"):gte(3),
      suggest = "Silence notifications in deep work: it is interrupted "
        .. "{{work.focus.interruptions_per_hour}} times an hour",
    },
    pk.rule {
      id = "plan-focus-time", detail = "balanced",
      when = pk.all {
        pk.trait("work.meetings.per_day"):gte(3),
        pk.trait("work.focus.blocks"):missing(),
      },
      suggest = "Put focus time into the calendar; none is known there",
      priority = "low",
    },
  },

  core = {
    rhythm = function(m)
      local first, last = m["work.focus.peak_start"], m["work.focus.peak_end"]
      local chronotype, minutes = m["work.chronotype"], m["work.focus.deep_minutes"]
      if (chronotype or minutes or first or last) == nil then
        return nil
      end
      return {
        chronotype = chronotype, deepMinutes = minutes,
        peakHours = first and last and m:fill("{{work.focus.peak_start}}-{{work.focus.peak_end}}")
          or nil,
      }
    end,
  },

  overlay = {
    today = function(_, ctx)
      local date = pk.date(ctx.now)
      return { weekday = date.weekday, isWeekend = WEEKEND[date.weekday] == true }
    end,
    currentState = current_state,
    evidence = pk.section {
      detail = "deep_dive",
      from = function(m)
        local lines = pk.list {}
        for path, value in m:each("work.focus") do
          if type(value) ~= "table" then
            lines[#lines + 1] = path .. " = " .. tostring(value)
          end
        end
        return #lines > 0 and lines or nil
      end,
    },
  },

  examples = {
    { name = "a morning person with many meetings",
      given = {
        ["work.chronotype"] = "morning", ["work.focus.peak_start"] = "08:00",
        ["work.focus.peak_end"] = "11:00", ["work.focus.deep_minutes"] = 90,
        ["work.meetings.per_day"] = 5, ["work.focus.interruptions_per_hour"] = 3.5,
        ["work.focus.hours"] = { sessions = 9 },
      },
      now = { mood = "focused", energy = "high", availability = "available",
        activity = "coding" },
      expect = {
        fired = { "long-stretches", "morning-deep-work", "protect-long-blocks", "meeting-overload",
          "interruptions", "plan-focus-time" },
        core = {
          rhythm = { chronotype = "morning", deepMinutes = 90, peakHours = "08:00-11:00" },
          habits = { { ruleId = "long-stretches",
            text = "Stays in deep work for about 90 minutes" } },
        },
        overlay = {
          today = { weekday = "thursday", isWeekend = false },
          currentState = {
            availability = { status = "available" }, currentFocus = { "coding" },
            recentTopics = {}, emotionalState = "focused", energyLevel = "high",
          },
          evidence = { "work.focus.deep_minutes = 90", "work.focus.interruptions_per_hour = 3.5",
            "work.focus.peak_end = 11:00", "work.focus.peak_start = 08:00" },
          suggestions = {
            { ruleId = "morning-deep-work", text = "Schedule deep work before 11:00",
              priority = "high", traits = { "work.chronotype", "work.focus.peak_end" } },
            { ruleId = "protect-long-blocks",
              text = "Keep a block of 90 minutes free for demanding work", priority = "medium" },
            { ruleId = "meeting-overload", text = "Keep one half of the day free of meetings" },
            { ruleId = "interruptions", text = "Silence notifications in deep work: "
              .. "it is interrupted 3.5 times an hour" },
            { ruleId = "plan-focus-time", priority = "low" },
          },
        },
        missing = {}, warnings = {},
      } },
    { name = "the same person at a glance", detail = "instant",
      given = {
        ["work.chronotype"] = "morning", ["work.meetings.per_day"] = 5,
        ["work.focus.interruptions_per_hour"] = 3.5,
      },
      expect = { fired = { "morning-deep-work" }, overlay = {
        suggestions = { { ruleId = "morning-deep-work", text = "Schedule deep work before noon" } },
      } } },
    { name = "an evening person who works in short stretches", at = "2026-01-17T09:00:00Z",
      given = {
        ["work.chronotype"] = "night", ["work.focus.deep_minutes"] = 25,
        ["work.focus.breaks"] = "rare", ["work.focus.blocks"] = "planned",
        ["work.meetings.per_day"] = 3, ["work.meetings.load"] = "normal",
        ["work.focus.interruptions_per_hour"] = 2.9,
      },
      now = { availability = "after 14:00", recent_topics = { "release" } },
      expect = {
        fired = { "short-stretches", "evening-deep-work", "split-long-sessions" },
        core = { rhythm = { chronotype = "night", deepMinutes = 25 } },
        overlay = {
          today = { weekday = "saturday", isWeekend = true },
          currentState = { availability = { status = "unknown", note = "after 14:00" },
            currentFocus = {}, recentTopics = { "release" } },
          suggestions = {
            { ruleId = "evening-deep-work",
              text = "Keep mornings for messages; schedule deep work after 16:00" },
            { ruleId = "split-long-sessions",
              text = "Plan blocks of 25 minutes with breaks between them" },
          },
        },
      } },
    { name = "neither, but the hours are known; takes breaks; says what meetings are like",
      given = {
        ["work.chronotype"] = "intermediate", ["work.focus.peak_start"] = "13:00",
        ["work.focus.peak_end"] = "16:00", ["work.focus.deep_minutes"] = 60,
        ["work.focus.breaks"] = "regular", ["work.meetings.load"] = "too many",
      },
      expect = { fired = { "known-peak", "meeting-overload" }, overlay = { suggestions = {
        { ruleId = "known-peak", text = "Schedule deep work from 13:00 to 16:00",
          priority = "high" },
        { ruleId = "meeting-overload" },
      } } } },
    { name = "a rhythm that is only guessed",
      given = { ["work.chronotype"] = { value = "morning", confidence = 0.3 } },
      expect = { fired = { "unsure-rhythm" } } },
    { name = "a rhythm that was known long ago", detail = "balanced",
      given = { ["work.chronotype"] = { value = "evening", confidence = 0.6, age = "400d",
        half_life = "365d" } },
      expect = { fired = { "unsure-rhythm" } } },
    { name = "nothing known",
      given = {},
      expect = { fired = {}, core = {}, missing = { "work.chronotype" },
        warnings = { "required trait 'work.chronotype' is not known" } } },
  },
}
