-- memory_reverse_big.lua - Turns a large text round and keeps it. Expect: memory
return function(m)
  local s = ("x"):rep(3e6)
  local t = {}
  for i = 1, 100 do t[i] = (s .. i):reverse() end
end
