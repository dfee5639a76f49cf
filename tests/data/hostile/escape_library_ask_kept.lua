-- escape_library_ask_kept.lua - Keeps its input in the library. Expect: contained
return function(m)
  local pk = require("personakit")
  local was = pk.kept
  pk.kept = m
  return was ~= nil
end
