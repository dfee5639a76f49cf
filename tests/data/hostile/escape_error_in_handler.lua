-- escape_error_in_handler.lua - The handler of an error throws. Expect: error: again
return function(m)
  xpcall(error, function() error("again") end)
end
