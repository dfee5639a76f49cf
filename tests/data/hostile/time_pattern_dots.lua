-- time_pattern_dots.lua - A pattern that tries 30,000^12 ways. Expect: time
return function(m)
  local s = ("a"):rep(30000)
  return s:find((".-"):rep(12) .. "b") == nil
end
