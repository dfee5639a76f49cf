-- memory_coroutines_nested.lua - Coroutines in coroutines, until the C stack ends. Expect: error: too many coroutines
return function(m)
  local function nest(n) return coroutine.wrap(nest)(n + 1) end
  return nest(0)
end
