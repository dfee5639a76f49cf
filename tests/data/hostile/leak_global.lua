-- leak_global.lua - A global. Expect: contained
return function(m)
  local was = rawget(_G, "seen")
  rawset(_G, "seen", m.secret)
  return was ~= nil
end
