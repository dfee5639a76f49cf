-- escape_error_hostile_tostring.lua - Throws an object whose __tostring never returns. Expect: error: a table without
return function(m)
  error(setmetatable({}, { __tostring = function() while true do end end }))
end
