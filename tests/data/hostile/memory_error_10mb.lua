-- memory_error_10mb.lua - An error with a message of megabytes. Expect: error or memory
return function(m)
  error(("x"):rep(6e6))
end
