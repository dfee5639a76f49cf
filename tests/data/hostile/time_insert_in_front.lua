-- time_insert_in_front.lua - A million inserts in front of a list. Expect: time
return function(m)
  local t = {}
  for i = 1, 1e6 do table.insert(t, 1, i) end
end
