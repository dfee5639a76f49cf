-- leak_replaced_type.lua - type for a later script. Expect: contained
return function(m)
  local was = type(1) ~= "number"
  type = function() return "string" end
  return was
end
