-- output_mixed.lua - A list that is an object, too. Expect: output: list positions and named fields
return function(m)
  return { 1, 2, x = 3 }
end
