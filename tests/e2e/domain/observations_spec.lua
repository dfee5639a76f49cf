-- observations_spec.lua - What a source sends: one, many, by an external id, and what waits for a word.
--
-- Run by ../domain.sh, on each engine.
--
-- SPDX-License-Identifier: MIT
local api = dofile((debug.getinfo(1, "S").source:match("^@(.*/)") or "./") .. "client.lua")

local function one(person, raw, more)
  local observation = { personId = person, sourceType = "user_input",
    sourceMetadata = { source = "mail" }, content = { raw = raw } }
  for name, value in pairs(more or {}) do
    observation[name] = value
  end
  return observation
end

describe("what runs these specs", function()
  it("is LuaJIT", function()
    assert.is_truthy(jit and jit.version:find("LuaJIT", 1, true))
  end)
end)

describe("sending observations", function()
  setup(function()
    api.serve_shipped("processor", "user-input", "plugins/processors/user_input.lua")
  end)

  it("takes one, and says where it is and what processes it", function()
    local sent = api.post("/v1/observations", { body = one(api.new_person(), "hello") })
    assert.are.equal(201, sent.status)
    assert.are.equal("/v1/observations/" .. sent.body.observationId, sent.head.location)
    assert.are.equal("approved", sent.body.processingStatus)
    local task = api.get("/v1/tasks/" .. sent.body.taskId)
    assert.are.equal(200, task.status)
    assert.are.equal("process_observation", task.body.taskType or task.body.type)
    local shown = api.get(sent.head.location .. "?wait=processed")
    assert.are.equal("hello", shown.body.content.raw)
    assert.are.equal("mail", shown.body.sourceMetadata.source)
  end)

  it("takes the spelling of v0.2.0", function()
    local person = api.new_person()
    local sent = api.post("/v1/observations", { body = { person_id = person,
      observation_type = "user_input", content = { note = "a", deep = { b = true } } } })
    assert.are.equal(201, sent.status)
    assert.are.equal(person, sent.body.personId)
    assert.are.same({ note = "a", deep = { b = true } }, sent.body.content.structured)
    assert.are.same(sent.body.content.structured, api.json.decode(sent.body.content.raw))
  end)

  it("does an observation once, however often it is sent", function()
    local person, id = api.new_person(), api.new_person()
    local first = api.post("/v1/observations", { body = one(person, "again", { observationId = id }) })
    assert.are.equal(201, first.status)
    local second = api.post("/v1/observations", { body = one(person, "again", { observationId = id }) })
    assert.are.equal(id, second.body.observationId)
    assert.is_true(second.status == 200 or second.status == 201)
    assert.are.equal(1, #api.get("/v1/people/" .. person .. "/observations").body.items)
  end)

  it("takes a list, and refuses one without the others", function()
    local person = api.new_person()
    local sent = api.post("/v1/observations", { body = { observations = {
      one(person, "a"), { personId = "nobody" }, one(person, "c") } } })
    assert.are.equal(207, sent.status)
    assert.are.equal(2, sent.body.accepted)
    assert.are.equal(1, sent.body.refused)
    assert.are.equal(400, sent.body.results[2].status)
    assert.are.equal("personId", sent.body.results[2].field)
    assert.are.equal(2, #api.get("/v1/people/" .. person .. "/observations").body.items)
  end)

  it("takes one on each line", function()
    local person, lines = api.new_person(), {}
    for i = 1, 20 do
      lines[i] = api.json.encode(one(person, "line " .. i)) .. "\n"
    end
    lines[7] = "no json\n"
    local sent = api.post("/v1/observations",
      { body = table.concat(lines), type = "application/x-ndjson" })
    assert.are.equal(207, sent.status)
    assert.are.equal(19, sent.body.accepted)
    assert.are.equal(7, sent.body.results[7].line)
    assert.are.equal(400, sent.body.results[7].status)
    local seqs, pages, path = {}, 0, "/v1/people/" .. person .. "/observations?limit=8&wait=processed"
    local page = api.get(path).body
    while true do
      pages = pages + 1
      for _, item in ipairs(page.items) do
        seqs[tonumber(item.content.raw:match("%d+"))] = item.seq
      end
      if page.next == api.null then
        break
      end
      page = api.get(path .. "&cursor=" .. page.next).body
    end
    assert.are.equal(3, pages)
    for i = 1, 20 do -- In the order of the lines.
      assert.are.equal((i < 7 and i) or (i > 7 and i - 1) or nil, seqs[i])
    end
  end)

  it("knows a person by what another system calls them", function()
    local external = { source = "crm", id = "U-" .. api.new_person() }
    local body = one(nil, "by external id", { externalId = external })
    local first = api.post("/v1/observations", { body = body })
    assert.are.equal(201, first.status)
    assert.are.equal(first.body.personId, api.post("/v1/observations", { body = body }).body.personId)
    local found = api.get("/v1/people?external=crm:" .. external.id)
    assert.are.equal(1, #found.body.items)
    assert.are.equal(first.body.personId, found.body.items[1].personId)
  end)

  it("refuses a type that no processor takes, and says which there are", function()
    local sent = api.post("/v1/observations",
      { body = one(api.new_person(), "x", { sourceType = "dream" }) })
    assert.are.equal(400, sent.status)
    assert.are.equal("sourceType", sent.body.field)
    assert.is_truthy(sent.head["content-type"]:find("application/problem+json", 1, true))
  end)
end)

describe("a source whose observations wait", function()
  local function from_slack(person, style)
    return api.observe(person, { traits = { ["communication.style"] = style } }, { source = "slack" })
  end

  it("is held back until somebody approves it", function()
    local person = api.new_person()
    local sent = from_slack(person, "direct")
    assert.are.equal("pending", sent.body.processingStatus)
    assert.is_nil(sent.body.seq)
    assert.are.equal(0, api.get("/v1/people/" .. person .. "/mindscape").body.version)
    local approved = api.post(("/v1/observations/%s/approve?wait=processed"):format(sent.body.observationId))
    assert.are.equal(200, approved.status)
    assert.are.equal("processed", approved.body.processingStatus)
    assert.are.equal("direct",
      api.get("/v1/people/" .. person .. "/traits/communication.style").body.value)
    local again = api.post(("/v1/observations/%s/approve"):format(sent.body.observationId))
    assert.are.equal(200, again.status)
    assert.are.equal(approved.body.seq, again.body.seq)
    assert.are.equal(409, api.post(("/v1/observations/%s/reject"):format(sent.body.observationId),
      { body = { reason = "too late" } }).status)
  end)

  it("stays out when it is rejected, with the reason", function()
    local person = api.new_person()
    local id = from_slack(person, "warm").body.observationId
    local rejected = api.post("/v1/observations/" .. id .. "/reject", { body = { reason = "a joke" } })
    assert.are.equal(200, rejected.status)
    assert.are.equal("rejected", rejected.body.processingStatus)
    assert.is_truthy(rejected.raw:find("a joke", 1, true))
    assert.are.equal(0, api.get("/v1/people/" .. person .. "/mindscape").body.version)
    assert.are.equal(409, api.post("/v1/observations/" .. id .. "/approve").status)
  end)

  it("is listed as what waits", function()
    local person = api.new_person()
    from_slack(person, "direct")
    api.observe(person, { mood = "calm" })
    local waiting = api.get("/v1/people/" .. person .. "/observations?status=pending").body.items
    assert.are.equal(1, #waiting)
    assert.are.equal("slack", waiting[1].sourceMetadata.source)
  end)
end)
