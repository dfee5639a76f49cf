-- leak_walk.lua - The state of a walk. Expect: contained
return function(m)
  local f, s = pairs(m)
  local was = s.kept
  s.kept = m.secret
  return was ~= nil
end
