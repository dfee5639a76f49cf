-- mindscape_spec.lua - What is known of a person: read, as of then, corrected, pinned, decided, made anew.
--
-- Run by ../domain.sh, on each engine.
--
-- SPDX-License-Identifier: MIT
local api = dofile((debug.getinfo(1, "S").source:match("^@(.*/)") or "./") .. "client.lua")

-- A processor as an author would write it: what disagrees with the team's word waits for somebody.
local TEAM = [[
local pk = require "personakit"
return pk.processor {
  id = "team-note", version = "%s", accepts = { "team_note" },
  limits = { soft_ms = 1000, hard_ms = 5000 },
  process = function(obs, m, t)
    local role = pk.field(obs, "content.structured.role", "text")
    if role and m:has("team.role") then
      t:contradict("team.role", role)
    elseif role then
      t:set("team.role", %s)
    end
  end,
}]]

local function traits_of(mindscape)
  local traits = {}
  for _, trait in ipairs(mindscape.traitMatrix) do
    traits[trait.traitName] = trait
  end
  return traits
end

local function path_of(person, rest)
  return "/v1/people/" .. person .. "/" .. rest
end

local function correct(person, etag, body)
  return api.patch(path_of(person, "mindscape?wait=processed"),
    { body = body, head = { ["If-Match"] = etag } })
end

setup(function()
  api.serve_shipped("processor", "user-input", "plugins/processors/user_input.lua")
  api.serve("processor", "team-note", TEAM:format("1.0.0", "role"))
end)

describe("reading a mindscape", function()
  it("shows traits with what they rest on, goals, and what is true just now", function()
    local person = api.new_person()
    local sent = api.observe(person, { traits = { ["work.chronotype"] = "morning" },
      goals = { "learn Spanish" }, mood = "focused" })
    local read = api.get(path_of(person, "mindscape"))
    assert.are.equal(200, read.status)
    assert.are.equal('"1"', read.head.etag)
    assert.are.equal(1, read.body.version)
    local trait = traits_of(read.body)["work.chronotype"]
    assert.are.equal("morning", trait.value)
    assert.are.equal("work", trait.category)
    assert.are.same({ sent.body.observationId }, trait.derivedFrom)
    assert.are.equal("learn Spanish", read.body.goals[1].description)
    assert.are.equal("focused", read.body.highVolatileCache.mood)
  end)

  it("needs no body when nothing has changed", function()
    local person = api.new_person()
    api.observe(person, { traits = { ["work.chronotype"] = "morning" } })
    local etag = api.get(path_of(person, "mindscape")).head.etag
    local again = api.get(path_of(person, "mindscape"), { head = { ["If-None-Match"] = etag } })
    assert.are.equal(304, again.status)
    assert.are.equal("", again.raw)
    api.observe(person, { traits = { ["work.chronotype"] = "evening" } })
    assert.are.equal(200,
      api.get(path_of(person, "mindscape"), { head = { ["If-None-Match"] = etag } }).status)
  end)

  it("gives a tree to who wants one", function()
    local person = api.new_person()
    api.observe(person, { traits = { ["work.focus.peak"] = 9, ["work.chronotype"] = "morning" } })
    assert.are.same({ work = { chronotype = "morning", focus = { peak = 9 } } },
      api.get(path_of(person, "mindscape?shape=tree")).body.traits)
  end)

  it("goes back in time", function()
    local person = api.new_person()
    api.observe(person, { traits = { ["work.city"] = "Oslo" } }, { at = "2024-01-01T00:00:00Z" })
    api.observe(person, { traits = { ["work.city"] = "Rome" } }, { at = "2025-01-01T00:00:00Z" })
    local path = path_of(person, "mindscape?at=")
    local now = traits_of(api.get(path_of(person, "mindscape")).body)["work.city"]
    local then_ = api.get(path .. "2024-06-01T00:00:00Z")
    assert.are.equal("Oslo", traits_of(then_.body)["work.city"].value)
    assert.is_nil(then_.head.etag)
    assert.are.same({}, api.get(path .. "2023-06-01T00:00:00Z").body.traitMatrix)
    assert.are.equal("2025-01-01T00:00:00.000Z", now.updatedAt)
  end)

  it("goes back in time with goals, beliefs and what was true just then", function()
    local person = api.new_person()
    local function ago(minutes)
      return os.date("!%Y-%m-%dT%H:%M:%SZ", os.time() - minutes * 60)
    end
    local function as_of(minutes, more)
      return api.get(path_of(person, "mindscape?at=" .. ago(minutes) .. (more or "")))
    end
    local function say(minutes, mood, goals)
      assert.are.equal(201, api.observe(person, { mood = mood, goals = goals }, { at = ago(minutes) }).status)
    end
    say(120, "calm", { "learn Spanish" })
    say(60, "angry", { "learn Spanish", "sleep more" })
    local now, then_ = api.get(path_of(person, "mindscape")).body, as_of(90).body
    assert.are.equal(2, #now.goals)
    assert.are.equal(1, #then_.goals)
    assert.are.equal(1, #then_.goals[1].derivedFrom)
    assert.are.equal("calm", then_.highVolatileCache.mood)
    assert.are.equal("angry", as_of(30).body.highVolatileCache.mood)
    assert.are.same({}, as_of(150).body.goals)
    assert.is_nil(as_of(150).body.highVolatileCache.mood)
  end)

  it("goes back in time with facts, and who told them", function()
    local person = api.new_person()
    local function ago(minutes)
      return os.date("!%Y-%m-%dT%H:%M:%SZ", os.time() - minutes * 60)
    end
    local function tell(minutes, role)
      return api.observe(person, { facts = { role = role } }, { at = ago(minutes) }).body.observationId
    end
    local function layers(minutes)
      local then_ = api.get(path_of(person, "mindscape?include=knowledge,embedding&at=" .. ago(minutes)))
      assert.are.equal(200, then_.status)
      return then_.body.knowledgeStore
    end
    local first, second = tell(120, "clerk"), tell(60, "lead")
    assert.are.same({}, layers(150).hotLayer)
    assert.are.equal("clerk", layers(90).hotLayer[1].value)
    assert.are.same({ first }, layers(90).hotLayer[1].derivedFrom)
    assert.are.equal("lead", layers(30).hotLayer[1].value)
    assert.are.same({ second }, layers(30).hotLayer[1].derivedFrom)
    assert.are.same({}, layers(30).warmLayer)
  end)

  it("is less sure of what it has not heard of for long", function()
    local person = api.new_person()
    api.observe(person, { traits = { ["work.city"] = "Oslo" } }, { at = "2024-01-01T00:00:00Z" })
    local trait = api.get(path_of(person, "traits/work.city")).body
    assert.is_true(trait.confidence < trait.storedConfidence)
    assert.is_true(trait.halfLifeMs > 0)
    assert.are.equal(0, #api.get(path_of(person, "traits?min_confidence=0.95")).body.items)
  end)

  it("lists traits page by page, and refuses a cursor that it never gave", function()
    local person = api.new_person()
    api.observe(person, { traits = { ["a.x"] = 1, ["a.y"] = 2, ["b.z"] = 3 } })
    local names, cursor = {}, ""
    repeat
      local page = api.get(path_of(person, "traits?limit=1" .. cursor))
      assert.are.equal(200, page.status)
      names[#names + 1] = page.body.items[1].traitName
      cursor = page.body.next ~= api.null and "&cursor=" .. page.body.next or nil
      assert.is_truthy(not cursor or cursor:find("^&cursor=[A-Za-z0-9_-]+$"))
    until not cursor
    assert.are.same({ "a.x", "a.y", "b.z" }, names)
    assert.are.equal(2, #api.get(path_of(person, "traits?prefix=a")).body.items)
    local wrong = api.get(path_of(person, "traits?cursor=zz"))
    assert.are.equal(400, wrong.status)
    assert.are.equal("cursor", wrong.body.field)
  end)

  it("shows what a write has done to who names its cursor", function()
    local person = api.new_person()
    for i = 1, 3 do
      local sent = api.post("/v1/observations", { body = { personId = person,
        sourceType = "user_input", sourceMetadata = { source = "mail" },
        content = { structured = { traits = { ["work.count"] = i } } } } })
      local cursor = sent.head["personakit-cursor"]
      local read = api.get(path_of(person, "mindscape?wait=processed&after=" .. cursor))
      assert.are.equal(200, read.status)
      assert.are.equal(i, read.body.version)
    end
  end)

  it("is not there for a person whom nobody has told of", function()
    local read = api.get(path_of(api.new_person(), "mindscape"))
    assert.are.equal(404, read.status)
    assert.are.equal("not_found", read.body.code)
  end)
end)

describe("correcting a mindscape", function()
  it("outranks what processors say, before and after", function()
    local person = api.new_person()
    api.observe(person, { traits = { ["work.city"] = "Oslo" } })
    local done = correct(person, '"1"', { traits = { { id = "work.city", value = "Rome" } } })
    assert.are.equal(200, done.status)
    assert.are.equal("true", done.head["personakit-processed"])
    local made = api.get("/v1/observations/" .. done.body.observationId).body
    assert.are.equal("curation", made.sourceType)
    api.observe(person, { traits = { ["work.city"] = "Oslo" } })
    local trait = api.get(path_of(person, "traits/work.city")).body
    assert.are.equal("Rome", trait.value)
    assert.are.equal("curation", trait.sourceType)
  end)

  it("is refused when the mindscape is another one by now", function()
    local person = api.new_person()
    api.observe(person, { traits = { ["work.city"] = "Oslo" } })
    api.observe(person, { traits = { ["work.team"] = "blue" } })
    local late = correct(person, '"1"', { traits = { { id = "work.city", value = "Rome" } } })
    assert.are.equal(412, late.status)
    assert.are.equal("precondition_failed", late.body.code)
    assert.are.equal("Oslo", api.get(path_of(person, "traits/work.city")).body.value)
    assert.are.equal(2, api.get(path_of(person, "mindscape")).body.version)
    -- Of two who have read the same, one is told that the other was there.
    local first = correct(person, '"2"', { traits = { { id = "work.city", value = "Rome" } } })
    local second = correct(person, '"2"', { traits = { { id = "work.city", value = "Bern" } } })
    assert.are.equal(200, first.status)
    assert.are.equal(412, second.status)
    assert.are.equal("Rome", api.get(path_of(person, "traits/work.city")).body.value)
  end)

  it("forgets a trait, whose history stays", function()
    local person = api.new_person()
    api.observe(person, { traits = { ["work.city"] = "Oslo" } })
    correct(person, '"1"', { traits = { { id = "work.city", value = api.null } } })
    local trait = api.get(path_of(person, "traits/work.city"))
    assert.are.equal(200, trait.status)
    assert.is_false(trait.body.isHeld)
    assert.are.equal(2, #trait.body.history.items)
    assert.are.equal("Oslo", trait.body.history.items[1].before.value)
    assert.is_nil(trait.body.history.items[1].after)
  end)

  it("pins a trait, which does not decay then, and lets go of it", function()
    local person = api.new_person()
    api.observe(person, { traits = { ["work.city"] = "Oslo" } }, { at = "2024-01-01T00:00:00Z" })
    local before = api.get(path_of(person, "traits/work.city")).body
    assert.are.equal(200, api.post(path_of(person, "traits/work.city/pin?wait=processed")).status)
    local pinned = api.get(path_of(person, "traits/work.city")).body
    assert.is_true(pinned.pinned)
    assert.is_true(pinned.confidence > before.confidence)
    assert.are.equal(200, api.post(path_of(person, "traits/work.city/unpin?wait=processed")).status)
    assert.is_falsy(api.get(path_of(person, "traits/work.city")).body.pinned)
    assert.are.equal(404, api.post(path_of(person, "traits/work.moon/pin")).status)
  end)

  it("keeps each change of a trait, the newest first", function()
    local person = api.new_person()
    for day, city in ipairs { "Oslo", "Rome", "Bern" } do
      api.observe(person, { traits = { ["work.city"] = city } }, { at = "2024-01-0" .. day .. "T00:00:00Z" })
    end
    local history = api.get(path_of(person, "traits/work.city?history_limit=2")).body.history
    assert.are.equal(2, #history.items)
    assert.are.equal(3, history.items[1].seq)
    assert.are.equal("user-input", history.items[1].processorId)
    local older = api.get(path_of(person, "traits/work.city?history_limit=2&history_cursor=" ..
      history.next)).body.history
    assert.are.equal(1, #older.items)
    assert.are.equal("Oslo", older.items[1].after.value)
    assert.are.equal(api.null, older.next)
  end)
end)

describe("what waits for a person's word", function()
  local function disputed()
    local person = api.new_person()
    api.observe(person, { role = "lead" }, { type = "team_note" })
    api.observe(person, { role = "boss" }, { type = "team_note" })
    local reviews = api.get(path_of(person, "reviews")).body.items
    assert.are.equal(1, #reviews)
    return person, path_of(person, "reviews/" .. reviews[1].reviewId .. "/"), reviews[1]
  end

  local function role_of(person)
    return api.get(path_of(person, "traits/team.role")).body.value
  end

  it("is done when it is approved, and undone when that is taken back", function()
    local person, path, review = disputed()
    assert.are.equal("team.role", review.traitPath)
    assert.are.equal("lead", role_of(person))
    assert.are.equal(200, api.post(path .. "approve?wait=processed").status)
    assert.are.equal("boss", role_of(person))
    assert.are.equal(200, api.post(path .. "undo?wait=processed").status)
    assert.are.equal("lead", role_of(person))
  end)

  it("is left when it is declined, and not asked again", function()
    local person, path = disputed()
    assert.are.equal(200, api.post(path .. "decline?wait=processed").status)
    assert.are.equal("lead", role_of(person))
    assert.are.equal(409, api.post(path .. "approve").status)
    assert.are.equal(0, #api.get(path_of(person, "reviews?status=pending")).body.items)
  end)
end)

describe("making a mindscape anew", function()
  it("gives the same, when nothing else was said", function()
    local person = api.new_person()
    api.observe(person, { traits = { ["work.city"] = "Oslo" }, goals = { "sleep" } })
    correct(person, '"1"', { traits = { { id = "work.city", value = "Rome" } } })
    local before = api.get(path_of(person, "mindscape"))
    local dry = api.post(path_of(person, "replay"), { body = { dryRun = true } })
    assert.are.equal(200, dry.status)
    assert.is_true(dry.body.isSame)
    assert.are.equal(2, dry.body.observations)
    assert.are.equal(before.raw, api.get(path_of(person, "mindscape")).raw)
  end)

  it("says what another version would change, and changes it when asked to", function()
    local person = api.new_person()
    api.observe(person, { role = "lead" }, { type = "team_note" })
    local path = "/v1/processors/team-note"
    assert.are.equal(200, api.put(path,
      { body = TEAM:format("2.0.0", "role:upper()"), type = "text/x-lua" }).status)
    local dry = api.post(path_of(person, "replay"),
      { body = { dryRun = true, processor = "team-note", version = "2.0.0" } })
    assert.are.equal(200, dry.status)
    assert.is_false(dry.body.isSame)
    assert.is_truthy(dry.raw:find("LEAD", 1, true))
    assert.are.equal("lead", api.get(path_of(person, "traits/team.role")).body.value)
    local done = api.post(path_of(person, "replay?wait=processed"),
      { body = { processor = "team-note", version = "2.0.0" } })
    assert.are.equal("true", done.head["personakit-processed"])
    assert.are.equal("LEAD", api.get(path_of(person, "traits/team.role")).body.value)
  end)

  it("forgets an observation and what rested on it", function()
    local person = api.new_person()
    api.observe(person, { traits = { ["work.city"] = "Oslo" } })
    local second = api.observe(person, { traits = { ["work.team"] = "blue" } })
    local gone = api.delete("/v1/observations/" .. second.body.observationId .. "?wait=processed")
    assert.are.equal("true", gone.head["personakit-processed"])
    assert.are.equal(404, api.get("/v1/observations/" .. second.body.observationId).status)
    assert.are.same({ work = { city = "Oslo" } },
      api.get(path_of(person, "mindscape?shape=tree")).body.traits)
    assert.are.equal(404, api.get(path_of(person, "traits/work.team")).status)
  end)
end)
