-- memory_in_coroutine.lua - The cap in a coroutine. Expect: memory
return function(m)
  return coroutine.wrap(function() return #("x"):rep(1e9) end)()
end
