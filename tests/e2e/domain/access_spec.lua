-- access_spec.lua - Who may not: without consent, with a wrong key, with paths that are hidden.
--
-- Run by ../domain.sh, on each engine.
--
-- SPDX-License-Identifier: MIT
local api = dofile((debug.getinfo(1, "S").source:match("^@(.*/)") or "./") .. "client.lua")

local PLAIN = [[
local pk = require "personakit"
return pk.mapper {
  id = "%s", version = "1.0.0", ttl = "12h",
  limits = { soft_ms = 1000, hard_ms = 5000 },
  core = function(m) return { said = m["%s"] } end,
}]]

local function map(person, mapper, more, key)
  local body = { mapperId = mapper, personaId = person, detailLevel = "instant" }
  for name, value in pairs(more or {}) do
    body[name] = value
  end
  return api.post("/v1/personas/map", { body = body, key = key })
end

local function new_person()
  local person = api.new_person()
  api.observe(person, { traits = { ["work.city"] = "Oslo", ["health.sleep"] = 7 } })
  return person
end

setup(function()
  api.serve_shipped("processor", "user-input", "plugins/processors/user_input.lua")
  api.serve("mapper", "of-work", PLAIN:format("of-work", "work.city"))
  api.serve("mapper", "of-health", PLAIN:format("of-health", "health.sleep"))
end)

-- Who read what, and for what, is written every 5 s.
local function was_read_for(person, purpose)
  local stop = os.time() + 20
  repeat
    local log = api.get("/v1/people/" .. person .. "/access-log")
    for _, read in ipairs(log.body.items) do
      if read.action == "persona.accessed" and read.purpose == purpose then
        return true
      end
    end
  until os.time() > stop
  return false
end

describe("consent", function()
  local function consent(person, purpose, status)
    return api.put("/v1/people/" .. person .. "/consents/" .. purpose, { body = { status = status } })
  end

  it("is needed for a purpose that is named, until it is withdrawn", function()
    local person = new_person()
    local refused = map(person, "of-work", { purpose = "research" })
    assert.are.equal(403, refused.status)
    assert.are.equal("purpose", refused.body.field)
    assert.are.equal(200, consent(person, "research", "granted").status)
    local made = map(person, "of-work", { purpose = "research" })
    assert.are.equal(200, made.status)
    assert.are.equal("Oslo", made.body.persona.personaCore.said)
    assert.is_true(was_read_for(person, "research"))
    local path = "/v1/people/" .. person .. "/consents/research"
    assert.are.equal("granted", api.get(path).body.status)
    assert.are.equal("withdrawn", api.delete(path).body.status)
    assert.are.equal(403, map(person, "of-work", { purpose = "research" }).status)
    assert.are.equal(200, map(person, "of-work").status)
  end)

  it("withdrawn from processing, leaves what is sent unprocessed", function()
    local person = new_person()
    assert.are.equal(200, consent(person, "processing", "withdrawn").status)
    local sent = api.observe(person, { traits = { ["work.city"] = "Rome" } })
    assert.are_not.equal("processed", sent.body.processingStatus)
    assert.are.equal("Oslo", api.get("/v1/people/" .. person .. "/traits/work.city").body.value)
  end)
end)

describe("a key", function()
  it("must be there, right, and not revoked", function()
    local path = "/v1/people/" .. new_person() .. "/mindscape"
    for _, key in ipairs { false, "pk_wrong", "pk_aaaaaaaaaaaaaaaa_" .. ("a"):rep(52) } do
      local refused = api.get(path, { key = key })
      assert.are.equal(401, refused.status)
      assert.is_truthy(refused.head["www-authenticate"])
      assert.is_falsy(refused.raw:find("Oslo", 1, true))
    end
    local key, actor, id = api.new_key("leaver", { grants = { "curate" }, people = { "*" } })
    assert.are.equal(200, api.get(path, { key = key }).status)
    assert.are.equal(204, api.delete("/v1/actors/" .. actor .. "/keys/" .. id).status)
    assert.are.equal(401, api.get(path, { key = key }).status)
  end)

  it("does what its actor may, for whom its actor may see", function()
    local person = new_person()
    local key = api.new_key("reader", { canRequestPersonas = true, maxDetailLevel = "instant",
      allowedMappers = { "of-work" }, people = { person } })
    assert.are.equal(200, map(person, "of-work", nil, key).status)
    assert.are.equal(404, map(person, "of-health", nil, key).status)
    assert.are.equal(404, map(new_person(), "of-work", nil, key).status)
    assert.are.equal(403, map(person, "of-work", { detailLevel = "deep_dive" }, key).status)
    assert.are.equal(403, api.observe(person, { mood = "calm" }, { key = key }).status)
    assert.are.equal(403, api.get("/v1/people/" .. person .. "/mindscape", { key = key }).status)
  end)
end)

describe("a hidden path", function()
  local key

  setup(function()
    key = api.new_key("guest", { canRequestPersonas = true, maxDetailLevel = "instant",
      allowedMappers = { "*" }, people = { "*" }, grants = { "curate" }, hiddenPaths = { "health" } })
  end)

  it("is in no mindscape, tree, trait or list", function()
    local path = "/v1/people/" .. new_person() .. "/"
    for _, view in ipairs { "mindscape", "mindscape?shape=tree", "traits", "mindscape?at=2100-01-01T00:00:00Z" } do
      local read = api.get(path .. view, { key = key })
      assert.are.equal(200, read.status)
      assert.is_truthy(read.raw:find("city", 1, true))
      assert.is_falsy(read.raw:find("sleep", 1, true), view)
    end
    local hidden = api.get(path .. "traits/health.sleep", { key = key })
    local missing = api.get(path .. "traits/health.moon", { key = key })
    assert.are.equal(404, hidden.status)
    assert.are.equal(missing.body.detail, hidden.body.detail)
  end)

  it("can be neither corrected nor pinned", function()
    local path = "/v1/people/" .. new_person() .. "/"
    local body = { traits = { { id = "health.sleep", value = 9 } } }
    assert.are.equal(404, api.patch(path .. "mindscape", { body = body, key = key }).status)
    assert.are.equal(404, api.post(path .. "traits/health.sleep/pin", { key = key }).status)
    assert.are.equal(7, api.get(path .. "traits/health.sleep").body.value)
  end)

  it("is not known to a mapper that runs for them", function()
    local person = new_person()
    assert.are.equal(7, map(person, "of-health").body.persona.personaCore.said)
    local made = map(person, "of-health", nil, key)
    assert.are.equal(200, made.status)
    assert.is_nil(made.body.persona.personaCore.said)
    assert.are_not.equal("of-health:" .. person .. ":instant", made.body.persona.compositeKey)
    assert.are.equal(404, api.get("/v1/personas/of-health:" .. person .. ":instant", { key = key }).status)
  end)

  it("changes nothing where it was not read", function()
    local person = new_person()
    local common = map(person, "of-work").body.persona
    local theirs = map(person, "of-work", nil, key).body
    assert.are.equal("fresh", theirs.metadata.cacheStatus)
    assert.are.equal(common.personaInstanceId, theirs.persona.personaInstanceId)
  end)
end)
