-- escape_null_metatable.lua - The metatable of null. Expect: contained
return function(m)
  local null = require("personakit").null
  return getmetatable(null) ~= nil or pcall(function() return null.x end)
end
