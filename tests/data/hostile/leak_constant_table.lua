-- leak_constant_table.lua - A table of constants. Expect: contained
return function(m)
  local t = { list = { 1, 2 } }
  local was = t.list.seen
  t.list.seen = m.secret
  return was ~= nil
end
