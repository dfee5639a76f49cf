-- leak_replaced_error.lua - error for a later script. Expect: contained
return function(m)
  local was = (pcall(error, "x"))
  error = function() end
  return was
end
