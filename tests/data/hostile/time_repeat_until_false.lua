-- time_repeat_until_false.lua - The other loop without end. Expect: time
return function(m)
  repeat until false
end
