-- output_many.lua - A hundred thousand numbers. Expect: output: over
return function(m)
  local t = {}
  for i = 1, 1e5 do t[i] = i end
  return t
end
