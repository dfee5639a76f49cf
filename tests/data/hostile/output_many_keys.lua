-- output_many_keys.lua - Fifty thousand fields. Expect: output: over
return function(m)
  local t = {}
  for i = 1, 5e4 do t["k" .. i] = 1 end
  return t
end
