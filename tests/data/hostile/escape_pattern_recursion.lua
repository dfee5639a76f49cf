-- escape_pattern_recursion.lua - A pattern that nests too deep. Expect: contained
return function(m)
  return (pcall(string.find, ("x"):rep(3e5), ("(x"):rep(300)))
end
