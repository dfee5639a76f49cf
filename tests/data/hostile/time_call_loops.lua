-- time_call_loops.lua - __call never returns. Expect: time
return function(m)
  setmetatable({}, { __call = function() while true do end end })()
end
