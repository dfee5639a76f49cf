-- document.lua - What documents say: what they are about, and what their author knows and how they write.
--
-- content.structured: title, is_author (true: the person wrote it), topics,
-- skills = { { name, level, years } } (of a CV), summary, text; content.raw is
-- the text otherwise. sourceMetadata.documentType: "cv", "design_doc" ...
--
-- That a document was about something does not make its reader an expert: topics
-- become nodes of the graph. Skills are taken from what the person wrote of
-- themselves, as their own claim. The text itself is kept to be found by meaning.
--
-- SPDX-License-Identifier: MIT
local pk = require "personakit"

local TEXT_MAX = 4000   -- bytes that are kept of the text
local WORDS_ENOUGH = 100
local ITEMS_MAX = 50
local LEVEL = pk.const { beginner = "beginner", intermediate = "intermediate",
  advanced = "advanced", expert = "expert", novice = "beginner", basic = "beginner",
  proficient = "advanced", senior = "advanced" }

-- "C++ & Rust" as a segment of a path: "c_rust"; nil when no letter is left.
local function segment_of(name)
  local segment = name:lower():gsub("%+", "p"):gsub("#", "sharp"):gsub("[^%w]+", "_")
    :gsub("^_+", ""):gsub("_+$", "")
  return segment ~= "" and segment:sub(1, 60) or nil
end

local function texts_of(list)
  local texts = {}
  for _, each in ipairs(list or {}) do
    if pk.field(each, "", "text") and #texts < ITEMS_MAX then
      texts[#texts + 1] = pk.cut(each, 200)
    end
  end
  return texts
end

local function say_topics(t, title, topics, is_author)
  if not title or #topics == 0 then
    return
  end
  local node = t:node(title, { type = "entity" })
  for _, topic in ipairs(topics) do
    t:edge(node, t:node(topic, { type = "concept" }), "about", { strength = 0.5 })
  end
  if is_author then
    t:edge(t:node("self", { type = "entity" }), node, "wrote", { strength = 0.8 })
  end
end

local function say_skills(t, list)
  for i = 1, math.min(#list, ITEMS_MAX) do
    local skill = list[i]
    local name = pk.field(skill, "", "text") or pk.field(skill, "name", "text")
    local segment = name and segment_of(name)
    if segment then
      local level, years = pk.field(skill, "level", "text"), pk.field(skill, "years", "number")
      t:set("knowledge.skills." .. segment, {
        name = pk.cut(name, 200),
        level = level and LEVEL[level:lower()] or nil,
        years = years and years >= 0 and years <= 80 and years or nil,
      }, { weight = 0.5, confidence = 0.6, volatility = "low", category = "knowledge" })
    end
  end
end

-- Words in a sentence, of a text that is long enough to tell.
local function say_writing(t, text)
  local _, words = text:gsub("%S+", "")
  local _, sentences = text:gsub("[.!?]+%f[%s%z]", "")
  if words >= WORDS_ENOUGH and sentences > 0 then
    t:reinforce("communication.words_per_sentence", math.floor(words / sentences * 10 + 0.5) / 10,
      { weight = math.min(0.4, words / 2500), volatility = "low" })
  end
end

return pk.processor {
  id = "document", version = "1.0.0",
  name = "Documents",
  purpose = "Keep what documents are about; learn skills and writing from those the person wrote.",
  accepts = { "document" },

  process = function(obs, _, t)
    local document = pk.field(obs, "content.structured", "object") or {}
    local is_author = document.is_author == true
    local title = pk.field(document, "title", "text")
    title = title and pk.cut(title, 200)
    local topics = texts_of(pk.field(document, "topics", "list"))
    local text = pk.field(document, "text", "text")
      or next(document) == nil and pk.field(obs, "content.raw", "text") or nil
    say_topics(t, title, topics, is_author)
    if is_author then
      say_skills(t, pk.field(document, "skills", "list") or {})
      say_writing(t, text or "")
    end
    local content = pk.field(document, "summary", "text") or text
    if content then
      t:learn(pk.cut(content, TEXT_MAX), { type = "knowledge", subcategory = title,
        category = pk.field(obs, "sourceMetadata.documentType", "text") or "document",
        importance = is_author and 0.5 or 0.3, tags = #topics > 0 and topics or nil })
    end
  end,

  examples = {
    { name = "a design document that the person wrote",
      observation = { sourceMetadata = { documentType = "design_doc" }, content = { structured = {
        title = "Outbox", is_author = true, topics = { "queues", "delivery" },
        summary = "Deliver at least once." } } },
      expect = { operations = {
        { op = "node", label = "Outbox", nodeType = "entity" },
        { op = "node", label = "queues", nodeType = "concept" },
        { op = "edge", source = "Outbox", target = "queues", edgeType = "about" },
        { op = "node", label = "delivery" }, { op = "edge", target = "delivery" },
        { op = "node", label = "self" }, { op = "edge", source = "self", target = "Outbox",
          edgeType = "wrote" },
        { op = "learn", content = "Deliver at least once.", contentType = "knowledge",
          category = "design_doc", subcategory = "Outbox", importance = 0.5,
          tags = { "queues", "delivery" } },
      } } },
    { name = "a CV: skills as claimed",
      observation = { sourceMetadata = { documentType = "cv" }, content = { structured = {
        is_author = true, skills = { { name = "C++", level = "Senior", years = 12 }, "Lua",
          { name = "Go", level = "guru", years = -1 }, { level = "expert" }, "…" } } } },
      expect = { operations = {
        { op = "set", path = "knowledge.skills.cpp", confidence = 0.6,
          value = { name = "C++", level = "advanced", years = 12 } },
        { op = "set", path = "knowledge.skills.lua", value = { name = "Lua" } },
        { op = "set", path = "knowledge.skills.go", value = { name = "Go" } },
      } } },
    { name = "how long sentences are",
      observation = { content = { structured = { is_author = true,
        text = ("One two three four five six seven eight nine ten. "):rep(10) } } },
      expect = { operations = {
        { op = "reinforce", path = "communication.words_per_sentence", value = 10, weight = 0.04 },
        { op = "learn", category = "document" } } } },
    { name = "what somebody else wrote says nothing of how the person writes",
      observation = { content = { structured = { title = "Manual", topics = { "pumps" },
        skills = { "Lua" }, text = ("Read this first. "):rep(100) } } },
      expect = { operations = { { op = "node" }, { op = "node" }, { op = "edge" },
        { op = "learn", importance = 0.3 } } } },
    { name = "only raw text", observation = { content = { raw = "Minutes of the meeting" } },
      expect = { operations = { { op = "learn", content = "Minutes of the meeting" } } } },
    { name = "fields of other types", observation = { content = { structured = { title = 5,
        is_author = "yes", topics = { {} }, skills = "all", text = false } } },
      expect = { operations = {} } },
  },
}
