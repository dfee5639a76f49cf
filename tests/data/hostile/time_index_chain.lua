-- time_index_chain.lua - Tables that ask each other. Expect: time
return function(m)
  local a, b = {}, {}
  setmetatable(a, { __index = function(_, k) return b[k] end })
  setmetatable(b, { __index = function(_, k) return pcall(function() return a[k] end) and b[k] end })
  while true do pcall(function() return a.x end) end
end
