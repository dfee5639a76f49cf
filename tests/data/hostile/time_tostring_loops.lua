-- time_tostring_loops.lua - __tostring never returns. Expect: time
return function(m)
  return tostring(setmetatable({}, { __tostring = function() while true do end end }))
end
