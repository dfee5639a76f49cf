-- output_infinite.lua - Infinity. Expect: output: a[1]: an infinite number
return function(m)
  return { a = { math.huge } }
end
