-- escape_coroutine_wrap_host.lua - Host functions as coroutines. Expect: contained
return function(m)
  return (pcall(coroutine.wrap(require), "ffi"))
end
