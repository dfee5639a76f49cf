-- escape_getfenv_zero.lua - The environment of the thread. Expect: contained
return function(m)
  return (pcall(function() return getfenv(0) end))
end
