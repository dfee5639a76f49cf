-- memory_sparse.lua - Keys that make a table as large as can be. Expect: memory or time
return function(m)
  local t = {}
  for i = 1, 64 do t[2 ^ i] = i end
  for i = 1, 1e9 do t[i * 1.5] = {} end
end
