-- output_nan.lua - NaN. Expect: output: NaN
return function(m)
  return 0 / 0
end
