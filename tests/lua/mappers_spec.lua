-- mappers_spec.lua - Three mappers as authors write them: taken in, and their examples run.
local host = dofile((debug.getinfo(1, "S").source:match("^@(.*/)") or "./") .. "host.lua")

local folder = host.root .. "tests/lua/fixtures/"

local function lua(name)
  return assert(host.load(host.read_file(folder .. name .. ".lua"), name .. ".lua"))
end

describe("mappers", function()
  it("the daily work optimizer does what its examples say", function()
    local script = lua("daily-work-optimizer")
    assert.are.equal(3, script.about.examples)
    assert.are.same({}, script:run_examples())
  end)

  it("communication style does what its examples say", function()
    assert.are.same({}, lua("communication-style"):run_examples())
  end)

  it("the productivity optimizer of the specification does what its examples say", function()
    local script = assert(host.declared(host.read_file(folder .. "productivity-optimizer.json")))
    assert.are.same({}, script:run_examples())
    assert.are.equal("2.0.0", script.about.manifest.version)
    assert.are.equal("Productivity Pattern Optimizer", script.about.manifest.name)
  end)

  it("an example that is not met says where", function()
    local text = host.read_file(folder .. "communication-style.lua")
    local changed = text:gsub('length = "short" },\n', 'length = "long" },\n', 1)
    assert.are_not.equal(text, changed)
    assert.are.same({ "example 1: core.communicationStyle.length is \"long\", not \"short\"" },
      assert(host.load(changed)):run_examples())
  end)

  it("manifests have the names of the documents", function()
    local about = lua("daily-work-optimizer").about
    assert.are.equal("mapper", about.kind)
    assert.are.equal(86400, about.manifest.ttlSeconds)
    assert.are.same({ "work.chronotype" }, about.manifest.requiredTraits)
    assert.are.same({ "work.focus.*", "work.meetings.*" }, about.manifest.optionalTraits)
    assert.is_true(about.has_code)
    assert.are.equal("meeting-overload", about.rules[4].id)
    assert.are.equal("balanced", about.rules[4].detail)
    assert.are.same({ "work.chronotype", "work.focus.breaks", "work.focus.deep_minutes",
      "work.focus.peak_end", "work.focus.peak_start", "work.meetings.load",
      "work.meetings.per_day" }, about.reads)
  end)
end)
