-- leak_cleared_libraries.lua - Empties all libraries. Expect: contained
return function(m)
  local ok = type(string.sub) == "function" and type(math.floor) == "function"
  for k in pairs(string) do string[k] = nil end
  for k in pairs(math) do math[k] = nil end
  local g = _G
  for k in pairs(g) do g[k] = nil end
  return not ok
end
