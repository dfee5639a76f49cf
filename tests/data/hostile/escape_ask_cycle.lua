-- escape_ask_cycle.lua - Asks with a question that contains itself, and catches that. Expect: output: contains itself or contained
return function(m)
  local t = {}
  t.t = t
  return (pcall(require("personakit").ask, "x", t))
end
