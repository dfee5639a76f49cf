-- escape_ask_huge.lua - Asks with a question of megabytes. Expect: output: over
return function(m)
  require("personakit").ask("x", ("q"):rep(1e6))
end
