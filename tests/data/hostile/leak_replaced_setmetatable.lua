-- leak_replaced_setmetatable.lua - setmetatable for a later script. Expect: contained
return function(m)
  local was = getmetatable(setmetatable({}, { x = 1 })).x ~= 1
  setmetatable = function(t) return t end
  return was
end
