-- memory_table_grows.lua - A list without end. Expect: memory
return function(m)
  local t = {}
  for i = 1, 1e9 do t[i] = i end
end
