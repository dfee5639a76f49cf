-- memory_rep_1e9.lua - A text of a billion letters. Expect: memory
return function(m)
  return #("x"):rep(1e9)
end
