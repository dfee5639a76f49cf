-- leak_bit_table.lua - A field of bit. Expect: contained
return function(m)
  local was = bit.seen
  bit.seen = m.secret
  return was ~= nil
end
