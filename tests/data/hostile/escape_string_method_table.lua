-- escape_string_method_table.lua - The table of methods by a method. Expect: contained
return function(m)
  local ok = pcall(function() ("").__index.len = nil end)
  return ok
end
