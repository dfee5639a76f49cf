-- time_nested_loops.lua - Loops in loops, 10^18 steps. Expect: time
return function(m)
  for i = 1, 1e9 do for k = 1, 1e9 do local x = i * k end end
end
