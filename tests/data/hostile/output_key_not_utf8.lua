-- output_key_not_utf8.lua - A key that is not UTF-8. Expect: output: a key must be UTF-8
return function(m)
  return { ["\255"] = 1 }
end
