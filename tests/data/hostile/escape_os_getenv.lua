-- escape_os_getenv.lua - The environment of the process. Expect: contained
return function(m)
  return (pcall(function() return os.getenv("PATH") end))
end
