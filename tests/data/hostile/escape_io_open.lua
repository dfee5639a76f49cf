-- escape_io_open.lua - A file. Expect: contained
return function(m)
  return (pcall(function() return io.open("/etc/passwd") end))
end
