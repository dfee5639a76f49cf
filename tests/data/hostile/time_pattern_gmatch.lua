-- time_pattern_gmatch.lua - A bomb in gmatch. Expect: time
return function(m)
  for a in ("x"):rep(40000):gmatch(("x-"):rep(9) .. "y") do end
end
