-- host.lua - What the library gets from its host, and what stands in for it elsewhere.
--
-- In the jail the host's own functions arrive with the bundle (see ../README.md)
-- and replace what is here. Under a plain LuaJIT (tests, tools) dates are plain
-- milliseconds, null is nil, and every table may be a list.
--
-- SPDX-License-Identifier: MIT
local given = ... -- The host's table, or the module's name when loaded by a plain require.

local host = {
  null = nil,                              -- what stands for null in decoded documents
  date = function(ms) return ms end,       -- an instant as documents know it
  list = function(of) return of or {} end, -- marks a table as a list, also when it is empty
  ask = nil,                               -- ask(name, value) -> answer, or nil and an error
  raw = nil,                               -- lists that are read without being decoded; see source.lua
}

if type(given) == "table" then
  for _, name in ipairs({ "null", "date", "list", "ask", "raw" }) do
    host[name] = given[name]
  end
end

return host
