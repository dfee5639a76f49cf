-- escape_loadfile.lua - A file as code. Expect: contained
return function(m)
  local ok = pcall(function() return loadfile("/etc/passwd") end)
  return ok
end
