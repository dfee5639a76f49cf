-- hostile_spec.lua - No text of a rule becomes code, and nothing of one call reaches the next.
local host = dofile((debug.getinfo(1, "S").source:match("^@(.*/)") or "./") .. "host.lua")

local bundle = require "personakit.bundle"
local compile = require "personakit.compile"
local condition = require "personakit.condition"
local operators = require "personakit.operators"
local rule = require "personakit.rule"
local rules = require "personakit.rules"
local source = require "personakit.source"
local value = require "personakit.value"

local TEXTS = {
  "\"", "'", "\\", "\\\"", "]]", "]==]", "[[", "--", "--[[", "\n", "\r", "\r\n", "\0", "\255", "\026",
  "\" .. error('out') .. \"", "\"]; error('out'); x = {[\"", "') error('out') --", "]] error('out') [[",
  "end error('out')", "\\10", "\\x41", "\\z", "\\u{41}", "%s%d%n", "{{", "}}", "|", "${x}", "v[1]", "x",
  "FALSE", "C[1]", "return", "\27Lua", "\239\187\191", "\226\128\168", ("a\\"):rep(5000), ("\""):rep(9999),
}

-- Any text of up to 40 of the bytes that matter most.
local function random_text()
  local parts = {}
  local letters = "\"'\\[]=-\n\r\0{}|%$()x0;1,. \255\127ez"
  for i = 1, math.random(0, 40) do
    local at = math.random(#letters)
    parts[i] = letters:sub(at, at)
  end
  return table.concat(parts)
end

-- All that a program may consist of, once its quoted texts and numbers are taken out.
local WORDS = {}
for word in ([[local kit FALSE equal contains type floor list confident changed_within program C P
  patterns paths slots function blank return end id requires time_step core_1 core core_2 core_3
  overlay_1 overlay_2 overlay_3 overlay is_timed true false reads v q e clock fired n if and or not then
  says i fill put ruleId text priority traits else say]]):gmatch("%S+") do
  WORDS[word] = true
end

local function only_words(program)
  local bare = program:gsub('"[^"\n]*"', "Q"):gsub("%f[%w_]%d[%d.e+]*", "N")
  for word in bare:gmatch("[%a_][%w_]*") do
    if not WORDS[word] and word ~= "Q" and word ~= "N" then
      return word
    end
  end
  return bare:match("[^%w_%s%[%]{}()=<>,.+*/;-]")
end

local function rule_of(text)
  local when = {}
  for i, each in ipairs({
    { "is", text }, { "is", { text, { [text] = text } } }, { "in_", { text, "b" } },
    { "not_in", { text, 1, 2, 3, 4, 5, 6, 7, 8, 9 } }, { "contains", text }, { "gte", text },
    { "between", { text, text } }, { "is_not", text }, { "not_contains", text },
  }) do
    when[i] = assert(condition.test("t" .. i, operators.method[each[1]], each[2]))
  end
  return { id = "r", when = condition.any(when), detail = 1, level = "overlay",
    says = { { parts = { text, { path = "t1", default = text } }, section = "s", priority = "high" } } }
end

local function run_with(text)
  local program_source = compile.source({ rule_of(text) }, {})
  assert.is_nil(only_words(program_source), text)
  local chunk = assert(loadstring(program_source))
  setfenv(chunk, setmetatable({}, { __index = function(_, name) error("reaches for " .. name) end }))
  local program = chunk(rules.kit())
  local from = source.new({ traits = { { id = "t1", value = text } } }, 0)
  local v, e = source.slots(from, program, rules.FALSE)
  assert.are.equal(1, (rules.evaluate(program.overlay[1], v, e, 0, {})))
  local said
  program.say(1, function(path, default)
    assert.are.equal("t1", path)
    assert.are.equal(text, default)
    return "|"
  end, function(_, item) said = item.text end)
  assert.are.equal(text .. "|", said)
end

describe("texts of rules", function()
  it("come back as they were, and are no code", function()
    for _, text in ipairs(TEXTS) do
      run_with(text)
    end
  end)

  it("come back as they were, and are no code, whatever they are", function()
    math.randomseed(tonumber(os.getenv("PK_FUZZ_SEED")) or 11)
    for _ = 1, 2000 do
      run_with(random_text())
    end
  end)

  it("in any place of a JSON rule are taken as text or refused, never run", function()
    math.randomseed(12)
    local places = { "id", "trait", "operator", "value", "template", "priority", "section", "type",
      "detail", "level", "name", "key" }
    local refused, taken = 0, 0
    for i = 1, 1500 do
      local text = i <= #TEXTS * 10 and TEXTS[(i - 1) % #TEXTS + 1] or random_text()
      local place = places[math.random(#places)]
      local function of(name, usual)
        return name == place and text or usual
      end
      local each = {
        id = of("id", "r"), detail = of("detail", "instant"), level = of("level", "core"),
        conditions = { all = { { type = of("type", "trait_check"), trait = of("trait", "a"),
          operator = of("operator", "is_not"), value = of("value", "b") } } },
        actions = { { type = "suggestion", template = of("template", "t"),
          priority = of("priority", "low"), section = of("section", "s") } },
      }
      if place == "key" then
        each[text] = 1
      end
      local script, why = host.declared({ id = "m", name = of("name", "n"), rules = { each } })
      if script then
        taken = taken + 1
        local output = script:call("map", host.input({ [place == "trait" and text or "a"] =
          "not any of these" }))
        assert.are.same({ each.id }, output.fired)
      else
        refused = refused + 1
        assert.are.equal("invalid", type(why) == "table" and why.code or why)
        assert.is_nil(why.message:find("[%z\1-\31]"), why.message)
        assert.is_true(#why.message < 400)
      end
    end
    assert.is_true(taken > 100 and refused > 100)
  end)

  it("what a trait holds is not looked at again", function()
    local script = assert(host.declared({ id = "m", rules = { { id = "r",
      conditions = { type = "trait_check", trait = "a", operator = "exists" },
      actions = { { type = "suggestion", template = "{{a}}" } } } } }))
    for _, text in ipairs({ "{{b}}", "{{a}}", "%1", "\\1", "]]" }) do
      local output = script:call("map", host.input({ a = text, b = "secret" }))
      assert.are.equal(text, output.overlay.suggestions[1].text)
    end
  end)

  it("patterns and prefixes of 'requires' are data, too", function()
    local script, why = host.declared({ id = "m", requires = { "a\"] error('out')" }, rules = {} })
    assert.is_nil(script)
    assert.is_truthy(why.message:find("is not a trait's path", 1, true))
    local node = assert(condition.test("a", operators.method.matches, "\"%]%] error\\('out'\\)"))
    assert.is_nil(only_words(compile.source({ { id = "r", when = node, detail = 1, level = "core",
      says = {} } }, { requires = { "a.*" }, time_step = 5 })))
  end)

  it("manifests of the wrong type everywhere are refused in words", function()
    local made = { id = "m", version = "1.0.0", rules = { { id = "r", conditions = { all = { { type =
      "trait_check", trait = "a", operator = "equals", value = 1 } } }, actions = { { type =
      "suggestion", template = "t", priority = "low", section = "s" } } } }, requires = { "a" },
      templates = { a = "b" }, ttl = "1h", limits = { soft_ms = 5 } }
    local function each_place(of, visit, place)
      for _, key in ipairs(value.keys(of)) do
        visit(of, key, place .. "." .. key)
        if type(of[key]) == "table" then
          each_place(of[key], visit, place .. "." .. key)
        end
      end
    end
    assert(host.declared(value.clone(made)))
    local count = 0
    each_place(made, function(of, key)
      local before = of[key]
      for _, wrong in ipairs({ 5, "\0", {}, { {} }, true, host.null, -0.5 }) do
        of[key] = wrong
        local is_ok, script, why = pcall(host.declared, value.clone(made))
        assert.is_true(is_ok, tostring(script))
        assert.is_true(script ~= nil or why.code == "invalid")
        count = count + 1
      end
      of[key] = before
    end, "")
    assert.is_true(count > 100)
  end)
end)

-- ---- Purity ----

local function read_module(name)
  return host.read_file(host.root .. "lua/personakit/" .. name .. ".lua")
end

-- A mapper that writes into everything it can reach.
local VANDAL = [[
  local pk = require "personakit"
  local function spoil(of, depth)
    if type(of) ~= "table" or depth > 4 then
      return
    end
    pcall(function() of.stolen = SECRET end)
    pcall(rawset, of, "stolen", "secret")
    pcall(rawset, of, 1, "secret")
    pcall(setmetatable, of, { __index = function() return "secret" end })
    local meta = getmetatable(of)
    if type(meta) == "table" then
      pcall(rawset, meta, "__index", function() return "secret" end)
    end
    for _, each in pairs(of) do
      if each ~= of then
        spoil(each, depth + 1)
      end
    end
  end
  local t = pk.trait("a"):exists()
  return pk.mapper { id = "v", rules = { pk.rule { id = "r", when = t, suggest = "x" } },
    core = function(m, ctx)
      local seen = { rawget(pk, "stolen") or "no", m.a or "no", m.now.mood or "no", ctx.task and ctx.task.x or "no" }
      if VANDALISE then
        for _, each in ipairs({ pk, m, m.now, m.facts, m.found, ctx, t, m.list, ctx.task, m.goals }) do
          spoil(each, 1)
        end
        spoil(pk, 1)
      end
      return { seen = seen }
    end }]]

describe("calls", function()
  it("leave nothing behind in a library that is kept", function()
    local script = assert(host.load((VANDAL:gsub("VANDALISE", "false"):gsub("SECRET", "'secret'"))))
    local env = host.environment()
    local new = setfenv(assert(loadstring(bundle.text("resident", read_module,
      script.about.program))), env)({ null = host.null, date = host.date, list = host.list })
    local function call(is_vandal, traits, more)
      local text = VANDAL:gsub("VANDALISE", tostring(is_vandal)):gsub("SECRET", "'secret'")
      local library = new()
      local own = host.environment()
      rawset(own, "require", function() return library end)
      return setfenv(assert(loadstring(text)), own)().map(host.input(traits, more))
    end
    local before = value.canonical(call(false, { a = 1 }))
    call(true, { a = "theirs", list = { 1, { 2 } } }, { task = { x = "task" },
      mindscape = { goals = { { description = "g" } } } })
    local after = call(false, { a = 1 })
    assert.are.equal(before, value.canonical(after))
    assert.are.same({ seen = { 1, 1, "no", "no" } }, (function()
      after.core.seen[1] = 1
      return after.core
    end)())
  end)

  it("give the same bytes whatever the order of the traits", function()
    local scripts = { assert(host.declared(host.read_file(host.root
      .. "tests/lua/fixtures/productivity-optimizer.json"))) }
    for _, name in ipairs({ "daily-work-optimizer", "communication-style" }) do
      scripts[#scripts + 1] = assert(host.load(host.read_file(host.root .. "tests/lua/fixtures/"
        .. name .. ".lua")))
    end
    local traits = { ["work.chronotype"] = "morning", ["work.meetings.per_day"] = 5,
      ["communication.style"] = "direct", ["communication.preferred_medium"] = "mail",
      ["mood.stress"] = 0.9, ["work.focus_patterns.deep_work_duration"] = 90,
      ["work.focus_patterns.peak_hours"] = { "09:00", "11:00" } }
    for i = 1, 30 do
      traits["work.focus.t" .. i] = i
    end
    math.randomseed(3)
    for _, script in ipairs(scripts) do
      local first
      for _ = 1, 20 do
        local input = host.input(traits)
        local list = input.mindscape.traits
        for i = #list, 2, -1 do
          local j = math.random(i)
          list[i], list[j] = list[j], list[i]
        end
        local text = value.canonical(script:call("map", input))
        first = first or text
        assert.are.equal(first, text)
      end
      assert.is_truthy(first:find("ruleId", 1, true))
    end
  end)

  it("describe a script the same every time, and compile it to the same bytes", function()
    local text = host.read_file(host.root .. "tests/lua/fixtures/daily-work-optimizer.lua")
    local one, two = assert(host.load(text)), assert(host.load(text))
    assert.are.equal(value.canonical(one.about), value.canonical(two.about))
  end)
end)

describe("the library", function()
  it("is text that needs nothing but what the jail gives", function()
    for _, kind in ipairs({ "full", "lean", "resident" }) do
      local text = bundle.text(kind, read_module, "return {}")
      for _, word in ipairs({ "io", "os", "ffi", "jit", "debug", "loadstring", "setfenv", "getfenv",
        "newproxy", "collectgarbage", "dofile", "print" }) do
        local chunk = assert(loadstring(text))
        assert.is_function(chunk)
        assert.is_nil(text:match("[^%w_.\"'`]" .. word .. "[.(]"), kind .. " names " .. word)
      end
    end
  end)

  it("is all in the bundles", function()
    local listed = { bundle = true, reference = true } -- Nothing that runs in the jail.
    for _, kind in pairs(bundle.modules) do
      for _, name in ipairs(kind) do
        listed[name] = true
      end
    end
    for name in require("lfs").dir(host.root .. "lua/personakit") do
      local module = name:match("^(.*)%.lua$")
      assert.is_true(not module or listed[module] or false, name)
    end
  end)

  it("reads a rule whose id is nearly another as what it is", function()
    local fault = require "personakit.fault"
    assert.are.equal("gte", fault.nearest("gt_e", { "gt", "gte", "lte" }))
    assert.are.equal("section", fault.nearest("setcion", { "section", "suggest" }))
    assert.is_nil(fault.nearest("entirely different", { "section", "suggest" }))
    assert.is_nil(fault.nearest(nil, { "a" }))
    assert.is_truthy(rule.KEYS[1])
  end)
end)
