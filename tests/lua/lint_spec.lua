-- lint_spec.lua - What a script's text tells before it runs.
local host = dofile((debug.getinfo(1, "S").source:match("^@(.*/)") or "./") .. "host.lua")

local lint = require "personakit.lint"

local function told(text, more)
  local input = { text = text, source = text }
  for key, value in pairs(more or {}) do
    input[key] = value
  end
  local lines = {}
  for _, each in ipairs(lint.lint(input)) do
    lines[#lines + 1] = ("%s:%s%s"):format(each.line or "?", each.is_error and "! " or " ", each.message)
  end
  return lines
end

local function says(text, ...)
  assert.are.same({ ... }, told(text), text)
end

describe("lint", function()
  it("has nothing to say of the library itself", function()
    for _, name in ipairs({ "lint", "init", "manifest", "view", "verbs", "compile", "pattern", "value",
      "run", "rules", "record", "examples", "condition", "operators", "outside" }) do
      local text = host.read_file(host.root .. "lua/personakit/" .. name .. ".lua")
      assert.are.same({}, told(text), name)
    end
  end)

  it("follows scopes", function()
    says("local a = 1\nreturn a")
    says("local a = 1\ndo local a = 2 return a end", "1: local 'a' is never used")
    says("local a = 1\nlocal a = a\nreturn a")
    says("local function f() end", "1: local function 'f' is never used")
    says("local f = function() return f end\nreturn f", "1:! there is no global 'f' here")
    says("for i, v in ipairs({}) do end")
    says("repeat local x = 1 until x")
    says("local a, _b = 1\nreturn function(c, ...) local d = ... return d, a end")
    says("local t = {}\nfunction t.f() end\nfunction t:g() return self end\nreturn t")
    says("function f() end", "1:! global 'f' cannot be made")
    says("goto done\nlocal x = 1\n::done::\nreturn x")
  end)

  it("tells what is set from what is read", function()
    says("local a\na = 5", "1: local 'a' is set, and nobody reads it")
    says("local a\na.x = 5")
    says("local a, b\na, b = 1, 2\nreturn a", "1: local 'b' is set, and nobody reads it")
    says("local a\na[b] = 5", "2:! there is no global 'b' here")
    says("x = 1\ny.z = 2", "1:! global 'x' cannot be made", "2:! there is no global 'y' here")
  end)

  it("reads strings, comments and numbers as Lua does", function()
    says("local s = 'a\\'b' .. [==[ ]] x ]==] .. \"\\\\\" -- y\nreturn s")
    says("--[[ foo()\nbar() ]] return 1 .. 2, 0x1F, 1e-5, .5, 3.")
    says("#!/usr/bin/lua\nreturn #{ 1 }")
    says("local s = 'a\\\nb'\nreturn s, foo", "3:! there is no global 'foo' here")
    says("return ('x'):rep(2), f'x', f{1}, -2 ^ 2 == 3 ~= 4",
      "1:! there is no global 'f' here", "1:! there is no global 'f' here")
  end)

  it("knows what the sandbox has, and what to do instead", function()
    says("return string.dump", "1:! there is no 'string.dump' here")
    says("local string = {}\nreturn string.dump")
    says("return string.format, math.huge, table.concat, coroutine.wrap, bit.band")
    local found = lint.lint({ text = "return os.time()", source = "" })
    assert.are.equal("the time is ctx.now; scripts have no files and no environment", found[1].hint)
    found = lint.lint({ text = "local helper = 1\nreturn helpre, helper", source = "" })
    assert.are.equal("did you mean 'helper'?", found[1].hint)
  end)

  it("tells of paths that are written as fields, and of methods that there are not", function()
    local mapper = "local pk = 1 return pk.mapper { core = function(%s) return { x = %s } end }"
    local function of(expression, more)
      return told(mapper:format("m", expression), more)
    end
    local looks = "1: 'm.work.chronotype' looks for a trait 'work', and then into its value"
    assert.are.same({ looks }, of("m.work.chronotype"))
    assert.are.same({ looks }, of("m.work.chronotype:upper()"))
    assert.are.same({ looks }, of("#m.work.chronotype .. 'x'"))
    assert.are.same({ looks }, of("m.work.chronotype", { declared = { "work.chronotype" } }))
    assert.are.same({}, of("m.work.chronotype", { given = { "work" } }))
    assert.are.same({ "1:! there is no 'm:valeu'" }, of("m:valeu('a.b')"))
    for _, fine in ipairs({ "m.name", "m.now.mood", "m.facts.role", "m.found.q[1].text", "m.goals[1].a",
      "m:value('a.b').c.d", "m['a.b'].c.d", "(m).a.b", "m.name:upper()", "m.value", "m:each('a')()",
      "m:has('a') and m:confident('a', 1)" }) do
      assert.are.same({}, of(fine), fine)
    end
    says("local pk = 1 return pk.mapper({ overlay = function(mind) return "
      .. "{ x = mind.a.b, y = mind:hsa('a') } end })",
      "1: 'mind.a.b' looks for a trait 'a', and then into its value", "1:! there is no 'mind:hsa'")
    says("local pk = 1 return pk.mapper { core = { a = function(x) return x.a.b end, "
      .. "b = pk.section { from = function(y) return y:q() end } } }",
      "1: 'x.a.b' looks for a trait 'a', and then into its value", "1:! there is no 'y:q'")
    says("return { test = function(gen) return gen.a.b, gen:slot() end }")
    says("local pk = 1 return pk.processor { process = function(obs, who, t) "
      .. "t:set('a', obs.content.x) return obs:x(), who.a.b end }",
      "1: 'who.a.b' looks for a trait 'a', and then into its value")
    says("local pk = 1 return pk.condition { test = function(m) local m = {} return m.a.b, m:c() end }")
    -- A helper's 'm' is probably one.
    says("local function f(m) return m.a.b, m:x() end\nreturn f",
      "1: 'm.a.b' looks for a trait 'a', and then into its value", "1: there is no 'm:x'")
    says("local function f(n) return n.a.b, n:x() end\nreturn f")
    local found = lint.lint({ source = "",
      text = mapper:format("m", "m.work.chronotype, y = m:valeu('a')") })
    assert.are.equal("a trait's path is one text: m[\"work.chronotype\"]", found[1].hint)
    assert.are.equal("did you mean 'value'? allowed: age, changed_within, confidence, confident, each, "
      .. "fill, has, value", found[2].hint)
  end)

  it("compares trait paths with those that are known", function()
    local text = "return function(m) return m['work.focus.deep'], m['mood.stres'], m.x['a.b'] end"
    assert.are.same({ "1: trait path 'mood.stres' is not known" },
      told(text, { declared = { "work.focus.*" }, given = { "mood.stress" } }))
    assert.are.same({}, told(text, { declared = { "work.focus.*" } }))
    assert.are.same({ "1: trait path 'mood.stres' is not known", "1: trait path 'work.focus.deep' is not known" },
      told(text, { known = {} }))
    assert.are.same({ "2: trait path 'a.bb' is not known" },
      told(nil, { source = "{\n\"trait\": \"a.bb\" }", reads = { "a.bb" }, known = { "c.d" } }))
    assert.are.same({ "1: trait path 'work.chronotpe' is not known" },
      told("local pk = 1 return pk.trait('work.chronotpe'):is(1), pk.trait 'work.chronotype'",
        { declared = { "work.chronotype" } }))
  end)

  it("ends on texts that are no Lua", function()
    for _, text in ipairs({ "", "(", "((", "local", "function", "for", "if", "x =", "return {", "'",
      "[[", "--[[", "end", "end end", "until", "a.", "a:", "a[", "local function", "::", "\255", "}", ")" }) do
      told(text)
    end
  end)
end)
