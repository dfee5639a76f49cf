-- escape_dofile.lua - A file run. Expect: contained
return function(m)
  local ok = pcall(function() return dofile("/etc/passwd") end)
  return ok
end
