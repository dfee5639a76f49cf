-- escape_ask_not_granted.lua - Asks for what was not granted. Expect: contained
return function(m)
  local a, e = require("personakit").ask("http.get", { url = "http://localhost/" })
  return a ~= nil or e.code ~= "forbidden"
end
