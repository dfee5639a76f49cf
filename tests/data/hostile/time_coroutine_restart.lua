-- time_coroutine_restart.lua - A new coroutine for each that is stopped. Expect: time
return function(m)
  while true do
    local co = coroutine.create(function() while true do end end)
    coroutine.resume(co)
  end
end
