-- time_sort_many.lua - Sorts for ever. Expect: time or memory
return function(m)
  local t = {}
  for i = 1, 100000 do t[i] = i * 7919 % 100003 end
  while true do table.sort(t, function(a, b) return a % 1000 > b % 1000 end) end
end
