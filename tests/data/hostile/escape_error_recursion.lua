-- escape_error_recursion.lua - Overflows the stack in a handler. Expect: error
return function(m)
  local function f() return 1 + f() end
  xpcall(f, f)
end
