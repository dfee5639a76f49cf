-- escape_jit_off.lua - The compiler off. Expect: contained
return function(m)
  return (pcall(function() jit.off() end))
end
