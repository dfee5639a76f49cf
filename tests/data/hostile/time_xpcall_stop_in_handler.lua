-- time_xpcall_stop_in_handler.lua - What is stopped goes on in the handler. Expect: time
return function(m)
  while true do
    xpcall(function() while true do end end, function()
      while true do pcall(error) end
    end)
  end
end
