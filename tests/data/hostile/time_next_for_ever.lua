-- time_next_for_ever.lua - Walks round and round by next. Expect: time
return function(m)
  local t = { a = 1, b = 2 }
  local k
  while true do k = next(t, k) end
end
