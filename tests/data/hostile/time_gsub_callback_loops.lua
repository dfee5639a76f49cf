-- time_gsub_callback_loops.lua - The callback of gsub never returns. Expect: time
return function(m)
  ("x"):gsub(".", function() while true do end end)
end
