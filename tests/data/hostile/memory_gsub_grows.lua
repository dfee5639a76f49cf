-- memory_gsub_grows.lua - A text that each gsub doubles. Expect: memory or time
return function(m)
  local s = "x"
  for i = 1, 40 do s = s:gsub("x", "xx") end
  return #s
end
