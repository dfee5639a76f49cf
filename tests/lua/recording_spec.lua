-- recording_spec.lua - What a call says it read, and until when: exactly, no more and no less.
local host = dofile((debug.getinfo(1, "S").source:match("^@(.*/)") or "./") .. "host.lua")

local function mapper(body)
  return assert(host.load("local pk = require \"personakit\"\nreturn pk.mapper { id = \"x\", " .. body
    .. " }", "x.lua"))
end

local function overlay(body, traits, more)
  return mapper("overlay = function(m, ctx) " .. body .. " end"):call("map", host.input(traits or {},
    more))
end

-- The whole read set in one text: "kind match: keys; ...".
local function said(basis)
  local parts = {}
  for _, group in ipairs(basis.readSet) do
    local keys = {}
    for i, key in ipairs(group.keys or { "all" }) do
      keys[i] = key
    end
    table.sort(keys)
    parts[#parts + 1] = group.kind .. " " .. group.match .. ": " .. table.concat(keys, " ")
  end
  table.sort(parts)
  return table.concat(parts, "; ")
end

local function till(basis)
  return basis.validUntil and basis.validUntil.ms - host.NOW
end

local HOUR = 3600000

describe("the read set", function()
  -- { body, traits, what was read }
  local CASES = {
    { "return {}", {}, "" },
    { "local x = m['a.b'] return { x = x }", { ["a.b"] = 1 }, "trait exact: a.b" },
    { "local x = m['a/b'] return { x = x }", { ["a.b"] = 1 }, "trait exact: a.b" },
    { "local x = m['a.b'], m['a.b'] return {}", { ["a.b"] = 1 }, "trait exact: a.b" },
    { "local x = m['a.c'] return {}", { ["a.b"] = 1 }, "trait miss: a.c" },
    { "local x, y = m.a, m['b'] return {}", { a = false }, "trait exact: a; trait miss: b" },
    { "if false then local x = m.a end return {}", { a = 1 }, "" },
    { "return { m:has('a'), m:value('b', 3) }", { a = 1 }, "trait exact: a; trait miss: b" },
    { "for _ in m:each('a') do end return {}", { ["a.b"] = 1, ["ab.c"] = 1 }, "trait prefix: a" },
    { "for _ in m:each('a.*') do end return {}", { ["a.b"] = 1 }, "trait prefix: a" },
    { "for _ in m:each() do end return {}", { ["a.b"] = 1 }, "trait prefix: all" },
    { "return { t = m:fill('{{a}} {{b|x}}') }", { a = 1 }, "trait exact: a; trait miss: b" },
    { "local g, b, n = m.goals, m.beliefs, m.narrative return {}", {},
      "beliefs exact: all; goals exact: all; narrative exact: all" },
    { "local x, y = m.now.mood, m.now.gone return {}", {}, "hot exact: mood; hot miss: gone" },
    { "local x, y = m.facts.role, m.facts.gone return {}", {}, "hot exact: role; hot miss: gone" },
    { "local x = m.now return {}", {}, "" },
    { "local x, y = m.found.near, m.found.gone return {}", {}, "narratives exact: all; warm miss: all" },
    { "return { m:value('goals') }", { goals = 1 }, "trait exact: goals" },
    { "return { d = ctx.detail, t = ctx.task }", {}, "" },
  }
  for _, case in ipairs(CASES) do
    it("of " .. case[1], function()
      local output = overlay(case[1], case[2], { mindscape = {
        goals = { { description = "g" } }, highVolatileCache = { mood = "fine" },
        knowledge = { { key = "role", value = "lead" } },
        found = { near = { kind = "narratives", items = { { text = "x" } } } },
      } })
      assert.are.equal(case[3], said(output.overlayBasis))
      assert.are.equal("", said(output.coreBasis))
    end)
  end

  it("of rules is what they name, on their detail level and in their half, known or missed", function()
    local script = mapper([[rules = {
      pk.rule { id = "a", when = pk.all { pk.trait("a"):is(1), pk.trait("b"):is(2) }, suggest = "{{d}}" },
      pk.rule { id = "b", when = pk.trait("c"):is(1), suggest = "{{e|x}}", detail = "balanced" },
      pk.rule { id = "c", when = pk.trait("f"):exists(), suggest = "x", level = "core" } }]])
    local output = script:call("map", host.input({ b = 2, e = 1 }, { detail = "instant" }))
    assert.are.equal("trait exact: b; trait miss: a", said(output.overlayBasis))
    assert.are.equal("trait miss: f", said(output.coreBasis))
    output = script:call("map", host.input({ c = 1, e = 1, f = 1 }, { detail = "balanced" }))
    assert.are.equal("trait exact: c e; trait miss: a b", said(output.overlayBasis))
    assert.are.equal("trait exact: f", said(output.coreBasis))
  end)

  it("of what is required is in both halves, prefixes as prefixes", function()
    local script = mapper([[requires = { "a", "b.*", "c.*" }, core = function() return {} end]])
    local output = script:call("map", host.input({ a = 1, ["b.x"] = 1 }))
    assert.are.equal("trait exact: a; trait prefix: b c", said(output.coreBasis))
    assert.are.equal("trait exact: a; trait prefix: b c", said(output.overlayBasis))
    assert.are.same({ "c.*" }, output.missing)
    assert.are.same({ "required trait 'c.*' is not known" }, output.warnings)
  end)

  it("of a half does not depend on whether the other half ran", function()
    local script = assert(host.load(host.read_file(host.root
      .. "tests/lua/fixtures/daily-work-optimizer.lua")))
    local value = require "personakit.value"
    local function half(name, halves)
      local output = script:call("map", host.input({ ["work.chronotype"] = "morning" },
        { halves = halves }))
      return value.canonical({ output[name], output[name .. "Basis"] })
    end
    assert.are.equal(half("core"), half("core", { overlay = false }))
    assert.are.equal(half("overlay"), half("overlay", { core = false }))
    assert.is_nil(script:call("map", host.input({}, { halves = { core = false } })).core)
  end)

  it("of a section is what its line rests on", function()
    local output = mapper([[core = {
      one = function(m) return m.a end, two = function(m) return m.b end, three = "plain" }]])
      :call("map", host.input({ a = 1, b = 2 }))
    assert.are.same({ one = 1, two = 2, three = "plain" }, output.core)
    assert.are.same({ { path = "core.one", traits = { "a" } }, { path = "core.three", traits = {} },
      { path = "core.two", traits = { "b" } } }, output.lines)
    assert.are.equal("trait exact: a b", said(output.coreBasis))
  end)
end)

describe("validity", function()
  local function bounds(body, entry, more)
    more = more or {}
    more.entry = { a = entry }
    return till(overlay("local x = " .. body .. " return { x = x }", { a = 1 }, more).overlayBasis)
  end

  it("is not limited by a plain read of a value", function()
    assert.is_nil(bounds("m.a"))
    assert.is_nil(bounds("m.gone"))
    assert.is_nil(bounds("m:confidence('gone')"))
  end)

  it("ends after the time step for a plain read of confidence, age or the time", function()
    for _, body in ipairs({ "m:confidence('a')", "m:age('a')", "pk.date(ctx.now).hour" }) do
      assert.are.equal(HOUR, bounds(body), body)
    end
    local script = mapper("time_step = '5m', overlay = function(m, ctx) return { x = ctx.now } end")
    assert.are.equal(HOUR / 12, till(script:call("map", host.input({})).overlayBasis))
  end)

  it("ends when a comparison with confidence turns, to the millisecond", function()
    for _, body in ipairs({ "m:confident('a', 0.5)", "m:confident('a', 0.79)" }) do
      local entry = { confidence = 0.8, halfLife = 30 * host.DAY,
        updatedAt = host.date(host.NOW - 1000) }
      local ms = bounds(body, entry)
      local function at(shift)
        return overlay("return { x = " .. body .. " }", { a = 1 },
          { now = host.date(host.NOW + shift), entry = { a = entry } }).overlay.x
      end
      assert.is_true(ms > 0)
      assert.is_true(at(0))
      assert.is_true(at(ms - 1))
      assert.is_false(at(ms))
    end
    local half = bounds("m:confident('a', 0.4)", { confidence = 0.8, halfLife = host.DAY,
      updatedAt = host.date(host.NOW) })
    assert.is_true(math.abs(half - host.DAY) <= 1)
  end)

  it("does not end with a confidence that does not decay, or is too low already", function()
    assert.is_nil(bounds("m:confident('a', 0.5)"))
    assert.is_nil(bounds("m:confident('a', 0.9)", { confidence = 0.8, halfLife = host.DAY }))
    assert.is_nil(bounds("m:confident('a', 0.5)", { pinned = true, halfLife = host.DAY }))
    assert.is_nil(bounds("m:confident('a', 0)", { halfLife = host.DAY }))
    assert.is_nil(bounds("m:confident('a', 0.1)", { halfLife = 1e18 }))
  end)

  it("ends when a comparison with age turns, to the millisecond", function()
    local ms = bounds("m:changed_within('a', '36h')")
    assert.are.equal(36 * HOUR - host.DAY + 1, ms)
    local function at(shift)
      return overlay("return { x = m:changed_within('a', '36h') }", { a = 1 },
        { now = host.date(host.NOW + shift), entry = { a = {
          updatedAt = host.date(host.NOW - host.DAY) } } }).overlay.x
    end
    assert.is_true(at(ms - 1))
    assert.is_false(at(ms))
    assert.is_nil(bounds("m:changed_within('a', '1h')"))
  end)

  it("ends when a rule's comparison turns, but not for one that was not come to", function()
    local script = mapper([[rules = { pk.rule { id = "r", suggest = "x",
      when = pk.all { pk.trait("b"):is(1), pk.trait("a"):changed_within("2d") } } }]])
    assert.are.equal(host.DAY + 1, till(script:call("map", host.input({ a = 1, b = 1 })).overlayBasis))
    assert.is_nil(till(script:call("map", host.input({ a = 1, b = 2 })).overlayBasis))
  end)

  it("ends when something read, or missed, begins or ceases to be valid", function()
    local soon, past = host.date(host.NOW + 5000), host.date(host.NOW - 1)
    assert.are.equal(5000, bounds("m.a", { validFrom = soon }))
    assert.are.equal(5000, bounds("m.a", { expiresAt = soon }))
    assert.is_nil(bounds("m.a", { validFrom = past }))
    assert.are.equal(5000, bounds("m:each()()", { validFrom = soon }))
    assert.is_nil(bounds("m.b", { validFrom = soon }))
    local script = mapper([[rules = { pk.rule { id = "r", when = pk.trait("a"):exists(), suggest = "x" } }]])
    local output = script:call("map", host.input({ a = 1 }, { entry = { a = { validFrom = soon } } }))
    assert.are.same({}, output.fired)
    assert.are.equal("trait miss: a", said(output.overlayBasis))
    assert.are.equal(5000, till(output.overlayBasis))
    output = script:call("map", host.input({ a = 1 }, { entry = { a = { expiresAt = past } } }))
    assert.are.same({}, output.fired)
    local cache = { mindscape = { highVolatileCache = { mood = "x" },
      highVolatileUntil = { mood = soon }, knowledge = { { key = "k", value = 1, expiresAt = soon } },
      found = { q = { kind = "warm", items = {}, validUntil = soon } } } }
    assert.are.equal(5000, bounds("m.now.mood", nil, cache))
    assert.are.equal(5000, bounds("m.facts.k", nil, cache))
    assert.are.equal(5000, bounds("m.found.q", nil, cache))
  end)
end)

describe("what scripts get", function()
  it("is a copy: what they write into it reaches nobody", function()
    local output = mapper([[
      core = function(m) m.list.x[1] = 99 m.goals[1].description = "mine" return { x = m.list.x } end,
      overlay = function(m) return { x = m.list.x, g = m.goals } end]])
      :call("map", host.input({ list = { x = { 1, 2 } } }, { mindscape = {
        goals = { { description = "theirs" } } } }))
    assert.are.same({ x = { 1, 2 } }, output.core)
    assert.are.same({ x = { 1, 2 }, g = { { description = "theirs" } } }, output.overlay)
  end)

  it("cannot be written, and says so", function()
    for body, words in pairs({
      ["m.a = 1"] = "the mindscape cannot be written", ["m.now.mood = 1"] = "cannot be written",
      ["ctx.now = 1"] = "ctx cannot be written", ["local x = m[5]"] = "must be a text",
      ["m:confident('a')"] = "give a number from 0 to 1", ["m:has('a b')"] = "not a trait's path",
      ["m:changed_within('a', 'soon')"] = "not a duration", ["m:fill('{{')"] = "not closed",
    }) do
      local is_ok, why = pcall(overlay, body .. " return {}")
      assert.is_false(is_ok)
      assert.is_truthy(why:find("^x.lua:2: ") and why:find(words, 1, true), body .. ": " .. why)
    end
  end)

  it("keeps dates, lists and false", function()
    local output = overlay("return { d = m.d, l = m.l, f = m.f, e = m:each('f')(), n = pk.date(ctx.now).year }",
      { d = host.date(5), l = host.list({}), f = false })
    assert.are.equal(host.date(5), output.overlay.d)
    assert.are.equal("list", getmetatable(output.overlay.l))
    assert.is_false(output.overlay.f)
    assert.are.equal(2026, output.overlay.n)
  end)

  it("sections from a detail level on", function()
    local script = mapper([[overlay = { a = 1, b = pk.section { detail = "balanced", from = 2 },
      c = pk.section { detail = "deep_dive", from = function(m) return m.a end } }]])
    for detail, wanted in pairs({ instant = { a = 1 }, balanced = { a = 1, b = 2 },
      deep_dive = { a = 1, b = 2, c = 3 } }) do
      local output = script:call("map", host.input({ a = 3 }, { detail = detail }))
      assert.are.same(wanted, output.overlay)
      assert.are.equal(detail == "deep_dive" and "trait exact: a" or "", said(output.overlayBasis))
    end
  end)
end)

describe("conditions", function()
  it("declared and as functions say whether they hold, and what that rests on", function()
    for _, body in ipairs({ "when = pk.trait('a'):gt(3)", "test = function(m) return m.a > 3 end" }) do
      local script = assert(host.load("local pk = require 'personakit' return pk.condition { id = 'c', "
        .. body .. " }"))
      assert.are.equal("condition", script.about.kind)
      for _, a in ipairs({ 3, 4 }) do
        local output = script:call("holds", host.input({ a = a }))
        assert.are.equal(a == 4, output.holds)
        assert.are.equal("trait exact: a", said(output))
      end
    end
  end)
end)
