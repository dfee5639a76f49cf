-- time_coroutine_ping_pong.lua - Goes in and out of a coroutine for ever. Expect: time
return function(m)
  local co = coroutine.wrap(function() while true do coroutine.yield() end end)
  while true do co() end
end
