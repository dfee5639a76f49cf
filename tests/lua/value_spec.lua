-- value_spec.lua - Templates, texts, durations, dates and copies.
local host = dofile((debug.getinfo(1, "S").source:match("^@(.*/)") or "./") .. "host.lua")

local template = require "personakit.template"
local value = require "personakit.value"

describe("templates", function()
  it("are texts and holes", function()
    assert.are.same({ "a" }, template.parse("a"))
    assert.are.same({ { path = "a.b" } }, template.parse("{{a.b}}"))
    assert.are.same({ "x ", { path = "a.b", default = "c d" }, " y" }, template.parse("x {{ a/b | c d }} y"))
    assert.are.same({ { path = "a", default = "" } }, template.parse("{{a|}}"))
    assert.are.same({ { path = "a", default = "b|c" } }, template.parse("{{a|b|c}}"))
    assert.are.same({ { path = "a" }, { path = "b" } }, template.parse("{{a}}{{b}}"))
    assert.are.same({ "} {x} }}" }, template.parse("} {x} }}"))
  end)

  it("that are wrong are refused", function()
    for _, text in ipairs({ "", "{{", "{{a", "{{}}", "{{a b}}", "{{a|{{b}}}}", "{{1 + 1}}", "{{a()}}",
      "{{.a}}", "{{a..b}}", ("x"):rep(65537), 5 }) do
      local parts, why = template.parse(text)
      assert.is_nil(parts, text)
      assert.are.equal("invalid", why.code)
    end
  end)

  it("take values as people write them", function()
    for text, of in pairs({ ["5"] = 5, ["-3"] = -3.0, ["0.25"] = 0.25, ["1e+20"] = 1e20, ["true"] = true,
      ["a, b"] = { "a", "b" }, ["k: 1, l: x"] = { l = "x", k = 1 }, ["x"] = "x", ["1, 2, k: 3"] = nil }) do
      assert.are.equal(text, value.text(of))
    end
  end)
end)

describe("numbers", function()
  it("are written as short as they can be and are the same again", function()
    for text, of in pairs { ["0.4"] = 0.4, ["1"] = 1, ["-0.1"] = -0.1, ["1e+300"] = 1e300,
      ["0.30000000000000004"] = 0.1 + 0.2 } do
      assert.are.equal(text, value.number(of))
    end
    for _ = 1, 1000 do
      local of = (math.random() - 0.5) * 10 ^ math.random(-30, 30)
      assert.are.equal(of, tonumber(value.number(of)))
    end
  end)
end)

describe("durations", function()
  it("are numbers of seconds, or texts with a unit", function()
    for text, ms in pairs({ ["90s"] = 90000, ["1.5h"] = 5400000, ["7d"] = 604800000, ["2w"] = 1209600000,
      ["250ms"] = 250, ["0m"] = 0, [60] = 60000, [0.5] = 500 }) do
      assert.are.equal(ms, value.duration(text))
    end
    for _, wrong in ipairs({ "7", "d", "7 d", "-1d", "7D", "1e9d", "", {}, -1, 0 / 0, math.huge, true }) do
      assert.is_nil((value.duration(wrong)))
    end
  end)
end)

describe("instants", function()
  it("are read from ISO 8601 and written as dates, leap days included", function()
    for text, ms in pairs({
      ["1970-01-01T00:00:00Z"] = 0, ["2026-01-15T12:00:00Z"] = host.NOW,
      ["2024-02-29T23:59:59.999Z"] = 1709251199999, ["2026-01-15T13:30:00+01:30"] = host.NOW,
      ["2000-03-01T00:00:00Z"] = 951868800000, ["1969-12-31T23:59:59Z"] = -1000,
      ["1900-03-01T00:00:00z"] = -2203891200000,
    }) do
      assert.are.equal(ms, value.instant(text), text)
      local date = value.date(ms)
      assert.are.equal(ms - ms % 1000, value.instant(string.format("%04d-%02d-%02dT%02d:%02d:%02dZ",
        date.year, date.month, date.day, date.hour, date.minute, date.second)))
    end
    for _, wrong in ipairs({ "2026-01-15", "2026-01-15T12:00:00", "noon", {}, true }) do
      assert.is_nil(value.instant(wrong))
    end
    assert.are.equal(5, value.instant(host.date(5)))
    assert.are.equal("thursday", value.date(host.NOW).weekday)
    assert.are.equal(14, value.date(host.NOW, 120).hour)
    assert.are.equal("friday", value.date(host.NOW, 13 * 60).weekday)
  end)
end)

describe("values", function()
  it("are equal in depth, and copies share nothing", function()
    local of = { a = { 1, { b = false } } }
    local copied = assert(value.copy(of))
    assert.is_true(value.equal(of, copied))
    copied.a[2].b = true
    assert.is_false(value.equal(of, copied))
    assert.is_false(of.a[2].b)
    assert.is_false(value.equal({}, { 1 }))
    assert.is_false(value.equal({ 1 }, {}))
    assert.is_false(value.equal(0 / 0, 0 / 0))
  end)

  it("that are too deep, circular or no data are refused", function()
    local deep = {}
    for _ = 1, 40 do
      deep = { deep }
    end
    for _, wrong in ipairs({ deep, print, 0 / 0, math.huge, { [{}] = 1 }, { [true] = 1 }, { [1.5] = 1 },
      { 1, nil, 3, x = 1 }, coroutine.create(print) }) do
      local copied, why = value.copy(wrong)
      assert.is_nil(copied)
      assert.are.equal("invalid", why.code)
    end
  end)

  it("have their keys in one order", function()
    assert.are.same({ 1, 2, "a", "b" }, value.keys({ "x", "y", b = 1, a = 2 }))
    assert.are.equal('{"a":[1,2],"b":{"c":true}}', value.canonical({ b = { c = true }, a = { 1, 2 } }))
  end)
end)
