-- escape_os_exit.lua - The end of the process. Expect: contained
return function(m)
  return (pcall(function() os.exit(0) end))
end
