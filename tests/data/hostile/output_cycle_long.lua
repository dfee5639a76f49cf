-- output_cycle_long.lua - A cycle of twenty tables. Expect: output: contains itself
return function(m)
  local first = {}
  local t = first
  for i = 1, 20 do t.n = {} t = t.n end
  t.n = first
  return first
end
