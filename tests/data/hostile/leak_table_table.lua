-- leak_table_table.lua - A field of table. Expect: contained
return function(m)
  local was = table.seen
  table.seen = m.secret
  return was ~= nil
end
