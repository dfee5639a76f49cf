-- outside_spec.lua - pk.field, pk.traits, pk.cut, pk.keys, pk.list: reading what may be anything.
local host = dofile((debug.getinfo(1, "S").source:match("^@(.*/)") or "./") .. "host.lua")

local pk = require "personakit"

local DOC = { a = { b = "text", n = 5, no = false, list = { 1, 2 }, object = { x = 1 }, blank = " ",
  empty = {}, at = "2026-01-15T12:00:00Z", nan = 0 / 0, huge = math.huge } }

describe("pk.field", function()
  it("gives what is of the kind, and nothing else", function()
    for path, kinds in pairs({
      ["a.b"] = { text = true, value = true }, ["a.n"] = { number = true, instant = true, value = true },
      ["a.no"] = { boolean = true, value = true }, ["a.list"] = { list = true, value = true },
      ["a.object"] = { object = true, value = true }, ["a.blank"] = { value = true },
      ["a.empty"] = { list = true, object = true, value = true },
      ["a.at"] = { text = true, instant = true, value = true }, ["a.nan"] = {},
      ["a.huge"] = {}, ["a.gone"] = {}, ["a.b.c"] = {}, ["a.n.x.y"] = {},
    }) do
      for _, kind in ipairs({ "text", "number", "boolean", "list", "object", "instant", "value" }) do
        assert.are.equal(kinds[kind] or false, pk.field(DOC, path, kind) ~= nil, path .. " as " .. kind)
      end
    end
    assert.are.equal(false, pk.field(DOC, "a.no", "boolean"))
    assert.are.equal(1768478400000, pk.field(DOC, "a.at", "instant"))
    assert.are.equal(5, pk.field(5, "", "number"))
    assert.is_nil(pk.field(nil, "a", "text"))
    assert.is_nil(pk.field("x", "a.b", "text"))
  end)

  it("takes a date of the host as an instant, not as an object", function()
    local plain = setmetatable({ ms = 5 }, { __metatable = "date" })
    assert.are.equal(5, pk.field(plain, "", "instant"))
    assert.is_nil(pk.field(plain, "", "object"))
    assert.is_nil(pk.field({ at = plain }, "at.ms", "number"))
  end)

  it("gives no value that is nested too deep for a trait", function()
    local deep = {}
    for _ = 1, 40 do
      deep = { deep }
    end
    assert.is_nil(pk.field(deep, "", "value"))
    assert.are.same({}, pk.traits({ a = deep }))
  end)
end)

describe("pk.traits", function()
  it("reads nested objects, dotted keys, entries and lists alike", function()
    local wanted = { { path = "a.b", value = 1 }, { path = "c", value = { 1, 2 }, confidence = 0.5 } }
    assert.are.same(wanted, pk.traits({ a = { b = 1 }, c = { value = { 1, 2 }, confidence = 0.5 } }))
    assert.are.same(wanted, pk.traits({ ["a.b"] = 1, ["c"] = { value = { 1, 2 }, confidence = 0.5 } }))
    assert.are.same(wanted, pk.traits({ { id = "c", value = { 1, 2 }, confidence = 0.5 },
      { traitName = "a/b", value = 1 } }))
  end)

  it("leaves out what is no trait", function()
    assert.are.same({}, pk.traits(nil))
    assert.are.same({}, pk.traits("a"))
    assert.are.same({}, pk.traits({ ["a b"] = 1, [""] = 2, { id = 5, value = 1 } }))
    assert.are.same({}, pk.traits({ 1, "x", {}, { id = "a" }, { id = "b c", value = 1 } }))
  end)

  it("ends at 2,000, and at 16 levels", function()
    local many, deep = {}, 1
    for i = 1, 3000 do
      many["t" .. i] = i
    end
    for _ = 1, 20 do
      deep = { a = deep }
    end
    assert.are.equal(2000, #pk.traits(many))
    assert.are.same({}, pk.traits(deep))
  end)
end)

describe("pk.cut", function()
  it("cuts between characters", function()
    assert.are.equal("abc", pk.cut("abc", 3))
    assert.are.equal("ab", pk.cut("abc", 2))
    assert.are.equal("a", pk.cut("a\195\164", 2))
    assert.are.equal("a\195\164", pk.cut("a\195\164b", 3))
    assert.are.equal("", pk.cut("\240\159\152\128", 3))
    assert.are.equal("", pk.cut("\128\128\128", 1))
  end)
end)

describe("pk.keys and pk.list", function()
  it("are in order, and a list when empty", function()
    assert.are.same({ 1, 2, "a", "b" }, pk.keys({ "x", "y", b = 1, a = 2 }))
    assert.are.same({}, pk.keys(nil))
    assert.are.same({}, pk.keys("abc"))
    local script = assert(host.load([[
      local pk = require "personakit"
      return pk.mapper { id = "m", core = function(m)
        return { none = pk.list {}, also = pk.list(), path = pk.path("a/b"), wrong = pk.path("a b") }
      end }]]))
    local core = script:call("map", host.input({})).core
    assert.are.equal("list", getmetatable(core.none))
    assert.are.equal("list", getmetatable(core.also))
    assert.are.equal("a.b", core.path)
    assert.is_nil(core.wrong)
    assert.has_error(function() pk.list(5) end)
  end)
end)
