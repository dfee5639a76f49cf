-- time_remove_in_front.lua - Takes from the front of a long list for ever. Expect: time
return function(m)
  local t = {}
  for i = 1, 2e5 do t[i] = i end
  while true do table.insert(t, table.remove(t, 1)) end
end
