-- client.lua - For the specs of this folder: a consumer of the HTTP API, by curl and JSON.
--
--     local api = dofile(HERE .. "client.lua")
--     local answer = api.post("/v1/observations", { body = { ... } })
--     answer.status, answer.head["etag"], answer.body.observationId
--
-- PK_URL is the server's address, PK_KEY the key that is used unless 'key' names another one.
--
-- SPDX-License-Identifier: MIT
local json = require "cjson"

local api = { json = json, null = json.null }

local url = assert(os.getenv("PK_URL"), "PK_URL is not set")
local own_key = assert(os.getenv("PK_KEY"), "PK_KEY is not set")

local function quoted(text)
  return "'" .. text:gsub("'", "'\\''") .. "'"
end

local function read_all(path, mode)
  local file = assert(io.open(path, mode or "rb"))
  local text = file:read("*a")
  file:close()
  return text
end

local function write_all(path, text)
  local file = assert(io.open(path, "wb"))
  file:write(text)
  file:close()
end

-- "HTTP/1.1 200 OK\r\nName: value\r\n\r\nbody" as status, headers in lower case, and body.
local function split(text)
  local line, head, body = text:match("^(HTTP/[^\r]*)\r\n(.-)\r\n\r\n(.*)$")
  assert(line, "no answer: " .. text:sub(1, 200))
  local headers = {}
  for name, value in (head .. "\r\n"):gmatch("([^:\r\n]+):%s*([^\r\n]*)\r\n") do
    headers[name:lower()] = value
  end
  return tonumber(line:match(" (%d+)")), headers, body
end

-- what: body (a table, or a text with 'type'), type, head (a table), key (false: none).
function api.request(method, path, what)
  what = what or {}
  local args = { "curl -s -i --max-time 30 -X", method, "-H 'Expect:'" }
  local sent
  if what.key ~= false then
    args[#args + 1] = "-H " .. quoted("Authorization: Bearer " .. (what.key or own_key))
  end
  for name, value in pairs(what.head or {}) do
    args[#args + 1] = "-H " .. quoted(name .. ": " .. value)
  end
  if what.body then
    sent = os.tmpname()
    write_all(sent, type(what.body) == "table" and json.encode(what.body) or what.body)
    args[#args + 1] = "-H " .. quoted("Content-Type: " .. (what.type or "application/json"))
    args[#args + 1] = "--data-binary " .. quoted("@" .. sent)
  end
  args[#args + 1] = quoted(url .. path)
  local pipe = assert(io.popen(table.concat(args, " "), "r"))
  local text = pipe:read("*a")
  pipe:close()
  if sent then
    os.remove(sent)
  end
  local answer = { text = text }
  answer.status, answer.head, answer.raw = split(text)
  if (answer.head["content-type"] or ""):find("json", 1, true) and answer.raw ~= "" then
    answer.body = json.decode(answer.raw)
  end
  return answer
end

for _, method in ipairs { "get", "post", "put", "patch", "delete" } do
  api[method] = function(path, what)
    return api.request(method:upper(), path, what)
  end
end

-- A UUID of version 4, as people have.
function api.new_person()
  local file = assert(io.open("/dev/urandom", "rb"))
  local hex = file:read(16):gsub(".", function(c)
    return ("%02x"):format(c:byte())
  end)
  file:close()
  return ("%s-%s-4%s-a%s-%s"):format(hex:sub(1, 8), hex:sub(9, 12), hex:sub(14, 16),
    hex:sub(18, 20), hex:sub(21, 32))
end

-- An observation of that person, processed when this returns.
function api.observe(person, structured, more)
  more = more or {}
  return api.post("/v1/observations?wait=processed", { body = {
    personId = person, sourceType = more.type or "user_input",
    sourceMetadata = { source = more.source or "mail", timestamp = more.at },
    content = { structured = structured },
  }, key = more.key })
end

-- A script that serves from here on.
function api.serve(kind, id, source)
  local answer = api.put("/v1/" .. kind .. "s/" .. id .. "?activate=true",
    { body = source, type = "text/x-lua" })
  assert(answer.status == 200, answer.raw)
  return answer
end

-- One that the program is shipped with.
function api.serve_shipped(kind, id, path)
  local here = debug.getinfo(1, "S").source:match("^@(.*/)") or "./"
  return api.serve(kind, id, read_all(here .. "../../../" .. path))
end

-- A key of a new actor with these capabilities.
function api.new_key(name, capabilities)
  local actor = api.post("/v1/actors",
    { body = { actorType = "human", name = name, capabilities = capabilities } })
  assert(actor.status == 201, actor.raw)
  local key = api.post("/v1/actors/" .. actor.body.actorId .. "/keys", { body = { name = name } })
  assert(key.status == 201, key.raw)
  return key.body.key, actor.body.actorId, key.body.keyId
end

return api
