-- time_pattern_match.lua - Captures that never fit. Expect: time or contained
return function(m)
  return ("x"):rep(40000):match("(.-)(.-)(.-)(.-)(.-)y")
end
