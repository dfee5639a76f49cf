-- time_pattern_stars.lua - A pattern of stars that never fits. Expect: time
return function(m)
  return (("a"):rep(28) .. "b"):rep(900):find(("a*"):rep(28) .. "c") == nil
end
