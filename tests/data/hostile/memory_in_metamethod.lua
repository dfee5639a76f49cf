-- memory_in_metamethod.lua - The cap in a metamethod. Expect: memory
return function(m)
  local t = setmetatable({}, { __index = function(_, k) return ("x"):rep(1e9) end })
  return pcall(function() return t.x end)
end
