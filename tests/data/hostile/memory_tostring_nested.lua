-- memory_tostring_nested.lua - __tostring in __tostring. Expect: error
return function(m)
  local mt = {}
  mt.__tostring = function() return string.format("%s", setmetatable({}, mt)) end
  return tostring(setmetatable({}, mt))
end
