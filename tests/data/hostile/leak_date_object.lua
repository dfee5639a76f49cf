-- leak_date_object.lua - A field of a date. Expect: contained
return function(m)
  local was = rawget(m.at, "seen")
  m.at.seen = m.secret
  return was ~= nil
end
