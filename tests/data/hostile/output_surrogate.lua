-- output_surrogate.lua - A lone surrogate as UTF-8. Expect: output: not valid UTF-8 or done
return function(m)
  return "\237\160\128"
end
