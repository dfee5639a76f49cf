-- escape_bit_tricks.lua - Odd numbers for bit. Expect: contained
return function(m)
  return bit.tobit(2 ^ 53) ~= 0 or (pcall(bit.tohex, {}))
end
