-- output_binary_spoiled.lua - A binary without bytes. Expect: output: a binary must hold
return function(m)
  local b = m.bin
  b.bytes = {}
  return b
end
