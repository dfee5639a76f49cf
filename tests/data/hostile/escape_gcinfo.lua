-- escape_gcinfo.lua - The memory in use, by its old name. Expect: contained
return function(m)
  return (pcall(function() return gcinfo() end))
end
