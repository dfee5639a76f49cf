-- memory_select_negative.lua - Arguments that double. Expect: error or memory or time
return function(m)
  local function f(...) return f(..., ...) end
  f(1)
end
