-- leak_library_enter.lua - Takes over the library for the next call. Expect: contained
return function(m)
  local pk = require("personakit")
  local was = rawget(pk, "enter")
  rawset(pk, "enter", function() return m.secret end)
  return was ~= nil
end
