-- time_reverse_for_ever.lua - Turns a long text round for ever. Expect: time
return function(m)
  local s = ("abc"):rep(3e5)
  while true do s = s:reverse() end
end
