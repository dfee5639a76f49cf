-- escape_debug.lua - The registry. Expect: contained
return function(m)
  return (pcall(function() return debug.getregistry() end))
end
