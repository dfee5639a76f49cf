-- host.lua - A host for the authors' library in specs: what the server and its worker do, in one process.
--
-- A script is taken in as the server does it: once with the full bundle, whose
-- 'describe' gives the program; then each call runs the lean bundle and the
-- script's text in an environment of its own, made of an allow-list, in which a
-- global that is not there is an error. Dates and null are the host's own
-- values, so that the library is seen to get along with them.
--
-- SPDX-License-Identifier: MIT
local json = require "dkjson"

local host = {}

local root = debug.getinfo(1, "S").source:match("^@(.*)tests/lua/host%.lua$")
host.root = root
package.path = root .. "lua/?.lua;" .. root .. "lua/?/init.lua;" .. package.path

local bundle = require "personakit.bundle"

function host.read_file(path)
  local file = assert(io.open(path, "rb"))
  local text = file:read("*a")
  file:close()
  return text
end

local module_text = {}
local function read_module(name)
  module_text[name] = module_text[name] or host.read_file(root .. "lua/personakit/" .. name .. ".lua")
  return module_text[name]
end

-- ---- The host's values ----

host.null = newproxy()

local date_meta = { __metatable = "date" }
date_meta.__eq = function(a, b) return rawget(a, "ms") == rawget(b, "ms") end
date_meta.__tostring = function(d) return "date " .. rawget(d, "ms") end
local list_meta = { __metatable = "list" }

function host.date(ms)
  return setmetatable({ ms = ms }, date_meta)
end

function host.list(of)
  return setmetatable(of or {}, list_meta)
end

-- ---- Environments ----

local ALLOWED = { "assert", "error", "getmetatable", "ipairs", "next", "pairs", "pcall", "rawequal",
  "rawget", "rawset", "select", "setmetatable", "tonumber", "tostring", "type", "unpack" }
local LIBRARIES = { "bit", "coroutine", "math", "string", "table" }

local function copy(of)
  local made = {}
  for key, value in pairs(of) do
    made[key] = value
  end
  return made
end

-- 'pairs' and 'next' in an order that is another one each time: what rests on it shows.
local function shuffled_keys(t)
  local keys = {}
  for key in next, t do
    table.insert(keys, math.random(#keys + 1), key)
  end
  return keys
end

local function shuffled_next(order)
  return function(t, key)
    if key == nil or not order[t] then
      order[t] = { keys = shuffled_keys(t), at = {} }
      for i, each in ipairs(order[t].keys) do
        order[t].at[each] = i
      end
    end
    local walk = order[t]
    for i = (key == nil and 0 or walk.at[key]) + 1, #walk.keys do
      local found = walk.keys[i]
      if rawget(t, found) ~= nil then
        return found, rawget(t, found)
      end
    end
    return nil
  end
end

-- What has no order is refused, as in the jail.
local function orderly_pairs(t)
  for key in next, t do
    assert(type(key) ~= "table" and type(key) ~= "function", "a key that has no fixed order")
  end
  return next, t, nil
end

function host.environment()
  local env = {}
  for _, name in ipairs(ALLOWED) do
    env[name] = _G[name]
  end
  env.pairs = orderly_pairs
  if host.is_shuffled then
    local order = setmetatable({}, { __mode = "k" })
    env.next = shuffled_next(order)
    env.pairs = function(t) return shuffled_next({}), t, nil end
  end
  for _, name in ipairs(LIBRARIES) do
    env[name] = copy(_G[name])
  end
  env.string.dump = nil
  return setmetatable(env, {
    __index = function(_, name) error("there is no global '" .. tostring(name) .. "' here", 2) end,
    __newindex = function(_, name) error("global '" .. tostring(name) .. "' cannot be made", 2) end,
  })
end

local function load_in(text, name, env)
  return setfenv(assert(loadstring(text, name)), env)
end

-- Runs the library's bundle and the script in a fresh environment: the script's table.
local function open(bundle_text, script_text, name)
  local env = host.environment()
  local library = load_in(bundle_text, "=personakit", env)({
    null = host.null, date = host.date, list = host.list,
  })
  env = host.environment()
  rawset(env, "require", function(wanted)
    assert(wanted == "personakit", "there is no module '" .. tostring(wanted) .. "'")
    return library
  end)
  return load_in(script_text, "=" .. name, env)()
end

-- ---- Scripts ----

local DECLARED = "return require(\"personakit\").declared()"

local Script = {}
Script.__index = Script

-- Calls an entry of the full library: describe, example, judge, explain.
function Script:full(entry, input)
  input = input or {}
  input.configuration = self.configuration
  input.source = self.source
  input.tuning = self.tuning
  return open(self.full_text, self.text, self.name)[entry](input)
end

-- Calls an entry as the server does when the script serves: map, process, holds.
function Script:call(entry, input)
  return open(self.lean_text, self.text, self.name)[entry](input)
end

-- The entries of the script as it serves, to be called more than once.
function Script:entries()
  return open(self.lean_text, self.text, self.name)
end

-- The name of the entry that serves.
function Script:entry()
  return self.about.kind == "mapper" and "map" or self.about.kind == "processor" and "process"
    or "holds"
end

-- Runs all examples; a list of messages, empty when all are good.
function Script:run_examples()
  local wrong = {}
  local entry = self:entry()
  for index = 1, self.about.examples do
    local output = self:call(entry, self:full("example", { index = index }))
    local verdict = self:full("judge", { index = index, output = output })
    if not verdict.ok then
      wrong[#wrong + 1] = verdict.message
    end
  end
  return wrong
end

-- Takes a script in; nil and what is wrong when the library refuses it.
function host.load(text, name, configuration, source, tuning)
  local script = setmetatable({
    text = text, source = source or text, tuning = tuning, name = name or "script.lua", configuration = configuration,
    full_text = bundle.text("full", read_module),
  }, Script)
  local is_ok, about = pcall(script.full, script, "describe")
  if not is_ok then
    return nil, about
  elseif about.fault then
    return nil, about.fault
  end
  script.about = about
  -- As the server does: what serves is made of plain data, where no author's code has run.
  local made = open(script.full_text, DECLARED, "declared.lua").compile(about)
  assert(made.program == about.program, "the rules as data give another program")
  script.made = made
  script.lean_text = bundle.text("lean", read_module, made.program)
  return script
end

-- A mapper of JSON: text, or a document.
function host.declared(of, tuning)
  local document = type(of) == "string" and assert(json.decode(of, 1, host.null)) or of
  return host.load(DECLARED, "declared.lua", document,
    type(of) == "string" and of or nil, tuning)
end

-- ---- Mindscapes ----

host.NOW = 1768478400000 -- 2026-01-15T12:00:00Z, in milliseconds
host.DAY = 86400000

-- An input for 'map' of { path = value }; 'more' overrides fields of single traits and the input.
function host.input(traits, more)
  local paths = {}
  for path in pairs(traits) do
    paths[#paths + 1] = path
  end
  table.sort(paths)
  local list = host.list({})
  for i, path in ipairs(paths) do
    list[i] = { id = path, value = traits[path], confidence = 0.8, volatility = "medium",
      updatedAt = host.date(host.NOW - host.DAY) }
    for key, value in pairs(more and more.entry and more.entry[path] or {}) do
      list[i][key] = value
    end
  end
  local input = { now = host.date(host.NOW), detail = "deep_dive", mindscape = { traits = list } }
  for key, value in pairs(more and more.mindscape or {}) do
    input.mindscape[key] = value
  end
  for key, value in pairs(more or {}) do
    if key ~= "entry" and key ~= "mindscape" then
      input[key] = value
    end
  end
  return input
end

-- The keys of a read set of one kind and match, sorted; "all" when all of the kind was read.
function host.reads(basis, kind, match)
  for _, group in ipairs(basis.readSet) do
    if group.kind == kind and group.match == match then
      if not group.keys then
        return "all"
      end
      local keys = copy(group.keys)
      table.sort(keys)
      return keys
    end
  end
  return {}
end

return host
