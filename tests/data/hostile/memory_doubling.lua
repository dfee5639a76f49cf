-- memory_doubling.lua - Doubles a text for ever. Expect: memory
return function(m)
  local s = "x"
  while true do s = s .. s end
end
