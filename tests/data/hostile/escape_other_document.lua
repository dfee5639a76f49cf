-- escape_other_document.lua - A document that was not granted. Expect: contained
return function(m)
  local a, e = require("personakit").ask("store.get", { person = "somebody else" })
  return a ~= nil
end
