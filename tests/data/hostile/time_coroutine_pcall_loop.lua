-- time_coroutine_pcall_loop.lua - A loop in pcall in a coroutine. Expect: time
return function(m)
  coroutine.wrap(function()
    while true do pcall(function() while true do end end) end
  end)()
end
