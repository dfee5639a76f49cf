-- escape_io_popen.lua - A program. Expect: contained
return function(m)
  return (pcall(function() return io.popen("id") end))
end
