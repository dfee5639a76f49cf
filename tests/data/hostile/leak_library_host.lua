-- leak_library_host.lua - Breaks the library for the next call. Expect: contained
return function(m)
  local pk = require("personakit")
  local was = pk.ask == nil
  pk.ask = nil
  return was
end
