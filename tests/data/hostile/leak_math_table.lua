-- leak_math_table.lua - A field of math. Expect: contained
return function(m)
  local was = math.seen
  math.seen = m.secret
  return was ~= nil
end
