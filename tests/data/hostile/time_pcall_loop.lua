-- time_pcall_loop.lua - Catches every error, for ever. Expect: time
return function(m)
  while true do pcall(function() error("again") end) end
end
