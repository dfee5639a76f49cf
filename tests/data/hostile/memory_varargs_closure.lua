-- memory_varargs_closure.lua - Closures over argument lists. Expect: memory or time
return function(m)
  local function keep(...) local t = { ... } return function() return t end end
  local k = {}
  for i = 1, 1e9 do k[i] = keep(i, i, i, i) end
end
