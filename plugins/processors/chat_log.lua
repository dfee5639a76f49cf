-- chat_log.lua - How a person writes in chats: measured, and only their own messages.
--
-- content.structured: self (the person's name as in the messages), messages =
-- { { from, text, at }, ... }, topics. When nobody says which messages are the
-- person's, nothing is learned.
--
-- Only what can be counted is said: words in a message, how many have a greeting,
-- a question, an emoji; how soon an answer comes. What style that is, is for
-- mappers to say. Few messages are weak evidence, so the weight grows with them.
--
-- SPDX-License-Identifier: MIT
local pk = require "personakit"

local MESSAGES_ENOUGH = 5
local MESSAGES_MAX = 5000
local WEIGHT_EACH, WEIGHT_MAX = 0.02, 0.5
local REPLY_HOURS_MAX = 12 -- what comes later is no answer but a new start
local TOPICS_MAX = 10
local GREETINGS = pk.const { hi = true, hello = true, hey = true, dear = true, morning = true,
  good = true, hallo = true, moin = true, hola = true, bonjour = true, ciao = true }

-- A rough look: the blocks of emoji begin with these bytes in UTF-8, and ":)" has been one for longer.
local function has_emoji(text)
  return text:find("\240\159[\140-\171]") ~= nil or text:find("[:;]%-?[%)%(DP]") ~= nil
end

local function median(list)
  table.sort(list)
  local middle = math.floor(#list / 2)
  return #list % 2 == 1 and list[middle + 1] or (list[middle] + list[middle + 1]) / 2
end

local function count_words(text)
  local _, count = text:gsub("%S+", "")
  return count
end

-- What is counted over the messages of the person.
local function measure(messages, self)
  local seen = { words = {}, replies = {}, greetings = 0, questions = 0, emoji = 0 }
  local before_from, before_at
  for i = 1, math.min(#messages, MESSAGES_MAX) do
    local each = messages[i]
    local from, text = pk.field(each, "from", "text"), pk.field(each, "text", "text")
    local at = pk.field(each, "at", "instant")
    if from == self and text then
      seen.words[#seen.words + 1] = count_words(text)
      local first = text:match("^%s*(%a+)")
      seen.greetings = seen.greetings + (first and GREETINGS[first:lower()] and 1 or 0)
      seen.questions = seen.questions + (text:find("?", 1, true) and 1 or 0)
      seen.emoji = seen.emoji + (has_emoji(text) and 1 or 0)
      local waited = before_from ~= self and at and before_at and at - before_at
      if waited and waited >= 0 and waited <= REPLY_HOURS_MAX * 3600000 then
        seen.replies[#seen.replies + 1] = waited / 60000
      end
    end
    before_from, before_at = from, at
  end
  return seen
end

local function share(count, all)
  return math.floor(count / all * 100 + 0.5) / 100
end

local function say_style(t, seen)
  local n = #seen.words
  local options = { weight = math.min(WEIGHT_MAX, n * WEIGHT_EACH), volatility = "medium" }
  t:reinforce("communication.words_per_message", median(seen.words), options)
  t:reinforce("communication.greeting_share", share(seen.greetings, n), options)
  t:reinforce("communication.question_share", share(seen.questions, n), options)
  t:reinforce("communication.emoji_share", share(seen.emoji, n), options)
  if #seen.replies >= MESSAGES_ENOUGH then
    t:reinforce("communication.reply_minutes", math.floor(median(seen.replies) * 10 + 0.5) / 10,
      { weight = options.weight, volatility = "high" })
  end
end

-- Where the person writes how much; which of them they like best they have not said.
local function count_medium(t, m, medium, n)
  local counted = {}
  for name, count in pairs(pk.field(m["communication.mediums"], "", "object") or {}) do
    counted[name] = type(count) == "number" and count or nil
  end
  counted[medium] = (counted[medium] or 0) + n
  t:set("communication.mediums", counted, { weight = 0.5, volatility = "medium" })
end

local function topics_of(chat)
  local topics = {}
  for _, each in ipairs(pk.field(chat, "topics", "list") or {}) do
    if pk.field(each, "", "text") and #topics < TOPICS_MAX then
      topics[#topics + 1] = pk.cut(each, 200)
    end
  end
  return topics
end

return pk.processor {
  id = "chat-log", version = "1.0.0",
  name = "Chat logs",
  purpose = "Measure how a person writes: length, greetings, questions, emoji, time to answer.",
  accepts = { "chat_log" },

  process = function(obs, m, t)
    local chat = pk.field(obs, "content.structured", "object") or {}
    local self, messages = pk.field(chat, "self", "text"), pk.field(chat, "messages", "list")
    if self and messages then
      local seen = measure(messages, self)
      if #seen.words >= MESSAGES_ENOUGH then
        say_style(t, seen)
      end
      local medium = pk.field(obs, "sourceMetadata.source", "text")
      if medium and #seen.words > 0 then
        count_medium(t, m, pk.cut(medium:lower(), 100), #seen.words)
      end
    end
    local topics = topics_of(chat)
    if #topics > 0 then
      t:now("recent_topics", topics, { ttl = "2d" })
    end
  end,

  examples = {
    { name = "a person of few words",
      given = { ["communication.mediums"] = { mail = 2 } },
      observation = { sourceMetadata = { source = "Slack" }, content = { structured = {
        self = "ada", topics = { "release", 5 },
        messages = {
          { from = "bob", text = "Can you look at this?", at = "2026-01-15T10:00:00Z" },
          { from = "ada", text = "Hi, yes", at = "2026-01-15T10:02:00Z" },
          { from = "ada", text = "Done :)", at = "2026-01-15T10:10:00Z" },
          { from = "bob", text = "Thank you!", at = "2026-01-15T10:11:00Z" },
          { from = "ada", text = "Merged?" },
          { from = "ada", text = "ok" },
          { from = "ada", text = "leaving for today now" },
        } } } },
      expect = { operations = {
        { op = "reinforce", path = "communication.words_per_message", value = 2, weight = 0.1 },
        { op = "reinforce", path = "communication.greeting_share", value = 0.2 },
        { op = "reinforce", path = "communication.question_share", value = 0.2 },
        { op = "reinforce", path = "communication.emoji_share", value = 0.2 },
        { op = "set", path = "communication.mediums", value = { mail = 2, slack = 5 } },
        { op = "now", key = "recent_topics", value = { "release" }, ttl = 172800 },
      } } },
    { name = "how soon answers come",
      observation = { content = { structured = { self = "ada", messages = {
        { from = "b", text = "1?", at = "2026-01-15T10:00:00Z" },
        { from = "ada", text = "one", at = "2026-01-15T10:01:00Z" },
        { from = "b", text = "2?", at = "2026-01-15T10:10:00Z" },
        { from = "ada", text = "two", at = "2026-01-15T10:12:00Z" },
        { from = "b", text = "3?", at = "2026-01-15T10:20:00Z" },
        { from = "ada", text = "three", at = "2026-01-15T10:23:00Z" },
        { from = "b", text = "4?", at = "2026-01-15T10:30:00Z" },
        { from = "ada", text = "four", at = "2026-01-15T10:34:00Z" },
        { from = "b", text = "5?", at = "2026-01-15T10:40:00Z" },
        { from = "ada", text = "five", at = "2026-01-15T10:45:00Z" },
        { from = "b", text = "6?", at = "2026-01-15T11:00:00Z" },
        { from = "ada", text = "six", at = "2026-01-17T11:00:00Z" },
      } } } },
      expect = { operations = { { value = 1, weight = 0.12 }, { value = 0 }, { value = 0 },
        { value = 0 },
        { op = "reinforce", path = "communication.reply_minutes", value = 3, volatility = "high" },
      } } },
    { name = "too few messages: only where it was",
      observation = { sourceMetadata = { source = "irc" }, content = { structured = {
        self = "ada", messages = { { from = "ada", text = "hello" } } } } },
      expect = { operations = { { op = "set", path = "communication.mediums",
        value = { irc = 1 } } } } },
    { name = "nobody says who is who",
      observation = { sourceMetadata = { source = "irc" }, content = { structured = {
        messages = { { from = "ada", text = "hello" } } } } },
      expect = { operations = {} } },
    { name = "fields of other types",
      observation = { sourceMetadata = { source = 5 }, content = { structured = { self = "ada",
        messages = { 1, "x", {}, { from = "ada" }, { from = "ada", text = 5 } }, topics = "x" } } },
      expect = { operations = {} } },
    { name = "only raw text", observation = { content = { raw = "ada: hello" } },
      expect = { operations = {} } },
  },
}
