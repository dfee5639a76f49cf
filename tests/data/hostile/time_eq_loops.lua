-- time_eq_loops.lua - __eq never returns. Expect: time
return function(m)
  local mt = { __eq = function() while true do end end }
  return setmetatable({}, mt) == setmetatable({}, mt)
end
