-- escape_os_execute.lua - A shell. Expect: contained
return function(m)
  return (pcall(function() return os.execute("id") end))
end
