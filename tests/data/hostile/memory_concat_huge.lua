-- memory_concat_huge.lua - A long text from many. Expect: memory
return function(m)
  local t = {}
  for i = 1, 1000 do t[i] = ("x"):rep(10000) end
  return #table.concat(t)
end
