-- time_coroutine_loop.lua - A loop in a coroutine. Expect: time
return function(m)
  coroutine.wrap(function() while true do end end)()
end
