-- leak_string_table.lua - A field of string. Expect: contained
return function(m)
  local was = string.seen
  string.seen = m.secret
  return was ~= nil
end
