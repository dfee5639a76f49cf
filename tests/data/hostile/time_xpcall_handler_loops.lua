-- time_xpcall_handler_loops.lua - The handler of an error never returns. Expect: time
return function(m)
  xpcall(function() error("x") end, function() while true do end end)
end
