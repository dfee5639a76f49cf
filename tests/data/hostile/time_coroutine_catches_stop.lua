-- time_coroutine_catches_stop.lua - Coroutines that catch what stops them, again and again. Expect: time
return function(m)
  local function body() while true do pcall(function() for i = 1, 100 do end end) end end
  while true do coroutine.resume(coroutine.create(body)) end
end
