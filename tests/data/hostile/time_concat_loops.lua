-- time_concat_loops.lua - __concat never returns. Expect: time
return function(m)
  return setmetatable({}, { __concat = function() while true do end end }) .. "x"
end
