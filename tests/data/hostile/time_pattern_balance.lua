-- time_pattern_balance.lua - Brackets that are never closed. Expect: time
return function(m)
  local s = ("("):rep(60000)
  for i = 1, 1e6 do s:find("%b()") end
end
