-- shipped_spec.lua - The mappers and processors that come with the server: taken in, run, held against golden outputs.
--
--     PK_GOLDEN=write busted tests/lua/shipped_spec.lua     writes tests/data/golden anew: look at the difference
--
-- A golden file has everything that a script gives for its own examples: what is
-- read, until when it holds, lines, warnings, operations with all their fields.
-- Examples say what matters; this says what else changed.
--
-- SPDX-License-Identifier: MIT
local host = dofile((debug.getinfo(1, "S").source:match("^@(.*/)") or "./") .. "host.lua")

local value = require "personakit.value"

local RUNS = 300 -- of each processor on spoilt observations

local function files_of(folder)
  local list = {}
  for name in require("lfs").dir(host.root .. folder) do
    if name:find("%.lua$") or name:find("%.json$") then
      list[#list + 1] = folder .. name
    end
  end
  table.sort(list)
  return list
end

local FILES = files_of("mappers/")
local MAPPERS = #FILES
for _, path in ipairs(files_of("plugins/processors/")) do
  FILES[#FILES + 1] = path
end

local function load(path, tuning)
  local text = host.read_file(host.root .. path)
  local script, why
  if path:find("%.json$") then
    script, why = host.declared(text, tuning)
  else
    script, why = host.load(text, path:match("[^/]+$"), nil, nil, tuning)
  end
  return assert(script, type(why) == "table" and why.message or why)
end

local scripts = {}
local function take(path)
  scripts[path] = scripts[path] or load(path)
  return scripts[path]
end

-- Runs an example; 'change' may do something to its input first.
local function run(script, index, change)
  local input = script:full("example", { index = index })
  if change then
    change(input)
  end
  return script:call(script:entry(), input), input
end

local function shuffle(list)
  for i = #list, 2, -1 do
    local j = math.random(i)
    list[i], list[j] = list[j], list[i]
  end
end

local function golden_of(script)
  local lines = {}
  for index = 1, script.about.examples do
    local output, input = run(script, index)
    lines[#lines + 1] = string.format("# example %d", index)
    lines[#lines + 1] = "input.observation = " .. value.canonical(input.observation)
    lines[#lines + 1] = "input.traits = " .. value.canonical(input.mindscape.traits)
    for _, key in ipairs(value.keys(output)) do
      local list = output[key]
      if key == "operations" or key == "lines" then
        for i, each in ipairs(list) do
          lines[#lines + 1] = string.format("%s[%d] = %s", key, i, value.canonical(each))
        end
      else
        lines[#lines + 1] = key .. " = " .. value.canonical(list)
      end
    end
  end
  return table.concat(lines, "\n") .. "\n"
end

for _, path in ipairs(FILES) do
  local name = path:match("([^/]+)%.%w+$")

  describe(path, function()
    it("is taken in, and its file has its id", function()
      local about = take(path).about
      assert.are.equal((name:gsub("_", "-")), about.manifest.id)
      assert.are.equal("1.0.0", about.manifest.version)
      assert.is_truthy(about.manifest.name)
      assert.is_truthy(about.manifest.purpose or about.manifest.description)
    end)

    it("does what its examples say", function()
      local script = take(path)
      assert.is_true(script.about.examples >= 4)
      assert.are.same({}, script:run_examples())
    end)

    it("gives what it gave when somebody last looked", function()
      local golden, at = golden_of(take(path)), host.root .. "tests/data/golden/" .. name .. ".txt"
      if os.getenv("PK_GOLDEN") == "write" then
        local file = assert(io.open(at, "wb"))
        file:write(golden)
        file:close()
      end
      local kept = host.read_file(at)
      local line, kept_lines = 0, kept:gmatch("[^\n]*")
      for each in golden:gmatch("[^\n]*") do
        line = line + 1
        assert.are.equal(kept_lines(), each, "golden line " .. line)
      end
      assert.are.equal(kept, golden)
    end)

    it("gives the same twice, in any order of keys and traits", function()
      local script = take(path)
      math.randomseed(3)
      for index = 1, script.about.examples do
        local wanted = value.canonical((run(script, index)))
        for _ = 1, 3 do
          host.is_shuffled = true
          local is_ok, output = pcall(run, script, index, function(input)
            shuffle(input.mindscape.traits)
          end)
          host.is_shuffled = nil
          assert.is_true(is_ok, output)
          assert.are.equal(wanted, value.canonical(output), "example " .. index)
        end
      end
    end)
  end)
end

-- ---- Mappers ----

-- What seeds and the schema of personas ask of sections that they name.
local SECTION = {
  communicationStyle = { preferredMediums = "table", formalityLevel = "string",
    responsePatterns = "table", languageComplexity = "string" },
  currentState = { availability = "table", currentFocus = "table", recentTopics = "table" },
}
local MORE = {
  currentState = { emotionalState = "string", energyLevel = "string" }, communicationStyle = {},
}

local function check_section(name, section)
  for key, kind in pairs(SECTION[name]) do
    assert.are.equal(kind, type(section[key]), name .. "." .. key)
    if kind == "table" and key ~= "availability" then
      assert.are.equal("list", getmetatable(section[key]), name .. "." .. key)
    end
  end
  for key, each in pairs(section) do
    assert.are.equal(SECTION[name][key] or MORE[name][key], type(each), name .. "." .. key)
  end
end

describe("a shipped mapper", function()
  for i = 1, MAPPERS do
    local path = FILES[i]

    it(path .. " has, for each rule, an example that fires it and one that does not", function()
      local script, fired, quiet = take(path), {}, {}
      for index = 1, script.about.examples do
        local input = script:full("example", { index = index })
        for _, verdict in ipairs(script:full("explain", input).rules) do
          local seen = verdict.fired and fired or quiet
          seen[verdict.ruleId] = true
        end
        for _, id in ipairs((run(script, index)).fired) do
          assert.is_true(fired[id], id .. " fires, but explaining says it does not")
        end
      end
      for _, each in ipairs(script.about.rules) do
        assert.is_true(fired[each.id], "no example fires " .. each.id)
        assert.is_true(quiet[each.id], "every example fires " .. each.id)
      end
    end)

    it(path .. " gives each half alone as with the other", function()
      local script = take(path)
      for index = 1, script.about.examples do
        local whole = run(script, index)
        for _, half in ipairs({ "core", "overlay" }) do
          local alone = run(script, index, function(input)
            input.halves = { core = half == "core", overlay = half == "overlay" }
          end)
          assert.are.equal(value.canonical(whole[half]), value.canonical(alone[half]))
          assert.are.equal(value.canonical(whole[half .. "Basis"]),
            value.canonical(alone[half .. "Basis"]))
        end
      end
    end)

    it(path .. " gives sections that the specification names as it has them", function()
      local script = take(path)
      for index = 1, script.about.examples do
        local output = run(script, index)
        for _, half in ipairs({ output.core, output.overlay }) do
          for name, section in pairs(half) do
            if SECTION[name] then
              check_section(name, section)
            end
          end
        end
      end
    end)
  end

  it("says it in one way: JSON and Lua alike", function()
    local about = take("mappers/productivity-optimizer.json").about
    assert.are.equal("Productivity Pattern Optimizer", about.manifest.name)
    assert.are.equal("user@example.com", about.manifest.author)
    assert.is_false(about.has_code)
    assert.are.equal(86400, about.manifest.ttlSeconds)
  end)
end)

-- ---- Processors ----

local TYPES = { "api_import", "assessment", "calendar_event", "chat_log", "document", "feedback",
  "interview", "user_input", "work_session" }

-- Values that no field expects.
local function odd_values()
  local loop_free = {}
  for _ = 1, 40 do
    loop_free = { loop_free }
  end
  return { 0, -1, 1e300, 0 / 0, "", " ", "x", ("y"):rep(20000), "\195\164", true, false, {}, { {} },
    { 1, 2, 3 }, { a = { b = 1 } }, { [""] = 1 }, host.null, host.date(0), host.list({}), loop_free,
    "2026-01-15T10:00:00Z", "9999-99-99T99:99:99+99:99", { host.null, "a" }, 16, "deep" }
end

local function places_of(of, list)
  for _, key in ipairs(value.keys(of)) do
    list[#list + 1] = { of, key }
    if type(of[key]) == "table" and getmetatable(of[key]) ~= "date" then
      places_of(of[key], list)
    end
  end
  return list
end

-- Puts odd values into some places, or takes what is there.
local function spoil(observation, odd)
  for _ = 1, math.random(3) do
    local places = places_of(observation, {})
    if #places == 0 then
      return
    end
    local place = places[math.random(#places)]
    local is_in_list = type(place[2]) == "number"
    place[1][place[2]] = (is_in_list or math.random() < 0.8) and value.clone(odd[math.random(#odd)])
      or nil
  end
end

describe("a shipped mapper that is trained", function()
  for i = 1, MAPPERS do
    for _, change in ipairs({ { off = true }, { priority = "low" }, { text = "Be kind" } }) do
      local is_open = not change.text or FILES[i]:find("%.lua$") -- Some in JSON say two texts.
      it(FILES[i] .. " passes its examples, whatever rule gets " .. value.canonical(change), function()
        for _, each in ipairs(is_open and take(FILES[i]).about.rules or {}) do
          local tuned = load(FILES[i], { rules = { [each.id] = change } })
          assert.are.same({}, tuned:run_examples(), each.id)
        end
      end)
    end
  end
end)

describe("shipped processors", function()
  it("accept every type of the documents, each type once", function()
    local types = {}
    for i = MAPPERS + 1, #FILES do
      for _, each in ipairs(take(FILES[i]).about.manifest.accepts) do
        types[#types + 1] = each
      end
    end
    table.sort(types)
    assert.are.same(TYPES, types)
  end)

  for i = MAPPERS + 1, #FILES do
    local path = FILES[i]

    it(path .. " never fails on what it is given", function()
      local script, odd = take(path), odd_values()
      local process = script:entries().process
      math.randomseed(i)
      for index = 1, script.about.examples do
        local example = script:full("example", { index = index })
        for _ = 1, RUNS / 10 do
          local input = value.clone(example)
          spoil(input.observation, odd)
          for _, trait in ipairs(input.mindscape.traits) do
            trait.value = math.random() < 0.5 and odd[math.random(#odd)] or trait.value
          end
          local is_ok, why = pcall(process, input)
          assert.is_true(is_ok, tostring(why) .. " on " .. value.canonical(input.observation))
        end
      end
    end)

    it(path .. " says of every operation where it comes from", function()
      local script = take(path)
      for index = 1, script.about.examples do
        local output = run(script, index, function(input)
          input.observation._id = "11111111-1111-4111-8111-111111111111"
          input.observation.effectiveAt = host.date(host.NOW)
        end)
        for _, each in ipairs(output.operations) do
          assert.are.same({ "11111111-1111-4111-8111-111111111111" }, each.derivedFrom)
        end
      end
    end)
  end
end)
