-- leak_upvalue.lua - An upvalue of the main chunk. Expect: contained
local seen
return function(m)
  local was = seen
  seen = m.secret
  return was ~= nil
end
