-- output_boolean_key.lua - A boolean as a key. Expect: output: a key that is a boolean
return function(m)
  return { [true] = 1 }
end
