-- memory_rep_overflow.lua - A text longer than addresses. Expect: done or memory or error
return function(m)
  return #("x"):rep(2 ^ 52)
end
