-- escape_error_hostile_message.lua - Throws an object whose message is invented by __index. Expect: error: a table without
return function(m)
  error(setmetatable({}, { __index = function() while true do end end }))
end
