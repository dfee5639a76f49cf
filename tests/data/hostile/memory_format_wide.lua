-- memory_format_wide.lua - A number a hundred thousand wide. Expect: error
return function(m)
  return string.format("%99999d", 1)
end
