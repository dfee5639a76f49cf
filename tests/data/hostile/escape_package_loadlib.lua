-- escape_package_loadlib.lua - A library of the system. Expect: contained
return function(m)
  return (pcall(function() return package.loadlib("libc.so.6", "system") end))
end
