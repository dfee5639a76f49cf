-- persona_spec.lua - Views of a person: made, cached, out of date, made again, explained and judged.
--
-- Run by ../domain.sh, on each engine.
--
-- SPDX-License-Identifier: MIT
local api = dofile((debug.getinfo(1, "S").source:match("^@(.*/)") or "./") .. "client.lua")

-- Reads two traits and the mood; nothing else may bring it to run again.
local GREETER = [[
local pk = require "personakit"
return pk.mapper {
  id = "greeter", version = "%s", ttl = "12h",
  limits = { soft_ms = 1000, hard_ms = 5000 },
  requires = { "communication.style" },
  rules = {
    pk.rule { id = "short", when = pk.trait("communication.style"):is("direct"),
      suggest = "%s in {{work.city|their town}}", priority = "high" },
    pk.rule { id = "long", when = pk.trait("communication.style"):is("warm"),
      suggest = "Take your time" },
  },
  core = function(m) return { tone = m["communication.style"] } end,
  overlay = function(m) return { mood = m.now.mood, called = m.facts.nickname } end,
}]]

local function person_with(structured)
  local person = api.new_person()
  assert(api.observe(person, structured).status == 201)
  return person
end

local function direct()
  return person_with { traits = { ["communication.style"] = "direct", ["work.city"] = "Oslo" },
    mood = "calm" }
end

local function map(person, more)
  local body = { mapperId = "greeter", personaId = person, detailLevel = "instant" }
  for name, value in pairs(more or {}) do
    body[name] = value
  end
  return api.post("/v1/personas/map", { body = body })
end

local function persona_path(person)
  return "/v1/personas/greeter:" .. person .. ":instant"
end

setup(function()
  api.serve_shipped("processor", "user-input", "plugins/processors/user_input.lua")
  api.serve_shipped("mapper", "daily-work-optimizer", "mappers/daily-work-optimizer.lua")
  api.serve("mapper", "greeter", GREETER:format("1.0.0", "Say hello"))
end)

describe("mapping a persona", function()
  it("gives core, overlay and what rules say", function()
    local person = direct()
    local made = map(person)
    assert.are.equal(200, made.status)
    local persona = made.body.persona
    assert.are.equal("regenerated", made.body.metadata.cacheStatus)
    assert.are.equal("greeter:" .. person .. ":instant", persona.compositeKey)
    assert.are.equal(person, persona.personId)
    assert.are.equal("1.0.0", persona.mapperVersion)
    assert.are.equal("direct", persona.personaCore.tone)
    assert.are.equal("calm", persona.contextualOverlay.mood)
    local said = persona.contextualOverlay.suggestions
    assert.are.equal(1, #said)
    assert.are.equal("Say hello in Oslo", said[1].text)
    assert.are.equal("short", said[1].ruleId)
    assert.is_false(persona.isStale)
  end)

  it("serves the cached one while it is fresh", function()
    local person = direct()
    local first, second = map(person).body, map(person).body
    assert.are.equal("fresh", second.metadata.cacheStatus)
    assert.are.equal(first.persona.personaInstanceId, second.persona.personaInstanceId)
  end)

  it("does not run again for what it has not read", function()
    local person = direct()
    local first = map(person).body.persona
    api.observe(person, { traits = { ["health.sleep"] = 7 }, goals = { "sleep more" } })
    local second = map(person).body
    assert.are.equal("fresh", second.metadata.cacheStatus)
    assert.are.equal(first.personaInstanceId, second.persona.personaInstanceId)
  end)

  it("runs again for what it has read, and only the half that read it", function()
    local person = direct()
    local first = map(person).body.persona
    api.observe(person, { mood = "angry" })
    local stale = api.get(persona_path(person))
    assert.is_true(stale.body.isStale)
    assert.are.equal("calm", stale.body.contextualOverlay.mood)
    local second = map(person).body
    assert.are.equal("regenerated", second.metadata.cacheStatus)
    assert.are.equal("angry", second.persona.contextualOverlay.mood)
    assert.are_not.equal(first.personaInstanceId, second.persona.personaInstanceId)
    assert.are.equal(first.personaCore.coreVersion, second.persona.personaCore.coreVersion)
    assert.are.equal(first.personaCore.generatedAt, second.persona.personaCore.generatedAt)
    assert.is_false(api.get(persona_path(person)).body.isStale)
  end)

  it("lives on when it was made again and is the same", function()
    local person = direct()
    local first = map(person).body.persona
    api.observe(person, { traits = { ["communication.style"] = "direct" } })
    assert.is_true(api.get(persona_path(person)).body.isStale)
    local second = map(person).body.persona
    assert.are.equal(first.personaInstanceId, second.personaInstanceId)
    assert.is_false(api.get(persona_path(person)).body.isStale)
  end)

  it("runs again when another version of the mapper serves", function()
    local person = direct()
    map(person)
    api.serve("mapper", "greeter", GREETER:format("1.1.0", "Wave"))
    local second = map(person).body
    assert.are.equal("1.1.0", second.persona.mapperVersion)
    assert.are.equal("Wave in Oslo", second.persona.contextualOverlay.suggestions[1].text)
  end)

  it("names the traits that it cannot do without", function()
    local refused = map(person_with { traits = { ["work.city"] = "Oslo" } })
    assert.are.equal(409, refused.status)
    assert.is_truthy(refused.raw:find("communication.style", 1, true))
  end)

  it("takes a shipped mapper by its name", function()
    local made = map(person_with { traits = { ["work.chronotype"] = "morning" } },
      { mapperId = "daily-work-optimizer", detailLevel = "balanced" })
    assert.are.equal(200, made.status)
    assert.are.equal("morning-deep-work", made.body.persona.contextualOverlay.suggestions[1].ruleId)
  end)

  it("refuses who is not there, and what serves nothing", function()
    assert.are.equal(404, map(api.new_person()).status)
    assert.are.equal(404, map(direct(), { mapperId = "nobody" }).status)
    local odd = map(direct(), { detailLevel = "huge" })
    assert.are.equal(400, odd.status)
    assert.are.equal("detailLevel", odd.body.field)
  end)
end)

describe("reading a cached persona", function()
  it("needs no body for who has it", function()
    local person = direct()
    local made = map(person).body.persona
    local read = api.get(persona_path(person))
    assert.are.equal(200, read.status)
    assert.are.equal('"' .. made.personaInstanceId .. '"', read.head.etag)
    assert.are.same(made.personaCore, read.body.personaCore)
    local again = api.get(persona_path(person), { head = { ["If-None-Match"] = read.head.etag } })
    assert.are.equal(304, again.status)
    assert.are.equal("", again.raw)
  end)

  it("shows a write to who names its cursor", function()
    local person = direct()
    map(person)
    local sent = api.observe(person, { mood = "angry" })
    local read = api.get(persona_path(person) .. "?after=" .. sent.head["personakit-cursor"])
    assert.is_true(read.body.isStale)
  end)

  it("finds it by its instance, and in the person's list", function()
    local person = direct()
    local made = map(person).body.persona
    assert.are.equal(made.compositeKey,
      api.get("/v1/personas/" .. made.personaInstanceId).body.compositeKey)
    local list = api.get("/v1/people/" .. person .. "/personas").body.items
    assert.are.equal(1, #list)
    assert.are.equal(made.personaInstanceId, list[1].personaInstanceId)
  end)

  it("makes none by being asked for", function()
    assert.are.equal(404, api.get(persona_path(direct())).status)
  end)
end)

describe("explaining a persona", function()
  it("says which rules fired and which not, on which traits and observations", function()
    local person = api.new_person()
    local sent = api.observe(person, { traits = { ["communication.style"] = "direct" } })
    map(person)
    local why = api.get(persona_path(person) .. "/explain")
    assert.are.equal(200, why.status)
    local fired = {}
    for _, rule in ipairs(why.body.rules) do
      fired[rule.ruleId] = rule.fired
    end
    assert.is_true(fired.short)
    assert.is_false(fired.long)
    assert.is_truthy(why.raw:find(sent.body.observationId, 1, true))
    assert.is_truthy(why.raw:find("communication.style", 1, true))
  end)
end)

describe("explaining the past", function()
  it("goes by what was known and true just then", function()
    local person = api.new_person()
    local function ago(minutes)
      return os.date("!%Y-%m-%dT%H:%M:%SZ", os.time() - minutes * 60)
    end
    local function say(minutes, style, mood)
      api.observe(person, { traits = { ["communication.style"] = style }, mood = mood }, { at = ago(minutes) })
    end
    local function name(minutes, nickname)
      return api.observe(person, { facts = { nickname = nickname } }, { at = ago(minutes) }).body.observationId
    end
    say(120, "direct", "calm")
    local told = name(100, "Bo")
    say(60, "warm", "angry")
    name(45, "Ann")
    local function made(minutes)
      local why = api.get(persona_path(person) .. "/explain?mapper_version=1.0.0&as_of=" .. ago(minutes))
      assert.are.equal(200, why.status)
      return why.body
    end
    assert.are.equal("direct", made(90).personaCore.tone)
    assert.are.equal("calm", made(90).contextualOverlay.mood)
    assert.are.equal("warm", made(30).personaCore.tone)
    assert.are.equal("angry", made(30).contextualOverlay.mood)
    assert.is_nil(made(110).contextualOverlay.called)
    assert.are.same({}, made(110).facts)
    local then_ = made(90)
    assert.are.equal("Bo", then_.contextualOverlay.called)
    assert.are.equal("Bo", then_.facts[1].value)
    assert.are.equal("Ann", then_.facts[1].valueNow)
    assert.are.equal(told, then_.facts[1].sources[1].observationId)
    assert.are.equal("Ann", made(30).contextualOverlay.called)
    assert.is_nil(made(30).warnings)
  end)
end)

describe("judging a persona", function()
  local function judge(id, feedback)
    return api.post("/v1/feedback?wait=processed",
      { body = { personaInstanceId = id, feedback = feedback } })
  end

  it("takes ratings and adds them up by version and rule", function()
    local person = direct()
    local made = map(person).body.persona
    local sent = judge(made.personaInstanceId, { ratings = { overall = 4 }, helpful = true, ruleId = "short" })
    assert.is_true(sent.status == 200 or sent.status == 201)
    assert.are.equal(4, api.get("/v1/feedback/" .. sent.body.feedbackId).body.ratings.overall)
    local sums = api.get("/v1/mappers/greeter/feedback?after=" .. sent.head["personakit-cursor"]).body
    assert.are.equal("greeter", sums.mapperId)
    assert.is_true(sums.count >= 1)
    assert.are.equal(made.mapperVersion, sums.versions[1].mapperVersion)
    assert.are.equal("short", sums.versions[1].rules[1].ruleId)
  end)

  it("takes the id that is composed, too, and refuses odd marks", function()
    local person = direct()
    map(person)
    local id = "greeter:" .. person .. ":instant"
    assert.is_true(judge(id, { ratings = { overall = 1 } }).status < 300)
    local odd = judge(id, { ratings = { overall = 6 } })
    assert.are.equal(400, odd.status)
    assert.are.equal("feedback.ratings.overall", odd.body.field)
    assert.are.equal(404, judge("greeter:" .. api.new_person() .. ":instant",
      { ratings = { overall = 3 } }).status)
  end)
end)
