-- communication-style.lua - How this person likes to be written to.
--
-- What people said of themselves comes first, what was measured in their messages
-- (plugins/processors/chat_log.lua) second, and what is neither is named as
-- assumed. 'writingBrief' is a prompt for the reader's own model; the server
-- calls none.
--
-- SPDX-License-Identifier: MIT
local pk = require "personakit"

local FORMALITY = pk.const { casual = "casual", professional = "professional", formal = "formal",
  direct = "professional", warm = "casual", friendly = "casual" }
local COMPLEXITY = pk.const { simple = true, moderate = true, complex = true }
local TONE = pk.const {
  direct = { greeting = "none", length = "short", opening = "the point" },
  warm = { greeting = "personal", length = "medium", opening = "a personal word" },
  friendly = { greeting = "personal", length = "medium", opening = "a personal word" },
  formal = { greeting = "formal", length = "medium", opening = "the occasion" },
  analytical = { greeting = "short", length = "long", opening = "the facts" },
}

-- ---- What is known, and what is assumed ----

local function add(list, text)
  for _, each in ipairs(list) do
    if each == text then
      return
    end
  end
  list[#list + 1] = text
end

-- What they prefer, then where they write, most first; less than a tenth is chance.
local function mediums_of(m)
  local mediums, names, all = pk.list {}, {}, 0
  local preferred, used = m["communication.preferred_medium"], m["communication.mediums"]
  for _, each in ipairs(pk.field(preferred, "", "list") or { preferred }) do
    if pk.field(each, "", "text") then
      add(mediums, each)
    end
  end
  for _, name in ipairs(pk.keys(used)) do
    local count = pk.field(used, name, "number") or 0
    names[#names + 1] = { name = name, count = count }
    all = all + count
  end
  table.sort(names, function(a, b)
    return a.count > b.count or a.count == b.count and a.name < b.name
  end)
  for _, each in ipairs(names) do
    if each.count * 10 >= all then
      add(mediums, each.name)
    end
  end
  return mediums
end

local function formality_of(m)
  local stated = FORMALITY[m["communication.formality"] or ""]
    or FORMALITY[m["communication.style"] or ""]
  if stated then
    return stated, false
  end
  local emoji = pk.field(m["communication.emoji_share"], "", "number")
  if emoji and emoji >= 0.25 then
    return "casual", false
  end
  return "professional", true
end

local function complexity_of(m)
  local stated = m["communication.complexity"]
  if COMPLEXITY[stated] then
    return stated, false
  end
  local words = pk.field(m["communication.words_per_sentence"], "", "number")
  if words then
    return words < 12 and "simple" or words > 22 and "complex" or "moderate", false
  end
  return "moderate", true
end

local function patterns_of(m)
  local patterns = pk.list {}
  local function say(path, test, text)
    local found = pk.field(m:value(path), "", "number")
    if found and test(found) then
      patterns[#patterns + 1] = m:fill(text)
    end
  end
  say("communication.words_per_message", function() return true end,
    "writes about {{communication.words_per_message}} words a message")
  say("communication.question_share", function(x) return x >= 0.4 end, "asks back often")
  say("communication.reply_minutes", function() return true end,
    "answers within about {{communication.reply_minutes}} minutes")
  return patterns
end

local function assumed(m)
  local list = pk.list {}
  local _, is_formality_assumed = formality_of(m)
  local _, is_complexity_assumed = complexity_of(m)
  if is_formality_assumed then
    list[#list + 1] = "communicationStyle.formalityLevel"
  end
  if is_complexity_assumed then
    list[#list + 1] = "communicationStyle.languageComplexity"
  end
  return #list > 0 and list or nil
end

return pk.mapper {
  id = "communication-style", version = "1.0.0", ttl = "12h",
  name = "Communication style",
  purpose = "Say how to write to this person: medium, tone, length, and what to avoid.",
  requires = { "communication.style" },
  optional = { "communication.*", "mood.stress", "personality.big_five.extraversion" },
  knowledge_domains = { "communication" },
  context_window = 90,

  retrieval_pipeline = {
    hotLayerQueries = {
      { queryId = "name", queryType = "exact", targetField = "preferred_name", parameters = {},
        priority = 10 },
    },
    warmLayerQueries = {
      { queryId = "preferences", embeddingStrategy = "hybrid", topK = 5, minSimilarity = 0.3,
        queryPrompt = "how they like to be written to, and what annoys them in messages",
        filters = { category = "communication" } },
    },
  },
  output_template = {
    sections = {
      { sectionName = "writingBrief", dataSource = { "name", "preferences" }, maxTokens = 200,
        required = false, detail = "balanced",
        prompt = "Write by {{communication.preferred_medium|whatever is usual}}, in a tone that is "
          .. "{{communication.style|friendly and plain}}. Their messages have about "
          .. "{{communication.words_per_message|an unknown number of}} words." },
    },
    formatting = { format = "text", language = "en" },
  },

  templates = {
    medium = "Reach them by {{communication.preferred_medium}}",
    briefly = "They write about {{communication.words_per_message}} words a message: answer as briefly",
  },

  rules = {
    pk.rule {
      id = "medium", level = "core", section = "hints",
      when = pk.trait("communication.preferred_medium"):exists(),
      template = "medium",
    },
    pk.rule {
      id = "to-the-point", level = "core", section = "hints",
      when = pk.trait("communication.style"):is("direct"),
      suggest = "Come to the point in the first sentence", priority = "high",
    },
    pk.rule {
      id = "personal-opening", level = "core", section = "hints",
      when = pk.any {
        pk.trait("communication.style"):in_ { "warm", "friendly" },
        pk.trait("communication.greeting_share"):gte(0.3),
      },
      suggest = "Open with a greeting; they do",
    },
    pk.rule {
      id = "formal", level = "core", section = "hints",
      when = pk.any {
        pk.trait("communication.style"):is("formal"),
        pk.trait("communication.formality"):is("formal"),
      },
      suggest = "Use full sentences and titles, and no emoji", priority = "high",
    },
    pk.rule {
      id = "facts-first", level = "core", section = "hints",
      when = pk.trait("communication.style"):is("analytical"),
      suggest = "Give figures and sources before conclusions",
    },
    pk.rule {
      id = "short-messages", detail = "balanced",
      when = pk.trait("communication.words_per_message"):between(1, 8),
      template = "briefly",
    },
    pk.rule {
      id = "long-messages", detail = "balanced",
      when = pk.trait("communication.words_per_message"):gte(40),
      suggest = "They write at length: give context and reasons",
    },
    pk.rule {
      id = "plain-words", detail = "balanced",
      when = pk.trait("communication.words_per_sentence"):lt(12),
      suggest = "Use short sentences and plain words",
    },
    pk.rule {
      id = "no-emoji", detail = "balanced",
      when = pk.all {
        pk.trait("communication.emoji_share"):lt(0.02),
        pk.trait("communication.style"):not_in { "formal" },
      },
      suggest = "Leave emoji out; they use none", priority = "low",
    },
    pk.rule {
      id = "slow-replies", detail = "balanced",
      when = pk.trait("communication.reply_minutes"):gt(240),
      suggest = "Do not wait for an answer the same day", priority = "low",
    },
    pk.rule {
      id = "rather-written", detail = "deep_dive",
      when = pk.all {
        pk.trait("personality.big_five.extraversion"):lt(0.35):confident(0.5),
        pk.trait("communication.preferred_medium"):missing(),
      },
      suggest = "Prefer writing to calling, and ask whether that is right", priority = "low",
    },
    pk.rule {
      id = "stressed",
      when = pk.trait("mood.stress"):gt(0.7):changed_within("2d"),
      suggest = "Be brief and kind; they have a lot on their mind", priority = "high",
    },
    pk.rule {
      id = "ask-once",
      when = pk.all {
        pk.trait("communication.style"):missing(),
        pk.trait("communication.words_per_message"):missing(),
      },
      suggest = "Nothing is known of how they like to be written to; ask them once",
    },
  },

  core = {
    communicationStyle = function(m)
      return {
        preferredMediums = mediums_of(m),
        formalityLevel = (formality_of(m)),
        responsePatterns = patterns_of(m),
        languageComplexity = (complexity_of(m)),
      }
    end,
    tone = function(m)
      local style = m["communication.style"]
      local tone = TONE[style or ""]
      return style and { style = style, greeting = tone and tone.greeting,
        length = tone and tone.length, opening = tone and tone.opening }
    end,
    address = function(m)
      local name = m.facts.preferred_name
      return name and { name = name }
    end,
    assumed = pk.section { detail = "balanced", from = assumed },
  },

  overlay = {
    mood = function(m)
      local mood, stress = m.now.mood, m.now.stress
      return (mood or stress) ~= nil and { mood = mood, stress = stress } or nil
    end,
    inTheirWords = pk.section {
      detail = "balanced",
      from = function(m)
        local words = pk.list {}
        for _, each in ipairs(m.found.preferences) do
          words[#words + 1] = pk.field(each, "content", "text")
        end
        return #words > 0 and words or nil
      end,
    },
  },

  examples = {
    { name = "direct, by mail",
      given = { ["communication.style"] = "direct", ["communication.preferred_medium"] = "mail",
        ["communication.emoji_share"] = 0 },
      facts = { preferred_name = "Ada" }, now = { mood = "focused" },
      found = { preferences = { { content = "Hates voice messages" }, { other = 1 } } },
      expect = {
        fired = { "medium", "to-the-point", "no-emoji" },
        core = {
          communicationStyle = { preferredMediums = { "mail" }, formalityLevel = "professional",
            responsePatterns = {}, languageComplexity = "moderate" },
          tone = { style = "direct", greeting = "none", length = "short", opening = "the point" },
          address = { name = "Ada" },
          assumed = { "communicationStyle.languageComplexity" },
          hints = { { ruleId = "medium", text = "Reach them by mail" },
            { ruleId = "to-the-point", priority = "high" } },
        },
        overlay = {
          mood = { mood = "focused" }, inTheirWords = { "Hates voice messages" },
          suggestions = { { ruleId = "no-emoji" } },
        },
        missing = {}, warnings = {},
      } },
    { name = "warm, stressed since yesterday",
      given = { ["communication.style"] = "warm", ["mood.stress"] = { value = 0.9, age = "1d" } },
      expect = { fired = { "personal-opening", "stressed" },
        core = { communicationStyle = { formalityLevel = "casual" } } } },
    { name = "the stress was last week",
      given = { ["communication.style"] = "warm", ["mood.stress"] = { value = 0.9, age = "5d" } },
      expect = { fired = { "personal-opening" } } },
    { name = "formal by what they said",
      given = { ["communication.style"] = "formal", ["communication.formality"] = "formal",
        ["communication.emoji_share"] = 0, ["communication.complexity"] = "complex" },
      expect = { fired = { "formal" }, core = { communicationStyle = {
        formalityLevel = "formal", languageComplexity = "complex" } } } },
    { name = "a style that has no tone of its own",
      given = { ["communication.style"] = "laconic", ["communication.formality"] = "professional" },
      expect = { fired = {}, core = { tone = { style = "laconic" },
        assumed = { "communicationStyle.languageComplexity" } } } },
    { name = "analytical, rather by letter",
      given = { ["communication.style"] = "analytical",
        ["personality.big_five.extraversion"] = 0.2 },
      expect = { fired = { "facts-first", "rather-written" } } },
    { name = "only measured: short and casual",
      given = { ["communication.words_per_message"] = 6, ["communication.greeting_share"] = 0.4,
        ["communication.emoji_share"] = 0.3, ["communication.question_share"] = 0.5,
        ["communication.reply_minutes"] = 300, ["communication.words_per_sentence"] = 9,
        ["communication.mediums"] = { slack = 40, mail = 12, fax = 1 } },
      expect = {
        fired = { "personal-opening", "short-messages", "plain-words", "slow-replies" },
        core = { communicationStyle = {
          preferredMediums = { "slack", "mail" }, formalityLevel = "casual",
          responsePatterns = { "writes about 6 words a message", "asks back often",
            "answers within about 300 minutes" },
          languageComplexity = "simple",
        } },
        overlay = { suggestions = { { ruleId = "short-messages",
          text = "They write about 6 words a message: answer as briefly" },
          { ruleId = "plain-words" }, { ruleId = "slow-replies" } } },
        missing = { "communication.style" },
      } },
    { name = "at length, and at a glance only the core says so", detail = "instant",
      given = { ["communication.words_per_message"] = 80, ["communication.words_per_sentence"] = 30 },
      expect = { fired = {}, core = { communicationStyle = { languageComplexity = "complex",
        responsePatterns = { "writes about 80 words a message" } } } } },
    { name = "at length", detail = "balanced",
      given = { ["communication.words_per_message"] = 80 },
      expect = { fired = { "long-messages" } } },
    { name = "several mediums are preferred",
      given = { ["communication.style"] = "direct",
        ["communication.preferred_medium"] = { "chat", "mail" },
        ["communication.mediums"] = { chat = 3, phone = 3 } },
      expect = { fired = { "medium", "to-the-point" }, core = {
        communicationStyle = { preferredMediums = { "chat", "mail", "phone" } },
        hints = { { ruleId = "medium", text = "Reach them by chat, mail" },
          { ruleId = "to-the-point" } } } } },
    { name = "nothing known",
      given = {},
      expect = { fired = { "ask-once" }, missing = { "communication.style" }, core = {
        communicationStyle = { preferredMediums = {}, formalityLevel = "professional",
          responsePatterns = {}, languageComplexity = "moderate" },
        assumed = { "communicationStyle.formalityLevel",
          "communicationStyle.languageComplexity" } } } },
  },
}
