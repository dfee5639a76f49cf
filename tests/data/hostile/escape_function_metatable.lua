-- escape_function_metatable.lua - Metatables of functions, numbers and booleans. Expect: contained
return function(m)
  return getmetatable(pairs) ~= nil or getmetatable(1) ~= nil or getmetatable(true) ~= nil
end
