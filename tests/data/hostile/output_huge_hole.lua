-- output_huge_hole.lua - A list with one hole of a billion. Expect: output: list without holes
return function(m)
  return { [1] = 1, [1e9] = 2 }
end
