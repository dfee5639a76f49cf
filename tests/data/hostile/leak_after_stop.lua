-- leak_after_stop.lua - Leaves something and is stopped. Expect: time
return function(m)
  string.left = m.secret
  rawset(_G, "left", m)
  while true do pcall(string.rep, "x", 3) end
end
