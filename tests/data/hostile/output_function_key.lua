-- output_function_key.lua - A function as a key. Expect: output: a key that is a function
return function(m)
  return { [function() end] = 1 }
end
