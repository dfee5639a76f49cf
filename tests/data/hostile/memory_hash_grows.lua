-- memory_hash_grows.lua - A table of names without end. Expect: memory or time
return function(m)
  local t = {}
  for i = 1, 1e9 do t["k" .. i] = i end
end
