-- feedback_votes.lua - What people said of a rule's lines, as votes for training its mapper.
--
-- content.structured is the feedback. It counts when it names a rule (ruleId):
-- not helpful, or an overall rating of 1 or 2, asks for a lower priority (three
-- such are enough) and, with less weight, to switch the rule off (five are);
-- helpful, or 4 and 5, says that the rule is good as it is, and counts against
-- both. Who says what was wrong weighs more. Nothing of the words goes
-- into a proposal. 'personakit mapper train' adds them up.
--
-- SPDX-License-Identifier: MIT
local pk = require "personakit"

local KEEP = 0.34
local WEIGHT = pk.const {
  plain = { lower = 0.34, off = 0.2 }, -- Three, and five, come to 1.
  why = { lower = 0.5, off = 0.25 },   -- Of those who say what was wrong: two, and four.
}

-- true: good; false: bad; nil: neither was said.
local function verdict_of(data)
  local helpful = pk.field(data, "helpful", "boolean")
  local overall = pk.field(data, "ratings.overall", "number")
  if helpful ~= nil then
    return helpful
  elseif overall and overall >= 4 then
    return true
  elseif overall and overall <= 2 then
    return false
  end
  return nil
end

local function has_words(data)
  local bad = pk.field(data, "specificFeedback.whatDidntWork", "list")
  return bad ~= nil and #bad > 0 or pk.field(data, "specificFeedback.suggestions", "text") ~= nil
end

return pk.processor {
  id = "feedback-votes", version = "1.0.0", name = "Votes of feedback",
  description = "Proposes to lower rules that do not help, and to switch off those that never do.",
  accepts = { "feedback" },
  process = function(obs, _, t)
    local data = pk.field(obs, "content.structured", "object")
    local rule = pk.field(data, "ruleId", "text")
    local is_good = verdict_of(data)
    if not rule or is_good == nil then
      return
    end
    if is_good then
      t:keep(rule, { weight = KEEP, reason = "it helped" })
    else
      local weight = has_words(data) and WEIGHT.why or WEIGHT.plain
      t:tune(rule, { priority = "lower", weight = weight.lower, reason = "it did not help" })
      t:tune(rule, { off = true, weight = weight.off, reason = "it did not help" })
    end
  end,
  examples = {
    { name = "a rule that did not help",
      observation = { content = { structured = { ruleId = "early", helpful = false } } },
      expect = { operations = {
        { op = "tune", ruleId = "early", priority = "lower", weight = 0.34 },
        { op = "tune", ruleId = "early", off = true, weight = 0.2 } } } },
    { name = "and why",
      observation = { content = { structured = { ruleId = "early", ratings = { overall = 1 },
        specificFeedback = { whatDidntWork = { "too early" }, suggestions = "" } } } },
      expect = { operations = {
        { op = "tune", ruleId = "early", priority = "lower", weight = 0.5 },
        { op = "tune", ruleId = "early", off = true, weight = 0.25 } } } },
    { name = "a rule that helped",
      observation = { content = { structured = { ruleId = "early", ratings = { overall = 5 } } } },
      expect = { operations = { { op = "keep", ruleId = "early", weight = 0.34 } } } },
    { name = "so so",
      observation = { content = { structured = { ruleId = "early", ratings = { overall = 3 } } } },
      expect = { operations = {} } },
    { name = "of no rule",
      observation = { content = { structured = { helpful = false } } },
      expect = { operations = {} } },
    { name = "what is no feedback",
      observation = { content = { structured = { ruleId = 7, helpful = "no", ratings = "bad" } } },
      expect = { operations = {} } },
  },
}
