-- memory_unpack_in_table.lua - Thousands of values again and again. Expect: memory or time
return function(m)
  local t = { unpack({}, 1, 7000) }
  while true do t = { t, unpack(t, 1, 7000) } end
end
