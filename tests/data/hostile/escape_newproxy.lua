-- escape_newproxy.lua - Userdata with a finalizer. Expect: contained
return function(m)
  return (pcall(function() return newproxy(true) end))
end
