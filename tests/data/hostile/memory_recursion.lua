-- memory_recursion.lua - Deep recursion with growing arguments. Expect: memory or error
return function(m)
  local function f(...) return 1 + f(1, ...) end
  return f()
end
