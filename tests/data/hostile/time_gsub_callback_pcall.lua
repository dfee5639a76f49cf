-- time_gsub_callback_pcall.lua - The callback of gsub catches everything. Expect: time
return function(m)
  ("x"):gsub(".", function() while true do pcall(error) end end)
end
