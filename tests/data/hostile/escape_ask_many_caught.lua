-- escape_ask_many_caught.lua - Asks a million times and catches the refusals. Expect: time
return function(m)
  local ask = require("personakit").ask
  while true do pcall(ask, "x") end
end
