-- escape_print.lua - The standard output. Expect: contained
return function(m)
  return (pcall(function() print("x") end))
end
