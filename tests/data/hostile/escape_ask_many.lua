-- escape_ask_many.lua - Asks a million times. Expect: error: asked for more than
return function(m)
  local ask = require("personakit").ask
  for i = 1, 1e6 do ask("x", i) end
end
