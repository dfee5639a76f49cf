-- time_unm_loops.lua - __unm never returns. Expect: time
return function(m)
  return -setmetatable({}, { __unm = function() while true do end end })
end
