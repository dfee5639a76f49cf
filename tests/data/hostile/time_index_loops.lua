-- time_index_loops.lua - __index never returns. Expect: time
return function(m)
  local t = setmetatable({}, { __index = function() while true do end end })
  return t.x
end
