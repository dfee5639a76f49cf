-- escape_jit_util.lua - The compiler's inside. Expect: contained
return function(m)
  return (pcall(function() return require("jit.util").funcinfo(pairs) end))
end
