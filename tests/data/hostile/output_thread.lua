-- output_thread.lua - A coroutine as output. Expect: output: [1]: a thread
return function(m)
  return { coroutine.create(function() end) }
end
