-- time_pattern_frontier.lua - Frontiers on a long subject, for ever. Expect: time
return function(m)
  local s = ("a "):rep(20000)
  for i = 1, 1e6 do s:find("%f[%d].-.-.-%f[%z]z") end
end
