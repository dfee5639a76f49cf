-- time_pcall_of_pcall.lua - pcall calls pcall calls pcall. Expect: time
return function(m)
  while true do pcall(pcall, pcall, error) end
end
