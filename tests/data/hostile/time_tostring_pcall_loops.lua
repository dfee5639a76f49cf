-- time_tostring_pcall_loops.lua - __tostring catches everything. Expect: time
return function(m)
  local mt = { __tostring = function() while true do pcall(error) end end }
  return string.format("%s", setmetatable({}, mt))
end
