-- escape_string_metatable_set.lua - Another metatable of texts. Expect: contained
return function(m)
  return (pcall(setmetatable, "", {})) or (pcall(function() getmetatable("").__index = {} end))
end
