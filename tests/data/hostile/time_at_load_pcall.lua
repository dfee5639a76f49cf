-- time_at_load_pcall.lua - The main chunk catches everything. Expect: time
while true do pcall(error) end
return function() end
