-- time_sort_loops.lua - A comparator that never returns. Expect: time
return function(m)
  table.sort({ 3, 2, 1 }, function() while true do end end)
end
