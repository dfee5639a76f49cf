-- time_while_true.lua - A loop without end. Expect: time
return function(m)
  while true do end
end
