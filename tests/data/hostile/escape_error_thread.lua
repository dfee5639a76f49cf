-- escape_error_thread.lua - Throws a coroutine. Expect: error: thread
return function(m)
  error(coroutine.create(error))
end
