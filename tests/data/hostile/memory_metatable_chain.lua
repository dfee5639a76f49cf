-- memory_metatable_chain.lua - A chain of a million metatables. Expect: error or memory or time
return function(m)
  local t = {}
  for i = 1, 1e6 do t = setmetatable({}, { __index = t }) end
  return t.x
end
