-- time_second_call.lua - Would be endless on its second call, if it could count calls. Expect: contained
local calls = 0
return function()
  calls = calls + 1
  while calls > 1 do end
  return false
end
