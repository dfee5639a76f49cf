-- output_key_nul.lua - A key with NUL. Expect: output: a key must be UTF-8 without NUL
return function(m)
  return { ["a\0b"] = 1 }
end
