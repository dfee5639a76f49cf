-- output_functions.lua - A function as output. Expect: output: f: a function
return function(m)
  return { f = function() end }
end
