-- time_sort_always_true.lua - A comparator that is always true, for ever. Expect: time
return function(m)
  while true do
    local t = {}
    for i = 1, 1000 do t[i] = i end
    pcall(table.sort, t, function() return true end)
  end
end
