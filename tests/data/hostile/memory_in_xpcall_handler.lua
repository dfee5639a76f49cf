-- memory_in_xpcall_handler.lua - The cap in a handler. Expect: memory
return function(m)
  return xpcall(error, function() return ("x"):rep(1e9) end)
end
