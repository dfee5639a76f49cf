-- output_key_huge.lua - A key of a hundred thousand letters. Expect: output: over
return function(m)
  return { [("k"):rep(1e5)] = 1 }
end
