-- output_negative_key.lua - A list position before the first. Expect: output: list without holes
return function(m)
  return { [-1] = 1 }
end
