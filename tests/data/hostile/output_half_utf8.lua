-- output_half_utf8.lua - Half a letter. Expect: output: not valid UTF-8
return function(m)
  return ("\195\164"):sub(1, 1)
end
