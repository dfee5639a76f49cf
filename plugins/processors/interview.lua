-- interview.lua - What a person said in an interview, and what the interviewer made of it.
--
-- content.structured: answers = { { question, answer, topic, trait, value,
-- confidence } }, goals, beliefs, summary, themes. An answer is kept as the
-- person's own words; where the interviewer read a trait out of it, that is
-- evidence with a link to those words. What the interviewer only thinks weighs
-- less than what a person states, so confidence ends at 0.8.
--
-- SPDX-License-Identifier: MIT
local pk = require "personakit"

local WEIGHT = 0.6
local CONFIDENCE, CONFIDENCE_MAX = 0.6, 0.8
local TEXT_MAX, ITEMS_MAX = 8000, 200
local TIMEFRAME = pk.const { short_term = true, medium_term = true, long_term = true }
local LEVEL = pk.const { low = true, medium = true, high = true }

local function confidence_of(answer)
  local given = pk.field(answer, "confidence", "number")
  return given and given >= 0 and math.min(given, CONFIDENCE_MAX) or CONFIDENCE
end

-- Another value than the one that is held is evidence against it; numbers move.
local function support(t, m, path, found, confidence)
  local held = m:value(path)
  if held ~= nil and type(found) == "string" and held ~= found then
    t:contradict(path, found, { weight = WEIGHT, confidence = confidence })
  else
    t:reinforce(path, found, { weight = WEIGHT, confidence = confidence })
  end
end

local function say_answer(t, m, answer, source)
  local words = pk.field(answer, "answer", "text")
  local path = pk.path(pk.field(answer, "trait", "text"))
  local found = pk.field(answer, "value", "value")
  path = found ~= nil and path or nil
  if path then
    support(t, m, path, found, confidence_of(answer))
  end
  if words then
    local question, topic = pk.field(answer, "question", "text"), pk.field(answer, "topic", "text")
    t:narrative(pk.cut(words, TEXT_MAX), {
      type = "self_observation", source = source,
      context = question and { question = pk.cut(question, 1000) } or nil,
      tags = topic and { pk.cut(topic, 100) } or nil,
      traits = path, link = path and "extracted_from" or nil,
    })
  end
end

local function texts_of(list, name)
  local found = {}
  for i = 1, math.min(#list, ITEMS_MAX) do
    local text = pk.field(list[i], "", "text") or pk.field(list[i], name, "text")
    if text then
      found[#found + 1] = { text = pk.cut(text, 1000), of = list[i] }
    end
  end
  return found
end

local function word_of(item, name, words)
  local word = pk.field(item, name, "text")
  return word and words[word] and word or nil
end

local function say_wishes(t, interview)
  for _, goal in ipairs(texts_of(pk.field(interview, "goals", "list") or {}, "description")) do
    t:goal(goal.text, { confidence = CONFIDENCE_MAX,
      timeframe = word_of(goal.of, "timeframe", TIMEFRAME),
      priority = word_of(goal.of, "priority", LEVEL) })
  end
  for _, belief in ipairs(texts_of(pk.field(interview, "beliefs", "list") or {}, "statement")) do
    t:belief(belief.text, { confidence = CONFIDENCE_MAX,
      category = pk.field(belief.of, "category", "text") })
  end
end

return pk.processor {
  id = "interview", version = "1.0.0",
  name = "Interviews",
  purpose = "Keep answers as the person gave them; take traits, goals and beliefs from them.",
  accepts = { "interview" },

  process = function(obs, m, t)
    local interview = pk.field(obs, "content.structured", "object")
    local source = pk.field(obs, "sourceMetadata.source", "text")
    if not interview then
      local raw = pk.field(obs, "content.raw", "text")
      if raw then
        t:learn(pk.cut(raw, TEXT_MAX), { type = "experience", category = "interview" })
      end
      return
    end
    local answers = pk.field(interview, "answers", "list") or {}
    for i = 1, math.min(#answers, ITEMS_MAX) do
      say_answer(t, m, answers[i], source)
    end
    say_wishes(t, interview)
    local summary = pk.field(interview, "summary", "text")
    if summary then
      local themes = {}
      for i, theme in ipairs(texts_of(pk.field(interview, "themes", "list") or {}, "name")) do
        themes[i] = theme.text
      end
      t:summary(pk.cut(summary, TEXT_MAX), { themes = #themes > 0 and themes or nil })
    end
  end,

  examples = {
    { name = "answers, one with a trait in it",
      observation = { sourceMetadata = { source = "onboarding" }, content = { structured = {
        answers = {
          { question = "When do you work best?", answer = "Before anybody else is up.",
            topic = "rhythm", trait = "work/chronotype", value = "morning", confidence = 1 },
          { answer = "I like it quiet." },
        } } } },
      expect = { operations = {
        { op = "reinforce", path = "work.chronotype", value = "morning", weight = 0.6,
          confidence = 0.8 },
        { op = "narrative", text = "Before anybody else is up.", traits = { "work.chronotype" },
          linkType = "extracted_from", tags = { "rhythm" }, source = "onboarding",
          context = { question = "When do you work best?" } },
        { op = "narrative", text = "I like it quiet.", narrativeType = "self_observation" },
      } } },
    { name = "against what was held; numbers move instead",
      given = { ["work.chronotype"] = "evening", ["work.risk_tolerance"] = 0.2 },
      observation = { content = { structured = { answers = {
        { trait = "work.chronotype", value = "morning" },
        { trait = "work.risk_tolerance", value = 0.7, confidence = 0.3 },
        { trait = "work.remote", value = false },
      } } } },
      expect = { operations = {
        { op = "contradict", path = "work.chronotype", value = "morning", confidence = 0.6 },
        { op = "reinforce", path = "work.risk_tolerance", value = 0.7, confidence = 0.3 },
        { op = "reinforce", path = "work.remote", value = false },
      } } },
    { name = "goals, beliefs, a summary",
      observation = { content = { structured = {
        goals = { "lead a team", { description = "write a book", timeframe = "long_term",
          priority = "urgent" } },
        beliefs = { { statement = "Trust comes first", category = "values" } },
        summary = "A builder who likes calm.", themes = { "calm", "craft" } } } },
      expect = { operations = {
        { op = "goal", description = "lead a team", confidence = 0.8 },
        { op = "goal", description = "write a book", timeframe = "long_term" },
        { op = "belief", statement = "Trust comes first", category = "values" },
        { op = "summary", summary = "A builder who likes calm.", keyThemes = { "calm", "craft" } },
      } } },
    { name = "only a transcript: kept, nothing read out of it",
      observation = { content = { raw = "Q: How are you? A: Fine." } },
      expect = { operations = { { op = "learn", contentType = "experience" } } } },
    { name = "fields of other types", observation = { content = { structured = {
        answers = { 1, {}, { answer = 5, trait = "a", value = {} }, { trait = "no path!", value = 1 },
          { trait = 5, value = 1 } }, goals = { {}, 5 }, beliefs = "all", summary = {} } } },
      expect = { operations = { { op = "reinforce", path = "a", value = {} } } } },
  },
}
