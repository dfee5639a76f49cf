-- escape_debug_getupvalue.lua - The upvalues of a host function. Expect: contained
return function(m)
  return (pcall(function() return debug.getupvalue(pairs, 1) end))
end
