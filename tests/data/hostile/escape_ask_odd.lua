-- escape_ask_odd.lua - Questions without a name. Expect: contained
return function(m)
  local ask = require("personakit").ask
  return (pcall(ask)) or (pcall(ask, "")) or (pcall(ask, ("x"):rep(1000))) or (pcall(ask, "a\0b")) or (pcall(ask, {}))
end
