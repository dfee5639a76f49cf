-- time_ackermann.lua - Deep recursion that is not endless, for ever. Expect: time
return function(m)
  local function a(x, y)
    if x == 0 then return y + 1 end
    if y == 0 then return a(x - 1, 1) end
    return a(x - 1, a(x, y - 1))
  end
  while true do pcall(a, 3, 9) end
end
