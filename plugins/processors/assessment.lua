-- assessment.lua - Results of questionnaires, each believed as far as its kind deserves.
--
-- sourceMetadata.assessmentType (or content.structured.assessment_type):
--
--     big_five    scores by factor, 0 to 100              confidence 0.8
--     meq         score, 16 to 86 (morningness-eveningness)          0.8
--     disc        scores for d, i, s, c, 0 to 100                    0.6
--     mbti        type, as in "INTJ"                                 0.5
--     enneagram   type 1 to 9, wing                                  0.4
--     others      'traits', a map of traits                          0.5
--
-- Types are less stable from test to test than factors, hence the order. What is
-- out of its range was misread somewhere, and says nothing.
--
-- SPDX-License-Identifier: MIT
local pk = require "personakit"

local FACTOR = pk.const { openness = "openness", conscientiousness = "conscientiousness",
  extraversion = "extraversion", extroversion = "extraversion", agreeableness = "agreeableness",
  neuroticism = "neuroticism" }
local DISC = pk.const { d = "dominance", i = "influence", s = "steadiness", c = "conscientiousness",
  dominance = "dominance", influence = "influence", steadiness = "steadiness",
  conscientiousness = "conscientiousness" }
local WEIGHT = 0.8

local function options(confidence)
  return { weight = WEIGHT, confidence = confidence, volatility = "low", category = "personality" }
end

-- Scores of 0 to 100 as 0 to 1, under the names of 'names'.
local function set_scores(t, result, prefix, names, confidence)
  local scores = pk.field(result, "scores", "object") or {}
  for _, key in ipairs(pk.keys(scores)) do
    local name, score = names[key:lower()], scores[key]
    if name and pk.field(score, "", "number") and score >= 0 and score <= 100 then
      t:set(prefix .. name, score / 100, options(confidence))
    end
  end
end

-- The bounds are those of Horne and Östberg.
local function chronotype_of(score)
  return score >= 59 and "morning" or score <= 41 and "evening" or "intermediate"
end

local KIND = {
  big_five = function(t, result)
    set_scores(t, result, "personality.big_five.", FACTOR, 0.8)
  end,
  disc = function(t, result)
    set_scores(t, result, "personality.disc.", DISC, 0.6)
  end,
  meq = function(t, result)
    local score = pk.field(result, "score", "number")
    if score and score >= 16 and score <= 86 then
      t:set("work.chronotype", chronotype_of(score), { weight = WEIGHT, confidence = 0.8,
        volatility = "low", category = "work", metadata = { meq = score } })
    end
  end,
  mbti = function(t, result)
    local letters = (pk.field(result, "type", "text") or ""):upper():match("^[EI][SN][TF][JP]")
    if letters then
      t:set("personality.mbti", letters, options(0.5))
    end
  end,
  enneagram = function(t, result)
    local number, wing = pk.field(result, "type", "number"), pk.field(result, "wing", "number")
    if number and number >= 1 and number <= 9 and number % 1 == 0 then
      local is_beside = wing and (wing == number % 9 + 1 or number == wing % 9 + 1)
      t:set("personality.enneagram", { type = number, wing = is_beside and wing or nil },
        options(0.4))
    end
  end,
}
local ALSO = pk.const { ocean = "big_five", bigfive = "big_five", ffm = "big_five",
  myers_briggs = "mbti", morningness = "meq" }

local function say_others(t, result)
  for _, each in ipairs(pk.traits(result.traits)) do
    t:set(each.path, each.value, { weight = 0.5, confidence = 0.5, volatility = "low" })
  end
end

return pk.processor {
  id = "assessment", version = "1.0.0",
  name = "Assessments",
  purpose = "Take results of questionnaires, each with the confidence that its kind deserves.",
  accepts = { "assessment" },

  process = function(obs, _, t)
    local result = pk.field(obs, "content.structured", "object")
    if not result then
      return
    end
    local name = pk.field(obs, "sourceMetadata.assessmentType", "text")
      or pk.field(result, "assessment_type", "text") or ""
    name = name:lower():gsub("[- ]", "_")
    local kind = KIND[ALSO[name] or name]
    if kind then
      kind(t, result)
    else
      say_others(t, result)
    end
  end,

  examples = {
    { name = "big five",
      observation = { sourceMetadata = { assessmentType = "Big-Five" }, content = { structured = {
        scores = { Openness = 82, extroversion = 35, agreeableness = 101, luck = 5,
          neuroticism = "low" } } } },
      expect = { operations = {
        { op = "set", path = "personality.big_five.openness", value = 0.82, confidence = 0.8,
          volatility = "low", category = "personality" },
        { op = "set", path = "personality.big_five.extraversion", value = 0.35 },
      } } },
    { name = "a morning person by questionnaire",
      observation = { sourceMetadata = { assessmentType = "meq" }, content = { structured = {
        score = 63 } } },
      expect = { operations = { { op = "set", path = "work.chronotype", value = "morning",
        confidence = 0.8, metadata = { meq = 63 } } } } },
    { name = "an evening person", observation = { content = { structured = {
        assessment_type = "MEQ", score = 41 } } },
      expect = { operations = { { path = "work.chronotype", value = "evening" } } } },
    { name = "neither", observation = { content = { structured = { assessment_type = "meq",
        score = 50 } } },
      expect = { operations = { { path = "work.chronotype", value = "intermediate" } } } },
    { name = "a score that cannot be", observation = { content = { structured = {
        assessment_type = "meq", score = 630 } } },
      expect = { operations = {} } },
    { name = "disc", observation = { sourceMetadata = { assessmentType = "disc" },
        content = { structured = { scores = { D = 70, steadiness = 20 } } } },
      expect = { operations = {
        { op = "set", path = "personality.disc.dominance", value = 0.7, confidence = 0.6 },
        { op = "set", path = "personality.disc.steadiness", value = 0.2 } } } },
    { name = "mbti", observation = { sourceMetadata = { assessmentType = "mbti" },
        content = { structured = { type = "intj-T" } } },
      expect = { operations = { { op = "set", path = "personality.mbti", value = "INTJ",
        confidence = 0.5 } } } },
    { name = "letters that are no type", observation = { sourceMetadata = {
        assessmentType = "myers-briggs" }, content = { structured = { type = "ABCD" } } },
      expect = { operations = {} } },
    { name = "enneagram, with a wing beside it", observation = { sourceMetadata = {
        assessmentType = "enneagram" }, content = { structured = { type = 9, wing = 1 } } },
      expect = { operations = { { op = "set", path = "personality.enneagram", confidence = 0.4,
        value = { type = 9, wing = 1 } } } } },
    { name = "enneagram, the wing too far off", observation = { sourceMetadata = {
        assessmentType = "enneagram" }, content = { structured = { type = 5, wing = 9 } } },
      expect = { operations = { { op = "set", path = "personality.enneagram",
        value = { type = 5 } } } } },
    { name = "another questionnaire", observation = { sourceMetadata = {
        assessmentType = "conflict_style" }, content = { structured = {
        traits = { work = { conflict_style = "avoiding" } } } } },
      expect = { operations = { { op = "set", path = "work.conflict_style", value = "avoiding",
        confidence = 0.5, weight = 0.5 } } } },
    { name = "fields of other types", observation = { sourceMetadata = { assessmentType = 5 },
        content = { structured = { scores = { 1, 2 }, type = {}, traits = "INTJ" } } },
      expect = { operations = {} } },
    { name = "nothing but words", observation = { content = { raw = "INTJ" } },
      expect = { operations = {} } },
  },
}
