-- escape_getfenv_host.lua - The environment of a host function. Expect: contained
return function(m)
  return (pcall(function() return getfenv(pairs) end))
end
