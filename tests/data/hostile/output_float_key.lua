-- output_float_key.lua - Half a list position. Expect: output: list without holes
return function(m)
  return { [1.5] = 1 }
end
