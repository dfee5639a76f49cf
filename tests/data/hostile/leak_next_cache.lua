-- leak_next_cache.lua - The place where next stands. Expect: contained
return function(m)
  local t = { a = 1, b = 2 }
  local k = next(t)
  return k ~= "a"
end
