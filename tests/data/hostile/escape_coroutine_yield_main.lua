-- escape_coroutine_yield_main.lua - Yields where nobody resumes. Expect: contained
return function(m)
  return (pcall(coroutine.yield, 1))
end
