-- time_numeric_for_huge.lua - A for loop up to infinity. Expect: time
return function(m)
  local s = 0
  for i = 1, math.huge do s = s + i % 3 end
end
