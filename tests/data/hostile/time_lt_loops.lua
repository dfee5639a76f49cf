-- time_lt_loops.lua - __lt never returns. Expect: time
return function(m)
  local mt = { __lt = function() while true do end end }
  return setmetatable({}, mt) < setmetatable({}, mt)
end
