-- escape_unpack_odd.lua - Odd arguments for unpack. Expect: contained
return function(m)
  return (pcall(unpack, {}, -1e9, 1e9)) or (pcall(unpack))
end
