-- pattern_spec.lua - Patterns of ':matches': what they find, what is refused, and that none can hang.
dofile((debug.getinfo(1, "S").source:match("^@(.*/)") or "./") .. "host.lua")

local pattern = require "personakit.pattern"

-- { pattern, { texts in which it is found }, { texts in which it is not } }
local CASES = {
  { "", { "", "a" }, {} },
  { "abc", { "abc", "xabcx" }, { "ab", "aabbcc", "" } },
  { "^abc$", { "abc" }, { "xabc", "abcx", "abc\n" } },
  { "^$", { "" }, { "a" } },
  { "a|b|cd", { "a", "xb", "cd" }, { "c", "d", "" } },
  { "^(a|b)+$", { "a", "abba" }, { "", "abca" } },
  { "a*b", { "b", "aaab" }, { "aaa" } },
  { "^a+$", { "a", "aaa" }, { "", "ab" } },
  { "^colou?r$", { "color", "colour" }, { "colouur" } },
  { "^\\d{2,3}$", { "12", "123" }, { "1", "1234", "ab" } },
  { "^\\d{2,}$", { "12", "12345" }, { "1" } },
  { "^x{0}y$", { "y" }, { "xy" } },
  { "^(ab){2}$", { "abab" }, { "ab", "ababab" } },
  { "[a-c]", { "b" }, { "d", "" } },
  { "^[^a-c]$", { "d", "é", "\255" }, { "a", "dd" } },
  { "^[]a]$", { "]", "a" }, { "b" } },
  { "^[a-]$", { "-", "a" }, { "b" } },
  { "^[\\w.]+$", { "a_1.b" }, { "a b" } },
  { "^\\W$", { " ", "é" }, { "a", "_" } },
  { "^\\D\\S$", { "ab", "-é" }, { "1a", "a " } },
  { "\\.", { "a.b" }, { "ab" } },
  { "^.$", { "a", "é", "漢", "😀" }, { "", "ab", "\n" } },
  { "^(?:a|)b$", { "ab", "b" }, { "a" } },
  { "(?i)^mon", { "Monday", "MON" }, { "sun" } },
  { "(?i)^[a-c]$", { "B" }, { "D" } },
  { "(^a|b$)", { "ax", "xb" }, { "xa", "bx" } },
  { "a^b", {}, { "ab", "a^b" } },
  { "\\t\\n", { "\t\n" }, { "tn" } },
  { "é|è", { "caf\195\169", "tr\195\168s" }, { "e" } },
}

local WRONG = { "(", ")", "a)", "[a", "[]", "*a", "+", "?", "{1}", "a{", "a{x}", "a{3,2}", "a{201}",
  "\\q", "\\", "(?=a)", "(?<n>a)", "^*", "$+", "[z-a]", "[é]", "(a{200}){200}", "\\1",
  ("("):rep(60) .. "a" .. (")"):rep(60) }

describe("patterns", function()
  for _, case in ipairs(CASES) do
    it(string.format("%q finds what it should", case[1]), function()
      local matches = assert(pattern.compile(case[1]))
      for i, wanted in ipairs({ true, false }) do
        for _, text in ipairs(case[i + 1]) do
          assert.are.equal(wanted, matches(text), string.format("%q on %q", case[1], text))
        end
      end
    end)
  end

  it("what is not taken is refused with its place", function()
    for _, text in ipairs(WRONG) do
      local matches, why = pattern.compile(text)
      assert.is_nil(matches, text)
      assert.is_truthy(why.message:find("is wrong at byte %d+") or why.message:find("too large"),
        why.message)
    end
  end)

  it("those that hang others take time in proportion to the text", function()
    for _, text in ipairs({ "(a*)*b", "(a|aa)+$x", "(a|a)*b", "^(a+)+$", ".*.*.*.*.*x", "(.*){30}z" }) do
      local matches = assert(pattern.compile(text))
      local start = os.clock()
      local is_found = matches(("a"):rep(20000) .. "c")
      assert.is_false(is_found)
      assert.is_true(os.clock() - start < 20, text)
    end
  end)

  it("agrees with Lua's patterns on random texts of few letters", function()
    math.randomseed(7)
    for _, pair in ipairs({ { "^a*b", "^a*b" }, { "ab+a", "ab+a" }, { "^[ab]+c$", "^[ab]+c$" },
      { "a.c", "a.c" }, { "b?c", "b?c" } }) do
      local matches = assert(pattern.compile(pair[1]))
      for _ = 1, 300 do
        local letters = {}
        for i = 1, math.random(0, 8) do
          letters[i] = ("abc"):sub(math.random(3)):sub(1, 1)
        end
        local text = table.concat(letters)
        assert.are.equal(text:find(pair[2]) ~= nil, matches(text), pair[1] .. " on " .. text)
      end
    end
  end)
end)
