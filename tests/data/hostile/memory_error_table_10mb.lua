-- memory_error_table_10mb.lua - An error object with a message of megabytes. Expect: error or memory
return function(m)
  error({ message = ("y"):rep(6e6) })
end
