-- guides_spec.lua - The authors' guides say what the library does: their tables are its tables, their scripts run.
--
--     PK_GUIDES=write busted tests/lua/guides_spec.lua     puts the tables of the library into the guides
--
-- SPDX-License-Identifier: MIT
local host = dofile((debug.getinfo(1, "S").source:match("^@(.*/)") or "./") .. "host.lua")

local reference = require "personakit.reference"

local LINES_MAX = 168 -- two pages, in print

local GUIDE = {
  ["mappers/README.md"] = {
    operators = reference.operators(), rules = reference.rules(),
    mapper = reference.manifest("mapper"),
  },
  ["plugins/README.md"] = {
    verbs = reference.verbs(), options = reference.options(),
    processor = reference.manifest("processor"),
  },
  ["lua/README.md"] = { operations = reference.operations() },
}

local function read(path)
  return host.read_file(host.root .. path)
end

local function plain(text)
  return (text:gsub("%%", "%%%%"))
end

local function write_tables(path, tables)
  local text = read(path)
  for name, wanted in pairs(tables) do
    local count
    text, count = text:gsub("(<!%-%- " .. name .. " %-%->\n).-(<!%-%- end %-%->)",
      "%1" .. plain(wanted) .. "\n%2")
    assert.are.equal(1, count, path .. " has no place for " .. name)
  end
  local file = assert(io.open(host.root .. path, "wb"))
  file:write(text)
  file:close()
end

-- Blocks of code in a language, with the line that each begins on.
local function blocks_of(text, language)
  local list, at = {}, 1
  while true do
    local first, last, body = text:find("\n```" .. language .. "\n(.-)\n```", at)
    if not first then
      return list
    end
    local _, line = text:sub(1, first):gsub("\n", "")
    list[#list + 1] = { text = body, line = line + 1 }
    at = last
  end
end

for path, tables in pairs(GUIDE) do
  describe(path, function()
    it("has the library's own tables", function()
      if os.getenv("PK_GUIDES") == "write" then
        write_tables(path, tables)
      end
      for name, wanted in pairs(tables) do
        local found = read(path):match("<!%-%- " .. name .. " %-%->\n(.-)\n<!%-%- end %-%->")
        assert.are.equal(wanted, found)
      end
    end)

    it("has scripts that are taken in and do what they say", function()
      for _, block in ipairs(blocks_of(read(path), "lua")) do
        if block.text:find("return pk.", 1, true) then
          local script = assert(host.load(block.text, path .. ":" .. block.line))
          assert.are.same({}, script:run_examples())
          assert.is_true(script.about.examples > 0)
          assert.are.same({}, script.about.remarks)
        else
          assert(loadstring(block.text, path .. ":" .. block.line))
        end
      end
      for _, block in ipairs(blocks_of(read(path), "json")) do
        local script = assert(host.declared(block.text))
        assert.are.same({}, script:run_examples())
        assert.is_true(script.about.examples > 0)
      end
    end)

    it("is no longer than two pages", function()
      local _, lines = read(path):gsub("\n", "")
      assert.is_true(lines <= LINES_MAX, lines .. " lines")
    end)
  end)
end

-- ---- Entries ----

-- The words in backquotes that begin the parts of a cell, as a set.
local function fields_of(cell)
  local fields = {}
  for part in (cell .. ";"):gmatch("([^;]*);") do
    for field in part:gmatch("`([%w_]+)`") do
      fields[field] = true
    end
  end
  return fields
end

local function documented()
  local entries = {}
  for line in read("lua/README.md"):match("\n| Entry |(.-)\n\n"):gmatch("[^\n]+") do
    local name, given, gives = line:match("^| (%l+) | (.-) | (.*) |$")
    if name then
      entries[name] = { takes = fields_of(given), gives = fields_of(gives) }
    end
  end
  return entries
end

local CONDITION = [[
  local pk = require "personakit"
  return pk.condition { id = "c", when = pk.trait("a"):confident(0.5), examples = {
    { given = { a = { value = 1, half_life = "1d" } }, expect = { holds = true } } } }]]

describe("the entries", function()
  it("take and give what lua/README.md says", function()
    local entries, seen = documented(), {}
    local function check(name, input, output)
      seen[name] = seen[name] or {}
      for key in pairs(input) do
        assert.is_true(entries[name].takes[key], name .. " takes " .. key)
      end
      for key in pairs(output) do
        assert.is_true(entries[name].gives[key] or name == "example", name .. " gives " .. key)
        seen[name][key] = true
      end
    end
    for _, text in ipairs({ read("mappers/communication-style.lua"),
      read("plugins/processors/work_session.lua"), CONDITION }) do
      local script = assert(host.load(text))
      check("describe", { source = text }, script.about)
      check("compile", {}, script.made)
      for index = 1, script.about.examples do
        local input = script:full("example", { index = index })
        local output = script:call(script:entry(), input)
        check("example", { index = index }, input)
        check(script:entry(), input, output)
        check("judge", { index = index, output = output }, script:full("judge",
          { index = index, output = output }))
        check("judge", {}, script:full("judge", { index = index, output = { fired = { "no" },
          operations = { 1 }, holds = 0 } }))
        check("explain", { mindscape = input.mindscape, now = input.now, detail = input.detail },
          script:full("explain", input))
      end
    end
    for name, entry in pairs(entries) do
      for key in pairs(name == "example" and {} or entry.gives) do
        assert.is_true(seen[name] and seen[name][key] or key == "requires", name .. " never gives " .. key)
      end
    end
  end)
end)

-- ---- What processors derive ----

local function listed()
  local of, all = {}, {}
  for line in read("plugins/README.md"):gmatch("[^\n]+") do
    local name, traits = line:match("^| `([%w_]+)` | ([^|]*) |")
    if name and io.open(host.root .. "plugins/processors/" .. name .. ".lua") then
      of[name] = { takes_any = traits:find("as given", 1, true) ~= nil }
      for trait in traits:gmatch("`([^`]+)`") do
        of[name][trait] = true
        all[trait] = true
      end
    end
  end
  return of, all
end

-- The row's own word for a path: the path, or 'some.prefix.*'.
local function word_for(row, trait)
  return row[trait] and trait or row[trait:gsub("[^.]+$", "*")] and trait:gsub("[^.]+$", "*")
end

describe("the table of what processors derive", function()
  it("has every trait that their examples derive, and no other", function()
    for name, row in pairs((listed())) do
      local script, seen = assert(host.load(read("plugins/processors/" .. name .. ".lua"))), {}
      for index = 1, script.about.examples do
        local output = script:call("process", script:full("example", { index = index }))
        for _, each in ipairs(output.operations) do
          local word = each.path and word_for(row, each.path)
          assert.is_truthy(not each.path or word or row.takes_any, name .. " derives "
            .. tostring(each.path))
          seen[word or ""] = true
        end
      end
      for trait in pairs(row) do
        assert.is_truthy(trait == "takes_any" or seen[trait], name .. " never derives " .. trait)
      end
    end
  end)

  it("has a row for each of them", function()
    local of, count = listed(), 0
    for name in require("lfs").dir(host.root .. "plugins/processors") do
      local processor = name:match("^(.*)%.lua$")
      assert.is_truthy(not processor or of[processor], name)
      count = count + (processor and 1 or 0)
    end
    assert.are.equal(9, count)
  end)
end)
