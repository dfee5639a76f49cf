-- output_binary_subtype.lua - A binary of a subtype that is no byte. Expect: output: a binary must hold
return function(m)
  local b = m.bin
  b.subtype = 1e300
  return b
end
