-- escape_string_dump_raw.lua - Bytecode by a method. Expect: contained
return function(m)
  return pcall(function() return ("x").dump(function() end) end)
end
