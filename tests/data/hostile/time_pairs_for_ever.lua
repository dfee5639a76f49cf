-- time_pairs_for_ever.lua - Walks a table for ever. Expect: time
return function(m)
  local t = {}
  for i = 1, 1000 do t["k" .. i] = i end
  while true do for k, v in pairs(t) do t[k] = v + 1 end end
end
