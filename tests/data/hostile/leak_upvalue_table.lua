-- leak_upvalue_table.lua - A table of the main chunk. Expect: contained
local cache = {}
return function(m)
  for who in pairs(cache) do return true end
  cache[m.secret] = m
  return false
end
