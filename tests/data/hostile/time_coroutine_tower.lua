-- time_coroutine_tower.lua - A loop fifty coroutines deep. Expect: time
return function(m)
  local function nest(n)
    if n == 0 then while true do end end
    return coroutine.wrap(nest)(n - 1)
  end
  nest(50)
end
