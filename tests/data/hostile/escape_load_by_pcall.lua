-- escape_load_by_pcall.lua - load, with the error caught. Expect: contained
return function(m)
  local ok, f = pcall(function() return load("return 1") end)
  return ok
end
