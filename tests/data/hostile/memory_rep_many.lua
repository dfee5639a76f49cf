-- memory_rep_many.lua - A million texts of a thousand letters. Expect: memory or time
return function(m)
  local t = {}
  for i = 1, 1e6 do t[i] = ("x"):rep(1000) .. i end
end
