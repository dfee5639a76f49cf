-- memory_coroutines_nested_caught.lua - Coroutines in coroutines, again and again. Expect: time or memory
return function(m)
  local function nest(n)
    local ok, e = coroutine.resume(coroutine.create(nest), n + 1)
    return ok
  end
  while true do nest(0) end
end
