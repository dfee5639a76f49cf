-- escape_setfenv.lua - Another environment. Expect: contained
return function(m)
  return (pcall(function() setfenv(1, {}) end))
end
