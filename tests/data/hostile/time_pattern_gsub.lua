-- time_pattern_gsub.lua - A bomb in gsub. Expect: time
return function(m)
  return #("x"):rep(40000):gsub(("x-"):rep(9) .. "y", "")
end
