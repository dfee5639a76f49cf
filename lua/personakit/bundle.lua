-- bundle.lua - The library as one text: what the host loads in front of a script.
--
-- 'full' checks and compiles when a script is taken in, 'lean' runs it: made anew
-- for every call. 'resident' is 'lean' for a host that keeps it: the chunk gives a
-- function that makes the library's table for one call. 'lint' looks at a script's
-- text for its author (lint.lua). Each module becomes a function that is called when
-- it is first required; nothing but Lua text is joined, so any host can do the same
-- (../README.md). The lean text brings the script's program, which 'describe' gave.
--
-- SPDX-License-Identifier: MIT
local concat, format = table.concat, string.format

local bundle = {}

bundle.modules = {
  full = { "fault", "host", "value", "tests", "pattern", "operators", "template", "condition",
    "rule", "manifest", "source", "compile", "explain",
    "examples", "place", "outside", "tuning", "init" },
  lean = { "fault", "host", "value", "tests", "pattern", "template", "source", "record", "view",
    "rules", "verbs", "outside", "run", "lean" },
  lint = { "fault", "lint" },
}

local HEAD = [[
local given = ...
local modules, loaded = {}, {}
local function require(name)
  if loaded[name] == nil then
    loaded[name] = modules[name](given)
  end
  return loaded[name]
end
]]

local LAST = {
  full = "return require(\"personakit.init\")\n",
  lean = "return require(\"personakit.lean\")()\n",
  resident = "return require(\"personakit.lean\")\n",
  lint = "return require(\"personakit.lint\")\n",
}

-- read(name) gives the text of NAME.lua of this folder; 'program' is for lean and resident.
function bundle.text(kind, read, program)
  local parts = { HEAD }
  for _, name in ipairs(bundle.modules[kind] or bundle.modules.lean) do
    parts[#parts + 1] = format("modules[\"personakit.%s\"] = function(...)\n%s\nend\n", name,
      read(name))
  end
  if program then
    parts[#parts + 1] = "modules[\"personakit.program\"] = function() return function(...)\n"
      .. program .. "\nend end\n"
  end
  parts[#parts + 1] = LAST[kind]
  return concat(parts)
end

return bundle
