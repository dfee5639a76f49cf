-- time_for_step_zero.lua - A for loop whose step is 0. Expect: time
return function(m)
  for i = 1, 2, 0 do end
end
