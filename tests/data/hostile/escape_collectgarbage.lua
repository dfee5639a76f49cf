-- escape_collectgarbage.lua - The memory in use. Expect: contained
return function(m)
  return (pcall(function() return collectgarbage("count") end))
end
