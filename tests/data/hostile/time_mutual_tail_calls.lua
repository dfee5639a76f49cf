-- time_mutual_tail_calls.lua - Two functions that tail-call each other. Expect: time
return function(m)
  local ping, pong
  function ping(n) return pong(n + 1) end
  function pong(n) return ping(n - 1) end
  ping(0)
end
