-- memory_byte_many.lua - A million numbers from letters. Expect: error
return function(m)
  local s = ("x"):rep(1e6)
  return select("#", s:byte(1, -1))
end
