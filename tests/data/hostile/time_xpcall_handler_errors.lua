-- time_xpcall_handler_errors.lua - The handler fails, too, and that is caught. Expect: time
return function(m)
  while true do
    pcall(xpcall, error, function() error("again") end)
  end
end
