-- memory_recursion_caught.lua - Overflows its stack, a million times. Expect: time or memory
return function(m)
  local function f() return 1 + f() end
  for i = 1, 1e6 do pcall(f) end
end
