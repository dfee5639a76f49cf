-- escape_debug_setmetatable.lua - The metatable of texts by debug. Expect: contained
return function(m)
  return (pcall(function() return debug.setmetatable("", {}) end))
end
