-- leak_coroutine_table.lua - A field of coroutine. Expect: contained
return function(m)
  local was = coroutine.seen
  coroutine.seen = m.secret
  return was ~= nil
end
