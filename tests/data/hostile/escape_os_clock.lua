-- escape_os_clock.lua - A clock that is not the input's. Expect: contained
return function(m)
  return (pcall(function() return os.clock() end)) or (pcall(function() return os.time() end))
end
