-- output_large.lua - Four megabytes of text. Expect: output: over
return function(m)
  return ("x"):rep(4e6)
end
