-- time_newindex_loops.lua - __newindex never returns. Expect: time
return function(m)
  local t = setmetatable({}, { __newindex = function() while true do end end })
  t.x = 1
end
