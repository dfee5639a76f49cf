-- memory_in_coroutine_caught.lua - The cap in a coroutine that hides it. Expect: memory
return function(m)
  return (coroutine.resume(coroutine.create(function() return #("x"):rep(1e9) end)))
end
