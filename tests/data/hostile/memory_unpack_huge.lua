-- memory_unpack_huge.lua - A hundred million values at once. Expect: error
return function(m)
  return unpack({}, 1, 1e8)
end
